// What the ops of indexing share: checked indices, and the kernels that read and write by them. Unrecorded.
import { DTYPES, type DType, isFloating } from '../tensor/dtype.ts'
import { normalizeDim, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { i32View, launch, withTemp } from '../wasm/index.ts'
import { asContiguous, copyInto, fillWith, packed } from './copying.ts'
import { cast } from './elementwise.ts'
import type { Nd } from './reference.ts'

/** Elements that a thread reads or writes by index in some tens of microseconds. */
const GRAIN = 1 << 14

/** A shape seen from one dimension: (outer, n, inner). A scalar counts as one element. */
export function around(shape: Shape, dim: number): { outer: number; n: number; inner: number } {
  return { outer: numelOf(shape.slice(0, dim)), n: shape[dim] ?? 1, inner: numelOf(shape.slice(dim + 1)) }
}

/** A shape with another size at `dim`; a scalar's stays. */
export function withSize(shape: Shape, dim: number, size: number): number[] {
  return shape.map((s, d) => (d === dim ? size : s))
}

/** The dtype in which sums of such elements are taken: kernels add float32 and int64. */
export function summing(dtype: DType): 'float32' | 'int64' {
  return isFloating(dtype) ? 'float32' : 'int64'
}

/** Zeros, unrecorded. */
export function zerosOf(shape: Shape, dtype: DType, label: string): Tensor {
  const out = Tensor.empty(shape, dtype, label)
  fillWith(out, 0)
  return out
}

/** Where element number `at` is. */
function positionOf(at: number, shape: Shape): number[] {
  const position = new Array<number>(shape.length)
  for (let d = shape.length - 1; d >= 0; d--) {
    position[d] = at % shape[d]
    at = Math.floor(at / shape[d])
  }
  return position
}

/** Refuses what is no index. @throws DTypeError */
export function checkIndex(op: string, index: Tensor): void {
  if (index.dtype !== 'int64' && index.dtype !== 'int32')
    throw new DTypeError(`${op}: expected an index of dtype int64 or int32, found ${index.dtype}. Hint: to('int64')`)
}

/**
 * An index as the kernels take it: contiguous int32 in [0, size). Negative ones count from the end where `wrap` says so.
 * @throws RushlightError naming the first index that is out of range, its position and the size
 */
export function prepareIndex(op: string, index: Tensor, size: number, wrap = false): Tensor {
  checkIndex(op, index)
  const given = asContiguous(index)
  const out = Tensor.empty(index.shape, 'int32', op)
  const kernel = index.dtype === 'int64' ? 'index_prepare_i64' : 'index_prepare_i32'
  const bad = withTemp(4, (flag) => {
    i32View(flag, 1)[0] = -1
    launch(kernel, [given.ptr, out.ptr, flag, size, Number(wrap)], index.numel(), GRAIN)
    return i32View(flag, 1)[0]
  })
  if (bad >= 0) {
    const range = size === 0 ? 'a dimension of size 0 has none' : `expected ${wrap ? -size : 0} to ${size - 1}`
    throw new RushlightError(
      `${op}: index ${given.view1d()[bad]} at ${show(positionOf(bad, index.shape))} is out of range for size ${size}: ${range}`,
    )
  }
  return out
}

/** Slices of contiguous x along `dim`, in the order of the prepared index; `shape` stands in place of that dimension. */
export function selectRows(x: Tensor, dim: number, index: Tensor, shape: Shape, label: string): Tensor {
  const { outer, n, inner } = around(x.shape, dim)
  const m = index.numel()
  const out = Tensor.empty([...x.shape.slice(0, dim), ...shape, ...x.shape.slice(dim + 1)], x.dtype, label)
  const bytes = inner * DTYPES[x.dtype].bytes
  if (out.numel() > 0)
    launch('index_select_bytes', [x.ptr, index.ptr, out.ptr, n, m, bytes], outer * m, Math.ceil((4 * GRAIN) / bytes))
  return out
}

/** Adds alpha × slices of source to those of `out` that the prepared index names. Both contiguous, in the dtype of `summing`. */
export function addRows(out: Tensor, dim: number, index: Tensor, source: Tensor, alpha = 1): void {
  const { outer, n, inner } = around(out.shape, dim)
  const m = index.numel()
  const kernel = out.dtype === 'int64' ? 'index_add_i64' : 'index_add_f32'
  const args = [source.ptr, index.ptr, out.ptr, n, m, inner, alpha] as const
  if (source.numel() > 0) launch(kernel, [...args], outer * Math.ceil(inner / 16), Math.ceil(GRAIN / (16 * m)))
}

/** x[…, index[…, j, …], …] for each element of the prepared index, whose other dimensions may be shorter than those of x. */
export function gatherAlong(x: Tensor, dim: number, index: Tensor, label: string): Tensor {
  const part = asContiguous(cropped(x, dim, index.shape))
  const { n, inner } = around(part.shape, dim)
  const out = Tensor.empty(index.shape, x.dtype, label)
  const kernel = `gather_b${DTYPES[x.dtype].bytes}` as 'gather_b4'
  launch(kernel, [part.ptr, index.ptr, out.ptr, n, index.shape[dim] ?? 1, inner], index.numel(), GRAIN)
  return out
}

/** Writes (or adds, in the dtype of `summing`) elements of source to the places of `out` that the prepared index names. */
export function scatterInto(out: Tensor, dim: number, index: Tensor, source: Tensor, add: boolean): void {
  const target = cropped(out, dim, index.shape)
  const part = asContiguous(target)
  const given = asContiguous(cropped(source, -1, index.shape))
  const { outer, n, inner } = around(part.shape, dim)
  const m = index.shape[dim] ?? 1
  const kernel = add
    ? out.dtype === 'int64'
      ? 'scatter_add_i64'
      : 'scatter_add_f32'
    : (`scatter_b${DTYPES[out.dtype].bytes}` as 'scatter_b4')
  launch(kernel, [given.ptr, index.ptr, part.ptr, n, m, inner], outer * inner, Math.ceil(GRAIN / Math.max(m, 1)))
  if (part !== target) copyInto(target, part)
}

/** The first elements of every dimension but `dim`, as many as `shape` has: a view. */
function cropped(x: Tensor, dim: number, shape: Shape): Tensor {
  return x.alias(x.shape.map((size, d) => (d === dim ? size : shape[d])))
}

/** Checks a pair of tensor and index for gather and scatter. @throws ShapeError naming both shapes */
export function checkAlong(op: string, name: string, x: Shape, dim: number, index: Shape): void {
  if (x.length !== index.length || index.some((size, d) => d !== dim && size > x[d]))
    throw new ShapeError(
      `${op}: index of shape ${show(index)} does not fit ${name} of shape ${show(x)}. ` +
        `Hint: as many dimensions, and no size larger${dim < 0 ? '' : ` but along dim ${dim}`}`,
    )
}

/** Positions of what is not 0 or false, in order: int32, flat. */
export function flatNonzero(x: Tensor): Tensor {
  const mask = asContiguous(x.dtype === 'bool' ? x : cast(x, 'bool'))
  const n = mask.numel()
  const blocks = Math.ceil(n / 4096)
  return withTemp(4 * blocks, (counts) => {
    launch('nonzero_count_bool', [mask.ptr, counts, n], blocks, 8)
    const offsets = i32View(counts, blocks)
    let total = 0
    for (let b = 0; b < blocks; b++) {
      const count = offsets[b]
      offsets[b] = total
      total += count
    }
    const out = Tensor.empty([total], 'int32', 'nonzero')
    launch('nonzero_write_bool', [mask.ptr, counts, out.ptr, n], blocks, 8)
    return out
  })
}

/** A contiguous copy in the dtype that sums are taken in. */
export function summable(x: Tensor, label: string): Tensor {
  const dtype = summing(x.dtype)
  return x.dtype === dtype ? packed(x, label) : asContiguous(cast(x, dtype))
}

/** For references: visits every element of an index, giving its place, and that of what it names in a tensor of shape `of`. */
export function eachAlong(index: Nd, dim: number, of: Shape, visit: (at: number, source: number) => void): void {
  const d = normalizeDim('', dim, of.length)
  for (let at = 0; at < index.data.length; at++) {
    const position = positionOf(at, index.shape)
    if (position.length > 0) position[d] = index.data[at]
    visit(
      at,
      position.reduce((sum, p, i) => sum * of[i] + p, 0),
    )
  }
}
