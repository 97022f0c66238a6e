// Packed matrix product: C = A·B (+ C) (+ bias), float32.
//
// Both operands are packed once into panels that the micro-kernel reads front to back: A in panels of 5 or 6 rows ([k][6]), B in
// panels of 8 columns ([k][8]), padded with zeros at the edges. Packing takes any strides, so it is where all four transpose
// cases and the 16-bit dtypes end. A chunk of work is a tile of C; depth goes by in blocks, so that a panel of B stays in the
// first cache while the tile's panels of A pass by from the second. Panels lie block by block: what is read next is what comes next
// in memory (1024³: 0.92 of the limit; with whole panels 0.87).
import { BF16, element, F16, F32, load4, sizeOf } from './floats'
import { fma } from './simd'

const COLS = 8 // of a panel of B
const DEPTH = 384 // of a block, at most: 12 KiB of B and 9 KiB of each panel of A, in a first cache of 32

/** The fifth element of a line of A, or the fifth and the sixth: half `half` of `pairs`. */
// @ts-ignore: decorator
@inline
function putTail(width: i32, to: usize, pairs: v128, half: i32): void {
  if (width == 6) {
    if (half == 0) v128.store64_lane(to, pairs, 0)
    else v128.store64_lane(to, pairs, 1)
  } else {
    if (half == 0) v128.store32_lane(to, pairs, 0)
    else v128.store32_lane(to, pairs, 2)
  }
}

/** Depth of a block: k in as few parts as DEPTH allows, about alike. */
// @ts-ignore: decorator
@inline
function blockOf(k: i32): i32 {
  const blocks = max(1, (k + DEPTH - 1) / DEPTH)
  return (k + blocks - 1) / blocks
}

/**
 * Packs panels of `width` rows. Row i, depth k of batch b is at x + b·sb + i·si + k·sk. Out: [b][block][panel][k][width], float32,
 * rows past `rows` zero. Parallel over batch × panels.
 */
// @ts-ignore: decorator
@inline
function pack(dtype: i32, width: i32, x: usize, out: usize, rows: i32, depth: i32, sb: i32, si: i32, sk: i32, begin: i32, end: i32): void {
  const size = sizeOf(dtype)
  const panels = (rows + width - 1) / width
  const line = <usize>width * 4
  const block = blockOf(depth)
  for (let at = begin; at < end; at++) {
    const panel = at % panels
    const i0 = panel * width
    const from = x + (<usize>(at / panels) * <usize>sb + <usize>i0 * <usize>si) * size
    const to = out + <usize>(at / panels) * <usize>(panels * depth) * line
    for (let k0 = 0; k0 < depth; k0 += block) {
      const count = min(block, depth - k0)
      packBlock(dtype, width, from + <usize>k0 * <usize>sk * size, to + (<usize>k0 * <usize>panels + <usize>panel * <usize>count) * line, min(width, rows - i0), count, si, sk)
    }
  }
}

