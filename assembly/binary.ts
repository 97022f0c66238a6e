// Functions of two float32 with broadcasting, and the gradients of functions of one: g is the gradient that comes in.
import { K, k } from './constants'
import { erf, exp, expFlushed, pow, sigmoid, softplus, tanh } from './elementary'
import { copyPart, fma, select4 } from './simd'
import { blockOf, stage } from './strided'

const enum Fn {
  add,
  sub,
  mul,
  div,
  pow,
  maximum,
  minimum,
  add_scaled,
  relu_backward,
  leaky_relu_backward,
  elu_backward,
  clamp_backward,
  sigmoid_backward,
  tanh_backward,
  silu_backward,
  gelu_backward,
  gelu_tanh_backward,
  softplus_backward,
  mish_backward,
  hardswish_backward,
}

// @ts-ignore: decorator
@inline
function splat(x: f32): v128 {
  return f32x4.splat(x)
}

// @ts-ignore: decorator
@inline
function mul(a: v128, b: v128): v128 {
  return f32x4.mul(a, b)
}

// @ts-ignore: decorator
@inline
function add(a: v128, b: v128): v128 {
  return f32x4.add(a, b)
}

/** The function, of four lanes; p and q are its parameters, if it has any. */
// @ts-ignore: decorator
@inline
function apply(fn: Fn, a: v128, b: v128, p: v128, q: v128): v128 {
  if (fn == Fn.add) return add(a, b)
  if (fn == Fn.sub) return f32x4.sub(a, b)
  if (fn == Fn.mul) return mul(a, b)
  if (fn == Fn.div) return f32x4.div(a, b)
  if (fn == Fn.pow) return pow(a, b)
  if (fn == Fn.maximum) return f32x4.max(a, b)
  if (fn == Fn.minimum) return f32x4.min(a, b)
  if (fn == Fn.add_scaled) return fma(b, p, a)
  return mul(a, slope(fn, b, p, q))
}

/** Derivative at b: at the function's argument, or at its result for those that say so below. */
// @ts-ignore: decorator
@inline
function slope(fn: Fn, b: v128, p: v128, q: v128): v128 {
  const one = k(K.one)
  const positive = f32x4.gt(b, splat(0))
  if (fn == Fn.relu_backward) return v128.and(positive, one)
  if (fn == Fn.leaky_relu_backward) return select4(one, p, positive)
  if (fn == Fn.elu_backward) return select4(one, mul(exp(b), p), positive)
  if (fn == Fn.clamp_backward) return v128.and(v128.and(f32x4.ge(b, p), f32x4.le(b, q)), one)
  if (fn == Fn.sigmoid_backward) return mul(b, f32x4.sub(one, b))
  if (fn == Fn.tanh_backward) return f32x4.sub(one, mul(b, b))
  if (fn == Fn.silu_backward) {
    const s = sigmoid(b)
    return mul(s, fma(b, f32x4.sub(one, s), one))
  }
  if (fn == Fn.gelu_backward) {
    const cdf = mul(add(erf(mul(b, k(K.rootHalf))), one), k(K.half))
    return fma(mul(b, k(K.bell)), expFlushed(mul(mul(b, b), k(K.minusHalf))), cdf)
  }
  if (fn == Fn.gelu_tanh_backward) {
    const square = mul(b, b)
    const t = tanh(mul(fma(mul(square, b), k(K.geluCubic), b), k(K.rootTwoByPi)))
    const inner = fma(square, k(K.geluSlope), k(K.rootTwoByPi))
    return mul(fma(mul(b, inner), f32x4.sub(one, mul(t, t)), add(t, one)), k(K.half))
  }
  if (fn == Fn.softplus_backward) {
    const t = mul(b, p)
    return select4(one, sigmoid(t), f32x4.gt(t, q))
  }
  if (fn == Fn.mish_backward) {
    const t = tanh(softplus(b))
    return fma(mul(b, sigmoid(b)), f32x4.sub(one, mul(t, t)), t)
  }
  // hardswish: (2b + 3) / 6 between -3 and 3
  const middle = fma(b, splat(0.333333343), k(K.half))
  return select4(one, v128.and(middle, f32x4.gt(b, splat(-3))), f32x4.ge(b, splat(3)))
}

