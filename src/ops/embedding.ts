// Lookup of rows of a table by number.
import { type Shape, show } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError, ShapeError } from '../util/errors.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { addRows, prepareIndex, selectRows, zerosOf } from './indices.ts'
import { defineOp } from './op.ts'
import { Nd } from './reference.ts'

function checkPadding(padding: number | null, rows: number): number | null {
  if (padding === null) return null
  if (!Number.isInteger(padding) || padding < -rows || padding >= rows)
    throw new RushlightError(`embedding: padding_idx ${padding} is out of range, expected ${-rows} to ${rows - 1}`)
  return padding < 0 ? padding + rows : padding
}

/**
 * Rows of weight (V,D) by ids of any shape: (…,D). 16-bit weights are storage: float32 comes out of them.
 * @param padding_idx a row that gets no gradient
 */
export const embedding = defineOp({
  name: 'embedding',
  params: ['input', 'weight', 'padding_idx'],
  forward(record, input: Tensor, weight: Tensor, padding_idx: number | null = null): Tensor {
    if (weight.ndim !== 2) throw new ShapeError(`embedding: expected a weight (V,D), found shape ${show(weight.shape)}`)
    const size: Shape = weight.shape
    const padding = checkPadding(padding_idx, size[0])
    const index = prepareIndex('embedding', input, size[0])
    const rows = cast(selectRows(asContiguous(weight), 0, index, input.shape, 'embedding'), 'float32')
    return record(rows, [index], ([g], [ids]) => {
      const out = zerosOf(size, 'float32', 'gradient of embedding')
      addRows(out, 0, ids, asContiguous(g))
      if (padding !== null) out.view1d().fill(0 as never, padding * size[1], (padding + 1) * size[1])
      return [null, out]
    })
  },
  ref(input: Nd, weight: Nd) {
    const D = weight.shape[1]
    return Nd.of([...input.shape, D], (i) => weight.data[input.data[Math.floor(i / D)] * D + (i % D)])
  },
  samples: (s) => [
    [s.randint(0, 7, [5]), s.randn(7, 5)],
    [s.randint(0, 7, [2, 3], 'int32'), s.randn(7, 37)],
    [s.randint(0, 40, [70]), s.randn(40, 33)],
    [s.randint(0, 3, []), s.randn(3, 1)],
    [s.randint(0, 3, [0]), s.randn(3, 4)],
    [s.randint(0, 3, [2]), s.randn(3, 0)],
    [new Nd([3], Float64Array.of(2, 0, 3), 'int64'), s.randn(4, 3), null],
    [s.randint(0, 9, [4]), half(s.randn(9, 6), 'bfloat16')],
    [s.randint(0, 9, [4]), half(s.randn(9, 6), 'float16')],
  ],
  errors: (s) => [
    [
      [new Nd([2, 2], Float64Array.of(0, 1, 4, 5), 'int64'), s.randn(4, 3)],
      /embedding: index 4 at \[1, 0\] is out of range for size 4: expected 0 to 3/,
    ],
    [[new Nd([1], Float64Array.of(-1), 'int32'), s.randn(4, 3)], /embedding: index -1 at \[0\] is out of range/],
    [[s.randn(2), s.randn(4, 3)], /embedding: expected an index of dtype int64 or int32, found float32/],
    [[s.randint(0, 3, [2]), s.randn(4)], /embedding: expected a weight \(V,D\), found shape \[4\]/],
    [[s.randint(0, 3, [2]), s.randn(4, 3), 4], /padding_idx 4 is out of range, expected -4 to 3/],
    [[s.randint(0, 3, [2]), s.randn(4, 3), { max_norm: 1 }], /embedding: unknown argument max_norm/],
  ],
})

/** Numbers that 16 bits hold exactly, so that rounding to the dtype changes nothing. */
function half(nd: Nd, dtype: 'bfloat16' | 'float16'): Nd {
  return nd.map((x) => Math.round(x * 16) / 16, dtype)
}
