// GGUF's block types as they lie in files: to float32, bit for bit as Python's gguf, and to the formats that products have.
//
// A type is one inlined function over a block (32 weights, or 256 in the K types and IQ4_XS), which gives its weights by sixteen:
// int8 codes q, a scale d and a minimum m, for w = q d - m. Where the types say q d + m, m comes negated, which is the same.
// Each has two kernels over blocks: `unpack_*` writes float32; `convert_*` writes blocks of the nearest format with products:
//
//   Q5_0 IQ4_NL Q3_K  to Q8_0, exact: their codes times whole scales fit int8
//   IQ4_XS            to Q8_0: the scale of 32 weights, d times a whole number, is rounded to float16
//   Q4_K              to Q4_1: the same codes; scale and minimum of 32 weights are rounded to float16
//   Q5_1 Q2_K Q5_K Q6_K  to Q8_0: rounded, by at most 1/254 of the largest of 32 weights and the scale's own rounding
import { bytesOf, Q4_1, Q8_0 } from './blocks'
import { pack_q8_0 } from './quant'
import { narrowF16, widenF16 } from './simd'

// @ts-ignore: decorator
@inline
function half(ptr: usize): f32 {
  return f32x4.extract_lane(widenF16(i32x4.splat(load<u16>(ptr))), 0)
}

// @ts-ignore: decorator
@inline
function storeHalf(ptr: usize, x: f32): void {
  v128.store_lane<u16>(ptr, narrowF16(f32x4.splat(x)), 0)
}

// ---- sixteen weights

/** Four of the int16 in `codes` as w = q d - m. */
// @ts-ignore: decorator
@inline
function four(q: v128, d: v128, m: v128): v128 {
  return f32x4.sub(f32x4.mul(f32x4.convert_i32x4_s(q), d), m)
}

/** Weights 16 i … 16 i + 15 of a block whose float32 lie at `to`. */
// @ts-ignore: decorator
@inline
function putFloats(to: usize, i: usize, codes: v128, scale: f32, minimum: f32): void {
  const at = to + (i << 6)
  const d = f32x4.splat(scale)
  const m = f32x4.splat(minimum)
  const low = i16x8.extend_low_i8x16_s(codes)
  const high = i16x8.extend_high_i8x16_s(codes)
  v128.store(at, four(i32x4.extend_low_i16x8_s(low), d, m))
  v128.store(at, four(i32x4.extend_high_i16x8_s(low), d, m), 16)
  v128.store(at, four(i32x4.extend_low_i16x8_s(high), d, m), 32)
  v128.store(at, four(i32x4.extend_high_i16x8_s(high), d, m), 48)
}

/** The same weights into blocks of Q8_0 at `to`, for types without minimum: the codes are taken as they are. */
// @ts-ignore: decorator
@inline
function putCodes(to: usize, i: usize, codes: v128, scale: f32): void {
  const block = to + (i >> 1) * bytesOf(Q8_0)
  storeHalf(block, scale)
  v128.store(block + ((i & 1) << 4), codes, 2)
}

/** `direct`: whether `to` takes blocks of Q8_0, else float32. */
// @ts-ignore: decorator
@inline
function put(direct: bool, to: usize, i: usize, codes: v128, scale: f32): void {
  if (direct) putCodes(to, i, codes, scale)
  else putFloats(to, i, codes, scale, 0)
}

// @ts-ignore: decorator
@inline
function lowNibbles(bytes: v128): v128 {
  return v128.and(bytes, i8x16.splat(15))
}

// @ts-ignore: decorator
@inline
function highNibbles(bytes: v128): v128 {
  return i8x16.shr_u(bytes, 4)
}

/** Two bits of each byte, from bit `shift` on. */
// @ts-ignore: decorator
@inline
function pairs(bytes: v128, shift: i32): v128 {
  return v128.and(i8x16.shr_u(bytes, shift), i8x16.splat(3))
}

