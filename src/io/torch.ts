// What torch.save writes (.bin, .pt, .pth): a zip archive of a pickle and the storages, or the older format, a pickle before them.
// The pickle says which tensors lie where; their bytes are read by position, as from every other format.
import { FileFormatError, shown } from '../util/errors.ts'
import { warn } from '../util/warn.ts'
import { type Checkpoint, elementsOf, isCount, type StoredTensor } from './checkpoint.ts'
import { Global, kindOf, type Pickled, PickleEnds, PickleReader, Tuple } from './pickle.ts'
import { type ByteSource, readBytes } from './source.ts'
import { stridedSource } from './strided.ts'
import { readZip } from './zip.ts'

/** The pickle of a checkpoint holds names and shapes; the largest are a few megabytes. */
const PICKLE_LIMIT = 1 << 27
/** The older format does not say how long its pickles are: this much is read first. */
const FIRST_READ = 1 << 20
/** What the older format begins with. */
const MAGIC = 0x1950a86a20f9469cfc6cn

/** Types of elements by PyTorch's names: as other files call them, and bytes. */
const TYPES: Readonly<Record<string, [type: string, bytes: number]>> = {
  float64: ['F64', 8],
  float32: ['F32', 4],
  float16: ['F16', 2],
  bfloat16: ['BF16', 2],
  float8_e4m3fn: ['F8_E4M3', 1],
  float8_e5m2: ['F8_E5M2', 1],
  int64: ['I64', 8],
  int32: ['I32', 4],
  int16: ['I16', 2],
  int8: ['I8', 1],
  uint64: ['U64', 8],
  uint32: ['U32', 4],
  uint16: ['U16', 2],
  uint8: ['U8', 1],
  bool: ['BOOL', 1],
  complex64: ['C64', 8],
}

/** Storages name their type in their class; those that do not say are bytes. */
const STORAGES: Readonly<Record<string, string>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
  ComplexFloatStorage: 'complex64',
}
const UNTYPED = 'torch.storage.UntypedStorage'

/** A run of bytes that tensors share. */
class StorageRef {
  constructor(
    readonly key: string,
    /** null: the tensors say. */
    readonly dtype: string | null,
    readonly bytes: number,
  ) {}
}

class TensorRef {
  constructor(
    readonly storage: StorageRef,
    readonly dtype: string,
    /** In elements, like the strides. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** Where the bytes of each storage lie. */
type Storages = ReadonlyMap<string, { offset: number; bytes: number }>

/**
 * Reads the directory of a file that torch.save wrote. Of what it holds only tensors are taken: those of a state_dict, or of the
 * state_dict that stands in it under a usual name. Takes over the source: it is closed on failure, and by the result's close().
 * @throws FileFormatError naming what is wrong, such as a callable that is no part of a tensor
 */
export async function openTorch(source: ByteSource): Promise<Checkpoint> {
  try {
    const start = await readBytes(source, 0, Math.min(4, source.size))
    const zip = start[0] === 0x50 && start[1] === 0x4b
    if (!zip && start[0] !== 0x80)
      throw new FileFormatError(
        source.name,
        'contents',
        'what torch.save writes (a zip archive or a pickle)',
        start.length ? `bytes ${start.join(' ')}` : 'nothing',
        start.length && start[0] === 0x76 ? 'a pointer of Git LFS: fetch the file itself: git lfs pull' : undefined,
      )
    const { value, storages } = zip ? await readArchive(source) : await readLegacy(source)
    return { name: source.name, tensors: tensorsOf(value, storages, source), close: () => source.close() }
  } catch (error) {
    await source.close()
    throw error
  }
}

async function readArchive(source: ByteSource): Promise<{ value: Pickled; storages: Storages }> {
  const wrong = (field: string, expected: string, found: string) =>
    new FileFormatError(source.name, field, expected, found)
  const entries = await readZip(source)
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name))
  if (pickles.length !== 1) throw wrong('entries of the archive', 'one data.pkl in a folder', `${pickles.length}`)
  const [pickle] = pickles
  const folder = pickle.name.slice(0, -'data.pkl'.length)
  const order = entries.get(`${folder}byteorder`)
  if (order) {
    const text = new TextDecoder().decode(await readBytes(source, order.offset, Math.min(order.bytes, 16)))
    if (text !== 'little') throw wrong('byteorder', '"little"', shown(text))
  }
  if (pickle.bytes > PICKLE_LIMIT) throw wrong('data.pkl: size', `at most ${PICKLE_LIMIT} bytes`, `${pickle.bytes}`)
  const bytes = await readBytes(source, pickle.offset, pickle.bytes)
  const host = new TorchHost(source.name, 'data.pkl')
  const reader = new PickleReader(bytes, source.name, 'data.pkl', host)
  let value: Pickled
  try {
    value = reader.read()
  } catch (error) {
    if (!(error instanceof PickleEnds)) throw error
    throw reader.wrong('a whole pickle', `its end after ${bytes.length} bytes`)
  }
  const storages = new Map<string, { offset: number; bytes: number }>()
  for (const { key, bytes } of host.storages.values()) {
    const entry = entries.get(`${folder}data/${key}`)
    if (!entry) throw wrong(`storage ${shown(key)}`, 'an entry in the archive', 'none')
    if (bytes > entry.bytes) throw wrong(`storage ${shown(key)}`, `at most its ${entry.bytes} bytes`, `${bytes}`)
    storages.set(key, entry)
  }
  return { value, storages }
}

