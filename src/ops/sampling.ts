// Chances: dropout, bernoulli, multinomial. The `generator` of each is a Generator, or a seed for that call alone; else the default
// stream serves.
import { isFloating } from '../tensor/dtype.ts'
import { numelOf, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError, unsupported } from '../util/errors.ts'
import { f32View, launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { generatorOf, RANDOM_GRAIN, type Randomness, uniforms } from './generator.ts'
import { defineOp } from './op.ts'
import { wordsOf } from './philox.ts'
import { Nd } from './reference.ts'

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
      const given = asContiguous(cast(x, 'float32'))
      const out = Tensor.empty(given.shape, 'float32', 'dropout')
      // With p = 1 nothing stays: a scale of 0 does what no threshold of 32 bits can.
      const scale = p === 1 ? 0 : 1 / (1 - p)
      const threshold = Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1)
      launch('dropout_f32', [given.ptr, out.ptr, out.numel(), threshold, scale, ...taken], blocks, RANDOM_GRAIN)
      return cast(out, x.dtype)
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
    const p = asContiguous(cast(input, 'float32'))
    for (const x of p.view1d())
      if (!(x >= 0 && x <= 1)) throw new RushlightError(`bernoulli: ${x} is not a probability`)
    const out = Tensor.empty(p.shape, 'float32', 'bernoulli')
    const blocks = Math.ceil(p.numel() / 16)
    launch('bernoulli_f32', [p.ptr, out.ptr, p.numel(), ...generatorOf(generator).take(blocks)], blocks, RANDOM_GRAIN)
    return cast(out, input.dtype)
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
    const weights = asContiguous(cast(input, 'float32'))
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
