// Functions of one float32, element by element over dense memory. `out` may be `x`.
import { K, k } from './constants'
import { cos, erf, exp, exp2, expm1, log, log10, log1p, log2, sigmoid, sin, softplus, tanh } from './elementary'
import { clamp4, copyPart, fma, select4 } from './simd'

const enum Fn {
  neg,
  abs,
  sign,
  exp,
  exp2,
  expm1,
  log,
  log2,
  log10,
  log1p,
  sqrt,
  rsqrt,
  reciprocal,
  square,
  sin,
  cos,
  tan,
  tanh,
  erf,
  sigmoid,
  log_sigmoid,
  relu,
  leaky_relu,
  elu,
  silu,
  gelu,
  gelu_tanh,
  softplus,
  mish,
  hardswish,
  hardsigmoid,
  clamp,
  affine,
  floor,
  ceil,
  round,
  trunc,
}

// @ts-ignore: decorator
@inline
function splat(x: f32): v128 {
  return f32x4.splat(x)
}

/** x where it is positive, else `b`. */
// @ts-ignore: decorator
@inline
function orElse(x: v128, b: v128): v128 {
  return select4(x, b, f32x4.gt(x, splat(0)))
}

/** The function, of four lanes; p and q are its parameters, if it has any. */
// @ts-ignore: decorator
@inline
function apply(fn: Fn, x: v128, p: v128, q: v128): v128 {
  const one = k(K.one)
  if (fn == Fn.neg) return f32x4.neg(x)
  if (fn == Fn.abs) return f32x4.abs(x)
  if (fn == Fn.sign) return f32x4.sub(v128.and(f32x4.gt(x, splat(0)), one), v128.and(f32x4.lt(x, splat(0)), one))
  if (fn == Fn.exp) return exp(x)
  if (fn == Fn.exp2) return exp2(x)
  if (fn == Fn.expm1) return expm1(x)
  if (fn == Fn.log) return log(x)
  if (fn == Fn.log2) return log2(x)
  if (fn == Fn.log10) return log10(x)
  if (fn == Fn.log1p) return log1p(x)
  if (fn == Fn.sqrt) return f32x4.sqrt(x)
  if (fn == Fn.rsqrt) return f32x4.div(one, f32x4.sqrt(x))
  if (fn == Fn.reciprocal) return f32x4.div(one, x)
  if (fn == Fn.square) return f32x4.mul(x, x)
  if (fn == Fn.sin) return sin(x)
  if (fn == Fn.cos) return cos(x)
  if (fn == Fn.tan) return f32x4.div(sin(x), cos(x))
  if (fn == Fn.tanh) return tanh(x)
  if (fn == Fn.erf) return erf(x)
  if (fn == Fn.sigmoid) return sigmoid(x)
  if (fn == Fn.log_sigmoid) return f32x4.neg(softplus(f32x4.neg(x)))
  if (fn == Fn.relu) return f32x4.pmax(x, splat(0))
  if (fn == Fn.leaky_relu) return orElse(x, f32x4.mul(x, p))
  if (fn == Fn.elu) return orElse(x, f32x4.mul(expm1(x), p))
  if (fn == Fn.silu) return f32x4.div(x, f32x4.add(exp(f32x4.neg(x)), one))
  if (fn == Fn.gelu) return f32x4.mul(f32x4.mul(x, k(K.half)), f32x4.add(erf(f32x4.mul(x, k(K.rootHalf))), one))
  if (fn == Fn.gelu_tanh) {
    const inner = fma(f32x4.mul(f32x4.mul(x, x), x), k(K.geluCubic), x)
    return f32x4.mul(f32x4.mul(x, k(K.half)), f32x4.add(tanh(f32x4.mul(inner, k(K.rootTwoByPi))), one))
  }
  if (fn == Fn.softplus) {
    const t = f32x4.mul(x, p)
    return select4(x, f32x4.div(softplus(t), p), f32x4.gt(t, q))
  }
  if (fn == Fn.mish) {
    // x tanh(ln(1 + e)) = x (e² + 2e) / (e² + 2e + 2) with e = e^x
    const e = exp(f32x4.pmin(x, splat(20)))
    const n = f32x4.mul(e, f32x4.add(e, k(K.two)))
    return f32x4.mul(x, f32x4.div(n, f32x4.add(n, k(K.two))))
  }
  if (fn == Fn.hardswish) return f32x4.mul(x, sixth(x))
  if (fn == Fn.hardsigmoid) return sixth(x)
  if (fn == Fn.clamp) return clamp4(x, p, q)
  if (fn == Fn.affine) return fma(x, p, q)
  if (fn == Fn.floor) return f32x4.floor(x)
  if (fn == Fn.ceil) return f32x4.ceil(x)
  if (fn == Fn.round) return f32x4.nearest(x)
  return f32x4.trunc(x)
}

/** (x + 3) / 6, between 0 and 1. */
// @ts-ignore: decorator
@inline
function sixth(x: v128): v128 {
  return f32x4.div(clamp4(f32x4.add(x, splat(3)), splat(0), splat(6)), splat(6))
}

