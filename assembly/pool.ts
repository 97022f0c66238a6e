// Max and average pooling over planes of H × W. Forward is parallel over rows of the output, backward over planes.
import {
  dilationHeight, dilationWidth, height, kernelHeight, kernelWidth, outHeight, outWidth, padHeight, padWidth, strideHeight, strideWidth, width,
} from './window'

/** First position of a window inside the plane, its taps `dilation` apart. */
// @ts-ignore: decorator
@inline
function inside(start: i32, dilation: i32): i32 {
  return start >= 0 ? start : start + (dilation - 1 - start) / dilation * dilation
}

/** The largest of each window and where it is in the plane (int32): the first of equals, or the last NaN. */
export function max_pool_f32(
  x: usize, out: usize, indices: usize, window: usize, scratch: usize, begin: i32, end: i32,
): void {
  for (let row = begin; row < end; row++) {
    const plane = x + ((<usize>(row / outHeight(window)) * height(window) * width(window)) << 2)
    const top = (row % outHeight(window)) * strideHeight(window) - padHeight(window)
    const bottom = min(height(window), top + (kernelHeight(window) - 1) * dilationHeight(window) + 1)
    const firstH = inside(top, dilationHeight(window))
    for (let ow = 0; ow < outWidth(window); ow++) {
      const left = ow * strideWidth(window) - padWidth(window)
      const rightmost = min(width(window), left + (kernelWidth(window) - 1) * dilationWidth(window) + 1)
      const firstW = inside(left, dilationWidth(window))
      let best: f32 = -Infinity
      let at = firstH * width(window) + firstW
      for (let h = firstH; h < bottom; h += dilationHeight(window))
        for (let w = firstW; w < rightmost; w += dilationWidth(window)) {
          const i = h * width(window) + w
          const value = load<f32>(plane + ((<usize>i) << 2))
          if (value > best || value !== value) {
            best = value
            at = i
          }
        }
      const to = (<usize>row * outWidth(window) + ow) << 2
      store<f32>(out + to, best)
      store<i32>(indices + to, at)
    }
  }
}

/** Each gradient goes to the element that was the largest. */
export function max_pool_backward_f32(
  grad: usize, indices: usize, x: usize, window: usize, scratch: usize, begin: i32, end: i32,
): void {
  const size = height(window) * width(window)
  const outputs = outHeight(window) * outWidth(window)
  for (let plane = begin; plane < end; plane++) {
    const to = x + ((<usize>plane * size) << 2)
    memory.fill(to, 0, (<usize>size) << 2)
    for (let i = (<usize>plane * outputs) << 2, stop = i + ((<usize>outputs) << 2); i < stop; i += 4) {
      const at = to + ((<usize>load<i32>(indices + i)) << 2)
      store<f32>(at, load<f32>(at) + load<f32>(grad + i))
    }
  }
}

/** What a window's sum is divided by: `divisor` where it is not 0, else its elements, with or without the padding among them. */
// @ts-ignore: decorator
@inline
function elements(window: usize, top: i32, left: i32, countPadding: i32, divisor: f32): f32 {
  if (divisor !== 0) return divisor
  if (countPadding) {
    const rows = min(top + kernelHeight(window), height(window) + padHeight(window)) - top
    return <f32>(rows * (min(left + kernelWidth(window), width(window) + padWidth(window)) - left))
  }
  const rows = min(top + kernelHeight(window), height(window)) - max(top, 0)
  return <f32>(rows * (min(left + kernelWidth(window), width(window)) - max(left, 0)))
}

export function avg_pool_f32(
  x: usize, out: usize, window: usize, countPadding: i32, divisor: f32, scratch: usize, begin: i32, end: i32,
): void {
  for (let row = begin; row < end; row++) {
    const plane = x + ((<usize>(row / outHeight(window)) * height(window) * width(window)) << 2)
    const top = (row % outHeight(window)) * strideHeight(window) - padHeight(window)
    for (let ow = 0; ow < outWidth(window); ow++) {
      const left = ow * strideWidth(window) - padWidth(window)
      let sum: f32 = 0
      for (let h = max(top, 0); h < min(top + kernelHeight(window), height(window)); h++)
        for (let w = max(left, 0); w < min(left + kernelWidth(window), width(window)); w++)
          sum += load<f32>(plane + ((<usize>(h * width(window) + w)) << 2))
      store<f32>(out + ((<usize>row * outWidth(window) + ow) << 2), sum / elements(window, top, left, countPadding, divisor))
    }
  }
}

/** Each gradient is shared out among the elements of its window. */
export function avg_pool_backward_f32(
  grad: usize, x: usize, window: usize, countPadding: i32, divisor: f32, scratch: usize, begin: i32, end: i32,
): void {
  const size = height(window) * width(window)
  for (let plane = begin; plane < end; plane++) {
    const to = x + ((<usize>plane * size) << 2)
    memory.fill(to, 0, (<usize>size) << 2)
    let from = grad + ((<usize>plane * outHeight(window) * outWidth(window)) << 2)
    for (let oh = 0; oh < outHeight(window); oh++)
      for (let ow = 0; ow < outWidth(window); ow++, from += 4) {
        const top = oh * strideHeight(window) - padHeight(window)
        const left = ow * strideWidth(window) - padWidth(window)
        const share = load<f32>(from) / elements(window, top, left, countPadding, divisor)
        for (let h = max(top, 0); h < min(top + kernelHeight(window), height(window)); h++)
          for (let w = max(left, 0); w < min(left + kernelWidth(window), width(window)); w++) {
            const at = to + ((<usize>(h * width(window) + w)) << 2)
            store<f32>(at, load<f32>(at) + share)
          }
      }
  }
}
