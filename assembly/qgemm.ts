// Products of quantized weights with quantized activations: out[M, N] = x[M, K] · W[N, K]ᵀ + bias, W repacked as blocks.ts says.
//
// Activations are rounded by blocks of 32, as the weights are, so the inner loop is integer. Integer sums are exact, and the
// float32 sum over blocks runs in order, in every kernel alike: what a token gives does not depend on how many others there are.
// Weights are w = d q + m (Q4_0 has m = -8 d, Q8_0 none). There are two ways:
//
// - narrow: 4-bit codes where the build has the relaxed dot product. Codes fit its 7 bits, and a block's sums fit 16 bits.
//   Activations are a = s c + z with int8 c and z the middle of their range, which is a bit finer than without z:
//     Σ w a = d s Σ q c + m Σ a + d z Σ q
// - wide: otherwise, and for 8-bit codes. Both operands are int16, so activations a = s c may have 16 bits at no cost:
//     Σ w a = d s Σ q c + m Σ a
import { bytesOf, headOf, Q4_0, Q4_1, Q8_0 } from './blocks'
import { dotPairs, fma, hsum, ROUND, ROUND_BITS } from './simd'

// @ts-ignore: decorator
@inline
function isWide(format: i32): bool {
  return format == Q8_0 || !ASC_FEATURE_RELAXED_SIMD
}

// ---- activations, by tiles of one or four tokens. For each block: the tokens' codes, then of each token s, then of each Σ a,
// then, where narrow, of each z.

/** Bytes of a token's codes in a block. */
// @ts-ignore: decorator
@inline
function codeBytes(wide: bool): usize {
  return wide ? 64 : 32
}

/** Bytes of a tile's block. */
// @ts-ignore: decorator
@inline
function tileBytes(wide: bool, tokens: usize): usize {
  return tokens * (wide ? 72 : 44)
}

/** Four numbers times `inverse`, rounded, in int32. */
// @ts-ignore: decorator
@inline
function rounded(x: v128, inverse: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(x, inverse), f32x4.splat(ROUND)), i32x4.splat(ROUND_BITS))
}

// @ts-ignore: decorator
@inline
function rounded8(x0: v128, x1: v128, inverse: v128): v128 {
  return i16x8.narrow_i32x4_s(rounded(x0, inverse), rounded(x1, inverse))
}

/** Sum of the four lanes of int32. */
// @ts-ignore: decorator
@inline
function total(v: v128): i32 {
  const pairs = i32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1))
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)
}

/** Largest of the four lanes. */
// @ts-ignore: decorator
@inline
function most(v: v128): f32 {
  const pair = f32x4.pmax(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1))
  return f32x4.extract_lane(f32x4.pmax(pair, v128.shuffle<f32>(pair, pair, 1, 0, 3, 2)), 0)
}

// @ts-ignore: decorator
@inline
function least(v: v128): f32 {
  const pair = f32x4.pmin(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1))
  return f32x4.extract_lane(f32x4.pmin(pair, v128.shuffle<f32>(pair, pair, 1, 0, 3, 2)), 0)
}

/**
 * One block of one token: codes to `to`, s, Σ a and z to `rest` by steps of `step`. NaN and infinity make s NaN, and so the
 * result: 0 × (sum of all) is NaN then.
 */
