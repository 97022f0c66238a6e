// Loss functions. Cross-entropy with class indices is fused; the others are made of other ops.
import { isFloating } from '../tensor/dtype.ts'
import { show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError, unsupported } from '../util/errors.ts'
import { f32View, i32View, launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { ones } from './creation.ts'
import { compose, defineOp } from './op.ts'
import { Nd, type Sampler } from './reference.ts'
import { log_softmax } from './softmax.ts'

/** What becomes of the elements' losses. */
export type LossReduction = 'none' | 'mean' | 'sum'

const REDUCTIONS = ['none', 'mean', 'sum']

/** Elements of a chunk. */
const GRAIN = 1 << 15

function checkReduction(op: string, reduction: string, known = REDUCTIONS): void {
  if (!known.includes(reduction)) throw unsupported(op, 'reduction', reduction, known)
}

function reduced(op: string, loss: Tensor, reduction: LossReduction): Tensor {
  checkReduction(op, reduction)
  return reduction === 'none' ? loss : reduction === 'sum' ? loss.sum() : loss.mean()
}

/** The f64 form of `reduced`. */
function reducedNd(loss: Nd, reduction: LossReduction = 'mean', divisor = loss.data.length): Nd {
  if (reduction === 'none') return loss
  const total = loss.data.reduce((a, b) => a + b, 0)
  return new Nd([], Float64Array.of(reduction === 'sum' ? total : total / divisor), loss.dtype)
}

// ---- classes

/** Sum of float32 elements, in f64. */
function sumOf(t: Tensor): number {
  let sum = 0
  for (const x of f32View(t.ptr, t.numel())) sum += x
  return sum
}

/** @throws RushlightError for a class that is neither in [0, C) nor `ignore` */
function checkClasses(op: string, target: Tensor, C: number, ignore: number): void {
  const words = i32View(target.ptr, 2 * target.numel()) // low and high halves of int64
  for (let i = 0; i < words.length; i += 2) {
    if (words[i + 1] === 0 && words[i] >= 0 && words[i] < C) continue
    const found = words[i + 1] * 2 ** 32 + (words[i] >>> 0)
    if (found !== ignore)
      throw new RushlightError(
        `${op}: target ${found} is out of range, expected 0 to ${C - 1} or ignore_index ${ignore}`,
      )
  }
}

/** Logits (N,C,…) or (C) with classes (N,…) or (): where the classes are, and how many. */
function checkTargets(op: string, input: Tensor, target: Tensor, weight: Tensor | null): { dim: number; C: number } {
  if (!isFloating(input.dtype))
    throw new DTypeError(`${op}: input must be floating, found ${input.dtype}. Hint: .float()`)
  if (input.ndim === 0) throw new ShapeError(`${op}: input must be (C) or (N, C, …), found shape []`)
  const dim = input.ndim === 1 ? 0 : 1
  const C = input.shape[dim]
  const expected = input.shape.filter((_, d) => d !== dim)
  if (target.dtype !== 'int64' && target.dtype !== 'int32')
    throw new DTypeError(`${op}: target must be int64, found ${target.dtype}`)
  if (show(target.shape) !== show(expected))
    throw new ShapeError(
      `${op}: target has shape ${show(target.shape)}, expected ${show(expected)} for input ${show(input.shape)}`,
    )
  if (weight && show(weight.shape) !== show([C]))
    throw new ShapeError(`${op}: weight has shape ${show(weight.shape)}, expected ${show([C])}, one for each class`)
  return { dim, C }
}

/** Classes last, rows contiguous, float32; unrecorded. */
const classesLast = (t: Tensor, dim: number): Tensor => asContiguous(cast(t, 'float32').movedim(dim, -1))

/** Random classes, and the same with every third one left out. */
const classes = (s: Sampler, C: number, shape: number[]): Nd => s.randint(0, C, shape)
const withIgnored = (target: Nd, ignore: number): Nd => target.map((y, i) => (i % 3 === 1 ? ignore : y))

/** f64: `term` of each row of classes with its target, reduced with the weights' mean. */
function classLosses(
  input: Nd,
  target: Nd,
  weight: Nd | null,
  ignore: number,
  reduction: LossReduction,
  term: (row: Float64Array, y: number) => number,
): Nd {
  const last = input.shape.length === 1 ? [0] : [0, ...input.shape.slice(2).map((_, i) => i + 2), 1]
  const rows = input.permute(last).data
  const C = input.shape[input.shape.length === 1 ? 0 : 1]
  const of = (y: number, i: number) => (y === ignore ? 0 : term(rows.subarray(i * C, (i + 1) * C), y))
  const loss = target.map(of, input.dtype)
  const share = target.data.reduce((sum, y) => sum + (y === ignore ? 0 : (weight?.data[y] ?? 1)), 0)
  return reducedNd(loss, reduction, share)
}

function logSoftmaxNd(row: Float64Array): Float64Array {
  const most = Math.max(...row)
  const sum = row.reduce((a, x) => a + Math.exp(x - most), 0)
  return row.map((x) => x - most - Math.log(sum))
}

/** What both forms of cross-entropy say of themselves. */
const crossEntropy = {
  name: 'cross_entropy',
  ref(
    input: Nd,
    target: Nd,
    weight: Nd | null = null,
    ignore = -100,
    reduction: LossReduction = 'mean',
    smoothing = 0,
  ): Nd {
    const w = (c: number) => weight?.data[c] ?? 1
    if (target.dtype !== 'float32')
      return classLosses(input, target, weight, ignore, reduction, (row, y) => {
        const logs = logSoftmaxNd(row)
        const all = logs.reduce((sum, x, c) => sum + x * w(c), 0)
        return -(1 - smoothing) * w(y) * logs[y] - (smoothing / row.length) * all
      })
    const dim = input.shape.length === 1 ? 0 : 1
    const C = input.shape[dim]
    const logs = input.rows(dim, logSoftmaxNd)
    const terms = logs.zip(target, (x, t) => -x * (t * (1 - smoothing) + smoothing / C))
    const weighted = terms.rows(dim, (row) => [row.reduce((sum, x, c) => sum + x * w(c), 0)])
    return reducedNd(weighted.reshape(input.shape.filter((_, d) => d !== dim)), reduction)
  },
  samples: (s: Sampler): [Nd, Nd, (Nd | null)?, number?, LossReduction?, number?][] => {
    // Weights of a dtype whose gradient is not looked for: there is none.
    const weights = (C: number) => Nd.of([C], (i) => 0.5 + (i % 4) / 4, 'bfloat16')
    return [
      [s.randn(5, 7), classes(s, 7, [5])],
      [s.randn(1, 1), classes(s, 1, [1])],
      [s.randn(7), classes(s, 7, [])],
      [s.randn(3, 300), classes(s, 300, [3]), null, -100, 'sum'],
      [s.randn(3, 4, 5), classes(s, 4, [3, 5]), weights(4)],
      [s.randn(6, 3), withIgnored(classes(s, 3, [6]), -100), null, -100, 'none', 0.1],
      [s.randn(6, 3), withIgnored(classes(s, 3, [6]), 1), weights(3), 1, 'mean', 0.2],
      [s.randn(2, 3, 2, 2), classes(s, 3, [2, 2, 2]), weights(3), -100, 'none', 1],
      [s.randn(4, 3).map((x) => Math.round(x * 8) / 8, 'bfloat16'), classes(s, 3, [4])],
      [s.randn(5, 7), s.uniform(0, 1, 5, 7)],
      [s.randn(2, 3, 4), s.uniform(0, 1, 2, 3, 4), s.uniform(0, 1, 3), -100, 'sum', 0.1],
    ]
  },
  errors: (s: Sampler): [unknown[], RegExp][] => [
    [
      [s.randn(2, 3), Nd.of([2], () => 3, 'int64')],
      /cross_entropy: target 3 is out of range, expected 0 to 2 or ignore_index -100/,
    ],
    [[s.randn(2, 3), Nd.of([2], () => -1, 'int64')], /cross_entropy: target -1 is out of range/],
    [[s.randn(2, 3), s.randint(0, 3, [3])], /cross_entropy: target has shape \[3\], expected \[2\]/],
    [[s.randn(2, 3), s.randn(2)], /cross_entropy: target has shape \[2\], expected \[2, 3\]/],
    [[s.randn(2, 3), s.randint(0, 3, [2]), s.randn(2)], /cross_entropy: weight has shape \[2\], expected \[3\]/],
    [[s.randn(2, 3), s.randint(0, 3, [2]), null, -100, 'max'], /cross_entropy: reduction: "max" is not supported/],
    [
      [s.randn(2, 3), s.randint(0, 3, [2]), null, -100, 'mean', 2],
      /cross_entropy: label_smoothing must be from 0 to 1, found 2/,
    ],
  ],
}

const PARAMS = ['input', 'target', 'weight', 'ignore_index', 'reduction', 'label_smoothing'] as const

/** Cross-entropy with class indices: probabilities are never stored. */
const crossEntropyOfClasses = defineOp({
  ...crossEntropy,
  params: PARAMS,
  forward(
    record,
    input: Tensor,
    target: Tensor,
    weight: Tensor | null,
    ignore_index: number,
    reduction: LossReduction,
    label_smoothing: number,
  ): Tensor {
    const { dim, C } = checkTargets('cross_entropy', input, target, weight)
    const x = classesLast(input, dim)
    const y = asContiguous(cast(target, 'int64'))
    const w = weight && asContiguous(cast(weight, 'float32'))
    checkClasses('cross_entropy', y, C, ignore_index)
    const rows = y.numel()
    const [loss, lse, share] = Array.from({ length: 3 }, () => Tensor.empty(target.shape, 'float32', 'cross_entropy'))
    const grain = Math.ceil(GRAIN / Math.max(1, C))
    const options = [C, ignore_index, label_smoothing] as const
    launch('cross_entropy_f32', [x.ptr, y.ptr, w?.ptr ?? 0, loss.ptr, lse.ptr, share.ptr, ...options], rows, grain)
    const divisor = reduction === 'mean' ? sumOf(share) : 1
    const result = reduction === 'none' ? loss : Tensor.from([sumOf(loss) / divisor], [])
    const dtype = input.dtype
    return record(cast(result, dtype), [x, y, lse, ...(w ? [w] : [])], ([g], [x, y, lse, w]) => {
      const grad = asContiguous(cast(g, 'float32'))
      const dx = Tensor.empty(x.shape, 'float32', 'gradient of cross_entropy')
      const scale = [grad.ptr, Number(reduction === 'none'), 1 / divisor] as const
      const pointers = [x.ptr, y.ptr, w?.ptr ?? 0, lse.ptr, dx.ptr] as const
      launch('cross_entropy_backward_f32', [...scale, ...pointers, ...options, w ? sumOf(w) : C], rows, grain)
      return [cast(dx.movedim(-1, dim), dtype)]
    })
  },
})

/** Cross-entropy with probabilities of the classes. */
function crossEntropyOfProbabilities(
  input: Tensor,
  target: Tensor,
  weight: Tensor | null,
  label_smoothing: number,
): Tensor {
  const dim = input.ndim === 1 ? 0 : 1
  const C = input.shape[dim]
  const smoothed = label_smoothing > 0 ? target.mul(1 - label_smoothing).add(label_smoothing / C) : target
  const terms = log_softmax(input, dim).mul(smoothed)
  return (weight ? terms.mul(alongClasses(weight, input.ndim)) : terms).sum(dim).neg()
}

/** (C) seen as (C,1,…), to go with (N,C,…). */
const alongClasses = (weight: Tensor, ndim: number): Tensor =>
  weight.reshape([-1, ...new Array(Math.max(0, ndim - 2)).fill(1)])

/**
 * Cross-entropy of logits (N,C,…) or (C) with class indices (N,…) or (), or with probabilities of the logits' shape
 * (torch.nn.functional.cross_entropy). Targets equal to `ignore_index` are left out; `weight` (C) has no gradient. The mean is
 * weighted, as PyTorch's. size_average and reduce, long deprecated, are left out.
 */
export const cross_entropy = compose({
  ...crossEntropy,
  params: PARAMS,
  forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor | null = null,
    ignore_index: number = -100,
    reduction: LossReduction = 'mean',
    label_smoothing: number = 0,
  ): Tensor {
    checkReduction('cross_entropy', reduction)
    if (!(label_smoothing >= 0 && label_smoothing <= 1))
      throw new RushlightError(`cross_entropy: label_smoothing must be from 0 to 1, found ${label_smoothing}`)
    if (!isFloating(target.dtype))
      return crossEntropyOfClasses(input, target, weight, ignore_index, reduction, label_smoothing)
    if (show(target.shape) !== show(input.shape))
      throw new ShapeError(
        `cross_entropy: target has shape ${show(target.shape)}, expected ${show(input.shape)}: probabilities for each class`,
      )
    return reduced('cross_entropy', crossEntropyOfProbabilities(input, target, weight, label_smoothing), reduction)
  },
})

