// Weights from files into a model: by name, streamed straight into the heap, each converted in pieces where its dtype differs.
import { type Checkpoint, dtypeIn, elementTypes, hasElements, readElements, type StoredTensor } from '../io/index.ts'
import type { Module } from '../nn/module.ts'
import { BLOCK_TYPES, type FormatName, isBlockType, isKept } from '../quant/formats.ts'
import { quantize_modules } from '../quant/layers.ts'
import { unpack } from '../quant/products.ts'
import type { QuantizedWeight } from '../quant/weight.ts'
import { no_grad } from '../tensor/autograd.ts'
import { type DType, DTYPES, isFloating } from '../tensor/dtype.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { numelOf, show } from '../tensor/shape.ts'
import { Storage } from '../tensor/storage.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkRoom } from '../wasm/index.ts'
import { RushlightError, shown, unsupported } from '../util/errors.ts'

/** What of the checkpoint and the model does not go together (transformers' `output_loading_info`). */
export interface LoadingInfo {
  /** Weights of the model that the checkpoint has not: they keep their initial values. */
  missing_keys: string[]
  /** Tensors of the checkpoint that the model has no place for. */
  unexpected_keys: string[]
  /** Name, shape in the checkpoint, shape in the model. */
  mismatched_keys: [name: string, found: readonly number[], expected: readonly number[]][]
}

/** Where a tensor of the checkpoint belongs. */
export interface Place {
  /** Name in the model. */
  name: string
  /** Whether the file has the matrix the other way round, [in, out]. */
  transposed?: boolean
}

export interface LoadOptions {
  /** dtype of the floating weights; 'auto' keeps each as it is stored, blocks included (default). */
  dtype?: DType | 'auto'
  /** The block format that a weight is rounded to, whatever it is stored as; undefined leaves it to `dtype`. */
  quantize?: (name: string, shape: readonly number[]) => FormatName | undefined
  /** Where a tensor belongs; null for one that is left out on purpose. By default each belongs where its name says. */
  place?: (name: string) => Place | null
  /** Throws when anything is missing, unexpected or mis-shaped (default), or tells of it in the result alone. */
  strict?: boolean
}

/** How a model's class spells weights: see PreTrainedModel. */
interface Spelling {
  readonly base_model_prefix: string
  readonly rename: readonly { from: RegExp; to: string }[]
  readonly ignore_unexpected: readonly RegExp[]
  readonly transposed?: readonly RegExp[]
}

/**
 * Where the names of a checkpoint belong in a model: legacy spellings are renamed; weights of the base model are found with and
 * without its prefix; a base model takes its part of a checkpoint with a head.
 */
export function placesBy(
  { base_model_prefix: prefix, rename, ignore_unexpected, transposed = [] }: Spelling,
  module: Module,
  checkpoint: Checkpoint,
): (name: string) => Place | null {
  const own = module.state_dict()
  const spelled = (name: string) => rename.reduce((text, { from, to }) => text.replace(from, to), name)
  const names = [...checkpoint.tensors.keys()].map(spelled)
  const foreign =
    prefix === '' && !names.some((name) => own.has(name)) ? commonPrefix(names, (rest) => own.has(rest)) : ''
  const place = (name: string): Place =>
    transposed.some((pattern) => pattern.test(name)) ? { name, transposed: true } : { name }
  return (found) => {
    const name = spelled(found)
    if (foreign !== '') return name.startsWith(foreign) ? place(name.slice(foreign.length)) : null // the rest is a head's
    const prefixed = `${prefix}.${name}`
    if (own.has(name)) return place(name)
    if (own.has(prefixed)) return place(prefixed)
    return ignore_unexpected.some((pattern) => pattern.test(name) || pattern.test(prefixed)) ? null : { name }
  }
}

/** The first component, with its dot, under which most names are known; '' when none is. */
function commonPrefix(names: string[], known: (rest: string) => boolean): string {
  const counts = new Map<string, number>()
  for (const name of names) {
    const end = name.indexOf('.') + 1
    if (end > 0 && known(name.slice(end))) counts.set(name.slice(0, end), (counts.get(name.slice(0, end)) ?? 0) + 1)
  }
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), ['', 0])[0]
}

