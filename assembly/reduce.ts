// Reductions of dense (outer, n, inner) memory over n. A long n is cut into parts of `block` and reduced twice: outputs are
// (outer, parts, inner) with parts = ceil(n / block), so that the bounds of partial results depend on the size alone.
import { hmax, hsum } from './simd'

const enum Fn {
  sum,
  sum_squares,
  sum_abs,
  sum_deviations,
  prod,
  max,
  min,
}

/** Elements added up in float32 before the sum goes to a float64. */
const SPAN: i32 = 256
/** The same down a column. */
const ROWS: i32 = 32
/** Columns that are reduced side by side; their sums stand in scratch. */
const COLUMNS: i32 = 1024

// @ts-ignore: decorator
@inline
function identity(fn: Fn): f64 {
  return fn == Fn.max ? -Infinity : fn == Fn.min ? Infinity : fn == Fn.prod ? 1 : 0
}

/** What is reduced, of four elements; `mean` is only that of sum_deviations. */
// @ts-ignore: decorator
@inline
function term(fn: Fn, x: v128, mean: v128): v128 {
  if (fn == Fn.sum_squares) return f32x4.mul(x, x)
  if (fn == Fn.sum_abs) return f32x4.abs(x)
  if (fn == Fn.sum_deviations) {
    const d = f32x4.sub(x, mean)
    return f32x4.mul(d, d)
  }
  return x
}

// @ts-ignore: decorator
@inline
function join(fn: Fn, a: v128, b: v128): v128 {
  if (fn == Fn.max) return f32x4.max(a, b)
  if (fn == Fn.min) return f32x4.min(a, b)
  if (fn == Fn.prod) return f32x4.mul(a, b)
  return f32x4.add(a, b)
}

// @ts-ignore: decorator
@inline
function joinWide(fn: Fn, a: f64, b: f64): f64 {
  if (fn == Fn.max) return max<f64>(a, b)
  if (fn == Fn.min) return min<f64>(a, b)
  if (fn == Fn.prod) return a * b
  return a + b
}

/** The four lanes joined. */
// @ts-ignore: decorator
@inline
function joinLanes(fn: Fn, v: v128): f64 {
  if (fn == Fn.max) return hmax(v)
  if (fn == Fn.min) return -hmax(f32x4.neg(v))
  if (fn == Fn.prod) {
    const pair = f64x2.mul(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(v128.shuffle<i64>(v, v, 1, 0)))
    return f64x2.extract_lane(pair, 0) * f64x2.extract_lane(pair, 1)
  }
  return hsum(v)
}

/** One row of n elements. */
// @ts-ignore: decorator
@inline
function reduceRow(fn: Fn, x: usize, n: i32, mean: f32): f64 {
  const start = f32x4.splat(<f32>identity(fn))
  const m = f32x4.splat(mean)
  let total = identity(fn)
  const end = x + (<usize>n << 2)
  while (x < end) {
    const stop = min(x + (<usize>SPAN << 2), end)
    let a = start
    let b = start
    let c = start
    let d = start
    for (; x + 64 <= stop; x += 64) {
      a = join(fn, a, term(fn, v128.load(x), m))
      b = join(fn, b, term(fn, v128.load(x, 16), m))
      c = join(fn, c, term(fn, v128.load(x, 32), m))
      d = join(fn, d, term(fn, v128.load(x, 48), m))
    }
    for (; x + 16 <= stop; x += 16) a = join(fn, a, term(fn, v128.load(x), m))
    total = joinWide(fn, total, joinLanes(fn, join(fn, join(fn, a, b), join(fn, c, d))))
    for (; x < stop; x += 4) total = joinWide(fn, total, f32x4.extract_lane(term(fn, v128.load32_zero(x), m), 0))
  }
  return total
}

/** Four columns, or the first of them alone. */
// @ts-ignore: decorator
@inline
function columnsAt(x: usize, single: bool): v128 {
  return single ? v128.load32_zero(x) : v128.load(x)
}

