// What reductions are made of: the dimensions brought together, and kernels over (outer, n, inner). Unrecorded.
import { isFloating } from '../tensor/dtype.ts'
import { normalizeDims, numelOf, type Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { type KernelName, launch } from '../wasm/index.ts'
import { asContiguous, fillWith } from './copying.ts'

/** Dimensions as PyTorch takes them: none, one or a list. */
export type Dims = number | Shape | null

/** A reduction brought into the form of the kernels. */
export interface Reduction {
  /** Contiguous elements, (outer, n, inner). */
  x: Tensor
  outer: number
  n: number
  inner: number
  /** The reduced dimensions, sorted. */
  dims: number[]
  /** Shape of the result with the reduced dimensions as 1, and as asked for. */
  kept: number[]
  shape: number[]
}

/** Brings the dimensions to be reduced together: where they are neighbours nothing moves, else they go last. */
export function prepare(op: string, input: Tensor, dim: Dims, keepdim: boolean): Reduction {
  const dims = normalizeDims(op, dim, input.ndim)
  const kept = input.shape.map((size, d) => (dims.includes(d) ? 1 : size))
  const shape = keepdim ? kept : input.shape.filter((_, d) => !dims.includes(d))
  const n = numelOf(dims.map((d) => input.shape[d]))
  const neighbours = dims.every((d, i) => i === 0 || d === dims[i - 1] + 1)
  if (neighbours) {
    const first = dims[0] ?? 0
    const last = dims[dims.length - 1] ?? -1
    return {
      x: asContiguous(input),
      outer: numelOf(input.shape.slice(0, first)),
      n,
      inner: numelOf(input.shape.slice(last + 1)),
      dims,
      kept,
      shape,
    }
  }
  const order = [...input.shape.keys()].filter((d) => !dims.includes(d)).concat(dims)
  const moved = input.alias(
    order.map((d) => input.shape[d]),
    order.map((d) => input.strides[d]),
  )
  return { x: asContiguous(moved), outer: numelOf(kept), n, inner: 1, dims, kept, shape }
}

/** Elements that a part of a cut reduction has at least, and a chunk of work. */
const PART = 1 << 16
const GRAIN = 1 << 15

/** Where a long reduction with few results is cut, so that many threads can share it; sizes alone decide. */
function blockOf(outer: number, n: number, inner: number): number {
  if (inner === 1) return Math.min(n, PART)
  return outer >= 16 ? n : Math.min(n, Math.max(128, Math.ceil(PART / inner)))
}

/** Results a chunk takes, each of `length` elements; columns come in runs. */
function grainOf(length: number, inner: number): number {
  const results = Math.ceil(GRAIN / length)
  return inner === 1 ? results : Math.max(64, results)
}

/** Calls `kernel(x, …first, out, …rest, n, inner, block)` for all parts. */
function pass(
  kernel: KernelName,
  before: number[],
  out: Tensor,
  after: number[],
  outer: number,
  n: number,
  inner: number,
  block: number,
): void {
  const args = [...before, out.ptr, ...after, n, inner, block]
  launch(
    kernel as 'sum_i64',
    args as [number, number, number, number, number],
    outer * Math.ceil(n / block) * inner,
    grainOf(block, inner),
  )
}

/**
 * A reduction by a kernel, its partial results joined by `joiner`. Gives (outer, inner), flat.
 * @param scale what float sums are multiplied by; null where the kernel takes none
 * @param mean operand of sum_deviations_f32
 */
export function reduceBy(
  kernel: KernelName,
  joiner: KernelName,
  { x, outer, n, inner }: Reduction,
  scale: number | null = null,
  mean?: Tensor,
): Tensor {
  const block = blockOf(outer, n, inner)
  const parts = Math.ceil(n / block)
  const out = Tensor.empty([outer * parts * inner], x.dtype, kernel)
  const factor = parts > 1 ? 1 : scale
  pass(
    kernel,
    mean ? [x.ptr, mean.ptr] : [x.ptr],
    out,
    scale === null ? [] : [factor as number],
    outer,
    n,
    inner,
    block,
  )
  if (parts === 1) return out
  return reduceBy(joiner, joiner, { x: out, outer, n: parts, inner, dims: [], kept: [], shape: [] }, scale)
}

/** Values and int64 places of the largest (or smallest), flat. */
export function placesBy(
  kernel: 'argmax' | 'argmin',
  { x, outer, n, inner }: Reduction,
): [values: Tensor, indices: Tensor] {
  const name = `${kernel}_${isFloating(x.dtype) ? 'f32' : 'i64'}` as const
  const block = blockOf(outer, n, inner)
  const parts = Math.ceil(n / block)
  const make = (count: number): [Tensor, Tensor] => [
    Tensor.empty([count], x.dtype, kernel),
    Tensor.empty([count], 'int64', kernel),
  ]
  const [values, indices] = make(outer * parts * inner)
  launch(name, [x.ptr, 0, values.ptr, indices.ptr, n, inner, block], outer * parts * inner, grainOf(block, inner))
  if (parts === 1) return [values, indices]
  const results = make(outer * inner)
  launch(
    name,
    [values.ptr, indices.ptr, results[0].ptr, results[1].ptr, parts, inner, parts],
    outer * inner,
    grainOf(parts, inner),
  )
  return results
}

/** A contiguous tensor seen in another shape of as many elements. */
export function shaped(t: Tensor, shape: Shape): Tensor {
  const strides = new Array<number>(shape.length)
  for (let d = shape.length - 1, step = 1; d >= 0; step *= shape[d--]) strides[d] = step
  return t.alias(shape, strides, t.offset)
}

/** A result that is one value throughout, since nothing was reduced. */
export function constant(shape: Shape, dtype: Tensor['dtype'], value: number): Tensor {
  const out = Tensor.empty(shape, dtype, 'reduction')
  fillWith(out, value)
  return out
}