// @ts-ignore: decorator
@inline
function quantizeBlock(wide: bool, x: usize, to: usize, rest: usize, step: usize): void {
  const x0 = v128.load(x, 0)
  const x1 = v128.load(x, 16)
  const x2 = v128.load(x, 32)
  const x3 = v128.load(x, 48)
  const x4 = v128.load(x, 64)
  const x5 = v128.load(x, 80)
  const x6 = v128.load(x, 96)
  const x7 = v128.load(x, 112)
  const high = most(f32x4.pmax(f32x4.pmax(f32x4.pmax(x0, x1), f32x4.pmax(x2, x3)), f32x4.pmax(f32x4.pmax(x4, x5), f32x4.pmax(x6, x7))))
  const low = least(f32x4.pmin(f32x4.pmin(f32x4.pmin(x0, x1), f32x4.pmin(x2, x3)), f32x4.pmin(f32x4.pmin(x4, x5), f32x4.pmin(x6, x7))))
  const all = f32x4.add(f32x4.add(f32x4.add(x0, x1), f32x4.add(x2, x3)), f32x4.add(f32x4.add(x4, x5), f32x4.add(x6, x7)))
  const poison = hsum(f32x4.mul(all, f32x4.splat(0)))
  if (wide) {
    const range = max(high, -low)
    const inverse = f32x4.splat(range > 1e-30 ? 32767 / range : 0)
    const s = range / 32767 + poison
    const c0 = rounded8(x0, x1, inverse)
    const c1 = rounded8(x2, x3, inverse)
    const c2 = rounded8(x4, x5, inverse)
    const c3 = rounded8(x6, x7, inverse)
    v128.store(to, c0, 0)
    v128.store(to, c1, 16)
    v128.store(to, c2, 32)
    v128.store(to, c3, 48)
    const ones = i16x8.splat(1)
    const sums01 = i32x4.add(i32x4.dot_i16x8_s(c0, ones), i32x4.dot_i16x8_s(c1, ones))
    const sums23 = i32x4.add(i32x4.dot_i16x8_s(c2, ones), i32x4.dot_i16x8_s(c3, ones))
    store<f32>(rest, s)
    store<f32>(rest + step, s * <f32>total(i32x4.add(sums01, sums23)))
    return
  }
  const range = high - low
  const inverse = f32x4.splat(range > 1e-30 ? 254 / range : 0)
  const s = range / 254 + poison
  const z = high * <f32>0.5 + low * <f32>0.5
  const middle = f32x4.splat(z)
  const c0 = rounded8(f32x4.sub(x0, middle), f32x4.sub(x1, middle), inverse)
  const c1 = rounded8(f32x4.sub(x2, middle), f32x4.sub(x3, middle), inverse)
  const c2 = rounded8(f32x4.sub(x4, middle), f32x4.sub(x5, middle), inverse)
  const c3 = rounded8(f32x4.sub(x6, middle), f32x4.sub(x7, middle), inverse)
  v128.store(to, i8x16.narrow_i16x8_s(c0, c1), 0)
  v128.store(to, i8x16.narrow_i16x8_s(c2, c3), 16)
  const sums = i32x4.dot_i16x8_s(i16x8.add(i16x8.add(c0, c1), i16x8.add(c2, c3)), i16x8.splat(1))
  store<f32>(rest, s)
  store<f32>(rest + step, s * <f32>total(sums) + z * 32)
  store<f32>(rest + 2 * step, z)
}

// @ts-ignore: decorator
@inline
function quantizeTiles(wide: bool, x: usize, m: i32, blocks: i32, tokens: i32, out: usize, begin: i32, end: i32): void {
  const step = <usize>tokens << 2
  const block = tileBytes(wide, <usize>tokens)
  const tile = block * <usize>blocks
  const scales = codeBytes(wide) * <usize>tokens
  for (let i = begin; i < end; i++) {
    const first = i * tokens
    if (m - first < tokens) memory.fill(out + <usize>i * tile, 0, tile)
    for (let t = 0; t < min(tokens, m - first); t++) {
      let from = x + <usize>(first + t) * (<usize>blocks << 7)
      let to = out + <usize>i * tile
      const code = <usize>t * codeBytes(wide)
      const rest = scales + (<usize>t << 2)
      for (let b = 0; b < blocks; b++, from += 128, to += block) quantizeBlock(wide, from, to + code, to + rest, step)
    }
  }
}

/** Activations x[m, 32 blocks] for the 4-bit products, in tiles of `tokens` (1 or 4), the last filled up with zeros. Parallel over tiles. */
export function quantize_q4(x: usize, m: i32, blocks: i32, tokens: i32, out: usize, scratch: usize, begin: i32, end: i32): void {
  quantizeTiles(isWide(Q4_0), x, m, blocks, tokens, out, begin, end)
}
/** The same for the 8-bit product. */
export function quantize_q8(x: usize, m: i32, blocks: i32, tokens: i32, out: usize, scratch: usize, begin: i32, end: i32): void {
  quantizeTiles(isWide(Q8_0), x, m, blocks, tokens, out, begin, end)
}

