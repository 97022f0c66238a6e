// Attention without a matrix of scores: keys go by in blocks, each row keeps its running maximum and sum (online softmax,
// Milakov and Gimelshein 2018; Dao et al. 2022). Forward, backward, and a split form for few queries over many keys.
//
// Products run on one micro-kernel, 4 rows by 8 columns: its left operand is read element by element (splats), its right
// one in panels of 8 columns, [depth][8]. "Transposed" packing puts 8 rows of K side by side, so that depth is the head's
// dimensions; "row" packing keeps rows and cuts their dimensions into panels, so that depth is the keys.
import { philox } from './philox'
import { logOf, rowExpSum, rowMax } from './rows'
import { expFlushed, tanh } from './elementary'
import { fetch } from './fetch'
import { fma, hsum } from './simd'

/** Bytes of a row of scores in scratch: 128 keys. A constant, so that the micro-kernel's addresses are immediate. */
const SCORE_ROW: usize = 512

/**
 * What every kernel here is called with: a record of 32-bit fields on the heap, filled in this order by src/ops/attention.ts.
 * Strides are in elements; the dimensions of a head are contiguous. `out`, `dq` are [B,T,Hq,D], `dk`, `dv` [B,S,Hkv,D],
 * `lse`, `delta` [B,Hq,T], all contiguous. Pointers are 0 for what is not there.
 */
// @ts-ignore: decorator
@unmanaged
class Attention {
  q: usize
  k: usize
  v: usize
  out: usize
  /** Logarithm of the sum of exponentials of each row; +∞ where every key is masked, so that backward finds zeros. */
  lse: usize
  /** Added to the scores, broadcast by strides of 0. */
  bias: usize
  /** [B,S] of bytes, 0 for keys that nobody attends to. */
  padding: usize
  /** [Hq]: slope × distance is subtracted from the scores (Press et al. 2021). */
  slopes: usize
  /** Gradient of out. */
  dout: usize
  /** Sum over D of dout × out: written by attention_dq_f32 for attention_dkv_f32. */
  delta: usize
  dq: usize
  dk: usize
  dv: usize
  /** [B,Hq,T,S] contiguous, or 0. */
  dbias: usize
  /** [B,Hq,T,splits,D+2]: what the splits found, their maximum and sum last. */
  partial: usize
  B: i32
  Hq: i32
  Hkv: i32
  T: i32
  S: i32
  D: i32
  qb: i32
  qh: i32
  qt: i32
  kb: i32
  kh: i32
  ks: i32
  vb: i32
  vh: i32
  vs: i32
  gb: i32
  gh: i32
  gt: i32
  biasB: i32
  biasH: i32
  biasT: i32
  biasS: i32
  /** Query t stands at position t + S - T and sees keys from `left` before to `right` behind it. */
  left: i32
  right: i32
  /** Queries and keys of a block, multiples of 8 up to 128. */
  rows: i32
  keys: i32
  /** Keys of a split. */
  split: i32
  /** Dropout of weights: those whose word is below the threshold go, the others are multiplied by keptScale. None where it is 0. */
  threshold: u32
  seedLow: u32
  seedHigh: u32
  /** Counter of the first block of 16 words; each row of weights has ceil(S / 16). */
  offsetLow: u32
  offsetHigh: u32
  keptScale: f32
  scale: f32
  /** Scores become cap × tanh(score / cap); 0 for none. */
  softcap: f32
}

// @ts-ignore: decorator
@inline
function at(base: usize, index: i32, stride: i32): usize {
  return base + ((<usize>index * <usize>stride) << 2)
}

// @ts-ignore: decorator
@inline
function ceilTo(n: i32, step: i32): i32 {
  return (n + step - 1) & -step
}

// ---- packing

/** 4 rows of `depth` elements as columns, scaled; row r of dst is `step` bytes on. Rows from `valid` on are zeros. */
function transpose4(dst: usize, step: usize, src: usize, stride: usize, valid: i32, depth: i32, scale: f32): void {
  let d = 0
  if (valid >= 4) {
    const factor = f32x4.splat(scale)
    for (; d + 4 <= depth; d += 4) {
      const from = src + ((<usize>d) << 2)
      const a = v128.mul<f32>(v128.load(from), factor)
      const b = v128.mul<f32>(v128.load(from + stride), factor)
      const c = v128.mul<f32>(v128.load(from + 2 * stride), factor)
      const e = v128.mul<f32>(v128.load(from + 3 * stride), factor)
      const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5)
      const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7)
      const ce0 = v128.shuffle<f32>(c, e, 0, 4, 1, 5)
      const ce1 = v128.shuffle<f32>(c, e, 2, 6, 3, 7)
      const to = dst + <usize>d * step
      v128.store(to, v128.shuffle<f32>(ab0, ce0, 0, 1, 4, 5))
      v128.store(to + step, v128.shuffle<f32>(ab0, ce0, 2, 3, 6, 7))
      v128.store(to + 2 * step, v128.shuffle<f32>(ab1, ce1, 0, 1, 4, 5))
      v128.store(to + 3 * step, v128.shuffle<f32>(ab1, ce1, 2, 3, 6, 7))
    }
  }
  for (; d < depth; d++) {
    const to = dst + <usize>d * step
    for (let r = 0; r < 4; r++) {
      const x: f32 = r < valid ? load<f32>(src + <usize>r * stride + ((<usize>d) << 2)) * scale : 0
      store<f32>(to + ((<usize>r) << 2), x)
    }
  }
}

/** Rows in panels of 4, [depth][4]: the left operand. */
function packLeft(dst: usize, src: usize, stride: i32, rows: i32, depth: i32, scale: f32): void {
  for (let r = 0; r < rows; r += 4)
    transpose4(at(dst, r, depth), 16, at(src, r, stride), (<usize>stride) << 2, rows - r, depth, scale)
}

