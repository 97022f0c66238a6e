// argsort and topk of rows (rows, n): indices alone, in int64; values are gathered with them. Parallel over rows.
// Elements are compared by keys, unsigned numbers in the same order: NaN above everything, -0 equal to 0, as in PyTorch.

// @ts-ignore: decorator
@inline
function key<T>(row: usize, i: i32, flip: u64): u64 {
  if (isFloat<T>()) {
    const value = load<f32>(row + ((<usize>i) << 2))
    const bits = reinterpret<u32>(value + 0) // -0 + 0 is 0
    // Negative numbers: all bits turned over. Others: above them.
    const ordered = bits ^ (<u32>(<i32>bits >> 31) | 0x80000000)
    return <u64>(value !== value ? 0xffffffff : ordered) ^ (flip & 0xffffffff)
  }
  return (load<u64>(row + ((<usize>i) << 3)) ^ 0x8000000000000000) ^ flip
}

// @ts-ignore: decorator
@inline
function indexAt(list: usize, i: i32): i32 {
  return load<i32>(list + ((<usize>i) << 2))
}

/** Rows up to this long are sorted by insertion: 256 counters a pass cost more. */
const SHORT: i32 = 48

/** Stable. The row's output, 8 n bytes, is also the room for two lists of int32 that the sort works with. */
// @ts-ignore: decorator
@inline
function argsortRow<T>(row: usize, out: usize, n: i32, flip: u64, counters: usize): void {
  let list = out
  let other = out + ((<usize>n) << 2)
  if (n <= SHORT) {
    for (let i = 0; i < n; i++) {
      const k = key<T>(row, i, flip)
      let j = i
      for (; j > 0 && key<T>(row, indexAt(list, j - 1), flip) > k; j--) store<i32>(list + ((<usize>j) << 2), indexAt(list, j - 1))
      store<i32>(list + ((<usize>j) << 2), i)
    }
  } else {
    for (let i = 0; i < n; i++) store<i32>(list + ((<usize>i) << 2), i)
    // By bytes of the key, least first; a byte that all elements share moves nothing.
    for (let shift: u64 = 0; shift < 8 * sizeof<T>(); shift += 8) {
      memory.fill(counters, 0, 1024)
      for (let i = 0; i < n; i++) {
        const counter = counters + ((<usize>(key<T>(row, i, flip) >> shift) & 255) << 2)
        store<i32>(counter, load<i32>(counter) + 1)
      }
      if (load<i32>(counters + ((<usize>(key<T>(row, 0, flip) >> shift) & 255) << 2)) === n) continue
      let before = 0
      for (let bucket: usize = 0; bucket < 1024; bucket += 4) {
        const count = load<i32>(counters + bucket)
        store<i32>(counters + bucket, before)
        before += count
      }
      for (let i = 0; i < n; i++) {
        const index = indexAt(list, i)
        const counter = counters + ((<usize>(key<T>(row, index, flip) >> shift) & 255) << 2)
        const to = load<i32>(counter)
        store<i32>(counter, to + 1)
        store<i32>(other + ((<usize>to) << 2), index)
      }
      const swap = list
      list = other
      other = swap
    }
    if (list !== out) memory.copy(out, list, (<usize>n) << 2)
  }
  // Widened in place, from the end, where the room is already free.
  for (let i = n - 1; i >= 0; i--) store<i64>(out + ((<usize>i) << 3), <i64>indexAt(out, i))
}

// @ts-ignore: decorator
@inline
function argsort<T>(x: usize, out: usize, n: i32, descending: i32, scratch: usize, begin: i32, end: i32): void {
  for (let row = begin; row < end; row++) {
    const at = <usize>row * n
    argsortRow<T>(x + at * sizeof<T>(), out + (at << 3), n, descending ? -1 : 0, scratch)
  }
}
export function argsort_f32(x: usize, out: usize, n: i32, descending: i32, scratch: usize, begin: i32, end: i32): void {
  argsort<f32>(x, out, n, descending, scratch, begin, end)
}
export function argsort_i64(x: usize, out: usize, n: i32, descending: i32, scratch: usize, begin: i32, end: i32): void {
  argsort<i64>(x, out, n, descending, scratch, begin, end)
}

/** The first k of a sorted row, by insertion into a short list: for k far below n. */
// @ts-ignore: decorator
@inline
function topk<T>(x: usize, out: usize, n: i32, k: i32, largest: i32, begin: i32, end: i32): void {
  const flip: u64 = largest ? -1 : 0
  for (let r = begin; r < end; r++) {
    const row = x + <usize>r * n * sizeof<T>()
    const best = out + ((<usize>r * k) << 3)
    let held = 0
    let worst: u64 = 0
    for (let i = 0; i < n; i++) {
      const candidate = key<T>(row, i, flip)
      if (held === k && candidate >= worst) continue
      let j = held < k ? held++ : k - 1
      for (; j > 0; j--) {
        const above = load<i64>(best + ((<usize>j - 1) << 3))
        if (key<T>(row, <i32>above, flip) <= candidate) break
        store<i64>(best + ((<usize>j) << 3), above)
      }
      store<i64>(best + ((<usize>j) << 3), i)
      worst = key<T>(row, <i32>load<i64>(best + ((<usize>held - 1) << 3)), flip)
    }
  }
}
export function topk_f32(
  x: usize, out: usize, n: i32, k: i32, largest: i32, scratch: usize, begin: i32, end: i32,
): void {
  topk<f32>(x, out, n, k, largest, begin, end)
}
export function topk_i64(
  x: usize, out: usize, n: i32, k: i32, largest: i32, scratch: usize, begin: i32, end: i32,
): void {
  topk<i64>(x, out, n, k, largest, begin, end)
}