// ---- pieces of the products. V8 builds a constant vector anew at each use, in three instructions; one that it does not know to
// be constant stays in a register. Hence `blocks > 0`, which is always true.

// @ts-ignore: decorator
@inline
function held8(value: i8, blocks: i32): v128 {
  return i8x16.splat(select<i8>(value, 0, blocks > 0))
}
// @ts-ignore: decorator
@inline
function held16(value: i16, blocks: i32): v128 {
  return i16x8.splat(select<i16>(value, 0, blocks > 0))
}
// @ts-ignore: decorator
@inline
function held32(value: i32, blocks: i32): v128 {
  return i32x4.splat(select<i32>(value, 0, blocks > 0))
}

/** The bits of a float16 that stay once they stand 13 higher, as a float32's, and 2^112, the difference of the exponents' biases. */
const HALF_BITS: i32 = 0x8fffffff
const HALF_SCALE: f32 = 5.192296858534828e33

/** Four float16 numbers as float32. Exact and quick; infinity, which no writer makes a scale of, is read as 65536. */
// @ts-ignore: decorator
@inline
function halves(ptr: usize, bits: v128, scale: v128): v128 {
  return f32x4.mul(v128.and(i32x4.shl(v128.load_ext<i16>(ptr), 13), bits), scale)
}

/** Minima of a block of four rows; `d` are its scales. */
// @ts-ignore: decorator
@inline
function minima(format: i32, w: usize, d: v128, bits: v128, scale: v128): v128 {
  return format == Q4_1 ? halves(w + 8, bits, scale) : f32x4.mul(d, f32x4.splat(-8))
}

// @ts-ignore: decorator
@inline
function high(codes: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(codes, 4), mask)
}

/** Four rows by four elements of 4-bit codes, with one token's four elements: a sum of two in each lane, added to `sums`. */
// @ts-ignore: decorator
@inline
function dot7(sums: v128, codes: v128, a: v128): v128 {
  return i16x8.add(sums, dotPairs(a, codes))
}

/** Two rows by four elements, or four by two, as int16: a sum of two in each lane, added to `sums`. */
// @ts-ignore: decorator
@inline
function dot16(sums: v128, codes: v128, a: v128): v128 {
  return i32x4.add(sums, i32x4.dot_i16x8_s(codes, a))
}

/** Sums of four rows from those of two and two, each in two lanes. */
// @ts-ignore: decorator
@inline
function joined(rows01: v128, rows23: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(rows01, rows23, 0, 2, 4, 6), v128.shuffle<i32>(rows01, rows23, 1, 3, 5, 7))
}

/** The narrow way's block added to acc: sums are Σ q c, counts d Σ q, `sum` is Σ a. */
// @ts-ignore: decorator
@inline
function scaledNarrow(acc: v128, sums: v128, d: v128, m: v128, counts: v128, s: v128, sum: v128, z: v128): v128 {
  const y = fma(f32x4.convert_i32x4_s(sums), f32x4.mul(d, s), fma(counts, z, f32x4.mul(m, sum)))
  return f32x4.add(acc, y) // one step from block to block, since each waits for the one before
}

/** The wide way's. */
// @ts-ignore: decorator
@inline
function scaledWide(format: i32, acc: v128, sums: v128, d: v128, m: v128, s: v128, sum: v128): v128 {
  const y = fma(f32x4.convert_i32x4_s(sums), f32x4.mul(d, s), acc)
  return format == Q8_0 ? y : fma(m, sum, y)
}

/** d Σ q of four rows, from the sum of their eight pieces of four codes each: bytes of at most 120. */
// @ts-ignore: decorator
@inline
function counted(bytes: v128, d: v128, ones8: v128, ones: v128): v128 {
  return f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(dotPairs(ones8, bytes), ones)))
}

