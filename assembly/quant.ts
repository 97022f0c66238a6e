// Block-quantized weights (GGUF Q4_0, Q4_1, Q8_0): packing, repacking for the products, reading rows back, and quantized activations.
//
// A file's block is 32 weights of a row: a float16 scale (Q4_1: then a float16 minimum), then the codes, taken here as 32-bit
// words: 4 of them hold 4-bit codes (word s: elements 4s … 4s+3 in the low nibbles, 16+4s … 19+4s in the high ones), 8 hold
// bytes. Repacking takes rows by fours and puts the same piece of four blocks side by side:
//
//   file       row 0: d w0 w1 w2 w3 | row 1: d w0 w1 w2 w3 | row 2: … | row 3: …
//   repacked   d d d d   w0 w0 w0 w0   w1 w1 w1 w1   w2 w2 w2 w2   w3 w3 w3 w3
//
// so a product loads the scales of four rows at once, and one 32-bit splat of activations meets four rows. The size is the
// same, with rows rounded up to a multiple of four.

export const Q4_0: i32 = 0
export const Q4_1: i32 = 1
export const Q8_0: i32 = 2

/** Weights of a block. */
export const BLOCK: i32 = 32

/** Float16 numbers at the head of a block. */
// @ts-ignore: decorator
@inline
export function headOf(format: i32): i32 {
  return format == Q4_1 ? 2 : 1
}

/** 32-bit words of codes in a block. */
// @ts-ignore: decorator
@inline
export function wordsOf(format: i32): i32 {
  return format == Q8_0 ? 8 : 4
}

/** Bytes of a row's block. Four times that is what four rows take, repacked. */
// @ts-ignore: decorator
@inline
export function bytesOf(format: i32): usize {
  return <usize>(2 * headOf(format) + 4 * wordsOf(format))
}

/** The bits of a float16 that stay once they stand 13 higher, as a float32's, and 2^112, the difference of the exponents' biases. */
export const HALF_BITS: i32 = 0x8fffffff
export const HALF_SCALE: f32 = 5.192296858534828e33

/** A float16 number as float32. Exact; infinity, which no writer makes a scale of, is read as 65536. */
// @ts-ignore: decorator
@inline
function loadHalf(ptr: usize): f32 {
  const bits = (<i32>load<i16>(ptr) << 13) & HALF_BITS
  return reinterpret<f32>(bits) * HALF_SCALE
}

/** Float16 bits of a number, rounded to nearest even. */
function toHalf(x: f32): u16 {
  const bits = reinterpret<u32>(x)
  const sign = (bits >> 16) & 0x8000
  let a = bits & 0x7fffffff
  if (a > 0x7f800000) return <u16>(sign | 0x7e00)
  if (a >= 0x477ff000) return <u16>(sign | 0x7c00) // from 65520 on
  if (a < 0x38800000) a = reinterpret<u32>(reinterpret<f32>(a) + 0.5) - 0x3f000000 // subnormal: 0.5 has their spacing, 2^-24
  else a = (a - 0x38000000 + 0xfff + ((a >> 13) & 1)) >> 13
  return <u16>(sign | a)
}

/**
 * Repacks a weight in place: `n` rows of `blocks` blocks with `head` float16 numbers and `words` words each. The memory is
 * that of whole groups; rows beyond n become zeros. Parallel over groups of four rows.
 */
export function repack_blocks(weight: usize, n: i32, blocks: i32, head: i32, words: i32, scratch: usize, begin: i32, end: i32): void {
  const headBytes = <usize>head << 1
  const blockBytes = headBytes + (<usize>words << 2)
  const rowBytes = blockBytes * <usize>blocks
  for (let g = begin; g < end; g++) {
    let to = weight + <usize>g * rowBytes * 4
    const rows = <usize>min(n - (g << 2), 4)
    memory.copy(scratch, to, rows * rowBytes)
    memory.fill(scratch + rows * rowBytes, 0, (4 - rows) * rowBytes)
    for (let b = 0; b < blocks; b++) {
      const from = scratch + <usize>b * blockBytes
      for (let h: usize = 0; h < headBytes; h += 2)
        for (let r: usize = 0; r < 4; r++, to += 2) store<u16>(to, load<u16>(from + r * rowBytes + h))
      for (let w = headBytes; w < blockBytes; w += 4)
        for (let r: usize = 0; r < 4; r++, to += 4) store<u32>(to, load<u32>(from + r * rowBytes + w))
    }
  }
}

