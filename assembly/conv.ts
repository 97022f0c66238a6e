// Convolution over planes (C,H,W): unfolding for the matrix product, folding back for its gradient, and a direct path for one
// input channel a group (depthwise).
import { fma, hsum } from './simd'
import {
  dilationHeight, dilationWidth, height, kernelHeight, kernelWidth, outHeight, outWidth, padHeight, padWidth, strideHeight, strideWidth, width,
} from './window'

/** Where a tap looks: its row and column less the padding. Output (oh, ow) meets input (oh × stride + down, ow × stride + right). */
// @ts-ignore: decorator
@inline
function down(window: usize, tap: i32): i32 {
  return (tap / kernelWidth(window)) * dilationHeight(window) - padHeight(window)
}

// @ts-ignore: decorator
@inline
function right(window: usize, tap: i32): i32 {
  return (tap % kernelWidth(window)) * dilationWidth(window) - padWidth(window)
}

/** First output column whose tap lies inside the plane. */
// @ts-ignore: decorator
@inline
function firstColumn(window: usize, right: i32): i32 {
  const stride = strideWidth(window)
  return right >= 0 ? 0 : min(outWidth(window), (stride - 1 - right) / stride)
}

/** One past the last output column whose tap lies inside the plane; at least the first. */
// @ts-ignore: decorator
@inline
function lastColumn(window: usize, right: i32): i32 {
  const inside = right >= width(window) ? 0 : (width(window) - 1 - right) / strideWidth(window) + 1
  return max(firstColumn(window, right), min(outWidth(window), inside))
}

/** y[i × stepY] += x[i × stepX] × factor, of f32. */
function axpy(x: usize, stepX: i32, y: usize, stepY: i32, factor: f32, n: i32): void {
  const f = f32x4.splat(factor)
  let i = 0
  if (stepX === 1 && stepY === 1) {
    for (; i + 4 <= n; i += 4, x += 16, y += 16) v128.store(y, fma(v128.load(x), f, v128.load(y)))
  }
  const nextX = (<usize>stepX) << 2
  const nextY = (<usize>stepY) << 2
  for (; i < n; i++, x += nextX, y += nextY) v128.store32_lane(y, fma(v128.load32_zero(x), f, v128.load32_zero(y)), 0)
}

/** col (C × KH × KW, OH × OW): the taps of each output over one image x (C,H,W), 0 outside. Parallel over the rows of col. */
export function im2col_f32(x: usize, col: usize, window: usize, scratch: usize, begin: i32, end: i32): void {
  const taps = kernelHeight(window) * kernelWidth(window)
  const stride = strideWidth(window)
  const columns = outWidth(window)
  for (let row = begin; row < end; row++) {
    const r = right(window, row % taps)
    const first = firstColumn(window, r)
    const last = lastColumn(window, r)
    let out = col + ((<usize>row * outHeight(window) * columns) << 2)
    let h = down(window, row % taps)
    for (let oh = 0; oh < outHeight(window); oh++, h += strideHeight(window)) {
      const stop = out + ((<usize>columns) << 2)
      if (<u32>h >= <u32>height(window)) {
        memory.fill(out, 0, stop - out)
        out = stop
        continue
      }
      for (const inside = out + ((<usize>first) << 2); out < inside; out += 4) store<f32>(out, 0)
      let from = x + (((<usize>(row / taps) * height(window) + h) * width(window) + <usize>(first * stride + r)) << 2)
      const end = out + ((<usize>(last - first)) << 2)
      if (stride === 1) for (; out + 16 <= end; out += 16, from += 16) v128.store(out, v128.load(from))
      for (; out < end; out += 4, from += (<usize>stride) << 2) store<f32>(out, load<f32>(from))
      for (; out < stop; out += 4) store<f32>(out, 0)
    }
  }
}

/** Adds factor × a plane of outputs, seen from one tap, to the elements of a plane that the tap looks at. */
function fold(from: usize, plane: usize, window: usize, tap: i32, factor: f32): void {
  const r = right(window, tap)
  const first = firstColumn(window, r)
  const count = lastColumn(window, r) - first
  from += (<usize>first) << 2
  let h = down(window, tap)
  for (let oh = 0; oh < outHeight(window); oh++, h += strideHeight(window), from += (<usize>outWidth(window)) << 2) {
    if (<u32>h >= <u32>height(window)) continue
    const to = plane + ((<usize>h * width(window) + <usize>(first * strideWidth(window) + r)) << 2)
    axpy(from, 1, to, strideWidth(window), factor, count)
  }
}

/** The reverse: each element of x (C,H,W) becomes the sum of its taps in col. Parallel over channels. */
export function col2im_f32(col: usize, x: usize, window: usize, scratch: usize, begin: i32, end: i32): void {
  const taps = kernelHeight(window) * kernelWidth(window)
  const size = (<usize>height(window) * width(window)) << 2
  const outSize = (<usize>outHeight(window) * outWidth(window)) << 2
  for (let c = begin; c < end; c++) {
    const plane = x + <usize>c * size
    memory.fill(plane, 0, size)
    for (let tap = 0; tap < taps; tap++) fold(col + <usize>(c * taps + tap) * outSize, plane, window, tap, 1)
  }
}

// ---- depthwise: weight (O,1,KH,KW) over x (N,C,H,W), output channel o reads channel o / (O / C) alone

