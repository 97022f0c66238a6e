// Copies between strided layouts and fills, by element size: dtypes do not matter here.

/**
 * Strided copy over four dimensions (d0, d1, d2, d3), strides in elements on both sides. Parallel over rows (d0·d1·d2).
 */
// @ts-ignore: decorator
@inline
function copyRows<T>(
  src: usize, dst: usize, d1: i32, d2: i32, d3: i32,
  s0: i32, s1: i32, s2: i32, s3: i32, t0: i32, t1: i32, t2: i32, t3: i32,
  begin: i32, end: i32,
): void {
  const size = sizeof<T>()
  const bytes = <usize>d3 * size
  const srcStep = <usize>s3 * size
  const dstStep = <usize>t3 * size
  for (let row = begin; row < end; row++) {
    const i2 = row % d2
    const outer = row / d2
    const i1 = outer % d1
    const i0 = outer / d1
    let from = src + (<usize>i0 * <usize>s0 + <usize>i1 * <usize>s1 + <usize>i2 * <usize>s2) * size
    let to = dst + (<usize>i0 * <usize>t0 + <usize>i1 * <usize>t1 + <usize>i2 * <usize>t2) * size
    if (s3 == 1 && t3 == 1) {
      memory.copy(to, from, bytes)
    } else if (s3 == 0 && t3 == 1) {
      fillRange<T>(to, load<T>(from), 0, d3)
    } else {
      for (let i = 0; i < d3; i++) {
        store<T>(to, load<T>(from))
        from += srcStep
        to += dstStep
      }
    }
  }
}

/** Transposing copy: dst[b, i, j] = src[b, j, i], rows of dst contiguous. In tiles of 16, so that both sides stay in cache. Parallel over b and tiles of i. */
// @ts-ignore: decorator
@inline
function transposeTiles<T>(src: usize, dst: usize, rows: i32, cols: i32, srcBatch: i32, srcRow: i32, dstBatch: i32, dstRow: i32, begin: i32, end: i32): void {
  const size = sizeof<T>()
  const tiles = (rows + 15) >> 4
  for (let at = begin; at < end; at++) {
    const b = at / tiles
    const i0 = (at % tiles) << 4
    const i1 = min(i0 + 16, rows)
    const from = src + <usize>b * <usize>srcBatch * size
    const to = dst + <usize>b * <usize>dstBatch * size
    for (let j0 = 0; j0 < cols; j0 += 16) {
      const j1 = min(j0 + 16, cols)
      for (let i = i0; i < i1; i++) {
        let out = to + (<usize>i * <usize>dstRow + <usize>j0) * size
        let at = from + (<usize>j0 * <usize>srcRow + <usize>i) * size
        for (let j = j0; j < j1; j++) {
          store<T>(out, load<T>(at))
          out += size
          at += <usize>srcRow * size
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function fillRange<T>(out: usize, value: T, begin: i32, end: i32): void {
  for (let i = begin; i < end; i++) store<T>(out + <usize>i * sizeof<T>(), value)
}

export function copy_b1(src: usize, dst: usize, d1: i32, d2: i32, d3: i32, s0: i32, s1: i32, s2: i32, s3: i32, t0: i32, t1: i32, t2: i32, t3: i32, scratch: usize, begin: i32, end: i32): void {
  copyRows<u8>(src, dst, d1, d2, d3, s0, s1, s2, s3, t0, t1, t2, t3, begin, end)
}
export function copy_b2(src: usize, dst: usize, d1: i32, d2: i32, d3: i32, s0: i32, s1: i32, s2: i32, s3: i32, t0: i32, t1: i32, t2: i32, t3: i32, scratch: usize, begin: i32, end: i32): void {
  copyRows<u16>(src, dst, d1, d2, d3, s0, s1, s2, s3, t0, t1, t2, t3, begin, end)
}
export function copy_b4(src: usize, dst: usize, d1: i32, d2: i32, d3: i32, s0: i32, s1: i32, s2: i32, s3: i32, t0: i32, t1: i32, t2: i32, t3: i32, scratch: usize, begin: i32, end: i32): void {
  copyRows<u32>(src, dst, d1, d2, d3, s0, s1, s2, s3, t0, t1, t2, t3, begin, end)
}
export function copy_b8(src: usize, dst: usize, d1: i32, d2: i32, d3: i32, s0: i32, s1: i32, s2: i32, s3: i32, t0: i32, t1: i32, t2: i32, t3: i32, scratch: usize, begin: i32, end: i32): void {
  copyRows<u64>(src, dst, d1, d2, d3, s0, s1, s2, s3, t0, t1, t2, t3, begin, end)
}

export function transpose_b1(src: usize, dst: usize, rows: i32, cols: i32, srcBatch: i32, srcRow: i32, dstBatch: i32, dstRow: i32, scratch: usize, begin: i32, end: i32): void {
  transposeTiles<u8>(src, dst, rows, cols, srcBatch, srcRow, dstBatch, dstRow, begin, end)
}
export function transpose_b2(src: usize, dst: usize, rows: i32, cols: i32, srcBatch: i32, srcRow: i32, dstBatch: i32, dstRow: i32, scratch: usize, begin: i32, end: i32): void {
  transposeTiles<u16>(src, dst, rows, cols, srcBatch, srcRow, dstBatch, dstRow, begin, end)
}
export function transpose_b4(src: usize, dst: usize, rows: i32, cols: i32, srcBatch: i32, srcRow: i32, dstBatch: i32, dstRow: i32, scratch: usize, begin: i32, end: i32): void {
  transposeTiles<u32>(src, dst, rows, cols, srcBatch, srcRow, dstBatch, dstRow, begin, end)
}
export function transpose_b8(src: usize, dst: usize, rows: i32, cols: i32, srcBatch: i32, srcRow: i32, dstBatch: i32, dstRow: i32, scratch: usize, begin: i32, end: i32): void {
  transposeTiles<u64>(src, dst, rows, cols, srcBatch, srcRow, dstBatch, dstRow, begin, end)
}

/** Bytes in a row, for copies of contiguous memory. Parallel over bytes. */
export function copy_bytes(src: usize, dst: usize, scratch: usize, begin: i32, end: i32): void {
  memory.copy(dst + <usize>(<u32>begin), src + <usize>(<u32>begin), <usize>(end - begin))
}
