// The one place that knows about relaxed SIMD: everything below compiles to the best instruction of its build.
export { ROUND, ROUND_BITS } from './constants'

/** a * b + c in each lane: one rounding in the relaxed build, two in the plain one. */
// @ts-ignore: decorator
@inline
export function fma(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c)
  return f32x4.add(f32x4.mul(a, b), c)
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

/** Lanes of `a` where the mask's lane is all ones, of `b` where it is zeros. */
// @ts-ignore: decorator
@inline
export function select4(a: v128, b: v128, mask: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_laneselect(a, b, mask)
  return v128.bitselect(a, b, mask)
}

/** x kept between low and high, in the cheapest way that lets NaN through. */
// @ts-ignore: decorator
@inline
export function clamp4(x: v128, low: v128, high: v128): v128 {
  return f32x4.pmax(f32x4.pmin(x, high), low)
}

/** |magnitude| with the sign of `sign`. */
// @ts-ignore: decorator
@inline
export function copysign(magnitude: v128, sign: v128): v128 {
  return v128.bitselect(sign, magnitude, i32x4.splat(0x80000000))
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
  const subnormal = v128.mul<f32>(f32x4.convert_i32x4_s(bits), f32x4.splat(5.9604645e-8)) // 2^-24
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
  const subnormal = i32x4.sub(v128.add<f32>(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000))
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
