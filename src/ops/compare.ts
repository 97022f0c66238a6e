// Comparisons, truth values, and choices by them.
import { show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError } from '../util/errors.ts'
import { asByte, cast, choose, computeType, mapF32, operand, resultType, type Scalar, zip } from './elementwise.ts'
import { sumTo } from './sum-to.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

type Operand = Tensor | Scalar
type Comparison = 'eq' | 'ne' | 'lt' | 'le'

const SUFFIX = { float32: 'f32', int32: 'i32', int64: 'i64' } as const

/** Bytes of 0 or 1. */
function compared(fn: Comparison, a: Operand, b: Operand): Tensor {
  const type = computeType(resultType(a, b))
  return zip(`${fn}_${SUFFIX[type]}`, operand(a, type), operand(b, type), 'bool')
}

/** Two sides, or with `swapped` the other way round: gt is lt of the other. */
function comparison(name: string, fn: Comparison, swapped: boolean, ref: (a: number, b: number) => boolean) {
  return defineOp({
    name,
    params: ['input', 'other'],
    differentiable: false,
    forward: (record, input: Tensor, other: Operand): Tensor =>
      record(swapped ? compared(fn, other, input) : compared(fn, input, other), [], () => []),
    ref: (a: Nd, b: Nd | number) => a.zip(b, (x, y) => Number(ref(x, y)), 'bool'),
    samples: (s) => [
      [s.randint(-2, 3, [3, 5], 'float32'), s.randint(-2, 3, [3, 5], 'float32')],
      [s.randint(-2, 3, [3, 1], 'float32'), s.randint(-2, 3, [700], 'float32')],
      [s.randn(17), 0.1],
      [s.randint(-2, 3, [37]), s.randint(-2, 3, [37])],
      [s.randint(-2, 3, [37], 'int32'), 1],
      [s.randint(-2, 3, [7]), 0.5],
      [s.randint(0, 3, [7], 'uint8'), s.randint(-2, 3, [7], 'int8')],
      [s.mask(7), s.mask(7)],
      [
        Nd.of([3], (i) => [Number.NaN, Number.POSITIVE_INFINITY, -0][i]),
        Nd.of([3], (i) => [Number.NaN, Number.POSITIVE_INFINITY, 0][i]),
      ],
      [s.randn(0), 1],
    ],
    errors: (s) => [
      [[s.randn(3), s.randn(2)], /shapes \[3\] and \[2\] do not broadcast|shapes \[2\] and \[3\] do not broadcast/],
    ],
  })
}

/** Whether each two are equal. */
export const eq = comparison('eq', 'eq', false, (a, b) => a === b)
/** Whether each two differ. */
export const ne = comparison('ne', 'ne', false, (a, b) => a !== b)
/** input < other. */
export const lt = comparison('lt', 'lt', false, (a, b) => a < b)
/** input ≤ other. */
export const le = comparison('le', 'le', false, (a, b) => a <= b)
/** input > other. */
export const gt = comparison('gt', 'lt', true, (a, b) => a > b)
/** input ≥ other. */
export const ge = comparison('ge', 'le', true, (a, b) => a >= b)

function logical(name: string, kernel: 'and_u8' | 'or_u8' | 'xor_u8', ref: (a: boolean, b: boolean) => boolean) {
  return defineOp({
    name,
    params: ['input', 'other'],
    differentiable: false,
    forward: (record, input: Tensor, other: Operand): Tensor =>
      record(zip(kernel, asByte(operand(input, 'bool')), asByte(operand(other, 'bool')), 'bool'), [], () => []),
    ref: (a: Nd, b: Nd) => a.zip(b, (x, y) => Number(ref(x !== 0, y !== 0)), 'bool'),
    samples: (s) => [
      [s.mask(3, 5), s.mask(3, 5)],
      [s.mask(3, 1), s.randint(0, 2, [4])],
      [s.randint(-1, 2, [9], 'float32'), s.randint(0, 2, [9], 'int8')],
    ],
  })
}

