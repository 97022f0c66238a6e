// Conversions between dtypes, of dense memory. Those that are not here go by way of float32 or int64.
import { narrowBF16, narrowF16, widenBF16, widenF16 } from './simd'

/** Four 16-bit floats at a time widened to float32; the rest one by one through a lane. */
// @ts-ignore: decorator
@inline
function widen(brain: bool, x: usize, out: usize, begin: i32, end: i32): void {
  let from = x + (<usize>begin << 1)
  let to = out + (<usize>begin << 2)
  const stop = out + (<usize>end << 2)
  for (; to + 16 <= stop; from += 8, to += 16) {
    const h = v128.load16x4_u(from)
    v128.store(to, brain ? widenBF16(h) : widenF16(h))
  }
  for (; to < stop; from += 2, to += 4) {
    const h = i32x4.splat(load<u16>(from))
    v128.store_lane<f32>(to, brain ? widenBF16(h) : widenF16(h), 0)
  }
}

/** Floats rounded to 16 bits, eight at a time; the rest one by one through a lane. */
// @ts-ignore: decorator
@inline
function narrow(brain: bool, x: usize, out: usize, begin: i32, end: i32): void {
  let from = x + (<usize>begin << 2)
  let to = out + (<usize>begin << 1)
  const stop = out + (<usize>end << 1)
  for (; to + 16 <= stop; from += 32, to += 16) {
    const low = v128.load(from)
    const high = v128.load(from, 16)
    v128.store(to, i16x8.narrow_i32x4_u(brain ? narrowBF16(low) : narrowF16(low), brain ? narrowBF16(high) : narrowF16(high)))
  }
  for (; to < stop; from += 4, to += 2) {
    const v = v128.load32_splat(from)
    v128.store_lane<u16>(to, brain ? narrowBF16(v) : narrowF16(v), 0)
  }
}

/** One element; floats are cut towards 0, and what no int64 holds becomes the least one, as on x86. */
// @ts-ignore: decorator
@inline
function convert<From, To>(x: From): To {
  if (isFloat<From>() && !isFloat<To>()) {
    const inside = abs<f32>(<f32>x) < 9223372036854775808.0 // 2^63
    const whole = inside ? <i64>(<f32>x) : i64.MIN_VALUE
    if (sizeof<To>() == 4) return whole == <i64>(<i32>whole) ? <To>whole : <To>i32.MIN_VALUE
    return <To>whole
  }
  return <To>x
}

// @ts-ignore: decorator
@inline
function cast<From, To>(x: usize, out: usize, begin: i32, end: i32): void {
  for (let i = <usize>begin; i < <usize>end; i++) store<To>(out + i * sizeof<To>(), convert<From, To>(load<From>(x + i * sizeof<From>())))
}

// @ts-ignore: decorator
@inline
function truth<From>(x: usize, out: usize, begin: i32, end: i32): void {
  for (let i = <usize>begin; i < <usize>end; i++) store<u8>(out + i, load<From>(x + i * sizeof<From>()) != <From>0)
}

export function cast_f16_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  widen(false, x, out, begin, end)
}

export function cast_bf16_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  widen(true, x, out, begin, end)
}

export function cast_f32_f16(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  narrow(false, x, out, begin, end)
}

export function cast_f32_bf16(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  narrow(true, x, out, begin, end)
}

export function cast_i8_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i8, f32>(x, out, begin, end)
}

export function cast_u8_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<u8, f32>(x, out, begin, end)
}

export function cast_i32_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i32, f32>(x, out, begin, end)
}

export function cast_i64_f32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i64, f32>(x, out, begin, end)
}

export function cast_f32_i8(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<f32, i8>(x, out, begin, end)
}

export function cast_f32_u8(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<f32, u8>(x, out, begin, end)
}

export function cast_f32_i32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<f32, i32>(x, out, begin, end)
}

export function cast_f32_i64(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<f32, i64>(x, out, begin, end)
}

export function cast_i8_i64(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i8, i64>(x, out, begin, end)
}

export function cast_u8_i64(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<u8, i64>(x, out, begin, end)
}

export function cast_i32_i64(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i32, i64>(x, out, begin, end)
}

export function cast_i64_i8(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i64, i8>(x, out, begin, end)
}

export function cast_i64_u8(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i64, u8>(x, out, begin, end)
}

export function cast_i64_i32(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  cast<i64, i32>(x, out, begin, end)
}

export function cast_f32_bool(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  truth<f32>(x, out, begin, end)
}

export function cast_u8_bool(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  truth<u8>(x, out, begin, end)
}

export function cast_i32_bool(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  truth<i32>(x, out, begin, end)
}

export function cast_i64_bool(x: usize, out: usize, scratch: usize, begin: i32, end: i32): void {
  truth<i64>(x, out, begin, end)
}
