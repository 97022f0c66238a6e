// Arithmetic of two tensors or scalars, with broadcasting, PyTorch's result dtypes, and derivatives.
import { type DType, isFloating } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, unsupported } from '../util/errors.ts'
import type { KernelName } from '../wasm/index.ts'
import {
  affine,
  asByte,
  cast,
  choose,
  computeType,
  floatType,
  mapF32,
  operand,
  resultType,
  type Scalar,
  zip,
  zipF32,
} from './elementwise.ts'
import { sumTo } from './sum-to.ts'
import { compose, defineOp } from './op.ts'
import type { Nd } from './reference.ts'

/** A tensor, or a JavaScript number that stands for one. */
type Operand = Tensor | Scalar

const SUFFIX = { float32: 'f32', int32: 'i32', int64: 'i64' } as const

/** A function that has kernels for float32 and for integers, in the dtype of `resultType`. */
function arithmetic(fn: string, a: Operand, b: Operand, dtype: DType): Tensor {
  const type = computeType(dtype)
  const line = type === 'float32' && a instanceof Tensor && typeof b === 'number' ? affine(fn, b) : null
  if (line) return cast(mapF32('affine_f32', a as Tensor, line), dtype)
  return cast(zip(`${fn}_${SUFFIX[type]}` as KernelName, operand(a, type), operand(b, type), type), dtype)
}

/** On bool: sums are ors and products ands. */
const ON_BOOL: Readonly<Record<string, 'or_u8' | 'and_u8'>> = {
  add: 'or_u8',
  mul: 'and_u8',
  maximum: 'or_u8',
  minimum: 'and_u8',
}

function onBool(name: string, a: Operand, b: Operand): Tensor {
  const kernel = ON_BOOL[name]
  if (!kernel) throw new DTypeError(`${name}: bool is not supported. Hint: to('int64'), logical_xor() or logical_not()`)
  return zip(kernel, asByte(operand(a, 'bool')), asByte(operand(b, 'bool')), 'bool')
}

/** What gradients are taken from: the operands as tensors. */
interface At {
  a: Tensor
  b: Tensor
}

/** Gradient of one operand at the result's shape, or null where there is none. */
type Partial = ((g: Tensor, at: At) => Tensor) | null

/** Gradients of the operands that are tensors, in order, summed over what was broadcast. */
function gradients(a: Operand, b: Operand, partials: [Partial, Partial]) {
  const shapes = [a, b].map((x) => (x instanceof Tensor ? { shape: x.shape as Shape, dtype: x.dtype } : null))
  return ([g]: Tensor[], saved: Tensor[], needs: boolean[]): (Tensor | null)[] => {
    const at = { a: saved[0], b: saved[1] }
    const out: (Tensor | null)[] = []
    shapes.forEach((x, i) => {
      if (!x) return
      const partial = partials[i]
      out.push(partial && needs[out.length] ? cast(sumTo(partial(g, at), x.shape), x.dtype) : null)
    })
    return out
  }
}

/** The operands as tensors, to be saved. */
function saved(a: Operand, b: Operand): Tensor[] {
  return [a, b].map((x) => (x instanceof Tensor ? x : operand(x, 'float32')))
}

interface Binary {
  name: string
  /** Kernels' name before the dtype; the op's own by default. */
  kernel?: string
  /** In f64; of integers where `integers` is given. */
  ref: (a: number, b: number) => number
  partials: [Partial, Partial]
  /** Whether the gradients need the operands. */
  saves: boolean
  /** Where it is tried: ranges of a and b. */
  ranges?: [[number, number], [number, number]]
  /** Looks at the integers before they go to the kernel. */
  check?: (b: Operand) => void
}

/** Whole numbers as a dtype holds them. */
function wrapped(x: number, dtype: DType): number {
  return dtype === 'uint8' ? x & 255 : dtype === 'int8' ? (x << 24) >> 24 : dtype === 'bool' ? Number(x !== 0) : x
}

