// The elementary functions, of four lanes at a time. Polynomials are minimax fits (Remez, weighted for relative error); errors are
// measured against f64 over the whole range. NaN goes in and comes out; infinities and overflow give what libm gives.
import { K, k } from './constants'
import { clamp4, copysign, fma, select4 } from './simd'

/** e^r - 1 for |r| ≤ ln 2 / 2, with small relative error also near 0. */
// @ts-ignore: decorator
@inline
function expm1Core(r: v128): v128 {
  let p = fma(k(K.exp6), r, k(K.exp5))
  p = fma(p, r, k(K.exp4))
  p = fma(p, r, k(K.exp3))
  p = fma(p, r, k(K.exp2))
  return fma(f32x4.mul(r, r), p, r)
}

/** x - n ln 2, in two steps so that the first is exact. */
// @ts-ignore: decorator
@inline
function reduceLn2(x: v128, n: v128): v128 {
  return fma(n, k(K.minusLn2Low), fma(n, k(K.minusLn2High), x))
}

/** `unit` × 2^n, n being the whole number in the low bits of `shifted`. */
// @ts-ignore: decorator
@inline
function timesPowerOf2(unit: K, shifted: v128): v128 {
  return i32x4.add(i32x4.shl(shifted, 23), k(unit))
}

/** e^x, within 1.2 ulp; below -86.9 it is 0, since subnormal numbers are slow. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const clamped = clamp4(x, k(K.expLeast), k(K.expMost))
  const shifted = fma(clamped, k(K.log2e), k(K.round))
  const p = expm1Core(reduceLn2(clamped, f32x4.sub(shifted, k(K.round))))
  // Doubled at the end, since 2^128 is beyond the range where e^x is not yet.
  const half = timesPowerOf2(K.half, shifted)
  const y = fma(p, half, half)
  return v128.andnot(f32x4.add(y, y), f32x4.lt(x, k(K.expLeast)))
}

/**
 * e^x for x ≤ 88, cheaper; below -87.3 it is 0. What softmax needs. Nothing is clamped: the exponent is added to the bits of e^r,
 * and what that makes of smaller x, -∞ too, is masked.
 */
// @ts-ignore: decorator
@inline
export function expFlushed(x: v128): v128 {
  const shifted = fma(x, k(K.log2e), k(K.round))
  const r = reduceLn2(x, f32x4.sub(shifted, k(K.round)))
  let p = fma(k(K.exp6), r, k(K.exp5))
  p = fma(p, r, k(K.exp4))
  p = fma(p, r, k(K.exp3))
  p = fma(p, r, k(K.exp2))
  p = fma(p, r, k(K.one))
  p = fma(p, r, k(K.one))
  return v128.andnot(i32x4.add(p, i32x4.shl(shifted, 23)), f32x4.lt(x, k(K.flushedLeast)))
}

/** 2^x, within 1.2 ulp; below -125.4 it is 0. */
// @ts-ignore: decorator
@inline
export function exp2(x: v128): v128 {
  const least = f32x4.splat(-125.4)
  const clamped = clamp4(x, least, f32x4.splat(128))
  const shifted = f32x4.add(clamped, k(K.round))
  const r = f32x4.sub(clamped, f32x4.sub(shifted, k(K.round)))
  const half = timesPowerOf2(K.half, shifted)
  const y = fma(expm1Core(f32x4.mul(r, f32x4.splat(0.69314718))), half, half)
  return v128.andnot(f32x4.add(y, y), f32x4.lt(x, least))
}

/** e^x - 1, within 2 ulp, also near 0. */
// @ts-ignore: decorator
@inline
export function expm1(x: v128): v128 {
  const clamped = clamp4(x, k(K.expLeast), k(K.expMost))
  const shifted = fma(clamped, k(K.log2e), k(K.round))
  const p = expm1Core(reduceLn2(clamped, f32x4.sub(shifted, k(K.round))))
  const half = timesPowerOf2(K.half, shifted)
  const y = fma(half, p, f32x4.sub(half, k(K.half)))
  return copysign(f32x4.add(y, y), x) // for -0
}