/** Stores the results of a token for rows 4 g … 4 g + 3, those that there are, with the bias. */
// @ts-ignore: decorator
@inline
function finish(y: v128, bias: usize, out: usize, n: i32, g: i32): void {
  const at = <usize>g << 4
  if ((g << 2) + 4 <= n) {
    if (bias) y = f32x4.add(y, v128.load(bias + at))
    v128.store(out + at, y)
    return
  }
  for (let r = g << 2; r < n; r++) {
    const value = f32x4.extract_lane(y, 0)
    const to = <usize>r << 2
    store<f32>(out + to, bias ? value + load<f32>(bias + to) : value)
    y = v128.shuffle<i32>(y, y, 1, 2, 3, 0)
  }
}

// ---- one token

/** Four rows of 4-bit codes with one token, the narrow way. */
// @ts-ignore: decorator
@inline
function rows4(format: i32, w: usize, a: usize, blocks: i32, mask: v128, ones8: v128, ones: v128, bits: v128, scale: v128): v128 {
  const codes = <usize>headOf(format) << 3
  let acc = f32x4.splat(0)
  for (let b = 0; b < blocks; b++) {
    let q = v128.load(w + codes, 0)
    let q0 = v128.and(q, mask)
    let q1 = high(q, mask)
    let bytes = i8x16.add(q0, q1)
    let sums = dotPairs(v128.load32_splat(a, 0), q0)
    sums = dot7(sums, q1, v128.load32_splat(a, 16))
    q = v128.load(w + codes, 16)
    q0 = v128.and(q, mask)
    q1 = high(q, mask)
    bytes = i8x16.add(bytes, i8x16.add(q0, q1))
    sums = dot7(sums, q0, v128.load32_splat(a, 4))
    sums = dot7(sums, q1, v128.load32_splat(a, 20))
    q = v128.load(w + codes, 32)
    q0 = v128.and(q, mask)
    q1 = high(q, mask)
    bytes = i8x16.add(bytes, i8x16.add(q0, q1))
    sums = dot7(sums, q0, v128.load32_splat(a, 8))
    sums = dot7(sums, q1, v128.load32_splat(a, 24))
    q = v128.load(w + codes, 48)
    q0 = v128.and(q, mask)
    q1 = high(q, mask)
    bytes = i8x16.add(bytes, i8x16.add(q0, q1))
    sums = dot7(sums, q0, v128.load32_splat(a, 12))
    sums = dot7(sums, q1, v128.load32_splat(a, 28))
    const d = halves(w, bits, scale)
    const m = minima(format, w, d, bits, scale)
    const s = v128.load32_splat(a, 32)
    const sum = v128.load32_splat(a, 36)
    acc = scaledNarrow(acc, i32x4.dot_i16x8_s(sums, ones), d, m, counted(bytes, d, ones8, ones), s, sum, v128.load32_splat(a, 40))
    w += codes + 64
    a += 44
  }
  return acc
}

/** The same the wide way. */
// @ts-ignore: decorator
@inline
function rows4Wide(format: i32, w: usize, a: usize, blocks: i32, mask: v128, bits: v128, scale: v128): v128 {
  const codes = <usize>headOf(format) << 3
  let acc = f32x4.splat(0)
  for (let b = 0; b < blocks; b++) {
    const d = halves(w, bits, scale)
    const m = minima(format, w, d, bits, scale)
    w += codes
    let rows01 = i32x4.splat(0)
    let rows23 = i32x4.splat(0)
    let q = v128.load(w, 0)
    let low = v128.and(q, mask)
    let x = v128.load64_splat(a, 0)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    low = high(q, mask)
    x = v128.load64_splat(a, 32)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    q = v128.load(w, 16)
    low = v128.and(q, mask)
    x = v128.load64_splat(a, 8)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    low = high(q, mask)
    x = v128.load64_splat(a, 40)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    q = v128.load(w, 32)
    low = v128.and(q, mask)
    x = v128.load64_splat(a, 16)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    low = high(q, mask)
    x = v128.load64_splat(a, 48)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    q = v128.load(w, 48)
    low = v128.and(q, mask)
    x = v128.load64_splat(a, 24)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    low = high(q, mask)
    x = v128.load64_splat(a, 56)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_u(low), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_u(low), x)
    acc = scaledWide(format, acc, joined(rows01, rows23), d, m, v128.load32_splat(a, 64), v128.load32_splat(a, 68))
    w += 64
    a += 72
  }
  return acc
}

