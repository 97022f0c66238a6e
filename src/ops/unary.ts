// Functions of one tensor, element by element, with their derivatives.
import { type DType, isFloating } from '../tensor/dtype.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, unsupported } from '../util/errors.ts'
import { packed } from './copying.ts'
import { cast, floatType, mapF32, operand, zip, zipF32 } from './elementwise.ts'
import { compose, defineOp } from './op.ts'
import { Nd, type Sampler } from './reference.ts'

/** Numbers that meet every branch: both signs, 0, near 0, large. */
const REALS = [-30, -6.5, -3.2, -2.5, -1, -0.75, -1e-3, 0.5, 1e-3, 1.5, 2.5, 3.7, 12, 25]
/** Away from steps. */
const STEPS = [-30.2, -6.6, -1.3, -0.7, 0.1, 0.6, 2.4, 3.7, 12.2]
const POSITIVE = [1e-6, 0.01, 0.3, 0.5, 0.999, 1.001, 2, 3.5, 10, 1e4]

interface Unary {
  name: string
  kernel: Parameters<typeof mapF32>[0]
  /** In f64. */
  ref: (x: number) => number
  /** Gradient of the input from that of the output. `saved` is the input, or the output where `saves` says so. */
  grad: (g: Tensor, saved: Tensor) => Tensor | null
  saves?: 'input' | 'output'
  /** What integers give, of their own dtype; without it they are taken for floats. */
  integers?: (x: Tensor) => Tensor
  /** Where it is tried, besides at random. */
  points?: number[]
  tolerance?: number
}

function sampleAt(points: number[], integers: boolean) {
  return (s: Sampler) => [
    [Nd.of([points.length], (i) => Math.fround(points[i]))],
    [s.uniform(Math.max(-4, Math.min(...points)), Math.min(4, Math.max(...points)), 3, 17)],
    [s.uniform(Math.max(-1, Math.min(...points)), 1, 1023)],
    [s.randn(0, 2)],
    [Nd.of([13], (i) => i / 2 - 3, 'float16')], // halves, for rounding
    ...(Math.min(...points) < 0
      ? [[s.randn()], [s.randint(integers ? -100 : -3, integers ? 100 : 3, [5], 'int32')]]
      : []),
    [s.randint(1, integers ? 50 : 5, [2, 3], 'int64')],
  ]
}

/** The dtype of the result: integers stay where the function takes them, else become float32. */
function resultOf(name: string, dtype: DType, integers: boolean): DType {
  if (integers && dtype === 'bool')
    throw new DTypeError(`${name}: bool is not supported. Hint: to('int64'), or logical_not()`)
  return integers ? dtype : floatType(dtype)
}

function unary({ name, kernel, ref, grad, saves = 'input', integers, points = REALS, tolerance }: Unary) {
  return defineOp({
    name,
    params: ['input'],
    forward(record, input: Tensor): Tensor {
      const dtype = resultOf(name, input.dtype, integers !== undefined)
      if (integers && !isFloating(dtype)) return record(integers(input), [], () => [null])
      const out = cast(mapF32(kernel, input), dtype)
      return record(out, [saves === 'output' ? out : input], ([g], [saved]) => {
        const result = grad(g, saved)
        return [result && cast(result, dtype)]
      })
    },
    ref: (input: Nd) => input.map(ref, resultOf(name, input.dtype, integers !== undefined)),
    samples: sampleAt(points, integers !== undefined),
    errors: (s) => (integers ? [[[s.mask(3)], /bool is not supported/]] : []),
    tolerance,
  })
}

/** A tensor of zeros: the derivative of what is flat almost everywhere. */
function flat(g: Tensor): Tensor {
  return zipF32('mul_f32', g, 0)
}

const fused =
  (kernel: Parameters<typeof zipF32>[0], ...params: number[]) =>
  (g: Tensor, saved: Tensor): Tensor =>
    zipF32(kernel, g, saved, ...params)

/** Integers through a kernel of two operands. */
function whole(fn: 'sub' | 'mul' | 'maximum', a: Tensor | number, b: Tensor | number, dtype: DType): Tensor {
  const [type, suffix] = dtype === 'int64' ? (['int64', 'i64'] as const) : (['int32', 'i32'] as const)
  return cast(zip(`${fn}_${suffix}`, operand(a, type), operand(b, type), type), dtype)
}