/** Rows in panels of 8, [depth][8]: the right operand of products over the head's dimensions. */
function packTransposed(dst: usize, src: usize, stride: i32, rows: i32, depth: i32): void {
  for (let r = 0; r < rows; r += 8) {
    const to = at(dst, r, depth)
    transpose4(to, 32, at(src, r, stride), (<usize>stride) << 2, rows - r, depth, 1)
    transpose4(to + 16, 32, at(src, r + 4, stride), (<usize>stride) << 2, rows - r - 4, depth, 1)
  }
}

/** Rows cut into panels of 8 dimensions, [rows to a multiple of 8][8], zeros behind the ends: the right operand of products over rows. */
function packRows(dst: usize, src: usize, stride: i32, rows: i32, depth: i32, scale: f32): void {
  const factor = f32x4.splat(scale)
  const rows8 = ceilTo(rows, 8)
  for (let d = 0; d < depth; d += 8) {
    const to = at(dst, rows8, d)
    const wide = min(depth - d, 8)
    for (let r = 0; r < rows; r++) {
      const from = at(src, r, stride) + ((<usize>d) << 2)
      const row = to + ((<usize>r) << 5)
      if (wide === 8) {
        v128.store(row, v128.mul<f32>(v128.load(from), factor))
        v128.store(row, v128.mul<f32>(v128.load(from, 16), factor), 16)
      } else
        for (let x = 0; x < 8; x++) {
          const value: f32 = x < wide ? load<f32>(from + ((<usize>x) << 2)) * scale : 0
          store<f32>(row + ((<usize>x) << 2), value)
        }
    }
    memory.fill(to + ((<usize>rows) << 5), 0, (<usize>(rows8 - rows)) << 5)
  }
}

// ---- the micro-kernel

/** c[4][8] = a[4][depth] b[depth][8]. Rows of `a` are aRow bytes apart, its columns aStep. `add` adds c × keep[row] (1 where keep is 0). */
// @ts-ignore: decorator
@inline
function multiply4x8(
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  depth: i32,
  c: usize,
  cRow: usize,
  add: bool,
  keep: usize,
): void {
  let c00 = f32x4.splat(0)
  let c01 = c00
  let c10 = c00
  let c11 = c00
  let c20 = c00
  let c21 = c00
  let c30 = c00
  let c31 = c00
  for (let last = b + ((<usize>depth) << 5); b < last; b += 32, a += aStep) {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    let x = v128.load32_splat(a)
    c00 = fma(x, b0, c00)
    c01 = fma(x, b1, c01)
    x = v128.load32_splat(a + aRow)
    c10 = fma(x, b0, c10)
    c11 = fma(x, b1, c11)
    x = v128.load32_splat(a + 2 * aRow)
    c20 = fma(x, b0, c20)
    c21 = fma(x, b1, c21)
    x = v128.load32_splat(a + 3 * aRow)
    c30 = fma(x, b0, c30)
    c31 = fma(x, b1, c31)
  }
  finishRow(c, c00, c01, add, keep)
  finishRow(c + cRow, c10, c11, add, keep ? keep + 4 : 0)
  finishRow(c + 2 * cRow, c20, c21, add, keep ? keep + 8 : 0)
  finishRow(c + 3 * cRow, c30, c31, add, keep ? keep + 12 : 0)
}

// @ts-ignore: decorator
@inline
function finishRow(c: usize, x0: v128, x1: v128, add: bool, keep: usize): void {
  if (add) {
    if (keep) {
      const factor = v128.load32_splat(keep)
      x0 = fma(v128.load(c), factor, x0)
      x1 = fma(v128.load(c, 16), factor, x1)
    } else {
      x0 = v128.add<f32>(v128.load(c), x0)
      x1 = v128.add<f32>(v128.load(c, 16), x1)
    }
  }
  v128.store(c, x0)
  v128.store(c, x1, 16)
}

/** Scores of a panel of 4 rows with keys [from, to) of the block: left panel by transposed panels. */
function scores(s: usize, left: usize, transposed: usize, from: i32, to: i32, D: i32): void {
  for (let j = from; j < to; j += 8)
    multiply4x8(left, 4, 16, at(transposed, j, D), D, s + ((<usize>j) << 2), SCORE_ROW, false, 0)
}

/** out[4][D] = out × keep + s[4][from..to) × rows: what the weights of a panel gather. */
function gather(out: usize, s: usize, rows: usize, rows8: i32, from: i32, to: i32, D: i32, keep: usize): void {
  const outRow = (<usize>ceilTo(D, 8)) << 2
  const a = s + ((<usize>from) << 2)
  for (let d = 0; d < D; d += 8)
    multiply4x8(
      a,
      SCORE_ROW,
      4,
      at(rows, rows8, d) + ((<usize>from) << 5),
      to - from,
      out + ((<usize>d) << 2),
      outRow,
      true,
      keep,
    )
}

/** out[4][D] += transpose(s[from..to)[4]) × rows: what 4 keys gather from the queries of a block. */
function gatherTransposed(out: usize, s: usize, rows: usize, rows8: i32, from: i32, to: i32, D: i32): void {
  const outRow = (<usize>ceilTo(D, 8)) << 2
  const a = s + <usize>from * SCORE_ROW
  for (let d = 0; d < D; d += 8)
    multiply4x8(
      a,
      4,
      SCORE_ROW,
      at(rows, rows8, d) + ((<usize>from) << 5),
      to - from,
      out + ((<usize>d) << 2),
      outRow,
      true,
      0,
    )
}

// ---- scores

// @ts-ignore: decorator
@inline
function firstKey(p: Attention, position: i32): i32 {
  return max(0, position - p.left)
}

// @ts-ignore: decorator
@inline
function endKey(p: Attention, position: i32): i32 {
  return min(p.S, position + p.right + 1)
}

/** Additive form of the padding of keys [k0, k0 + n): 0 or -∞. Returns dst, or 0 where there is no padding. */
function paddingRow(p: Attention, dst: usize, b: i32, k0: i32, n: i32): usize {
  if (p.padding === 0) return 0
  const from = p.padding + <usize>b * <usize>p.S + k0
  for (let j = 0; j < n; j++) {
    const value: f32 = k0 + j < p.S && load<u8>(from + j) !== 0 ? 0 : -Infinity
    store<f32>(dst + ((<usize>j) << 2), value)
  }
  return dst
}

