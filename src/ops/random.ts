// Random tensors. Every function takes a `generator`: a Generator, or a seed for that call alone; else the
// default stream serves, which manual_seed() seeds.
import { dtypeOf, isFloating } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkOptions, DTypeError, RushlightError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { copyInto } from './copying.ts'
import { empty, type TensorOptions } from './creation.ts'
import { cast } from './elementwise.ts'
import { default_generator, type Generator, generatorOf, RANDOM_GRAIN, type Randomness, uniforms } from './generator.ts'
import { refuseRecording } from './inplace.ts'
import { compose } from './op.ts'
import { wordsOf } from './philox.ts'
import type { Nd } from './reference.ts'

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
  const rounded = cast(made, t.dtype)
  copyInto(t, rounded)
  if (rounded !== made) rounded.dispose()
  made.dispose()
}

function fillUniform(op: string, t: Tensor, low: number, high: number, generator: Generator): void {
  if (!(low <= high)) throw new RushlightError(`${op}: from ${low} to ${high} is no range`)
  fillFloating(op, t, (out) => {
    const blocks = Math.ceil(out.numel() / 16)
    launch('uniform_f32', [out.ptr, out.numel(), low, high, ...generator.take(blocks)], blocks, RANDOM_GRAIN)
  })
}

function fillNormal(op: string, t: Tensor, mean: number, std: number, generator: Generator): void {
  if (!(std >= 0)) throw new RushlightError(`${op}: std must not be negative, found ${std}`)
  fillFloating(op, t, (out) => {
    const blocks = Math.ceil(out.numel() / 16)
    launch('normal_f32', [out.ptr, out.numel(), mean, std, ...generator.take(blocks)], blocks, RANDOM_GRAIN)
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
      launch('randint_i64', [out.ptr, out.numel(), low, high - low, ...generator.take(blocks)], blocks, RANDOM_GRAIN)
      if (out === t) return
      const converted = cast(out, t.dtype)
      copyInto(t, converted)
      converted.dispose()
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

/** A seed for another stream, taken from the default one: manual_seed() settles it. */
export function randomSeed(): number {
  return Math.floor(uniforms(1, default_generator)[0] * 2 ** 53)
}

/** Fills with uniform numbers in [from, to). */
export const uniform_ = compose({
  name: 'uniform_',
  params: ['input', 'from', 'to', 'generator'],
  differentiable: false,
  forward(input: Tensor, from: number = 0, to: number = 1, generator: Randomness = null): Tensor {
    refuseRecording('uniform_', input)
    input.storage.version++
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
    refuseRecording('normal_', input)
    input.storage.version++
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