// ---- arithmetic

/** -x. */
export const neg = unary({
  name: 'neg',
  kernel: 'neg_f32',
  ref: (x) => -x,
  grad: (g) => mapF32('neg_f32', g),
  integers: (x) => whole('sub', 0, x, x.dtype),
})

/** |x|. */
export const abs = unary({
  name: 'abs',
  kernel: 'abs_f32',
  ref: Math.abs,
  grad: (g, x) => zipF32('mul_f32', g, mapF32('sign_f32', x)),
  integers: (x) => (x.dtype === 'uint8' ? packed(x) : whole('maximum', x, whole('sub', 0, x, x.dtype), x.dtype)),
})

/** -1, 0 or 1. */
export const sign = unary({
  name: 'sign',
  kernel: 'sign_f32',
  ref: Math.sign,
  grad: flat,
  integers: (x) => cast(mapF32('sign_f32', x), x.dtype),
})

/** x². */
export const square = unary({
  name: 'square',
  kernel: 'square_f32',
  ref: (x) => x * x,
  grad: (g, x) => zipF32('mul_f32', g, zipF32('mul_f32', x, 2)),
  integers: (x) => whole('mul', x, x, x.dtype),
})

/** √x. */
export const sqrt = unary({
  name: 'sqrt',
  kernel: 'sqrt_f32',
  ref: Math.sqrt,
  grad: (g, y) => zipF32('div_f32', g, zipF32('mul_f32', y, 2)),
  saves: 'output',
  points: POSITIVE.slice(1),
})

/** 1 / √x. */
export const rsqrt = unary({
  name: 'rsqrt',
  kernel: 'rsqrt_f32',
  ref: (x) => 1 / Math.sqrt(x),
  grad: (g, y) => zipF32('mul_f32', g, zipF32('mul_f32', zipF32('pow_f32', y, 3), -0.5)),
  saves: 'output',
  points: POSITIVE.slice(2),
})

/** 1 / x. */
export const reciprocal = unary({
  name: 'reciprocal',
  kernel: 'reciprocal_f32',
  ref: (x) => 1 / x,
  grad: (g, y) => mapF32('neg_f32', zipF32('mul_f32', g, mapF32('square_f32', y))),
  saves: 'output',
  points: POSITIVE.slice(2),
})

// ---- exponentials and logarithms

/** e^x. */
export const exp = unary({
  name: 'exp',
  kernel: 'exp_f32',
  ref: Math.exp,
  grad: fused('mul_f32'),
  saves: 'output',
  points: [-100, -88, -10, -1, -1e-4, 0, 1e-4, 1, 5],
})

/** 2^x. */
export const exp2 = unary({
  name: 'exp2',
  kernel: 'exp2_f32',
  ref: (x) => 2 ** x,
  grad: (g, y) => zipF32('mul_f32', g, zipF32('mul_f32', y, Math.LN2)),
  saves: 'output',
  points: [-140, -20, -1, -0.5, 0, 1e-4, 0.5, 7],
})

/** e^x - 1, exact near 0. */
export const expm1 = unary({
  name: 'expm1',
  kernel: 'expm1_f32',
  ref: Math.expm1,
  grad: (g, y) => zipF32('mul_f32', g, zipF32('add_f32', y, 1)),
  saves: 'output',
  points: [-100, -10, -1, -1e-4, 0, 1e-4, 1, 5],
})

/** ln x. */
export const log = unary({
  name: 'log',
  kernel: 'log_f32',
  ref: Math.log,
  grad: fused('div_f32'),
  points: POSITIVE.slice(1),
})

/** Binary logarithm. */
export const log2 = unary({
  name: 'log2',
  kernel: 'log2_f32',
  ref: Math.log2,
  grad: (g, x) => zipF32('div_f32', g, zipF32('mul_f32', x, Math.LN2)),
  points: POSITIVE.slice(1),
})

/** Decimal logarithm. */
export const log10 = unary({
  name: 'log10',
  kernel: 'log10_f32',
  ref: Math.log10,
  grad: (g, x) => zipF32('div_f32', g, zipF32('mul_f32', x, Math.LN10)),
  points: POSITIVE.slice(1),
})

/** ln(1 + x), exact near 0. */
export const log1p = unary({
  name: 'log1p',
  kernel: 'log1p_f32',
  ref: Math.log1p,
  grad: (g, x) => zipF32('div_f32', g, zipF32('add_f32', x, 1)),
  points: [...POSITIVE, 0],
})

