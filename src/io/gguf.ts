// GGUF, the file of llama.cpp: typed metadata, a table of tensors, then their aligned bytes. Versions 2 and 3, little endian.
// No length of the file is believed before it is compared with the bytes that are left.
import { FileError, FileFormatError, shown } from '../util/errors.ts'
import { type Checkpoint, elementsOf, type StoredTensor } from './checkpoint.ts'
import type { Repository } from './repository.ts'
import type { ByteSink } from './sink.ts'
import { type ByteSource, decodeUtf8, readBytes } from './source.ts'

/** A ggml type: its number in files, the elements of a block and the block's bytes. */
export interface GgmlType {
  readonly id: number
  readonly block: number
  readonly bytes: number
}

/** Every type that ggml stores in files, by its name. Those that it has withdrawn are not here. */
export const GGML_TYPES: Readonly<Record<string, GgmlType>> = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q8_1: { id: 9, block: 32, bytes: 36 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  Q8_K: { id: 15, block: 256, bytes: 292 },
  IQ2_XXS: { id: 16, block: 256, bytes: 66 },
  IQ2_XS: { id: 17, block: 256, bytes: 74 },
  IQ3_XXS: { id: 18, block: 256, bytes: 98 },
  IQ1_S: { id: 19, block: 256, bytes: 50 },
  IQ4_NL: { id: 20, block: 32, bytes: 18 },
  IQ3_S: { id: 21, block: 256, bytes: 110 },
  IQ2_S: { id: 22, block: 256, bytes: 82 },
  IQ4_XS: { id: 23, block: 256, bytes: 136 },
  I8: { id: 24, block: 1, bytes: 1 },
  I16: { id: 25, block: 1, bytes: 2 },
  I32: { id: 26, block: 1, bytes: 4 },
  I64: { id: 27, block: 1, bytes: 8 },
  F64: { id: 28, block: 1, bytes: 8 },
  IQ1_M: { id: 29, block: 256, bytes: 56 },
  BF16: { id: 30, block: 1, bytes: 2 },
  TQ1_0: { id: 34, block: 256, bytes: 54 },
  TQ2_0: { id: 35, block: 256, bytes: 66 },
  MXFP4: { id: 39, block: 32, bytes: 17 },
  NVFP4: { id: 40, block: 64, bytes: 36 },
  Q1_0: { id: 41, block: 128, bytes: 18 },
}
const TYPE_NAMES = new Map(Object.entries(GGML_TYPES).map(([name, { id }]) => [id, name]))

/** Types of metadata values, by their numbers. */
const VALUE_TYPES = [
  'UINT8',
  'INT8',
  'UINT16',
  'INT16',
  'UINT32',
  'INT32',
  'FLOAT32',
  'BOOL',
  'STRING',
  'ARRAY',
  'UINT64',
  'INT64',
  'FLOAT64',
] as const
type ValueType = (typeof VALUE_TYPES)[number]

/** Type of a metadata value; a list's elements are all of one type. */
export type GgufType = Exclude<ValueType, 'ARRAY'> | `ARRAY<${ValueType}>`

type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/** A metadata value. 64-bit integers beyond 2^53 are bigint; lists of numbers are typed arrays. */
export type GgufValue = number | bigint | boolean | string | NumberArray | boolean[] | string[] | GgufValue[]

/** Typed arrays of the numeric types. */
const NUMBER_ARRAYS = {
  UINT8: Uint8Array,
  INT8: Int8Array,
  UINT16: Uint16Array,
  INT16: Int16Array,
  UINT32: Uint32Array,
  INT32: Int32Array,
  FLOAT32: Float32Array,
  FLOAT64: Float64Array,
  UINT64: BigUint64Array,
  INT64: BigInt64Array,
} as const
type NumberType = keyof typeof NUMBER_ARRAYS