export const logical_and = logical('logical_and', 'and_u8', (a, b) => a && b)
export const logical_or = logical('logical_or', 'or_u8', (a, b) => a || b)
export const logical_xor = logical('logical_xor', 'xor_u8', (a, b) => a !== b)

/** Whether each is 0. */
export const logical_not = compose({
  name: 'logical_not',
  params: ['input'],
  differentiable: false,
  forward: (input: Tensor): Tensor => eq(input, 0),
  ref: (a: Nd) => a.map((x) => Number(x === 0), 'bool'),
  samples: (s) => [[s.mask(7)], [s.randint(-1, 2, [7])], [s.randint(-1, 2, [7], 'float32')]],
})

const odd = () => Nd.of([6], (i) => [0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e38, -2][i])

export const isnan = compose({
  name: 'isnan',
  params: ['input'],
  differentiable: false,
  forward: (input: Tensor): Tensor => ne(input, input),
  ref: (a: Nd) => a.map((x) => Number(Number.isNaN(x)), 'bool'),
  samples: (s) => [[odd()], [s.randint(0, 3, [4])]],
})

export const isinf = compose({
  name: 'isinf',
  params: ['input'],
  differentiable: false,
  forward: (input: Tensor): Tensor => compared('eq', mapF32('abs_f32', input), Number.POSITIVE_INFINITY),
  ref: (a: Nd) => a.map((x) => Number(Math.abs(x) === Number.POSITIVE_INFINITY), 'bool'),
  samples: (s) => [[odd()], [s.randint(0, 3, [4])]],
})

export const isfinite = compose({
  name: 'isfinite',
  params: ['input'],
  differentiable: false,
  forward: (input: Tensor): Tensor => compared('lt', mapF32('abs_f32', input), Number.POSITIVE_INFINITY),
  ref: (a: Nd) => a.map((x) => Number(Number.isFinite(x)), 'bool'),
  samples: (s) => [[odd()], [s.randint(0, 3, [4])]],
})

/** Whether |input - other| ≤ atol + rtol |other|; infinities only of the same sign, NaN only with equal_nan. */
export const isclose = compose({
  name: 'isclose',
  params: ['input', 'other', 'rtol', 'atol', 'equal_nan'],
  differentiable: false,
  forward(input: Tensor, other: Tensor, rtol: number = 1e-5, atol: number = 1e-8, equal_nan: boolean = false): Tensor {
    const [a, b] = [cast(input.detach(), 'float32'), cast(other.detach(), 'float32')]
    const near = le(a.sub(b).abs(), b.abs().mul(rtol).add(atol)).logical_and(isfinite(b))
    const close = near.logical_or(eq(a, b))
    return equal_nan ? close.logical_or(isnan(a).logical_and(isnan(b))) : close
  },
  ref: (a: Nd, b: Nd, rtol: number = 1e-5, atol: number = 1e-8, equal_nan: boolean = false) =>
    a.zip(
      b,
      (x, y) =>
        Number(
          x === y ||
            (Number.isFinite(y) && Math.abs(x - y) <= atol + rtol * Math.abs(y)) ||
            (equal_nan && Number.isNaN(x) && Number.isNaN(y)),
        ),
      'bool',
    ),
  samples: (s) => [
    [s.randn(7), s.randn(7), 0.5, 0.1],
    [odd(), odd()],
    [odd(), odd(), 1e-5, 1e-8, true],
    [s.randint(0, 2, [9]), s.randint(0, 2, [9])],
  ],
})