/**
 * Minus the log-probability of each target, for log-probabilities (N,C,…) or (C) (torch.nn.functional.nll_loss). The mean is
 * weighted.
 */
export const nll_loss = compose({
  name: 'nll_loss',
  params: ['input', 'target', 'weight', 'ignore_index', 'reduction'],
  forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor | null = null,
    ignore_index: number = -100,
    reduction: LossReduction = 'mean',
  ): Tensor {
    checkReduction('nll_loss', reduction)
    const { dim, C } = checkTargets('nll_loss', input, target, weight)
    checkClasses('nll_loss', asContiguous(cast(target, 'int64')), C, ignore_index)
    const ignored = target.eq(ignore_index)
    const y = cast(target, 'int64').masked_fill(ignored, 0)
    const shares = weight ? weight.index_select(0, y.reshape([-1])).reshape(y.shape) : ones(y.shape)
    const share = shares.masked_fill(ignored, 0)
    const loss = input.gather(dim, y.unsqueeze(dim)).squeeze(dim).neg().mul(share).masked_fill(ignored, 0)
    return reduction === 'mean' ? loss.sum().div(share.sum()) : reduced('nll_loss', loss, reduction)
  },
  ref: (input: Nd, target: Nd, weight: Nd | null = null, ignore = -100, reduction: LossReduction = 'mean') =>
    classLosses(input, target, weight, ignore, reduction, (row, y) => -row[y] * (weight?.data[y] ?? 1)),
  samples: (s) => [
    [s.randn(5, 7), classes(s, 7, [5])],
    [s.randn(7), classes(s, 7, [])],
    [s.randn(3, 4, 5), classes(s, 4, [3, 5]), s.uniform(0.2, 1, 4)],
    [s.randn(6, 3), withIgnored(classes(s, 3, [6]), -100), null, -100, 'sum'],
    [s.randn(6, 3), withIgnored(classes(s, 3, [6]), 1), s.uniform(0.2, 1, 3), 1, 'none'],
  ],
  errors: (s) => [
    [[s.randn(2, 3), Nd.of([2], () => 3, 'int64')], /nll_loss: target 3 is out of range, expected 0 to 2/],
    [[s.randn(2, 3), s.randn(2)], /nll_loss: target must be int64, found float32/],
  ],
})

