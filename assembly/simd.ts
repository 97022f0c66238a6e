// The one place that knows about relaxed SIMD: everything below compiles to the best instruction of its build.

/** a * b + c in each lane: one rounding in the relaxed build, two in the plain one. */
// @ts-ignore: decorator
@inline
export function fma(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c)
  return f32x4.add(f32x4.mul(a, b), c)
}

/** a[2i] b[2i] + a[2i+1] b[2i+1] of int8, in eight lanes of int16. `b` must be in 0 … 127: then every engine agrees. */
// @ts-ignore: decorator
@inline
export function dotPairs(a: v128, b: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(a, b)
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(a), i16x8.extend_low_i8x16_s(b))
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(a), i16x8.extend_high_i8x16_s(b))
  return i16x8.narrow_i32x4_s(low, high)
}

/** Sum of the four lanes, pairwise. */
// @ts-ignore: decorator
@inline
export function hsum(v: v128): f32 {
  const pair = f32x4.add(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1))
  return f32x4.extract_lane(f32x4.add(pair, v128.shuffle<f32>(pair, pair, 1, 0, 3, 2)), 0)
}

/** Largest of the four lanes. */
// @ts-ignore: decorator
@inline
export function hmax(v: v128): f32 {
  const pair = f32x4.max(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1))
  return f32x4.extract_lane(f32x4.max(pair, v128.shuffle<f32>(pair, pair, 1, 0, 3, 2)), 0)
}

// ---- elementary functions of four lanes. Polynomials are minimax fits (Remez, weighted for relative error); errors are measured
// against f64 over the whole range. NaN goes in and comes out; infinities, overflow and underflow give what libm gives.

// @ts-ignore: decorator
@inline
function splat(x: f32): v128 {
  return f32x4.splat(x)
}

/** Magic number whose addition rounds to an integer, which is then found in the low bits. */
export const ROUND: f32 = 12582912 // 1.5 × 2^23
export const ROUND_BITS: i32 = 0x4b400000

/** exp(r) - 1 for |r| ≤ ln 2 / 2, with small relative error also near 0. */
// @ts-ignore: decorator
@inline
function expm1Core(r: v128): v128 {
  let p = fma(splat(1.388250384e-3), r, splat(8.366581052e-3))
  p = fma(p, r, splat(0.0416672006))
  p = fma(p, r, splat(0.1666654348))
  p = fma(p, r, splat(0.4999999702))
  return fma(v128.mul<f32>(r, r), p, r)
}

/** x - n ln 2, in two steps so that the first is exact. */
// @ts-ignore: decorator
@inline
function reduceLn2(x: v128, n: v128): v128 {
  return fma(n, splat(-1.42860682e-6), fma(n, splat(-0.693145752), x))
}

/** 2^n for whole n in [-126, 127]. */
// @ts-ignore: decorator
@inline
function pow2i(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23)
}

/** p 2^n for whole n in [-252, 254]: two factors, since neither the largest nor a subnormal power fits one. */
// @ts-ignore: decorator
@inline
function scale2(p: v128, n: v128): v128 {
  const half = i32x4.shr_s(n, 1)
  return v128.mul<f32>(v128.mul<f32>(p, pow2i(half)), pow2i(i32x4.sub(n, half)))
}

/** e^x, within 1 ulp. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const clamped = f32x4.max(f32x4.min(x, splat(89)), splat(-104.5))
  const shifted = fma(clamped, splat(1.44269504), splat(ROUND))
  const n = v128.sub<f32>(shifted, splat(ROUND))
  const p = v128.add<f32>(expm1Core(reduceLn2(clamped, n)), splat(1))
  return scale2(p, i32x4.sub(shifted, i32x4.splat(ROUND_BITS)))
}

/**
 * e^x for x ≤ 88, at half the cost of `exp`: 0 below -87. What softmax needs. There is no clamping: the exponent is added to the
 * bits of e^r, and what that makes of smaller x (-∞ too) is masked. Two or four at a time hide its latency.
 */
// @ts-ignore: decorator
@inline
export function expFlushed(x: v128): v128 {
  const shifted = fma(x, splat(1.44269504), splat(ROUND))
  const r = reduceLn2(x, v128.sub<f32>(shifted, splat(ROUND)))
  let p = fma(splat(1.388250384e-3), r, splat(8.366581052e-3))
  p = fma(p, r, splat(0.0416672006))
  p = fma(p, r, splat(0.1666654348))
  p = fma(p, r, splat(0.4999999702))
  p = fma(p, r, splat(1))
  p = fma(p, r, splat(1))
  return v128.andnot(i32x4.add(p, i32x4.shl(shifted, 23)), f32x4.lt(x, splat(-87)))
}

