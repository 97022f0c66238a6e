// Softmax and its logarithm, forward and backward: over contiguous rows, or over columns with others beside them.
import { logOf, rowExpSum, rowMax, SPAN } from './rows'
import { expFlushed, log } from './elementary'
import { fma, hsum } from './simd'

/** out = x × factor - base, n elements. */
// @ts-ignore: decorator
@inline
function affine(x: usize, out: usize, n: i32, factor: f32, base: f32): void {
  const f = f32x4.splat(factor)
  const b = f32x4.splat(-base)
  const end = x + ((<usize>n) << 2)
  for (; x + 16 <= end; x += 16, out += 16) v128.store(out, fma(v128.load(x), f, b))
  for (; x < end; x += 4, out += 4) store<f32>(out, load<f32>(x) * factor - base)
}

/** Rows of n. Parallel axis: rows. */
export function softmax_f32(x: usize, out: usize, n: i32, scratch: usize, begin: i32, end: i32): void {
  const row = (<usize>n) << 2
  for (let r = <usize>begin; r < <usize>end; r++) {
    const to = out + r * row
    const sum = rowExpSum(x + r * row, to, n, rowMax(x + r * row, n))
    affine(to, to, n, 1 / sum, 0)
  }
}

/** Rows of n. Parallel axis: rows. */
export function log_softmax_f32(x: usize, out: usize, n: i32, scratch: usize, begin: i32, end: i32): void {
  const row = (<usize>n) << 2
  for (let r = <usize>begin; r < <usize>end; r++) {
    const from = x + r * row
    const most = rowMax(from, n)
    affine(from, out + r * row, n, 1, most + logOf(rowExpSum(from, 0, n, most)))
  }
}

/** Gradient from the result y: y (g - Σ g y), or g - exp(y) Σ g for the logarithm. */
// @ts-ignore: decorator
@inline
function term(logarithm: bool, g: v128, y: v128, sum: v128): v128 {
  if (logarithm) return v128.sub<f32>(g, v128.mul<f32>(expFlushed(y), sum))
  return v128.mul<f32>(y, v128.sub<f32>(g, sum))
}

// @ts-ignore: decorator
@inline
function backwardRows(logarithm: bool, g: usize, y: usize, dx: usize, n: i32, begin: i32, end: i32): void {
  const row = (<usize>n) << 2
  const vectors = row & ~15
  for (let r = <usize>begin; r < <usize>end; r++) {
    const gr = g + r * row
    const yr = y + r * row
    const to = dx + r * row
    let total: f64 = 0
    let i: usize = 0
    while (i < vectors) {
      const stop = min(i + SPAN, vectors)
      let a = f32x4.splat(0)
      for (; i < stop; i += 16)
        a = logarithm ? v128.add<f32>(a, v128.load(gr + i)) : fma(v128.load(gr + i), v128.load(yr + i), a)
      total += hsum(a)
    }
    for (; i < row; i += 4) total += logarithm ? load<f32>(gr + i) : load<f32>(gr + i) * load<f32>(yr + i)
    const sum = f32x4.splat(<f32>total)
    for (i = 0; i + 32 <= vectors; i += 32) {
      const a = term(logarithm, v128.load(gr + i), v128.load(yr + i), sum)
      const b = term(logarithm, v128.load(gr + i, 16), v128.load(yr + i, 16), sum)
      v128.store(to + i, a)
      v128.store(to + i, b, 16)
    }
    for (; i < vectors; i += 16) v128.store(to + i, term(logarithm, v128.load(gr + i), v128.load(yr + i), sum))
    for (; i < row; i += 4)
      v128.store_lane<f32>(to + i, term(logarithm, v128.load32_zero(gr + i), v128.load32_zero(yr + i), sum), 0)
  }
}

/** Gradient g of rows of n with results y. Parallel axis: rows. */
export function softmax_backward_f32(
  g: usize,
  y: usize,
  dx: usize,
  n: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  backwardRows(false, g, y, dx, n, begin, end)
}

/** Gradient g of rows of n with results y. Parallel axis: rows. */
export function log_softmax_backward_f32(
  g: usize,
  y: usize,
  dx: usize,
  n: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  backwardRows(true, g, y, dx, n, begin, end)
}

// ---- over columns: x is [outer, n, inner]. Rows of a block of columns are walked one after another, as memory likes it, with
// the columns' maxima and sums in scratch.

/** Columns of a block. */
const COLUMNS = 64

// @ts-ignore: decorator
@inline
function get(at: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(at) : v128.load32_zero(at)
}

// @ts-ignore: decorator
@inline
function put(at: usize, value: v128, lanes: i32): void {
  if (lanes == 4) v128.store(at, value)
  else v128.store_lane<f32>(at, value, 0)
}

