// Copies between strided layouts, and fills, by element size: dtypes do not matter here.
import { BLOCK, gather, isDense, scatter, stage } from './strided'

/** Elements [begin, end) from one layout (operand 0) to another (operand 1). */
// @ts-ignore: decorator
@inline
function copy<T>(src: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  if (isDense(layout, 1)) {
    gather<T>(src, layout, 0, begin, end - begin, out + <usize>begin * sizeof<T>(), scratch)
    return
  }
  for (let i = begin; i < end; i += BLOCK) {
    const n = min(BLOCK, end - i)
    scatter<T>(stage<T>(src, layout, 0, begin, i, n, scratch), out, layout, 1, i, n, scratch)
  }
}

export function copy_b1(src: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  copy<u8>(src, out, layout, scratch, begin, end)
}

export function copy_b2(src: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  copy<u16>(src, out, layout, scratch, begin, end)
}

export function copy_b4(src: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  copy<u32>(src, out, layout, scratch, begin, end)
}

export function copy_b8(src: usize, out: usize, layout: usize, scratch: usize, begin: i32, end: i32): void {
  copy<u64>(src, out, layout, scratch, begin, end)
}

/** Copies dense memory. Parallel over units of 64 bytes, of which the last may be cut short by `bytes`. */
export function copy_dense(src: usize, out: usize, bytes: usize, scratch: usize, begin: i32, end: i32): void {
  const from = <usize>begin << 6
  memory.copy(out + from, src + from, min<usize>(<usize>end << 6, bytes) - from)
}

export function fill_f32(out: usize, value: f32, scratch: usize, begin: i32, end: i32): void {
  const v = f32x4.splat(value)
  let to = out + (<usize>begin << 2)
  const stop = out + (<usize>end << 2)
  for (; to + 16 <= stop; to += 16) v128.store(to, v)
  for (; to < stop; to += 4) store<f32>(to, value)
}

/** Side of a tile: some cache lines, so that fetching ahead pays, and the tile stays in the first cache. */
const TILE: i32 = 64

/** Four rows of four 32-bit elements, exchanged for the columns. */
// @ts-ignore: decorator
@inline
function transpose4x4(from: usize, fromRow: usize, to: usize, toRow: usize): void {
  const a = v128.load(from)
  const b = v128.load(from + fromRow)
  const c = v128.load(from + 2 * fromRow)
  const d = v128.load(from + 3 * fromRow)
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5)
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5)
  const abHigh = v128.shuffle<i32>(a, b, 2, 6, 3, 7)
  const cdHigh = v128.shuffle<i32>(c, d, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2))
  v128.store(to + toRow, v128.shuffle<i64>(ab, cd, 1, 3))
  v128.store(to + 2 * toRow, v128.shuffle<i64>(abHigh, cdHigh, 0, 2))
  v128.store(to + 3 * toRow, v128.shuffle<i64>(abHigh, cdHigh, 1, 3))
}

/**
 * out[b, i, j] = src[b, j, i], elements of src next to each other along i, of out along j. Parallel over b and tiles of i.
 * Tiles go through scratch, so that each cache line of either side is touched once: rows a power of 2 apart would drive each other out.
 */
// @ts-ignore: decorator
@inline
function transpose<T>(
  src: usize,
  out: usize,
  rows: i32,
  columns: i32,
  srcBatch: i32,
  srcRow: i32,
  outBatch: i32,
  outRow: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const size = sizeof<T>()
  const tiles = (rows + TILE - 1) / TILE
  const fromRow = <usize>srcRow * size
  const toRow = <usize>outRow * size
  const tileRow = <usize>TILE * size
  for (let at = begin; at < end; at++) {
    const batch = <usize>(at / tiles)
    const first = (at % tiles) * TILE
    const height = <usize>min(TILE, rows - first)
    const source = src + (batch * <usize>srcBatch + <usize>first) * size
    const target = out + (batch * <usize>outBatch + <usize>first * <usize>outRow) * size
    for (let j0 = 0; j0 < columns; j0 += TILE) {
      const width = <usize>min(TILE, columns - j0)
      let from = source + <usize>j0 * fromRow
      if (size == 4 && ((height | width) & 3) == 0) {
        for (let j: usize = 0; j < width; j += 4, from += 4 * fromRow)
          for (let i: usize = 0; i < height; i += 4) transpose4x4(from + i * 4, fromRow, scratch + i * tileRow + j * 4, tileRow)
      } else {
        for (let j: usize = 0; j < width; j++, from += fromRow)
          for (let i: usize = 0; i < height; i++) store<T>(scratch + i * tileRow + j * size, load<T>(from + i * size))
      }
      let to = target + <usize>j0 * size
      for (let i: usize = 0; i < height; i++, to += toRow) {
        const row = scratch + i * tileRow
        if (width == <usize>TILE) for (let k: usize = 0; k < tileRow; k += 16) v128.store(to + k, v128.load(row + k))
        else for (let k: usize = 0; k < width; k++) store<T>(to + k * size, load<T>(row + k * size))
      }
    }
  }
}

export function transpose_b1(src: usize, out: usize, rows: i32, columns: i32, srcBatch: i32, srcRow: i32, outBatch: i32, outRow: i32, scratch: usize, begin: i32, end: i32): void {
  transpose<u8>(src, out, rows, columns, srcBatch, srcRow, outBatch, outRow, scratch, begin, end)
}

export function transpose_b2(src: usize, out: usize, rows: i32, columns: i32, srcBatch: i32, srcRow: i32, outBatch: i32, outRow: i32, scratch: usize, begin: i32, end: i32): void {
  transpose<u16>(src, out, rows, columns, srcBatch, srcRow, outBatch, outRow, scratch, begin, end)
}

export function transpose_b4(src: usize, out: usize, rows: i32, columns: i32, srcBatch: i32, srcRow: i32, outBatch: i32, outRow: i32, scratch: usize, begin: i32, end: i32): void {
  transpose<u32>(src, out, rows, columns, srcBatch, srcRow, outBatch, outRow, scratch, begin, end)
}

export function transpose_b8(src: usize, out: usize, rows: i32, columns: i32, srcBatch: i32, srcRow: i32, outBatch: i32, outRow: i32, scratch: usize, begin: i32, end: i32): void {
  transpose<u64>(src, out, rows, columns, srcBatch, srcRow, outBatch, outRow, scratch, begin, end)
}