// ---- trigonometry

export const sin = unary({
  name: 'sin',
  kernel: 'sin_f32',
  ref: Math.sin,
  grad: (g, x) => zipF32('mul_f32', g, mapF32('cos_f32', x)),
})

export const cos = unary({
  name: 'cos',
  kernel: 'cos_f32',
  ref: Math.cos,
  grad: (g, x) => mapF32('neg_f32', zipF32('mul_f32', g, mapF32('sin_f32', x))),
})

export const tan = unary({
  name: 'tan',
  kernel: 'tan_f32',
  ref: Math.tan,
  grad: (g, y) => zipF32('mul_f32', g, zipF32('add_f32', mapF32('square_f32', y), 1)),
  saves: 'output',
  points: [-1.2, -0.5, 0, 0.3, 1.3],
})

// ---- activations

export const tanh = unary({
  name: 'tanh',
  kernel: 'tanh_f32',
  ref: Math.tanh,
  grad: fused('tanh_backward_f32'),
  saves: 'output',
})

/** The error function. */
export const erf = unary({
  name: 'erf',
  kernel: 'erf_f32',
  ref: erf64,
  grad: (g, x) => {
    const bell = mapF32('exp_f32', mapF32('neg_f32', mapF32('square_f32', x)))
    return zipF32('mul_f32', g, zipF32('mul_f32', bell, 2 / Math.sqrt(Math.PI)))
  },
})

/** erf in f64: its series near 0, the continued fraction of erfc farther out. */
function erf64(x: number): number {
  const a = Math.abs(x)
  if (a < 3) {
    let [sum, term] = [a, a]
    for (let n = 1; Math.abs(term) > 1e-18 * sum; n++) {
      term *= (-a * a) / n
      sum += term / (2 * n + 1)
    }
    return (Math.sign(x) * sum * 2) / Math.sqrt(Math.PI)
  }
  let fraction = 0
  for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction)
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction))
}

const sigmoid64 = (x: number) => 1 / (1 + Math.exp(-x))
const softplus64 = (x: number) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0)

/** 1 / (1 + e^-x). */
export const sigmoid = unary({
  name: 'sigmoid',
  kernel: 'sigmoid_f32',
  ref: sigmoid64,
  grad: fused('sigmoid_backward_f32'),
  saves: 'output',
})

/** ln sigmoid(x). */
export const logsigmoid = unary({
  name: 'logsigmoid',
  kernel: 'log_sigmoid_f32',
  ref: (x) => -softplus64(-x),
  grad: (g, x) => zipF32('mul_f32', g, mapF32('sigmoid_f32', mapF32('neg_f32', x))),
})

/** max(x, 0). */
export const relu = unary({
  name: 'relu',
  kernel: 'relu_f32',
  ref: (x) => Math.max(x, 0),
  grad: fused('relu_backward_f32'),
  saves: 'output',
  integers: (x) => whole('maximum', x, 0, x.dtype),
})

/** x sigmoid(x). */
export const silu = unary({
  name: 'silu',
  kernel: 'silu_f32',
  ref: (x) => x * sigmoid64(x),
  grad: fused('silu_backward_f32'),
})

/** x tanh(ln(1 + e^x)). */
export const mish = unary({
  name: 'mish',
  kernel: 'mish_f32',
  ref: (x) => x * Math.tanh(softplus64(x)),
  grad: fused('mish_backward_f32'),
})

const sixth = (x: number) => Math.min(Math.max(x + 3, 0), 6) / 6

/** x (x + 3) / 6 between -3 and 3, 0 before and x after. */
export const hardswish = unary({
  name: 'hardswish',
  kernel: 'hardswish_f32',
  ref: (x) => x * sixth(x),
  grad: fused('hardswish_backward_f32'),
})

/** (x + 3) / 6, between 0 and 1. */
export const hardsigmoid = unary({
  name: 'hardsigmoid',
  kernel: 'hardsigmoid_f32',
  ref: sixth,
  grad: (g, x) => zipF32('mul_f32', zipF32('clamp_backward_f32', g, x, -3, 3), 1 / 6),
})

/**
 * x Φ(x), with Φ the normal distribution's function.
 * @param approximate 'none', or 'tanh' for ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))
 */