// ---- differences

/** A loss of two tensors of the same shape, element by element. */
function elementwise(description: {
  name: string
  loss: (input: Tensor, target: Tensor) => Tensor
  ref: (x: number, y: number) => number
}) {
  const { name, loss, ref } = description
  return compose({
    name,
    params: ['input', 'target', 'reduction'],
    forward(input: Tensor, target: Tensor, reduction: LossReduction = 'mean'): Tensor {
      return reduced(name, loss(input, target), reduction)
    },
    ref: (input: Nd, target: Nd, reduction: LossReduction = 'mean') => reducedNd(input.zip(target, ref), reduction),
    samples: (s: Sampler) => [
      [s.randn(3, 5), s.randn(3, 5)],
      [s.randn(70), s.randn(70), 'sum' as const],
      [s.randn(2, 3), s.randn(2, 3), 'none' as const],
    ],
    errors: (s: Sampler) => [
      [[s.randn(2), s.randn(3)], /do not broadcast/],
      [[s.randn(2), s.randn(2), 'batchmean'], new RegExp(`${name}: reduction: "batchmean" is not supported`)],
    ],
  })
}

/** (input - target)² (torch.nn.functional.mse_loss). */
export const mse_loss = elementwise({
  name: 'mse_loss',
  loss: (input, target) => input.sub(target).square(),
  ref: (x, y) => (x - y) ** 2,
})

