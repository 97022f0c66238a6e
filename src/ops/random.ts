// Random tensors, dropout and draws. Every function takes a `generator`: a Generator, or a seed for that call alone; else the
// default stream serves, which manual_seed() seeds.
import { is_grad_enabled } from '../tensor/autograd.ts'
import { dtypeOf, isFloating } from '../tensor/dtype.ts'
import { numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkOptions, DTypeError, RushlightError, ShapeError, unsupported } from '../util/errors.ts'
import { f32View, i32View, launch, withTemp } from '../wasm/index.ts'
import { asContiguous, copyInto } from './copying.ts'
import { empty, type TensorOptions } from './creation.ts'
import { default_generator, type Generator, generatorOf, type Randomness } from './generator.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

export { default_generator, Generator, initial_seed, manual_seed } from './generator.ts'

/** Blocks of 16 numbers that a thread makes in some tens of microseconds. */
const GRAIN = 1024

/** Options of the functions that make random tensors. */
export interface RandomOptions extends TensorOptions {
  generator?: Randomness
}

/** A tensor of that shape, filled in place, by what is left of the options. */
function made(
  op: string,
  shape: Shape,
  options: RandomOptions,
  fill: (t: Tensor, generator: Generator) => void,
  fallback = 'float32',
): Tensor {
  checkOptions(op, options, ['dtype', 'requires_grad', 'device', 'generator'])
  const { generator, requires_grad = false, ...rest } = options
  const out = empty(shape, { dtype: fallback, ...rest })
  fill(out, generatorOf(generator))
  return requires_grad ? out.requires_grad_() : out
}

/** Fills a floating tensor of any layout with what `fill` makes as contiguous float32. */
function fillFloating(op: string, t: Tensor, fill: (contiguous: Tensor) => void): void {
  if (!isFloating(t.dtype)) throw new DTypeError(`${op}: expected a floating dtype, found ${t.dtype}`)
  if (t.dtype === 'float32' && t.is_contiguous()) return fill(t)
  const made = Tensor.empty(t.shape, 'float32', op)
  fill(made)
  const cast = made.to(t.dtype)
  copyInto(t, cast)
  if (cast !== made) cast.dispose()
  made.dispose()
}

function fillUniform(op: string, t: Tensor, low: number, high: number, generator: Generator): void {
  if (!(low <= high)) throw new RushlightError(`${op}: from ${low} to ${high} is no range`)
  fillFloating(op, t, (out) => {
    const blocks = Math.ceil(out.numel() / 16)
    launch('uniform_f32', [out.ptr, out.numel(), low, high, ...generator.take(blocks)], blocks, GRAIN)
  })
}

function fillNormal(op: string, t: Tensor, mean: number, std: number, generator: Generator): void {
  if (!(std >= 0)) throw new RushlightError(`${op}: std must not be negative, found ${std}`)
  fillFloating(op, t, (out) => {
    const blocks = Math.ceil(out.numel() / 16)
    launch('normal_f32', [out.ptr, out.numel(), mean, std, ...generator.take(blocks)], blocks, GRAIN)
  })
}

/** Uniform in [0, 1). */
export function rand(size: Shape, options: RandomOptions = {}): Tensor {
  return made('rand', size, options, (t, generator) => fillUniform('rand', t, 0, 1, generator))
}

/** Normal with mean 0 and standard deviation 1. */
export function randn(size: Shape, options: RandomOptions = {}): Tensor {
  return made('randn', size, options, (t, generator) => fillNormal('randn', t, 0, 1, generator))
}

/** Normal with that mean and standard deviation. */
export function normal(mean: number, std: number, size: Shape, options: RandomOptions = {}): Tensor {
  return made('normal', size, options, (t, generator) => fillNormal('normal', t, mean, std, generator))
}

/** Whole numbers in [low, high), int64 unless it says otherwise: `randint(high, size)` or `randint(low, high, size)`. */
export function randint(high: number, size: Shape, options?: RandomOptions): Tensor
export function randint(low: number, high: number, size: Shape, options?: RandomOptions): Tensor
export function randint(...args: (number | Shape | RandomOptions | undefined)[]): Tensor {
  const [low, high, size, options = {}] = (typeof args[1] === 'number' ? args : [0, ...args]) as [
    number,
    number,
    Shape,
    RandomOptions?,
  ]
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || low >= high || !Number.isSafeInteger(high - low))
    throw new RushlightError(`randint: expected whole numbers with low below high, found ${low} and ${high}`)
  return made(
    'randint',
    size,
    options,
    (t, generator) => {
      const out = t.dtype === 'int64' ? t : Tensor.empty(t.shape, 'int64', 'randint')
      const blocks = Math.ceil(out.numel() / 8)
      launch('randint_i64', [out.ptr, out.numel(), low, high - low, ...generator.take(blocks)], blocks, GRAIN)
      if (out === t) return
      const cast = out.to(t.dtype)
      copyInto(t, cast)
      cast.dispose()
      out.dispose()
    },
    'int64',
  )
}