/**
 * ln(x) = e ln 2 + ln(1 + f) with 1 + f in [√½, √2): returned scaled as e high + (e low + scale × ln(1 + f)), where
 * high + low = scale × ln 2 and e high is exact. Natural, binary and decimal logarithms differ in these three numbers alone.
 * x is positive and normal; `lowered` is taken from e.
 */
// @ts-ignore: decorator
@inline
function logCore(x: v128, lowered: v128, scale: f32, high: v128, low: v128): v128 {
  const exponent = i32x4.shr_s(i32x4.sub(x, k(K.rootHalfBits)), 23)
  const e = f32x4.convert_i32x4_s(i32x4.sub(exponent, lowered))
  const f = f32x4.sub(i32x4.sub(x, i32x4.shl(exponent, 23)), k(K.one))
  const s = f32x4.div(f, f32x4.add(f, k(K.two)))
  const z = f32x4.mul(s, s)
  const rest = f32x4.mul(z, fma(fma(k(K.log3), z, k(K.log2)), z, k(K.log1)))
  let y = f32x4.sub(f, f32x4.mul(s, f32x4.sub(f, rest)))
  if (scale != 1) y = f32x4.mul(y, f32x4.splat(scale))
  return fma(e, high, fma(e, low, y))
}

/** The same for any x: 0 → -∞, ∞ → ∞, negative and NaN → NaN. */
// @ts-ignore: decorator
@inline
function logScaled(x: v128, scale: f32, high: v128, low: v128): v128 {
  const subnormal = f32x4.lt(x, k(K.leastNormal))
  const normal = select4(f32x4.mul(x, f32x4.splat(8388608)), x, subnormal) // × 2^23
  const y = logCore(normal, v128.and(subnormal, i32x4.splat(23)), scale, high, low)
  const zero = f32x4.eq(x, f32x4.splat(0))
  const beyond = f32x4.sub(f32x4.sqrt(x), v128.and(zero, k(K.infinity)))
  const inside = v128.and(f32x4.gt(x, f32x4.splat(0)), f32x4.lt(x, k(K.infinity)))
  return select4(y, beyond, inside)
}

/** ln(x), within 1 ulp. */
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  return logScaled(x, 1, k(K.ln2High), k(K.ln2Low))
}

/** Binary logarithm, within 2 ulp; exact for powers of 2. */
// @ts-ignore: decorator
@inline
export function log2(x: v128): v128 {
  return logScaled(x, 1.44269504, k(K.one), f32x4.splat(0))
}

/** Decimal logarithm, within 2 ulp. */
// @ts-ignore: decorator
@inline
export function log10(x: v128): v128 {
  return logScaled(x, 0.434294482, f32x4.splat(0.301025391), f32x4.splat(4.60503898e-6))
}

/** ln(1 + x), within 2 ulp, also near 0. */
// @ts-ignore: decorator
@inline
export function log1p(x: v128): v128 {
  const u = f32x4.add(x, k(K.one))
  const lost = f32x4.div(f32x4.sub(x, f32x4.sub(u, k(K.one))), u) // what rounding took from 1 + x
  const finite = v128.and(f32x4.gt(u, f32x4.splat(0)), f32x4.lt(u, k(K.infinity)))
  const y = f32x4.add(log(u), v128.and(lost, finite))
  return select4(x, y, f32x4.eq(u, k(K.one))) // below 2^-24, -0 too
}

