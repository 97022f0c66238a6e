// Reading and writing by index: index_select, gather, scatter, index_add, nonzero. All take prepared indices: int32 in
// [0, size), which `index_prepare` makes of the user's and checks, so that nothing here can reach outside a tensor.

/**
 * int32 copies of indices that may range over `size` elements; negative ones count from the end where `wrap` is 1.
 * The lowest position of an index out of range goes to the i32 at `bad` (which starts as -1, compared unsigned).
 */
// @ts-ignore: decorator
@inline
function prepare<T>(index: usize, out: usize, bad: usize, size: i32, wrap: i32, begin: i32, end: i32): void {
  for (let i = begin; i < end; i++) {
    let at = <i64>load<T>(index + <usize>i * sizeof<T>())
    if (wrap && at < 0) at += size
    if (<u64>at >= <u64>size) {
      // Chunks meet here, so the lowest position has to win whatever their order.
      let seen = atomic.load<u32>(bad)
      while (<u32>i < seen) {
        const before = atomic.cmpxchg<u32>(bad, seen, i)
        if (before === seen) break
        seen = before
      }
      at = 0
    }
    store<i32>(out + ((<usize>i) << 2), <i32>at)
  }
}
export function index_prepare_i64(
  index: usize, out: usize, bad: usize, size: i32, wrap: i32, scratch: usize, begin: i32, end: i32,
): void {
  prepare<i64>(index, out, bad, size, wrap, begin, end)
}
export function index_prepare_i32(
  index: usize, out: usize, bad: usize, size: i32, wrap: i32, scratch: usize, begin: i32, end: i32,
): void {
  prepare<i32>(index, out, bad, size, wrap, begin, end)
}

/** Adds stride × index to a running flat index: several indices become one. */
export function index_combine_i32(index: usize, out: usize, stride: i32, scratch: usize, begin: i32, end: i32): void {
  for (let i = begin; i < end; i++) {
    const at = (<usize>i) << 2
    store<i32>(out + at, load<i32>(out + at) + load<i32>(index + at) * stride)
  }
}

// ---- index_select: out (outer, m, row) from x (outer, n, row) along the middle; parallel over the outer × m rows

// @ts-ignore: decorator
@inline
function select<T>(x: usize, index: usize, out: usize, n: i32, m: i32, begin: i32, end: i32): void {
  let base = x + <usize>(begin / m) * n * sizeof<T>()
  for (let row = begin, j = begin % m; row < end; row++, j++) {
    if (j === m) {
      j = 0
      base += <usize>n * sizeof<T>()
    }
    const at = <usize>load<i32>(index + ((<usize>j) << 2))
    store<T>(out + <usize>row * sizeof<T>(), load<T>(base + at * sizeof<T>()))
  }
}

/** Any dtype: a row is `bytes` long. */
export function index_select_bytes(
  x: usize, index: usize, out: usize, n: i32, m: i32, bytes: i32, scratch: usize, begin: i32, end: i32,
): void {
  if (bytes === 1) return select<u8>(x, index, out, n, m, begin, end)
  if (bytes === 2) return select<u16>(x, index, out, n, m, begin, end)
  if (bytes === 4) return select<u32>(x, index, out, n, m, begin, end)
  if (bytes === 8) return select<u64>(x, index, out, n, m, begin, end)
  for (let row = begin; row < end; row++) {
    const at = <usize>(row / m) * n + load<i32>(index + ((<usize>(row % m)) << 2))
    memory.copy(out + <usize>row * bytes, x + at * bytes, bytes)
  }
}

/** Columns of a row that one unit of index_add's parallel axis covers: a cache line of f32. */
const GROUP: i32 = 16

/**
 * The reverse of index_select: out (outer, n, inner) += alpha × source (outer, m, inner) at the indexed rows. Parallel over groups of
 * 16 columns, so that every output sums its sources in their order.
 */
// @ts-ignore: decorator
@inline
function indexAdd<T>(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, alpha: T, begin: i32, end: i32,
): void {
  const groups = (inner + GROUP - 1) / GROUP
  for (let group = begin; group < end; ) {
    const o = group / groups
    const first = (group % groups) * GROUP
    const stop = min(end, (o + 1) * groups) // as many groups as lie side by side
    const width = min(inner, (stop - o * groups) * GROUP) - first
    group = stop
    let from = source + (<usize>o * m * inner + first) * sizeof<T>()
    const to = out + (<usize>o * n * inner + first) * sizeof<T>()
    for (let j = 0; j < m; j++, from += <usize>inner * sizeof<T>()) {
      const row = to + <usize>load<i32>(index + ((<usize>j) << 2)) * inner * sizeof<T>()
      let k: usize = 0
      const whole = <usize>(width & ~(16 / <i32>sizeof<T>() - 1)) * sizeof<T>()
      for (; k < whole; k += 16)
        v128.store(row + k, v128.add<T>(v128.load(row + k), v128.mul<T>(v128.load(from + k), v128.splat<T>(alpha))))
      for (; k < <usize>width * sizeof<T>(); k += sizeof<T>()) store<T>(row + k, load<T>(row + k) + load<T>(from + k) * alpha)
    }
  }
}
export function index_add_f32(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, alpha: f32, scratch: usize, begin: i32,
  end: i32,
): void {
  indexAdd<f32>(source, index, out, n, m, inner, alpha, begin, end)
}
export function index_add_i64(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, alpha: f64, scratch: usize, begin: i32,
  end: i32,
): void {
  indexAdd<i64>(source, index, out, n, m, inner, <i64>alpha, begin, end)
}

