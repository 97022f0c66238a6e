// Products with few rows, where packing would cost more than it saves: y[m,n] = Σ x[m,k]·w[n,k] as dot products, and y = xᵀ·B by rows.
// Memory is what they wait for, so it is read strictly in order: several rows at once are several streams, which the processor fetches
// ahead at less than half the speed of one.
import { fma, hsum } from './simd'
import { fetch } from './fetch'
import { BF16, element, F16, F32, load4, sizeOf } from './floats'

/** Sixteen products a step, in four sums. */
// @ts-ignore: decorator
@inline
function dotRow(dtype: i32, x: usize, w: usize, k: i32): f32 {
  const size = sizeOf(dtype)
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  let i: usize = 0
  for (const whole = <usize>(k & ~15); i < whole; i += 16) {
    const at = w + i * size
    s0 = fma(v128.load(x + i * 4), load4(dtype, at), s0)
    s1 = fma(v128.load(x + i * 4, 16), load4(dtype, at + 4 * size), s1)
    s2 = fma(v128.load(x + i * 4, 32), load4(dtype, at + 8 * size), s2)
    s3 = fma(v128.load(x + i * 4, 48), load4(dtype, at + 12 * size), s3)
  }
  for (const whole = <usize>(k & ~3); i < whole; i += 4) s0 = fma(v128.load(x + i * 4), load4(dtype, w + i * size), s0)
  return hsum(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))) + tail(dtype, x, w, i, k)
}

/** The products that fill no vector. */
// @ts-ignore: decorator
@inline
function tail(dtype: i32, x: usize, w: usize, i: usize, k: i32): f32 {
  let sum: f32 = 0
  for (; i < <usize>k; i++) sum += load<f32>(x + i * 4) * element(dtype, w + i * sizeOf(dtype))
  return sum
}

/** Eight bfloat16 as float32: the first four, the last four. `zero` is held by the caller (V8 makes constants anew at each use). */
// @ts-ignore: decorator
@inline
function firstHigh(zero: v128, h: v128): v128 {
  return v128.shuffle<u16>(zero, h, 0, 8, 1, 9, 2, 10, 3, 11)
}
// @ts-ignore: decorator
@inline
function lastHigh(zero: v128, h: v128): v128 {
  return v128.shuffle<u16>(zero, h, 4, 12, 5, 13, 6, 14, 7, 15)
}

/** The same of bfloat16, which a shuffle widens: 32 products a step, in eight sums, or else adding is what takes the time. */
function dotRowBF16(x: usize, w: usize, k: i32): f32 {
  const zero = i32x4.splat(0)
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  let s4 = f32x4.splat(0)
  let s5 = f32x4.splat(0)
  let s6 = f32x4.splat(0)
  let s7 = f32x4.splat(0)
  let i: usize = 0
  for (const whole = <usize>(k & ~31); i < whole; i += 32) {
    let h = v128.load(w + i * 2)
    s0 = fma(v128.load(x + i * 4), firstHigh(zero, h), s0)
    s1 = fma(v128.load(x + i * 4, 16), lastHigh(zero, h), s1)
    h = v128.load(w + i * 2, 16)
    s2 = fma(v128.load(x + i * 4, 32), firstHigh(zero, h), s2)
    s3 = fma(v128.load(x + i * 4, 48), lastHigh(zero, h), s3)
    h = v128.load(w + i * 2, 32)
    s4 = fma(v128.load(x + i * 4, 64), firstHigh(zero, h), s4)
    s5 = fma(v128.load(x + i * 4, 80), lastHigh(zero, h), s5)
    h = v128.load(w + i * 2, 48)
    s6 = fma(v128.load(x + i * 4, 96), firstHigh(zero, h), s6)
    s7 = fma(v128.load(x + i * 4, 112), lastHigh(zero, h), s7)
  }
  for (const whole = <usize>(k & ~7); i < whole; i += 8) {
    const h = v128.load(w + i * 2)
    s0 = fma(v128.load(x + i * 4), firstHigh(zero, h), s0)
    s1 = fma(v128.load(x + i * 4, 16), lastHigh(zero, h), s1)
  }
  s0 = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))
  s4 = f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7))
  return hsum(f32x4.add(s0, s4)) + tail(BF16, x, w, i, k)
}