/** 2^x, within 1 ulp. */
// @ts-ignore: decorator
@inline
export function exp2(x: v128): v128 {
  const clamped = f32x4.max(f32x4.min(x, splat(129)), splat(-151))
  const shifted = v128.add<f32>(clamped, splat(ROUND))
  const r = v128.sub<f32>(clamped, v128.sub<f32>(shifted, splat(ROUND)))
  const p = v128.add<f32>(expm1Core(v128.mul<f32>(r, splat(0.69314718))), splat(1))
  return scale2(p, i32x4.sub(shifted, i32x4.splat(ROUND_BITS)))
}

/** e^x - 1, within 2 ulp, also near 0. */
// @ts-ignore: decorator
@inline
export function expm1(x: v128): v128 {
  const clamped = f32x4.max(f32x4.min(x, splat(89)), splat(-18))
  const shifted = fma(clamped, splat(1.44269504), splat(ROUND))
  const n = v128.sub<f32>(shifted, splat(ROUND))
  const p = expm1Core(reduceLn2(clamped, n))
  // Half of 2^n, since 2^128 is beyond the range where e^x is not yet.
  const half = i32x4.shl(i32x4.sub(shifted, i32x4.splat(ROUND_BITS - 126)), 23)
  const y = fma(half, p, v128.sub<f32>(half, splat(0.5)))
  return copysign(v128.add<f32>(y, y), x) // for -0
}

/** |magnitude| with the sign of `sign`. */
// @ts-ignore: decorator
@inline
export function copysign(magnitude: v128, sign: v128): v128 {
  return v128.bitselect(sign, magnitude, i32x4.splat(0x80000000))
}

/**
 * ln(x) = k ln 2 + ln(1 + f) with 1 + f in [√½, √2): returned scaled as k high + (k low + scale × ln(1 + f)), where
 * high + low = scale × ln 2 and k high is exact. Natural, binary and decimal logarithms differ in these three numbers alone.
 */
// @ts-ignore: decorator
@inline
function logScaled(x: v128, scale: f32, high: f32, low: f32): v128 {
  const subnormal = f32x4.lt(x, splat(1.17549435e-38))
  const normal = v128.mul<f32>(x, v128.bitselect(splat(8388608), splat(1), subnormal))
  const offset = i32x4.sub(normal, i32x4.splat(0x3f3504f3)) // √½
  const exponent = i32x4.shr_s(offset, 23)
  const k = f32x4.convert_i32x4_s(i32x4.sub(exponent, v128.and(subnormal, i32x4.splat(23))))
  const f = v128.sub<f32>(i32x4.sub(normal, i32x4.shl(exponent, 23)), splat(1))
  // ln(1 + f) = f - s (f - R) with s = f / (2 + f), R = s² P(s²)
  const s = v128.div<f32>(f, v128.add<f32>(f, splat(2)))
  const z = v128.mul<f32>(s, s)
  const rest = v128.mul<f32>(z, fma(fma(splat(0.298722863), z, splat(0.399775267)), z, splat(0.666667759)))
  let y = v128.sub<f32>(f, v128.mul<f32>(s, v128.sub<f32>(f, rest)))
  if (scale !== 1) y = v128.mul<f32>(y, splat(scale))
  y = low !== 0 ? fma(k, splat(high), fma(k, splat(low), y)) : v128.add<f32>(k, y)
  // 0 → -∞, ∞ → ∞, negative and NaN → NaN
  y = v128.bitselect(y, x, f32x4.lt(x, splat(Infinity)))
  y = v128.bitselect(splat(-Infinity), y, f32x4.eq(x, splat(0)))
  return v128.bitselect(splat(NaN), y, f32x4.lt(x, splat(0)))
}

/** ln(x), within 1 ulp. */
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  return logScaled(x, 1, 0.693145752, 1.42860682e-6)
}

// @ts-ignore: decorator
@inline
export function log2(x: v128): v128 {
  return logScaled(x, 1.44269504, 1, 0)
}

