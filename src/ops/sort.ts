// Order: sort, argsort, topk. Always stable; NaN counts as the greatest, as in PyTorch.
import { normalizeDim, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous, packed } from './copying.ts'
import { cast } from './elementwise.ts'
import { gatherAlong, prepareIndex, scatterInto, summing, zerosOf } from './indices.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

/** A dimension exchanged with the last; a scalar seen as one element. */
function toLast(x: Tensor, dim: number): Tensor {
  if (x.ndim === 0) return x.alias([1], [1])
  const order = x.shape.map((_, d) => d)
  ;[order[dim], order[order.length - 1]] = [order[order.length - 1], order[dim]]
  return x.alias(
    order.map((d) => x.shape[d]),
    order.map((d) => x.strides[d]),
  )
}

/** The first k places of each row along `dim`, in order: int64. */
function ordered(x: Tensor, dim: number, k: number, descending: boolean, label: string): Tensor {
  const rows = asContiguous(toLast(cast(x, summing(x.dtype)), dim))
  const n = rows.shape[rows.ndim - 1]
  const count = n === 0 ? 0 : rows.numel() / n
  const wide = rows.dtype === 'int64'
  let places: Tensor
  if (k < n && k <= 64) {
    places = Tensor.empty([...rows.shape.slice(0, -1), k], 'int64', label)
    if (k > 0)
      launch(
        wide ? 'topk_i64' : 'topk_f32',
        [rows.ptr, places.ptr, n, k, Number(descending)],
        count,
        Math.ceil((1 << 16) / n),
      )
  } else {
    const all = Tensor.empty(rows.shape, 'int64', label)
    launch(
      wide ? 'argsort_i64' : 'argsort_f32',
      [rows.ptr, all.ptr, n, Number(descending)],
      count,
      Math.ceil((1 << 12) / Math.max(n, 1)),
    )
    places = all.narrow(-1, 0, k)
  }
  const out = packed(toLast(places, dim), label)
  return x.ndim ? out : out.alias([], [])
}

/** What sort and topk give: values with their places, and the way back. */
function valuesAt(x: Tensor, dim: number, places: Tensor, label: string) {
  const index = prepareIndex(label, places, x.shape[dim] ?? 1)
  return { index, values: gatherAlong(x, dim, index, label) }
}

function backTo(shape: readonly number[], dim: number, index: Tensor, g: Tensor): Tensor {
  const out = zerosOf(shape, g.dtype, 'gradient of sort')
  scatterInto(out, dim, index, g, false)
  return out
}

/** The elements along a dimension in order, and where they were: [values, indices]. */
export const sort = defineOp({
  name: 'sort',
  params: ['input', 'dim', 'descending', 'stable'],
  forward(record, input: Tensor, dim: number = -1, descending: boolean = false, _stable: boolean = true): Tensor[] {
    const d = normalizeDim('sort', dim, input.ndim)
    const places = ordered(input, d, input.shape[d] ?? 1, descending, 'sort')
    const { index, values } = valuesAt(input, d, places, 'sort')
    const shape = input.shape
    return record([values, places], [index], ([g], [at]) => [backTo(shape, d, at, g)])
  },
  ref(input: Nd, dim: number = -1, descending: boolean = false) {
    return sortReference(input, dim, Number.POSITIVE_INFINITY, descending)
  },
  samples: (s) => [
    [s.randn(7)],
    [s.randn(3, 5), 0],
    [s.randn(2, 60, 3), 1, true],
    [s.randn(2, 300), -1, true],
    [s.randint(-3, 3, [4, 9]), -1, false],
    [s.randint(-3, 3, [4, 100], 'int32'), -1, true],
    [s.randint(0, 200, [90], 'uint8'), 0],
    [s.mask(3, 6), 1],
    [s.randn(1), 0],
    [s.randn(0, 3), 0],
    [s.randn(3, 0), 1],
    [s.randn(), 0],
  ],
  errors: (s) => [[[s.randn(3), 1], /sort: dim 1 is out of range/]],
})

/** Where the elements along a dimension go in order. */
export const argsort = compose({
  name: 'argsort',
  params: ['input', 'dim', 'descending', 'stable'],
  differentiable: false,
  forward: (input: Tensor, dim: number = -1, descending: boolean = false, _stable: boolean = true): Tensor =>
    ordered(
      input,
      normalizeDim('argsort', dim, input.ndim),
      input.shape[normalizeDim('argsort', dim, input.ndim)] ?? 1,
      descending,
      'argsort',
    ),
  ref: (input: Nd, dim: number = -1, descending: boolean = false) =>
    sortReference(input, dim, Number.POSITIVE_INFINITY, descending)[1],
  samples: (s) => [
    [s.randn(5)],
    [s.randn(70, 3), 0, true],
    [s.randint(0, 3, [4, 50]), -1, true, true],
    [odd(20), 0],
    [odd(60), 0],
    [odd(60), 0, true],
  ],
})

/** Numbers that need care. */
function odd(n: number): Nd {
  const some = [Number.NaN, 1, Number.NEGATIVE_INFINITY, -0, 0, Number.POSITIVE_INFINITY, -1]
  return Nd.of([n], (i) => some[i % some.length])
}

/** The k largest (or smallest) elements along a dimension in order, and where they were: [values, indices]. */
export const topk = defineOp({
  name: 'topk',
  params: ['input', 'k', 'dim', 'largest', 'sorted'],
  forward(
    record,
    input: Tensor,
    k: number,
    dim: number = -1,
    largest: boolean = true,
    _sorted: boolean = true,
  ): Tensor[] {
    const d = normalizeDim('topk', dim, input.ndim)
    const n = input.shape[d] ?? 1
    if (!Number.isInteger(k) || k < 0 || k > n)
      throw new RushlightError(`topk: k is ${k}, expected 0 to ${n}, the size of dim ${dim} of ${show(input.shape)}`)
    const places = ordered(input, d, input.ndim ? k : 1, largest, 'topk')
    const { index, values } = valuesAt(input, d, places, 'topk')
    const shape = input.shape
    return record([values, places], [index], ([g], [at]) => [backTo(shape, d, at, g)])
  },
  ref: (input: Nd, k: number, dim: number = -1, largest: boolean = true) => sortReference(input, dim, k, largest),
  samples: (s) => [
    [s.randn(9), 3],
    [s.randn(4, 100), 5, -1, true],
    [s.randn(4, 100), 5, -1, false],
    [s.randn(100, 3), 70, 0],
    [s.randn(5, 3), 5, 0],
    [s.randint(0, 4, [3, 20]), 7],
    [s.randn(3, 4), 0],
  ],
  errors: (s) => [[[s.randn(3, 4), 5], /topk: k is 5, expected 0 to 4, the size of dim -1 of \[3, 4\]/]],
})

function sortReference(input: Nd, dim: number, k: number, descending: boolean): Nd[] {
  const d = normalizeDim('', dim, input.shape.length)
  const x = input.shape.length ? input : input.reshape([1])
  const before = (a: number, b: number) =>
    Number.isNaN(a) ? Number(!Number.isNaN(b)) : Number.isNaN(b) ? -1 : a < b ? -1 : Number(a > b)
  const order = (row: Float64Array) =>
    [...row.keys()].sort((a, b) => before(row[a], row[b]) * (descending ? -1 : 1) || a - b).slice(0, k)
  return [x.rows(d, (row) => order(row).map((i) => row[i])), x.rows(d, order, 'int64')].map((r) =>
    input.shape.length ? r : r.reshape([]),
  )
}