/** Four rows of 8-bit codes with one token. */
// @ts-ignore: decorator
@inline
function rows8(w: usize, a: usize, blocks: i32, bits: v128, scale: v128): v128 {
  let acc = f32x4.splat(0)
  for (let b = 0; b < blocks; b++) {
    let rows01 = i32x4.splat(0)
    let rows23 = i32x4.splat(0)
    let q = v128.load(w, 8)
    let x = v128.load64_splat(a, 0)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 24)
    x = v128.load64_splat(a, 8)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 40)
    x = v128.load64_splat(a, 16)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 56)
    x = v128.load64_splat(a, 24)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 72)
    x = v128.load64_splat(a, 32)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 88)
    x = v128.load64_splat(a, 40)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 104)
    x = v128.load64_splat(a, 48)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    q = v128.load(w, 120)
    x = v128.load64_splat(a, 56)
    rows01 = dot16(rows01, i16x8.extend_low_i8x16_s(q), x)
    rows23 = dot16(rows23, i16x8.extend_high_i8x16_s(q), x)
    const zero = f32x4.splat(0)
    acc = scaledWide(Q8_0, acc, joined(rows01, rows23), halves(w, bits, scale), zero, v128.load32_splat(a, 64), zero)
    w += 136
    a += 72
  }
  return acc
}

// @ts-ignore: decorator
@inline
function gemv(format: i32, a: usize, w: usize, bias: usize, out: usize, n: i32, blocks: i32, begin: i32, end: i32): void {
  const group = bytesOf(format) * 4 * <usize>blocks
  const mask = held8(15, blocks)
  const ones8 = held8(1, blocks)
  const ones = held16(1, blocks)
  const bits = held32(HALF_BITS, blocks)
  const scale = f32x4.splat(select<f32>(HALF_SCALE, 0, blocks > 0))
  for (let g = begin; g < end; g++) {
    const at = w + <usize>g * group
    let y: v128
    if (format == Q8_0) y = rows8(at, a, blocks, bits, scale)
    else if (isWide(format)) y = rows4Wide(format, at, a, blocks, mask, bits, scale)
    else y = rows4(format, at, a, blocks, mask, ones8, ones, bits, scale)
    finish(y, bias, out, n, g)
  }
}

/** One token: out[n] = x · Wᵀ + bias (0: none), `a` from quantize_q4 in tiles of 1. Parallel over groups of four rows. */
export function qgemv_q4_0(a: usize, w: usize, bias: usize, out: usize, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  gemv(Q4_0, a, w, bias, out, n, blocks, begin, end)
}
export function qgemv_q4_1(a: usize, w: usize, bias: usize, out: usize, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  gemv(Q4_1, a, w, bias, out, n, blocks, begin, end)
}
export function qgemv_q8_0(a: usize, w: usize, bias: usize, out: usize, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  gemv(Q8_0, a, w, bias, out, n, blocks, begin, end)
}

// ---- many tokens: a stretch of four rows is unpacked into scratch, then meets the tiles of a panel one by one.
// An unpacked block: 32 x 4 codes as the tiles' kernel takes them, then d, then m, then, where narrow, d Σ q.

/** Tokens of a panel, and blocks of a stretch: what stays in the first cache, and bounds a chunk's time. */
const PANEL: i32 = 128
const STRETCH: i32 = 64

/** Bytes of four rows' unpacked block. */
// @ts-ignore: decorator
@inline
function unpackedBytes(wide: bool): usize {
  return wide ? 288 : 176
}

