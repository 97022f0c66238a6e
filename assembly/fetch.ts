// Memory read ahead of its use.

/**
 * Brings rows into the cache in the order in which they lie: kernels that read several rows side by side wait twice as long for
 * memory. `sink` takes four bytes, so that the reading is not left out.
 */
export function fetch(from: usize, rows: i32, stride: usize, bytes: usize, sink: usize): void {
  let seen: i32 = 0
  for (let r = 0; r < rows; r++, from += stride)
    for (let at = from, end = from + bytes; at < end; at += 64) seen ^= load<i32>(at)
  store<i32>(sink, seen)
}