// @ts-ignore: decorator
@inline
export function log10(x: v128): v128 {
  return logScaled(x, 0.434294482, 0.301025391, 4.60503898e-6)
}

/** ln(1 + x), within 2 ulp, also near 0. */
// @ts-ignore: decorator
@inline
export function log1p(x: v128): v128 {
  const u = v128.add<f32>(x, splat(1))
  const lost = v128.div<f32>(v128.sub<f32>(x, v128.sub<f32>(u, splat(1))), u) // what rounding took from 1 + x
  const finite = v128.and(f32x4.gt(u, splat(0)), f32x4.lt(u, splat(Infinity)))
  const y = v128.add<f32>(log(u), v128.and(lost, finite))
  return v128.bitselect(x, y, f32x4.eq(u, splat(1))) // below 2^-24, -0 too
}

/** 1 / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  return v128.div<f32>(splat(1), v128.add<f32>(exp(f32x4.neg(x)), splat(1)))
}

/** tanh(x), relative error at most 4e-7: x P(x²) / Q(x²). */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const c = f32x4.max(f32x4.min(x, splat(9)), splat(-9))
  const z = v128.mul<f32>(c, c)
  let p = fma(splat(1.33535147e-8), z, splat(2.0608255e-5))
  p = fma(p, z, splat(3.49553861e-3))
  p = fma(p, z, splat(0.13380985))
  p = fma(p, z, splat(1))
  let q = fma(splat(7.77608761e-7), z, splat(3.2855530e-4))
  q = fma(q, z, splat(0.025876794))
  q = fma(q, z, splat(0.467142999))
  q = fma(q, z, splat(1))
  return f32x4.max(f32x4.min(v128.div<f32>(v128.mul<f32>(c, p), q), splat(1)), splat(-1))
}

/** The error function, relative error at most 4e-7: x P(x²) / Q(x²). */
// @ts-ignore: decorator
@inline
export function erf(x: v128): v128 {
  const c = f32x4.max(f32x4.min(x, splat(3.9)), splat(-3.9))
  const z = v128.mul<f32>(c, c)
  let p = fma(splat(2.06648156e-6), z, splat(2.85050046e-4))
  p = fma(p, z, splat(3.73797840e-3))
  p = fma(p, z, splat(0.0526669212))
  p = fma(p, z, splat(0.189658806))
  p = fma(p, z, splat(1.12837911))
  let q = fma(splat(3.82694743e-5), z, splat(1.15728006e-3))
  q = fma(q, z, splat(0.0149135385))
  q = fma(q, z, splat(0.113815553))
  q = fma(q, z, splat(0.501413524))
  q = fma(q, z, splat(1))
  return f32x4.max(f32x4.min(v128.div<f32>(v128.mul<f32>(c, p), q), splat(1)), splat(-1))
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

/** sin(x + shift × π/2), within 2 ulp for |x| up to 2^28: the angle is reduced in f64. */
// @ts-ignore: decorator
@inline
function sineShifted(x: v128, shift: i32): v128 {
  const d0 = f64x2.promote_low_f32x4(x)
  const d1 = f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 0))
  const n0 = quarters(d0)
  const n1 = quarters(d1)
  const r0 = f32x4.demote_f64x2_zero(withoutQuarters(d0, n0))
  const r1 = f32x4.demote_f64x2_zero(withoutQuarters(d1, n1))
  const r = v128.shuffle<i64>(r0, r1, 0, 2)
  const whole = v128.shuffle<i64>(i32x4.trunc_sat_f64x2_s_zero(n0), i32x4.trunc_sat_f64x2_s_zero(n1), 0, 2)
  const quadrant = i32x4.add(whole, i32x4.splat(shift))
  const z = v128.mul<f32>(r, r)
  const s = fma(v128.mul<f32>(z, r), fma(fma(splat(-1.95166547e-4), z, splat(8.33217334e-3)), z, splat(-0.166666552)), r)
  const c = fma(v128.mul<f32>(z, z), fma(fma(splat(2.44377279e-5), z, splat(-1.38873619e-3)), z, splat(0.0416666456)), fma(z, splat(-0.5), splat(1)))
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
  const one = splat(1)
  const magnitude = f32x4.abs(x)
  const high = v128.shuffle<i64>(magnitude, magnitude, 1, 0)
  const yHigh = v128.shuffle<i64>(y, y, 1, 0)
  const t0 = f64x2.mul(logWide(f64x2.promote_low_f32x4(magnitude)), f64x2.promote_low_f32x4(y))
  const t1 = f64x2.mul(logWide(f64x2.promote_low_f32x4(high)), f64x2.promote_low_f32x4(yHigh))
  let r = v128.shuffle<i64>(f32x4.demote_f64x2_zero(expWide(t0)), f32x4.demote_f64x2_zero(expWide(t1)), 0, 2)
  // |x| of 0 or ∞: 0 or ∞ as the signs of y and of the logarithm have it.
  const zero = f32x4.eq(magnitude, splat(0))
  const infinite = f32x4.eq(magnitude, splat(Infinity))
  const grows = v128.xor(zero, f32x4.gt(y, splat(0)))
  r = v128.bitselect(v128.and(grows, splat(Infinity)), r, v128.or(zero, infinite))
  // A negative base: only whole exponents, and odd ones keep the sign.
  const whole = f32x4.eq(f32x4.nearest(y), y)
  const small = f32x4.lt(f32x4.abs(y), splat(16777216))
  const odd = v128.and(v128.and(whole, small), i32x4.shl(i32x4.trunc_sat_f32x4_s(y), 31))
  r = v128.or(r, v128.and(v128.and(odd, x), i32x4.splat(0x80000000)))
  const invalid = v128.and(f32x4.lt(x, splat(0)), v128.andnot(f32x4.gt(x, splat(-Infinity)), whole))
  r = v128.bitselect(splat(NaN), r, v128.or(invalid, v128.or(f32x4.ne(x, x), f32x4.ne(y, y))))
  const unit = v128.and(f32x4.eq(magnitude, one), f32x4.eq(f32x4.abs(y), splat(Infinity)))
  return v128.bitselect(one, r, v128.or(v128.or(f32x4.eq(x, one), f32x4.eq(y, splat(0))), unit))
}

