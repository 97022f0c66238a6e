// Products of quantized weights with rounded activations: out[M, N] = x[M, K] · W[N, K]ᵀ + bias, W repacked as blocks.ts says.
//
// Activations are rounded by blocks of 32, as the weights are, so the inner loop is integer: codes of weights are widened to int16,
// so activations a = s c may have 16 bits at no cost. Weights are w = d q + m (Q4_0 has m = -8 d, Q8_0 none), and
//
//   Σ w a = d s Σ q c + m Σ a
//
// Integer sums are exact, and the float32 sum over blocks runs in order, in every kernel alike: what a token gives does not depend
// on how many others there are.
import { bytesOf, headOf, Q4_0, Q4_1, Q8_0, wordsOf } from './blocks'
import { fma, hmax, hsum, ROUND, ROUND_BITS } from './simd'

// ---- activations, by tiles of one or four tokens. For each block: eight pieces of four codes of each token, then of each token s,
// then of each Σ a. A piece's codes 0 1 2 3 stand as 0 2 1 3: a weight's word of four bytes, taken as two int16, gives 0 and 2 by a
// mask and 1 and 3 by a shift.

/** Bytes of a token's codes in a block. */
const CODES: usize = 64

/** Four numbers times `inverse`, rounded, in int32. */
// @ts-ignore: decorator
@inline
function rounded(x: v128, inverse: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(x, inverse), f32x4.splat(ROUND)), i32x4.splat(ROUND_BITS))
}

/** Rounds two pieces and stores them at `to` and `to + step`. Gives the codes' sums in int32. */
// @ts-ignore: decorator
@inline
function roundPieces(x0: v128, x1: v128, inverse: v128, to: usize, step: usize): v128 {
  const codes = i16x8.narrow_i32x4_s(rounded(x0, inverse), rounded(x1, inverse))
  const pieces = v128.shuffle<i16>(codes, codes, 0, 2, 1, 3, 4, 6, 5, 7)
  v128.store64_lane(to, pieces, 0)
  v128.store64_lane(to + step, pieces, 1)
  return i32x4.dot_i16x8_s(codes, i16x8.splat(1))
}

/** Sum of the four lanes of int32. */
// @ts-ignore: decorator
@inline
function total(v: v128): i32 {
  const pairs = i32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1))
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)
}

/** The larger of two magnitudes in each lane. */
// @ts-ignore: decorator
@inline
function larger(a: v128, b: v128): v128 {
  return f32x4.pmax(f32x4.abs(a), f32x4.abs(b))
}

/**
 * One block of one token of `tokens`: pieces from `to`, s at `rest`, and Σ a behind the others' s. NaN and infinity make s NaN, and
 * so the result: 0 × (sum of all) is NaN then.
 */
// @ts-ignore: decorator
@inline
function roundBlock(x: usize, to: usize, rest: usize, tokens: usize): void {
  const x0 = v128.load(x, 0)
  const x1 = v128.load(x, 16)
  const x2 = v128.load(x, 32)
  const x3 = v128.load(x, 48)
  const x4 = v128.load(x, 64)
  const x5 = v128.load(x, 80)
  const x6 = v128.load(x, 96)
  const x7 = v128.load(x, 112)
  const all = f32x4.add(f32x4.add(f32x4.add(x0, x1), f32x4.add(x2, x3)), f32x4.add(f32x4.add(x4, x5), f32x4.add(x6, x7)))
  const poison = hsum(f32x4.mul(all, f32x4.splat(0)))
  const range = hmax(f32x4.pmax(f32x4.pmax(larger(x0, x1), larger(x2, x3)), f32x4.pmax(larger(x4, x5), larger(x6, x7))))
  const inverse = f32x4.splat(range > 1e-30 ? 32767 / range : 0)
  const s = range / 32767 + poison
  const step = tokens << 3
  let sums = roundPieces(x0, x1, inverse, to, step)
  sums = i32x4.add(sums, roundPieces(x2, x3, inverse, to + 2 * step, step))
  sums = i32x4.add(sums, roundPieces(x4, x5, inverse, to + 4 * step, step))
  sums = i32x4.add(sums, roundPieces(x6, x7, inverse, to + 6 * step, step))
  store<f32>(rest, s)
  store<f32>(rest + (tokens << 2), s * <f32>total(sums))
}