function binary({
  name,
  kernel = name,
  ref,
  partials,
  saves,
  ranges = [
    [-3, 3],
    [-3, 3],
  ],
  check,
}: Binary) {
  const [[lowA, highA], [lowB, highB]] = ranges
  return defineOp({
    name,
    params: ['input', 'other'],
    forward(record, input: Operand, other: Operand): Tensor {
      const dtype = resultType(input, other)
      if (dtype === 'bool') return record(onBool(name, input, other), [], () => [null, null])
      if (!isFloating(dtype)) check?.(other)
      return record(
        arithmetic(kernel, input, other, dtype),
        saves ? saved(input, other) : [],
        gradients(input, other, partials),
      )
    },
    ref(a: Nd | number, b: Nd | number) {
      const dtype = resultType(a, b)
      const fn = isFloating(dtype) ? ref : (x: number, y: number) => wrapped(Math.trunc(ref(x, y)), dtype)
      return typeof a === 'number' ? (b as Nd).map((y) => fn(a, y), dtype) : a.zip(b, fn, dtype)
    },
    samples: (s) => {
      const a = (...shape: number[]) => s.uniform(lowA, highA, ...shape)
      const b = (...shape: number[]) => s.uniform(lowB, highB, ...shape)
      return [
        [a(3, 5), b(3, 5)],
        [a(17), b(17)],
        [a(3, 1, 5), b(4, 1)],
        [a(), b(2, 3)],
        [a(1100, 3), b(3)],
        [a(2, 1, 3, 1, 2), b(2, 1, 3, 1)],
        [a(0, 3), b(1)],
        [a(7), 1.5],
        [2, b(7)],
        [s.randint(1, 9, [3, 4]), s.randint(1, 9, [4])],
        [s.randint(1, 9, [5], 'int32'), 2],
        [s.randint(1, 9, [5], 'uint8'), s.randint(1, 9, [5], 'int32')],
        [s.randint(1, 9, [5]), b(5)],
        [s.randint(1, 9, [4]), 2.5],
      ]
    },
    errors: (s) => [
      [
        [s.randn(3, 2), s.randn(3)],
        new RegExp(`${name.split('_')[0]}.*shapes \\[3, 2\\] and \\[3\\] do not broadcast`),
      ],
    ],
  })
}

const times = (g: Tensor, x: Operand): Tensor => zipF32('mul_f32', g, x)
const same: Partial = (g) => g

/** input × other. */
export const mul = binary({
  name: 'mul',
  ref: (a, b) => a * b,
  partials: [(g, { b }) => times(g, b), (g, { a }) => times(g, a)],
  saves: true,
})

/** Sum and difference: with `alpha` × other. */
function additive(name: 'add' | 'sub', direction: 1 | -1) {
  return defineOp({
    name,
    params: ['input', 'other', 'alpha'],
    forward(record, input: Operand, other: Operand, alpha: number = 1): Tensor {
      const dtype = resultType(input, other)
      if (dtype === 'bool') return record(onBool(name, input, other), [], () => [null, null])
      const factor = direction * alpha
      const backward = gradients(input, other, [same, factor === 1 ? same : (g) => times(g, factor)])
      return record(addScaled(name, input, other, alpha, dtype), [], backward)
    },
    ref: (a: Nd | number, b: Nd | number, alpha: number = 1) => {
      const dtype = resultType(a, b)
      const fn = (x: number, y: number) => wrapped(x + direction * alpha * y, dtype)
      return typeof a === 'number' ? (b as Nd).map((y) => fn(a, y), dtype) : a.zip(b, fn, dtype)
    },
    samples: (s) => [
      [s.randn(3, 5), s.randn(3, 5)],
      [s.randn(17), s.randn(17), 0.5],
      [s.randn(3, 1, 5), s.randn(4, 1), -2],
      [s.randn(1100, 3), s.randn(3)],
      [s.randn(2, 1, 3, 1, 2), s.randn(2, 1, 3, 1)],
      [s.randn(0, 3), s.randn(1)],
      [s.randn(), s.randn(2, 3)],
      [s.randn(7), 1.5],
      [2, s.randn(7)],
      [s.randint(-9, 9, [3, 4]), s.randint(-9, 9, [4]), 3],
      [s.randint(-9, 9, [5], 'int32'), 2],
      [s.randint(0, 200, [5], 'uint8'), s.randint(100, 200, [5], 'uint8')],
      [s.randint(-9, 9, [5], 'int8'), s.randint(0, 200, [5], 'uint8')],
      [s.randint(-9, 9, [5]), s.randn(5)],
      [s.mask(5), 2],
      ...(name === 'add' ? [[s.mask(5), s.mask(5)]] : []),
    ],
    errors: (s) => [
      [
        [s.randn(3, 2), s.randn(3)],
        new RegExp(`${name}: shapes \\[3, 2\\] and \\[3\\] do not broadcast: 2 and 3 differ at dimension 1`),
      ],
      [[s.randint(0, 3, [2]), s.randint(0, 3, [2]), 0.5], new RegExp(`${name}: alpha 0.5 for integers`)],
      ...(name === 'sub' ? [[[s.mask(2), s.mask(2)], /sub: bool is not supported/] as [unknown[], RegExp]] : []),
    ],
  })
}