// @ts-ignore: decorator
@inline
function storeCodes(wide: bool, to: usize, codes: v128): void {
  if (wide) {
    v128.store(to, i16x8.extend_low_i8x16_s(codes), 0)
    v128.store(to, i16x8.extend_high_i8x16_s(codes), 16)
  } else v128.store(to, codes)
}

// @ts-ignore: decorator
@inline
function unpack(format: i32, w: usize, to: usize, blocks: i32): void {
  const wide = isWide(format)
  const piece: usize = wide ? 32 : 16
  const bits = i32x4.splat(HALF_BITS)
  const scale = f32x4.splat(HALF_SCALE)
  const mask = i8x16.splat(15)
  for (let b = 0; b < blocks; b++) {
    const d = halves(w, bits, scale)
    v128.store(to + 8 * piece, d)
    if (format != Q8_0) v128.store(to + 8 * piece, minima(format, w, d, bits, scale), 16)
    w += <usize>headOf(format) << 3
    if (format == Q8_0) {
      for (let s: usize = 0; s < 8; s++, w += 16) storeCodes(wide, to + s * piece, v128.load(w))
    } else {
      let bytes = i8x16.splat(0)
      for (let s: usize = 0; s < 4; s++, w += 16) {
        const q = v128.load(w)
        const q0 = v128.and(q, mask)
        const q1 = high(q, mask)
        storeCodes(wide, to + s * piece, q0)
        storeCodes(wide, to + (s + 4) * piece, q1)
        bytes = i8x16.add(bytes, i8x16.add(q0, q1))
      }
      if (!wide) v128.store(to, counted(bytes, d, i8x16.splat(1), i16x8.splat(1)), 160)
    }
    to += unpackedBytes(wide)
  }
}

/** Four rows by four tokens over a stretch: adds to acc[token][row]. */
function tile7(w: usize, a: usize, acc: usize, blocks: i32): void {
  const ones = held16(1, blocks)
  let y0 = v128.load(acc, 0)
  let y1 = v128.load(acc, 16)
  let y2 = v128.load(acc, 32)
  let y3 = v128.load(acc, 48)
  for (let b = 0; b < blocks; b++) {
    let q = v128.load(w, 0)
    let s0 = dotPairs(v128.load32_splat(a, 0), q)
    let s1 = dotPairs(v128.load32_splat(a, 32), q)
    let s2 = dotPairs(v128.load32_splat(a, 64), q)
    let s3 = dotPairs(v128.load32_splat(a, 96), q)
    q = v128.load(w, 16)
    s0 = dot7(s0, q, v128.load32_splat(a, 4))
    s1 = dot7(s1, q, v128.load32_splat(a, 36))
    s2 = dot7(s2, q, v128.load32_splat(a, 68))
    s3 = dot7(s3, q, v128.load32_splat(a, 100))
    q = v128.load(w, 32)
    s0 = dot7(s0, q, v128.load32_splat(a, 8))
    s1 = dot7(s1, q, v128.load32_splat(a, 40))
    s2 = dot7(s2, q, v128.load32_splat(a, 72))
    s3 = dot7(s3, q, v128.load32_splat(a, 104))
    q = v128.load(w, 48)
    s0 = dot7(s0, q, v128.load32_splat(a, 12))
    s1 = dot7(s1, q, v128.load32_splat(a, 44))
    s2 = dot7(s2, q, v128.load32_splat(a, 76))
    s3 = dot7(s3, q, v128.load32_splat(a, 108))
    q = v128.load(w, 64)
    s0 = dot7(s0, q, v128.load32_splat(a, 16))
    s1 = dot7(s1, q, v128.load32_splat(a, 48))
    s2 = dot7(s2, q, v128.load32_splat(a, 80))
    s3 = dot7(s3, q, v128.load32_splat(a, 112))
    q = v128.load(w, 80)
    s0 = dot7(s0, q, v128.load32_splat(a, 20))
    s1 = dot7(s1, q, v128.load32_splat(a, 52))
    s2 = dot7(s2, q, v128.load32_splat(a, 84))
    s3 = dot7(s3, q, v128.load32_splat(a, 116))
    q = v128.load(w, 96)
    s0 = dot7(s0, q, v128.load32_splat(a, 24))
    s1 = dot7(s1, q, v128.load32_splat(a, 56))
    s2 = dot7(s2, q, v128.load32_splat(a, 88))
    s3 = dot7(s3, q, v128.load32_splat(a, 120))
    q = v128.load(w, 112)
    s0 = dot7(s0, q, v128.load32_splat(a, 28))
    s1 = dot7(s1, q, v128.load32_splat(a, 60))
    s2 = dot7(s2, q, v128.load32_splat(a, 92))
    s3 = dot7(s3, q, v128.load32_splat(a, 124))
    const d = v128.load(w, 128)
    const m = v128.load(w, 144)
    const counts = v128.load(w, 160)
    y0 = scaledNarrow(y0, i32x4.dot_i16x8_s(s0, ones), d, m, counts, v128.load32_splat(a, 128), v128.load32_splat(a, 144), v128.load32_splat(a, 160))
    y1 = scaledNarrow(y1, i32x4.dot_i16x8_s(s1, ones), d, m, counts, v128.load32_splat(a, 132), v128.load32_splat(a, 148), v128.load32_splat(a, 164))
    y2 = scaledNarrow(y2, i32x4.dot_i16x8_s(s2, ones), d, m, counts, v128.load32_splat(a, 136), v128.load32_splat(a, 152), v128.load32_splat(a, 168))
    y3 = scaledNarrow(y3, i32x4.dot_i16x8_s(s3, ones), d, m, counts, v128.load32_splat(a, 140), v128.load32_splat(a, 156), v128.load32_splat(a, 172))
    w += 176
    a += 176
  }
  v128.store(acc, y0, 0)
  v128.store(acc, y1, 16)
  v128.store(acc, y2, 32)
  v128.store(acc, y3, 48)
}

