// Layer norm and RMS norm over contiguous rows, forward and backward: x̂ = (x - mean) × rstd, out = x̂ × weight + bias.
import { fma, hsum } from './simd'

/** Elements summed in float32 before their sum joins the float64 total. */
const SPAN: usize = 4096 << 2

/** Rows whose parts of the parameters' gradients are summed together; the op sums the blocks. */
const ROWS = 32

// @ts-ignore: decorator
@inline
function addTerm(square: bool, x: v128, mean: v128, sum: v128): v128 {
  const d = v128.sub<f32>(x, mean)
  return square ? fma(d, d, sum) : v128.add<f32>(d, sum)
}

/** Σ (x - mean), or of its squares. */
// @ts-ignore: decorator
@inline
function rowSum(square: bool, x: usize, n: i32, mean: f32): f64 {
  const m = f32x4.splat(mean)
  const end = x + ((<usize>n) << 2)
  let total: f64 = 0
  while (x < end) {
    const stop = min(x + SPAN, end)
    let a = f32x4.splat(0)
    let b = a
    let c = a
    let d = a
    for (; x + 64 <= stop; x += 64) {
      a = addTerm(square, v128.load(x), m, a)
      b = addTerm(square, v128.load(x, 16), m, b)
      c = addTerm(square, v128.load(x, 32), m, c)
      d = addTerm(square, v128.load(x, 48), m, d)
    }
    total += hsum(v128.add<f32>(v128.add<f32>(a, b), v128.add<f32>(c, d)))
    for (; x < stop; x += 4) {
      const e = load<f32>(x) - mean
      total += square ? e * e : e
    }
  }
  return total
}

/** weight + offset, or 1 where there is none; one lane or four. */
// @ts-ignore: decorator
@inline
function factor(weight: usize, i: usize, offset: v128, lanes: i32): v128 {
  return weight
    ? v128.add<f32>(lanes == 4 ? v128.load(weight + i) : v128.load32_zero(weight + i), offset)
    : f32x4.splat(1)
}

// @ts-ignore: decorator
@inline
function forward(
  center: bool,
  x: usize,
  weight: usize,
  bias: usize,
  out: usize,
  mean: usize,
  rstd: usize,
  n: i32,
  eps: f32,
  offset: f32,
  begin: i32,
  end: i32,
): void {
  const row = (<usize>n) << 2
  const vectors = row & ~15
  const add = f32x4.splat(offset)
  for (let r = <usize>begin; r < <usize>end; r++) {
    const from = x + r * row
    const to = out + r * row
    const m: f32 = center ? <f32>(rowSum(false, from, n, 0) / n) : 0
    const s = <f32>(1 / sqrt<f64>(rowSum(true, from, n, m) / n + eps))
    if (center) store<f32>(mean + (r << 2), m)
    store<f32>(rstd + (r << 2), s)
    const scale = f32x4.splat(s)
    const shift = f32x4.splat(m)
    let i: usize = 0
    for (; i < vectors; i += 16) {
      const h = v128.mul<f32>(v128.sub<f32>(v128.load(from + i), shift), scale)
      v128.store(to + i, fma(h, factor(weight, i, add, 4), bias ? v128.load(bias + i) : f32x4.splat(0)))
    }
    for (; i < row; i += 4) {
      const h = v128.mul<f32>(v128.sub<f32>(v128.load32_zero(from + i), shift), scale)
      v128.store_lane<f32>(
        to + i,
        fma(h, factor(weight, i, add, 1), bias ? v128.load32_zero(bias + i) : f32x4.splat(0)),
        0,
      )
    }
  }
}

/** Rows of n; weight and bias may be 0. Saves mean and 1 / √(variance + eps) of each row. Parallel axis: rows. */
export function layer_norm_f32(
  x: usize,
  weight: usize,
  bias: usize,
  out: usize,
  mean: usize,
  rstd: usize,
  n: i32,
  eps: f32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  forward(true, x, weight, bias, out, mean, rstd, n, eps, 0, begin, end)
}

/** Rows of n; weight may be 0, `offset` is added to it (1 for Gemma's weights around 0). Saves 1 / √(mean square + eps). Parallel axis: rows. */
export function rms_norm_f32(
  x: usize,
  weight: usize,
  out: usize,
  rstd: usize,
  n: i32,
  eps: f32,
  offset: f32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  forward(false, x, weight, 0, out, 0, rstd, n, eps, offset, begin, end)
}