/**
 * Turns products into scores: a row of keys [k0 + from, k0 + to), of which some may lie outside of what query t sees (-∞).
 * `slope` gets the derivative of the soft cap, where given.
 */
function finishScores(
  p: Attention,
  s: usize,
  b: i32,
  h: i32,
  t: i32,
  k0: i32,
  from: i32,
  to: i32,
  padding: usize,
  slope: usize,
): void {
  const position = t + p.S - p.T
  if (p.softcap !== 0) {
    const cap = f32x4.splat(p.softcap)
    const inverse = f32x4.splat(1 / p.softcap)
    for (let j = from; j < to; j += 4) {
      const x = s + ((<usize>j) << 2)
      const y = tanh(v128.mul<f32>(v128.load(x), inverse))
      v128.store(x, v128.mul<f32>(y, cap))
      if (slope) v128.store(slope + ((<usize>j) << 2), v128.sub<f32>(f32x4.splat(1), v128.mul<f32>(y, y)))
    }
  }
  if (p.slopes) {
    const slope = f32x4.splat(-load<f32>(p.slopes + ((<usize>h) << 2)))
    const first = f32x4.splat(<f32>(k0 - position))
    for (let j = from; j < to; j += 4) {
      const x = s + ((<usize>j) << 2)
      const distance = v128.add<f32>(first, v128.add<f32>(f32x4.splat(<f32>j), f32x4(0, 1, 2, 3)))
      v128.store(x, fma(slope, f32x4.abs(distance), v128.load(x)))
    }
  }
  const low = max(from, firstKey(p, position) - k0)
  const high = min(to, endKey(p, position) - k0)
  if (p.bias) {
    const bias = at(at(at(at(p.bias, b, p.biasB), h, p.biasH), t, p.biasT), k0, p.biasS)
    let j = low
    if (p.biasS === 1)
      for (; j + 4 <= high; j += 4) {
        const x = s + ((<usize>j) << 2)
        v128.store(x, v128.add<f32>(v128.load(x), v128.load(bias + ((<usize>j) << 2))))
      }
    for (; j < high; j++) {
      const x = s + ((<usize>j) << 2)
      store<f32>(x, load<f32>(x) + load<f32>(at(bias, j, p.biasS)))
    }
  }
  if (padding)
    for (let j = from; j < to; j += 4) {
      const x = s + ((<usize>j) << 2)
      v128.store(x, v128.add<f32>(v128.load(x), v128.load(padding + ((<usize>j) << 2))))
    }
  for (let j = from; j < min(low, to); j++) store<f32>(s + ((<usize>j) << 2), -Infinity)
  for (let j = max(high, from); j < to; j++) store<f32>(s + ((<usize>j) << 2), -Infinity)
}

/** Lanes (max a, max b, max c, max d). */
// @ts-ignore: decorator
@inline
function maxOfEach(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.pmax(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7))
  const cd = f32x4.pmax(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7))
  return f32x4.pmax(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7))
}

/** Lanes (Σ a, Σ b, Σ c, Σ d). */
// @ts-ignore: decorator
@inline
function sumOfEach(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = v128.add<f32>(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7))
  const cd = v128.add<f32>(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7))
  return v128.add<f32>(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7))
}

/** What is taken from scores: the maximum, or 0 where all are masked so far, so that exp(-∞ - 0) is 0. */
// @ts-ignore: decorator
@inline
function baseOf(most: v128): v128 {
  return v128.and(most, f32x4.ne(most, f32x4.splat(-Infinity)))
}

/**
 * One step of the online softmax of 4 rows: scores become weights against the new maxima; `most` and `sum` of the rows move on.
 * `keep` gets what earlier weights are to be multiplied by.
 */
function softmaxStep(s: usize, from: i32, to: i32, most: usize, sum: usize, keep: usize): void {
  const first = s + ((<usize>from) << 2)
  const end = s + ((<usize>to) << 2)
  let a = f32x4.splat(-Infinity)
  let b = a
  let c = a
  let d = a
  for (let x = first; x < end; x += 16) {
    a = f32x4.pmax(a, v128.load(x))
    b = f32x4.pmax(b, v128.load(x, SCORE_ROW))
    c = f32x4.pmax(c, v128.load(x, 2 * SCORE_ROW))
    d = f32x4.pmax(d, v128.load(x, 3 * SCORE_ROW))
  }
  const before = v128.load(most)
  const now = f32x4.pmax(before, maxOfEach(a, b, c, d))
  const base = baseOf(now)
  const factor = expFlushed(v128.sub<f32>(before, base))
  v128.store(most, now)
  v128.store(keep, factor)
  const base0 = v128.shuffle<f32>(base, base, 0, 0, 0, 0)
  const base1 = v128.shuffle<f32>(base, base, 1, 1, 1, 1)
  const base2 = v128.shuffle<f32>(base, base, 2, 2, 2, 2)
  const base3 = v128.shuffle<f32>(base, base, 3, 3, 3, 3)
  a = f32x4.splat(0)
  b = a
  c = a
  d = a
  for (let x = first; x < end; x += 16) {
    const w0 = expFlushed(v128.sub<f32>(v128.load(x), base0))
    const w1 = expFlushed(v128.sub<f32>(v128.load(x, SCORE_ROW), base1))
    const w2 = expFlushed(v128.sub<f32>(v128.load(x, 2 * SCORE_ROW), base2))
    const w3 = expFlushed(v128.sub<f32>(v128.load(x, 3 * SCORE_ROW), base3))
    v128.store(x, w0)
    v128.store(x, w1, SCORE_ROW)
    v128.store(x, w2, 2 * SCORE_ROW)
    v128.store(x, w3, 3 * SCORE_ROW)
    a = v128.add<f32>(a, w0)
    b = v128.add<f32>(b, w1)
    c = v128.add<f32>(c, w2)
    d = v128.add<f32>(d, w3)
  }
  v128.store(sum, fma(v128.load(sum), factor, sumOfEach(a, b, c, d)))
}