/** `value` where bit `shift` of a byte is set, else 0. */
// @ts-ignore: decorator
@inline
function bitOf(bytes: v128, shift: i32, value: i32): v128 {
  return v128.and(i8x16.ne(v128.and(bytes, i8x16.splat(<i8>(<i32>1 << shift))), i8x16.splat(0)), i8x16.splat(<i8>value))
}

/** 16 where the bit of a lane's number is set, else 0. */
// @ts-ignore: decorator
@inline
function fifthBits(bits: u32): v128 {
  const bytes = i8x16.swizzle(i32x4.splat(bits), i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1))
  const lane = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128)
  return v128.and(i8x16.eq(v128.and(bytes, lane), lane), i8x16.splat(16))
}

/** The uneven steps of IQ4_NL and IQ4_XS. */
// @ts-ignore: decorator
@inline
function uneven(nibbles: v128): v128 {
  return i8x16.swizzle(i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113), nibbles)
}

// ---- the types, a block each

// @ts-ignore: decorator
@inline
function q4_0(from: usize, to: usize): void {
  const d = half(from)
  const codes = v128.load(from, 2)
  putFloats(to, 0, i8x16.sub(lowNibbles(codes), i8x16.splat(8)), d, 0)
  putFloats(to, 1, i8x16.sub(highNibbles(codes), i8x16.splat(8)), d, 0)
}

// @ts-ignore: decorator
@inline
function q4_1(from: usize, to: usize): void {
  const d = half(from)
  const m = -half(from + 2)
  const codes = v128.load(from, 4)
  putFloats(to, 0, lowNibbles(codes), d, m)
  putFloats(to, 1, highNibbles(codes), d, m)
}

// @ts-ignore: decorator
@inline
function q5_0(direct: bool, from: usize, to: usize): void {
  const d = half(from)
  const bits = load<u32>(from, 2)
  const codes = v128.load(from, 6)
  put(direct, to, 0, i8x16.sub(v128.or(lowNibbles(codes), fifthBits(bits)), i8x16.splat(16)), d)
  put(direct, to, 1, i8x16.sub(v128.or(highNibbles(codes), fifthBits(bits >> 16)), i8x16.splat(16)), d)
}

// @ts-ignore: decorator
@inline
function q5_1(from: usize, to: usize): void {
  const d = half(from)
  const m = -half(from + 2)
  const bits = load<u32>(from, 4)
  const codes = v128.load(from, 8)
  putFloats(to, 0, v128.or(lowNibbles(codes), fifthBits(bits)), d, m)
  putFloats(to, 1, v128.or(highNibbles(codes), fifthBits(bits >> 16)), d, m)
}

// @ts-ignore: decorator
@inline
function q8_0(from: usize, to: usize): void {
  const d = half(from)
  putFloats(to, 0, v128.load(from, 2), d, 0)
  putFloats(to, 1, v128.load(from, 18), d, 0)
}

/** 16 bytes of a 4-bit scale and a 4-bit minimum for 16 weights each, 64 of codes, d, d of the minima. */
// @ts-ignore: decorator
@inline
function q2_k(from: usize, to: usize): void {
  const d = half(from + 80)
  const dm = half(from + 82)
  for (let i: usize = 0; i < 16; i++) {
    const scale = load<u8>(from + i)
    const codes = pairs(v128.load(from + ((i >> 3) << 5) + ((i & 1) << 4), 16), <i32>(i & 6))
    putFloats(to, i, codes, d * <f32>(scale & 15), dm * <f32>(scale >> 4))
  }
}

/** 32 bytes of third bits (a set one adds 4), 64 of codes, 12 of 6-bit scales for 16 weights each, d. */
// @ts-ignore: decorator
@inline
function q3_k(direct: bool, from: usize, to: usize): void {
  const d = half(from + 108)
  for (let i: usize = 0; i < 16; i++) {
    const low = (load<u8>(from + (i & 7), 96) >> <u8>((i >> 3) << 2)) & 15
    const high = (load<u8>(from + (i & 3), 104) >> <u8>((i >> 2) << 1)) & 3
    const scale = <i32>(low | (high << 4)) - 32
    const part = (i & 1) << 4
    const third = bitOf(v128.load(from + part), <i32>(i >> 1), 4)
    const two = pairs(v128.load(from + ((i >> 3) << 5) + part, 32), <i32>(i & 6))
    const codes = i8x16.sub(v128.or(two, third), i8x16.splat(4))
    if (direct) {
      // Codes times scales are -124 … 128: negated they fit int8, and so is d.
      const by = i8x16.splat(<i8>-scale)
      const products = i8x16.narrow_i16x8_s(i16x8.extmul_low_i8x16_s(codes, by), i16x8.extmul_high_i8x16_s(codes, by))
      putCodes(to, i, products, -d)
    } else putFloats(to, i, codes, d * <f32>scale, 0)
  }
}

