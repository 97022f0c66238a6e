// Philox-4x32-10 as it is defined, one counter at a time: what the kernels of assembly/random.ts are compared with.

/** The first n words of the stream of a seed. */
export function wordsOf(seed: number, n: number): Uint32Array {
  const out = new Uint32Array(16 * Math.ceil(n / 16))
  for (let counter = 0; counter < out.length / 4; counter++) {
    // Four counters side by side make a block of sixteen.
    const words = philox([Math.floor(counter / 4), 0, counter % 4, 0], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)])
    words.forEach((word, i) => {
      out[Math.floor(counter / 4) * 16 + i * 4 + (counter % 4)] = word
    })
  }
  return out.subarray(0, n)
}

function philox(counter: number[], key: number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt)
  let [k0, k1] = key.map(BigInt)
  const mask = 0xffffffffn
  for (let round = 0; round < 10; round++) {
    const p = c0 * 0xd2511f53n
    const q = c2 * 0xcd9e8d57n
    ;[c0, c1, c2, c3] = [(q >> 32n) ^ c1 ^ k0, q & mask, (p >> 32n) ^ c3 ^ k1, p & mask]
    k0 = (k0 + 0x9e3779b9n) & mask
    k1 = (k1 + 0xbb67ae85n) & mask
  }
  return [c0, c1, c2, c3].map(Number)
}