/**
 * What dropout multiplies the weights of a row by, for keys [k0 + from, k0 + to) (multiples of 8), at `factors`. The same row and
 * keys give the same factors, in backward too. 64 bytes behind the row are used for words.
 */
function dropoutFactors(p: Attention, factors: usize, row: i32, k0: i32, from: i32, to: i32): void {
  const first = (((<u64>p.offsetHigh) << 32) | p.offsetLow) + <u64>row * ((p.S + 15) >> 4)
  const words = factors + SCORE_ROW
  const threshold = i32x4.splat(p.threshold)
  const kept = f32x4.splat(p.keptScale)
  for (let j = from; j < to; j += 8) {
    const key = k0 + j
    const block = first + (key >> 4)
    if (j === from || (key & 15) === 0) philox(words, p.seedLow, p.seedHigh, <u32>block, <u32>(block >> 32))
    const word = words + ((<usize>(key & 15)) << 2)
    const to = factors + ((<usize>j) << 2)
    v128.store(to, v128.and(kept, i32x4.ge_u(v128.load(word), threshold)))
    v128.store(to, v128.and(kept, i32x4.ge_u(v128.load(word, 16), threshold)), 16)
  }
}

/** s[from..to) ∘ factors. */
function multiplyRow(s: usize, factors: usize, from: i32, to: i32): void {
  for (let i = (<usize>from) << 2; i < (<usize>to) << 2; i += 16)
    v128.store(s + i, v128.mul<f32>(v128.load(s + i), v128.load(factors + i)))
}

/** Logarithm of the sum of exponentials from (maximum, sum). */
// @ts-ignore: decorator
@inline
function logSumExp(most: f32, sum: f32): f32 {
  return sum === 0 ? Infinity : most + logOf(sum)
}

/** dst[n] = src[n] × factor. */
function scaleRow(dst: usize, src: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor)
  let d = 0
  for (; d + 4 <= n; d += 4) v128.store(dst + ((<usize>d) << 2), v128.mul<f32>(v128.load(src + ((<usize>d) << 2)), f))
  for (; d < n; d++) store<f32>(dst + ((<usize>d) << 2), load<f32>(src + ((<usize>d) << 2)) * factor)
}

// ---- forward

/** Attention over blocks of `rows` queries. Parallel axis: B × Hq × ceil(T / rows). */
export function attention_f32(p: Attention, scratch: usize, begin: i32, end: i32): void {
  const T = p.T
  const D = p.D
  const rows = p.rows
  const keys = p.keys
  const D8 = ceilTo(D, 8)
  const left = scratch // [rows][D] in panels
  const out = at(left, rows, D) // [rows][D8]
  const kt = at(out, rows, D8)
  const vr = at(kt, keys, D)
  const most = at(vr, keys, D8) // [rows]: maximum of the scores so far
  const sum = at(most, rows, 1) // [rows]: sum of the weights against it
  const s = at(sum, rows, 1) // [4][128]
  const paddingAt = s + 4 * SCORE_ROW
  const keep = paddingAt + SCORE_ROW
  const factors = keep + 16
  const blocks = (T + rows - 1) / rows

  for (let unit = begin; unit < end; unit++) {
    const head = unit / blocks
    const b = head / p.Hq
    const h = head % p.Hq
    const hk = h / (p.Hq / p.Hkv)
    const t0 = (unit % blocks) * rows
    const n = min(rows, T - t0)
    const position = t0 + p.S - T
    packLeft(left, at(at(at(p.q, b, p.qb), h, p.qh), t0, p.qt), p.qt, n, D, p.scale)
    memory.fill(out, 0, at(0, ceilTo(n, 4), D8))
    for (let r = 0; r < n; r += 4) v128.store(at(most, r, 1), f32x4.splat(-Infinity))
    memory.fill(sum, 0, at(0, ceilTo(n, 4), 1))
    const k = at(at(p.k, b, p.kb), hk, p.kh)
    const v = at(at(p.v, b, p.vb), hk, p.vh)
    const last = endKey(p, position + n - 1)
    for (let k0 = firstKey(p, position) & -8; k0 < last; k0 += keys) {
      const count = min(keys, last - k0)
      const count8 = ceilTo(count, 8)
      packTransposed(kt, at(k, k0, p.ks), p.ks, count, D)
      packRows(vr, at(v, k0, p.vs), p.vs, count, D, 1)
      const padding = paddingRow(p, paddingAt, b, k0, count8)
      for (let r = 0; r < n; r += 4) {
        const real = min(4, n - r)
        const from = max(0, firstKey(p, position + r) - k0) & -8
        const to = min(count8, ceilTo(endKey(p, position + r + real - 1) - k0, 8))
        if (from >= to) continue
        scores(s, at(left, r, D), kt, from, to, D)
        for (let i = 0; i < real; i++)
          finishScores(p, s + <usize>i * SCORE_ROW, b, h, t0 + r + i, k0, from, to, padding, 0)
        softmaxStep(s, from, to, at(most, r, 1), at(sum, r, 1), keep)
        if (p.threshold !== 0)
          for (let i = 0; i < real; i++) {
            dropoutFactors(p, factors, head * T + t0 + r + i, k0, from, to)
            multiplyRow(s + <usize>i * SCORE_ROW, factors, from, to)
          }
        gather(at(out, r, D8), s, vr, count8, from, to, D, keep)
      }
    }
    for (let r = 0; r < n; r++) {
      const total = load<f32>(at(sum, r, 1))
      scaleRow(at(p.out, (b * T + t0 + r) * p.Hq + h, D), at(out, r, D8), D, total === 0 ? 0 : 1 / total)
      store<f32>(at(p.lse, head, T) + ((<usize>(t0 + r)) << 2), logSumExp(load<f32>(at(most, r, 1)), total))
    }
  }
}

// ---- few queries over many keys

// Keys and values go by four at a time against one or two queries, after eight of them were fetched in the order in which they lie:
// read side by side they come at half the speed. These are functions of their own, called twice so that they stay so: V8 unrolls such
// loops where they are nested in others, and runs out of registers.