export const gelu = defineOp({
  name: 'gelu',
  params: ['input', 'approximate'],
  forward(record, input: Tensor, approximate: 'none' | 'tanh' = 'none'): Tensor {
    if (approximate !== 'none' && approximate !== 'tanh')
      throw unsupported('gelu', 'approximate', approximate, ['none', 'tanh'])
    const name = approximate === 'none' ? 'gelu' : 'gelu_tanh'
    const dtype = floatType(input.dtype)
    return record(cast(mapF32(`${name}_f32`, input), dtype), [input], ([g], [x]) => [
      cast(zipF32(`${name}_backward_f32`, g, x), dtype),
    ])
  },
  ref: (input: Nd, approximate: 'none' | 'tanh' = 'none') =>
    input.map(
      (x) =>
        0.5 *
        x *
        (1 +
          (approximate === 'none'
            ? erf64(x / Math.SQRT2)
            : Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
    ),
  samples: (s) => [...sampleAt(REALS, false)(s).slice(0, 5), [s.uniform(-6, 6, 3, 50), 'tanh'], [s.randn(5), 'none']],
  errors: (s) => [[[s.randn(2), 'erf'], /gelu: approximate: "erf" is not supported\. Supported: "none", "tanh"/]],
})

interface Parametric {
  name: string
  kernel: Parameters<typeof mapF32>[0]
  backward: Parameters<typeof zipF32>[0]
  ref: (x: number, params: number[]) => number
  /** Parameter names with their defaults, as PyTorch has them. */
  params: Readonly<Record<string, number>>
}

/** A function with one or two numbers as parameters. */
function parametric({ name, kernel, backward, ref, params }: Parametric) {
  const filled = (given: number[]) => Object.values(params).map((fallback, i) => given[i] ?? fallback)
  return defineOp({
    name,
    params: ['input', ...Object.keys(params)],
    forward(record, input: Tensor, ...given: number[]): Tensor {
      const values = filled(given)
      const dtype = floatType(input.dtype)
      return record(cast(mapF32(kernel, input, values), dtype), [input], ([g], [x]) => [
        cast(zipF32(backward, g, x, ...values), dtype),
      ])
    },
    ref: (input: Nd, ...given: number[]) => input.map((x) => ref(x, filled(given))),
    samples: (s) => [
      ...sampleAt(REALS, false)(s).slice(0, 5),
      [s.uniform(-4, 4, 33), ...Object.values(params).map((v) => v * 0.7)],
    ],
  })
}

/** x where positive, else negative_slope × x. */
export const leaky_relu = parametric({
  name: 'leaky_relu',
  kernel: 'leaky_relu_f32',
  backward: 'leaky_relu_backward_f32',
  ref: (x, [slope]) => (x > 0 ? x : slope * x),
  params: { negative_slope: 0.01 },
})

/** x where positive, else alpha (e^x - 1). */
export const elu = parametric({
  name: 'elu',
  kernel: 'elu_f32',
  backward: 'elu_backward_f32',
  ref: (x, [alpha]) => (x > 0 ? x : alpha * Math.expm1(x)),
  params: { alpha: 1 },
})

/** ln(1 + e^(beta x)) / beta; x itself where beta x is above the threshold. */
export const softplus = parametric({
  name: 'softplus',
  kernel: 'softplus_f32',
  backward: 'softplus_backward_f32',
  ref: (x, [beta, threshold]) => (x * beta > threshold ? x : softplus64(x * beta) / beta),
  params: { beta: 1, threshold: 20 },
})

const SELU_ALPHA = 1.6732632423543772
const SELU_SCALE = 1.0507009873554805

/** Self-normalizing: a fixed scale of elu (Klambauer et al. 2017). */
export const selu = compose({
  name: 'selu',
  params: ['input'],
  forward: (input: Tensor): Tensor => elu(input, SELU_ALPHA).mul(SELU_SCALE),
  ref: (input: Nd) => input.map((x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x))),
  samples: (s) => [[s.randn(3, 7)]],
})

// ---- rounding

/** Steps: integers stay as they are. */
const step = (name: 'floor' | 'ceil' | 'round' | 'trunc', ref: (x: number) => number) =>
  unary({ name, kernel: `${name}_f32`, ref, grad: flat, points: STEPS, integers: (x: Tensor): Tensor => packed(x) })

/** The next whole number below. */
export const floor = step('floor', Math.floor)
/** The next whole number above. */
export const ceil = step('ceil', Math.ceil)
/** The nearest whole number, the even one of two. */
export const round = step('round', (x) => {
  const [below, rest] = [Math.floor(x), x - Math.floor(x)]
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1
})
/** The next whole number towards 0. */
export const trunc = step('trunc', Math.trunc)

/** What is behind the point, with the sign of x. */
export const frac = compose({
  name: 'frac',
  params: ['input'],
  forward: (input: Tensor): Tensor => input.sub(trunc(input)),
  ref: (input: Nd) => input.map((x) => x - Math.trunc(x)),
  samples: (s) => [[s.uniform(-5, 5, 3, 7)]],
})

// ---- limits

/**
 * Kept between min and max, either of which may be null; numbers, or tensors that broadcast. NaN stays.
 * @throws RushlightError when neither is given
 */
export const clamp = compose({
  name: 'clamp',
  params: ['input', 'min', 'max'],
  forward(input: Tensor, min: Tensor | number | null = null, max: Tensor | number | null = null): Tensor {
    if (min === null && max === null) throw new RushlightError('clamp: expected min, max or both')
    if (min instanceof Tensor || max instanceof Tensor || !isFloating(input.dtype)) {
      const low = min === null ? input : input.maximum(min)
      return max === null ? low : low.minimum(max)
    }
    return clampBetween(input, min ?? Number.NEGATIVE_INFINITY, max ?? Number.POSITIVE_INFINITY)
  },
  ref(input: Nd, min: Nd | number | null = null, max: Nd | number | null = null) {
    const low = min === null ? input : input.zip(min, Math.max)
    return max === null ? low : low.zip(max, Math.min)
  },
  samples: (s) => [
    [s.randn(3, 7), -0.5, 0.5],
    [s.randn(17), 0.1],
    [s.randn(17), null, 0.1],
    [s.randn(3, 4), s.randn(4), s.randn(3, 1).map((x) => x + 3)],
    [s.randint(-9, 9, [7]), -2, 3],
    [s.randint(-9, 9, [7], 'int32'), 0],
  ],
  errors: (s) => [[[s.randn(2)], /clamp: expected min, max or both/]],
})

const clampBetween = defineOp({
  name: 'clamp',
  params: ['input', 'min', 'max'],
  forward: (record, input: Tensor, min: number, max: number): Tensor =>
    record(cast(mapF32('clamp_f32', input, [min, max]), input.dtype), [input], ([g], [x]) => [
      cast(zipF32('clamp_backward_f32', g, x, min, max), x.dtype),
    ]),
  ref: (input: Nd) => input,
  samples: () => [],
})

/** At least min. */
export const clamp_min = compose({
  name: 'clamp_min',
  params: ['input', 'min'],
  forward: (input: Tensor, min: Tensor | number): Tensor => clamp(input, min),
  ref: (input: Nd, min: number) => input.map((x) => Math.max(x, min)),
  samples: (s) => [[s.randn(7), 0.2]],
})

/** At most max. */
export const clamp_max = compose({
  name: 'clamp_max',
  params: ['input', 'max'],
  forward: (input: Tensor, max: Tensor | number): Tensor => clamp(input, null, max),
  ref: (input: Nd, max: number) => input.map((x) => Math.min(x, max)),
  samples: (s) => [[s.randn(7), 0.2]],
})

/** Kept between two numbers, by default -1 and 1. */
export const hardtanh = compose({
  name: 'hardtanh',
  params: ['input', 'min_val', 'max_val'],
  forward: (input: Tensor, min_val: number = -1, max_val: number = 1): Tensor => clamp(input, min_val, max_val),
  ref: (input: Nd, min_val: number = -1, max_val: number = 1) =>
    input.map((x) => Math.min(Math.max(x, min_val), max_val)),
  samples: (s) => [[s.randn(9)], [s.randn(9), -0.5, 0.3]],
})

/** Kept between 0 and 6. */
export const relu6 = compose({
  name: 'relu6',
  params: ['input'],
  forward: (input: Tensor): Tensor => clamp(input, 0, 6),
  ref: (input: Nd) => input.map((x) => Math.min(Math.max(x, 0), 6)),
  samples: (s) => [[s.uniform(-2, 9, 13)]],
})
