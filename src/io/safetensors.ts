// safetensors: 8 bytes with the length of a JSON header, the header, then the tensors' bytes with no gap between them.
// Reading is as strict as the reference implementation, and refuses keys that appear twice as well.
import { DTypeError, FileError, FileFormatError, shown, UnsupportedOptionError } from '../util/errors.ts'
import { duplicateKey, isObject } from '../util/json.ts'
import { type Checkpoint, elementsOf, isCount, type StoredTensor } from './checkpoint.ts'
import type { Repository } from './repository.ts'
import { openShards } from './shards.ts'
import type { ByteSink } from './sink.ts'
import { type ByteSource, decodeUtf8, readBytes } from './source.ts'

/** Bits of an element of each dtype of the format, in the reference's order, which is also that of tensors in a file. */
const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const

export type SafetensorsDType = keyof typeof DTYPE_BITS
const DTYPES = Object.keys(DTYPE_BITS) as SafetensorsDType[]

/** The reference's limit: a header is read and parsed whole. */
const HEADER_LIMIT = 100_000_000

/** 'version ', as the text that Git LFS leaves in place of a large file begins. */
const LFS_POINTER = 0x206e6f6973726576n

export const SAFETENSORS_FILE = 'model.safetensors'
export const SAFETENSORS_INDEX = 'model.safetensors.index.json'

/** One or several safetensors files, opened. */
export interface SafetensorsCheckpoint extends Checkpoint {
  /** The `__metadata__` of the header, or of the shards together; `format: 'pt'` as a rule. */
  readonly metadata: ReadonlyMap<string, string>
}

/**
 * Reads and checks the header of a safetensors file. Takes over the source: it is closed on failure, and by the result's close().
 * @throws FileFormatError naming the file and the field that is wrong
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsCheckpoint> {
  try {
    const { metadata, tensors } = await readHeader(source)
    return { name: source.name, metadata, tensors, close: () => source.close() }
  } catch (error) {
    await source.close()
    throw error
  }
}

async function readHeader(
  source: ByteSource,
): Promise<{ metadata: Map<string, string>; tensors: Map<string, StoredTensor> }> {
  const wrong = (field: string, expected: string, found: string, hint?: string) =>
    new FileFormatError(source.name, field, expected, found, hint)
  if (source.size < 8) throw wrong('file size', 'at least 8 bytes', `${source.size}`)
  const length = new DataView((await readBytes(source, 0, 8)).buffer).getBigUint64(0, true)
  const most = Math.min(source.size - 8, HEADER_LIMIT)
  if (length === LFS_POINTER)
    throw wrong('contents', 'weights', 'a pointer of Git LFS', 'fetch the file itself: git lfs pull')
  if (length > most)
    throw wrong('header length', `at most ${most} bytes`, `${length}`, 'the file is truncated, or not safetensors')

  const bytes = await readBytes(source, 8, Number(length))
  if (bytes[0] !== 0x7b)
    throw wrong('header', "a JSON object, from '{' on", bytes.length === 0 ? 'nothing' : `byte ${bytes[0]}`)
  const text = decodeUtf8(bytes, source.name, 'header')
  let header: Record<string, unknown>
  try {
    header = JSON.parse(text)
  } catch (cause) {
    throw wrong('header', 'JSON', shown((cause as Error).message))
  }
  const twice = duplicateKey(text)
  if (twice !== undefined) throw wrong('header', 'each key once', `${shown(twice)} twice`)

  const dataStart = 8 + Number(length)
  const tensors: StoredTensor[] = []
  let metadata = new Map<string, string>()
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = readMetadata(value, wrong)
    else tensors.push(readEntry(name, value, source, dataStart, wrong))
  }
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let end = dataStart
  for (const { name, offset, bytes } of tensors) {
    if (offset !== end)
      throw wrong(
        `tensor ${shown(name)}: data_offsets`,
        `to begin at ${end - dataStart}, where the one before ends`,
        `${offset - dataStart}`,
      )
    end = offset + bytes
  }
  if (end !== source.size) throw wrong('file size', `${end} bytes, where the last tensor ends`, `${source.size}`)
  return { metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) }
}

type Wrong = (field: string, expected: string, found: string, hint?: string) => FileFormatError

function readMetadata(value: unknown, wrong: Wrong): Map<string, string> {
  if (!isObject(value)) throw wrong('__metadata__', 'an object of strings', shown(value))
  for (const [key, text] of Object.entries(value))
    if (typeof text !== 'string') throw wrong(`__metadata__.${shown(key)}`, 'a string', shown(text))
  return new Map(Object.entries(value as Record<string, string>))
}

function readEntry(name: string, value: unknown, source: ByteSource, dataStart: number, wrong: Wrong): StoredTensor {
  const field = `tensor ${shown(name)}`
  if (!isObject(value)) throw wrong(field, 'an object', shown(value))
  const own = (key: string) => (Object.hasOwn(value, key) ? value[key] : undefined)
  const [dtype, shape, offsets] = [own('dtype'), own('shape'), own('data_offsets')]
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BITS, dtype))
    throw wrong(`${field}: dtype`, `one of ${DTYPES.join(', ')}`, shown(dtype))
  if (!Array.isArray(shape)) throw wrong(`${field}: shape`, 'a list of sizes', shown(shape))
  if (!shape.every(isCount))
    throw wrong(
      `${field}: shape`,
      'sizes that are whole numbers from 0 up',
      shown(shape.find((size) => !isCount(size))),
    )
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw wrong(
      `${field}: data_offsets`,
      'two whole numbers, begin and end',
      Array.isArray(offsets) ? `[${offsets.slice(0, 4).map(shown).join(', ')}]` : shown(offsets),
    )
  const [begin, end] = offsets
  const size = source.size - dataStart
  if (begin > end || end > size)
    throw wrong(
      `${field}: data_offsets`,
      `a range inside the ${size} bytes of data`,
      `[${begin}, ${end}]`,
      'the file is truncated or damaged',
    )
  const elements = elementsOf(shape)
  if (elements === undefined)
    throw wrong(`${field}: shape`, 'fewer than 2^53 elements', `[${shape.slice(0, 8).join(', ')}]`)
  const bytes = (elements * DTYPE_BITS[dtype as SafetensorsDType]) / 8
  if (bytes !== end - begin)
    throw wrong(`${field}: data_offsets`, `${bytes} bytes, as its shape and dtype say`, `${end - begin}`)
  return { name, type: dtype, shape, source, offset: dataStart + begin, bytes }
}

/**
 * Opens the safetensors of a repository: one file, or the shards that an index lists. Every tensor of the index must be in its
 * shard, and the shards must hold nothing else.
 * @param file the one file, or the index (a name that ends in `.json`); by default whichever there is
 * @throws FileFormatError naming the index, the shard and the tensor that do not go together
 */
