// Mutates valid files at random: each must be read consistently or be refused with an error about the file, whatever it holds.
import { readFileSync } from 'node:fs'
import {
  bytesSource,
  type Checkpoint,
  MemoryRepository,
  openGguf,
  openSafetensors,
  openSafetensorsOf,
  openTorch,
  readBytes,
} from '../../src/io/index.ts'
import { ggufCheckpoint, ggufConfig } from '../../src/models/gguf/index.ts'
import { FileError, FileFormatError, UnsupportedOptionError } from '../../src/util/errors.ts'
import { checkConsistent, golden, safetensorsFile } from './files.ts'

type Random = (below: number) => number

/** Whole numbers in [0, below), the same for the same seed (mulberry32). */
function random(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const EXTREMES = [
  0n,
  1n,
  7n,
  8n,
  127n,
  128n,
  255n,
  256n,
  65535n,
  2n ** 24n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
]
EXTREMES.push(2n ** 53n + 1n, 2n ** 60n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 8n, 2n ** 64n - 1n)
const WORDS = [
  '0',
  '-1',
  '1e999',
  '18446744073709551616',
  '1152921504606846976',
  '[]',
  '{}',
  'null',
  '"',
  '\\u0000',
  '__proto__',
  ',',
  '}',
  '"F64"',
  '"BOOL"',
  '\ufeff',
  '[[[[',
]

/** Each takes a file and gives a changed one. `at` finds positions, mostly near the beginning, where the lengths are. */
const mutations: ((bytes: Uint8Array, r: Random, at: (room?: number) => number) => Uint8Array)[] = [
  function flipBit(bytes, r, at) {
    bytes[at()] ^= 1 << r(8)
    return bytes
  },
  function setByte(bytes, r, at) {
    bytes[at()] = r(256)
    return bytes
  },
  function setLength(bytes, r, at) {
    const value = EXTREMES[r(EXTREMES.length)]
    const width = r(2) ? 8 : 4
    const start = at(width)
    for (let i = 0; i < width && start + i < bytes.length; i++)
      bytes[start + i] = Number((value >> BigInt(8 * i)) & 255n)
    return bytes
  },
  function truncate(bytes, r) {
    return bytes.slice(0, r(bytes.length + 1))
  },
  function extend(bytes, r) {
    return joined(bytes, new Uint8Array(1 + r(40)).fill(r(256)))
  },
  function splice(bytes, r, at) {
    const from = at()
    const length = r(64)
    const to = at()
    return joined(bytes.slice(0, to), bytes.slice(from, from + length), bytes.slice(to + (r(2) ? length : 0)))
  },
  function swap(bytes, r, at) {
    const [a, b, n] = [at(), at(), r(16)]
    bytes.copyWithin(a, b, b + n)
    return bytes
  },
  function changeNumber(bytes, r) {
    // A number of the JSON header, with the header's length kept true.
    const text = new TextDecoder('latin1').decode(bytes)
    const numbers = [...text.matchAll(/\d+/g)]
    if (numbers.length === 0) return bytes
    const { index, 0: digits } = numbers[r(numbers.length)]
    const value = r(3) ? `${Math.max(Number(digits) + r(9) - 4, 0)}` : `${EXTREMES[r(EXTREMES.length)]}`
    return lengthKept(bytes, index, digits.length, value)
  },
  function insertWord(bytes, r, at) {
    return lengthKept(bytes, at(), r(4), WORDS[r(WORDS.length)])
  },
]

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Replaces a part, and makes up for it in the first 8 bytes where they are the length of a safetensors header. */
function lengthKept(bytes: Uint8Array, at: number, length: number, text: string): Uint8Array {
  const put = new TextEncoder().encode(text)
  const out = joined(bytes.slice(0, at), put, bytes.slice(at + length))
  if (bytes.length < 8 || out.length < 8 || at < 8) return out
  const before = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
  if (before < bytes.length)
    new DataView(out.buffer).setBigUint64(0, BigInt.asUintN(64, before + BigInt(out.length - bytes.length)), true)
  return out
}

function mutate(original: Uint8Array, r: Random): Uint8Array {
  let bytes: Uint8Array = original.slice()
  for (let i = 1 + r(4); i > 0; i--) {
    const size = bytes.length
    if (size === 0) break
    const at = (room = 0) => Math.max(r(r(2) ? size : Math.min(size, 64)) - r(room + 1), 0)
    bytes = mutations[r(mutations.length)](bytes, r, at)
  }
  return bytes
}

/** A tiny model that llama.cpp's converter made. */
function tiny(name: string): Uint8Array {
  return new Uint8Array(readFileSync(`tests/golden/gguf/${name}.gguf`))
}

interface Subject {
  name: string
  valid: Uint8Array
  open: (bytes: Uint8Array) => Promise<Checkpoint>
  /** Whether tensors may have the same bytes. */
  shared?: boolean
}

/** Files to begin with, and how to open what becomes of them. */
function subjects(): Subject[] {
  const safetensors = (bytes: Uint8Array) => openSafetensors(bytesSource(bytes, 'mutant'))
  const gguf = (bytes: Uint8Array) => openGguf(bytesSource(bytes, 'mutant'))
  const model = async (bytes: Uint8Array) => {
    const file = await gguf(bytes)
    await ggufConfig(file)
    return ggufCheckpoint(file)
  }
  const torch = (bytes: Uint8Array) => openTorch(bytesSource(bytes, 'mutant'))
  const small = { __metadata__: { format: 'pt' }, b: entry([2, 3], 0), a: entry([3], 24), e: entry([0], 36) }
  const shard = safetensorsFile({ a: entry([3], 0), b: entry([], 12) }, 16)
  const index = new TextEncoder().encode(
    '{"metadata":{"total_size":16},"weight_map":{"a":"model-1.safetensors","b":"model-1.safetensors"}}',
  )
  return [
    { name: 'types.safetensors', valid: golden('types.safetensors'), open: safetensors },
    { name: 'small.safetensors', valid: safetensorsFile(small, 36), open: safetensors },
    { name: 'types.gguf', valid: golden('types.gguf'), open: gguf },
    { name: 'start of types.gguf', valid: golden('types.gguf').slice(0, 400), open: gguf },
    { name: 'model qwen2-moe.gguf', valid: tiny('qwen2-moe'), open: model },
    { name: 'model stablelm-2.gguf', valid: tiny('stablelm-2'), open: model },
    { name: 'state.bin', valid: golden('state.bin'), open: torch, shared: true },
    { name: 'nested.pt', valid: golden('nested.pt'), open: torch, shared: true },
    { name: 'legacy.pt', valid: golden('legacy.pt'), open: torch, shared: true },
    {
      name: 'model.safetensors.index.json',
      valid: index,
      open: (bytes) =>
        openSafetensorsOf(
          new MemoryRepository([
            ['model-1.safetensors', shard],
            ['model.safetensors.index.json', bytes],
          ]),
        ),
    },
  ]
}

function entry(shape: number[], begin: number) {
  return { dtype: 'F32', shape, data_offsets: [begin, begin + 4 * shape.reduce((a, b) => a * b, 1)] }
}

/**
 * Runs that many cases. Case i depends on seed + i alone.
 * @throws Error naming the case that was neither read consistently nor refused properly
 */
export async function fuzz(cases: number, seed: number): Promise<{ read: number; refused: number }> {
  const all = subjects()
  const counts = { read: 0, refused: 0 }
  const { warn } = console
  console.warn = () => {} // of what is left out
  for (let i = 0; i < cases; i++) {
    const r = random(seed + i)
    const { name, valid, open, shared } = all[(seed + i) % all.length]
    const bytes = mutate(valid, r)
    try {
      const file = await open(bytes)
      checkConsistent(file, shared)
      for (const { source, offset, bytes: length } of file.tensors.values()) await readBytes(source, offset, length)
      await file.close()
      counts.read++
    } catch (error) {
      // An index may name files that no repository can have: that is a FileError.
      const proper =
        error instanceof FileFormatError
          ? /: expected .+, found /s.test(error.message)
          : (error instanceof FileError && name.endsWith('.json')) ||
            (error instanceof UnsupportedOptionError && name.startsWith('model '))
      if (!proper) throw new Error(`case ${seed + i} (${name}): ${(error as Error).stack}`, { cause: error })
      counts.refused++
    }
  }
  console.warn = warn
  return counts
}