/**
 * Joins `rows` (4 or 1) terms of four columns, or of one, to their sums: four pairwise, and in the same order for one column as
 * for four, so that where a chunk begins does not show in the result.
 */
// @ts-ignore: decorator
@inline
function joinRows(fn: Fn, x: usize, row: usize, rows: i32, sums: usize, mean: usize, single: bool): void {
  const m = fn == Fn.sum_deviations ? columnsAt(mean, single) : f32x4.splat(0)
  let t = term(fn, columnsAt(x, single), m)
  if (rows == 4) {
    t = join(fn, t, term(fn, columnsAt(x + row, single), m))
    const third = term(fn, columnsAt(x + 2 * row, single), m)
    t = join(fn, t, join(fn, third, term(fn, columnsAt(x + 3 * row, single), m)))
  }
  t = join(fn, columnsAt(sums, single), t)
  if (single) v128.store_lane<f32>(sums, t, 0)
  else v128.store(sums, t)
}

/** joinRows for all columns. */
// @ts-ignore: decorator
@inline
function joinAllColumns(fn: Fn, x: usize, row: usize, rows: i32, sums: usize, mean: usize, width: usize): void {
  let j: usize = 0
  for (; j + 16 <= width; j += 16) joinRows(fn, x + j, row, rows, sums + j, mean + j, false)
  for (; j < width; j += 4) joinRows(fn, x + j, row, rows, sums + j, mean + j, true)
}

/** `columns` columns of n elements each, side by side in rows of `inner`, into `out`. Whole rows are read, as memory likes it. */
// @ts-ignore: decorator
@inline
function reduceColumns(fn: Fn, x: usize, out: usize, n: i32, inner: i32, columns: i32, mean: usize, scale: f64, scratch: usize): void {
  const row = <usize>inner << 2
  const width = <usize>columns << 2
  const sums = scratch + (<usize>COLUMNS << 3) // float32; the float64 totals stand before them
  const start = <f32>identity(fn)
  for (let j: usize = 0; j < width; j += 4) store<f64>(scratch + (j << 1), identity(fn))
  for (let r = 0; r < n; r += ROWS) {
    const rows = min(ROWS, n - r)
    for (let j: usize = 0; j < width; j += 4) store<f32>(sums + j, start)
    let q = 0
    for (; q + 4 <= rows; q += 4, x += 4 * row) joinAllColumns(fn, x, row, 4, sums, mean, width)
    for (; q < rows; q++, x += row) joinAllColumns(fn, x, row, 1, sums, mean, width)
    for (let j: usize = 0; j < width; j += 4)
      store<f64>(scratch + (j << 1), joinWide(fn, load<f64>(scratch + (j << 1)), load<f32>(sums + j)))
  }
  for (let j: usize = 0; j < width; j += 4) store<f32>(out + j, <f32>(load<f64>(scratch + (j << 1)) * scale))
}

// @ts-ignore: decorator
@inline
function reduce(fn: Fn, x: usize, out: usize, mean: usize, scale: f64, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  const parts = (n + block - 1) / block
  let columns = 1
  for (let at = begin; at < end; at += columns) {
    const i = at % inner
    const part = (at / inner) % parts
    const outer = at / inner / parts
    const start = part * block
    const length = min(block, n - start)
    const from = x + ((<usize>(outer * n + start) * <usize>inner + <usize>i) << 2)
    const to = out + (<usize>at << 2)
    const means = fn == Fn.sum_deviations ? mean + (<usize>(outer * inner + i) << 2) : 0
    if (inner == 1) {
      store<f32>(to, <f32>(reduceRow(fn, from, length, fn == Fn.sum_deviations ? load<f32>(means) : 0) * scale))
    } else {
      columns = min(min(inner - i, end - at), COLUMNS)
      reduceColumns(fn, from, to, length, inner, columns, means, scale, scratch)
    }
  }
}

/** scale × the sum: with 1 / n the mean. */
export function sum_f32(x: usize, out: usize, scale: f64, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.sum, x, out, 0, scale, n, inner, block, scratch, begin, end)
}

