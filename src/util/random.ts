// A small seeded generator for choices made in TypeScript: the same stream on every runtime (sfc32, by Chris Doty-Humphrey).

/** Uniform numbers from a seed. */
export class SampleStream {
  private a: number
  private b: number
  private c = 0x9e3779b9
  private counter = 1

  /** @param seed a whole number below 2^53 */
  constructor(seed: number) {
    this.a = seed | 0
    this.b = Math.floor(seed / 2 ** 32) | 0
    for (let i = 0; i < 12; i++) this.bits()
  }

  private bits(): number {
    const out = (this.a + this.b + this.counter++) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (((this.c << 21) | (this.c >>> 11)) + out) | 0
    return out >>> 0
  }

  /** Uniform in [0, 1), with 53 bits. */
  next(): number {
    return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53
  }

  /** An index, as probable as its share. */
  pick(probabilities: Float64Array): number {
    let rest = this.next()
    let last = 0
    for (let i = 0; i < probabilities.length; i++) {
      if (probabilities[i] === 0) continue
      last = i
      rest -= probabilities[i]
      if (rest < 0) return i
    }
    return last // rounding: the probabilities summed to a little less than 1
  }
}