/** One panel over one block: `n` of its rows are there, `depth` elements of each. */
// @ts-ignore: decorator
@inline
function packBlock(dtype: i32, width: i32, from: usize, to: usize, n: i32, depth: i32, si: i32, sk: i32): void {
  const size = sizeOf(dtype)
  const stepI = <usize>si * size
  const stepK = <usize>sk * size
  if (n == width && si == 1) {
    // Rows lie side by side: each depth is a copy.
    for (let k = 0; k < depth; k++) {
      v128.store(to, load4(dtype, from))
      if (width == 8) v128.store(to, load4(dtype, from + 4 * size), 16)
      if (width == 5 || width == 6) store<f32>(to, element(dtype, from + 4 * size), 16)
      if (width == 6) store<f32>(to, element(dtype, from + 5 * size), 20)
      from += stepK
      to += <usize>width * 4
    }
  } else if (n == width && sk == 1) {
    // Depth lies side by side: transposed four by four.
    let k = 0
    for (; k + 4 <= depth; k += 4) {
      for (let g = 0; g + 4 <= width; g += 4) {
        const row = from + <usize>g * stepI
        const r0 = load4(dtype, row)
        const r1 = load4(dtype, row + stepI)
        const r2 = load4(dtype, row + 2 * stepI)
        const r3 = load4(dtype, row + 3 * stepI)
        const a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5)
        const b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5)
        const c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
        const d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7)
        const line = to + <usize>g * 4
        const step = <usize>width * 4
        v128.store(line, v128.shuffle<f32>(a, b, 0, 1, 4, 5))
        v128.store(line + step, v128.shuffle<f32>(a, b, 2, 3, 6, 7))
        v128.store(line + 2 * step, v128.shuffle<f32>(c, d, 0, 1, 4, 5))
        v128.store(line + 3 * step, v128.shuffle<f32>(c, d, 2, 3, 6, 7))
      }
      if (width == 5 || width == 6) {
        const r4 = load4(dtype, from + 4 * stepI)
        const r5 = width == 6 ? load4(dtype, from + 5 * stepI) : r4
        const low = v128.shuffle<f32>(r4, r5, 0, 4, 1, 5)
        const high = v128.shuffle<f32>(r4, r5, 2, 6, 3, 7)
        putTail(width, to + 16, low, 0)
        putTail(width, to + <usize>width * 4 + 16, low, 1)
        putTail(width, to + <usize>width * 8 + 16, high, 0)
        putTail(width, to + <usize>width * 12 + 16, high, 1)
      }
      from += 4 * size
      to += <usize>width * 16
    }
    for (; k < depth; k++) {
      for (let i = 0; i < width; i++) store<f32>(to + <usize>i * 4, element(dtype, from + <usize>i * stepI))
      from += size
      to += <usize>width * 4
    }
  } else {
    for (let k = 0; k < depth; k++) {
      for (let i = 0; i < n; i++) store<f32>(to + <usize>i * 4, element(dtype, from + <usize>i * stepI))
      for (let i = n; i < width; i++) store<f32>(to + <usize>i * 4, 0)
      from += stepK
      to += <usize>width * 4
    }
  }
}

export function pack_rows5_f32(x: usize, out: usize, rows: i32, depth: i32, sb: i32, si: i32, sk: i32, scratch: usize, begin: i32, end: i32): void {
  pack(F32, 5, x, out, rows, depth, sb, si, sk, begin, end)
}
export function pack_rows6_f32(x: usize, out: usize, rows: i32, depth: i32, sb: i32, si: i32, sk: i32, scratch: usize, begin: i32, end: i32): void {
  pack(F32, 6, x, out, rows, depth, sb, si, sk, begin, end)
}
export function pack_columns_f32(x: usize, out: usize, rows: i32, depth: i32, sb: i32, si: i32, sk: i32, scratch: usize, begin: i32, end: i32): void {
  pack(F32, COLS, x, out, rows, depth, sb, si, sk, begin, end)
}
export function pack_columns_f16(x: usize, out: usize, rows: i32, depth: i32, sb: i32, si: i32, sk: i32, scratch: usize, begin: i32, end: i32): void {
  pack(F16, COLS, x, out, rows, depth, sb, si, sk, begin, end)
}
export function pack_columns_bf16(x: usize, out: usize, rows: i32, depth: i32, sb: i32, si: i32, sk: i32, scratch: usize, begin: i32, end: i32): void {
  pack(BF16, COLS, x, out, rows, depth, sb, si, sk, begin, end)
}

/**
 * A panel of ROWS (5 or 6) rows of A by a panel of B over `depth` (1 or more): ROWS x 8 of C, added to what is there when `adds`.
 *
 * What V8 makes of it decides its speed. Six rows fill 15 registers with a fused multiply-add, five without. The loop stays in a
 * function of its own, since V8 unrolls loops that are nested in others, and then moves accumulators about; the first step stands
 * before the loop, so that the addresses of A are computed there, once. Of the limit of a loop without memory: 0.98 (plain 0.90).
 */