/** Scale of 32 weights in Q4_K and Q5_K, of 6 bits: one of eight, packed in 12 bytes with as many minima. */
// @ts-ignore: decorator
@inline
function scaleOf(scales: usize, i: usize): f32 {
  if (i < 4) return <f32>(load<u8>(scales + i) & 63)
  return <f32>((load<u8>(scales + i, 4) & 15) | ((load<u8>(scales + i - 4) >> 2) & 48))
}

// @ts-ignore: decorator
@inline
function minimumOf(scales: usize, i: usize): f32 {
  if (i < 4) return <f32>(load<u8>(scales + i, 4) & 63)
  return <f32>((load<u8>(scales + i, 4) >> 4) | ((load<u8>(scales + i) >> 2) & 48))
}

/** d, d of the minima, 12 bytes of scales and minima, 128 of codes: 32 low nibbles of 32 weights, 32 high ones of the next. */
// @ts-ignore: decorator
@inline
function q4_k(from: usize, to: usize): void {
  const d = half(from)
  const dm = half(from + 2)
  for (let i: usize = 0; i < 8; i++) {
    const scale = d * scaleOf(from + 4, i)
    const minimum = dm * minimumOf(from + 4, i)
    for (let part: usize = 0; part < 2; part++) {
      const bytes = v128.load(from + ((i >> 1) << 5) + (part << 4), 16)
      putFloats(to, (i << 1) + part, i & 1 ? highNibbles(bytes) : lowNibbles(bytes), scale, minimum)
    }
  }
}

/** As Q4_K, with 32 bytes of fifth bits before the codes: bit i of each belongs to 32 weights. */
// @ts-ignore: decorator
@inline
function q5_k(from: usize, to: usize): void {
  const d = half(from)
  const dm = half(from + 2)
  for (let i: usize = 0; i < 8; i++) {
    const scale = d * scaleOf(from + 4, i)
    const minimum = dm * minimumOf(from + 4, i)
    for (let part: usize = 0; part < 2; part++) {
      const bytes = v128.load(from + ((i >> 1) << 5) + (part << 4), 48)
      const fifth = bitOf(v128.load(from + (part << 4), 16), <i32>i, 16)
      putFloats(to, (i << 1) + part, v128.or(i & 1 ? highNibbles(bytes) : lowNibbles(bytes), fifth), scale, minimum)
    }
  }
}

/** 128 bytes of low nibbles, 64 of high pairs of bits, 16 int8 scales for 16 weights each, d. */
// @ts-ignore: decorator
@inline
function q6_k(from: usize, to: usize): void {
  const d = half(from + 208)
  for (let i: usize = 0; i < 16; i++) {
    const bytes = v128.load(from + ((i >> 3) << 6) + ((i & 3) << 4))
    const high = pairs(v128.load(from + ((i >> 3) << 5) + ((i & 1) << 4), 128), <i32>(i & 6))
    const low = i & 4 ? highNibbles(bytes) : lowNibbles(bytes)
    const codes = i8x16.sub(v128.or(low, i8x16.shl(high, 4)), i8x16.splat(32))
    putFloats(to, i, codes, d * <f32>load<i8>(from + i, 192), 0)
  }
}

// @ts-ignore: decorator
@inline
function iq4_nl(direct: bool, from: usize, to: usize): void {
  const d = half(from)
  const codes = v128.load(from, 2)
  put(direct, to, 0, uneven(lowNibbles(codes)), d)
  put(direct, to, 1, uneven(highNibbles(codes)), d)
}