/** Bytes that are staged in the heap for conversion at a time. */
const PIECE = 1 << 22

/**
 * Loads a checkpoint's tensors into a module. Each weight is allocated in its dtype and read into its place; those that need
 * converting go by a few megabytes at a time. Tied weights are loaded once, from whichever of their names is there.
 * @throws RushlightError listing every name that is missing, unexpected or mis-shaped, before anything is loaded (when strict)
 */
export async function loadWeights(
  module: Module,
  checkpoint: Checkpoint,
  options: LoadOptions = {},
): Promise<LoadingInfo> {
  const { dtype = 'auto', quantize, strict = true } = options
  for (const stored of checkpoint.tensors.values()) checkType(stored)
  const { jobs, info } = match(module, checkpoint, options)
  const report = describe(info)
  if (strict && report) throw new RushlightError(`${checkpoint.name}: the weights do not fit the model.\n${report}`)

  const staging = new Staging()
  try {
    const quantized = quantizedPlaces(module, jobs, dtype, quantize)
    checkRoom(bytesNeeded(jobs, dtype, quantized), `${checkpoint.name} as ${module.constructor.name}`)
    for (const job of jobs) {
      const weight = quantized.get(job.name)
      if (weight) await fillBlocks(job, weight, staging)
      else await fillTensor(job, dtype, staging)
    }
  } finally {
    staging.release()
  }
  return info
}

/** Refuses a type that neither a dtype nor a block format is like. @throws UnsupportedOptionError listing those there are */
function checkType(stored: StoredTensor): void {
  const { type, name, source } = stored
  if (!isBlockType(type) && !hasElements(stored))
    throw unsupported(`${source.name}: tensor ${shown(name)}`, 'type', type, [
      ...elementTypes(),
      ...Object.keys(BLOCK_TYPES),
    ])
}

/** Bytes that the weights will take. */
function bytesNeeded(
  jobs: readonly Job[],
  dtype: DType | 'auto',
  quantized: ReadonlyMap<string, QuantizedWeight>,
): number {
  return jobs.reduce((sum, { name, stored, target }) => {
    const weight = quantized.get(name)
    return sum + (weight ? weight.bytes : numelOf(target.shape) * DTYPES[dtypeWanted(stored, dtype)].bytes)
  }, 0)
}

/** Puts quantized modules where weights are stored in blocks and stay so, and where they are to be rounded to blocks. */
function quantizedPlaces(
  module: Module,
  jobs: readonly Job[],
  dtype: DType | 'auto',
  quantize: LoadOptions['quantize'] = () => undefined,
): ReadonlyMap<string, QuantizedWeight> {
  const formats = new Map<string, FormatName>()
  for (const { name, stored, target } of jobs) {
    const chosen = quantize(name, target.shape)
    if (chosen) formats.set(name, chosen)
    else if (dtype === 'auto' && isBlockType(stored.type)) formats.set(name, BLOCK_TYPES[stored.type].kept)
  }
  if (formats.size === 0) return new Map()
  const weights = quantize_modules(module, (name) => formats.get(name))
  for (const { name, target } of jobs)
    if (!weights.has(name) && quantize(name, target.shape))
      throw new RushlightError(
        `${name} cannot be kept as ${formats.get(name)}, which only a Linear or an Embedding can hold. Hint: dtype: 'float32'`,
      )
  return weights
}

/** Fills a quantized weight: with the blocks that are stored, converted where they are of another type, or rounding what is stored. */
async function fillBlocks(job: Job, weight: QuantizedWeight, staging: Staging): Promise<void> {
  const { stored, transposed } = job
  const { type } = stored
  const raw = weight.raw()
  if (transposed) {
    const whole = flat(await read(job, 'float32', staging), numelOf(weight.shape), 'float32')
    tidy(() => weight.fillRows(whole.view(weight.shape), 0))
    whole.dispose()
  } else if (!isBlockType(type) || BLOCK_TYPES[type].kept !== weight.format)
    await eachPiece(stored, staging, (piece, first) => weight.fillRows(piece, first))
  else if (isKept(type)) await stored.source.readInto(raw, stored.offset)
  else await eachOfBlocks(stored, staging, (piece, first) => weight.convertRows(type, piece.ptr, piece.shape[0], first))
  weight.seal(transposed ? undefined : stored.converted?.rows)
}