function addScaled(name: 'add' | 'sub', a: Operand, b: Operand, alpha: number, dtype: DType): Tensor {
  if (alpha === 1) return arithmetic(name, a, b, dtype)
  if (isFloating(dtype)) {
    const scale = name === 'add' ? alpha : -alpha
    return cast(zip('add_scaled_f32', operand(a, 'float32'), operand(b, 'float32'), 'float32', [scale]), dtype)
  }
  if (!Number.isInteger(alpha))
    throw new RushlightError(`${name}: alpha ${alpha} for integers. Hint: a whole number, or to('float32')`)
  return arithmetic(name, a, arithmetic('mul', b, alpha, dtype), dtype)
}

/** input + alpha × other. */
export const add = additive('add', 1)
/** input - alpha × other. */
export const sub = additive('sub', -1)

/** other - input. */
export const rsub = compose({
  name: 'rsub',
  params: ['input', 'other'],
  forward: (input: Tensor, other: Operand): Tensor => sub(other, input),
  ref: (a: Nd, b: Nd | number) => a.zip(b, (x, y) => y - x),
  samples: (s) => [
    [s.randn(5), 1.5],
    [s.randn(5), s.randn(5)],
  ],
})

const ROUNDINGS = ['floor', 'trunc'] as const
type Rounding = (typeof ROUNDINGS)[number] | null

function checkDivisor(name: string) {
  return (b: Operand) => {
    const zero = b instanceof Tensor ? b.eq(0).any().item() === 1 : Number(b) === 0
    if (zero)
      throw new RushlightError(`${name}: an integer is divided by zero. Hint: floats have infinity and NaN for it`)
  }
}

const quotientPartials: [Partial, Partial] = [
  (g, { b }) => zipF32('div_f32', g, b),
  (g, { a, b }) => mapF32('neg_f32', zipF32('div_f32', times(g, a), mapF32('square_f32', b))),
]

