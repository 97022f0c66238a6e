// Constants of the elementary functions. They lie in memory, below the heap: engines build a vector constant anew wherever it is
// used, in a loop too, at three instructions a time, where a broadcasting load is one. That makes exp and erf twice as fast.

export const enum K {
  one,
  half,
  two,
  infinity,
  round,
  log2e,
  minusLn2High,
  minusLn2Low,
  exp2,
  exp3,
  exp4,
  exp5,
  exp6,
  expLeast,
  expMost,
  flushedLeast,
  ln2High,
  ln2Low,
  rootHalfBits,
  leastNormal,
  log1,
  log2,
  log3,
  tanhMost,
  tanhLeast,
  tanhP1,
  tanhP2,
  tanhP3,
  tanhP4,
  tanhQ1,
  tanhQ2,
  tanhQ3,
  tanhQ4,
  erfMost,
  erfLeast,
  erfP0,
  erfP1,
  erfP2,
  erfP3,
  erfP4,
  erfP5,
  erfQ1,
  erfQ2,
  erfQ3,
  erfQ4,
  erfQ5,
  minusOne,
  minusHalf,
  rootHalf,
  rootTwoByPi,
  geluCubic,
  geluSlope,
  bell,
}

/** Address of the first; the heap begins at 1024. */
const BASE: usize = 64

/** Four copies of a constant. */
// @ts-ignore: decorator
@inline
export function k(constant: K): v128 {
  return v128.load32_splat(BASE + (<usize>constant << 2))
}

// @ts-ignore: decorator
@inline
function put(constant: K, value: f32): void {
  store<f32>(BASE + (<usize>constant << 2), value)
}

/** Magic number whose addition rounds to an integer, which is then found in the low bits. */
export const ROUND: f32 = 12582912 // 1.5 × 2^23
export const ROUND_BITS: i32 = 0x4b400000

/** Called once for a memory, before any kernel. */
export function write_constants(scratch: usize, begin: i32, end: i32): void {
  put(K.one, 1)
  put(K.half, 0.5)
  put(K.two, 2)
  put(K.minusOne, -1)
  put(K.infinity, Infinity)
  put(K.round, ROUND)
  put(K.log2e, 1.44269504)
  // ln 2 in two parts, the first of 15 bits: its product with a whole number of 9 is exact
  put(K.ln2High, 0.693145752)
  put(K.ln2Low, 1.42860682e-6)
  put(K.minusLn2High, -0.693145752)
  put(K.minusLn2Low, -1.42860682e-6)
  // e^r - 1 - r = r² (c2 + c3 r + …)
  put(K.exp2, 0.4999999702)
  put(K.exp3, 0.1666654348)
  put(K.exp4, 0.0416672006)
  put(K.exp5, 8.366581052e-3)
  put(K.exp6, 1.388250384e-3)
  put(K.expLeast, -86.9)
  put(K.expMost, 89)
  put(K.flushedLeast, -87.3)
  // ln(1 + f) = f - s (f - s² (c1 + c2 s² + …)) with s = f / (2 + f)
  put(K.rootHalfBits, reinterpret<f32>(0x3f3504f3))
  put(K.leastNormal, 1.17549435e-38)
  put(K.log1, 0.666667759)
  put(K.log2, 0.399775267)
  put(K.log3, 0.298722863)
  // x (1 + p1 x² + …) / (1 + q1 x² + …)
  put(K.tanhMost, 9)
  put(K.tanhLeast, -9)
  put(K.tanhP1, 0.13380985)
  put(K.tanhP2, 3.49553861e-3)
  put(K.tanhP3, 2.0608255e-5)
  put(K.tanhP4, 1.33535147e-8)
  put(K.tanhQ1, 0.467142999)
  put(K.tanhQ2, 0.025876794)
  put(K.tanhQ3, 3.285553e-4)
  put(K.tanhQ4, 7.77608761e-7)
  // x (p0 + p1 x² + …) / (1 + q1 x² + …)
  put(K.erfMost, 3.9)
  put(K.erfLeast, -3.9)
  put(K.erfP0, 1.12837911)
  put(K.erfP1, 0.189658806)
  put(K.erfP2, 0.0526669212)
  put(K.erfP3, 3.7379784e-3)
  put(K.erfP4, 2.85050046e-4)
  put(K.erfP5, 2.06648156e-6)
  put(K.erfQ1, 0.501413524)
  put(K.erfQ2, 0.113815553)
  put(K.erfQ3, 0.0149135385)
  put(K.erfQ4, 1.15728006e-3)
  put(K.erfQ5, 3.82694743e-5)
  // gelu
  put(K.minusHalf, -0.5)
  put(K.rootHalf, 0.707106781) // √½
  put(K.rootTwoByPi, 0.797884561) // √(2/π)
  put(K.geluCubic, 0.044715)
  put(K.geluSlope, 0.107032225) // 3 × 0.044715 √(2/π)
  put(K.bell, 0.39894228) // 1 / √(2π)
}