/** x·2^96 meets float16 weights whose exponents are left 112 short; the 2^16 that are missing come at the end, so neither side overflows. */
const F16_UP: f32 = 7.922816251426434e28
const F16_REST: f32 = 65536
const F16_MASK: i32 = 0x8fffffff

/** The same of float16: `up` is x·2^96. Infinities and NaNs would come out as numbers, so a row that has any is done again. */
function dotRowF16(x: usize, up: usize, w: usize, k: i32, zero: v128, mask: v128): f32 {
  let s0 = zero
  let s1 = zero
  let largest = zero
  let i: usize = 0
  for (const whole = <usize>(k & ~7); i < whole; i += 8) {
    const h = v128.load(w + i * 2)
    s0 = fma(v128.load(up + i * 4), v128.and(i32x4.shr_s(firstHigh(zero, h), 3), mask), s0)
    s1 = fma(v128.load(up + i * 4, 16), v128.and(i32x4.shr_s(lastHigh(zero, h), 3), mask), s1)
    largest = i16x8.max_u(largest, i16x8.shl(h, 1)) // without the sign
  }
  if (v128.any_true(i16x8.ge_u(largest, i16x8.splat(<i16>0xf800)))) return dotRow(F16, x, w, k)
  return hsum(f32x4.add(s0, s1)) * F16_REST + tail(F16, x, w, i, k)
}

function dotRowF32(x: usize, w: usize, k: i32): f32 {
  return dotRow(F32, x, w, k)
}

/** A function of its own for each dtype: nested in another loop V8 unrolls such a loop, and runs out of registers. */
// @ts-ignore: decorator
@inline
function dotOne(dtype: i32, x: usize, w: usize, k: i32): f32 {
  return dtype == F32 ? dotRowF32(x, w, k) : dtype == BF16 ? dotRowBF16(x, w, k) : dotRow(F16, x, w, k)
}

// @ts-ignore: decorator
@inline
function put(out: usize, value: f32, bias: usize, accumulate: bool): void {
  if (bias != 0) value += load<f32>(bias)
  store<f32>(out, accumulate ? load<f32>(out) + value : value)
}

/** Four rows of x by two of w: as many products a load as the packed kernel has. */
// @ts-ignore: decorator
@inline
function dot4x2(dtype: i32, x: usize, xStep: usize, w: usize, wStep: usize, k: i32, out: usize, outStep: usize, bias: usize, accumulate: bool): void {
  const size = sizeOf(dtype)
  const x1 = x + xStep
  const x2 = x1 + xStep
  const x3 = x2 + xStep
  const w1 = w + wStep
  let s00 = f32x4.splat(0)
  let s01 = f32x4.splat(0)
  let s10 = f32x4.splat(0)
  let s11 = f32x4.splat(0)
  let s20 = f32x4.splat(0)
  let s21 = f32x4.splat(0)
  let s30 = f32x4.splat(0)
  let s31 = f32x4.splat(0)
  let i: usize = 0
  const whole = <usize>(k & ~3)
  for (; i < whole; i += 4) {
    const u = load4(dtype, w + i * size)
    const v = load4(dtype, w1 + i * size)
    let a = v128.load(x + i * 4)
    s00 = fma(a, u, s00)
    s01 = fma(a, v, s01)
    a = v128.load(x1 + i * 4)
    s10 = fma(a, u, s10)
    s11 = fma(a, v, s11)
    a = v128.load(x2 + i * 4)
    s20 = fma(a, u, s20)
    s21 = fma(a, v, s21)
    a = v128.load(x3 + i * 4)
    s30 = fma(a, u, s30)
    s31 = fma(a, v, s31)
  }
  let r00 = hsum(s00)
  let r01 = hsum(s01)
  let r10 = hsum(s10)
  let r11 = hsum(s11)
  let r20 = hsum(s20)
  let r21 = hsum(s21)
  let r30 = hsum(s30)
  let r31 = hsum(s31)
  for (; i < <usize>k; i++) {
    const u = element(dtype, w + i * size)
    const v = element(dtype, w1 + i * size)
    r00 += load<f32>(x + i * 4) * u
    r01 += load<f32>(x + i * 4) * v
    r10 += load<f32>(x1 + i * 4) * u
    r11 += load<f32>(x1 + i * 4) * v
    r20 += load<f32>(x2 + i * 4) * u
    r21 += load<f32>(x2 + i * 4) * v
    r30 += load<f32>(x3 + i * 4) * u
    r31 += load<f32>(x3 + i * 4) * v
  }
  const bias1 = bias == 0 ? <usize>0 : bias + 4
  put(out, r00, bias, accumulate)
  put(out + 4, r01, bias1, accumulate)
  out += outStep
  put(out, r10, bias, accumulate)
  put(out + 4, r11, bias1, accumulate)
  out += outStep
  put(out, r20, bias, accumulate)
  put(out + 4, r21, bias1, accumulate)
  out += outStep
  put(out, r30, bias, accumulate)
  put(out + 4, r31, bias1, accumulate)
}