/** input / other: integers give float32. With rounding_mode 'floor' or 'trunc' whole numbers, of the integers' dtype. */
export const div = defineOp({
  name: 'div',
  params: ['input', 'other', 'rounding_mode'],
  forward(record, input: Operand, other: Operand, rounding_mode: Rounding = null): Tensor {
    if (rounding_mode !== null && !ROUNDINGS.includes(rounding_mode))
      throw unsupported('div', 'rounding_mode', rounding_mode, [null, ...ROUNDINGS])
    const common = resultType(input, other)
    if (rounding_mode === null) {
      return record(
        arithmetic('div', input, other, floatType(common)),
        saved(input, other),
        gradients(input, other, quotientPartials),
      )
    }
    const dtype: DType = common === 'bool' ? 'int64' : common
    if (!isFloating(dtype)) checkDivisor('div')(other)
    const out =
      rounding_mode === 'floor'
        ? arithmetic('floor_divide', input, other, dtype)
        : isFloating(dtype)
          ? cast(mapF32('trunc_f32', zipF32('div_f32', input, other)), dtype)
          : arithmetic('trunc_divide', input, other, dtype)
    const zero: Partial = (g) => times(g, 0)
    return record(out, [], gradients(input, other, [zero, zero]))
  },
  ref(a: Nd | number, b: Nd | number, rounding_mode: Rounding = null) {
    const common = resultType(a, b)
    const dtype = rounding_mode === null ? floatType(common) : common
    const fn = (x: number, y: number) => (rounding_mode === null ? x / y : Math[rounding_mode](x / y))
    return typeof a === 'number' ? (b as Nd).map((y) => fn(a, y), dtype) : a.zip(b, fn, dtype)
  },
  samples: (s) => [
    [s.randn(3, 5), s.uniform(0.5, 3, 3, 5)],
    [s.randn(4, 1), s.uniform(-3, -0.5, 3)],
    [s.randn(7), 1.5],
    [2, s.uniform(0.5, 3, 7)],
    [s.randint(-9, 9, [7]), s.randint(1, 9, [7])],
    [s.randint(-9, 9, [7]), s.randint(1, 9, [7]), 'floor'],
    [s.randint(-9, 9, [7], 'int32'), -4, 'trunc'],
    [s.randint(-9, 9, [7], 'int32'), -4, 'floor'],
    [s.uniform(-9, 9, 7), 1.7, 'floor'],
    [s.uniform(-9, 9, 7), 1.7, 'trunc'],
    [s.randn(0), 2],
  ],
  errors: (s) => [
    [[s.randn(3), s.randn(2)], /div: shapes \[3\] and \[2\]/],
    [[s.randn(3), 2, 'round'], /div: rounding_mode: "round" is not supported/],
    [[s.randint(0, 3, [2]), 0, 'floor'], /div: an integer is divided by zero/],
  ],
})

/** ⌊input / other⌋. */
export const floor_divide = compose({
  name: 'floor_divide',
  params: ['input', 'other'],
  forward: (input: Operand, other: Operand): Tensor => div(input, other, 'floor'),
  ref: (a: Nd, b: Nd | number) => a.zip(b, (x, y) => Math.floor(x / y)),
  samples: (s) => [
    [s.uniform(-9, 9, 7), 1.3],
    [s.randint(-9, 9, [7]), -4],
  ],
  errors: (s) => [[[s.randint(0, 3, [2]), 0], /an integer is divided by zero/]],
})

/** What floor division leaves: it has the sign of other, as in Python. */
export const remainder = binary({
  name: 'remainder',
  ref: (a, b) => a - b * Math.floor(a / b),
  partials: [same, (g, { a, b }) => mapF32('neg_f32', times(g, zipF32('floor_divide_f32', a, b)))],
  saves: true,
  ranges: [
    [-5, 5],
    [1.1, 2],
  ],
  check: checkDivisor('remainder'),
})

/** What division towards 0 leaves: it has the sign of input, as in C. */
export const fmod = binary({
  name: 'fmod',
  ref: (a, b) => a % b,
  partials: [same, (g, { a, b }) => mapF32('neg_f32', times(g, mapF32('trunc_f32', zipF32('div_f32', a, b))))],
  saves: true,
  ranges: [
    [-5, 5],
    [1.1, 2],
  ],
  check: checkDivisor('fmod'),
})

/** Half of the gradient goes to each of two equals. */
const share =
  (comparison: 'lt_f32', swapped: boolean): Partial =>
  (g, { a, b }) => {
    const [x, y] = [cast(a, 'float32'), cast(b, 'float32')]
    const wins = cast(swapped ? zip(comparison, y, x, 'bool') : zip(comparison, x, y, 'bool'), 'float32')
    const ties = cast(zip('eq_f32', x, y, 'bool'), 'float32')
    return times(g, zip('add_scaled_f32', wins, ties, 'float32', [0.5]))
  }

/** The larger of each two; NaN where either is. */
export const maximum = binary({
  name: 'maximum',
  ref: Math.max,
  partials: [share('lt_f32', true), share('lt_f32', false)],
  saves: true,
})