/** |input - target| (torch.nn.functional.l1_loss). */
export const l1_loss = elementwise({
  name: 'l1_loss',
  loss: (input, target) => input.sub(target).abs(),
  ref: (x, y) => Math.abs(x - y),
})

/** Half the square of the difference up to a bound, linear beyond, times `scale`. */
function huber(input: Tensor, target: Tensor, bound: number, scale: number): Tensor {
  const distance = input.sub(target).abs()
  const near = distance.clamp_max(bound) // near (distance - near / 2): both branches in one
  return near.mul(distance.sub(near.mul(0.5))).mul(scale)
}

const huberNd = (x: number, y: number, bound: number, scale: number): number => {
  const d = Math.abs(x - y)
  return scale * (d < bound ? 0.5 * d * d : bound * (d - 0.5 * bound))
}

/** Half the square of the difference over beta below beta, beyond it the difference less beta / 2 (torch.nn.functional.smooth_l1_loss). */
export const smooth_l1_loss = compose({
  name: 'smooth_l1_loss',
  params: ['input', 'target', 'reduction', 'beta'],
  forward(input: Tensor, target: Tensor, reduction: LossReduction = 'mean', beta: number = 1): Tensor {
    if (!(beta >= 0)) throw new RushlightError(`smooth_l1_loss: beta must not be negative, found ${beta}`)
    if (beta === 0) return l1_loss(input, target, reduction)
    return reduced('smooth_l1_loss', huber(input, target, beta, 1 / beta), reduction)
  },
  ref: (input: Nd, target: Nd, reduction: LossReduction = 'mean', beta = 1) =>
    reducedNd(
      input.zip(target, (x, y) => (beta === 0 ? Math.abs(x - y) : huberNd(x, y, beta, 1 / beta))),
      reduction,
    ),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5)],
    [s.randn(30), s.randn(30), 'sum', 0.3],
    [s.randn(30), s.randn(30), 'none', 0],
  ],
  errors: (s) => [[[s.randn(2), s.randn(2), 'mean', -1], /smooth_l1_loss: beta must not be negative, found -1/]],
})