/** Applies the function to [begin, end). The last one to three elements go through scratch, so that the loop is there once. */
// @ts-ignore: decorator
@inline
function map(fn: Fn, x: usize, out: usize, p: f32, q: f32, scratch: usize, begin: i32, end: i32): void {
  const ps = splat(p)
  const qs = splat(q)
  const rest = (end - begin) & 3
  let from = x + (<usize>begin << 2)
  let to = out + (<usize>begin << 2)
  let stop = to + (<usize>(end - begin - rest) << 2)
  for (let last: usize = 0; ; ) {
    for (; to < stop; from += 16, to += 16) v128.store(to, apply(fn, v128.load(from), ps, qs))
    if (rest == 0) return
    if (last != 0) return copyPart(scratch, last, rest)
    copyPart(from, scratch, rest)
    last = to
    from = scratch
    to = scratch
    stop = scratch + 16
  }
}

export function neg_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.neg, x, out, 0, 0, scratch, begin, end)
}

export function abs_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.abs, x, out, 0, 0, scratch, begin, end)
}

export function sign_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.sign, x, out, 0, 0, scratch, begin, end)
}

export function exp_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.exp, x, out, 0, 0, scratch, begin, end)
}

export function exp2_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.exp2, x, out, 0, 0, scratch, begin, end)
}

export function expm1_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.expm1, x, out, 0, 0, scratch, begin, end)
}

export function log_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.log, x, out, 0, 0, scratch, begin, end)
}

export function log2_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.log2, x, out, 0, 0, scratch, begin, end)
}

export function log10_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.log10, x, out, 0, 0, scratch, begin, end)
}

export function log1p_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.log1p, x, out, 0, 0, scratch, begin, end)
}

export function sqrt_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.sqrt, x, out, 0, 0, scratch, begin, end)
}

export function rsqrt_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.rsqrt, x, out, 0, 0, scratch, begin, end)
}

export function reciprocal_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.reciprocal, x, out, 0, 0, scratch, begin, end)
}

export function square_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.square, x, out, 0, 0, scratch, begin, end)
}

export function sin_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.sin, x, out, 0, 0, scratch, begin, end)
}

export function cos_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.cos, x, out, 0, 0, scratch, begin, end)
}

export function tan_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.tan, x, out, 0, 0, scratch, begin, end)
}

export function tanh_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.tanh, x, out, 0, 0, scratch, begin, end)
}

export function erf_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.erf, x, out, 0, 0, scratch, begin, end)
}

export function sigmoid_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.sigmoid, x, out, 0, 0, scratch, begin, end)
}

export function log_sigmoid_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.log_sigmoid, x, out, 0, 0, scratch, begin, end)
}

export function relu_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.relu, x, out, 0, 0, scratch, begin, end)
}

export function silu_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.silu, x, out, 0, 0, scratch, begin, end)
}

export function gelu_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.gelu, x, out, 0, 0, scratch, begin, end)
}

export function gelu_tanh_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.gelu_tanh, x, out, 0, 0, scratch, begin, end)
}

export function mish_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.mish, x, out, 0, 0, scratch, begin, end)
}

export function hardswish_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.hardswish, x, out, 0, 0, scratch, begin, end)
}

export function hardsigmoid_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.hardsigmoid, x, out, 0, 0, scratch, begin, end)
}

export function floor_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.floor, x, out, 0, 0, scratch, begin, end)
}

export function ceil_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.ceil, x, out, 0, 0, scratch, begin, end)
}

export function round_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.round, x, out, 0, 0, scratch, begin, end)
}

export function trunc_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  map(Fn.trunc, x, out, 0, 0, scratch, begin, end)
}

/** x where positive, else slope × x. */
export function leaky_relu_f32(x: usize, out: usize, slope: f32, scratch: usize, begin: i32, end: i32): void {
  map(Fn.leaky_relu, x, out, slope, 0, scratch, begin, end)
}

/** x where positive, else alpha (e^x - 1). */
export function elu_f32(x: usize, out: usize, alpha: f32, scratch: usize, begin: i32, end: i32): void {
  map(Fn.elu, x, out, alpha, 0, scratch, begin, end)
}

/** ln(1 + e^(beta x)) / beta, and x itself where beta x is above the threshold. */
export function softplus_f32(x: usize, out: usize, beta: f32, threshold: f32, scratch: usize, begin: i32, end: i32): void {
  map(Fn.softplus, x, out, beta, threshold, scratch, begin, end)
}

/** x kept between low and high; NaN stays. */
export function clamp_f32(x: usize, out: usize, low: f32, high: f32, scratch: usize, begin: i32, end: i32): void {
  map(Fn.clamp, x, out, low, high, scratch, begin, end)
}

/** scale × x + shift. */
export function affine_f32(x: usize, out: usize, scale: f32, shift: f32, scratch: usize, begin: i32, end: i32): void {
  map(Fn.affine, x, out, scale, shift, scratch, begin, end)
}