/** The format before PyTorch 1.6: magic number, version, system, the value, the storages' keys, then each storage with its length. */
async function readLegacy(source: ByteSource): Promise<{ value: Pickled; storages: Storages }> {
  const field = 'pickle'
  const wrong = (expected: string, found: string) => new FileFormatError(source.name, field, expected, found)
  for (let length = FIRST_READ; ; length *= 4) {
    const known = Math.min(length, source.size, PICKLE_LIMIT)
    const host = new TorchHost(source.name, field)
    const reader = new PickleReader(await readBytes(source, 0, known), source.name, field, host)
    let value: Pickled
    let keys: Pickled
    try {
      const magic = reader.read()
      if (magic !== MAGIC) throw wrong('the number that files of torch.save begin with', kindOf(magic))
      const version = reader.read()
      if (version !== 1001) throw wrong('version 1001', kindOf(version))
      const system = reader.read()
      if (!(system instanceof Map) || system.get('little_endian') !== true)
        throw wrong('a little-endian system', kindOf(system))
      value = reader.read()
      keys = reader.read()
    } catch (error) {
      if (!(error instanceof PickleEnds)) throw error
      if (known < length) throw wrong('five whole pickles', `the end after ${known} bytes`)
      continue
    }
    if (!Array.isArray(keys)) throw wrong("a list of the storages' keys", kindOf(keys))
    return { value, storages: await placeStorages(source, host, keys, reader.at) }
  }
}

async function placeStorages(source: ByteSource, host: TorchHost, keys: Pickled[], start: number): Promise<Storages> {
  const storages = new Map<string, { offset: number; bytes: number }>()
  let at = start
  for (const key of keys) {
    const storage = host.storages.get(key as string)
    const wrong = (expected: string, found: string) =>
      new FileFormatError(source.name, `storage ${typeof key === 'string' ? shown(key) : kindOf(key)}`, expected, found)
    if (!storage) throw wrong('a key that a tensor names', 'one that none does')
    if (storages.has(storage.key)) throw wrong('each key once', 'it twice')
    if (at + 8 > source.size) throw wrong(`its length at ${at}`, 'the end of the file')
    const count = new DataView((await readBytes(source, at, 8)).buffer).getBigInt64(0, true)
    const size = storage.dtype === null ? 1 : TYPES[storage.dtype][1]
    at += 8
    if (count !== BigInt(storage.bytes / size)) throw wrong(`${storage.bytes / size} elements`, `${count}`)
    if (at + storage.bytes > source.size)
      throw wrong(`${storage.bytes} bytes at ${at}`, `${source.size - at} to the end`)
    storages.set(storage.key, { offset: at, bytes: storage.bytes })
    at += storage.bytes
  }
  const lost = [...host.storages.keys()].find((key) => !storages.has(key))
  if (lost !== undefined)
    throw new FileFormatError(source.name, `storage ${shown(lost)}`, 'a place in the list of keys', 'none')
  return storages
}