/** Uniform in [0, 1), of the input's shape and dtype. */
export function rand_like(input: Tensor, options: RandomOptions = {}): Tensor {
  return rand(input.shape, { dtype: input.dtype, ...options })
}

/** Normal with mean 0 and standard deviation 1, of the input's shape and dtype. */
export function randn_like(input: Tensor, options: RandomOptions = {}): Tensor {
  return randn(input.shape, { dtype: input.dtype, ...options })
}

/** The numbers 0 to n - 1 in random order, int64. */
export function randperm(n: number, options: RandomOptions = {}): Tensor {
  if (!Number.isSafeInteger(n) || n < 0)
    throw new RushlightError(`randperm: expected a whole number from 0 up, found ${n}`)
  return made(
    'randperm',
    [n],
    options,
    (t, generator) => {
      const order = Float64Array.from({ length: n }, (_, i) => i)
      const picks = uniforms(n, generator)
      for (let i = n - 1; i > 0; i--) {
        const j = Math.floor(picks[i] * (i + 1))
        const swap = order[i]
        order[i] = order[j]
        order[j] = swap
      }
      const shuffled = Tensor.from(order, [n], dtypeOf(t.dtype))
      copyInto(t, shuffled)
      shuffled.dispose()
    },
    'int64',
  )
}

/** Numbers in [0, 1) of 53 bits, for choices made in TypeScript. */
function uniforms(n: number, generator: Generator): Float64Array {
  return withTemp(8 * n, (words) => {
    const blocks = Math.ceil((2 * n) / 16)
    launch('random_u32', [words, 2 * n, ...generator.take(blocks)], blocks, GRAIN)
    const view = i32View(words, 2 * n)
    return Float64Array.from(
      { length: n },
      (_, i) => ((view[2 * i] >>> 5) * 2 ** 26 + (view[2 * i + 1] >>> 6)) / 2 ** 53,
    )
  })
}

/** A seed for another stream, taken from the default one: manual_seed() settles it. */
export function randomSeed(): number {
  return Math.floor(uniforms(1, default_generator)[0] * 2 ** 53)
}

/** Refuses what must not change in place, and tells the tape that it did. */
function changing(op: string, t: Tensor): void {
  if (is_grad_enabled() && t.requires_grad)
    throw new RushlightError(
      `${op}: a tensor that requires gradients cannot be changed in place. Hint: inside no_grad(() => …)`,
    )
  t.storage.version++
}

/** Fills with uniform numbers in [from, to). */
export const uniform_ = compose({
  name: 'uniform_',
  params: ['input', 'from', 'to', 'generator'],
  differentiable: false,
  forward(input: Tensor, from: number = 0, to: number = 1, generator: Randomness = null): Tensor {
    changing('uniform_', input)
    fillUniform('uniform_', input, from, to, generatorOf(generator))
    return input
  },
  ref(input: Nd, from: number, to: number, seed: number) {
    const words = wordsOf(seed, input.data.length)
    return input.map((_, i) => Math.fround(from + (words[i] >>> 8) * 2 ** -24 * (to - from)))
  },
  samples: (s) => [
    [s.randn(1), 0, 1, 1],
    [s.randn(37), -2, 3, 2 ** 40 + 7],
    [s.randn(5, 61), 0, 8, 3],
    [s.randn(0), 0, 1, 4],
    [s.randn(3, 3).map(() => 0, 'bfloat16'), 0, 1, 5],
  ],
  errors: (s) => [
    [[s.randn(2), 1, 0], /uniform_: from 1 to 0 is no range/],
    [[s.randint(0, 2, [2]), 0, 1], /uniform_: expected a floating dtype, found int64/],
    [[s.randn(2), 0, 1, -1], /manual_seed: expected a whole number/],
  ],
})