/** Fills a parameter in the dtype that is wanted. Blocks that no parameter can hold become float16, which loses least for its size. */
async function fillTensor(job: Job, dtype: DType | 'auto', staging: Staging): Promise<void> {
  const wanted = dtypeWanted(job.stored, dtype)
  job.target.adopt(await read(job, wanted, staging), wanted)
}

/** The dtype that a parameter gets. */
function dtypeWanted(stored: StoredTensor, dtype: DType | 'auto'): DType {
  const kept = isBlockType(stored.type) ? 'float16' : dtypeIn(stored)
  return dtype === 'auto' || !isFloating(kept) ? kept : dtype
}

/** A tensor's elements in a storage of their own: read straight, or by way of pieces where they must be converted or moved. */
async function read({ stored, transposed }: Job, dtype: DType, staging: Staging): Promise<Storage> {
  const n = numelOf(stored.shape)
  const { rows, restore } = stored.converted ?? {}
  const storage = Storage.allocate(n * DTYPES[dtype].bytes, 'weights')
  const whole = flat(storage.retain(), n, dtype)
  try {
    const asStored = !isBlockType(stored.type) && dtypeIn(stored) === dtype
    if (asStored && !rows && !restore && !transposed) await readElements(stored, 0, n, () => whole.view1d())
    else {
      const [height, width] = matrixOf(stored.shape)
      const places = rows && inverse(rows, height)
      await eachPiece(stored, staging, (piece, first) => {
        const count = piece.shape[0]
        if (transposed) whole.view([width, height]).narrow(1, first, count).copy_(piece.t())
        else if (!places) whole.view([height, width]).narrow(0, first, count).copy_(piece)
        else {
          const matrix = whole.view([height, width])
          for (let i = 0; i < count; i++) matrix.select(0, places[first + i]).copy_(piece.select(0, i))
        }
      })
    }
    return storage
  } catch (error) {
    storage.release()
    throw error
  } finally {
    whole.dispose()
  }
}

/** The rows of a stored tensor, a few megabytes at a time, as (rows, width) in its own dtype, or float32 from blocks. */
async function eachPiece(
  stored: StoredTensor,
  staging: Staging,
  use: (piece: Tensor, first: number) => void,
): Promise<void> {
  const { type, shape } = stored
  const { restore } = stored.converted ?? {}
  const [height, width] = matrixOf(shape)
  if (isBlockType(type))
    return eachOfBlocks(stored, staging, (piece, first) => {
      const rows = Tensor.empty([piece.shape[0], width], 'float32', 'loading')
      unpack(type, piece.ptr, rows.numel() / BLOCK_TYPES[type].block, rows.ptr)
      restore?.(rows.view1d() as Float32Array)
      use(rows, first)
    })
  const kept = dtypeIn(stored)
  await pieces(height, width * DTYPES[kept].bytes, async (first, count) => {
    const piece = staging.tensor(count * width, kept)
    try {
      await readElements(stored, first * width, count * width, () => piece.view1d())
      no_grad(() =>
        tidy(() => {
          const rows = restore ? piece.to('float32') : piece
          restore?.(rows.view1d() as Float32Array)
          use(rows.view([count, width]), first)
        }),
      )
    } finally {
      piece.dispose()
    }
  })
}

/** The rows of a tensor that is stored in blocks, as the file has them: (rows, bytes of a row). */
async function eachOfBlocks(
  { source, offset, bytes, shape }: StoredTensor,
  staging: Staging,
  use: (piece: Tensor, first: number) => void,
): Promise<void> {
  const [height, width] = matrixOf(shape)
  const rowBytes = bytes / height
  await pieces(height, 4 * width, async (first, count) => {
    const piece = staging.tensor(count * rowBytes, 'uint8')
    try {
      await source.readInto(() => piece.view1d() as Uint8Array, offset + first * rowBytes)
      no_grad(() => tidy(() => use(piece.view([count, rowBytes]), first)))
    } finally {
      piece.dispose()
    }
  })
}