/** The smaller of each two; NaN where either is. */
export const minimum = binary({
  name: 'minimum',
  ref: Math.min,
  partials: [share('lt_f32', false), share('lt_f32', true)],
  saves: true,
})

/** Exponents whose powers have kernels of their own. */
const POWERS: Readonly<Record<string, 'square_f32' | 'sqrt_f32' | 'rsqrt_f32' | 'reciprocal_f32'>> = {
  2: 'square_f32',
  0.5: 'sqrt_f32',
  [-0.5]: 'rsqrt_f32',
  [-1]: 'reciprocal_f32',
}

/** a^b in float32. */
function power(a: Operand, b: Operand): Tensor {
  const kernel = typeof b === 'number' ? POWERS[b] : undefined
  return kernel && a instanceof Tensor ? mapF32(kernel, a) : zipF32('pow_f32', a, b)
}

/** b a^(b - 1), which is 0 where b is. */
function powerSlope(a: Tensor, b: Operand): Tensor {
  if (!(b instanceof Tensor)) return Number(b) === 0 ? zipF32('mul_f32', a, 0) : times(power(a, Number(b) - 1), b)
  const slope = times(zipF32('pow_f32', a, zipF32('sub_f32', b, 1)), b)
  const none = zip('eq_f32', operand(b, 'float32'), operand(0, 'float32'), 'bool')
  return choose('pow', none, operand(0, 'float32'), slope)
}

/** a^b ln a, which is 0 where a is 0 and b is not negative. */
function exponentSlope(a: Operand, b: Tensor): Tensor {
  const slope = times(zipF32('pow_f32', a, b), mapF32('log_f32', operand(a, 'float32')))
  const zero = operand(0, 'float32')
  const none = zip(
    'and_u8',
    asByte(zip('eq_f32', operand(a, 'float32'), zero, 'bool')),
    asByte(zip('le_f32', zero, operand(b, 'float32'), 'bool')),
    'bool',
  )
  return choose('pow', none, zero, slope)
}

/** input to the power of exponent, either of which may be a number. */
export const pow = defineOp({
  name: 'pow',
  params: ['input', 'exponent'],
  forward(record, input: Operand, exponent: Operand): Tensor {
    const common = resultType(input, exponent)
    const dtype: DType = common === 'bool' ? 'int64' : common
    if (!isFloating(dtype)) {
      if (!(exponent instanceof Tensor) && Number(exponent) < 0)
        throw new RushlightError("pow: integers have no negative powers. Hint: to('float32')")
      return record(arithmetic('pow', input, exponent, dtype), [], () => [null, null])
    }
    const exact = exponent instanceof Tensor ? undefined : Number(exponent)
    return record(
      cast(power(input, exact ?? exponent), dtype),
      saved(input, exponent),
      gradients(input, exponent, [
        (g, { a, b }) => times(g, powerSlope(a, exact ?? b)),
        (g, { a, b }) => times(g, exponentSlope(a, b)),
      ]),
    )
  },
  ref(a: Nd | number, b: Nd | number) {
    const dtype = resultType(a, b)
    return typeof a === 'number' ? (b as Nd).map((y) => a ** y, dtype) : a.zip(b, (x, y) => x ** y, dtype)
  },
  samples: (s) => [
    ...[2, 3, 0.5, -0.5, -1, 1.7, 0, 1].map((e): unknown[] => [s.uniform(0.3, 3, 17), e]),
    [s.randn(9), 2],
    [s.randn(9), 3],
    [s.uniform(0.3, 3, 4, 1), s.uniform(-2, 2, 3)],
    [2.5, s.uniform(-2, 2, 7)],
    [s.randint(-3, 4, [7]), 3],
    [s.randint(1, 4, [7], 'int32'), s.randint(0, 4, [7], 'int32')],
    [s.randint(1, 4, [7]), 0.5],
    [s.randn(0, 2), 2],
  ],
  errors: (s) => [[[s.randint(1, 3, [2]), -1], /pow: integers have no negative powers/]],
})