/** Rows of a repacked weight as float32: row rows[i] (int64), or row i where `rows` is null, to out[i]. Parallel over i. */
// @ts-ignore: decorator
@inline
function dequantizeRows(format: i32, weight: usize, rows: usize, out: usize, blocks: i32, begin: i32, end: i32): void {
  const words = wordsOf(format)
  const codes = <usize>headOf(format) << 3 // past the four rows' heads
  for (let i = begin; i < end; i++) {
    const row = rows ? <usize>load<i64>(rows + (<usize>i << 3)) : <usize>i
    const lane = row & 3
    let from = weight + (row >> 2) * (bytesOf(format) * 4 * <usize>blocks)
    let to = out + <usize>i * (<usize>blocks << 7)
    for (let b = 0; b < blocks; b++) {
      const d = f32x4.splat(loadHalf(from + (lane << 1)))
      for (let s: usize = 0; s < <usize>words; s++) {
        const word = v128.load32_zero(from + codes + (s << 4) + (lane << 2))
        if (format == Q8_0) {
          const q = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(word))
          v128.store(to + (s << 4), f32x4.mul(f32x4.convert_i32x4_s(q), d))
        } else {
          const q = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(word))
          const low = v128.and(q, i32x4.splat(15))
          const high = i32x4.shr_u(q, 4)
          if (format == Q4_0) {
            const zero = i32x4.splat(8)
            v128.store(to + (s << 4), f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(low, zero)), d))
            v128.store(to + (s << 4), f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(high, zero)), d), 64)
          } else {
            const m = f32x4.splat(loadHalf(from + 8 + (lane << 1)))
            v128.store(to + (s << 4), f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(low), d), m))
            v128.store(to + (s << 4), f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(high), d), m), 64)
          }
        }
      }
      from += bytesOf(format) << 2
      to += 128
    }
  }
}

export function dequantize_q4_0(weight: usize, rows: usize, out: usize, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  dequantizeRows(Q4_0, weight, rows, out, blocks, begin, end)
}
export function dequantize_q4_1(weight: usize, rows: usize, out: usize, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  dequantizeRows(Q4_1, weight, rows, out, blocks, begin, end)
}
export function dequantize_q8_0(weight: usize, rows: usize, out: usize, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  dequantizeRows(Q8_0, weight, rows, out, blocks, begin, end)
}

// ---- float32 to a file's blocks, rounded as llama.cpp's reference does. Parallel over blocks.

/** Nearest whole number, halves away from zero. */
// @ts-ignore: decorator
@inline
function round(x: f32): f32 {
  const a = abs(x)
  const whole = floor(a)
  return copysign<f32>(whole + floor<f32>((a - whole) * 2), x)
}

// @ts-ignore: decorator
@inline
function inverse(d: f32): f32 {
  return d == 0 ? 0 : 1 / d
}

// @ts-ignore: decorator
@inline
function at(x: usize, i: i32): f32 {
  return load<f32>(x + (<usize>i << 2))
}

/** Two codes 0 … 15 of x times `scale`, shifted by `shift` before cutting: elements i and i + 16. */
// @ts-ignore: decorator
@inline
function nibbles(x: usize, i: i32, minimum: f32, scale: f32, shift: f32): u8 {
  const low = min(i32((at(x, i) - minimum) * scale + shift), 15)
  const high = min(i32((at(x, i + 16) - minimum) * scale + shift), 15)
  return <u8>(low | (high << 4))
}

export function pack_q4_0(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = begin; b < end; b++) {
    const from = x + (<usize>b << 7)
    const to = out + <usize>b * bytesOf(Q4_0)
    let extreme: f32 = 0 // the first of the largest magnitude, with its sign: it becomes -8 exactly
    for (let i = 0; i < BLOCK; i++) if (abs(at(from, i)) > abs(extreme)) extreme = at(from, i)
    const d = extreme / -8
    store<u16>(to, toHalf(d))
    for (let i = 0; i < 16; i++) store<u8>(to + <usize>i, nibbles(from, i, 0, inverse(d), 8.5), 2)
  }
}

export function pack_q4_1(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = begin; b < end; b++) {
    const from = x + (<usize>b << 7)
    const to = out + <usize>b * bytesOf(Q4_1)
    let least = at(from, 0)
    let most = least
    for (let i = 1; i < BLOCK; i++) {
      least = min(least, at(from, i))
      most = max(most, at(from, i))
    }
    const d = (most - least) / 15
    store<u16>(to, toHalf(d))
    store<u16>(to, toHalf(least), 2)
    for (let i = 0; i < 16; i++) store<u8>(to + <usize>i, nibbles(from, i, least, inverse(d), 0.5), 4)
  }
}

export function pack_q8_0(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = begin; b < end; b++) {
    const from = x + (<usize>b << 7)
    const to = out + <usize>b * bytesOf(Q8_0)
    let largest: f32 = 0
    for (let i = 0; i < BLOCK; i++) largest = max(largest, abs(at(from, i)))
    const d = largest / 127
    store<u16>(to, toHalf(d))
    for (let i = 0; i < BLOCK; i++) store<i8>(to + <usize>i, <i8>(round(at(from, i) * inverse(d))), 2)
  }
}
