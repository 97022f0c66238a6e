// Layer norm and RMS norm over contiguous rows, forward and backward: x̂ = (x - mean) × rstd, out = x̂ × weight + bias.
import { fma, hsum } from './simd'

/** Elements summed in float32 before their sum joins the float64 total. */
const SPAN: usize = 4096 << 2

/** Rows whose parts of the parameters' gradients are summed together; the op sums the blocks. */
const ROWS = 32

const enum Term {
  x,
  square,
  squaredDeviation,
}

// @ts-ignore: decorator
@inline
function addTerm(term: Term, x: v128, mean: v128, sum: v128): v128 {
  if (term == Term.x) return v128.add<f32>(x, sum)
  const d = term == Term.square ? x : v128.sub<f32>(x, mean)
  return fma(d, d, sum)
}

/** Σ x, Σ x² or Σ (x - mean)². */
// @ts-ignore: decorator
@inline
function rowSum(term: Term, x: usize, n: i32, mean: f32): f64 {
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
      a = addTerm(term, v128.load(x), m, a)
      b = addTerm(term, v128.load(x, 16), m, b)
      c = addTerm(term, v128.load(x, 32), m, c)
      d = addTerm(term, v128.load(x, 48), m, d)
    }
    total += hsum(v128.add<f32>(v128.add<f32>(a, b), v128.add<f32>(c, d)))
    for (; x < stop; x += 4) total += f32x4.extract_lane(addTerm(term, v128.load32_zero(x), m, f32x4.splat(0)), 0)
  }
  return total
}

/** Four elements, or one. */
// @ts-ignore: decorator
@inline
function get(at: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(at) : v128.load32_zero(at)
}

/** weight + offset, or 1 where there is none. */
// @ts-ignore: decorator
@inline
function factor(center: bool, weight: usize, i: usize, offset: v128, lanes: i32): v128 {
  if (!weight) return f32x4.splat(1)
  return center ? get(weight + i, lanes) : v128.add<f32>(get(weight + i, lanes), offset)
}

/** (x - shift) × scale × (w + offset) + b, of which the norm has what its name says. */
// @ts-ignore: decorator
@inline
function finish(
  center: bool,
  weighted: bool,
  biased: bool,
  x: v128,
  w: v128,
  b: v128,
  shift: v128,
  scale: v128,
  offset: v128,
): v128 {
  const h = v128.mul<f32>(center ? v128.sub<f32>(x, shift) : x, scale)
  if (!weighted) return biased ? v128.add<f32>(h, b) : h
  const factor = center ? w : v128.add<f32>(w, offset)
  return biased ? fma(h, factor, b) : v128.mul<f32>(h, factor)
}

/** A row of results. Whether there are weight and bias is known at compile time: this is bound by instructions. */
// @ts-ignore: decorator
@inline
function finishRow(
  center: bool,
  weighted: bool,
  biased: bool,
  x: usize,
  weight: usize,
  bias: usize,
  out: usize,
  row: usize,
  shift: v128,
  scale: v128,
  offset: v128,
): void {
  const none = f32x4.splat(0)
  const end = x + row
  for (; x + 32 <= end; x += 32) {
    const w0 = weighted ? v128.load(weight) : none
    const w1 = weighted ? v128.load(weight, 16) : none
    const b0 = biased ? v128.load(bias) : none
    const b1 = biased ? v128.load(bias, 16) : none
    v128.store(out, finish(center, weighted, biased, v128.load(x), w0, b0, shift, scale, offset))
    v128.store(out, finish(center, weighted, biased, v128.load(x, 16), w1, b1, shift, scale, offset), 16)
    if (weighted) weight += 32
    if (biased) bias += 32
    out += 32
  }
  for (; x < end; x += 4) {
    const w = weighted ? v128.load32_zero(weight) : none
    const b = biased ? v128.load32_zero(bias) : none
    v128.store_lane<f32>(out, finish(center, weighted, biased, v128.load32_zero(x), w, b, shift, scale, offset), 0)
    if (weighted) weight += 4
    if (biased) bias += 4
    out += 4
  }
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
  const add = f32x4.splat(offset)
  for (let r = <usize>begin; r < <usize>end; r++) {
    const from = x + r * row
    const to = out + r * row
    const m: f32 = center ? <f32>(rowSum(Term.x, from, n, 0) / n) : 0
    const squares = rowSum(center ? Term.squaredDeviation : Term.square, from, n, m)
    const s = <f32>(1 / sqrt<f64>(squares / n + eps))
    if (center) store<f32>(mean + (r << 2), m)
    store<f32>(rstd + (r << 2), s)
    const shift = f32x4.splat(m)
    const scale = f32x4.splat(s)
    if (weight && bias) finishRow(center, true, true, from, weight, bias, to, row, shift, scale, add)
    else if (weight) finishRow(center, true, false, from, weight, 0, to, row, shift, scale, add)
    else if (bias) finishRow(center, false, true, from, 0, bias, to, row, shift, scale, add)
    else finishRow(center, false, false, from, 0, 0, to, row, shift, scale, add)
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
        const c = v128.mul<f32>(grad, factor(center, weight, i, add, 4))
        if (center) sum = v128.add<f32>(sum, c)
        product = fma(c, h, product)
        if (dw) v128.store(dw + i, fma(grad, h, v128.load(dw + i)))
        if (db) v128.store(db + i, v128.add<f32>(grad, v128.load(db + i)))
      }
      for (; i < row; i += 4) {
        const grad = v128.load32_zero(gr + i)
        const h = v128.mul<f32>(v128.sub<f32>(v128.load32_zero(xr + i), shift), scale)
        const c = v128.mul<f32>(grad, factor(center, weight, i, add, 1))
        if (center) sum = v128.add<f32>(sum, c)
        product = fma(c, h, product)
        if (dw) v128.store_lane<f32>(dw + i, fma(grad, h, v128.load32_zero(dw + i)), 0)
        if (db) v128.store_lane<f32>(db + i, v128.add<f32>(grad, v128.load32_zero(db + i)), 0)
      }
      const c1 = f32x4.splat(center ? hsum(sum) / <f32>n : 0)
      const c2 = f32x4.splat(hsum(product) / <f32>n)
      for (i = 0; i < vectors; i += 16) {
        const h = v128.mul<f32>(v128.sub<f32>(v128.load(xr + i), shift), scale)
        const c = v128.mul<f32>(v128.load(gr + i), factor(center, weight, i, add, 4))
        v128.store(to + i, v128.mul<f32>(scale, v128.sub<f32>(v128.sub<f32>(c, c1), v128.mul<f32>(h, c2))))
      }
      for (; i < row; i += 4) {
        const h = v128.mul<f32>(v128.sub<f32>(v128.load32_zero(xr + i), shift), scale)
        const c = v128.mul<f32>(v128.load32_zero(gr + i), factor(center, weight, i, add, 1))
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
