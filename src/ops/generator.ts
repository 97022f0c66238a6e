// Where random numbers come from: a seed and a counter, which kernels turn into numbers (Philox, assembly/random.ts). The stream is
// the same on every runtime, for any number of threads; it is not PyTorch's.
import { checkOptions, RushlightError } from '../util/errors.ts'
import { i32View, launch, withTemp } from '../wasm/index.ts'

/** Blocks of 16 numbers that a thread makes in some tens of microseconds. */
export const RANDOM_GRAIN = 1024

/** A stream of random numbers (torch.Generator). */
export class Generator {
  private key: number
  private counter = 0

  /** @param seed a whole number from 0 to 2^53 - 1; left out, one that nobody chose */
  constructor(seed: number = freshSeed()) {
    this.key = checkedSeed(seed)
  }

  /** Starts again from a seed. */
  manual_seed(seed: number): this {
    this.key = checkedSeed(seed)
    this.counter = 0
    return this
  }

  /** The seed it started from. */
  initial_seed(): number {
    return this.key
  }

  /** What `set_state` needs to go on from here, as plain numbers. */
  get_state(): { seed: number; offset: number } {
    return { seed: this.key, offset: this.counter }
  }

  set_state(state: { seed: number; offset: number }): this {
    checkOptions('set_state', state, ['seed', 'offset'])
    this.key = checkedSeed(state.seed)
    this.counter = checkedSeed(state.offset)
    return this
  }

  /** @internal Arguments of a kernel that makes that many blocks of numbers, which nothing else will get. */
  take(blocks: number): [seedLow: number, seedHigh: number, offset: number] {
    const at = this.counter
    this.counter += blocks
    return [this.key % 2 ** 32, Math.floor(this.key / 2 ** 32), at]
  }
}

function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 53)
}

function checkedSeed(seed: number): number {
  if (Number.isSafeInteger(seed) && seed >= 0) return seed
  throw new RushlightError(`manual_seed: expected a whole number from 0 to 2^53 - 1, found ${seed}`)
}

/** The stream that everything takes from which is given no other. */
export const default_generator = new Generator()

/** Seeds the stream that everything takes from which is given no other. */
export function manual_seed(seed: number): Generator {
  return default_generator.manual_seed(seed)
}

/** The seed of the default stream. */
export function initial_seed(): number {
  return default_generator.initial_seed()
}

/** A generator, or a seed whose stream serves one call alone; none means the default one. */
export type Randomness = Generator | number | null

/** @internal */
export function generatorOf(randomness: Randomness | undefined): Generator {
  if (randomness === null || randomness === undefined) return default_generator
  return typeof randomness === 'number' ? new Generator(randomness) : randomness
}

/** Numbers in [0, 1) of 53 bits, for choices made in TypeScript. */
export function uniforms(n: number, generator: Generator): Float64Array {
  return withTemp(8 * n, (words) => {
    const blocks = Math.ceil((2 * n) / 16)
    launch('random_u32', [words, 2 * n, ...generator.take(blocks)], blocks, RANDOM_GRAIN)
    const view = i32View(words, 2 * n)
    return Float64Array.from(
      { length: n },
      (_, i) => ((view[2 * i] >>> 5) * 2 ** 26 + (view[2 * i + 1] >>> 6)) / 2 ** 53,
    )
  })
}
