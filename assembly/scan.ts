// cumsum and cumprod along the middle of (outer, n, inner), forwards or backwards; parallel over the outer × inner columns.

/** Columns that one pass takes side by side, with their accumulators in scratch. */
const TILE: i32 = 1024

/** T are the elements, A the accumulator: float32 sums in float64, as PyTorch does. */
// @ts-ignore: decorator
@inline
function scan<T, A>(
  x: usize, out: usize, n: i32, inner: i32, reverse: i32, product: bool, scratch: usize, begin: i32, end: i32,
): void {
  const step = (reverse ? -<isize>inner : <isize>inner) * sizeof<T>()
  for (let column = begin; column < end; ) {
    const o = column / inner
    const first = column - o * inner
    const width = min(min(end - column, inner - first), TILE)
    column += width
    const start = ((<usize>o * n + (reverse ? <usize>n - 1 : 0)) * inner + first) * sizeof<T>()
    let from = x + start
    let to = out + start
    if (width === 1) {
      let sum: A = product ? 1 : 0
      for (let k = 0; k < n; k++) {
        const value = <A>load<T>(from)
        sum = product ? sum * value : sum + value
        store<T>(to, <T>sum)
        from += step
        to += step
      }
      continue
    }
    for (let i = 0; i < width; i++) store<A>(scratch + <usize>i * sizeof<A>(), product ? 1 : 0)
    for (let k = 0; k < n; k++) {
      for (let i: usize = 0; i < <usize>width; i++) {
        const value = <A>load<T>(from + i * sizeof<T>())
        const before = load<A>(scratch + i * sizeof<A>())
        const sum = product ? before * value : before + value
        store<A>(scratch + i * sizeof<A>(), sum)
        store<T>(to + i * sizeof<T>(), <T>sum)
      }
      from += step
      to += step
    }
  }
}
export function cumsum_f32(
  x: usize, out: usize, n: i32, inner: i32, reverse: i32, scratch: usize, begin: i32, end: i32,
): void {
  scan<f32, f64>(x, out, n, inner, reverse, false, scratch, begin, end)
}
export function cumsum_i64(
  x: usize, out: usize, n: i32, inner: i32, reverse: i32, scratch: usize, begin: i32, end: i32,
): void {
  scan<i64, i64>(x, out, n, inner, reverse, false, scratch, begin, end)
}
export function cumprod_f32(x: usize, out: usize, n: i32, inner: i32, scratch: usize, begin: i32, end: i32): void {
  scan<f32, f64>(x, out, n, inner, 0, true, scratch, begin, end)
}
export function cumprod_i64(x: usize, out: usize, n: i32, inner: i32, scratch: usize, begin: i32, end: i32): void {
  scan<i64, i64>(x, out, n, inner, 0, true, scratch, begin, end)
}

/**
 * Gradient of cumprod without a division, so that zeros are no special case:
 * dx[k] = (x[0] … x[k-1]) S[k], with S[k] = g[k] + x[k+1] S[k+1].
 */
export function cumprod_backward_f32(
  x: usize, grad: usize, out: usize, n: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  const step = (<usize>inner) << 2
  for (let column = begin; column < end; column++) {
    const start = (<usize>(column / inner) * n * inner + column % inner) << 2
    let at = start + <usize>n * step
    let suffix: f64 = 0
    let next: f64 = 0 // x[k+1]
    for (let k = 0; k < n; k++) {
      at -= step
      suffix = load<f32>(grad + at) + next * suffix
      next = load<f32>(x + at)
      store<f32>(out + at, <f32>suffix)
    }
    let prefix: f64 = 1
    for (let k = 0; k < n; k++, at += step) {
      store<f32>(out + at, <f32>(prefix * load<f32>(out + at)))
      prefix *= load<f32>(x + at)
    }
  }
}