/** Activations x[m, 32 blocks] for the products, in tiles of `tokens` (1 or 4), the last filled up with zeros. Parallel over tiles. */
export function round_activations(x: usize, m: i32, blocks: i32, tokens: i32, out: usize, scratch: usize, begin: i32, end: i32): void {
  const block = (CODES + 8) * <usize>tokens
  const tile = block * <usize>blocks
  for (let i = begin; i < end; i++) {
    const first = i * tokens
    if (m - first < tokens) memory.fill(out + <usize>i * tile, 0, tile)
    for (let t = 0; t < min(tokens, m - first); t++) {
      let from = x + <usize>(first + t) * (<usize>blocks << 7)
      let to = out + <usize>i * tile
      const rest = CODES * <usize>tokens + (<usize>t << 2)
      for (let b = 0; b < blocks; b++, from += 128, to += block) roundBlock(from, to + (<usize>t << 3), to + rest, <usize>tokens)
    }
  }
}

// ---- pieces of the products. V8 builds a constant vector anew at each use, in three instructions; one that it does not know to
// be constant stays in a register. Hence `blocks > 0`, which is always true.

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
  if (format == Q4_1) return halves(w + 8, bits, scale)
  return format == Q4_0 ? f32x4.mul(d, f32x4.splat(-8)) : f32x4.splat(0)
}

/** Codes of a piece of four rows, two of each: 0 and 2, 1 and 3. `w` is a word of each row, of bytes or of low nibbles. */
// @ts-ignore: decorator
@inline
function even(format: i32, w: v128, nibble: v128): v128 {
  return format == Q8_0 ? i16x8.shr_s(i16x8.shl(w, 8), 8) : v128.and(w, nibble)
}
// @ts-ignore: decorator
@inline
function odd(format: i32, w: v128, nibble: v128): v128 {
  return format == Q8_0 ? i16x8.shr_s(w, 8) : v128.and(i16x8.shr_u(w, 8), nibble)
}
/** The same of high nibbles. */
// @ts-ignore: decorator
@inline
function evenHigh(w: v128, nibble: v128): v128 {
  return v128.and(i16x8.shr_u(w, 4), nibble)
}
// @ts-ignore: decorator
@inline
function oddHigh(w: v128): v128 {
  return i16x8.shr_u(w, 12)
}

/** Eight products of int16, added by twos to `sums`. */
// @ts-ignore: decorator
@inline
function dot(sums: v128, codes: v128, a: v128): v128 {
  return i32x4.add(sums, i32x4.dot_i16x8_s(codes, a))
}