/** Four floats from as many places. */
// @ts-ignore: decorator
@inline
function gather4(a: usize, b: usize, c: usize, d: usize): v128 {
  let x = v128.load32_zero(a)
  x = v128.load32_lane(b, x, 1)
  x = v128.load32_lane(c, x, 2)
  return v128.load32_lane(d, x, 3)
}

/** Products of two queries, `step` apart, with four keys, into two rows of scores. */
function score2x4(q: usize, step: usize, k: usize, kStride: usize, D: i32, s: usize, sStep: usize): void {
  const k1 = k + kStride
  const k2 = k1 + kStride
  const k3 = k2 + kStride
  const r = q + step
  let a0 = f32x4.splat(0)
  let a1 = a0
  let a2 = a0
  let a3 = a0
  let b0 = a0
  let b1 = a0
  let b2 = a0
  let b3 = a0
  let d: usize = 0
  for (const end = (<usize>D & ~3) << 2; d < end; d += 16) {
    const x = v128.load(q + d)
    const y = v128.load(r + d)
    let z = v128.load(k + d)
    a0 = fma(x, z, a0)
    b0 = fma(y, z, b0)
    z = v128.load(k1 + d)
    a1 = fma(x, z, a1)
    b1 = fma(y, z, b1)
    z = v128.load(k2 + d)
    a2 = fma(x, z, a2)
    b2 = fma(y, z, b2)
    z = v128.load(k3 + d)
    a3 = fma(x, z, a3)
    b3 = fma(y, z, b3)
  }
  let a = sumOfEach(a0, a1, a2, a3)
  let b = sumOfEach(b0, b1, b2, b3)
  for (const end = <usize>D << 2; d < end; d += 4) {
    const x = gather4(k + d, k1 + d, k2 + d, k3 + d)
    a = fma(x, v128.load32_splat(q + d), a)
    b = fma(x, v128.load32_splat(r + d), b)
  }
  v128.store(s, a)
  v128.store(s + sStep, b)
}

/** Products of a query with four keys. */
function score1x4(q: usize, k: usize, kStride: usize, D: i32, s: usize): void {
  const k1 = k + kStride
  const k2 = k1 + kStride
  const k3 = k2 + kStride
  let a0 = f32x4.splat(0)
  let a1 = a0
  let a2 = a0
  let a3 = a0
  let d: usize = 0
  for (const end = (<usize>D & ~3) << 2; d < end; d += 16) {
    const x = v128.load(q + d)
    a0 = fma(x, v128.load(k + d), a0)
    a1 = fma(x, v128.load(k1 + d), a1)
    a2 = fma(x, v128.load(k2 + d), a2)
    a3 = fma(x, v128.load(k3 + d), a3)
  }
  let a = sumOfEach(a0, a1, a2, a3)
  for (const end = <usize>D << 2; d < end; d += 4)
    a = fma(gather4(k + d, k1 + d, k2 + d, k3 + d), v128.load32_splat(q + d), a)
  v128.store(s, a)
}

/** Scores of all queries with four keys. */
// @ts-ignore: decorator
@inline
function scoreFour(q: usize, step: usize, rows: i32, k: usize, kStride: usize, D: i32, s: usize, sStep: usize): void {
  let r = 0
  for (; r + 2 <= rows; r += 2, q += 2 * step, s += 2 * sStep) score2x4(q, step, k, kStride, D, s, sStep)
  if (r < rows) score1x4(q, k, kStride, D, s)
}

/** Product of a query with a key. */
function score1(q: usize, k: usize, D: i32): f32 {
  let a = f32x4.splat(0)
  let d: usize = 0
  for (const end = (<usize>D & ~3) << 2; d < end; d += 16) a = fma(v128.load(k + d), v128.load(q + d), a)
  let sum = hsum(a)
  for (const end = <usize>D << 2; d < end; d += 4) sum += load<f32>(k + d) * load<f32>(q + d)
  return sum
}

/** Adds four values, weighted, to two outputs, `step` apart; their weights are `wStep` apart. */
function add2x4(out: usize, step: usize, v: usize, vStride: usize, D: i32, w: usize, wStep: usize): void {
  const v1 = v + vStride
  const v2 = v1 + vStride
  const v3 = v2 + vStride
  const next = out + step
  const a0 = v128.load32_splat(w, 0)
  const a1 = v128.load32_splat(w, 4)
  const a2 = v128.load32_splat(w, 8)
  const a3 = v128.load32_splat(w, 12)
  w += wStep
  const b0 = v128.load32_splat(w, 0)
  const b1 = v128.load32_splat(w, 4)
  const b2 = v128.load32_splat(w, 8)
  const b3 = v128.load32_splat(w, 12)
  let d: usize = 0
  for (const end = (<usize>D & ~3) << 2; d < end; d += 16) {
    let z = v128.load(v + d)
    let x = fma(a0, z, v128.load(out + d))
    let y = fma(b0, z, v128.load(next + d))
    z = v128.load(v1 + d)
    x = fma(a1, z, x)
    y = fma(b1, z, y)
    z = v128.load(v2 + d)
    x = fma(a2, z, x)
    y = fma(b2, z, y)
    z = v128.load(v3 + d)
    v128.store(out + d, fma(a3, z, x))
    v128.store(next + d, fma(b3, z, y))
  }
  for (const end = <usize>D << 2; d < end; d += 4) {
    const z = gather4(v + d, v1 + d, v2 + d, v3 + d)
    store<f32>(out + d, load<f32>(out + d) + hsum(v128.mul<f32>(v128.load(w - wStep), z)))
    store<f32>(next + d, load<f32>(next + d) + hsum(v128.mul<f32>(v128.load(w), z)))
  }
}

