// Products with few rows, where packing would cost more than it saves: y[m,n] = Σ x[m,k]·w[n,k] as dot products, and y = xᵀ·B by rows.
import { fma, hsum } from './simd'
import { BF16, element, F16, F32, load4, sizeOf } from './floats'

/** One row of x by four rows of w: w is what costs, so it is read once, front to back. */
// @ts-ignore: decorator
@inline
function dot1x4(dtype: i32, x: usize, w: usize, wStep: usize, k: i32, out: usize, bias: usize, accumulate: bool): void {
  const size = sizeOf(dtype)
  const w1 = w + wStep
  const w2 = w1 + wStep
  const w3 = w2 + wStep
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  let t0 = f32x4.splat(0)
  let t1 = f32x4.splat(0)
  let t2 = f32x4.splat(0)
  let t3 = f32x4.splat(0)
  let i: usize = 0
  const whole = <usize>(k & ~7)
  for (; i < whole; i += 8) {
    const at = i * size
    let v = v128.load(x + i * 4)
    s0 = fma(v, load4(dtype, w + at), s0)
    s1 = fma(v, load4(dtype, w1 + at), s1)
    s2 = fma(v, load4(dtype, w2 + at), s2)
    s3 = fma(v, load4(dtype, w3 + at), s3)
    v = v128.load(x + i * 4, 16)
    t0 = fma(v, load4(dtype, w + at + 4 * size), t0)
    t1 = fma(v, load4(dtype, w1 + at + 4 * size), t1)
    t2 = fma(v, load4(dtype, w2 + at + 4 * size), t2)
    t3 = fma(v, load4(dtype, w3 + at + 4 * size), t3)
  }
  let r0 = hsum(f32x4.add(s0, t0))
  let r1 = hsum(f32x4.add(s1, t1))
  let r2 = hsum(f32x4.add(s2, t2))
  let r3 = hsum(f32x4.add(s3, t3))
  for (; i < <usize>k; i++) {
    const v = load<f32>(x + i * 4)
    const at = i * size
    r0 += v * element(dtype, w + at)
    r1 += v * element(dtype, w1 + at)
    r2 += v * element(dtype, w2 + at)
    r3 += v * element(dtype, w3 + at)
  }
  put(out, r0, bias, accumulate)
  put(out + 4, r1, bias == 0 ? <usize>0 : bias + 4, accumulate)
  put(out + 8, r2, bias == 0 ? <usize>0 : bias + 8, accumulate)
  put(out + 12, r3, bias == 0 ? <usize>0 : bias + 12, accumulate)
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

/** One row of x by one of w: the edges. */
// @ts-ignore: decorator
@inline
function dot1x1(dtype: i32, x: usize, w: usize, k: i32, out: usize, bias: usize, accumulate: bool): void {
  const size = sizeOf(dtype)
  let s = f32x4.splat(0)
  let i: usize = 0
  const whole = <usize>(k & ~3)
  for (; i < whole; i += 4) s = fma(v128.load(x + i * 4), load4(dtype, w + i * size), s)
  let r = hsum(s)
  for (; i < <usize>k; i++) r += load<f32>(x + i * 4) * element(dtype, w + i * size)
  put(out, r, bias, accumulate)
}

/** Groups of four rows of w against all m rows of x. Strides in elements. */
// @ts-ignore: decorator
@inline
function dots(dtype: i32, x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, begin: i32, end: i32): void {
  const adds = accumulate != 0
  const xStep = <usize>ldx * 4
  const wStep = <usize>ldw * sizeOf(dtype)
  const outStep = <usize>ldo * 4
  for (let g = begin; g < end; g++) {
    const j0 = g * 4
    const wj = w + <usize>j0 * wStep
    const bj = bias == 0 ? <usize>0 : bias + <usize>j0 * 4
    const oj = out + <usize>j0 * 4
    const cols = min(4, n - j0)
    let i = 0
    for (; i + 4 <= m && cols == 4; i += 4) {
      const xi = x + <usize>i * xStep
      const oi = oj + <usize>i * outStep
      dot4x2(dtype, xi, xStep, wj, wStep, k, oi, outStep, bj, adds)
      dot4x2(dtype, xi, xStep, wj + 2 * wStep, wStep, k, oi + 8, outStep, bj == 0 ? <usize>0 : bj + 8, adds)
    }
    for (; i < m; i++) {
      const xi = x + <usize>i * xStep
      const oi = oj + <usize>i * outStep
      if (cols == 4) dot1x4(dtype, xi, wj, wStep, k, oi, bj, adds)
      else for (let j = 0; j < cols; j++) dot1x1(dtype, xi, wj + <usize>j * wStep, k, oi + <usize>j * 4, bj == 0 ? <usize>0 : bj + <usize>j * 4, adds)
    }
  }
}

/** out[m,n] = x[m,k]·w[n,k]ᵀ. Parallel over groups of four rows of w. */
export function dots_f32(x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  dots(F32, x, w, out, m, n, k, ldx, ldw, ldo, bias, accumulate, begin, end)
}
export function dots_f16(x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  dots(F16, x, w, out, m, n, k, ldx, ldw, ldo, bias, accumulate, begin, end)
}
export function dots_bf16(x: usize, w: usize, out: usize, m: i32, n: i32, k: i32, ldx: i32, ldw: i32, ldo: i32, bias: usize, accumulate: i32, scratch: usize, begin: i32, end: i32): void {
  dots(BF16, x, w, out, m, n, k, ldx, ldw, ldo, bias, accumulate, begin, end)
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