/** A block of four rows added to acc: sums are Σ q c, `sum` is Σ a. */
// @ts-ignore: decorator
@inline
function scaled(acc: v128, sums: v128, d: v128, m: v128, s: v128, sum: v128): v128 {
  const y = fma(f32x4.convert_i32x4_s(sums), f32x4.mul(d, s), f32x4.mul(m, sum))
  return f32x4.add(acc, y) // one step from block to block, since each waits for the one before
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

/** Word `w` of 4-bit codes: a piece of low nibbles and, four pieces on, one of high ones. */
// @ts-ignore: decorator
@inline
function dotNibbles(sums: v128, w: v128, a: usize, nibble: v128): v128 {
  sums = dot(sums, even(Q4_0, w, nibble), v128.load32_splat(a, 0))
  sums = dot(sums, odd(Q4_0, w, nibble), v128.load32_splat(a, 4))
  sums = dot(sums, evenHigh(w, nibble), v128.load32_splat(a, 32))
  return dot(sums, oddHigh(w), v128.load32_splat(a, 36))
}

/** Word `w` of 8-bit codes. */
// @ts-ignore: decorator
@inline
function dotBytes(sums: v128, w: v128, a: usize): v128 {
  sums = dot(sums, even(Q8_0, w, w), v128.load32_splat(a, 0))
  return dot(sums, odd(Q8_0, w, w), v128.load32_splat(a, 4))
}

// @ts-ignore: decorator
@inline
function gemv(format: i32, a: usize, w: usize, bias: usize, out: usize, n: i32, blocks: i32, begin: i32, end: i32): void {
  const group = bytesOf(format) * 4 * <usize>blocks
  const nibble = held16(15, blocks)
  const bits = held32(HALF_BITS, blocks)
  const scale = f32x4.splat(select<f32>(HALF_SCALE, 0, blocks > 0))
  for (let g = begin; g < end; g++) {
    let at = w + <usize>g * group
    let x = a
    let acc = f32x4.splat(0)
    for (let b = 0; b < blocks; b++) {
      const codes = at + (<usize>headOf(format) << 3)
      let sums = i32x4.splat(0)
      if (format == Q8_0) {
        sums = dotBytes(sums, v128.load(codes, 0), x)
        sums = dotBytes(sums, v128.load(codes, 16), x + 8)
        sums = dotBytes(sums, v128.load(codes, 32), x + 16)
        sums = dotBytes(sums, v128.load(codes, 48), x + 24)
        sums = dotBytes(sums, v128.load(codes, 64), x + 32)
        sums = dotBytes(sums, v128.load(codes, 80), x + 40)
        sums = dotBytes(sums, v128.load(codes, 96), x + 48)
        sums = dotBytes(sums, v128.load(codes, 112), x + 56)
      } else {
        sums = dotNibbles(sums, v128.load(codes, 0), x, nibble)
        sums = dotNibbles(sums, v128.load(codes, 16), x + 8, nibble)
        sums = dotNibbles(sums, v128.load(codes, 32), x + 16, nibble)
        sums = dotNibbles(sums, v128.load(codes, 48), x + 24, nibble)
      }
      const d = halves(at, bits, scale)
      const m = minima(format, at, d, bits, scale)
      acc = scaled(acc, sums, d, m, v128.load32_splat(x, CODES), v128.load32_splat(x, CODES + 4))
      at += bytesOf(format) << 2
      x += CODES + 8
    }
    finish(acc, bias, out, n, g)
  }
}

/** One token: out[n] = x · Wᵀ + bias (0: none), `a` from round_activations in tiles of 1. Parallel over groups of four rows. */
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
// An unpacked block: eight pieces of rows 0 and 1, then of 2 and 3, in int16, in the order of the activations; then d, then m.

/** Tokens of a panel, and blocks of a stretch: what stays in the first cache, and bounds a chunk's time. */
const PANEL: i32 = 128
const STRETCH: i32 = 64

/** Bytes of four rows' unpacked block: those of codes, and all. */
const UNPACKED_CODES: usize = 256
const UNPACKED: usize = UNPACKED_CODES + 32

// @ts-ignore: decorator
@inline
function storePiece(to: usize, even: v128, odd: v128): void {
  v128.store(to, v128.shuffle<i32>(even, odd, 0, 4, 1, 5), 0)
  v128.store(to, v128.shuffle<i32>(even, odd, 2, 6, 3, 7), 16)
}

// @ts-ignore: decorator
@inline
function unpack(format: i32, w: usize, to: usize, blocks: i32): void {
  const bits = i32x4.splat(HALF_BITS)
  const scale = f32x4.splat(HALF_SCALE)
  const nibble = i16x8.splat(15)
  for (let b = 0; b < blocks; b++, to += UNPACKED) {
    const d = halves(w, bits, scale)
    v128.store(to + UNPACKED_CODES, d, 0)
    v128.store(to + UNPACKED_CODES, minima(format, w, d, bits, scale), 16)
    w += <usize>headOf(format) << 3
    for (let s: usize = 0; s < <usize>wordsOf(format); s++, w += 16) {
      const word = v128.load(w)
      storePiece(to + (s << 5), even(format, word, nibble), odd(format, word, nibble))
      if (format != Q8_0) storePiece(to + (s << 5) + 128, evenHigh(word, nibble), oddHigh(word))
    }
  }
}

/** Four rows by four tokens over a stretch: adds to acc[token][row]. The inner loop stays a loop: V8 does better with few registers. */
function tile(w: usize, a: usize, acc: usize, blocks: i32): void {
  let y0 = v128.load(acc, 0)
  let y1 = v128.load(acc, 16)
  let y2 = v128.load(acc, 32)
  let y3 = v128.load(acc, 48)
  for (let b = 0; b < blocks; b++) {
    let s0 = i32x4.splat(0)
    let s1 = s0
    let s2 = s0
    let s3 = s0
    let t0 = s0
    let t1 = s0
    let t2 = s0
    let t3 = s0
    for (let piece = 0; piece < 8; piece++) {
      const q = v128.load(w, 0)
      const r = v128.load(w, 16)
      let x = v128.load64_splat(a, 0)
      s0 = dot(s0, q, x)
      t0 = dot(t0, r, x)
      x = v128.load64_splat(a, 8)
      s1 = dot(s1, q, x)
      t1 = dot(t1, r, x)
      x = v128.load64_splat(a, 16)
      s2 = dot(s2, q, x)
      t2 = dot(t2, r, x)
      x = v128.load64_splat(a, 24)
      s3 = dot(s3, q, x)
      t3 = dot(t3, r, x)
      w += 32
      a += 32
    }
    const d = v128.load(w, 0)
    const m = v128.load(w, 16)
    y0 = scaled(y0, joined(s0, t0), d, m, v128.load32_splat(a, 0), v128.load32_splat(a, 16))
    y1 = scaled(y1, joined(s1, t1), d, m, v128.load32_splat(a, 4), v128.load32_splat(a, 20))
    y2 = scaled(y2, joined(s2, t2), d, m, v128.load32_splat(a, 8), v128.load32_splat(a, 24))
    y3 = scaled(y3, joined(s3, t3), d, m, v128.load32_splat(a, 12), v128.load32_splat(a, 28))
    w += 32
    a += 32
  }
  v128.store(acc, y0, 0)
  v128.store(acc, y1, 16)
  v128.store(acc, y2, 32)
  v128.store(acc, y3, 48)
}

/** Sums of four rows from those of two and two, each in two lanes. */
// @ts-ignore: decorator
@inline
function joined(rows01: v128, rows23: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(rows01, rows23, 0, 2, 4, 6), v128.shuffle<i32>(rows01, rows23, 1, 3, 5, 7))
}