/** ln(1 + e^x), within 2 ulp. */
// @ts-ignore: decorator
@inline
export function softplus(x: v128): v128 {
  // max(x, 0) + ln(1 + e) with e = e^-|x| in (0, 1], where ln(1 + e) needs no special cases
  const e = expFlushed(f32x4.neg(f32x4.abs(x)))
  const u = f32x4.add(e, k(K.one))
  const lost = f32x4.sub(e, f32x4.sub(u, k(K.one)))
  const y = f32x4.add(logCore(u, f32x4.splat(0), 1, k(K.ln2High), k(K.ln2Low)), lost)
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), y)
}

/** 1 / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  return f32x4.div(k(K.one), f32x4.add(exp(f32x4.neg(x)), k(K.one)))
}

/** tanh(x), relative error at most 4e-7. */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const c = clamp4(x, k(K.tanhLeast), k(K.tanhMost))
  const z = f32x4.mul(c, c)
  let p = fma(k(K.tanhP4), z, k(K.tanhP3))
  p = fma(p, z, k(K.tanhP2))
  p = fma(p, z, k(K.tanhP1))
  p = fma(p, z, k(K.one))
  let q = fma(k(K.tanhQ4), z, k(K.tanhQ3))
  q = fma(q, z, k(K.tanhQ2))
  q = fma(q, z, k(K.tanhQ1))
  q = fma(q, z, k(K.one))
  return clamp4(f32x4.div(f32x4.mul(c, p), q), k(K.minusOne), k(K.one))
}

/** The error function, relative error at most 4e-7. */
// @ts-ignore: decorator
@inline
export function erf(x: v128): v128 {
  const c = clamp4(x, k(K.erfLeast), k(K.erfMost))
  const z = f32x4.mul(c, c)
  let p = fma(k(K.erfP5), z, k(K.erfP4))
  p = fma(p, z, k(K.erfP3))
  p = fma(p, z, k(K.erfP2))
  p = fma(p, z, k(K.erfP1))
  p = fma(p, z, k(K.erfP0))
  let q = fma(k(K.erfQ5), z, k(K.erfQ4))
  q = fma(q, z, k(K.erfQ3))
  q = fma(q, z, k(K.erfQ2))
  q = fma(q, z, k(K.erfQ1))
  q = fma(q, z, k(K.one))
  return clamp4(f32x4.div(f32x4.mul(c, p), q), k(K.minusOne), k(K.one))
}

/** Whole multiples of π/2 in two lanes of f64. */
// @ts-ignore: decorator
@inline
function quarters(d: v128): v128 {
  return f64x2.nearest(f64x2.mul(d, f64x2.splat(0.63661977236758134)))
}

/** What is left of an angle without n quarter turns. The first product is exact: 24 bits of π/2 by up to 29 of n. */
// @ts-ignore: decorator
@inline
function withoutQuarters(d: v128, n: v128): v128 {
  const r = f64x2.sub(d, f64x2.mul(n, f64x2.splat(1.5707962512969971)))
  return f64x2.sub(r, f64x2.mul(n, f64x2.splat(7.5497899548918822e-8)))
}

/** 64 bits of 1 / 2π behind the point, in words of 64. */
function turnBits(word: i32): u64 {
  if (word == 0) return 0x28be60db9391054a
  if (word == 1) return 0x7f09d5f47d4d3770
  return word == 2 ? 0x36d8a5664f10e410 : 0x7f9458eaf7aef158
}

/** An angle of 2^28 or more (infinite ones give NaN) without whole turns: x / 2π from as many bits of 1 / 2π as matter. */
function withoutTurns(x: f32): f64 {
  const bits = reinterpret<u32>(x)
  const exponent = <i32>((bits >> 23) & 255)
  if (exponent == 255) return NaN
  const mantissa = <u64>((bits & 0x7fffff) | 0x800000)
  const shift = exponent - 150
  const word = shift >> 6
  const skipped = <u64>(shift & 63)
  // Bits above the point are whole turns; 96 below it are kept.
  let first = turnBits(word) << skipped
  let second = turnBits(word + 1) << skipped
  if (skipped) {
    first |= turnBits(word + 1) >> (64 - skipped)
    second |= turnBits(word + 2) >> (64 - skipped)
  }
  const turns = <i64>(mantissa * first + ((mantissa * (second >> 32)) >> 32))
  return <f64>turns * (x < 0 ? -3.4061215800865545e-19 : 3.4061215800865545e-19) // 2π / 2^64
}