/** input + weight × (end - input). */
export const lerp = compose({
  name: 'lerp',
  params: ['input', 'end', 'weight'],
  forward: (input: Tensor, end: Tensor, weight: Tensor | number): Tensor => add(input, mul(sub(end, input), weight)),
  ref: (a: Nd, b: Nd, weight: Nd | number) =>
    a.zip(
      b.zip(a, (y, x) => y - x).zip(weight, (d, w) => d * w),
      (x, d) => x + d,
    ),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5), 0.3],
    [s.randn(3, 5), s.randn(5), s.uniform(0, 1, 3, 1)],
  ],
})

/** input + value × tensor1 × tensor2. */
export const addcmul = compose({
  name: 'addcmul',
  params: ['input', 'tensor1', 'tensor2', 'value'],
  forward: (input: Tensor, tensor1: Tensor, tensor2: Tensor, value: number = 1): Tensor =>
    add(input, mul(tensor1, tensor2), value),
  ref: (a: Nd, b: Nd, c: Nd, value: number = 1) =>
    a.zip(
      b.zip(c, (x, y) => x * y),
      (x, y) => x + value * y,
    ),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5), s.randn(5)],
    [s.randn(7), s.randn(7), s.randn(7), 0.5],
  ],
})

/** input + value × tensor1 / tensor2. */
export const addcdiv = compose({
  name: 'addcdiv',
  params: ['input', 'tensor1', 'tensor2', 'value'],
  forward: (input: Tensor, tensor1: Tensor, tensor2: Tensor, value: number = 1): Tensor =>
    add(input, div(tensor1, tensor2), value),
  ref: (a: Nd, b: Nd, c: Nd, value: number = 1) =>
    a.zip(
      b.zip(c, (x, y) => x / y),
      (x, y) => x + value * y,
    ),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5), s.uniform(1, 2, 5)],
    [s.randn(7), s.randn(7), s.uniform(1, 2, 7), 0.5],
  ],
})

/** Bits of integers, or truth values. */
function bitwise(name: string, kernel: 'and' | 'or' | 'xor', ref: (a: number, b: number) => number) {
  return defineOp({
    name,
    params: ['input', 'other'],
    differentiable: false,
    forward(record, input: Tensor, other: Operand): Tensor {
      const dtype = resultType(input, other)
      if (isFloating(dtype))
        throw new DTypeError(`${name}: expected integers or bool, found ${dtype}. Hint: logical_${kernel}()`)
      if (dtype !== 'bool') return record(arithmetic(kernel, input, other, dtype), [], () => [])
      return record(
        zip(`${kernel}_u8`, asByte(operand(input, 'bool')), asByte(operand(other, 'bool')), 'bool'),
        [],
        () => [],
      )
    },
    ref: (a: Nd, b: Nd | number) => a.zip(b, ref, resultType(a, b)),
    samples: (s) => [
      [s.randint(-9, 9, [3, 5]), s.randint(-9, 9, [5])],
      [s.randint(-9, 9, [7], 'int32'), 5],
      [s.randint(0, 200, [7], 'uint8'), s.randint(0, 200, [7], 'uint8')],
      [s.mask(3, 5), s.mask(5)],
    ],
    errors: (s) => [[[s.randn(2), s.randn(2)], new RegExp(`${name}: expected integers or bool, found float32`)]],
  })
}

export const bitwise_and = bitwise('bitwise_and', 'and', (a, b) => a & b)
export const bitwise_or = bitwise('bitwise_or', 'or', (a, b) => a | b)
export const bitwise_xor = bitwise('bitwise_xor', 'xor', (a, b) => a ^ b)

/** All bits of integers the other way, or not of bool. */
export const bitwise_not = compose({
  name: 'bitwise_not',
  params: ['input'],
  differentiable: false,
  forward: (input: Tensor): Tensor => bitwise_xor(input, input.dtype === 'bool' ? true : -1),
  ref: (a: Nd) => a.map((x) => (a.dtype === 'bool' ? 1 - x : ~x)),
  samples: (s) => [[s.randint(-9, 9, [7])], [s.mask(5)]],
  errors: (s) => [[[s.randn(2)], /expected integers or bool, found float32/]],
})
