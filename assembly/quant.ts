// Block-quantized weights (blocks.ts): packing, repacking for the products, reading rows back.
import { BLOCK, bytesOf, headOf, Q4_0, Q4_1, Q8_0, wordsOf } from './blocks'
import { copysign, hmax, narrowF16, widenF16 } from './simd'

// @ts-ignore: decorator
@inline
function loadHalf(ptr: usize): v128 {
  return widenF16(i32x4.splat(load<u16>(ptr)))
}

// @ts-ignore: decorator
@inline
function storeHalf(ptr: usize, x: f32): void {
  v128.store_lane<u16>(ptr, narrowF16(f32x4.splat(x)), 0)
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

/** Rows of a repacked weight as float32: row rows[i] (int32), or row i where `rows` is 0, to out[i]. Parallel over i. */
// @ts-ignore: decorator
@inline
function dequantizeRows(format: i32, weight: usize, rows: usize, out: usize, blocks: i32, begin: i32, end: i32): void {
  const words = wordsOf(format)
  const codes = <usize>headOf(format) << 3 // past the four rows' heads
  for (let i = begin; i < end; i++) {
    const row = <usize>(rows ? load<i32>(rows + (<usize>i << 2)) : i)
    const lane = row & 3
    let from = weight + (row >> 2) * (bytesOf(format) * 4 * <usize>blocks)
    let to = out + <usize>i * (<usize>blocks << 7)
    for (let b = 0; b < blocks; b++) {
      const d = loadHalf(from + (lane << 1))
      const m = format == Q4_1 ? loadHalf(from + 8 + (lane << 1)) : d
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
    storeHalf(to, d)
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
    storeHalf(to, d)
    storeHalf(to + 2, least)
    for (let i = 0; i < 16; i++) store<u8>(to + <usize>i, nibbles(from, i, least, inverse(d), 0.5), 4)
  }
}

/** Four numbers from `at` on times `scale`, to the nearest whole ones, halves away from zero. */
// @ts-ignore: decorator
@inline
function nearest4(x: usize, scale: v128): v128 {
  const product = f32x4.mul(v128.load(x), scale)
  const size = f32x4.abs(product)
  const whole = f32x4.floor(size)
  const up = v128.and(f32x4.ge(f32x4.sub(size, whole), f32x4.splat(0.5)), f32x4.splat(1))
  return i32x4.trunc_sat_f32x4_s(copysign(f32x4.add(whole, up), product))
}

export function pack_q8_0(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  for (let b = begin; b < end; b++) {
    const from = x + (<usize>b << 7)
    const to = out + <usize>b * bytesOf(Q8_0)
    let largest = f32x4.abs(v128.load(from))
    for (let i: usize = 16; i < 128; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(from + i)))
    const d = hmax(largest) / 127
    storeHalf(to, d)
    const scale = f32x4.splat(inverse(d))
    for (let i: usize = 0; i < 128; i += 32) {
      const codes = i16x8.narrow_i32x4_s(nearest4(from + i, scale), nearest4(from + i + 16, scale))
      v128.store64_lane(to + (i >> 2), i8x16.narrow_i16x8_s(codes, codes), 0, 2)
    }
  }
}
