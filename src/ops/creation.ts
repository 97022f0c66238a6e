// Making tensors: from data, filled, counted. None is recorded; all take { dtype, requires_grad, device }.
import { DEVICES, type DType, dtypeOf } from '../tensor/dtype.ts'
import { type Shape, show } from '../tensor/shape.ts'
import { type NestedArray, Tensor, type TensorData } from '../tensor/tensor.ts'
import { checkOptions, RushlightError, ShapeError, unsupported } from '../util/errors.ts'
import { fillWith } from './copying.ts'

/** Options that every function which makes a tensor takes. */
export interface TensorOptions {
  /** Default: float32, or what the data says. */
  dtype?: string
  requires_grad?: boolean
  /** 'cpu', 'wasm' or 'auto': all mean the one device there is. */
  device?: string
}

const OPTIONS = ['dtype', 'requires_grad', 'device']

/** The dtype asked for, after a check of the options. */
function read(op: string, options: TensorOptions, fallback: DType, more: string[] = []): DType {
  checkOptions(op, options, [...OPTIONS, ...more])
  if (options.device !== undefined && !DEVICES.includes(options.device))
    throw unsupported(op, 'device', options.device, DEVICES)
  return options.dtype === undefined ? fallback : dtypeOf(options.dtype)
}

function finish(t: Tensor, options: TensorOptions): Tensor {
  return options.requires_grad ? t.requires_grad_() : t
}

/**
 * A tensor of the given data (torch.tensor): numbers become float32, bigints int64, booleans bool; a typed array keeps its type
 * (Float64Array becomes float32, Int16Array int32). `shape` arranges flat data.
 * @throws ShapeError when nested arrays are ragged
 */
export function tensor(data: TensorData, options: TensorOptions & { shape?: Shape } = {}): Tensor {
  checkOptions('tensor', options, [...OPTIONS, 'shape'])
  const { flat, shape, dtype: natural } = ArrayBuffer.isView(data) ? fromTyped(data) : fromNested(data)
  const dtype = read('tensor', options, natural, ['shape'])
  return finish(Tensor.from(flat, options.shape ?? shape, dtype), options)
}

interface Flat {
  flat: ArrayLike<number> | ArrayLike<bigint>
  shape: number[]
  dtype: DType
}

function fromTyped(data: Exclude<TensorData, NestedArray<number | bigint | boolean>>): Flat {
  const shape = [data.length]
  if (data instanceof Float32Array || data instanceof Float64Array) return { flat: data, shape, dtype: 'float32' }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return { flat: data, shape, dtype: 'int64' }
  if (data instanceof Int8Array) return { flat: data, shape, dtype: 'int8' }
  if (data instanceof Uint8Array || (data as unknown) instanceof Uint8ClampedArray)
    return { flat: data, shape, dtype: 'uint8' }
  if (data instanceof Int32Array || data instanceof Int16Array || data instanceof Uint16Array)
    return { flat: data, shape, dtype: 'int32' }
  if (data instanceof Uint32Array) return { flat: data, shape, dtype: 'int64' }
  throw unsupported('tensor', 'data', (data as object).constructor.name, [
    'Float32Array',
    'Float64Array',
    'BigInt64Array',
    'Int32Array',
    'Int8Array',
    'Uint8Array',
  ])
}

function fromNested(data: NestedArray<number | bigint | boolean>): Flat {
  const shape: number[] = []
  for (let level: unknown = data; Array.isArray(level); level = level[0]) shape.push(level.length)
  const flat: (number | bigint | boolean)[] = []
  let [numbers, bigints] = [0, 0]
  const visit = (value: unknown, depth: number) => {
    if (Array.isArray(value)) {
      if (depth >= shape.length || value.length !== shape[depth])
        throw new ShapeError(
          `tensor: nested arrays are ragged: expected ${shape[depth] ?? 'no'} elements at depth ${depth}, found ${value.length}`,
        )
      for (const item of value) visit(item, depth + 1)
      return
    }
    if (depth !== shape.length)
      throw new ShapeError(
        `tensor: nested arrays are ragged: expected an array at depth ${depth}, found ${typeof value}`,
      )
    if (typeof value === 'number') numbers++
    else if (typeof value === 'bigint') bigints++
    else if (typeof value !== 'boolean')
      throw new RushlightError(
        `tensor: expected numbers, bigints or booleans, found ${value === null ? 'null' : typeof value}`,
      )
    flat.push(value as number)
  }
  visit(data, 0)
  const dtype: DType = numbers > 0 || flat.length === 0 ? 'float32' : bigints > 0 ? 'int64' : 'bool'
  return { flat: dtype === 'int64' ? flat.map((x) => BigInt(x)) : flat.map(Number), shape, dtype }
}

