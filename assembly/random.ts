// Random numbers from Philox-4x32-10 (Salmon et al. 2011): a function of seed and counter alone, so that a stream is the same on
// every runtime, in both builds and for any number of threads, and backward can make a mask again. Nothing relaxed here.
// The parallel axis counts blocks of 16 numbers; block b of a call at `offset` is counter (offset + b).
import { philox } from './philox'

/** Words of block b of a call that starts at `offset`. */
// @ts-ignore: decorator
@inline
function words(block: usize, seedLow: u32, seedHigh: u32, offset: f64, b: i32): void {
  const counter = <u64>offset + b
  philox(block, seedLow, seedHigh, <u32>counter, <u32>(counter >> 32))
}

/** Room for a block's results, beyond its words: stored whole, copied as far as the output goes. */
const RESULT: usize = 64

// @ts-ignore: decorator
@inline
function deliver(scratch: usize, out: usize, b: i32, n: i32, size: usize): void {
  memory.copy(out + (<usize>b << 4) * size, scratch + RESULT, <usize>min(16, n - (b << 4)) * size)
}

/** The words themselves. */
export function random_u32(
  out: usize, n: i32, seedLow: u32, seedHigh: u32, offset: f64, scratch: usize, begin: i32, end: i32,
): void {
  for (let b = begin; b < end; b++) {
    words(scratch + RESULT, seedLow, seedHigh, offset, b)
    deliver(scratch, out, b, n, 4)
  }
}

/** The upper 24 bits of a word as a number in [0, 1). */
// @ts-ignore: decorator
@inline
function unit(word: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(word, 8)), f32x4.splat(5.9604644775390625e-8)) // 2^-24
}

/** Uniform in [low, high). */
export function uniform_f32(
  out: usize, n: i32, low: f32, high: f32, seedLow: u32, seedHigh: u32, offset: f64, scratch: usize, begin: i32,
  end: i32,
): void {
  const first = f32x4.splat(low)
  const last = f32x4.splat(high)
  const width = f32x4.splat(high - low)
  for (let b = begin; b < end; b++) {
    words(scratch, seedLow, seedHigh, offset, b)
    for (let i: usize = 0; i < 64; i += 16) {
      const value = f32x4.add(f32x4.mul(unit(v128.load(scratch + i)), width), first)
      v128.store(scratch + RESULT + i, v128.bitselect(value, first, f32x4.lt(value, last))) // rounding may reach `high`
    }
    deliver(scratch, out, b, n, 4)
  }
}

// @ts-ignore: decorator
@inline
function step(sum: v128, x: v128, coefficient: f32): v128 {
  return f32x4.add(f32x4.mul(sum, x), f32x4.splat(coefficient))
}

/** ln(x) for normal x in (0, 1]: x = 2^k m with m in [√½, √2), ln m = 2 artanh((m - 1) / (m + 1)). */
// @ts-ignore: decorator
@inline
function ln(x: v128): v128 {
  const k = i32x4.shr_s(i32x4.sub(x, i32x4.splat(0x3f3504f3)), 23)
  const m = i32x4.sub(x, i32x4.shl(k, 23))
  const s = f32x4.div(f32x4.sub(m, f32x4.splat(1)), f32x4.add(m, f32x4.splat(1)))
  const z = f32x4.mul(s, s)
  const series = step(step(step(step(f32x4.splat(2 / 9), z, 2 / 7), z, 2 / 5), z, 2 / 3), z, 2)
  return f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(k), f32x4.splat(0.6931471805599453)), f32x4.mul(s, series))
}

/** Two by four normal numbers of two words, by Box and Muller: radius of the first, angle of the second. Stored over them. */
// @ts-ignore: decorator
@inline
function boxMuller(first: usize, second: usize, mean: v128, std: v128): void {
  const u = f32x4.mul(f32x4.add(f32x4.convert_i32x4_u(v128.load(first)), f32x4.splat(0.5)), f32x4.splat(2.3283064365386963e-10)) // 2^-32
  const radius = f32x4.mul(f32x4.sqrt(f32x4.mul(ln(u), f32x4.splat(-2))), std)
  // The upper two bits say which quarter of the circle, the rest where in it: an angle in [-π/4, π/4).
  const word = v128.load(second)
  const angle = f32x4.mul(f32x4.convert_i32x4_s(i32x4.shl(word, 2)), f32x4.splat(3.6572951981e-10)) // π/2 2^-32
  const z = f32x4.mul(angle, angle)
  const sin = f32x4.mul(step(step(step(step(f32x4.splat(1 / 362880), z, -1 / 5040), z, 1 / 120), z, -1 / 6), z, 1), angle)
  const cos = step(step(step(step(step(f32x4.splat(-1 / 3628800), z, 1 / 40320), z, -1 / 720), z, 1 / 24), z, -0.5), z, 1)
  const odd = i32x4.shr_s(i32x4.shl(word, 1), 31)
  const signBit = i32x4.splat(0x80000000)
  const x = v128.xor(v128.bitselect(sin, cos, odd), v128.and(v128.xor(word, i32x4.shl(word, 1)), signBit))
  const y = v128.xor(v128.bitselect(cos, sin, odd), v128.and(word, signBit))
  v128.store(first, f32x4.add(f32x4.mul(x, radius), mean))
  v128.store(second, f32x4.add(f32x4.mul(y, radius), mean))
}