/** Fills with normal numbers. */
export const normal_ = compose({
  name: 'normal_',
  params: ['input', 'mean', 'std', 'generator'],
  differentiable: false,
  forward(input: Tensor, mean: number = 0, std: number = 1, generator: Randomness = null): Tensor {
    changing('normal_', input)
    fillNormal('normal_', input, mean, std, generatorOf(generator))
    return input
  },
  ref(input: Nd, mean: number, std: number, seed: number) {
    // Words come in fours of four: radii, angles, radii, angles.
    const words = wordsOf(seed, 16 * Math.ceil(input.data.length / 16))
    return input.map((_, i) => {
      const first = Math.floor(i / 8) * 8 + (i % 4)
      const radius = std * Math.sqrt(-2 * Math.log((words[first] + 0.5) / 2 ** 32))
      const angle = (Math.PI / 2) * ((words[first + 4] >>> 30) + (words[first + 4] << 2) / 2 ** 32)
      return mean + radius * (i % 8 < 4 ? Math.cos(angle) : Math.sin(angle))
    })
  },
  samples: (s) => [
    [s.randn(1), 0, 1, 1],
    [s.randn(53), 2, 0.5, 2],
    [s.randn(9, 33), -1, 3, 2 ** 52 + 1],
    [s.randn(0), 0, 1, 4],
  ],
  errors: (s) => [[[s.randn(2), 0, -1], /normal_: std must not be negative, found -1/]],
})

/**
 * Zeroes elements with probability p and scales the rest by 1 / (1 - p); the input itself where `training` is false. The mask is
 * never stored: backward makes it again from the counter.
 */
export const dropout = defineOp({
  name: 'dropout',
  params: ['input', 'p', 'training', 'inplace', 'generator'],
  forward(
    record,
    input: Tensor,
    p: number = 0.5,
    training: boolean = true,
    inplace: boolean = false,
    generator: Randomness = null,
  ): Tensor {
    if (!(p >= 0 && p <= 1)) throw new RushlightError(`dropout: p must be from 0 to 1, found ${p}`)
    if (inplace) throw unsupported('dropout', 'inplace', inplace, [false])
    if (!training || p === 0) return record(input.alias(), [], ([g]) => [g])
    const blocks = Math.ceil(input.numel() / 16)
    const taken = generatorOf(generator).take(blocks)
    const apply = (x: Tensor) => {
      const given = asContiguous(x.to('float32'))
      const out = Tensor.empty(given.shape, 'float32', 'dropout')
      // With p = 1 nothing stays: a scale of 0 does what no threshold of 32 bits can.
      const scale = p === 1 ? 0 : 1 / (1 - p)
      const threshold = Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1)
      launch('dropout_f32', [given.ptr, out.ptr, out.numel(), threshold, scale, ...taken], blocks, GRAIN)
      return out.to(x.dtype)
    }
    return record(apply(input), [], ([g]) => [apply(g)])
  },
  ref(input: Nd, p: number, training: boolean, _inplace: boolean, seed: number) {
    if (!training || p === 0) return input
    const words = wordsOf(seed, input.data.length)
    return input.map((x, i) => (p < 1 && words[i] >= Math.round(p * 2 ** 32) ? x / (1 - p) : 0))
  },
  samples: (s) => [
    [s.randn(5), 0.5, true, false, 1],
    [s.randn(7, 45), 0.1, true, false, 2],
    [s.randn(3, 64), 0.9, true, false, 3],
    [s.randn(40), 0, true, false, 4],
    [s.randn(40), 1, true, false, 4],
    [s.randn(40), 0.5, false, false, 4],
    [s.randn(0, 3), 0.5, true, false, 5],
  ],
  errors: (s) => [
    [[s.randn(2), 1.5], /dropout: p must be from 0 to 1, found 1.5/],
    [[s.randn(2), 0.5, true, true], /dropout: inplace: true is not supported/],
  ],
})

/** 1 with the probability that each element gives, else 0. */
export const bernoulli = defineOp({
  name: 'bernoulli',
  params: ['input', 'generator'],
  differentiable: false,
  forward(_, input: Tensor, generator: Randomness = null): Tensor {
    if (!isFloating(input.dtype))
      throw new DTypeError(`bernoulli: expected probabilities of a floating dtype, found ${input.dtype}`)
    const p = asContiguous(input.to('float32'))
    for (const x of p.view1d())
      if (!(x >= 0 && x <= 1)) throw new RushlightError(`bernoulli: ${x} is not a probability`)
    const out = Tensor.empty(p.shape, 'float32', 'bernoulli')
    const blocks = Math.ceil(p.numel() / 16)
    launch('bernoulli_f32', [p.ptr, out.ptr, p.numel(), ...generatorOf(generator).take(blocks)], blocks, GRAIN)
    return out.to(input.dtype)
  },
  ref(input: Nd, seed: number) {
    const words = wordsOf(seed, input.data.length)
    return input.map((p, i) => Number((words[i] >>> 8) * 2 ** -24 < p))
  },
  samples: (s) => [
    [s.uniform(0, 1, 50), 1],
    [s.uniform(0, 1, 3, 7), 2],
    [Nd.of([20], () => 1), 3],
    [Nd.of([20], () => 0), 3],
  ],
  errors: (s) => [
    [[Nd.of([2], () => 1.5)], /bernoulli: 1.5 is not a probability/],
    [[s.randint(0, 1, [2])], /bernoulli: expected probabilities of a floating dtype/],
  ],
})

