// Running sums and products along a dimension.
import { isFloating, type DType, dtypeOf } from '../tensor/dtype.ts'
import { normalizeDim } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { around, summing } from './indices.ts'
import { defineOp } from './op.ts'
import type { Nd } from './reference.ts'

/** Columns a chunk takes: whole scans, each of n elements. */
function grainOf(n: number): number {
  return Math.ceil((1 << 15) / Math.max(n, 1))
}

function scan(name: 'cumsum' | 'cumprod', x: Tensor, dim: number, reverse = false): Tensor {
  const out = Tensor.empty(x.shape, x.dtype, name)
  const { outer, n, inner } = around(x.shape, dim)
  if (name === 'cumsum')
    launch(
      x.dtype === 'int64' ? 'cumsum_i64' : 'cumsum_f32',
      [x.ptr, out.ptr, n, inner, Number(reverse)],
      outer * inner,
      grainOf(n),
    )
  else
    launch(x.dtype === 'int64' ? 'cumprod_i64' : 'cumprod_f32', [x.ptr, out.ptr, n, inner], outer * inner, grainOf(n))
  return out
}

/** The dtype of the result: integers and bool are added as int64. */
function resultType(input: DType, asked: string | null): DType {
  return asked === null ? (isFloating(input) ? input : 'int64') : dtypeOf(asked)
}

function reference(
  input: Nd,
  dim: number,
  asked: string | null,
  fn: (a: number, b: number) => number,
  start: number,
): Nd {
  const dtype = resultType(input.dtype, asked)
  if (input.shape.length === 0) return input.map((x) => x, dtype)
  return input.rows(
    normalizeDim('', dim, input.shape.length),
    (row) => {
      let sum = start
      return row.map((x) => (sum = fn(sum, x)))
    },
    dtype,
  )
}

/** Sums of all elements up to each one. */
export const cumsum = defineOp({
  name: 'cumsum',
  params: ['input', 'dim', 'dtype'],
  forward(record, input: Tensor, dim: number, dtype: string | null = null): Tensor {
    const d = normalizeDim('cumsum', dim, input.ndim)
    const result = resultType(input.dtype, dtype)
    const out = scan('cumsum', asContiguous(cast(input, summing(result))), d)
    return record(cast(out, result), [], ([g]) => [scan('cumsum', asContiguous(cast(g, 'float32')), d, true)])
  },
  ref: (input: Nd, dim: number, dtype: string | null = null) => reference(input, dim, dtype, (a, b) => a + b, 0),
  samples: (s) => [
    [s.randn(7), 0],
    [s.randn(3, 5), 1],
    [s.randn(2, 6, 1100), -2],
    [s.randn(40, 3), 0],
    [s.randint(-9, 9, [3, 5], 'int32'), 1],
    [s.mask(20), 0],
    [s.randint(-9, 9, [3, 5]), 0, 'float32'],
    [s.randn(0, 3), 0],
    [s.randn(), 0],
  ],
  errors: (s) => [[[s.randn(3), 1], /cumsum: dim 1 is out of range/]],
})

/** Products of all elements up to each one. */
export const cumprod = defineOp({
  name: 'cumprod',
  params: ['input', 'dim', 'dtype'],
  forward(record, input: Tensor, dim: number, dtype: string | null = null): Tensor {
    const d = normalizeDim('cumprod', dim, input.ndim)
    const result = resultType(input.dtype, dtype)
    const x = asContiguous(cast(input, summing(result)))
    const out = scan('cumprod', x, d)
    return record(cast(out, result), [x], ([g], [saved]) => {
      const grad = asContiguous(cast(g, 'float32'))
      const dx = Tensor.empty(saved.shape, 'float32', 'gradient of cumprod')
      const { outer, n, inner } = around(saved.shape, d)
      launch('cumprod_backward_f32', [saved.ptr, grad.ptr, dx.ptr, n, inner], outer * inner, grainOf(n))
      return [dx]
    })
  },
  ref: (input: Nd, dim: number, dtype: string | null = null) => reference(input, dim, dtype, (a, b) => a * b, 1),
  samples: (s) => [
    [s.randn(7), 0],
    [s.randn(3, 5).map((x, i) => (i % 4 === 1 ? 0 : x)), 1],
    [s.randn(2, 6, 40), 1],
    [s.randint(-3, 3, [3, 5]), 1],
    [s.randn(0, 3), 0],
  ],
})