/** Goes through `height` rows in runs that take a few megabytes when converted. */
async function pieces(
  height: number,
  rowBytes: number,
  run: (first: number, count: number) => Promise<void>,
): Promise<void> {
  const step = Math.max(Math.floor(PIECE / rowBytes), 1)
  for (let first = 0; first < height; first += step) await run(first, Math.min(step, height - first))
}

/** A shape as rows and their width; a vector is a column. */
function matrixOf(shape: readonly number[]): [height: number, width: number] {
  const height = shape[0] ?? 1
  return [height, height === 0 ? 0 : numelOf(shape) / height]
}

interface Job extends Place {
  stored: StoredTensor
  target: Tensor
}

/** Which tensor goes where, in the order of the files, and what is left over on either side. */
function match(
  module: Module,
  checkpoint: Checkpoint,
  { place = (name) => ({ name }) }: LoadOptions,
): { jobs: Job[]; info: LoadingInfo } {
  const own = module.state_dict()
  const jobs: Job[] = []
  const info: LoadingInfo = { missing_keys: [], unexpected_keys: [], mismatched_keys: [] }
  const sources = new Map<string, string>() // by name in the model
  const loaded = new Set<Tensor>()
  for (const [found, stored] of checkpoint.tensors) {
    const placed = place(found)
    if (!placed) continue
    const { name } = placed
    const transposed = placed.transposed === true && !stored.converted?.transposed
    const target = own.get(name)
    const other = sources.get(name)
    if (other !== undefined)
      throw new RushlightError(`${checkpoint.name}: both ${other} and ${found} are the weight ${name}`)
    sources.set(name, found)
    if (!target) info.unexpected_keys.push(found)
    else if (show(target.shape) !== show(transposed ? [...stored.shape].reverse() : stored.shape))
      info.mismatched_keys.push([name, stored.shape, target.shape])
    else if (!loaded.has(target)) {
      loaded.add(target)
      jobs.push({ name, stored, target, transposed })
    }
  }
  const misfits = new Set(info.mismatched_keys.map(([name]) => own.get(name)))
  for (const [name, target] of own) if (!loaded.has(target) && !misfits.has(target)) info.missing_keys.push(name)
  return { jobs, info }
}

function describe({ missing_keys, unexpected_keys, mismatched_keys }: LoadingInfo): string {
  const lines: string[] = []
  if (missing_keys.length) lines.push(`missing: ${missing_keys.join(', ')}`)
  if (unexpected_keys.length) lines.push(`unexpected: ${unexpected_keys.join(', ')}`)
  if (mismatched_keys.length)
    lines.push(
      `mis-shaped: ${mismatched_keys.map(([name, found, expected]) => `${name}: expected ${show(expected)}, found ${show(found)}`).join('; ')}`,
    )
  return lines.join('\n')
}

/** The first `n` elements of a storage, whose reference it takes over. */
function flat(storage: Storage, n: number, dtype: DType): Tensor {
  return keep(new Tensor(storage, [n], [1], 0, dtype))
}

/** Where each row of the file goes, from where each row comes from. */
function inverse(rows: (row: number) => number, height: number): Int32Array {
  const places = new Int32Array(height)
  for (let row = 0; row < height; row++) places[rows(row)] = row
  return places
}

/** One buffer for all pieces: taking it anew for each weight would leave holes between them. */
class Staging {
  private storage: Storage | undefined

  tensor(n: number, dtype: DType): Tensor {
    const bytes = Math.max(n * DTYPES[dtype].bytes, PIECE)
    if (!this.storage || this.storage.bytes < bytes) {
      this.release()
      this.storage = Storage.allocate(bytes, 'loading')
    }
    return flat(this.storage.retain(), n, dtype)
  }

  release(): void {
    this.storage?.release()
    this.storage = undefined
  }
}