/** A plane of one number. */
// @ts-ignore: decorator
@inline
function fillPlane(plane: usize, value: f32, size: i32): void {
  const four = f32x4.splat(value)
  const stop = plane + ((<usize>size) << 2)
  for (; plane + 16 <= stop; plane += 16) v128.store(plane, four)
  for (; plane < stop; plane += 4) store<f32>(plane, value)
}

/** out (N,O,OH,OW), `bias` may be 0. Parallel over planes of out. */
export function depthwise_f32(
  x: usize, weight: usize, bias: usize, out: usize, window: usize, C: i32, O: i32, scratch: usize, begin: i32,
  end: i32,
): void {
  const taps = kernelHeight(window) * kernelWidth(window)
  const outSize = outHeight(window) * outWidth(window)
  const stride = strideWidth(window)
  for (let plane = begin; plane < end; plane++) {
    const o = plane % O
    const to = out + ((<usize>plane * outSize) << 2)
    fillPlane(to, bias ? load<f32>(bias + ((<usize>o) << 2)) : 0, outSize)
    const from = x + ((<usize>(plane / O * C + o / (O / C)) * height(window) * width(window)) << 2)
    for (let tap = 0; tap < taps; tap++) {
      const factor = load<f32>(weight + ((<usize>(o * taps + tap)) << 2))
      const r = right(window, tap)
      const first = firstColumn(window, r)
      const count = lastColumn(window, r) - first
      let h = down(window, tap)
      for (let oh = 0; oh < outHeight(window); oh++, h += strideHeight(window)) {
        if (<u32>h >= <u32>height(window)) continue
        const at = from + ((<usize>h * width(window) + <usize>(first * stride + r)) << 2)
        axpy(at, stride, to + ((<usize>oh * outWidth(window) + first) << 2), 1, factor, count)
      }
    }
  }
}

/** Gradient of x. Parallel over planes of x. */
export function depthwise_input_f32(
  grad: usize, weight: usize, x: usize, window: usize, C: i32, O: i32, scratch: usize, begin: i32, end: i32,
): void {
  const taps = kernelHeight(window) * kernelWidth(window)
  const each = O / C
  const size = (<usize>height(window) * width(window)) << 2
  const outSize = (<usize>outHeight(window) * outWidth(window)) << 2
  for (let at = begin; at < end; at++) {
    const plane = x + <usize>at * size
    memory.fill(plane, 0, size)
    for (let i = 0; i < each * taps; i++) {
      const o = (at % C) * each + i / taps
      const factor = load<f32>(weight + ((<usize>(o * taps + i % taps)) << 2))
      fold(grad + <usize>(at / C * O + o) * outSize, plane, window, i % taps, factor)
    }
  }
}

/** Gradient of the weight, summed over N images. Parallel over its O × KH × KW elements. */
export function depthwise_weight_f32(
  x: usize, grad: usize, weight: usize, window: usize, N: i32, C: i32, O: i32, scratch: usize, begin: i32, end: i32,
): void {
  const taps = kernelHeight(window) * kernelWidth(window)
  const step = (<usize>strideWidth(window)) << 2
  for (let i = begin; i < end; i++) {
    const o = i / taps
    const r = right(window, i % taps)
    const first = firstColumn(window, r)
    const count = lastColumn(window, r) - first
    let sum: f64 = 0
    for (let n = 0; n < N; n++) {
      const plane = <usize>(n * C + o / (O / C)) * height(window)
      let h = down(window, i % taps)
      for (let oh = 0; oh < outHeight(window); oh++, h += strideHeight(window)) {
        if (<u32>h >= <u32>height(window)) continue
        let a = x + (((plane + h) * width(window) + <usize>(first * strideWidth(window) + r)) << 2)
        let g = grad + (((<usize>(n * O + o) * outHeight(window) + oh) * outWidth(window) + first) << 2)
        let four = f32x4.splat(0)
        let k = 0
        if (step === 4) for (; k + 4 <= count; k += 4, a += 16, g += 16) four = fma(v128.load(a), v128.load(g), four)
        for (; k < count; k++, a += step, g += 4) four = fma(v128.load32_zero(a), v128.load32_zero(g), four)
        sum += hsum(four)
      }
    }
    store<f32>(weight + ((<usize>i) << 2), <f32>sum)
  }
}

// ---- the bias, one number a channel

/** Planes (N,O,size) filled with their channel's number. Parallel over planes. */
export function fill_planes_f32(bias: usize, out: usize, O: i32, size: i32, scratch: usize, begin: i32, end: i32): void {
  for (let plane = begin; plane < end; plane++)
    fillPlane(out + ((<usize>plane * size) << 2), load<f32>(bias + ((<usize>(plane % O)) << 2)), size)
}

/** Sums of planes over images, its gradient: out[o] of grad (N,O,size). Parallel over o. */
export function sum_planes_f32(grad: usize, out: usize, N: i32, O: i32, size: i32, scratch: usize, begin: i32, end: i32): void {
  for (let o = begin; o < end; o++) {
    let sum: f64 = 0
    for (let n = 0; n < N; n++) {
      let at = grad + ((<usize>(n * O + o) * size) << 2)
      let four = f32x4.splat(0)
      let k = 0
      for (; k + 4 <= size; k += 4, at += 16) four = f32x4.add(four, v128.load(at))
      sum += hsum(four)
      for (; k < size; k++, at += 4) sum += load<f32>(at)
    }
    store<f32>(out + ((<usize>o) << 2), <f32>sum)
  }
}
