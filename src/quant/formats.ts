// The block formats of quantized weights: one row each. A kernel of a format ends with its name (assembly/quant.ts, qgemm.ts).
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
  /** Kernel that rounds activations to int8 for this format's products. */
  readonly activations: 'quantize_q4' | 'quantize_q8'
}

export const FORMATS: Readonly<Record<FormatName, Format>> = {
  q4_0: { head: 1, words: 4, activations: 'quantize_q4' },
  q4_1: { head: 2, words: 4, activations: 'quantize_q4' },
  q8_0: { head: 1, words: 8, activations: 'quantize_q8' },
}

const ALIASES: Readonly<Record<string, FormatName>> = { q4: 'q4_0', q8: 'q8_0' }

/** Whether it names a format: as GGUF does (`Q4_1`), in small letters, or as transformers.js does (`q4`, `q8`). */
export function isFormat(name: string): boolean {
  return findFormat(name) !== undefined
}

/** The format of that name. @throws UnsupportedOptionError listing those there are */
export function formatOf(name: string, where = 'quantize'): FormatName {
  const format = findFormat(name)
  if (!format) throw unsupported(where, 'format', name, [...Object.keys(FORMATS), ...Object.keys(ALIASES)])
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