/** Rows of w in groups of four, one after the other, against one row of x: what decoding does most. Strides in elements. */
// @ts-ignore: decorator
@inline
function gemv(dtype: i32, x: usize, w: usize, out: usize, n: i32, k: i32, ldw: i32, bias: usize, adds: bool, scratch: usize, begin: i32, end: i32): void {
  const zero = i32x4.splat(0)
  const mask = i32x4.splat(F16_MASK)
  const upward = dtype == F16 && k <= SCRATCH
  if (upward) for (let i: usize = 0; i < <usize>k * 4; i += 4) store<f32>(scratch + i, load<f32>(x + i) * F16_UP)
  for (let j = begin * 4, last = min(end * 4, n); j < last; j++) {
    const row = w + <usize>j * <usize>ldw * sizeOf(dtype)
    const value = upward ? dotRowF16(x, scratch, row, k, zero, mask) : dotOne(dtype, x, row, k)
    put(out + <usize>j * 4, value, bias == 0 ? <usize>0 : bias + <usize>j * 4, adds)
  }
}

/** Floats that fit the scratch. */
const SCRATCH: i32 = 1 << 17

/** Groups of four rows of w against all m rows of x. Strides in elements. */
// @ts-ignore: decorator
@inline
function dots(dtype: i32, x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  const adds = accumulate != 0
  if (m == 1) return gemv(dtype, x, w, out, n, k, ldw, bias, adds, scratch, begin, end)
  const xStep = <usize>ldx * 4
  const wStep = <usize>ldw * sizeOf(dtype)
  const outStep = <usize>ldo * 4
  for (let g = begin; g < end; g++) {
    const j0 = g * 4
    const wj = w + <usize>j0 * wStep
    const bj = bias == 0 ? <usize>0 : bias + <usize>j0 * 4
    const oj = out + <usize>j0 * 4
    const cols = min(4, n - j0)
    fetch(wj, cols, wStep, <usize>k * sizeOf(dtype), scratch)
    let i = 0
    for (; i + 4 <= m && cols == 4; i += 4) {
      const xi = x + <usize>i * xStep
      const oi = oj + <usize>i * outStep
      dot4x2(dtype, xi, xStep, wj, wStep, k, oi, outStep, bj, adds)
      dot4x2(dtype, xi, xStep, wj + 2 * wStep, wStep, k, oi + 8, outStep, bj == 0 ? <usize>0 : bj + 8, adds)
    }
    for (; i < m; i++)
      for (let j = 0; j < cols; j++)
        put(
          oj + <usize>i * outStep + <usize>j * 4,
          dotOne(dtype, x + <usize>i * xStep, wj + <usize>j * wStep, k),
          bj == 0 ? <usize>0 : bj + <usize>j * 4,
          adds,
        )
  }
}