/** Not cleared. */
export function empty(shape: Shape, options: TensorOptions = {}): Tensor {
  return finish(Tensor.empty(shape, read('empty', options, 'float32')), options)
}

/** Filled with a value: float32 for a number, unless it says otherwise; bool for a boolean. */
export function full(shape: Shape, value: number | bigint | boolean, options: TensorOptions = {}): Tensor {
  const out = Tensor.empty(
    shape,
    read('full', options, typeof value === 'boolean' ? 'bool' : typeof value === 'bigint' ? 'int64' : 'float32'),
    'full',
  )
  fillWith(out, value)
  return finish(out, options)
}

export function zeros(shape: Shape, options: TensorOptions = {}): Tensor {
  return full(shape, 0, options)
}

export function ones(shape: Shape, options: TensorOptions = {}): Tensor {
  return full(shape, 1, options)
}

const like = (t: Tensor, options: TensorOptions): TensorOptions => ({ dtype: t.dtype, ...options })

/** Of the same shape and dtype. */
export function empty_like(input: Tensor, options: TensorOptions = {}): Tensor {
  return empty(input.shape, like(input, options))
}
export function full_like(input: Tensor, value: number | bigint | boolean, options: TensorOptions = {}): Tensor {
  return full(input.shape, value, like(input, options))
}
export function zeros_like(input: Tensor, options: TensorOptions = {}): Tensor {
  return full(input.shape, 0, like(input, options))
}
export function ones_like(input: Tensor, options: TensorOptions = {}): Tensor {
  return full(input.shape, 1, like(input, options))
}

/** Ones on the diagonal: (n, m). */
export function eye(n: number, m: number | TensorOptions = n, options: TensorOptions = {}): Tensor {
  if (typeof m !== 'number') return eye(n, n, m)
  const out = zeros([n, m], options)
  const one = full([1], 1, { dtype: out.dtype })
  const [bits] = one.view1d()
  one.dispose()
  const view = out.view1d()
  for (let i = 0; i < Math.min(n, m); i++) view[i * m + i] = bits
  return out
}

/**
 * Numbers from `start` (0 when only the end is given) up to but not including `end`: `arange(end)`, `arange(start, end, step)`.
 * int64 when all are whole numbers, else float32.
 */
export function arange(...args: (number | TensorOptions)[]): Tensor {
  const last = args[args.length - 1]
  const options = typeof last === 'object' ? last : {}
  const numbers = args.filter((x): x is number => typeof x === 'number')
  if (numbers.length < 1 || numbers.length > 3)
    throw new RushlightError(
      `arange: expected (end), (start, end) or (start, end, step), found ${numbers.length} numbers`,
    )
  const [start, end, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers
  if (step === 0 || !Number.isFinite(start) || !Number.isFinite(end) || (end - start) / step < 0)
    throw new RushlightError(`arange: step ${step} does not lead from ${start} to ${end}`)
  const n = Math.ceil((end - start) / step)
  const dtype = read('arange', options, numbers.every(Number.isInteger) ? 'int64' : 'float32')
  return finish(
    Tensor.from(
      Float64Array.from({ length: n }, (_, i) => start + i * step),
      [n],
      dtype,
    ),
    options,
  )
}

/** `steps` numbers evenly spaced from `start` to `end`, both included. */
export function linspace(start: number, end: number, steps: number, options: TensorOptions = {}): Tensor {
  const dtype = read('linspace', options, 'float32')
  // From both ends, as torch counts, so that the last is exactly `end`.
  const step = steps > 1 ? (end - start) / (steps - 1) : 0
  const values = Float64Array.from({ length: steps }, (_, i) =>
    i < steps / 2 ? start + i * step : end - (steps - 1 - i) * step,
  )
  if (steps === 1) values[0] = start
  return finish(Tensor.from(values, [steps], dtype), options)
}

/**
 * Vectors as the coordinates of a grid: one tensor each, of the grid's shape (torch.meshgrid).
 * @param options indexing: 'ij' (the default: the first vector runs along the first dimension) or 'xy' (along the second)
 */
export function meshgrid(tensors: Tensor[], options: { indexing?: 'ij' | 'xy' } = {}): Tensor[] {
  checkOptions('meshgrid', options, ['indexing'])
  const { indexing = 'ij' } = options
  if (indexing !== 'ij' && indexing !== 'xy') throw unsupported('meshgrid', 'indexing', indexing, ['ij', 'xy'])
  for (const t of tensors)
    if (t.ndim > 1) throw new ShapeError(`meshgrid: expected tensors of one dimension, found ${show(t.shape)}`)
  const order = tensors.map((_, d) => (indexing === 'xy' && d < 2 && tensors.length > 1 ? 1 - d : d))
  const shape = order.map((d) => tensors[d].numel())
  return tensors.map((t, d) => t.reshape(shape.map((size, i) => (order[i] === d ? size : 1))).expand(shape))
}
