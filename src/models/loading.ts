// Weights from files into a model: by name, streamed straight into the heap, each converted in pieces where its dtype differs.
import { type Checkpoint, dtypeIn, readElements, type StoredTensor } from '../io/index.ts'
import type { Module } from '../nn/module.ts'
import { type FormatName, formatOf, isFormat } from '../quant/formats.ts'
import { quantize_modules } from '../quant/layers.ts'
import { QuantizedWeight } from '../quant/weight.ts'
import { no_grad } from '../tensor/autograd.ts'
import { type DType, DTYPES, isFloating } from '../tensor/dtype.ts'
import { tidy } from '../tensor/scope.ts'
import { numelOf, show } from '../tensor/shape.ts'
import { Storage } from '../tensor/storage.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { u8View } from '../wasm/index.ts'

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
  /** For each row of the weight, its row in the file; absent where they are the same. */
  rows?: (row: number) => number
}

export interface LoadOptions {
  /** dtype of the floating weights; 'auto' keeps each as it is stored, blocks included (default). */
  dtype?: DType | 'auto'
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
}

/**
 * Where the names of a checkpoint belong in a model: legacy spellings are renamed; weights of the base model are found with and
 * without its prefix; a base model takes its part of a checkpoint with a head.
 */
export function placesBy(
  { base_model_prefix: prefix, rename, ignore_unexpected }: Spelling,
  module: Module,
  checkpoint: Checkpoint,
): (name: string) => Place | null {
  const own = module.state_dict()
  const spelled = (name: string) => rename.reduce((text, { from, to }) => text.replace(from, to), name)
  const names = [...checkpoint.tensors.keys()].map(spelled)
  const foreign =
    prefix === '' && !names.some((name) => own.has(name)) ? commonPrefix(names, (rest) => own.has(rest)) : ''
  return (found) => {
    const name = spelled(found)
    if (foreign !== '') return name.startsWith(foreign) ? { name: name.slice(foreign.length) } : null // the rest is a head's
    const prefixed = `${prefix}.${name}`
    if (own.has(name)) return { name }
    if (own.has(prefixed)) return { name: prefixed }
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
  const { dtype = 'auto', strict = true } = options
  const { jobs, info } = match(module, checkpoint, options)
  const report = describe(info)
  if (strict && report) throw new RushlightError(`${checkpoint.name}: the weights do not fit the model.\n${report}`)

  const staging = new Staging()
  try {
    if (dtype === 'auto') await keepBlocks(module, jobs)
    for (const { stored, target, rows } of jobs) {
      if (isFormat(stored.type)) {
        if (dtype !== 'auto') await readBlocks(stored, target, dtype, rows)
        continue
      }
      const kept = dtypeIn(stored)
      const wanted = dtype === 'auto' || !isFloating(kept) ? kept : dtype
      const storage = Storage.allocate(numelOf(target.shape) * DTYPES[wanted].bytes, 'weights')
      try {
        await read(stored, storage, wanted, rows, staging)
      } catch (error) {
        storage.release()
        throw error
      }
      target.adopt(storage, wanted)
    }
  } finally {
    staging.release()
  }
  return info
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
    const { name, rows } = placed
    const target = own.get(name)
    const other = sources.get(name)
    if (other !== undefined)
      throw new RushlightError(`${checkpoint.name}: both ${other} and ${found} are the weight ${name}`)
    sources.set(name, found)
    if (!target) info.unexpected_keys.push(found)
    else if (show(target.shape) !== show(stored.shape)) info.mismatched_keys.push([name, stored.shape, target.shape])
    else if (!loaded.has(target)) {
      loaded.add(target)
      jobs.push({ name, stored, target, rows })
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

/** Reads a tensor into its storage: straight, or by way of pieces in its own dtype. */
async function read(
  stored: StoredTensor,
  storage: Storage,
  dtype: DType,
  rows: Job['rows'],
  staging: Staging,
): Promise<void> {
  const kept = dtypeIn(stored)
  const n = numelOf(stored.shape)
  if (n === 0) return
  if (kept === dtype && !rows) {
    const whole = flat(storage, n, dtype)
    try {
      return await readElements(stored, 0, n, () => whole.view1d())
    } finally {
      whole.dispose()
    }
  }

  const height = rows ? stored.shape[0] : n
  const width = n / height // elements of a row; without an order of rows each element is one
  const places = rows && inverse(rows, height)
  const rowBytes = width * DTYPES[dtype].bytes
  const step = Math.max(Math.floor(PIECE / (width * DTYPES[kept].bytes)), 1)
  for (let first = 0; first < height; first += step) {
    const count = Math.min(step, height - first)
    const piece = staging.tensor(count * width, kept)
    try {
      await readElements(stored, first * width, count * width, () => piece.view1d())
      no_grad(() =>
        tidy(() => {
          const { ptr } = piece.to(dtype)
          const put = (row: number, from: number, length: number) =>
            u8View(storage.ptr + row * rowBytes, length * rowBytes).set(
              u8View(ptr + from * rowBytes, length * rowBytes),
            )
          if (!places) put(first, 0, count)
          else for (let i = 0; i < count; i++) put(places[first + i], i, 1)
        }),
      )
    } finally {
      piece.dispose()
    }
  }
}

/** Weights stored in blocks stay so: quantized modules take their places, and the blocks are read into them as they are. */
async function keepBlocks(module: Module, jobs: Job[]): Promise<void> {
  const inBlocks = new Map(jobs.filter(({ stored }) => isFormat(stored.type)).map((job) => [job.name, job]))
  if (inBlocks.size === 0) return
  const weights = quantize_modules(module, (name) => {
    const job = inBlocks.get(name)
    return job && formatOf(job.stored.type)
  })
  for (const [name, { stored, rows }] of inBlocks) {
    const weight = weights.get(name)
    if (!weight)
      throw new RushlightError(
        `${stored.source.name}: ${name} is stored as ${stored.type}, which only a Linear or an Embedding can hold. Hint: dtype: 'float32'`,
      )
    await stored.source.readInto(weight.raw(), stored.offset)
    weight.seal(rows)
  }
}

/** Reads blocks into a weight of a floating dtype, by a few megabytes at a time. */
async function readBlocks(stored: StoredTensor, target: Tensor, dtype: DType, rows: Job['rows']): Promise<void> {
  const [height, width] = stored.shape
  const format: FormatName = formatOf(stored.type)
  const places = rows && inverse(rows, height)
  const rowBytes = width * DTYPES[dtype].bytes
  const storage = Storage.allocate(height * rowBytes, 'weights')
  const step = Math.max(Math.floor(PIECE / (4 * width)), 1)
  try {
    for (let first = 0; first < height; first += step) {
      const count = Math.min(step, height - first)
      const piece = new QuantizedWeight(format, [count, width])
      try {
        await stored.source.readInto(piece.raw(), stored.offset + (stored.bytes / height) * first)
        piece.seal()
        no_grad(() =>
          tidy(() => {
            const { ptr } = piece.dequantize().to(dtype)
            const put = (row: number, from: number, length: number) =>
              u8View(storage.ptr + row * rowBytes, length * rowBytes).set(
                u8View(ptr + from * rowBytes, length * rowBytes),
              )
            if (!places) put(first, 0, count)
            else for (let i = 0; i < count; i++) put(places[first + i], i, 1)
          }),
        )
      } finally {
        piece.dispose()
      }
    }
  } catch (error) {
    storage.release()
    throw error
  }
  target.adopt(storage, dtype)
}

/** The first `n` elements of a storage. */
function flat(storage: Storage, n: number, dtype: DType): Tensor {
  return new Tensor(storage.retain(), [n], [1], 0, dtype)
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
    return flat(this.storage, n, dtype)
  }

  release(): void {
    this.storage?.release()
    this.storage = undefined
  }
}