/** Places drawn from each row of weights, as probable as their share: (num_samples) or (rows, num_samples), int64. */
export const multinomial = defineOp({
  name: 'multinomial',
  params: ['input', 'num_samples', 'replacement', 'generator'],
  differentiable: false,
  forward(_, input: Tensor, num_samples: number, replacement: boolean = false, generator: Randomness = null): Tensor {
    if (input.ndim < 1 || input.ndim > 2)
      throw new ShapeError(`multinomial: expected one or two dimensions, found shape ${show(input.shape)}`)
    const n = input.shape[input.ndim - 1]
    const rows = numelOf(input.shape) / Math.max(n, 1)
    const weights = asContiguous(input.to('float32'))
    const picks = uniforms(rows * num_samples, generatorOf(generator))
    const places = drawn(f32View(weights.ptr, rows * n), n, picks, num_samples, replacement)
    return Tensor.from(places, [...input.shape.slice(0, -1), num_samples], 'int64')
  },
  ref(input: Nd, num_samples: number, replacement: boolean, seed: number) {
    const n = input.shape[input.shape.length - 1]
    const rows = input.data.length / n
    const words = wordsOf(seed, 2 * rows * num_samples)
    const picks = Float64Array.from(
      { length: rows * num_samples },
      (_, i) => ((words[2 * i] >>> 5) * 2 ** 26 + (words[2 * i + 1] >>> 6)) / 2 ** 53,
    )
    const out: number[] = []
    for (let r = 0; r < rows; r++) {
      const row = [...input.data.slice(r * n, (r + 1) * n)]
      for (let k = 0; k < num_samples; k++) {
        let rest = picks[r * num_samples + k] * row.reduce((a, b) => a + b, 0)
        const at = row.findIndex((w) => (rest -= w) < 0)
        out.push(at)
        if (!replacement) row[at] = 0
      }
    }
    return new Nd([...input.shape.slice(0, -1), num_samples], Float64Array.from(out), 'int64')
  },
  samples: (s) => [
    [s.uniform(0, 1, 9), 4, false, 1],
    [s.uniform(0, 1, 3, 9), 20, true, 2],
    [s.uniform(0, 1, 3, 5), 5, false, 3],
    [Nd.of([4], (i) => Number(i === 2)), 3, true, 4],
  ],
  errors: (s) => [
    [[s.uniform(0, 1, 3), 4], /multinomial: 4 samples without replacement, but row 0 has 3 weights above 0/],
    [[Nd.of([2], () => 0), 1, true], /multinomial: 1 samples, but row 0 has 0 weights above 0/],
    [[Nd.of([2], () => -1), 1], /multinomial: weights must be finite and not negative, found -1/],
    [[s.randn(1, 1, 1), 1], /multinomial: expected one or two dimensions/],
  ],
})

function drawn(
  weights: Float32Array,
  n: number,
  picks: Float64Array,
  each: number,
  replacement: boolean,
): Float64Array {
  const out = new Float64Array(picks.length)
  const cumulative = new Float64Array(n)
  const sumUp = (row: Float32Array, from: number) => {
    for (let i = from; i < n; i++) cumulative[i] = (i ? cumulative[i - 1] : 0) + row[i]
  }
  for (let r = 0; r * each < picks.length; r++) {
    const row = weights.slice(r * n, (r + 1) * n)
    for (const w of row)
      if (!(w >= 0 && w < Number.POSITIVE_INFINITY))
        throw new RushlightError(`multinomial: weights must be finite and not negative, found ${w}`)
    const there = row.reduce((count, w) => count + Number(w > 0), 0)
    if (there < (replacement ? 1 : each))
      throw new RushlightError(
        `multinomial: ${each} samples${replacement ? '' : ' without replacement'}, but row ${r} has ${there} weights above 0`,
      )
    sumUp(row, 0)
    for (let k = 0; k < each; k++) {
      const target = picks[r * each + k] * cumulative[n - 1]
      // The first place whose running sum is above the target; never one of weight 0.
      let [low, high] = [0, n - 1]
      while (low < high) {
        const middle = (low + high) >> 1
        if (cumulative[middle] > target) high = middle
        else low = middle + 1
      }
      while (row[low] === 0) low--
      out[r * each + k] = low
      if (replacement) continue
      row[low] = 0
      sumUp(row, low)
    }
  }
  return out
}

/** For references: the words of a stream, one at a time, as Philox-4x32-10 is defined. */
function wordsOf(seed: number, n: number): Uint32Array {
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
