// Conversions of dtype, under PyTorch's names.
import { DEVICES, type DType, dtypeOf } from '../tensor/dtype.ts'
import { Tensor } from '../tensor/tensor.ts'
import { unsupported } from '../util/errors.ts'
import { cast } from './elementwise.ts'
import { packed } from './copying.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

/** The gradient of a 16-bit result comes in 16 bits. */
const ROUNDED = 2 ** -8

/** What a number becomes in a dtype. */
function converted(x: number, dtype: DType): number {
  if (dtype === 'bool') return Number(x !== 0)
  if (dtype === 'uint8') return Math.trunc(x) & 255
  if (dtype === 'int8') return (Math.trunc(x) << 24) >> 24
  return dtype === 'int32' || dtype === 'int64' ? Math.trunc(x) : x
}

/**
 * In another dtype, or on another device (there is one: 'cpu'). The tensor itself when nothing changes, unless `copy`.
 * `dtype` may be a tensor, whose dtype is meant.
 */
export const to = defineOp({
  name: 'to',
  params: ['input', 'dtype', 'device', 'copy'],
  forward(
    record,
    input: Tensor,
    dtype: string | Tensor | null = null,
    device: string | null = null,
    copy: boolean = false,
  ): Tensor {
    const target = typeof dtype === 'string' && DEVICES.includes(dtype) ? null : dtype
    if (device !== null && !DEVICES.includes(device)) throw unsupported('to', 'device', device, DEVICES)
    const wanted = target === null ? input.dtype : dtypeOf(target instanceof Tensor ? target.dtype : target)
    if (wanted === input.dtype && !copy) return input
    const from = input.dtype
    return record(wanted === from ? packed(input, 'to') : cast(input, wanted), [], ([g]) => [cast(g, from)])
  },
  ref: (input: Nd, dtype: string | Nd | null = null) => {
    const name = dtype instanceof Nd ? dtype.dtype : dtype
    const wanted = name === null || DEVICES.includes(name) ? input.dtype : dtypeOf(name)
    return input.map((x) => converted(x, wanted), wanted)
  },
  samples: (s) => [
    [s.randn(3, 5), 'float16'],
    [s.randn(17), 'bfloat16'],
    [s.uniform(-100, 100, 17), 'int32'],
    [s.uniform(-100, 100, 17), 'int64'],
    [s.uniform(-100, 100, 17), 'int8'],
    [s.uniform(0, 200, 17), 'uint8'],
    [s.randint(-2, 3, [17], 'float32'), 'bool'],
    ...(['int8', 'uint8', 'int32', 'int64', 'bool'] as const).flatMap((to) =>
      (['int8', 'uint8', 'int32', 'int64', 'bool'] as const).map((from) => [
        s.randint(from === 'uint8' || from === 'bool' ? 0 : -5, from === 'bool' ? 2 : 100, [13], from),
        to,
      ]),
    ),
    ...(['int8', 'uint8', 'int32', 'int64', 'bool', 'float16', 'bfloat16'] as const).map((from) => [
      s.randint(0, 2, [9], from),
      'float32',
    ]),
    [s.randint(-9, 9, [9], 'float16'), 'bfloat16'],
    [s.randint(-9, 9, [9], 'bfloat16'), 'int64'],
    [s.randint(-9, 9, [9], 'int64'), 'float16'],
    [s.randn(3), 'cpu'],
    [s.randn(3), s.randint(0, 3, [1])],
    [s.randn(0), 'int64'],
  ],
  errors: (s) => [
    [[s.randn(2), 'float64'], /Unknown dtype 'float64'/],
    [[s.randn(2), null, 'cuda'], /to: device: "cuda" is not supported/],
  ],
  tolerance: ROUNDED,
})

function shorthand(name: string, dtype: DType) {
  return compose({
    name,
    params: ['input'],
    forward: (input: Tensor): Tensor => to(input, dtype),
    ref: (input: Nd) => input.map((x) => converted(x, dtype), dtype),
    samples: (s) => [[s.randint(0, 5, [3, 4], 'float32')], [s.randint(0, 2, [5])]],
    tolerance: ROUNDED,
  })
}

export const float = shorthand('float', 'float32')
export const half = shorthand('half', 'float16')
export const bfloat16 = shorthand('bfloat16', 'bfloat16')
export const int = shorthand('int', 'int32')
export const long = shorthand('long', 'int64')
export const bool = shorthand('bool', 'bool')

/** In the dtype of another tensor. */
export const type_as = compose({
  name: 'type_as',
  params: ['input', 'other'],
  forward: (input: Tensor, other: Tensor): Tensor => to(input, other.dtype),
  ref: (input: Nd, other: Nd) => input.map((x) => converted(x, other.dtype), other.dtype),
  samples: (s) => [[s.randint(0, 5, [3, 4], 'float32'), s.randint(0, 2, [1])]],
})