/** out[m,n] = x[m,k]·w[n,k]ᵀ. Parallel over groups of four rows of w. */
export function dots_f32(x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  dots(F32, x, w, out, m, n, k, ldx, ldw, ldo, bias, accumulate, scratch, begin, end)
}
export function dots_f16(x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  dots(F16, x, w, out, m, n, k, ldx, ldw, ldo, bias, accumulate, scratch, begin, end)
}
export function dots_bf16(x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  dots(BF16, x, w, out, m, n, k, ldx, ldw, ldo, bias, accumulate, scratch, begin, end)
}

/** out[n] = Σ x[k]·b[k,n]: rows of b added up, 16 columns at a time. Parallel over groups of 16 columns. */
// @ts-ignore: decorator
@inline
function axpy(dtype: i32, x: usize, b: usize, out: usize, n: i32, k: i32, ldb: i32, bias: usize, accumulate: i32, begin: i32, end: i32): void {
  const size = sizeOf(dtype)
  const step = <usize>ldb * size
  const adds = accumulate != 0
  for (let g = begin; g < end; g++) {
    const j0 = g * 16
    let from = b + <usize>j0 * size
    const to = out + <usize>j0 * 4
    const bj = bias == 0 ? <usize>0 : bias + <usize>j0 * 4
    if (j0 + 16 <= n) {
      let s0 = f32x4.splat(0)
      let s1 = f32x4.splat(0)
      let s2 = f32x4.splat(0)
      let s3 = f32x4.splat(0)
      for (let i = 0; i < k; i++) {
        const v = v128.load32_splat(x + <usize>i * 4)
        s0 = fma(v, load4(dtype, from), s0)
        s1 = fma(v, load4(dtype, from + 4 * size), s1)
        s2 = fma(v, load4(dtype, from + 8 * size), s2)
        s3 = fma(v, load4(dtype, from + 12 * size), s3)
        from += step
      }
      if (bj != 0) {
        s0 = f32x4.add(s0, v128.load(bj))
        s1 = f32x4.add(s1, v128.load(bj, 16))
        s2 = f32x4.add(s2, v128.load(bj, 32))
        s3 = f32x4.add(s3, v128.load(bj, 48))
      }
      if (adds) {
        s0 = f32x4.add(s0, v128.load(to))
        s1 = f32x4.add(s1, v128.load(to, 16))
        s2 = f32x4.add(s2, v128.load(to, 32))
        s3 = f32x4.add(s3, v128.load(to, 48))
      }
      v128.store(to, s0)
      v128.store(to, s1, 16)
      v128.store(to, s2, 32)
      v128.store(to, s3, 48)
    } else {
      for (let j = 0; j < n - j0; j++) {
        let r: f32 = 0
        let at = from + <usize>j * size
        for (let i = 0; i < k; i++) {
          r += load<f32>(x + <usize>i * 4) * element(dtype, at)
          at += step
        }
        put(to + <usize>j * 4, r, bj == 0 ? <usize>0 : bj + <usize>j * 4, adds)
      }
    }
  }
}

export function axpy_f32(x: usize, b: usize, out: usize, n: i32, k: i32, ldb: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  axpy(F32, x, b, out, n, k, ldb, bias, accumulate, begin, end)
}
export function axpy_f16(x: usize, b: usize, out: usize, n: i32, k: i32, ldb: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  axpy(F16, x, b, out, n, k, ldb, bias, accumulate, begin, end)
}
export function axpy_bf16(x: usize, b: usize, out: usize, n: i32, k: i32, ldb: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  axpy(BF16, x, b, out, n, k, ldb, bias, accumulate, begin, end)
}