/**
 * With γ = g × weight: dx = rstd × (γ - Σγ/n - x̂ × Σγx̂/n), the middle term for layer norm alone. Blocks of ROWS rows leave
 * Σ g x̂ and Σ g of each column in dweight, dbias (both [blocks, n], or 0).
 */
// @ts-ignore: decorator
@inline
function backward(
  center: bool,
  g: usize,
  x: usize,
  weight: usize,
  mean: usize,
  rstd: usize,
  dx: usize,
  dweight: usize,
  dbias: usize,
  rows: i32,
  n: i32,
  offset: f32,
  begin: i32,
  end: i32,
): void {
  const row = (<usize>n) << 2
  const vectors = row & ~15
  const add = f32x4.splat(offset)
  for (let block = begin; block < end; block++) {
    const dw = dweight ? dweight + <usize>block * row : 0
    const db = dbias ? dbias + <usize>block * row : 0
    if (dw) memory.fill(dw, 0, row)
    if (db) memory.fill(db, 0, row)
    const last = min((block + 1) * ROWS, rows)
    for (let r = <usize>(block * ROWS); r < <usize>last; r++) {
      const gr = g + r * row
      const xr = x + r * row
      const to = dx + r * row
      const scale = v128.load32_splat(rstd + (r << 2))
      const shift = center ? v128.load32_splat(mean + (r << 2)) : f32x4.splat(0)
      let sum = f32x4.splat(0)
      let product = sum
      let i: usize = 0
      for (; i < vectors; i += 16) {
        const grad = v128.load(gr + i)
        const h = v128.mul<f32>(v128.sub<f32>(v128.load(xr + i), shift), scale)
        const c = v128.mul<f32>(grad, factor(weight, i, add, 4))
        if (center) sum = v128.add<f32>(sum, c)
        product = fma(c, h, product)
        if (dw) v128.store(dw + i, fma(grad, h, v128.load(dw + i)))
        if (db) v128.store(db + i, v128.add<f32>(grad, v128.load(db + i)))
      }
      for (; i < row; i += 4) {
        const grad = v128.load32_zero(gr + i)
        const h = v128.mul<f32>(v128.sub<f32>(v128.load32_zero(xr + i), shift), scale)
        const c = v128.mul<f32>(grad, factor(weight, i, add, 1))
        if (center) sum = v128.add<f32>(sum, c)
        product = fma(c, h, product)
        if (dw) v128.store_lane<f32>(dw + i, fma(grad, h, v128.load32_zero(dw + i)), 0)
        if (db) v128.store_lane<f32>(db + i, v128.add<f32>(grad, v128.load32_zero(db + i)), 0)
      }
      const c1 = f32x4.splat(center ? hsum(sum) / <f32>n : 0)
      const c2 = f32x4.splat(hsum(product) / <f32>n)
      for (i = 0; i < vectors; i += 16) {
        const h = v128.mul<f32>(v128.sub<f32>(v128.load(xr + i), shift), scale)
        const c = v128.mul<f32>(v128.load(gr + i), factor(weight, i, add, 4))
        v128.store(to + i, v128.mul<f32>(scale, v128.sub<f32>(v128.sub<f32>(c, c1), v128.mul<f32>(h, c2))))
      }
      for (; i < row; i += 4) {
        const h = v128.mul<f32>(v128.sub<f32>(v128.load32_zero(xr + i), shift), scale)
        const c = v128.mul<f32>(v128.load32_zero(gr + i), factor(weight, i, add, 1))
        v128.store_lane<f32>(to + i, v128.mul<f32>(scale, v128.sub<f32>(v128.sub<f32>(c, c1), v128.mul<f32>(h, c2))), 0)
      }
    }
  }
}

/** Gradients of layer_norm_f32 from g. Parallel axis: blocks of 32 rows. */
export function layer_norm_backward_f32(
  g: usize,
  x: usize,
  weight: usize,
  mean: usize,
  rstd: usize,
  dx: usize,
  dweight: usize,
  dbias: usize,
  rows: i32,
  n: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  backward(true, g, x, weight, mean, rstd, dx, dweight, dbias, rows, n, 0, begin, end)
}

/** Gradients of rms_norm_f32 from g. Parallel axis: blocks of 32 rows. */
export function rms_norm_backward_f32(
  g: usize,
  x: usize,
  weight: usize,
  rstd: usize,
  dx: usize,
  dweight: usize,
  rows: i32,
  n: i32,
  offset: f32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  backward(false, g, x, weight, 0, rstd, dx, dweight, 0, rows, n, offset, begin, end)
}