/** Fewest bytes that a value takes in a list: what bounds the length of one. */
const LEAST_BYTES: Record<ValueType, number> = {
  UINT8: 1,
  INT8: 1,
  UINT16: 2,
  INT16: 2,
  UINT32: 4,
  INT32: 4,
  FLOAT32: 4,
  BOOL: 1,
  STRING: 8,
  ARRAY: 12,
  UINT64: 8,
  INT64: 8,
  FLOAT64: 8,
}

const MAGIC = 0x46554747 // 'GGUF'
const MAX_DIMS = 4
const MAX_DEPTH = 4 // of lists in lists
const MAX_ITEMS = 1 << 24 // of a list that is not of numbers
const MAX_KEY = 65535
const MAX_ALIGNMENT = 1 << 20
/** Metadata and tensor table are parsed in memory; the largest vocabularies take about 20 MB. */
const HEADER_LIMIT = 1 << 27
const FIRST_READ = 1 << 22

export interface GgufCheckpoint extends Checkpoint {
  readonly version: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  /** Type of each metadata value, for writing it back. */
  readonly types: ReadonlyMap<string, GgufType>
}

/**
 * Reads and checks metadata and tensor table of a GGUF file. Takes over the source: it is closed on failure, and by the result's close().
 * @throws FileFormatError naming the file and the field that is wrong
 */