/** Half the square of the difference below delta, linear beyond (torch.nn.functional.huber_loss). */
export const huber_loss = compose({
  name: 'huber_loss',
  params: ['input', 'target', 'reduction', 'delta'],
  forward(input: Tensor, target: Tensor, reduction: LossReduction = 'mean', delta: number = 1): Tensor {
    if (!(delta > 0)) throw new RushlightError(`huber_loss: delta must be positive, found ${delta}`)
    return reduced('huber_loss', huber(input, target, delta, 1), reduction)
  },
  ref: (input: Nd, target: Nd, reduction: LossReduction = 'mean', delta = 1) =>
    reducedNd(
      input.zip(target, (x, y) => huberNd(x, y, delta, 1)),
      reduction,
    ),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5)],
    [s.randn(30), s.randn(30), 'sum', 0.3],
  ],
  errors: (s) => [[[s.randn(2), s.randn(2), 'mean', 0], /huber_loss: delta must be positive, found 0/]],
})

// ---- probabilities

/** -target ln(input) - (1 - target) ln(1 - input), logarithms held above -100 (torch.nn.functional.binary_cross_entropy). */
export const binary_cross_entropy = compose({
  name: 'binary_cross_entropy',
  params: ['input', 'target', 'weight', 'reduction'],
  forward(input: Tensor, target: Tensor, weight: Tensor | null = null, reduction: LossReduction = 'mean'): Tensor {
    const yes = target.mul(input.log().clamp_min(-100))
    const no = target.rsub(1).mul(input.neg().log1p().clamp_min(-100))
    const loss = yes.add(no).neg()
    return reduced('binary_cross_entropy', weight ? loss.mul(weight) : loss, reduction)
  },
  ref(input: Nd, target: Nd, weight: Nd | null = null, reduction: LossReduction = 'mean') {
    const loss = input.zip(
      target,
      (x, y) => -y * Math.max(-100, Math.log(x)) - (1 - y) * Math.max(-100, Math.log1p(-x)),
    )
    return reducedNd(weight ? loss.zip(weight, (x, w) => x * w) : loss, reduction)
  },
  samples: (s) => [
    [s.uniform(0.01, 0.99, 3, 5), s.uniform(0, 1, 3, 5)],
    [s.uniform(0.01, 0.99, 20), s.uniform(0, 1, 20), s.uniform(0, 2, 20), 'sum'],
    [s.uniform(0.01, 0.99, 3, 5), s.uniform(0, 1, 3, 5), s.uniform(0, 2, 5), 'none'],
  ],
})

