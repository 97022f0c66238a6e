// Copies between layouts, on raw memory: what contiguous(), cat(), copy_() and the rest are made of.
import { DTYPES } from '../tensor/dtype.ts'
import { toBfloat16, toFloat16 } from '../tensor/half.ts'
import { isContiguous, numelOf, type Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { type KernelArgs, launch } from '../wasm/index.ts'
import { collapse, withLayout } from './layout.ts'

/** Elements that a thread copies in some tens of microseconds. */
const GRAIN = 1 << 15
/** Rows of the output that a chunk of a transposing copy has. */
const TILE = 64

/** Copies elements of `bytes` bytes from one strided layout to another of the same shape. */
export function copyStrided(bytes: number, shape: Shape, src: number, from: Shape, dst: number, to: Shape): void {
  const n = numelOf(shape)
  if (n === 0) return
  const merged = collapse(shape, [from, to])
  const rank = merged.shape.length
  const [s, t] = merged.strides
  if (rank === 0 || (rank === 1 && s[0] === 1 && t[0] === 1)) {
    const size = n * bytes
    return launch('copy_dense', [src, dst, size], Math.ceil(size / 64), GRAIN / 8)
  }
  if ((rank === 2 || rank === 3) && t[rank - 1] === 1 && s[rank - 1] > 1 && s[rank - 2] === 1) {
    const [rows, columns] = merged.shape.slice(-2)
    const [batches, srcBatch, dstBatch] = rank === 3 ? [merged.shape[0], s[0], t[0]] : [1, 0, 0]
    const args: KernelArgs['transpose_b4'] = [src, dst, rows, columns, srcBatch, s[rank - 1], dstBatch, t[rank - 2]]
    const strips = Math.ceil(rows / TILE)
    return launch(
      `transpose_b${bytes}` as 'transpose_b4',
      args,
      batches * strips,
      Math.max(1, Math.floor(GRAIN / (TILE * columns))),
    )
  }
  withLayout(shape, [from, to], (layout) => launch(`copy_b${bytes}` as 'copy_b4', [src, dst, layout], n, GRAIN))
}

/** Copies a tensor's elements into another of the same shape and dtype. */
export function copyInto(target: Tensor, source: Tensor): void {
  copyStrided(DTYPES[target.dtype].bytes, target.shape, source.ptr, source.strides, target.ptr, target.strides)
}

/** A contiguous copy, unrecorded. */
export function packed(source: Tensor, label = 'contiguous'): Tensor {
  const out = Tensor.empty(source.shape, source.dtype, label)
  copyInto(out, source)
  return out
}

/** The tensor itself when it is contiguous, else a contiguous copy; unrecorded. */
export function asContiguous(t: Tensor): Tensor {
  return isContiguous(t.shape, t.strides) ? t : packed(t)
}

/** Fills a contiguous tensor with one value. */
export function fillWith(t: Tensor, value: number | bigint | boolean): void {
  if (t.dtype === 'float32') return launch('fill_f32', [t.ptr, Number(value)], t.numel(), GRAIN)
  const view = t.view1d()
  if (view instanceof BigInt64Array) view.fill(typeof value === 'bigint' ? value : BigInt(Math.trunc(Number(value))))
  else if (t.dtype === 'float16') view.fill(toFloat16(Number(value)))
  else if (t.dtype === 'bfloat16') view.fill(toBfloat16(Number(value)))
  else view.fill(t.dtype === 'bool' ? Number(Boolean(value)) : Number(value))
}