export async function openGguf(source: ByteSource): Promise<GgufCheckpoint> {
  try {
    // The header does not say how long it is: read a beginning, and more of it where that was not enough.
    for (let length = FIRST_READ; ; length *= 4) {
      const known = Math.min(length, source.size, HEADER_LIMIT)
      const reader = new Reader(await readBytes(source, 0, known), source.name, Math.min(source.size, HEADER_LIMIT))
      try {
        const header = readHeader(reader)
        return { name: source.name, ...header, tensors: placeTensors(header, source), close: () => source.close() }
      } catch (error) {
        if (error !== reader.needsMore) throw error
      }
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** How llama.cpp names the files of a split model. */
const SPLIT_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i

/**
 * Opens a GGUF file of a repository. One that is split (`…-00001-of-00003.gguf`) is opened whole, whichever of its files is named:
 * metadata is that of the first one, tensors are those of all.
 * @throws FileError when a file is missing, FileFormatError when the files do not go together
 */
export async function openGgufOf(repository: Repository, file: string): Promise<GgufCheckpoint> {
  const [, stem, , count] = SPLIT_NAME.exec(file) ?? []
  if (stem === undefined) {
    const whole = await openGguf(await repository.open(file))
    try {
      checkSplit(whole, 0, 1)
      return whole
    } catch (error) {
      await whole.close()
      throw error
    }
  }
  const total = Number(count)
  const parts: GgufCheckpoint[] = []
  const close = async () => {
    for (const part of parts) await part.close()
  }
  try {
    for (let no = 0; no < total; no++) {
      const name = `${stem}-${String(no + 1).padStart(5, '0')}-of-${count}.gguf`
      if (!(await repository.has(name)))
        throw new FileError(
          `${repository.name}: ${file} is one of ${total} files, and ${name} is missing. Hint: all of them belong in one folder`,
        )
      parts.push(await openGguf(await repository.open(name)))
      checkSplit(parts[no], no, total)
    }
    const [first] = parts
    if (!first) throw new FileError(`${repository.name}: ${file}: a model cannot be split into no files`)
    const tensors = new Map<string, StoredTensor>()
    for (const part of parts)
      for (const [name, stored] of part.tensors) {
        if (tensors.has(name))
          throw new FileFormatError(part.name, `tensor ${shown(name)}`, 'each name once', 'it in an earlier file too')
        tensors.set(name, stored)
      }
    const all = first.metadata.get('split.tensors.count')
    if (all !== undefined && Number(all) !== tensors.size)
      throw new FileFormatError(first.name, 'split.tensors.count', `${tensors.size}, as many as there are`, `${all}`)
    return { ...first, name: `${repository.name}/${stem}.gguf`, tensors, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Whether a file says that it is number `no` of `total`; one that says nothing is whole. */
function checkSplit({ name, metadata }: GgufCheckpoint, no: number, total: number): void {
  const count = metadata.get('split.count')
  const wrong = (field: string, expected: number, found: GgufValue | undefined) =>
    new FileFormatError(
      name,
      field,
      `${expected}`,
      shown(found),
      "a split file keeps llama.cpp's names: …-00001-of-00003.gguf",
    )
  if (count === undefined && total === 1) return
  if (Number(count) !== total && !(total === 1 && count === 0)) throw wrong('split.count', total, count)
  if (total > 1 && Number(metadata.get('split.no')) !== no) throw wrong('split.no', no, metadata.get('split.no'))
}

/** Takes values one after another, each only when the file holds it. */
class Reader {
  at = 0
  /** Thrown when the file goes on, but what has been read of it does not. */
  readonly needsMore = new Error('more of the file is needed')
  private readonly view: DataView

  /** @param size bytes that the file has: more than `bytes`, where those are a beginning */
  constructor(
    private readonly bytes: Uint8Array<ArrayBuffer>,
    private readonly file: string,
    private readonly size: number,
  ) {
    this.view = new DataView(bytes.buffer)
  }

  wrong(field: string, expected: string, found: string, hint?: string): FileFormatError {
    return new FileFormatError(this.file, field, expected, found, hint)
  }

  /** Position of the next `n` bytes, which are taken. */
  private take(field: string, n: number): number {
    const start = this.at
    if (n > this.size - start)
      throw this.wrong(
        field,
        `${n} bytes at ${start}`,
        `${this.size - start} to the end`,
        'the file is truncated or damaged',
      )
    if (n > this.bytes.length - start) throw this.needsMore
    this.at += n
    return start
  }

  u8 = (field: string) => this.view.getUint8(this.take(field, 1))
  u32 = (field: string) => this.view.getUint32(this.take(field, 4), true)

  /** A number of things, of which each takes at least `least` bytes of what is left. */
  count(field: string, least: number, part = ''): number {
    const start = this.take(field, 8)
    const n = this.view.getUint32(start, true) + this.view.getUint32(start + 4, true) * 2 ** 32
    const most = Math.floor((this.size - this.at) / least)
    if (n > most)
      throw this.wrong(
        field + part,
        `at most ${most}, as many as the rest of the file can hold`,
        `${this.view.getBigUint64(start, true)}`,
      )
    return n
  }

  string(field: string, most = HEADER_LIMIT): string {
    const n = this.count(field, 1, ': length')
    if (n > most) throw this.wrong(`${field}: length`, `at most ${most} bytes`, `${n}`)
    const start = this.take(field, n)
    return decodeUtf8(this.bytes.subarray(start, start + n), this.file, field)
  }

  number(field: string, type: NumberType): number | bigint {
    const start = this.take(field, LEAST_BYTES[type])
    switch (type) {
      case 'UINT8':
        return this.view.getUint8(start)
      case 'INT8':
        return this.view.getInt8(start)
      case 'UINT16':
        return this.view.getUint16(start, true)
      case 'INT16':
        return this.view.getInt16(start, true)
      case 'UINT32':
        return this.view.getUint32(start, true)
      case 'INT32':
        return this.view.getInt32(start, true)
      case 'FLOAT32':
        return this.view.getFloat32(start, true)
      case 'FLOAT64':
        return this.view.getFloat64(start, true)
      case 'UINT64':
        return exact(this.view.getBigUint64(start, true))
      case 'INT64':
        return exact(this.view.getBigInt64(start, true))
    }
  }

  numbers(field: string, type: NumberType, n: number): NumberArray {
    const start = this.take(field, n * LEAST_BYTES[type])
    return new NUMBER_ARRAYS[type](this.bytes.slice(start, this.at).buffer)
  }
}

function exact(x: bigint): number | bigint {
  return Number.isSafeInteger(Number(x)) ? Number(x) : x
}

function isNumberType(type: ValueType): type is NumberType {
  return Object.hasOwn(NUMBER_ARRAYS, type)
}

interface TensorInfo {
  name: string
  type: string
  shape: number[]
  bytes: number
  offset: number // from the beginning of the data
}

interface Header {
  version: number
  metadata: Map<string, GgufValue>
  types: Map<string, GgufType>
  infos: TensorInfo[]
  alignment: number
  dataStart: number
}

function readHeader(reader: Reader): Header {
  const magic = reader.u32('magic')
  if (magic !== MAGIC)
    throw reader.wrong(
      'magic',
      "the letters 'GGUF'",
      `0x${magic.toString(16).padStart(8, '0')}`,
      'the file is not GGUF',
    )
  const version = reader.u32('version')
  if (version !== 2 && version !== 3) {
    const bigEndian = (version & 0xffff) === 0 && version !== 0
    throw reader.wrong(
      'version',
      '2 or 3',
      bigEndian ? 'a big-endian file' : `${version}`,
      'convert the model again with a current llama.cpp',
    )
  }
  const tensorCount = reader.count('tensor count', 24)
  const keyCount = reader.count('metadata count', 13)

  const metadata = new Map<string, GgufValue>()
  const types = new Map<string, GgufType>()
  for (let i = 0; i < keyCount; i++) {
    const key = reader.string(`metadata key ${i}`, MAX_KEY)
    const field = `metadata ${shown(key)}`
    if (key === '') throw reader.wrong(`metadata key ${i}`, 'a name', 'nothing')
    if (metadata.has(key)) throw reader.wrong(field, 'each key once', 'it twice')
    const type = readType(reader, field)
    if (type === 'ARRAY') {
      const of = readType(reader, field)
      metadata.set(key, readList(reader, field, of, 1))
      types.set(key, `ARRAY<${of}>`)
    } else {
      metadata.set(key, readScalar(reader, field, type))
      types.set(key, type)
    }
  }

  const alignment = metadata.get('general.alignment') ?? 32
  if (
    (types.get('general.alignment') ?? 'UINT32') !== 'UINT32' ||
    typeof alignment !== 'number' ||
    alignment < 1 ||
    alignment > MAX_ALIGNMENT ||
    !Number.isInteger(Math.log2(alignment))
  )
    throw reader.wrong(
      'metadata "general.alignment"',
      `a UINT32 that is a power of two up to ${MAX_ALIGNMENT}`,
      `${types.get('general.alignment')} ${shown(alignment)}`,
    )

  const names = new Set<string>()
  const infos: TensorInfo[] = []
  for (let i = 0; i < tensorCount; i++) {
    const info = readTensorInfo(reader, i, alignment)
    if (names.has(info.name)) throw reader.wrong(`tensor ${shown(info.name)}`, 'each name once', 'it twice')
    names.add(info.name)
    infos.push(info)
  }
  return { version, metadata, types, infos, alignment, dataStart: Math.ceil(reader.at / alignment) * alignment }
}

function readType(reader: Reader, field: string): ValueType {
  const id = reader.u32(`${field}: type`)
  if (id >= VALUE_TYPES.length) throw reader.wrong(`${field}: type`, `0 to ${VALUE_TYPES.length - 1}`, `${id}`)
  return VALUE_TYPES[id]
}

function readScalar(
  reader: Reader,
  field: string,
  type: Exclude<ValueType, 'ARRAY'>,
): number | bigint | boolean | string {
  if (type === 'STRING') return reader.string(field)
  if (type !== 'BOOL') return reader.number(field, type)
  const byte = reader.u8(field)
  if (byte > 1) throw reader.wrong(field, '0 or 1', `${byte}`)
  return byte === 1
}

function readList(reader: Reader, field: string, of: ValueType, depth: number): GgufValue {
  const n = reader.count(field, LEAST_BYTES[of], ': length')
  if (isNumberType(of)) return reader.numbers(field, of, n)
  if (n > MAX_ITEMS) throw reader.wrong(`${field}: length`, `at most ${MAX_ITEMS}`, `${n}`)
  const list: GgufValue[] = []
  for (let i = 0; i < n; i++) {
    if (of !== 'ARRAY') list.push(readScalar(reader, field, of))
    else if (depth === MAX_DEPTH) throw reader.wrong(field, `lists nested at most ${MAX_DEPTH} deep`, 'more')
    else list.push(readList(reader, field, readType(reader, field), depth + 1))
  }
  return list
}

function readTensorInfo(reader: Reader, i: number, alignment: number): TensorInfo {
  const name = reader.string(`name of tensor ${i}`, MAX_KEY)
  const field = `tensor ${shown(name)}`
  const dims = reader.u32(`${field}: dimensions`)
  if (dims > MAX_DIMS) throw reader.wrong(`${field}: dimensions`, `at most ${MAX_DIMS}`, `${dims}`)
  const sizes: (number | bigint)[] = []
  for (let d = 0; d < dims; d++) sizes.push(reader.number(`${field}: shape`, 'UINT64'))
  const shape = sizes.map(Number).reverse() // files have the contiguous dimension first
  const elements = elementsOf(shape)
  if (elements === undefined || sizes.some((size) => typeof size === 'bigint'))
    throw reader.wrong(`${field}: shape`, 'fewer than 2^53 elements', `[${sizes.reverse().join(', ')}]`)

  const id = reader.u32(`${field}: type`)
  const type = TYPE_NAMES.get(id)
  if (type === undefined)
    throw reader.wrong(`${field}: type`, `a number of ${[...TYPE_NAMES.values()].join(', ')}`, `${id}`)
  const { block, bytes } = GGML_TYPES[type]
  const row = shape.at(-1) ?? 1
  if (row % block !== 0)
    throw reader.wrong(`${field}: shape`, `rows of whole blocks of ${block} elements (${type})`, `rows of ${row}`)

  const offset = reader.number(`${field}: offset`, 'UINT64')
  if (typeof offset === 'bigint' || offset % alignment !== 0)
    throw reader.wrong(`${field}: offset`, `a multiple of ${alignment}`, `${offset}`)
  return { name, type, shape, bytes: (elements / block) * bytes, offset }
}

/** Tensors with their positions in the file, in that order: inside of it, and apart from each other. */
function placeTensors({ infos, dataStart }: Header, source: ByteSource): Map<string, StoredTensor> {
  const data = Math.max(source.size - dataStart, 0)
  const tensors = new Map<string, StoredTensor>()
  let end = 0
  let before = ''
  for (const { name, type, shape, bytes, offset } of [...infos].sort(
    (a, b) => a.offset - b.offset || a.bytes - b.bytes,
  )) {
    const wrong = (expected: string, hint?: string) =>
      new FileFormatError(
        source.name,
        `tensor ${shown(name)}: offset`,
        expected,
        `${offset} to ${offset + bytes}`,
        hint,
      )
    if (offset + bytes > data)
      throw wrong(`a range inside the ${data} bytes of data`, 'the file is truncated or damaged')
    if (offset < end && bytes > 0) throw wrong(`a range from ${end} on, where ${shown(before)} ends`)
    if (bytes > 0) {
      end = offset + bytes
      before = name
    }
    tensors.set(name, { name, type, shape, source, offset: dataStart + offset, bytes })
  }
  return tensors
}

/** What goes into a GGUF file. */
export interface GgufContent {
  metadata: ReadonlyMap<string, GgufValue>
  /** A type for each key of the metadata. */
  types: ReadonlyMap<string, GgufType>
  tensors: Iterable<GgufTensor>
}

/** A tensor to be written. */
export interface GgufTensor {
  name: string
  type: string
  shape: readonly number[]
  /** Gives its bytes; asked when they are written, used before anything else happens. */
  data: () => Uint8Array
}

/** Writes a GGUF file of version 3. The sink is committed at the end, and discarded on failure. */
export async function writeGguf(sink: ByteSink, { metadata, types, tensors }: GgufContent): Promise<void> {
  try {
    const alignment = Number(metadata.get('general.alignment') ?? 32)
    const list = [...tensors]
    const out = new Writer()
    out.number('UINT32', MAGIC)
    out.number('UINT32', 3)
    out.number('UINT64', list.length)
    out.number('UINT64', metadata.size)
    for (const [key, value] of metadata) {
      const type = types.get(key)
      if (!type) throw new FileError(`${sink.name}: metadata ${shown(key)} has no type`)
      out.string(key)
      out.typed(type, value, `${sink.name}: metadata ${shown(key)}`)
    }
    let offset = 0
    const sizes = list.map(({ name, type, shape }) => {
      const ggml = Object.hasOwn(GGML_TYPES, type) ? GGML_TYPES[type] : undefined
      const elements = elementsOf(shape)
      if (!ggml || elements === undefined || shape.length > MAX_DIMS || (shape.at(-1) ?? 1) % ggml.block !== 0)
        throw new FileError(`${sink.name}: tensor ${shown(name)}: GGUF has no ${type} of shape [${shape.join(', ')}]`)
      out.string(name)
      out.number('UINT32', shape.length)
      for (const size of [...shape].reverse()) out.number('UINT64', size)
      out.number('UINT32', ggml.id)
      out.number('UINT64', offset)
      const bytes = (elements / ggml.block) * ggml.bytes
      offset += Math.ceil(bytes / alignment) * alignment
      return bytes
    })
    const pad = (n: number) => sink.write(new Uint8Array(Math.ceil(n / alignment) * alignment - n))
    const header = out.bytes()
    await sink.write(header)
    await pad(header.length)
    for (const [i, { name, data }] of list.entries()) {
      const bytes = data()
      if (bytes.length !== sizes[i])
        throw new FileError(`${sink.name}: tensor ${shown(name)}: expected ${sizes[i]} bytes, found ${bytes.length}`)
      await sink.write(bytes)
      await pad(sizes[i])
    }
    await sink.commit()
  } catch (error) {
    await sink.discard()
    throw error
  }
}

/** Collects the header's bytes. */
class Writer {
  private readonly parts: Uint8Array[] = []

  number(type: NumberType, value: number | bigint): void {
    const wide = type === 'UINT64' || type === 'INT64'
    this.numbers(wide ? NUMBER_ARRAYS[type].of(BigInt(value)) : NUMBER_ARRAYS[type].of(Number(value)))
  }

  numbers(values: NumberArray): void {
    this.parts.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.number('UINT64', bytes.length)
    this.parts.push(bytes)
  }

  /** A metadata value, with its type before it. */
  typed(type: GgufType, value: GgufValue, field: string): void {
    const of = /^ARRAY<(\w+)>$/.exec(type)?.[1] as ValueType | undefined
    this.number('UINT32', VALUE_TYPES.indexOf(of ? 'ARRAY' : (type as ValueType)))
    if (!of) return this.scalar(type as ValueType, value, field)
    this.number('UINT32', VALUE_TYPES.indexOf(of))
    const list = value as NumberArray | GgufValue[]
    this.number('UINT64', list.length)
    if (isNumberType(of) && list instanceof NUMBER_ARRAYS[of]) this.numbers(list)
    else for (const item of list as GgufValue[]) this.scalar(of, item, field)
  }

  private scalar(type: ValueType, value: GgufValue, field: string): void {
    if (type === 'STRING' && typeof value === 'string') this.string(value)
    else if (type === 'BOOL' && typeof value === 'boolean') this.number('UINT8', Number(value))
    else if (isNumberType(type) && (typeof value === 'number' || typeof value === 'bigint')) this.number(type, value)
    else throw new FileError(`${field}: expected ${type}, found ${shown(value)}`)
  }

  bytes(): Uint8Array {
    const out = new Uint8Array(this.parts.reduce((sum, part) => sum + part.length, 0))
    let at = 0
    for (const part of this.parts) {
      out.set(part, at)
      at += part.length
    }
    return out
  }
}
