// Softmax, its logarithm, and softmin, over any dimension.
import { type DType, dtypeOf } from '../tensor/dtype.ts'
import { normalizeDim } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast, floatType } from './elementwise.ts'
import { around } from './indices.ts'
import { compose, defineOp } from './op.ts'
import type { Nd, Sampler } from './reference.ts'

type Name = 'softmax' | 'log_softmax'

/** Elements of a chunk. */
const GRAIN = 1 << 15
/** Columns that a kernel takes at a time. */
const COLUMNS = 64

/** Runs the kernel for rows when `dim` is the last that matters, else the one for columns. */
function run(kernel: Name | `${Name}_backward`, x: Tensor, dim: number, pointers: number[]): void {
  const { outer, n, inner } = x.ndim === 0 ? { outer: 1, n: 1, inner: 1 } : around(x.shape, dim)
  const [name, direction] = kernel.split('_backward') as [Name, '' | undefined]
  const suffix = direction === undefined ? 'f32' : 'backward_f32'
  // The kernels of one kind take the same arguments; which, the name says.
  const start = (full: string, sizes: number[], count: number, grain: number) =>
    launch(full as 'softmax_f32', [...pointers, ...sizes] as [number, number, number], count, Math.ceil(grain))
  if (n === 0) return
  if (inner === 1) start(`${name}_${suffix}`, [n], outer, GRAIN / n)
  else start(`${name}_columns_${suffix}`, [n, inner], outer * Math.ceil(inner / COLUMNS), GRAIN / (COLUMNS * n))
}

function resultDtype(input: { dtype: DType }, dtype: DType | string | null): DType {
  return dtype ? dtypeOf(dtype) : floatType(input.dtype)
}

function define(name: Name, row: (shifted: Float64Array, sum: number) => Float64Array) {
  return defineOp({
    name,
    params: ['input', 'dim', 'dtype'],
    forward(record, input: Tensor, dim: number, dtype: DType | string | null = null): Tensor {
      const at = normalizeDim(name, dim, input.ndim)
      const x = asContiguous(cast(input, 'float32'))
      const y = Tensor.empty(x.shape, 'float32', name)
      run(name, x, at, [x.ptr, y.ptr])
      const from = input.dtype
      return record(cast(y, resultDtype(input, dtype)), [y], ([g], [result]) => {
        const given = asContiguous(cast(g, 'float32'))
        const dx = Tensor.empty(result.shape, 'float32', `gradient of ${name}`)
        run(`${name}_backward`, result, at, [given.ptr, result.ptr, dx.ptr])
        return [cast(dx, from)]
      })
    },
    ref: (input: Nd, dim: number, dtype: DType | string | null = null) => {
      const inside = input.shape.length === 0 ? input.reshape([1]) : input
      const out = inside.rows(
        dim < 0 ? dim + inside.shape.length : dim,
        (values) => {
          const most = Math.max(...values)
          const shifted = values.map((x) => x - most)
          return row(
            shifted,
            shifted.reduce((sum, x) => sum + Math.exp(x), 0),
          )
        },
        resultDtype(input, dtype),
      )
      return out.reshape(input.shape)
    },
    samples: (s: Sampler) => [
      [s.randn(3, 5), 1],
      [s.randn(3, 5), 0],
      [s.randn(2, 3, 70), -1],
      [s.randn(2, 7, 19), 1],
      [s.randn(), 0],
      [s.randn(1), 0],
      [s.randn(4, 0), 1],
      [s.randn(0, 4), -1],
      [s.randn(2, 1500), 1],
      [s.randn(4, 3).map((x, i) => (i % 5 === 0 ? -1000 : 100 * x)), 1],
      [
        s
          .randn(3, 5)
          .map(Math.fround, 'bfloat16')
          .map((x) => Math.round(x * 8) / 8),
        1,
      ],
      [s.randint(-3, 3, [3, 4]), 0, 'float32'],
    ],
    errors: (s: Sampler) => [[[s.randn(2, 3), 2], new RegExp(`${name}: dim 2 is out of range`)]],
  })
}

/** exp(x) over the sum of exp(x) along a dimension (torch.softmax). A row of -∞ gives NaN, as in PyTorch. */
export const softmax = define('softmax', (shifted, sum) => shifted.map((x) => Math.exp(x) / sum))

/** ln(softmax(x)), without overflow (torch.log_softmax). */
export const log_softmax = define('log_softmax', (shifted, sum) => shifted.map((x) => x - Math.log(sum)))

/** softmax(-x) (torch.nn.functional.softmin). */
export const softmin = compose({
  name: 'softmin',
  params: ['input', 'dim', 'dtype'],
  forward: (input: Tensor, dim: number, dtype: DType | string | null = null): Tensor =>
    softmax(input.neg(), dim, dtype),
  ref: (input: Nd, dim: number) =>
    input.rows(dim, (row) => {
      const least = Math.min(...row)
      const e = row.map((x) => Math.exp(least - x))
      const sum = e.reduce((a, b) => a + b, 0)
      return e.map((x) => x / sum)
    }),
  samples: (s) => [
    [s.randn(3, 5), 1],
    [s.randn(3, 5, 2), 1],
  ],
})