export function sum_squares_f32(x: usize, out: usize, scale: f64, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.sum_squares, x, out, 0, scale, n, inner, block, scratch, begin, end)
}

export function sum_abs_f32(x: usize, out: usize, scale: f64, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.sum_abs, x, out, 0, scale, n, inner, block, scratch, begin, end)
}

export function prod_f32(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.prod, x, out, 0, 1, n, inner, block, scratch, begin, end)
}

export function max_f32(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.max, x, out, 0, 1, n, inner, block, scratch, begin, end)
}

export function min_f32(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.min, x, out, 0, 1, n, inner, block, scratch, begin, end)
}

/** scale × the sum of (x - mean)², `mean` of shape (outer, inner). */
export function sum_deviations_f32(x: usize, mean: usize, out: usize, scale: f64, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduce(Fn.sum_deviations, x, out, mean, scale, n, inner, block, scratch, begin, end)
}

// ---- integers and truth values, one element at a time

// @ts-ignore: decorator
@inline
function reduceWhole<T>(fn: Fn, start: T, x: usize, out: usize, n: i32, inner: i32, block: i32, begin: i32, end: i32): void {
  const parts = (n + block - 1) / block
  const row = <usize>inner * sizeof<T>()
  for (let at = begin; at < end; at++) {
    const i = at % inner
    const part = (at / inner) % parts
    const outer = at / inner / parts
    const first = part * block
    let total = start
    let from = x + (<usize>(outer * n + first) * <usize>inner + <usize>i) * sizeof<T>()
    for (let k = min(block, n - first); k > 0; k--, from += row) {
      const v = load<T>(from)
      if (fn == Fn.sum) total = total + v
      else if (fn == Fn.prod) total = total * v
      else if (fn == Fn.max) total = max<T>(total, v)
      else total = min<T>(total, v)
    }
    store<T>(out + <usize>at * sizeof<T>(), total)
  }
}

export function sum_i64(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduceWhole<i64>(Fn.sum, 0, x, out, n, inner, block, begin, end)
}

export function prod_i64(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduceWhole<i64>(Fn.prod, 1, x, out, n, inner, block, begin, end)
}

export function max_i64(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduceWhole<i64>(Fn.max, i64.MIN_VALUE, x, out, n, inner, block, begin, end)
}

export function min_i64(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduceWhole<i64>(Fn.min, i64.MAX_VALUE, x, out, n, inner, block, begin, end)
}

/** Of bytes of 0 or 1: any. */
export function max_u8(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduceWhole<u8>(Fn.max, 0, x, out, n, inner, block, begin, end)
}

/** Of bytes of 0 or 1: all. */
export function min_u8(x: usize, out: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  reduceWhole<u8>(Fn.min, 1, x, out, n, inner, block, begin, end)
}

// ---- the place of the largest or smallest

/** Whether v takes the place of best: the first of equals stays, and the first NaN wins. */
// @ts-ignore: decorator
@inline
function beats<T>(least: bool, v: T, best: T): bool {
  if (isFloat<T>() && v != v) return best == best
  return least ? v < best : v > best
}

/** The first index in a row of floats: the extreme is found first, four at a time, then its place. */
// @ts-ignore: decorator
@inline
function rowPlace(least: bool, x: usize, n: i32): i32 {
  const best = <f32>reduceRow(least ? Fn.min : Fn.max, x, n, 0)
  const wanted = f32x4.splat(best)
  let i = 0
  for (; i + 4 <= n; i += 4) {
    const v = v128.load(x + (<usize>i << 2))
    const found = best == best ? f32x4.eq(v, wanted) : f32x4.ne(v, v)
    if (v128.any_true(found)) return i + ctz(i32x4.bitmask(found))
  }
  for (; i < n; i++) {
    const v = load<f32>(x + (<usize>i << 2))
    if (best == best ? v == best : v != v) break
  }
  return i
}

