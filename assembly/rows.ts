// What softmax and cross-entropy do with a row; no kernels here.
import { expFlushed, log } from './elementary'
import { hmax, hsum } from './simd'

/** Elements summed in float32 before their sum joins the float64 total. */
export const SPAN: usize = 1024 << 2

/** Largest of n elements. */
export function rowMax(x: usize, n: i32): f32 {
  const end = x + ((<usize>n) << 2)
  let a = f32x4.splat(-Infinity)
  let b = a
  for (; x + 32 <= end; x += 32) {
    a = f32x4.pmax(a, v128.load(x))
    b = f32x4.pmax(b, v128.load(x, 16))
  }
  let most = hmax(f32x4.pmax(a, b))
  for (; x < end; x += 4) most = max(most, load<f32>(x))
  return most
}

/** Σ exp(x - most); the terms go to `out` where it is not 0. */
export function rowExpSum(x: usize, out: usize, n: i32, most: f32): f32 {
  const base = f32x4.splat(most)
  const end = x + ((<usize>n) << 2)
  const shift = out - x
  let total: f64 = 0
  while (x < end) {
    const stop = min(x + SPAN, end)
    let sum = f32x4.splat(0)
    for (; x + 64 <= stop; x += 64) {
      const a = expFlushed(v128.sub<f32>(v128.load(x), base))
      const b = expFlushed(v128.sub<f32>(v128.load(x, 16), base))
      const c = expFlushed(v128.sub<f32>(v128.load(x, 32), base))
      const d = expFlushed(v128.sub<f32>(v128.load(x, 48), base))
      sum = v128.add<f32>(sum, v128.add<f32>(v128.add<f32>(a, b), v128.add<f32>(c, d)))
      if (out) {
        const to = x + shift
        v128.store(to, a)
        v128.store(to, b, 16)
        v128.store(to, c, 32)
        v128.store(to, d, 48)
      }
    }
    total += hsum(sum)
    for (; x < stop; x += 4) {
      const a = f32x4.extract_lane(expFlushed(v128.sub<f32>(v128.load32_zero(x), base)), 0)
      total += a
      if (out) store<f32>(x + shift, a)
    }
  }
  return <f32>total
}

/** ln(x) of one number. */
// @ts-ignore: decorator
@inline
export function logOf(x: f32): f32 {
  return f32x4.extract_lane(log(f32x4.splat(x)), 0)
}