export async function openSafetensorsOf(repository: Repository, file?: string): Promise<SafetensorsCheckpoint> {
  const chosen = file ?? ((await repository.has(SAFETENSORS_FILE)) ? SAFETENSORS_FILE : SAFETENSORS_INDEX)
  if (!chosen.endsWith('.json')) return openSafetensors(await repository.open(chosen))
  if (!(await repository.has(chosen)))
    throw new FileError(
      `${repository.name}: expected ${SAFETENSORS_FILE} or ${SAFETENSORS_INDEX}, found neither. Hint: where there is a pytorch_model.bin, load it in Python and save_pretrained(…)`,
    )

  const { shards, tensors, close } = await openShards(repository, chosen, openSafetensors)
  const metadata = new Map<string, string>()
  for (const shard of shards) for (const [key, value] of shard.metadata) metadata.set(key, value)
  return { name: repository.name, metadata, tensors, close }
}

/** A tensor to be written. */
export interface TensorToWrite {
  name: string
  dtype: SafetensorsDType
  shape: readonly number[]
  /** Gives its bytes, little endian and row-major; asked when they are written, used before anything else happens. */
  data: () => Uint8Array
}

function bytesOf({ name, dtype, shape }: TensorToWrite): number {
  if (!Object.hasOwn(DTYPE_BITS, dtype))
    throw new DTypeError(`safetensors: tensor ${shown(name)}: dtype ${shown(dtype)} is not one of ${DTYPES.join(', ')}`)
  return ((elementsOf(shape) ?? Number.POSITIVE_INFINITY) * DTYPE_BITS[dtype]) / 8
}