/** Two angles, of 2^28 or more, without whole turns. */
function pairWithoutTurns(d: v128): v128 {
  const a = withoutTurns(<f32>f64x2.extract_lane(d, 0))
  const b = withoutTurns(<f32>f64x2.extract_lane(d, 1))
  const large = f64x2.ge(f64x2.abs(d), f64x2.splat(268435456))
  return v128.bitselect(f64x2.replace_lane(f64x2.splat(a), 1, b), d, large)
}

/** sin(x + shift × π/2), within 2 ulp: the angle is reduced in f64. */
// @ts-ignore: decorator
@inline
function sineShifted(x: v128, shift: i32): v128 {
  let d0 = f64x2.promote_low_f32x4(x)
  let d1 = f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 0))
  if (v128.any_true(f32x4.ge(f32x4.abs(x), f32x4.splat(268435456)))) {
    d0 = pairWithoutTurns(d0)
    d1 = pairWithoutTurns(d1)
  }
  const n0 = quarters(d0)
  const n1 = quarters(d1)
  const r0 = f32x4.demote_f64x2_zero(withoutQuarters(d0, n0))
  const r1 = f32x4.demote_f64x2_zero(withoutQuarters(d1, n1))
  const r = v128.shuffle<i64>(r0, r1, 0, 2)
  const whole = v128.shuffle<i64>(i32x4.trunc_sat_f64x2_s_zero(n0), i32x4.trunc_sat_f64x2_s_zero(n1), 0, 2)
  const quadrant = i32x4.add(whole, i32x4.splat(shift))
  const z = v128.mul<f32>(r, r)
  const s = fma(v128.mul<f32>(z, r), fma(fma(f32x4.splat(-1.95166547e-4), z, f32x4.splat(8.33217334e-3)), z, f32x4.splat(-0.166666552)), r)
  const c = fma(v128.mul<f32>(z, z), fma(fma(f32x4.splat(2.44377279e-5), z, f32x4.splat(-1.38873619e-3)), z, f32x4.splat(0.0416666456)), fma(z, f32x4.splat(-0.5), f32x4.splat(1)))
  const odd = i32x4.eq(v128.and(quadrant, i32x4.splat(1)), i32x4.splat(1))
  const sign = i32x4.shl(v128.and(quadrant, i32x4.splat(2)), 30)
  return v128.xor(v128.bitselect(c, s, odd), sign)
}

// @ts-ignore: decorator
@inline
export function sin(x: v128): v128 {
  return sineShifted(x, 0)
}

// @ts-ignore: decorator
@inline
export function cos(x: v128): v128 {
  return sineShifted(x, 1)
}

/** ln|x| of two floats widened to f64, to about 2^-33: what `pow` needs, since its exponent may multiply the error by 88. */
// @ts-ignore: decorator
@inline
function logWide(x: v128): v128 {
  const bits = v128.and(x, i64x2.splat(0x7fffffffffffffff))
  const exponent = i64x2.shr_s(i64x2.sub(bits, i64x2.splat(0x3fe6a09e667f3bcd)), 52) // √½
  const m = i64x2.sub(bits, i64x2.shl(exponent, 52))
  // Small whole numbers as f64: the low halves of the lanes are their int32s.
  const k = f64x2.convert_low_i32x4_s(v128.shuffle<i32>(exponent, exponent, 0, 2, 0, 2))
  const f = f64x2.sub(m, f64x2.splat(1))
  const s = f64x2.div(f, f64x2.add(f, f64x2.splat(2)))
  const z = f64x2.mul(s, s)
  let p = f64x2.add(f64x2.mul(z, f64x2.splat(0.23582891110161713)), f64x2.splat(0.2853727669949871))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(0.40000335563435124))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(0.6666666564448033))
  p = f64x2.mul(f64x2.mul(p, z), s)
  return f64x2.add(f64x2.mul(k, f64x2.splat(0.6931471805599453)), f64x2.add(f64x2.add(s, s), p))
}