/** The same with codes and activations in int16. */
// @ts-ignore: decorator
@inline
function tile16(format: i32, w: usize, a: usize, acc: usize, blocks: i32): void {
  let y0 = v128.load(acc, 0)
  let y1 = v128.load(acc, 16)
  let y2 = v128.load(acc, 32)
  let y3 = v128.load(acc, 48)
  for (let b = 0; b < blocks; b++) {
    let q01 = v128.load(w, 0)
    let q23 = v128.load(w, 16)
    let x = v128.load64_splat(a, 0)
    let s0 = i32x4.dot_i16x8_s(q01, x)
    let t0 = i32x4.dot_i16x8_s(q23, x)
    x = v128.load64_splat(a, 64)
    let s1 = i32x4.dot_i16x8_s(q01, x)
    let t1 = i32x4.dot_i16x8_s(q23, x)
    x = v128.load64_splat(a, 128)
    let s2 = i32x4.dot_i16x8_s(q01, x)
    let t2 = i32x4.dot_i16x8_s(q23, x)
    x = v128.load64_splat(a, 192)
    let s3 = i32x4.dot_i16x8_s(q01, x)
    let t3 = i32x4.dot_i16x8_s(q23, x)
    q01 = v128.load(w, 32)
    q23 = v128.load(w, 48)
    x = v128.load64_splat(a, 8)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 72)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 136)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 200)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    q01 = v128.load(w, 64)
    q23 = v128.load(w, 80)
    x = v128.load64_splat(a, 16)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 80)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 144)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 208)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    q01 = v128.load(w, 96)
    q23 = v128.load(w, 112)
    x = v128.load64_splat(a, 24)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 88)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 152)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 216)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    q01 = v128.load(w, 128)
    q23 = v128.load(w, 144)
    x = v128.load64_splat(a, 32)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 96)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 160)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 224)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    q01 = v128.load(w, 160)
    q23 = v128.load(w, 176)
    x = v128.load64_splat(a, 40)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 104)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 168)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 232)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    q01 = v128.load(w, 192)
    q23 = v128.load(w, 208)
    x = v128.load64_splat(a, 48)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 112)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 176)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 240)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    q01 = v128.load(w, 224)
    q23 = v128.load(w, 240)
    x = v128.load64_splat(a, 56)
    s0 = dot16(s0, q01, x)
    t0 = dot16(t0, q23, x)
    x = v128.load64_splat(a, 120)
    s1 = dot16(s1, q01, x)
    t1 = dot16(t1, q23, x)
    x = v128.load64_splat(a, 184)
    s2 = dot16(s2, q01, x)
    t2 = dot16(t2, q23, x)
    x = v128.load64_splat(a, 248)
    s3 = dot16(s3, q01, x)
    t3 = dot16(t3, q23, x)
    const d = v128.load(w, 256)
    const m = v128.load(w, 272)
    y0 = scaledWide(format, y0, joined(s0, t0), d, m, v128.load32_splat(a, 256), v128.load32_splat(a, 272))
    y1 = scaledWide(format, y1, joined(s1, t1), d, m, v128.load32_splat(a, 260), v128.load32_splat(a, 276))
    y2 = scaledWide(format, y2, joined(s2, t2), d, m, v128.load32_splat(a, 264), v128.load32_splat(a, 280))
    y3 = scaledWide(format, y3, joined(s3, t3), d, m, v128.load32_splat(a, 268), v128.load32_splat(a, 284))
    w += 288
    a += 288
  }
  v128.store(acc, y0, 0)
  v128.store(acc, y1, 16)
  v128.store(acc, y2, 32)
  v128.store(acc, y3, 48)
}
function tile16Minima(w: usize, a: usize, acc: usize, blocks: i32): void {
  tile16(Q4_1, w, a, acc, blocks)
}
function tile16Plain(w: usize, a: usize, acc: usize, blocks: i32): void {
  tile16(Q8_0, w, a, acc, blocks)
}