// ---- ends of rows: fewer than four floats

/** Copies `n` floats, one to three. */
export function copyPart(from: usize, to: usize, n: i32): void {
  for (const end = from + (<usize>n << 2); from < end; from += 4, to += 4) store<u32>(to, load<u32>(from))
}

// ---- 16-bit floats, four at a time, as the low halves of 32-bit lanes

/** The float32 values of four float16. */
// @ts-ignore: decorator
@inline
export function widenF16(h: v128): v128 {
  const bits = v128.and(h, i32x4.splat(0x7fff))
  const normal = i32x4.add(i32x4.shl(bits, 13), i32x4.splat(112 << 23))
  const subnormal = v128.mul<f32>(f32x4.convert_i32x4_s(bits), splat(5.9604645e-8)) // 2^-24
  const special = i32x4.add(normal, i32x4.splat(112 << 23)) // infinity and NaN
  const finite = v128.bitselect(subnormal, normal, i32x4.lt_s(bits, i32x4.splat(0x0400)))
  const value = v128.bitselect(special, finite, i32x4.ge_s(bits, i32x4.splat(0x7c00)))
  return v128.or(value, i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16))
}

/** The float32 values of four bfloat16. */
// @ts-ignore: decorator
@inline
export function widenBF16(h: v128): v128 {
  return i32x4.shl(h, 16)
}

/** Four floats as float16, rounded to nearest even; beyond the range, infinity. */
// @ts-ignore: decorator
@inline
export function narrowF16(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff))
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1))
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, odd), i32x4.splat(0xfff - (112 << 23))), 13)
  // Adding ½ leaves the multiples of 2^-24 in the low bits, rounded.
  const subnormal = i32x4.sub(v128.add<f32>(magnitude, splat(0.5)), i32x4.splat(0x3f000000))
  const nan = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000))
  const special = v128.bitselect(i32x4.splat(0x7e00), i32x4.splat(0x7c00), nan)
  const finite = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000))) // 2^-14
  const value = v128.bitselect(special, finite, i32x4.ge_s(magnitude, i32x4.splat(0x477ff000))) // 65520
  return v128.or(value, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)))
}

/** Four floats as bfloat16, rounded to nearest even. */
// @ts-ignore: decorator
@inline
export function narrowBF16(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1))
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, odd), i32x4.splat(0x7fff)), 16)
  const nan = v128.or(i32x4.shr_u(x, 16), i32x4.splat(0x40))
  return v128.bitselect(nan, rounded, f32x4.ne(x, x))
}