/**
 * Writes a safetensors file, byte for byte what Python's save_file writes: widest dtypes first, then by name.
 * The sink is committed at the end, and discarded on failure.
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: Iterable<TensorToWrite>,
  metadata: Record<string, string> = { format: 'pt' },
): Promise<void> {
  try {
    const sorted = [...tensors].sort(
      (a, b) => DTYPES.indexOf(b.dtype) - DTYPES.indexOf(a.dtype) || (a.name < b.name ? -1 : 1),
    )
    const entries = [jsonEntry('__metadata__', metadata)]
    const names = new Set(['__metadata__'])
    let end = 0
    for (const tensor of sorted) {
      const { name, dtype, shape } = tensor
      if (names.has(name)) throw new FileError(`${sink.name}: two tensors are called ${shown(name)}`)
      names.add(name)
      entries.push(jsonEntry(name, { dtype, shape, data_offsets: [end, (end += bytesOf(tensor))] }))
    }
    const text = new TextEncoder().encode(`{${entries.join(',')}}`)
    const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20)
    padded.set(text)
    if (padded.length > HEADER_LIMIT)
      throw new FileError(
        `${sink.name}: a header of ${padded.length} bytes is longer than the format's ${HEADER_LIMIT}`,
      )
    const length = new DataView(new ArrayBuffer(8))
    length.setBigUint64(0, BigInt(padded.length), true)
    await sink.write(new Uint8Array(length.buffer))
    await sink.write(padded)
    for (const tensor of sorted) {
      const data = tensor.data()
      if (data.length !== bytesOf(tensor))
        throw new FileError(
          `${sink.name}: tensor ${shown(tensor.name)}: expected ${bytesOf(tensor)} bytes, found ${data.length}`,
        )
      await sink.write(data)
    }
    await sink.commit()
  } catch (error) {
    await sink.discard()
    throw error
  }
}

// An object would put names that are numbers first.
function jsonEntry(key: string, value: unknown): string {
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`
}

/**
 * Bytes of a size such as 1000, '5GB' or '200MiB'.
 * @throws UnsupportedOptionError for what is not a size
 */
export function parseSize(size: number | string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?$/i.exec(String(size))
  const bytes = match
    ? Math.floor(Number(match[1]) * (match[3] ? 1024 : 1000) ** ' KMGT'.indexOf(match[2].toUpperCase() || ' '))
    : Number.NaN
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return bytes
  throw new UnsupportedOptionError(
    `max_shard_size: expected a number of bytes or a size such as '5GB', found ${shown(size)}`,
  )
}

/** Tensors in their order, cut into shards of at most that many bytes; one that is larger has a shard of its own. */
export function splitShards<T extends TensorToWrite>(
  tensors: Iterable<T>,
  max_shard_size: number | string = '50GB',
): T[][] {
  const limit = parseSize(max_shard_size)
  const shards: T[][] = [[]]
  let used = 0
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor)
    if (shards[shards.length - 1].length > 0 && used + bytes > limit) {
      shards.push([])
      used = 0
    }
    shards[shards.length - 1].push(tensor)
    used += bytes
  }
  return shards
}

/**
 * Writes tensors as Python's save_pretrained does: `model.safetensors`, or shards and an index where they are more than
 * `max_shard_size`. `create` makes the sink of a file. Returns the names of the files, the index last.
 */
export async function writeShardedSafetensors(
  create: (file: string) => ByteSink,
  tensors: Iterable<TensorToWrite>,
  options: { max_shard_size?: number | string; metadata?: Record<string, string> } = {},
): Promise<string[]> {
  const shards = splitShards(tensors, options.max_shard_size)
  const number = (n: number) => String(n).padStart(5, '0')
  const fileOf = (i: number) =>
    shards.length === 1 ? SAFETENSORS_FILE : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`
  for (const [i, shard] of shards.entries()) await writeSafetensors(create(fileOf(i)), shard, options.metadata)
  const files = shards.map((_, i) => fileOf(i))
  if (files.length === 1) return files

  const all = shards.flatMap((shard, i) => shard.map((tensor) => ({ tensor, file: fileOf(i) })))
  const index = {
    metadata: {
      total_parameters: all.reduce((sum, { tensor }) => sum + (elementsOf(tensor.shape) ?? 0), 0),
      total_size: all.reduce((sum, { tensor }) => sum + bytesOf(tensor), 0),
    },
    weight_map: Object.fromEntries(
      all.map(({ tensor, file }) => [tensor.name, file] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
  }
  const sink = create(SAFETENSORS_INDEX)
  try {
    await sink.write(new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`))
    await sink.commit()
  } catch (error) {
    await sink.discard()
    throw error
  }
  return [...files, SAFETENSORS_INDEX]
}