// @ts-ignore: decorator
@inline
function gemm(format: i32, a: usize, w: usize, bias: usize, out: usize, m: i32, n: i32, blocks: i32, scratch: usize, begin: i32, end: i32): void {
  const groups = (n + 3) >> 2
  const rows = bytesOf(format) << 2
  const block = (CODES + 8) << 2
  const acc = scratch + <usize>STRETCH * UNPACKED
  for (let i = begin; i < end; i++) {
    const g = i % groups
    const first = (i / groups) * PANEL
    const tokens = min(m - first, PANEL)
    memory.fill(acc, 0, <usize>(tokens + 3) << 4)
    for (let b = 0; b < blocks; b += STRETCH) {
      const stretch = min(blocks - b, STRETCH)
      unpack(format, w + (<usize>g * <usize>blocks + <usize>b) * rows, scratch, stretch)
      for (let t = 0; t < tokens; t += 4)
        tile(scratch, a + (<usize>((first + t) >> 2) * <usize>blocks + <usize>b) * block, acc + (<usize>t << 4), stretch)
    }
    for (let t = 0; t < tokens; t++) finish(v128.load(acc + (<usize>t << 4)), bias, out + ((<usize>(first + t) * <usize>n) << 2), n, g)
  }
}

/**
 * Many tokens: out[m, n] = x · Wᵀ + bias (0: none), `a` from round_activations in tiles of 4. Parallel over panels of 128 tokens by
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