// @ts-ignore: decorator
@inline
function gemm(format: i32, a: usize, w: usize, bias: usize, out: usize, m: i32, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  const wide = isWide(format)
  const groups = (n + 3) >> 2
  const rows = bytesOf(format) * 4
  const block = tileBytes(wide, 4)
  const acc = scratch + <usize>STRETCH * unpackedBytes(wide)
  for (let i = begin; i < end; i++) {
    const g = i % groups
    const first = (i / groups) * PANEL
    const tokens = min(m - first, PANEL)
    memory.fill(acc, 0, <usize>(tokens + 3) << 4)
    for (let b = 0; b < blocks; b += STRETCH) {
      const stretch = min(blocks - b, STRETCH)
      unpack(format, w + (<usize>g * <usize>blocks + <usize>b) * rows, scratch, stretch)
      for (let t = 0; t < tokens; t += 4) {
        const tile = a + (<usize>((first + t) >> 2) * <usize>blocks + <usize>b) * block
        const to = acc + (<usize>t << 4)
        if (format == Q8_0) tile16Plain(scratch, tile, to, stretch)
        else if (wide) tile16Minima(scratch, tile, to, stretch)
        else tile7(scratch, tile, to, stretch)
      }
    }
    for (let t = 0; t < tokens; t++) finish(v128.load(acc + (<usize>t << 4)), bias, out + ((<usize>(first + t) * <usize>n) << 2), n, g)
  }
}

/**
 * Many tokens: out[m, n] = x · Wᵀ + bias (0: none), `a` from quantize_q4 in tiles of 4. Parallel over panels of 128 tokens by
 * groups of four rows: panel i / ⌈n/4⌉, group i mod ⌈n/4⌉.
 */
export function qgemm_q4_0(a: usize, w: usize, bias: usize, out: usize, m: i32, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  gemm(Q4_0, a, w, bias, out, m, n, blocks, scratch, begin, end)
}
export function qgemm_q4_1(a: usize, w: usize, bias: usize, out: usize, m: i32, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  gemm(Q4_1, a, w, bias, out, m, n, blocks, scratch, begin, end)
}
export function qgemm_q8_0(a: usize, w: usize, bias: usize, out: usize, m: i32, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  gemm(Q8_0, a, w, bias, out, m, n, blocks, scratch, begin, end)
}
