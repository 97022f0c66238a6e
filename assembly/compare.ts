// Comparisons with broadcasting, whose results are bytes of 0 or 1, and the choice by such bytes.
import { blockOf, stage } from './strided'

const enum Fn {
  eq,
  ne,
  lt,
  le,
}

// @ts-ignore: decorator
@inline
function one<T>(fn: Fn, a: T, b: T): bool {
  if (fn == Fn.eq) return a == b
  if (fn == Fn.ne) return a != b
  if (fn == Fn.lt) return a < b
  return a <= b
}

/** Four comparisons, as lanes of all ones or zeros. */
// @ts-ignore: decorator
@inline
function four<T>(fn: Fn, x: usize, y: usize): v128 {
  const a = v128.load(x)
  const b = v128.load(y)
  if (fn == Fn.eq) return v128.eq<T>(a, b)
  if (fn == Fn.ne) return v128.ne<T>(a, b)
  if (fn == Fn.lt) return v128.lt<T>(a, b)
  return v128.le<T>(a, b)
}

// @ts-ignore: decorator
@inline
function compare<T>(fn: Fn, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  const size = sizeof<T>()
  const block = blockOf(layout, end - begin)
  for (let i = begin; i < end; i += block) {
    const n = min(block, end - i)
    let x = stage<T>(a, layout, 0, begin, i, n, scratch)
    let y = stage<T>(b, layout, 1, begin, i, n, scratch)
    let to = out + <usize>i
    const stop = to + <usize>n
    if (size == 4) {
      for (; to + 16 <= stop; x += 64, y += 64, to += 16) {
        const low = v128.narrow<i32>(four<T>(fn, x, y), four<T>(fn, x + 16, y + 16))
        const high = v128.narrow<i32>(four<T>(fn, x + 32, y + 32), four<T>(fn, x + 48, y + 48))
        v128.store(to, v128.and(v128.narrow<i16>(low, high), i8x16.splat(1)))
      }
    }
    for (; to < stop; x += size, y += size, to++) store<u8>(to, one<T>(fn, load<T>(x), load<T>(y)))
  }
}

export function eq_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<f32>(Fn.eq, a, b, out, layout, scratch, begin, end)
}

export function ne_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<f32>(Fn.ne, a, b, out, layout, scratch, begin, end)
}

export function lt_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<f32>(Fn.lt, a, b, out, layout, scratch, begin, end)
}

export function le_f32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<f32>(Fn.le, a, b, out, layout, scratch, begin, end)
}

export function eq_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i32>(Fn.eq, a, b, out, layout, scratch, begin, end)
}

export function ne_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i32>(Fn.ne, a, b, out, layout, scratch, begin, end)
}

export function lt_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i32>(Fn.lt, a, b, out, layout, scratch, begin, end)
}

export function le_i32(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i32>(Fn.le, a, b, out, layout, scratch, begin, end)
}

export function eq_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i64>(Fn.eq, a, b, out, layout, scratch, begin, end)
}

export function ne_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i64>(Fn.ne, a, b, out, layout, scratch, begin, end)
}

export function lt_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i64>(Fn.lt, a, b, out, layout, scratch, begin, end)
}

export function le_i64(a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  compare<i64>(Fn.le, a, b, out, layout, scratch, begin, end)
}

/** Elements of a where the condition's byte is not 0, else of b. The layout's operands are condition, a, b. */
// @ts-ignore: decorator
@inline
function choose<T>(condition: usize, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  const size = sizeof<T>()
  const block = blockOf(layout, end - begin)
  for (let i = begin; i < end; i += block) {
    const n = min(block, end - i)
    let c = stage<u8>(condition, layout, 0, begin, i, n, scratch)
    let x = stage<T>(a, layout, 1, begin, i, n, scratch)
    let y = stage<T>(b, layout, 2, begin, i, n, scratch)
    let to = out + <usize>i * size
    const stop = to + <usize>n * size
    if (size == 4) {
      for (; to + 16 <= stop; c += 4, x += 16, y += 16, to += 16) {
        const wide = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(c)))
        v128.store(to, v128.bitselect(v128.load(y), v128.load(x), i32x4.eq(wide, i32x4.splat(0))))
      }
    }
    for (; to < stop; c++, x += size, y += size, to += size) store<T>(to, load<u8>(c) ? load<T>(x) : load<T>(y))
  }
}

export function where_b1(condition: usize, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  choose<u8>(condition, a, b, out, layout, scratch, begin, end)
}

export function where_b2(condition: usize, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  choose<u16>(condition, a, b, out, layout, scratch, begin, end)
}

export function where_b4(condition: usize, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  choose<u32>(condition, a, b, out, layout, scratch, begin, end)
}

export function where_b8(condition: usize, a: usize, b: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  choose<u64>(condition, a, b, out, layout, scratch, begin, end)
}