/** Elements of input where the condition holds, else of other; all broadcast. */
export const where = defineOp({
  name: 'where',
  params: ['condition', 'input', 'other'],
  forward(record, condition: Tensor, input: Operand, other: Operand): Tensor {
    const dtype = resultType(input, other)
    const shapes = [input, other].map((x) => (x instanceof Tensor ? { shape: x.shape, dtype: x.dtype } : null))
    return record(
      choose('where', condition, operand(input, dtype), operand(other, dtype)),
      [condition],
      ([g], [held], needs) => {
        const zero = operand(0, g.dtype)
        const out: (Tensor | null)[] = [null]
        shapes.forEach((x, i) => {
          if (!x) return
          const part = needs[out.length]
            ? i === 0
              ? choose('where', held, g, zero)
              : choose('where', held, zero, g)
            : null
          out.push(part && cast(sumTo(part, x.shape), x.dtype))
        })
        return out
      },
    )
  },
  ref(condition: Nd, a: Nd | number, b: Nd | number) {
    const dtype = resultType(a, b)
    const pick = (x: Nd | number) => condition.zip(x, (_, v) => v, dtype)
    const [wide, other] = [pick(a), pick(b)]
    const both = wide.zip(other, () => 0)
    const [c, x, y] = [condition, wide, other].map((v) => v.expand(both.shape))
    return Nd.of(both.shape, (i) => (c.data[i] ? x.data[i] : y.data[i]), dtype)
  },
  samples: (s) => [
    [s.mask(3, 5), s.randn(3, 5), s.randn(3, 5)],
    [s.mask(3, 1), s.randn(5), s.randn(2, 1, 1)],
    [s.mask(1500), s.randn(1500), 0.5],
    [s.mask(7), -1.5, s.randn(7)],
    [s.mask(7), s.randint(-9, 9, [7]), s.randint(-9, 9, [7])],
    [s.mask(7), s.mask(7), s.mask(7)],
    [s.mask(7), s.randint(-9, 9, [7], 'int32'), s.randn(7)],
    [s.mask(7), 1.5, 2.5],
  ],
  errors: (s) => [[[s.randn(2), s.randn(2), s.randn(2)], /where: the condition must be bool, found float32/]],
})

/** The input with `value` (a number, or a tensor without dimensions) where the mask holds. */
export const masked_fill = defineOp({
  name: 'masked_fill',
  params: ['input', 'mask', 'value'],
  forward(record, input: Tensor, mask: Tensor, value: Operand): Tensor {
    checkFill('masked_fill', mask, value)
    const shape = input.shape
    return record(choose('masked_fill', mask, operand(value, input.dtype), input), [mask], ([g], [held]) => {
      const zero = operand(0, g.dtype)
      const kept = sumTo(choose('masked_fill', held, zero, g), shape)
      return value instanceof Tensor ? [kept, null, choose('masked_fill', held, g, zero).sum()] : [kept, null]
    })
  },
  ref: (a: Nd, mask: Nd, value: Nd | number) => {
    const v = typeof value === 'number' ? value : value.data[0]
    const shape = a.zip(mask, () => 0).shape
    const [x, m] = [a.expand(shape), mask.expand(shape)]
    return x.map((e, i) => (m.data[i] ? v : e))
  },
  samples: (s) => [
    [s.randn(3, 5), s.mask(3, 5), -2.5],
    [s.randint(-9, 9, [3, 5], 'float16'), s.mask(5), Number.NEGATIVE_INFINITY],
    [s.randn(5), s.mask(3, 5), 0],
    [s.randn(3, 5), s.mask(3, 5), s.randn()],
    [s.randint(-9, 9, [7]), s.mask(7), 3],
  ],
  errors: (s) => [
    [[s.randn(2), s.randint(0, 2, [2]), 1], /masked_fill: the mask must be bool, found int64/],
    [[s.randn(2), s.mask(2), s.randn(2)], /masked_fill: value must have no dimensions, found shape \[2\]/],
  ],
})

function checkFill(op: string, mask: Tensor, value: Operand): void {
  if (mask.dtype !== 'bool')
    throw new DTypeError(`${op}: the mask must be bool, found ${mask.dtype}. Hint: mask.to('bool')`)
  if (value instanceof Tensor && value.ndim > 0)
    throw new DTypeError(`${op}: value must have no dimensions, found shape ${show(value.shape)}. Hint: where()`)
}
