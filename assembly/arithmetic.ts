// Arithmetic one element at a time, with broadcasting: integers, and the float divisions that leave a remainder.
import { blockOf, stage } from './strided'

const enum Fn {
  add,
  sub,
  mul,
  pow,
  maximum,
  minimum,
  trunc_divide,
  floor_divide,
  fmod,
  remainder,
  and,
  or,
  xor,
}

// @ts-ignore: decorator
@inline
function apply<T>(fn: Fn, a: T, b: T): T {
  if (isFloat<T>()) return <T>floatDivision(fn, <f32>a, <f32>b)
  if (fn == Fn.add) return a + b
  if (fn == Fn.sub) return a - b
  if (fn == Fn.mul) return a * b
  if (fn == Fn.pow) return power<T>(a, b)
  if (fn == Fn.maximum) return a > b ? a : b
  if (fn == Fn.minimum) return a < b ? a : b
  if (fn == Fn.and) return a & b
  if (fn == Fn.or) return a | b
  if (fn == Fn.xor) return a ^ b
  // The caller has seen to it that no divisor is 0; the smallest number by -1 would trap as well.
  if (b == <T>-1) return fn == Fn.trunc_divide || fn == Fn.floor_divide ? <T>0 - a : <T>0
  if (fn == Fn.trunc_divide) return a / b
  const rest = a % b
  if (fn == Fn.fmod) return rest
  const wraps = rest != <T>0 && rest < <T>0 != b < <T>0
  if (fn == Fn.remainder) return wraps ? rest + b : rest
  return wraps ? a / b - <T>1 : a / b
}

/** a to the power of b, modulo 2^bits; below zero only 1 and -1 have whole powers. */
// @ts-ignore: decorator
@inline
function power<T>(a: T, b: T): T {
  if (b < <T>0) return a == <T>1 ? <T>1 : a == <T>-1 ? (b & <T>1 ? <T>-1 : <T>1) : <T>0
  let result = <T>1
  for (; b > <T>0; b = b >> <T>1) {
    if (b & <T>1) result = result * a
    a = a * a
  }
  return result
}

/** Python's and C's division of floats, exact: quotient and remainder fit each other. */
// @ts-ignore: decorator
@inline
function floatDivision(fn: Fn, a: f32, b: f32): f32 {
  let rest = a % b
  if (fn == Fn.fmod) return rest
  const wraps = rest != 0 && rest < 0 != b < 0
  if (fn == Fn.remainder) return wraps ? rest + b : rest
  if (b == 0) return a / b
  const quotient = (a - rest) / b - (wraps ? <f32>1 : <f32>0)
  const whole = floor<f32>(quotient)
  return quotient - whole > 0.5 ? whole + 1 : whole
}

// @ts-ignore: decorator
@inline
function zip<T>(fn: Fn, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  const size = sizeof<T>()
  const block = blockOf(layout, end - begin)
  for (let i = begin; i < end; i += block) {
    const n = min(block, end - i)
    let x = stage<T>(a, layout, 0, begin, i, n, scratch)
    let y = stage<T>(b, layout, 1, begin, i, n, scratch)
    let to = out + <usize>i * size
    for (const stop = to + <usize>n * size; to < stop; x += size, y += size, to += size)
      store<T>(to, apply<T>(fn, load<T>(x), load<T>(y)))
  }
}

export function add_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.add, a, b, out, layout, scratch, begin, end)
}

export function sub_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.sub, a, b, out, layout, scratch, begin, end)
}

export function mul_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.mul, a, b, out, layout, scratch, begin, end)
}

export function pow_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.pow, a, b, out, layout, scratch, begin, end)
}

export function maximum_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.maximum, a, b, out, layout, scratch, begin, end)
}

export function minimum_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.minimum, a, b, out, layout, scratch, begin, end)
}

export function trunc_divide_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.trunc_divide, a, b, out, layout, scratch, begin, end)
}

export function floor_divide_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.floor_divide, a, b, out, layout, scratch, begin, end)
}

export function fmod_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.fmod, a, b, out, layout, scratch, begin, end)
}

export function remainder_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.remainder, a, b, out, layout, scratch, begin, end)
}

export function and_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.and, a, b, out, layout, scratch, begin, end)
}

export function or_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.or, a, b, out, layout, scratch, begin, end)
}

export function xor_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i32>(Fn.xor, a, b, out, layout, scratch, begin, end)
}

export function add_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.add, a, b, out, layout, scratch, begin, end)
}

export function sub_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.sub, a, b, out, layout, scratch, begin, end)
}

export function mul_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.mul, a, b, out, layout, scratch, begin, end)
}

export function pow_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.pow, a, b, out, layout, scratch, begin, end)
}

export function maximum_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.maximum, a, b, out, layout, scratch, begin, end)
}

export function minimum_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.minimum, a, b, out, layout, scratch, begin, end)
}

export function trunc_divide_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.trunc_divide, a, b, out, layout, scratch, begin, end)
}

export function floor_divide_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.floor_divide, a, b, out, layout, scratch, begin, end)
}

export function fmod_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.fmod, a, b, out, layout, scratch, begin, end)
}

export function remainder_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.remainder, a, b, out, layout, scratch, begin, end)
}

export function and_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.and, a, b, out, layout, scratch, begin, end)
}

export function or_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.or, a, b, out, layout, scratch, begin, end)
}

export function xor_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<i64>(Fn.xor, a, b, out, layout, scratch, begin, end)
}

export function and_u8(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<u8>(Fn.and, a, b, out, layout, scratch, begin, end)
}

export function or_u8(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<u8>(Fn.or, a, b, out, layout, scratch, begin, end)
}

export function xor_u8(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<u8>(Fn.xor, a, b, out, layout, scratch, begin, end)
}

export function floor_divide_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<f32>(Fn.floor_divide, a, b, out, layout, scratch, begin, end)
}

export function fmod_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<f32>(Fn.fmod, a, b, out, layout, scratch, begin, end)
}

export function remainder_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  zip<f32>(Fn.remainder, a, b, out, layout, scratch, begin, end)
}