/** Columns [from, to) (in bytes), four at a time or one, of n rows that are `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function forwardColumns(
  logarithm: bool,
  x: usize,
  out: usize,
  n: i32,
  stride: usize,
  from: usize,
  to: usize,
  lanes: i32,
  scratch: usize,
): void {
  const step: usize = lanes << 2
  const end = <usize>n * stride
  const most = scratch
  const sum = scratch + (COLUMNS << 2)
  for (let i = from; i < to; i += step) {
    put(most + i, f32x4.splat(-Infinity), lanes)
    put(sum + i, f32x4.splat(0), lanes)
  }
  for (let row: usize = 0; row < end; row += stride)
    for (let i = from; i < to; i += step)
      put(most + i, f32x4.pmax(get(most + i, lanes), get(x + row + i, lanes)), lanes)
  for (let row: usize = 0; row < end; row += stride)
    for (let i = from; i < to; i += step) {
      const e = expFlushed(v128.sub<f32>(get(x + row + i, lanes), get(most + i, lanes)))
      put(sum + i, v128.add<f32>(get(sum + i, lanes), e), lanes)
      if (!logarithm) put(out + row + i, e, lanes)
    }
  for (let i = from; i < to; i += step) {
    const total = get(sum + i, lanes)
    put(
      sum + i,
      logarithm ? v128.add<f32>(get(most + i, lanes), log(total)) : v128.div<f32>(f32x4.splat(1), total),
      lanes,
    )
  }
  for (let row: usize = 0; row < end; row += stride)
    for (let i = from; i < to; i += step) {
      const s = get(sum + i, lanes)
      const at = out + row + i
      put(at, logarithm ? v128.sub<f32>(get(x + row + i, lanes), s) : v128.mul<f32>(get(at, lanes), s), lanes)
    }
}

// @ts-ignore: decorator
@inline
function backwardColumns(
  logarithm: bool,
  g: usize,
  y: usize,
  dx: usize,
  n: i32,
  stride: usize,
  from: usize,
  to: usize,
  lanes: i32,
  sum: usize,
): void {
  const step: usize = lanes << 2
  const end = <usize>n * stride
  for (let i = from; i < to; i += step) put(sum + i, f32x4.splat(0), lanes)
  for (let row: usize = 0; row < end; row += stride)
    for (let i = from; i < to; i += step) {
      const s = get(sum + i, lanes)
      const a = get(g + row + i, lanes)
      put(sum + i, logarithm ? v128.add<f32>(s, a) : fma(a, get(y + row + i, lanes), s), lanes)
    }
  for (let row: usize = 0; row < end; row += stride)
    for (let i = from; i < to; i += step)
      put(dx + row + i, term(logarithm, get(g + row + i, lanes), get(y + row + i, lanes), get(sum + i, lanes)), lanes)
}

/** Blocks [begin, end) of columns. Forward takes (x, out), backward (g, y, dx). */
// @ts-ignore: decorator
@inline
function columns(
  backward: bool,
  logarithm: bool,
  a: usize,
  b: usize,
  c: usize,
  n: i32,
  inner: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const blocks = (inner + COLUMNS - 1) / COLUMNS
  const stride = (<usize>inner) << 2
  for (let unit = begin; unit < end; unit++) {
    const first = (unit % blocks) * COLUMNS
    const at = <usize>(unit / blocks) * <usize>n * stride + ((<usize>first) << 2)
    const width = (<usize>min(COLUMNS, inner - first)) << 2
    const vectors = width & ~15
    if (backward) {
      backwardColumns(logarithm, a + at, b + at, c + at, n, stride, 0, vectors, 4, scratch)
      backwardColumns(logarithm, a + at, b + at, c + at, n, stride, vectors, width, 1, scratch)
    } else {
      forwardColumns(logarithm, a + at, b + at, n, stride, 0, vectors, 4, scratch)
      forwardColumns(logarithm, a + at, b + at, n, stride, vectors, width, 1, scratch)
    }
  }
}

/** Over the middle axis of [outer, n, inner]. Parallel axis: outer × ceil(inner / 64). */
export function softmax_columns_f32(
  x: usize,
  out: usize,
  n: i32,
  inner: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  columns(false, false, x, out, 0, n, inner, scratch, begin, end)
}

/** As softmax_columns_f32. */
export function log_softmax_columns_f32(
  x: usize,
  out: usize,
  n: i32,
  inner: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  columns(false, true, x, out, 0, n, inner, scratch, begin, end)
}

/** As softmax_columns_f32, from gradient and result. */
export function softmax_columns_backward_f32(
  g: usize,
  y: usize,
  dx: usize,
  n: i32,
  inner: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  columns(true, false, g, y, dx, n, inner, scratch, begin, end)
}

/** As softmax_columns_f32, from gradient and result. */
export function log_softmax_columns_backward_f32(
  g: usize,
  y: usize,
  dx: usize,
  n: i32,
  inner: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  columns(true, true, g, y, dx, n, inner, scratch, begin, end)
}