/** e^x of two f64, clamped to what float32 can tell from 0 and infinity. */
// @ts-ignore: decorator
@inline
function expWide(x: v128): v128 {
  const clamped = f64x2.max(f64x2.min(x, f64x2.splat(100)), f64x2.splat(-110))
  const n = f64x2.nearest(f64x2.mul(clamped, f64x2.splat(1.4426950408889634)))
  const r = f64x2.sub(clamped, f64x2.mul(n, f64x2.splat(0.6931471805599453)))
  let p = f64x2.add(f64x2.mul(r, f64x2.splat(0.00019790346495881394)), f64x2.splat(0.0013944660279534107))
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.008333497069302212))
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.0416662949365211))
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.16666665868935585))
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.5000000067685971))
  p = f64x2.add(f64x2.add(f64x2.mul(f64x2.mul(r, r), p), r), f64x2.splat(1))
  const power = i64x2.shl(i64x2.add(i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(n)), i64x2.splat(1023)), 52)
  return f64x2.mul(p, power)
}

/** x^y as libm defines it, within 1 ulp: by logarithm and exponential in f64. */
// @ts-ignore: decorator
@inline
export function pow(x: v128, y: v128): v128 {
  const one = f32x4.splat(1)
  const magnitude = f32x4.abs(x)
  const high = v128.shuffle<i64>(magnitude, magnitude, 1, 0)
  const yHigh = v128.shuffle<i64>(y, y, 1, 0)
  const t0 = f64x2.mul(logWide(f64x2.promote_low_f32x4(magnitude)), f64x2.promote_low_f32x4(y))
  const t1 = f64x2.mul(logWide(f64x2.promote_low_f32x4(high)), f64x2.promote_low_f32x4(yHigh))
  let r = v128.shuffle<i64>(f32x4.demote_f64x2_zero(expWide(t0)), f32x4.demote_f64x2_zero(expWide(t1)), 0, 2)
  // |x| of 0 or ∞: 0 or ∞ as the signs of y and of the logarithm have it.
  const zero = f32x4.eq(magnitude, f32x4.splat(0))
  const infinite = f32x4.eq(magnitude, f32x4.splat(Infinity))
  const grows = v128.xor(zero, f32x4.gt(y, f32x4.splat(0)))
  r = v128.bitselect(v128.and(grows, f32x4.splat(Infinity)), r, v128.or(zero, infinite))
  // A negative base: only whole exponents, and odd ones keep the sign.
  const whole = f32x4.eq(f32x4.nearest(y), y)
  const small = f32x4.lt(f32x4.abs(y), f32x4.splat(16777216))
  const odd = v128.and(v128.and(whole, small), i32x4.shl(i32x4.trunc_sat_f32x4_s(y), 31))
  r = v128.or(r, v128.and(v128.and(odd, x), i32x4.splat(0x80000000)))
  const invalid = v128.and(f32x4.lt(x, f32x4.splat(0)), v128.andnot(f32x4.gt(x, f32x4.splat(-Infinity)), whole))
  r = v128.bitselect(f32x4.splat(NaN), r, v128.or(invalid, v128.or(f32x4.ne(x, x), f32x4.ne(y, y))))
  const unit = v128.and(f32x4.eq(magnitude, one), f32x4.eq(f32x4.abs(y), f32x4.splat(Infinity)))
  return v128.bitselect(one, r, v128.or(v128.or(f32x4.eq(x, one), f32x4.eq(y, f32x4.splat(0))), unit))
}