/** Adds four values, weighted, to one output. */
function add1x4(out: usize, v: usize, vStride: usize, D: i32, w: usize): void {
  const v1 = v + vStride
  const v2 = v1 + vStride
  const v3 = v2 + vStride
  const w0 = v128.load32_splat(w, 0)
  const w1 = v128.load32_splat(w, 4)
  const w2 = v128.load32_splat(w, 8)
  const w3 = v128.load32_splat(w, 12)
  let d: usize = 0
  for (const end = (<usize>D & ~3) << 2; d < end; d += 16) {
    let x = fma(w0, v128.load(v + d), v128.load(out + d))
    x = fma(w1, v128.load(v1 + d), x)
    x = fma(w2, v128.load(v2 + d), x)
    v128.store(out + d, fma(w3, v128.load(v3 + d), x))
  }
  for (const end = <usize>D << 2; d < end; d += 4)
    store<f32>(out + d, load<f32>(out + d) + hsum(v128.mul<f32>(v128.load(w), gather4(v + d, v1 + d, v2 + d, v3 + d))))
}

/** Adds four values to the outputs of all queries. */
// @ts-ignore: decorator
@inline
function addFour(out: usize, step: usize, rows: i32, v: usize, vStride: usize, D: i32, w: usize, wStep: usize): void {
  let r = 0
  for (; r + 2 <= rows; r += 2, out += 2 * step, w += 2 * wStep) add2x4(out, step, v, vStride, D, w, wStep)
  if (r < rows) add1x4(out, v, vStride, D, w)
}

/** Adds a value, weighted, to one output. */
function add1(out: usize, v: usize, D: i32, w: f32): void {
  const weight = f32x4.splat(w)
  let d: usize = 0
  for (const end = (<usize>D & ~3) << 2; d < end; d += 16)
    v128.store(out + d, fma(weight, v128.load(v + d), v128.load(out + d)))
  for (const end = <usize>D << 2; d < end; d += 4) store<f32>(out + d, load<f32>(out + d) + w * load<f32>(v + d))
}

/**
 * Attention of few queries (Hq / Hkv × T ≤ 16) over `split` keys (up to 256), unfinished, into `partial`; keys and values are read once,
 * where they lie. Parallel axis: B × Hkv × ceil(S / split).
 */
export function attention_split_f32(p: Attention, scratch: usize, begin: i32, end: i32): void {
  const T = p.T
  const D = p.D
  const split = p.split
  const group = p.Hq / p.Hkv
  const rows = group * T
  const splits = (p.S + split - 1) / split
  const split8 = ceilTo(split, 8)
  const q = scratch // [rows][D]
  const s = at(q, rows, ceilTo(D, 4)) // [rows][split8]
  const paddingAt = at(s, rows, split8)
  const sink = at(paddingAt, split8, 1)
  const kStride = (<usize>p.ks) << 2
  const vStride = (<usize>p.vs) << 2
  const rowBytes = (<usize>D) << 2
  const outStep = (<usize>(splits * (D + 2))) << 2

  for (let unit = begin; unit < end; unit++) {
    const b = unit / splits / p.Hkv
    const hk = (unit / splits) % p.Hkv
    const part = unit % splits
    const k0 = part * split
    const n = min(split, p.S - k0)
    const n8 = ceilTo(n, 8)
    const k = at(at(at(p.k, b, p.kb), hk, p.kh), k0, p.ks)
    const v = at(at(at(p.v, b, p.vb), hk, p.vh), k0, p.vs)
    for (let r = 0; r < rows; r++)
      scaleRow(at(q, r, D), at(at(at(p.q, b, p.qb), hk * group + r / T, p.qh), r % T, p.qt), D, p.scale)
    const sStep = (<usize>split8) << 2
    let j = 0
    for (; j + 8 <= n; j += 8) {
      const at8 = k + <usize>j * kStride
      fetch(at8, 8, kStride, rowBytes, sink)
      scoreFour(q, rowBytes, rows, at8, kStride, D, at(s, j, 1), sStep)
      scoreFour(q, rowBytes, rows, at8 + 4 * kStride, kStride, D, at(s, j + 4, 1), sStep)
    }
    for (; j < n; j++)
      for (let r = 0; r < rows; r++) store<f32>(at(at(s, r, split8), j, 1), score1(at(q, r, D), k + <usize>j * kStride, D))
    const padding = paddingRow(p, paddingAt, b, k0, n8)
    const outs = at(p.partial, (b * p.Hq + hk * group) * T * splits + part, D + 2) // of the first row
    for (let r = 0; r < rows; r++) {
      const row = at(s, r, split8)
      const out = outs + <usize>r * outStep
      finishScores(p, row, b, hk * group + r / T, r % T, k0, 0, n8, padding, 0)
      const most = rowMax(row, n)
      store<f32>(at(out, D, 1), most)
      store<f32>(at(out, D, 1), rowExpSum(row, row, n, most === -Infinity ? 0 : most), 4)
      memory.fill(out, 0, (<usize>D) << 2)
    }
    j = 0
    for (; j + 8 <= n; j += 8) {
      const at8 = v + <usize>j * vStride
      fetch(at8, 8, vStride, rowBytes, sink)
      addFour(outs, outStep, rows, at8, vStride, D, at(s, j, 1), sStep)
      addFour(outs, outStep, rows, at8 + 4 * vStride, vStride, D, at(s, j + 4, 1), sStep)
    }
    for (; j < n; j++)
      for (let r = 0; r < rows; r++) add1(outs + <usize>r * outStep, v + <usize>j * vStride, D, load<f32>(at(at(s, r, split8), j, 1)))
  }
}

/** Brings the splits of each row together. Parallel axis: B × Hq × T. */
export function attention_combine_f32(p: Attention, scratch: usize, begin: i32, end: i32): void {
  const T = p.T
  const D = p.D
  const splits = (p.S + p.split - 1) / p.split
  for (let row = begin; row < end; row++) {
    const t = row % T
    const h = (row / T) % p.Hq
    const b = row / T / p.Hq
    const out = at(p.out, (b * T + t) * p.Hq + h, D)
    let most: f32 = -Infinity
    for (let i = 0; i < splits; i++)
      most = max(most, load<f32>(at(p.partial, row * splits + i, D + 2) + ((<usize>D) << 2)))
    const base: f32 = most === -Infinity ? 0 : most
    let sum: f32 = 0
    for (let i = 0; i < splits; i++) {
      const state = at(p.partial, row * splits + i, D + 2) + ((<usize>D) << 2)
      const factor = f32x4.extract_lane(expFlushed(f32x4.splat(load<f32>(state) - base)), 0)
      store<f32>(state, factor)
      sum += load<f32>(state, 4) * factor
    }
    memory.fill(out, 0, (<usize>D) << 2)
    const inverse: f32 = sum === 0 ? 0 : 1 / sum
    for (let i = 0; i < splits; i++) {
      const partial = at(p.partial, row * splits + i, D + 2)
      add1(out, partial, D, load<f32>(partial + ((<usize>D) << 2)) * inverse)
    }
    store<f32>(p.lse + ((<usize>row) << 2), logSumExp(most, sum))
  }
}