/** Applies the function to [begin, end), block by block. The last one to three elements go through scratch, so that the loop is there once. */
// @ts-ignore: decorator
@inline
function zip(fn: Fn, a: usize, b: usize, out: usize, p: f32, q: f32, layout: usize, scratch: usize, begin: i32, end: i32): void {
  const ps = splat(p)
  const qs = splat(q)
  const ends = scratch + ENDS
  const block = blockOf(layout, end - begin)
  for (let i = begin; i < end; i += block) {
    const n = min(block, end - i)
    const rest = n & 3
    let x = stage<u32>(a, layout, 0, begin, i, n, scratch)
    let y = stage<u32>(b, layout, 1, begin, i, n, scratch)
    let to = out + (<usize>i << 2)
    let stop = to + (<usize>(n - rest) << 2)
    for (let last: usize = 0; ; ) {
      for (; to < stop; x += 16, y += 16, to += 16) v128.store(to, apply(fn, v128.load(x), v128.load(y), ps, qs))
      if (rest == 0) break
      if (last != 0) {
        copyPart(ends, last, rest)
        break
      }
      copyPart(x, ends, rest)
      copyPart(y, ends + 16, rest)
      last = to
      x = ends
      y = ends + 16
      to = ends
      stop = ends + 16
    }
  }
}

/** Offset in scratch of the last elements: behind what `stage` uses. */
const ENDS: usize = 65536

export function add_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.add, a, b, out, 0, 0, layout, scratch, begin, end)
}

export function sub_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.sub, a, b, out, 0, 0, layout, scratch, begin, end)
}

export function mul_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.mul, a, b, out, 0, 0, layout, scratch, begin, end)
}

export function div_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.div, a, b, out, 0, 0, layout, scratch, begin, end)
}

export function pow_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.pow, a, b, out, 0, 0, layout, scratch, begin, end)
}

export function maximum_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.maximum, a, b, out, 0, 0, layout, scratch, begin, end)
}

export function minimum_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.minimum, a, b, out, 0, 0, layout, scratch, begin, end)
}

/** a + alpha × b. */
export function add_scaled_f32(a: usize, b: usize, out: usize, alpha: f32, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.add_scaled, a, b, out, alpha, 0, layout, scratch, begin, end)
}

export function relu_backward_f32(g: usize, y: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.relu_backward, g, y, out, 0, 0, layout, scratch, begin, end)
}

export function leaky_relu_backward_f32(g: usize, x: usize, out: usize, slope: f32, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.leaky_relu_backward, g, x, out, slope, 0, layout, scratch, begin, end)
}

export function elu_backward_f32(g: usize, x: usize, out: usize, alpha: f32, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.elu_backward, g, x, out, alpha, 0, layout, scratch, begin, end)
}

export function clamp_backward_f32(g: usize, x: usize, out: usize, low: f32, high: f32, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.clamp_backward, g, x, out, low, high, layout, scratch, begin, end)
}

/** From the result y. */
export function sigmoid_backward_f32(g: usize, y: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.sigmoid_backward, g, y, out, 0, 0, layout, scratch, begin, end)
}

/** From the result y. */
export function tanh_backward_f32(g: usize, y: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.tanh_backward, g, y, out, 0, 0, layout, scratch, begin, end)
}

export function silu_backward_f32(g: usize, x: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.silu_backward, g, x, out, 0, 0, layout, scratch, begin, end)
}

export function gelu_backward_f32(g: usize, x: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.gelu_backward, g, x, out, 0, 0, layout, scratch, begin, end)
}

export function gelu_tanh_backward_f32(g: usize, x: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.gelu_tanh_backward, g, x, out, 0, 0, layout, scratch, begin, end)
}

export function softplus_backward_f32(g: usize, x: usize, out: usize, beta: f32, threshold: f32, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.softplus_backward, g, x, out, beta, threshold, layout, scratch, begin, end)
}

export function mish_backward_f32(g: usize, x: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.mish_backward, g, x, out, 0, 0, layout, scratch, begin, end)
}

export function hardswish_backward_f32(g: usize, x: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip(Fn.hardswish_backward, g, x, out, 0, 0, layout, scratch, begin, end)
}