// @ts-ignore: decorator
@inline
function micro(ROWS: i32, a: usize, b: usize, c: usize, depth: i32, step: usize, adds: bool): void {
  const p0 = v128.load(b)
  const p1 = v128.load(b, 16)
  let first = v128.load32_splat(a)
  let c00 = f32x4.mul(first, p0)
  let c01 = f32x4.mul(first, p1)
  first = v128.load32_splat(a, 4)
  let c10 = f32x4.mul(first, p0)
  let c11 = f32x4.mul(first, p1)
  first = v128.load32_splat(a, 8)
  let c20 = f32x4.mul(first, p0)
  let c21 = f32x4.mul(first, p1)
  first = v128.load32_splat(a, 12)
  let c30 = f32x4.mul(first, p0)
  let c31 = f32x4.mul(first, p1)
  first = v128.load32_splat(a, 16)
  let c40 = f32x4.mul(first, p0)
  let c41 = f32x4.mul(first, p1)
  if (ROWS == 6) first = v128.load32_splat(a, 20)
  let c50 = f32x4.mul(first, p0)
  let c51 = f32x4.mul(first, p1)
  for (let k = depth - 1; k > 0; k--) {
    a += <usize>ROWS * 4
    b += 32
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    let x = v128.load32_splat(a)
    c00 = fma(x, b0, c00)
    c01 = fma(x, b1, c01)
    x = v128.load32_splat(a, 4)
    c10 = fma(x, b0, c10)
    c11 = fma(x, b1, c11)
    x = v128.load32_splat(a, 8)
    c20 = fma(x, b0, c20)
    c21 = fma(x, b1, c21)
    x = v128.load32_splat(a, 12)
    c30 = fma(x, b0, c30)
    c31 = fma(x, b1, c31)
    x = v128.load32_splat(a, 16)
    c40 = fma(x, b0, c40)
    c41 = fma(x, b1, c41)
    if (ROWS == 6) {
      x = v128.load32_splat(a, 20)
      c50 = fma(x, b0, c50)
      c51 = fma(x, b1, c51)
    }
  }
  storePair(c, c00, c01, adds)
  c += step
  storePair(c, c10, c11, adds)
  c += step
  storePair(c, c20, c21, adds)
  c += step
  storePair(c, c30, c31, adds)
  c += step
  storePair(c, c40, c41, adds)
  if (ROWS == 6) storePair(c + step, c50, c51, adds)
}

// Called from two places each, so that the compiler does not inline them.
function micro5(a: usize, b: usize, c: usize, depth: i32, step: usize, adds: bool): void {
  micro(5, a, b, c, depth, step, adds)
}
function micro6(a: usize, b: usize, c: usize, depth: i32, step: usize, adds: bool): void {
  micro(6, a, b, c, depth, step, adds)
}

// @ts-ignore: decorator
@inline
function storePair(c: usize, x: v128, y: v128, adds: bool): void {
  if (adds) {
    v128.store(c, f32x4.add(v128.load(c), x))
    v128.store(c, f32x4.add(v128.load(c, 16), y), 16)
  } else {
    v128.store(c, x)
    v128.store(c, y, 16)
  }
}

/** The same where the panel reaches over the edge of C: through a buffer of its size. */
// @ts-ignore: decorator
@inline
function microEdge(ROWS: i32, a: usize, b: usize, c: usize, depth: i32, step: usize, adds: bool, rows: i32, cols: i32, buffer: usize): void {
  if (ROWS == 6) micro6(a, b, buffer, depth, 32, false)
  else micro5(a, b, buffer, depth, 32, false)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) {
      const to = c + <usize>i * step + <usize>j * 4
      const x = load<f32>(buffer + <usize>(i * COLS + j) * 4)
      store<f32>(to, adds ? load<f32>(to) + x : x)
    }
}

/**
 * Tiles of C from packed operands. C is [batch] of m rows, `ldc` apart; `accumulate` adds to what C holds; `bias` (or 0) is [n].
 * A tile is `tileRows` panels of A by `tileCols` panels of B. Parallel over batch × tiles. Batches are aBatch, bBatch and cBatch elements
 * apart, 0 where all share one.
 */