/** What a checkpoint's pickle may name. */
class TorchHost {
  readonly storages = new Map<string, StorageRef>()
  private readonly calls: Readonly<Record<string, (args: readonly Pickled[]) => Pickled>> = {
    'collections.OrderedDict': (args) => this.dictionary(args),
    'torch._utils._rebuild_tensor': (args) => this.tensor(args),
    'torch._utils._rebuild_tensor_v2': (args) => this.tensor(args),
    'torch._utils._rebuild_tensor_v3': (args) => this.tensor(args, args[6]),
    'torch._utils._rebuild_parameter': ([data]) => this.parameter(data),
    'torch._utils._rebuild_parameter_with_state': ([data]) => this.parameter(data),
    'torch.Size': ([sizes]) => sizes ?? new Tuple([]),
  }

  constructor(
    private readonly file: string,
    private readonly field: string,
  ) {}

  call(name: string, args: readonly Pickled[]): Pickled | undefined {
    return Object.hasOwn(this.calls, name) ? this.calls[name](args) : undefined
  }

  knows(name: string): boolean {
    return Object.hasOwn(this.calls, name) || name === UNTYPED || dtypeOf(name) !== undefined
  }

  /** ('storage', class, key, device, elements), and in the older format a view or None. */
  persistent(id: Pickled): Pickled {
    const [kind, type, key, , count, view] = id instanceof Tuple ? id.items : []
    if (kind !== 'storage' || !(type instanceof Global) || typeof key !== 'string' || !isCount(count))
      throw this.wrong('a storage: its type, key and number of elements', id instanceof Tuple ? 'others' : kindOf(id))
    if (view !== undefined && view !== null) throw this.wrong('whole storages', 'a view of one')
    const dtype = type.name === UNTYPED ? null : dtypeOf(type.name)
    if (dtype === undefined) throw this.wrong('a type of storages', kindOf(type))
    const bytes = count * (dtype === null ? 1 : TYPES[dtype][1])
    const known = this.storages.get(key)
    if (known && (known.dtype !== dtype || known.bytes !== bytes))
      throw this.wrong(`storage ${shown(key)} as it was`, 'another type or size')
    const storage = known ?? new StorageRef(key, dtype, bytes)
    this.storages.set(key, storage)
    return storage
  }

  /** OrderedDict(), or of a list of pairs. */
  private dictionary([pairs]: readonly Pickled[]): Pickled {
    const map = new Map<Pickled, Pickled>()
    for (const pair of Array.isArray(pairs) ? pairs : []) {
      const items = pair instanceof Tuple ? pair.items : pair
      if (!Array.isArray(items) || items.length !== 2) throw this.wrong('pairs of a dictionary', kindOf(pair))
      map.set(items[0], items[1])
    }
    return map
  }

  /** (storage, offset, sizes, strides, …). */
  private tensor([storage, offset, sizes, strides]: readonly Pickled[], dtype?: Pickled): Pickled {
    const shape = this.counts(sizes)
    const steps = this.counts(strides)
    if (!(storage instanceof StorageRef) || !isCount(offset) || shape.length !== steps.length)
      throw this.wrong('a tensor: storage, offset, sizes and as many strides', 'others')
    const own = dtype instanceof Global ? dtypeOf(dtype.name) : storage.dtype
    if (own === undefined || own === null) throw this.wrong("a tensor's dtype", dtype ? kindOf(dtype) : 'none')
    return new TensorRef(storage, own, offset, shape, steps)
  }

  private parameter(data: Pickled): Pickled {
    if (!(data instanceof TensorRef)) throw this.wrong('a tensor in a Parameter', kindOf(data))
    return data
  }

  private counts(value: Pickled): number[] {
    const items = value instanceof Tuple ? value.items : []
    if (!(value instanceof Tuple) || !items.every(isCount) || items.length > 64)
      throw this.wrong('sizes that are whole numbers from 0 up', kindOf(value))
    return items as number[]
  }