/**
 * Binary cross-entropy of logits, without overflow (torch.nn.functional.binary_cross_entropy_with_logits); `pos_weight`
 * multiplies the terms of positive targets.
 */
export const binary_cross_entropy_with_logits = compose({
  name: 'binary_cross_entropy_with_logits',
  params: ['input', 'target', 'weight', 'reduction', 'pos_weight'],
  forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor | null = null,
    reduction: LossReduction = 'mean',
    pos_weight: Tensor | null = null,
  ): Tensor {
    // (1 - y) x - (1 + (p - 1) y) ln σ(x)
    const factor = pos_weight ? target.mul(pos_weight.sub(1)).add(1) : null
    const logarithm = input.logsigmoid()
    const loss = target
      .rsub(1)
      .mul(input)
      .sub(factor ? factor.mul(logarithm) : logarithm)
    return reduced('binary_cross_entropy_with_logits', weight ? loss.mul(weight) : loss, reduction)
  },
  ref(
    input: Nd,
    target: Nd,
    weight: Nd | null = null,
    reduction: LossReduction = 'mean',
    pos_weight: Nd | null = null,
  ) {
    const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
    const p = pos_weight?.expand(input.shape)
    let loss = input.zip(target, (x, y) => (1 - y) * x)
    loss = loss.map((x, i) => x + (1 + ((p?.data[i] ?? 1) - 1) * target.data[i]) * softplus(-input.data[i]))
    return reducedNd(weight ? loss.zip(weight, (x, w) => x * w) : loss, reduction)
  },
  samples: (s) => [
    [s.randn(3, 5), s.uniform(0, 1, 3, 5)],
    [s.uniform(-90, 90, 20), s.mask(20).map((x) => x, 'float32'), s.uniform(0, 2, 20), 'sum'],
    [s.randn(3, 5), s.uniform(0, 1, 3, 5), null, 'none', s.uniform(0, 3, 5)],
  ],
})

/**
 * target (ln target - input) for log-probabilities (torch.nn.functional.kl_div), the target too where `log_target`.
 * 'batchmean' divides the sum by the batch, which is what the mathematics means; 'mean' by the number of elements.
 */
export const kl_div = compose({
  name: 'kl_div',
  params: ['input', 'target', 'reduction', 'log_target'],
  forward(
    input: Tensor,
    target: Tensor,
    reduction: LossReduction | 'batchmean' = 'mean',
    log_target: boolean = false,
  ): Tensor {
    checkReduction('kl_div', reduction, [...REDUCTIONS, 'batchmean'])
    // 0 ln 0 is 0
    const logarithm = log_target ? target : target.masked_fill(target.le(0), 1).log()
    const loss = (log_target ? target.exp() : target).mul(logarithm.sub(input))
    return reduction === 'batchmean'
      ? loss.sum().div(Math.max(input.shape[0] ?? 1, 1))
      : reduced('kl_div', loss, reduction)
  },
  ref(input: Nd, target: Nd, reduction: LossReduction | 'batchmean' = 'mean', log_target = false) {
    const loss = input.zip(target, (x, y) =>
      log_target ? Math.exp(y) * (y - x) : y > 0 ? y * (Math.log(y) - x) : -y * x,
    )
    return reduction === 'batchmean' ? reducedNd(loss, 'mean', input.shape[0] ?? 1) : reducedNd(loss, reduction)
  },
  samples: (s) => [
    [s.randn(3, 5), s.uniform(0.01, 1, 3, 5)],
    [s.randn(3, 5), s.uniform(0.01, 1, 3, 5), 'batchmean'],
    [s.randn(7), s.randn(7), 'sum', true],
    [s.randn(7), s.uniform(0.01, 1, 7), 'none'],
  ],
  errors: (s) => [
    [
      [s.randn(2), s.randn(2), 'max'],
      /kl_div: reduction: "max" is not supported. Supported: "none", "mean", "sum", "batchmean"/,
    ],
  ],
})
