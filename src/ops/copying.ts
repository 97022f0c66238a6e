// Copies between layouts, on raw memory: what contiguous(), cat(), copy_() and the rest are made of.
import { DTYPES } from '../tensor/dtype.ts'
import { toBfloat16, toFloat16 } from '../tensor/half.ts'
import { isContiguous, numelOf, type Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { launch } from '../wasm/index.ts'

/** Elements that a thread copies in some tens of microseconds. */
const GRAIN = 1 << 15

/** Dimensions of two layouts merged where both run on without a gap, sizes of 1 left out. */
export function collapse(shape: Shape, ...strides: Shape[]): { shape: number[]; strides: number[][] } {
  const out: number[] = []
  const merged: number[][] = strides.map(() => [])
  shape.forEach((size, d) => {
    if (size === 1) return
    const last = out.length - 1
    if (last >= 0 && strides.every((s, i) => merged[i][last] === s[d] * size)) {
      out[last] *= size
      strides.forEach((s, i) => {
        merged[i][last] = s[d]
      })
    } else {
      out.push(size)
      strides.forEach((s, i) => void merged[i].push(s[d]))
    }
  })
  return { shape: out, strides: merged }
}

/** Copies elements of `bytes` bytes from one strided layout to another of the same shape. */
export function copyStrided(bytes: number, shape: Shape, src: number, from: Shape, dst: number, to: Shape): void {
  if (numelOf(shape) === 0) return
  const merged = collapse(shape, from, to)
  const dims = merged.shape
  const [s, t] = merged.strides
  if (dims.length === 0) return launch(`copy_b${bytes}` as 'copy_b4', [src, dst, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1], 1, 1)
  if (dims.length === 1 && s[0] === 1 && t[0] === 1 && dims[0] * bytes < 2 ** 31) return launch('copy_bytes', [src, dst], dims[0] * bytes, GRAIN * 4)
  const last = dims.length - 1
  // A true transpose of the last two dimensions: by tiles.
  if ((dims.length === 2 || dims.length === 3) && t[last] === 1 && s[last] !== 1 && s[last - 1] === 1 && dims[last] > 1) {
    const [rows, cols] = [dims[last - 1], dims[last]]
    const batch = dims.length === 3 ? dims[0] : 1
    return launch(
      `transpose_b${bytes}` as 'transpose_b4',
      [src, dst, rows, cols, dims.length === 3 ? s[0] : 0, s[last], dims.length === 3 ? t[0] : 0, t[last - 1]],
      batch * Math.ceil(rows / 16),
      Math.max(1, Math.floor(GRAIN / (16 * cols))),
    )
  }
  if (dims.length > 4) {
    // Rare: more than four dimensions that do not merge. The outermost is a loop.
    for (let i = 0; i < dims[0]; i++) copyStrided(bytes, dims.slice(1), src + i * s[0] * bytes, s.slice(1), dst + i * t[0] * bytes, t.slice(1))
    return
  }
  const lead = 4 - dims.length
  const d = [...new Array<number>(lead).fill(1), ...dims]
  const a = [...new Array<number>(lead).fill(0), ...s]
  const b = [...new Array<number>(lead).fill(0), ...t]
  launch(
    `copy_b${bytes}` as 'copy_b4',
    [src, dst, d[1], d[2], d[3], a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]],
    d[0] * d[1] * d[2],
    Math.max(1, Math.floor(GRAIN / d[3])),
  )
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
  const view = t.view1d()
  if (view instanceof BigInt64Array) view.fill(typeof value === 'bigint' ? value : BigInt(Math.trunc(Number(value))))
  else if (t.dtype === 'float16') view.fill(toFloat16(Number(value)))
  else if (t.dtype === 'bfloat16') view.fill(toBfloat16(Number(value)))
  else view.fill(t.dtype === 'bool' ? Number(Boolean(value)) : Number(value))
}
