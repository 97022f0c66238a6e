// SHA-256 of what comes in pieces: node:crypto where there is one, else our own (Web Crypto takes a whole message only).
import { builtin } from '../util/platform.ts'

export interface Hash {
  update(bytes: Uint8Array): void
  /** Lower-case hexadecimal. */
  hex(): string
}

export function sha256(): Hash {
  const hash = builtin('node:crypto')?.createHash('sha256')
  if (!hash) return new Sha256()
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') }
}

/** The first 32 bits of the fractional part of a root of each of the first primes (FIPS 180-4). */
function fractions(count: number, root: (n: number) => number): Int32Array {
  const words: number[] = []
  for (let n = 2; words.length < count; n++) {
    let prime = true
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false
    if (prime) words.push((root(n) % 1) * 2 ** 32)
  }
  return Int32Array.from(words)
}

const ROUNDS = fractions(64, Math.cbrt)
const INITIAL = fractions(8, Math.sqrt)

/** FIPS 180-4, in JavaScript. */
export class Sha256 implements Hash {
  private readonly state = INITIAL.slice()
  private readonly words = new Int32Array(64)
  private readonly block = new Uint8Array(64)
  private readonly view = new DataView(this.block.buffer)
  private filled = 0
  private length = 0

  update(bytes: Uint8Array): void {
    this.length += bytes.length
    for (let at = 0; at < bytes.length; ) {
      const n = Math.min(64 - this.filled, bytes.length - at)
      this.block.set(bytes.subarray(at, at + n), this.filled)
      this.filled += n
      at += n
      if (this.filled === 64) this.compress()
    }
  }

  hex(): string {
    const bits = this.length * 8
    this.update(Uint8Array.of(0x80))
    while (this.filled !== 56) this.update(Uint8Array.of(0))
    this.view.setUint32(56, Math.floor(bits / 2 ** 32))
    this.view.setUint32(60, bits)
    this.compress()
    return Array.from(this.state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
  }

  private compress(): void {
    const { words: w, state } = this
    for (let i = 0; i < 16; i++) w[i] = this.view.getInt32(i * 4)
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]
      const y = w[i - 2]
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
      w[i] = w[i - 16] + s0 + w[i - 7] + s1
    }
    let [a, b, c, d, e, f, g, h] = state
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + t1) | 0
      d = c
      c = b
      b = a
      a = (t1 + t2) | 0
    }
    for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) state[i] += value
    this.filled = 0
  }
}