/** d, 16 bits of scales' high pairs, 4 bytes of their low nibbles, then blocks as in IQ4_NL, each with its scale. */
// @ts-ignore: decorator
@inline
function iq4_xs(direct: bool, from: usize, to: usize): void {
  const d = half(from)
  const highs = <u32>load<u16>(from, 2)
  for (let i: usize = 0; i < 8; i++) {
    const low = <u32>(load<u8>(from + (i >> 1), 4) >> <u8>((i & 1) << 2)) & 15
    const scale = d * <f32>(<i32>(low | (((highs >> <u32>(i << 1)) & 3) << 4)) - 32)
    const codes = v128.load(from + (i << 4), 8)
    put(direct, to, i << 1, uneven(lowNibbles(codes)), scale)
    put(direct, to, (i << 1) + 1, uneven(highNibbles(codes)), scale)
  }
}

// ---- to float32. Parallel over blocks.

export function unpack_q4_0(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q4_0(from + b * 18, to + (b << 7))
}
export function unpack_q4_1(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q4_1(from + b * 20, to + (b << 7))
}
export function unpack_q5_0(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q5_0(false, from + b * 22, to + (b << 7))
}
export function unpack_q5_1(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q5_1(from + b * 24, to + (b << 7))
}
export function unpack_q8_0(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q8_0(from + b * 34, to + (b << 7))
}
export function unpack_q2_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q2_k(from + b * 84, to + (b << 10))
}
export function unpack_q3_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q3_k(false, from + b * 110, to + (b << 10))
}
export function unpack_q4_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q4_k(from + b * 144, to + (b << 10))
}
export function unpack_q5_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q5_k(from + b * 176, to + (b << 10))
}
export function unpack_q6_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q6_k(from + b * 210, to + (b << 10))
}
export function unpack_iq4_nl(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) iq4_nl(false, from + b * 18, to + (b << 7))
}
export function unpack_iq4_xs(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) iq4_xs(false, from + b * 136, to + (b << 10))
}

// ---- to blocks of Q8_0 and Q4_1 as files have them. Parallel over blocks.

export function convert_q5_0(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q5_0(true, from + b * 22, to + b * 34)
}
export function convert_q3_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) q3_k(true, from + b * 110, to + b * 272)
}
export function convert_iq4_nl(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) iq4_nl(true, from + b * 18, to + b * 34)
}
export function convert_iq4_xs(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) iq4_xs(true, from + b * 136, to + b * 272)
}

export function convert_q4_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) {
    const block = from + b * 144
    const d = half(block)
    const dm = half(block + 2)
    for (let i: usize = 0; i < 8; i++) {
      const out = to + (b * 8 + i) * bytesOf(Q4_1)
      const low = v128.load(block + ((i >> 1) << 5), 16)
      const high = v128.load(block + ((i >> 1) << 5), 32)
      storeHalf(out, d * scaleOf(block + 4, i))
      storeHalf(out + 2, -(dm * minimumOf(block + 4, i)))
      const first = i & 1 ? highNibbles(low) : lowNibbles(low)
      const second = i & 1 ? highNibbles(high) : lowNibbles(high)
      v128.store(out, v128.or(first, i8x16.shl(second, 4)), 4)
    }
  }
}

// By way of float32 in scratch, a block at a time.
export function convert_q5_1(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) {
    q5_1(from + b * 24, scratch)
    pack_q8_0(scratch, to + b * 34, 0, 0, 1)
  }
}
export function convert_q2_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) {
    q2_k(from + b * 84, scratch)
    pack_q8_0(scratch, to + b * 272, 0, 0, 8)
  }
}
export function convert_q5_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) {
    q5_k(from + b * 176, scratch)
    pack_q8_0(scratch, to + b * 272, 0, 0, 8)
  }
}
export function convert_q6_k(from: usize, to: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = <usize>begin; b < <usize>end; b++) {
    q6_k(from + b * 210, scratch)
    pack_q8_0(scratch, to + b * 272, 0, 0, 8)
  }
}
