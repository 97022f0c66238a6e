// Philox-4x32-10 (Salmon et al. 2011): words from a key and a counter. No kernels here; nothing relaxed, so that both builds agree.

/** The 16 words of one block, stored at `to`: counters (low, high, 0 … 3, 0) in four lanes. */
export function philox(to: usize, seedLow: u32, seedHigh: u32, low: u32, high: u32): void {
  const m0 = i32x4.splat(0xd2511f53)
  const m1 = i32x4.splat(0xcd9e8d57)
  let c0 = i32x4.splat(low)
  let c1 = i32x4.splat(high)
  let c2 = i32x4(0, 1, 2, 3)
  let c3 = i32x4.splat(0)
  let k0 = i32x4.splat(seedLow)
  let k1 = i32x4.splat(seedHigh)
  for (let round = 0; round < 10; round++) {
    const a = i64x2.extmul_low_i32x4_u(c0, m0)
    const b = i64x2.extmul_high_i32x4_u(c0, m0)
    const c = i64x2.extmul_low_i32x4_u(c2, m1)
    const d = i64x2.extmul_high_i32x4_u(c2, m1)
    c0 = v128.xor(v128.xor(v128.shuffle<i32>(c, d, 1, 3, 5, 7), c1), k0)
    c1 = v128.shuffle<i32>(c, d, 0, 2, 4, 6)
    c2 = v128.xor(v128.xor(v128.shuffle<i32>(a, b, 1, 3, 5, 7), c3), k1)
    c3 = v128.shuffle<i32>(a, b, 0, 2, 4, 6)
    k0 = i32x4.add(k0, i32x4.splat(0x9e3779b9))
    k1 = i32x4.add(k1, i32x4.splat(0xbb67ae85))
  }
  v128.store(to, c0)
  v128.store(to, c1, 16)
  v128.store(to, c2, 32)
  v128.store(to, c3, 48)
}