// @ts-ignore: decorator
@inline
function tiles(
  ROWS: i32,
  a: usize,
  b: usize,
  c: usize,
  m: i32,
  n: i32,
  k: i32,
  ldc: i32,
  aBatch: i32,
  bBatch: i32,
  cBatch: i32,
  tileRows: i32,
  tileCols: i32,
  accumulate: i32,
  bias: usize,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const aPanels = (m + ROWS - 1) / ROWS
  const bPanels = (n + COLS - 1) / COLS
  const down = (aPanels + tileRows - 1) / tileRows
  const across = (bPanels + tileCols - 1) / tileCols
  const step = <usize>ldc * 4
  const block = blockOf(k)
  for (let at = begin; at < end; at++) {
    const batch = at / (down * across)
    const tile = at % (down * across)
    // Neighbouring chunks share the panels of B.
    const i0 = (tile % down) * tileRows
    const j0 = (tile / down) * tileCols
    const i1 = min(i0 + tileRows, aPanels)
    const j1 = min(j0 + tileCols, bPanels)
    const ap = a + <usize>batch * <usize>aBatch * 4
    const bp = b + <usize>batch * <usize>bBatch * 4
    const cp = c + <usize>batch * <usize>cBatch * 4
    for (let k0 = 0; k0 < k; k0 += block) {
      const depth = min(block, k - k0)
      const adds = accumulate != 0 || k0 > 0
      for (let j = j0; j < j1; j++) {
        const cols = n - j * COLS
        const bk = bp + (<usize>k0 * <usize>bPanels + <usize>j * <usize>depth) * COLS * 4
        for (let i = i0; i < i1; i++) {
          const rows = m - i * ROWS
          const ak = ap + (<usize>k0 * <usize>aPanels + <usize>i * <usize>depth) * <usize>ROWS * 4
          const ck = cp + <usize>(i * ROWS) * step + <usize>j * COLS * 4
          if (rows >= ROWS && cols >= COLS) {
            if (ROWS == 6) micro6(ak, bk, ck, depth, step, adds)
            else micro5(ak, bk, ck, depth, step, adds)
          } else microEdge(ROWS, ak, bk, ck, depth, step, adds, min(rows, ROWS), min(cols, COLS), scratch)
        }
      }
    }
    const top = i0 * ROWS
    const bottom = min(i1 * ROWS, m)
    const left = j0 * COLS
    const right = min(j1 * COLS, n)
    for (let i = top; i < bottom; i++) {
      const row = cp + <usize>i * step
      if (k == 0 && accumulate == 0) for (let j = left; j < right; j++) store<f32>(row + <usize>j * 4, 0)
      if (bias == 0) continue
      let j = left
      for (; j + 4 <= right; j += 4) {
        const to = row + <usize>j * 4
        v128.store(to, f32x4.add(v128.load(to), v128.load(bias + <usize>j * 4)))
      }
      for (; j < right; j++) store<f32>(row + <usize>j * 4, load<f32>(row + <usize>j * 4) + load<f32>(bias + <usize>j * 4))
    }
  }
}

export function gemm5_f32(a: usize, b: usize, c: usize, m: i32, n: i32, k: i32, ldc: i32, aBatch: i32, bBatch: i32, cBatch: i32, tileRows: i32, tileCols: i32, accumulate: i32, bias: usize, scratch: usize, begin: i32, end: i32): void {
  tiles(5, a, b, c, m, n, k, ldc, aBatch, bBatch, cBatch, tileRows, tileCols, accumulate, bias, scratch, begin, end)
}

export function gemm6_f32(a: usize, b: usize, c: usize, m: i32, n: i32, k: i32, ldc: i32, aBatch: i32, bBatch: i32, cBatch: i32, tileRows: i32, tileCols: i32, accumulate: i32, bias: usize, scratch: usize, begin: i32, end: i32): void {
  tiles(6, a, b, c, m, n, k, ldc, aBatch, bBatch, cBatch, tileRows, tileCols, accumulate, bias, scratch, begin, end)
}