// ---- backward

/**
 * Weights and gradients of the scores of a panel of 4 rows with keys [from, to) of a block: s = P, ds = P ∘ (dO Vᵀ - delta).
 * `rowState` holds (lse, delta) of each row; `spare` has room for two rows and 64 bytes.
 */
function panelGradients(
  p: Attention,
  s: usize,
  ds: usize,
  left: usize,
  leftOut: usize,
  kt: usize,
  vt: usize,
  rowState: usize,
  spare: usize,
  b: i32,
  h: i32,
  t: i32,
  real: i32,
  k0: i32,
  from: i32,
  to: i32,
  padding: usize,
  dbias: usize,
): void {
  const D = p.D
  scores(s, left, kt, from, to, D)
  scores(ds, leftOut, vt, from, to, D)
  const bytes = (<usize>(to - from)) << 2
  for (let i = 0; i < 4; i++) {
    const row = s + <usize>i * SCORE_ROW
    const gradient = ds + <usize>i * SCORE_ROW
    if (i >= real) {
      memory.fill(row + ((<usize>from) << 2), 0, bytes)
      memory.fill(gradient + ((<usize>from) << 2), 0, bytes)
      continue
    }
    finishScores(p, row, b, h, t + i, k0, from, to, padding, spare)
    const factors = spare + SCORE_ROW
    if (p.threshold !== 0) {
      dropoutFactors(p, factors, (b * p.Hq + h) * p.T + t + i, k0, from, to)
      multiplyRow(gradient, factors, from, to)
    }
    const lse = v128.load32_splat(at(rowState, i, 2))
    const delta = v128.load32_splat(at(rowState, i, 2), 4)
    for (let j = from; j < to; j += 8) {
      const at = (<usize>j) << 2
      const w0 = expFlushed(v128.sub<f32>(v128.load(row + at), lse))
      const w1 = expFlushed(v128.sub<f32>(v128.load(row + at, 16), lse))
      v128.store(row + at, w0)
      v128.store(row + at, w1, 16)
      v128.store(gradient + at, v128.mul<f32>(w0, v128.sub<f32>(v128.load(gradient + at), delta)))
      v128.store(gradient + at, v128.mul<f32>(w1, v128.sub<f32>(v128.load(gradient + at, 16), delta)), 16)
    }
    if (dbias)
      memory.copy(
        at(dbias, (b * p.Hq + h) * p.T + t + i, p.S) + ((<usize>(k0 + from)) << 2),
        gradient + ((<usize>from) << 2),
        (<usize>(min(to, p.S - k0) - from)) << 2,
      )
    if (p.softcap !== 0) multiplyRow(gradient, spare, from, to)
    if (p.threshold !== 0) multiplyRow(row, factors, from, to)
  }
}

/** Σ a[d] b[d]. */
function dot(a: usize, b: usize, D: i32): f32 {
  let sum = f32x4.splat(0)
  let d = 0
  for (; d + 4 <= D; d += 4) sum = fma(v128.load(a + ((<usize>d) << 2)), v128.load(b + ((<usize>d) << 2)), sum)
  let total = hsum(sum)
  for (; d < D; d++) total += load<f32>(a + ((<usize>d) << 2)) * load<f32>(b + ((<usize>d) << 2))
  return total
}

/** Gradients of queries and bias; delta on the way. Parallel axis: B × Hq × ceil(T / rows). */
export function attention_dq_f32(p: Attention, scratch: usize, begin: i32, end: i32): void {
  const T = p.T
  const S = p.S
  const D = p.D
  const rows = p.rows
  const keys = p.keys
  const D8 = ceilTo(D, 8)
  const left = scratch // Q, [rows][D] in panels
  const leftOut = at(left, rows, D) // dO, the same
  const dq = at(leftOut, rows, D) // [rows][D8]
  const kt = at(dq, rows, D8)
  const vt = at(kt, keys, D)
  const kr = at(vt, keys, D)
  const rowState = at(kr, keys, D8) // [rows][2]
  const s = at(rowState, rows, 2)
  const ds = s + 4 * SCORE_ROW
  const spare = ds + 4 * SCORE_ROW
  const paddingAt = spare + 2 * SCORE_ROW + 64
  const blocks = (T + rows - 1) / rows

  for (let unit = begin; unit < end; unit++) {
    const head = unit / blocks
    const b = head / p.Hq
    const h = head % p.Hq
    const hk = h / (p.Hq / p.Hkv)
    const t0 = (unit % blocks) * rows
    const n = min(rows, T - t0)
    const position = t0 + S - T
    const dout = at(at(at(p.dout, b, p.gb), h, p.gh), t0, p.gt)
    packLeft(left, at(at(at(p.q, b, p.qb), h, p.qh), t0, p.qt), p.qt, n, D, p.scale)
    packLeft(leftOut, dout, p.gt, n, D, 1)
    memory.fill(dq, 0, at(0, ceilTo(n, 4), D8))
    for (let r = 0; r < n; r++) {
      const delta = dot(at(dout, r, p.gt), at(p.out, (b * T + t0 + r) * p.Hq + h, D), D)
      store<f32>(at(rowState, r, 2), load<f32>(at(p.lse, head, T) + ((<usize>(t0 + r)) << 2)))
      store<f32>(at(rowState, r, 2), delta, 4)
      store<f32>(at(p.delta, head, T) + ((<usize>(t0 + r)) << 2), delta)
    }
    if (p.dbias) memory.fill(at(p.dbias, head * T + t0, S), 0, at(0, n, S))
    const k = at(at(p.k, b, p.kb), hk, p.kh)
    const v = at(at(p.v, b, p.vb), hk, p.vh)
    const last = endKey(p, position + n - 1)
    for (let k0 = firstKey(p, position) & -8; k0 < last; k0 += keys) {
      const count = min(keys, last - k0)
      const count8 = ceilTo(count, 8)
      packTransposed(kt, at(k, k0, p.ks), p.ks, count, D)
      packTransposed(vt, at(v, k0, p.vs), p.vs, count, D)
      packRows(kr, at(k, k0, p.ks), p.ks, count, D, 1)
      const padding = paddingRow(p, paddingAt, b, k0, count8)
      for (let r = 0; r < n; r += 4) {
        const real = min(4, n - r)
        const from = max(0, firstKey(p, position + r) - k0) & -8
        const to = min(count8, ceilTo(endKey(p, position + r + real - 1) - k0, 8))
        if (from >= to) continue
        panelGradients(
          p,
          s,
          ds,
          at(left, r, D),
          at(leftOut, r, D),
          kt,
          vt,
          at(rowState, r, 2),
          spare,
          b,
          h,
          t0 + r,
          real,
          k0,
          from,
          to,
          padding,
          p.dbias,
        )
        gather(at(dq, r, D8), ds, kr, count8, from, to, D, 0)
      }
    }
    for (let r = 0; r < n; r++) scaleRow(at(p.dq, (b * T + t0 + r) * p.Hq + h, D), at(dq, r, D8), D, p.scale)
  }
}

