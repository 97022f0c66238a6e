// Functions of one float32, element by element over dense memory. `out` may be `x`.
import {
  copysign,
  copyPart,
  cos,
  erf,
  exp,
  exp2,
  expFlushed,
  expm1,
  fma,
  log,
  log10,
  log1p,
  log2,
  sigmoid,
  sin,
  tanh,
} from './simd'

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

/** Lanes of `a` where x > 0, else of `b`. */
// @ts-ignore: decorator
@inline
function wherePositive(x: v128, a: v128, b: v128): v128 {
  return v128.bitselect(a, b, f32x4.gt(x, splat(0)))
}

/** The function, of four lanes; p and q are its parameters, if it has any. */
// @ts-ignore: decorator
@inline
function apply(fn: Fn, x: v128, p: v128, q: v128): v128 {
  if (fn == Fn.neg) return f32x4.neg(x)
  if (fn == Fn.abs) return f32x4.abs(x)
  if (fn == Fn.sign) {
    const one = splat(1)
    return v128.sub<f32>(v128.and(f32x4.gt(x, splat(0)), one), v128.and(f32x4.lt(x, splat(0)), one))
  }
  if (fn == Fn.exp) return exp(x)
  if (fn == Fn.exp2) return exp2(x)
  if (fn == Fn.expm1) return expm1(x)
  if (fn == Fn.log) return log(x)
  if (fn == Fn.log2) return log2(x)
  if (fn == Fn.log10) return log10(x)
  if (fn == Fn.log1p) return log1p(x)
  if (fn == Fn.sqrt) return f32x4.sqrt(x)
  if (fn == Fn.rsqrt) return v128.div<f32>(splat(1), f32x4.sqrt(x))
  if (fn == Fn.reciprocal) return v128.div<f32>(splat(1), x)
  if (fn == Fn.square) return v128.mul<f32>(x, x)
  if (fn == Fn.sin) return sin(x)
  if (fn == Fn.cos) return cos(x)
  if (fn == Fn.tan) return v128.div<f32>(sin(x), cos(x))
  if (fn == Fn.tanh) return tanh(x)
  if (fn == Fn.erf) return erf(x)
  if (fn == Fn.sigmoid) return sigmoid(x)
  if (fn == Fn.log_sigmoid) return v128.sub<f32>(f32x4.min(x, splat(0)), log1p(exp(f32x4.neg(f32x4.abs(x)))))
  if (fn == Fn.relu) return f32x4.max(x, splat(0))
  if (fn == Fn.leaky_relu) return wherePositive(x, x, v128.mul<f32>(x, p))
  if (fn == Fn.elu) return wherePositive(x, x, v128.mul<f32>(expm1(x), p))
  if (fn == Fn.silu) return v128.div<f32>(x, v128.add<f32>(exp(f32x4.neg(x)), splat(1)))
  if (fn == Fn.gelu) return v128.mul<f32>(v128.mul<f32>(x, splat(0.5)), v128.add<f32>(erf(v128.mul<f32>(x, splat(0.707106781))), splat(1)))
  if (fn == Fn.gelu_tanh) {
    const cubic = fma(v128.mul<f32>(v128.mul<f32>(x, x), x), splat(0.044715), x)
    return v128.mul<f32>(v128.mul<f32>(x, splat(0.5)), v128.add<f32>(tanh(v128.mul<f32>(cubic, splat(0.797884561))), splat(1)))
  }
  if (fn == Fn.softplus) {
    const t = v128.mul<f32>(x, p)
    return v128.bitselect(x, v128.div<f32>(log1p(exp(t)), p), f32x4.gt(t, q))
  }
  if (fn == Fn.mish) {
    // x tanh(ln(1 + e)) = x (e² + 2e) / (e² + 2e + 2) with e = e^x
    const e = exp(f32x4.min(x, splat(20)))
    const n = v128.mul<f32>(e, v128.add<f32>(e, splat(2)))
    return v128.mul<f32>(x, v128.div<f32>(n, v128.add<f32>(n, splat(2))))
  }
  if (fn == Fn.hardswish) return v128.mul<f32>(x, sixth(x))
  if (fn == Fn.hardsigmoid) return sixth(x)
  if (fn == Fn.clamp) return f32x4.min(f32x4.max(x, p), q)
  if (fn == Fn.floor) return f32x4.floor(x)
  if (fn == Fn.ceil) return f32x4.ceil(x)
  if (fn == Fn.round) return f32x4.nearest(x)
  return f32x4.trunc(x)
}

/** (x + 3) / 6, between 0 and 1. */
// @ts-ignore: decorator
@inline
function sixth(x: v128): v128 {
  return v128.div<f32>(f32x4.min(f32x4.max(v128.add<f32>(x, splat(3)), splat(0)), splat(6)), splat(6))
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
