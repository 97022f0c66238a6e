// The block formats of quantized weights, one row each: those that products are computed in (their kernels end with their names:
// assembly/quant.ts, qgemm.ts), and those that GGUF files have (assembly/unpack.ts).
import { unsupported } from '../util/errors.ts'

/** A block format, as GGUF has it in capitals. */
export type FormatName = 'q4_0' | 'q4_1' | 'q8_0'

/** Weights of a block: consecutive ones of a row. */
export const BLOCK = 32

/** How a block lies in a file: float16 numbers (the scale, and the minimum where there is one), then the codes. */
export interface Format {
  /** Float16 numbers at its head. */
  readonly head: number
  /** 32-bit words of codes. */
  readonly words: number
}

export const FORMATS: Readonly<Record<FormatName, Format>> = {
  q4_0: { head: 1, words: 4 },
  q4_1: { head: 2, words: 4 },
  q8_0: { head: 1, words: 8 },
}

const ALIASES: Readonly<Record<string, FormatName>> = { q4: 'q4_0', q8: 'q8_0' }

/** What a format can be called. */
export const FORMAT_NAMES: readonly string[] = [...Object.keys(FORMATS), ...Object.keys(ALIASES)]

/** Whether it names a format: as GGUF does (`Q4_1`), in small letters, or as transformers.js does (`q4`, `q8`). */
export function isFormat(name: string): boolean {
  return findFormat(name) !== undefined
}

/** The format of that name. @throws UnsupportedOptionError listing those there are */
export function formatOf(name: string, where = 'quantize'): FormatName {
  const format = findFormat(name)
  if (!format) throw unsupported(where, 'format', name, FORMAT_NAMES)
  return format
}

function findFormat(name: string): FormatName | undefined {
  const small = name.toLowerCase()
  if (Object.hasOwn(ALIASES, small)) return ALIASES[small]
  return Object.hasOwn(FORMATS, small) ? (small as FormatName) : undefined
}

/** Bytes of a row of `k` weights, which is whole blocks. */
export function rowBytes(format: FormatName, k: number): number {
  const { head, words } = FORMATS[format]
  return (k / BLOCK) * (2 * head + 4 * words)
}

/** A type of blocks in GGUF files. Its kernels are `unpack_…` (to float32, exact) and, where it has no products, `convert_…`. */
export interface BlockType {
  /** Weights of a block: consecutive ones of a row. */
  readonly block: 32 | 256
  /** Bytes of a block. */
  readonly bytes: number
  /** The format that it is kept in: its own, or the nearest that has products. */
  readonly kept: FormatName
}

/** By GGUF's names. How far the kept weights are from the stored ones: assembly/unpack.ts. */
export const BLOCK_TYPES = {
  Q4_0: { block: 32, bytes: 18, kept: 'q4_0' },
  Q4_1: { block: 32, bytes: 20, kept: 'q4_1' },
  Q5_0: { block: 32, bytes: 22, kept: 'q8_0' },
  Q5_1: { block: 32, bytes: 24, kept: 'q8_0' },
  Q8_0: { block: 32, bytes: 34, kept: 'q8_0' },
  Q2_K: { block: 256, bytes: 84, kept: 'q8_0' },
  Q3_K: { block: 256, bytes: 110, kept: 'q8_0' },
  Q4_K: { block: 256, bytes: 144, kept: 'q4_1' },
  Q5_K: { block: 256, bytes: 176, kept: 'q8_0' },
  Q6_K: { block: 256, bytes: 210, kept: 'q8_0' },
  IQ4_NL: { block: 32, bytes: 18, kept: 'q8_0' },
  IQ4_XS: { block: 256, bytes: 136, kept: 'q8_0' },
} as const satisfies Record<string, BlockType>

export type BlockTypeName = keyof typeof BLOCK_TYPES

/** Whether a file's type consists of blocks that are known here (else of elements, or of blocks that are not). */
export function isBlockType(type: string): type is BlockTypeName {
  return Object.hasOwn(BLOCK_TYPES, type)
}

/** Whether blocks of that type are kept as they are. */
export function isKept(type: BlockTypeName): type is Uppercase<FormatName> {
  return BLOCK_TYPES[type].kept === type.toLowerCase()
}