/** Gradients of keys and values, summed over the heads that share them. Parallel axis: B × Hkv × ceil(S / keys). */
export function attention_dkv_f32(p: Attention, scratch: usize, begin: i32, end: i32): void {
  const T = p.T
  const S = p.S
  const D = p.D
  const rows = min(p.rows, 64) // with 4 arrays of keys and 4 of rows in scratch
  const keys = p.keys
  const D8 = ceilTo(D, 8)
  const group = p.Hq / p.Hkv
  const kt = scratch
  const vt = at(kt, keys, D)
  const dk = at(vt, keys, D) // [keys][D8]
  const dv = at(dk, keys, D8)
  const left = at(dv, keys, D8)
  const leftOut = at(left, rows, D)
  const qr = at(leftOut, rows, D)
  const gr = at(qr, rows, D8)
  const rowState = at(gr, rows, D8)
  const s = at(rowState, rows, 2) // [rows][128]
  const ds = s + <usize>rows * SCORE_ROW
  const spare = ds + <usize>rows * SCORE_ROW
  const paddingAt = spare + 2 * SCORE_ROW + 64
  const blocks = (S + keys - 1) / keys

  for (let unit = begin; unit < end; unit++) {
    const b = unit / blocks / p.Hkv
    const hk = (unit / blocks) % p.Hkv
    const k0 = (unit % blocks) * keys
    const count = min(keys, S - k0)
    const count8 = ceilTo(count, 8)
    packTransposed(kt, at(at(at(p.k, b, p.kb), hk, p.kh), k0, p.ks), p.ks, count, D)
    packTransposed(vt, at(at(at(p.v, b, p.vb), hk, p.vh), k0, p.vs), p.vs, count, D)
    const padding = paddingRow(p, paddingAt, b, k0, count8)
    memory.fill(dk, 0, 2 * at(0, keys, D8))
    // Queries that see any of these keys.
    const firstRow = max(0, k0 - p.right - (S - T))
    const endRow = min(T, k0 + count + p.left - (S - T))
    for (let h = hk * group; h < (hk + 1) * group; h++)
      for (let t0 = firstRow; t0 < endRow; t0 += rows) {
        const n = min(rows, endRow - t0)
        const n8 = ceilTo(n, 8)
        const position = t0 + S - T
        const q = at(at(at(p.q, b, p.qb), h, p.qh), t0, p.qt)
        const dout = at(at(at(p.dout, b, p.gb), h, p.gh), t0, p.gt)
        packLeft(left, q, p.qt, n, D, p.scale)
        packLeft(leftOut, dout, p.gt, n, D, 1)
        packRows(qr, q, p.qt, n, D, p.scale)
        packRows(gr, dout, p.gt, n, D, 1)
        for (let r = 0; r < n; r++) {
          const row = at(0, (b * p.Hq + h) * T + t0 + r, 1)
          store<f32>(at(rowState, r, 2), load<f32>(p.lse + row))
          store<f32>(at(rowState, r, 2), load<f32>(p.delta + row), 4)
        }
        for (let r = 0; r < n; r += 4) {
          const real = min(4, n - r)
          const from = max(0, firstKey(p, position + r) - k0) & -8
          const to = min(count8, ceilTo(endKey(p, position + r + real - 1) - k0, 8))
          if (from >= to) continue
          const tile = <usize>r * SCORE_ROW
          panelGradients(
            p,
            s + tile,
            ds + tile,
            at(left, r, D),
            at(leftOut, r, D),
            kt,
            vt,
            at(rowState, r, 2),
            spare,
            b,
            h,
            t0 + r,
            real,
            k0,
            from,
            to,
            padding,
            0,
          )
        }
        for (let j = 0; j < count; j += 4) {
          // Panels of rows that see one of these 4 keys: just those whose scores were computed above.
          const from = max(0, k0 + j - p.right - position) & -4
          const to = ceilTo(min(n, k0 + min(j + 4, count) + p.left - position), 4)
          if (from >= to) continue
          const column = (<usize>j) << 2
          gatherTransposed(at(dv, j, D8), s + column, gr, n8, from, to, D)
          gatherTransposed(at(dk, j, D8), ds + column, qr, n8, from, to, D)
        }
      }
    for (let j = 0; j < count; j++) {
      const row = (b * S + k0 + j) * p.Hkv + hk
      scaleRow(at(p.dk, row, D), at(dk, j, D8), D, 1)
      scaleRow(at(p.dv, row, D), at(dv, j, D8), D, 1)
    }
  }
}