/** Places in up to COLUMNS columns of floats side by side: best values and their rows stand in scratch. */
// @ts-ignore: decorator
@inline
function columnPlaces(least: bool, x: usize, n: i32, row: usize, columns: i32, rows: usize): void {
  const best = rows + (<usize>COLUMNS << 2)
  const width = <usize>columns << 2
  memory.copy(best, x, width)
  memory.fill(rows, 0, width)
  for (let r = 1; r < n; r++) {
    x += row
    const place = i32x4.splat(r)
    let j: usize = 0
    for (; j + 16 <= width; j += 16) {
      const v = v128.load(x + j)
      const held = v128.load(best + j)
      const nan = v128.and(f32x4.ne(v, v), f32x4.eq(held, held))
      const wins = v128.or(least ? f32x4.lt(v, held) : f32x4.gt(v, held), nan)
      v128.store(best + j, v128.bitselect(v, held, wins))
      v128.store(rows + j, v128.bitselect(place, v128.load(rows + j), wins))
    }
    for (; j < width; j += 4) {
      if (!beats<f32>(least, load<f32>(x + j), load<f32>(best + j))) continue
      store<f32>(best + j, load<f32>(x + j))
      store<i32>(rows + j, r)
    }
  }
}

/** The first place in a column of integers. */
// @ts-ignore: decorator
@inline
function columnPlace<T>(least: bool, x: usize, n: i32, row: usize): i32 {
  let value = load<T>(x)
  let best = 0
  for (let r = 1; r < n; r++) {
    x += row
    const v = load<T>(x)
    if (!beats<T>(least, v, value)) continue
    value = v
    best = r
  }
  return best
}

/**
 * Values and int64 indices. `origins` (or 0) are the indices that an earlier pass over parts gave, of x's shape: with them the
 * indices count in the whole.
 */
// @ts-ignore: decorator
@inline
function place<T>(
  least: bool,
  x: usize,
  origins: usize,
  values: usize,
  indices: usize,
  n: i32,
  inner: i32,
  block: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const parts = (n + block - 1) / block
  const row = <usize>inner * sizeof<T>()
  let columns = 1
  for (let at = begin; at < end; at += columns) {
    const i = at % inner
    const part = (at / inner) % parts
    const outer = at / inner / parts
    const first = part * block
    const length = min(block, n - first)
    const offset = <usize>(outer * n + first) * <usize>inner + <usize>i
    const from = x + offset * sizeof<T>()
    if (!isFloat<T>()) store<i32>(scratch, columnPlace<T>(least, from, length, row))
    else if (inner == 1) store<i32>(scratch, rowPlace(least, from, length))
    else {
      columns = min(min(inner - i, end - at), COLUMNS)
      columnPlaces(least, from, length, row, columns, scratch)
    }
    for (let c = 0; c < columns; c++) {
      const best = <usize>load<i32>(scratch + (<usize>c << 2))
      const column = <usize>c
      store<T>(values + <usize>(at + c) * sizeof<T>(), load<T>(from + best * row + column * sizeof<T>()))
      const index = origins ? load<i64>(origins + ((offset + best * <usize>inner + column) << 3)) : <i64>first + <i64>best
      store<i64>(indices + (<usize>(at + c) << 3), index)
    }
  }
}

export function argmax_f32(x: usize, origins: usize, values: usize, indices: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  place<f32>(false, x, origins, values, indices, n, inner, block, scratch, begin, end)
}

export function argmin_f32(x: usize, origins: usize, values: usize, indices: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  place<f32>(true, x, origins, values, indices, n, inner, block, scratch, begin, end)
}

export function argmax_i64(x: usize, origins: usize, values: usize, indices: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  place<i64>(false, x, origins, values, indices, n, inner, block, scratch, begin, end)
}

export function argmin_i64(x: usize, origins: usize, values: usize, indices: usize, n: i32, inner: i32, block: i32, scratch: usize, begin: i32, end: i32): void {
  place<i64>(true, x, origins, values, indices, n, inner, block, scratch, begin, end)
}