/** Normal with that mean and standard deviation. */
export function normal_f32(
  out: usize, n: i32, mean: f32, std: f32, seedLow: u32, seedHigh: u32, offset: f64, scratch: usize, begin: i32,
  end: i32,
): void {
  const block = scratch + RESULT
  for (let b = begin; b < end; b++) {
    words(block, seedLow, seedHigh, offset, b)
    boxMuller(block, block + 16, f32x4.splat(mean), f32x4.splat(std))
    boxMuller(block + 32, block + 48, f32x4.splat(mean), f32x4.splat(std))
    deliver(scratch, out, b, n, 4)
  }
}

/** x × scale where the word of an element is at least `threshold` (p × 2^32), else 0. Its gradient is the same of the gradient. */
export function dropout_f32(
  x: usize, out: usize, n: i32, threshold: f64, scale: f32, seedLow: u32, seedHigh: u32, offset: f64, scratch: usize,
  begin: i32, end: i32,
): void {
  const limit = <u32>threshold
  for (let b = begin; b < end; b++) {
    words(scratch, seedLow, seedHigh, offset, b)
    const at = (<usize>b) << 6
    const rest = n - (b << 4)
    if (rest >= 16) {
      for (let i: usize = 0; i < 64; i += 16) {
        const kept = i32x4.ge_u(v128.load(scratch + i), i32x4.splat(limit))
        v128.store(out + at + i, v128.and(f32x4.mul(v128.load(x + at + i), f32x4.splat(scale)), kept))
      }
    } else {
      for (let i: usize = 0; i < (<usize>rest) << 2; i += 4)
        store<f32>(out + at + i, load<u32>(scratch + i) >= limit ? load<f32>(x + at + i) * scale : 0)
    }
  }
}

/** 1 with the probability that p gives each element, else 0. */
export function bernoulli_f32(
  p: usize, out: usize, n: i32, seedLow: u32, seedHigh: u32, offset: f64, scratch: usize, begin: i32, end: i32,
): void {
  for (let b = begin; b < end; b++) {
    words(scratch, seedLow, seedHigh, offset, b)
    const stop = min(n, (b + 1) << 4)
    for (let i = b << 4, word = scratch; i < stop; i++, word += 4) {
      const u = <f32>(load<u32>(word) >> 8) * <f32>5.9604644775390625e-8
      store<f32>(out + ((<usize>i) << 2), u < load<f32>(p + ((<usize>i) << 2)) ? 1 : 0)
    }
  }
}

/** The upper 64 bits of a product. */
// @ts-ignore: decorator
@inline
function mulHigh(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff
  const aHigh = a >> 32
  const bLow = b & 0xffffffff
  const bHigh = b >> 32
  const middle = aHigh * bLow + ((aLow * bLow) >> 32)
  const other = aLow * bHigh + (middle & 0xffffffff)
  return aHigh * bHigh + (middle >> 32) + (other >> 32)
}

/** Whole numbers in [low, low + range): 64 bits times the range, upper half. Here a block makes 8 numbers, of two words each. */
export function randint_i64(
  out: usize, n: i32, low: f64, range: f64, seedLow: u32, seedHigh: u32, offset: f64, scratch: usize, begin: i32,
  end: i32,
): void {
  for (let b = begin; b < end; b++) {
    words(scratch, seedLow, seedHigh, offset, b)
    const stop = min(n, (b + 1) << 3)
    for (let i = b << 3, pair = scratch; i < stop; i++, pair += 8)
      store<i64>(out + ((<usize>i) << 3), <i64>low + <i64>mulHigh(load<u64>(pair), <u64>range))
  }
}