  private wrong(expected: string, found: string): FileFormatError {
    return new FileFormatError(this.file, this.field, expected, found)
  }
}

/** PyTorch's dtype that a name stands for: torch.float16, torch.HalfStorage. */
function dtypeOf(name: string): string | undefined {
  const own = name.startsWith('torch.') ? name.slice('torch.'.length) : ''
  if (Object.hasOwn(STORAGES, own)) return STORAGES[own]
  return Object.hasOwn(TYPES, own) ? own : undefined
}

/** Names under which training scripts keep the state_dict beside other things. */
const NESTED = ['state_dict', 'model', 'model_state_dict', 'module']

/** The state_dict of what a file holds. */
function stateDict(value: Pickled, file: string): Map<Pickled, Pickled> {
  const hasTensors = (map: unknown): map is Map<Pickled, Pickled> =>
    map instanceof Map && [...map.values()].some((item) => item instanceof TensorRef)
  if (hasTensors(value)) return value
  if (value instanceof Map)
    for (const key of NESTED) {
      const inner = value.get(key)
      if (hasTensors(inner)) return inner
    }
  if (value instanceof Map && value.size === 0) return value
  throw new FileFormatError(
    file,
    'contents',
    `a state_dict, or one under ${NESTED.map(shown).join(', ')}`,
    value instanceof TensorRef ? 'a tensor' : kindOf(value),
  )
}

function tensorsOf(value: Pickled, storages: Storages, source: ByteSource): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>()
  const skipped: string[] = []
  for (const [key, item] of stateDict(value, source.name)) {
    if (!(item instanceof TensorRef)) skipped.push(typeof key === 'string' ? key : kindOf(key))
    else if (typeof key !== 'string') throw new FileFormatError(source.name, "a tensor's name", 'a text', kindOf(key))
    else tensors.set(key, placed(key, item, storages, source))
  }
  if (skipped.length)
    warn(
      `${source.name}: left out what is no tensor: ${skipped.slice(0, 8).map(shown).join(', ')}${skipped.length > 8 ? ` and ${skipped.length - 8} more` : ''}`,
    )
  return tensors
}

function placed(name: string, ref: TensorRef, storages: Storages, source: ByteSource): StoredTensor {
  const { storage, dtype, offset, shape, strides } = ref
  const wrong = (what: string, expected: string, found: string) =>
    new FileFormatError(source.name, `tensor ${shown(name)}: ${what}`, expected, found)
  const [type, size] = TYPES[dtype]
  const place = storages.get(storage.key)
  if (!place) throw wrong('storage', 'one of the file', shown(storage.key))
  const elements = elementsOf(shape)
  const list = `[${shape.slice(0, 8).join(', ')}] by strides [${strides.slice(0, 8).join(', ')}]`
  if (elements === undefined) throw wrong('shape', 'fewer than 2^53 elements', list)
  const bytes = elements * size
  if (elements === 0) return { name, type, shape, source, offset: place.offset, bytes }
  const last = offset + shape.reduce((sum, n, d) => sum + (n - 1) * strides[d], 0)
  if (!((last + 1) * size <= storage.bytes))
    throw wrong('place', `elements of its storage, ${Math.floor(storage.bytes / size)}`, `element ${last}`)
  // From the smallest stride up, each must pass over what the ones below cover.
  let covered = 1
  for (const d of shape
    .map((_, d) => d)
    .filter((d) => shape[d] > 1)
    .sort((a, b) => strides[a] - strides[b])) {
    if (strides[d] < covered) throw wrong('strides', 'elements in places of their own', list)
    covered = strides[d] * (shape[d] - 1) + covered
  }
  let contiguous = 1
  const inOrder = [...shape.keys()].reverse().every((d) => {
    const fits = shape[d] === 1 || strides[d] === contiguous
    contiguous *= shape[d]
    return fits
  })
  const start = place.offset + offset * size
  if (inOrder) return { name, type, shape, source, offset: start, bytes }
  return { name, type, shape, source: stridedSource(source, start, shape, strides, size), offset: 0, bytes }
}