// ---- gather and scatter: x or out (outer, n, inner), index (outer, m, inner), each element with an index of its own

// @ts-ignore: decorator
@inline
function gather<T>(x: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, begin: i32, end: i32): void {
  const plane = m * inner
  let base = x + <usize>(begin / plane) * n * inner * sizeof<T>()
  let column = begin % inner
  let left = plane - (begin % plane) // elements until the next outer
  for (let i = begin; i < end; i++) {
    const at = <usize>load<i32>(index + ((<usize>i) << 2)) * inner + column
    store<T>(out + <usize>i * sizeof<T>(), load<T>(base + at * sizeof<T>()))
    if (++column === inner) column = 0
    if (--left === 0) {
      left = plane
      base += <usize>n * inner * sizeof<T>()
    }
  }
}
export function gather_b1(
  x: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  gather<u8>(x, index, out, n, m, inner, begin, end)
}
export function gather_b2(
  x: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  gather<u16>(x, index, out, n, m, inner, begin, end)
}
export function gather_b4(
  x: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  gather<u32>(x, index, out, n, m, inner, begin, end)
}
export function gather_b8(
  x: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  gather<u64>(x, index, out, n, m, inner, begin, end)
}

/** Parallel over the outer × inner columns; within one, sources in order, so that the last of several to the same place stays. */
// @ts-ignore: decorator
@inline
function scatter<T>(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, add: bool, begin: i32, end: i32,
): void {
  for (let column = begin; column < end; ) {
    const o = column / inner
    const first = column - o * inner
    const width = min(end - column, inner - first)
    column += width
    for (let j = 0; j < m; j++) {
      const row = (<usize>o * m + j) * inner + first
      for (let i = 0; i < width; i++) {
        const value = load<T>(source + (row + i) * sizeof<T>())
        const at = (<usize>o * n + load<i32>(index + ((row + i) << 2))) * inner + first + i
        const to = out + at * sizeof<T>()
        store<T>(to, add ? load<T>(to) + value : value)
      }
    }
  }
}
export function scatter_b1(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  scatter<u8>(source, index, out, n, m, inner, false, begin, end)
}
export function scatter_b2(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  scatter<u16>(source, index, out, n, m, inner, false, begin, end)
}
export function scatter_b4(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  scatter<u32>(source, index, out, n, m, inner, false, begin, end)
}
export function scatter_b8(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  scatter<u64>(source, index, out, n, m, inner, false, begin, end)
}
export function scatter_add_f32(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  scatter<f32>(source, index, out, n, m, inner, true, begin, end)
}
export function scatter_add_i64(
  source: usize, index: usize, out: usize, n: i32, m: i32, inner: i32, scratch: usize, begin: i32, end: i32,
): void {
  scatter<i64>(source, index, out, n, m, inner, true, begin, end)
}

// ---- nonzero, in two passes over blocks of 4096 truth values: count, then (offsets summed outside) write

const BLOCK: i32 = 4096

export function nonzero_count_bool(mask: usize, counts: usize, n: i32, scratch: usize, begin: i32, end: i32): void {
  for (let block = begin; block < end; block++) {
    let count = 0
    const stop = min(n, (block + 1) * BLOCK)
    for (let i = block * BLOCK; i < stop; i++) count += i32(load<u8>(mask + i) !== 0)
    store<i32>(counts + ((<usize>block) << 2), count)
  }
}

/** Flat positions, as int32; block b's go to out[offsets[b]] and on. */
export function nonzero_write_bool(
  mask: usize, offsets: usize, out: usize, n: i32, scratch: usize, begin: i32, end: i32,
): void {
  for (let block = begin; block < end; block++) {
    let to = out + ((<usize>load<u32>(offsets + ((<usize>block) << 2))) << 2)
    const stop = min(n, (block + 1) * BLOCK)
    for (let i = block * BLOCK; i < stop; i++) {
      if (load<u8>(mask + i) === 0) continue
      store<i32>(to, i)
      to += 4
    }
  }
}

/** One coordinate of flat positions: (position / stride) mod size, to every `rank`-th element of out. */
export function unravel_i64(
  positions: usize, out: usize, stride: i32, size: i32, rank: i32, scratch: usize, begin: i32, end: i32,
): void {
  for (let i = begin; i < end; i++) {
    const at = load<i32>(positions + ((<usize>i) << 2))
    store<i64>(out + ((<usize>i * rank) << 3), <i64>((at / stride) % size))
  }
}
