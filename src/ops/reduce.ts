// Reductions: sums, products, extremes, their places, variances, norms.
import { type DType, dtypeOf, isFloating } from '../tensor/dtype.ts'
import { normalizeDim, normalizeDims, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, unsupported } from '../util/errors.ts'
import { asByte, cast, choose, mapF32, operand, zipF32 } from './elementwise.ts'
import { compose, defineOp } from './op.ts'
import { constant, type Dims, placesBy, prepare, type Reduction, reduceBy, shaped } from './reducing.ts'
import { Nd, type Sampler } from './reference.ts'

/** For references: the dimensions reduced by a function of all elements that fall together. */
function reduced(
  input: Nd,
  dim: Dims | undefined,
  keepdim: boolean,
  fn: (row: Float64Array) => number,
  dtype: DType = input.dtype,
): Nd {
  const rank = input.shape.length
  const dims = normalizeDims('', dim, rank)
  const rest = Array.from({ length: rank }, (_, d) => d).filter((d) => !dims.includes(d))
  const order = [...rest, ...dims]
  const moved = order.every((d, i) => d === i) ? input : input.permute(order)
  const lead = rest.map((d) => input.shape[d])
  const n = numelOf(dims.map((d) => input.shape[d]))
  const rows = Nd.of(lead, (i) => fn(moved.data.subarray(i * n, (i + 1) * n)), dtype)
  return keepdim ? rows.reshape(input.shape.map((size, d) => (dims.includes(d) ? 1 : size))) : rows
}

/** Shapes that meet every way the kernels go. */
const shapes = (s: Sampler): unknown[][] => [
  [s.randn(17)],
  [s.randn(3, 5), 1],
  [s.randn(3, 5), 0, true],
  [s.randn(2, 3, 4), [0, 2]],
  [s.randn(2, 3, 4), -1, true],
  [s.randn(2, 3, 4), [1, 2]],
  [s.randn(700, 3), 0],
  [s.randn(300, 37), 0],
  [s.randn(2, 1023), 1],
  [s.randn()],
]

/** A gradient of the result's shape, seen at the input's. */
function spread(g: Tensor, kept: Shape, shape: Shape): Tensor {
  return g.reshape(kept).expand(shape)
}

/** The dtype of sums and products. */
function sumType(dtype: DType, asked: string | null): DType {
  return asked === null ? (isFloating(dtype) ? dtype : 'int64') : dtypeOf(asked)
}

/** The dtype that reductions compute in. */
const wide = (dtype: DType): 'float32' | 'int64' => (isFloating(dtype) ? 'float32' : 'int64')

const total = (values: Iterable<number>): number => {
  let sum = 0
  for (const x of values) sum += x
  return sum
}

/** The sum times `scale`, in the dtype of the kernels. */
function summed(r: Reduction, scale = 1): Tensor {
  if (r.n === 0) return constant(r.shape, r.x.dtype, 0)
  return shaped(
    r.x.dtype === 'int64' ? reduceBy('sum_i64', 'sum_i64', r) : reduceBy('sum_f32', 'sum_f32', r, scale),
    r.shape,
  )
}

/** The sum over dimensions (all by default); integers and bool are added as int64. */
export const sum = defineOp({
  name: 'sum',
  params: ['input', 'dim', 'keepdim', 'dtype'],
  forward(record, input: Tensor, dim: Dims = null, keepdim: boolean = false, dtype: string | null = null): Tensor {
    const result = sumType(input.dtype, dtype)
    const r = prepare('sum', cast(input, wide(result)), dim, keepdim)
    const { shape, dtype: from } = input
    const { kept } = r
    return record(cast(summed(r), result), [], ([g]) => [cast(spread(g, kept, shape), from)])
  },
  ref: (input: Nd, dim: Dims = null, keepdim: boolean = false, dtype: string | null = null) =>
    reduced(input, dim, keepdim, total, sumType(input.dtype, dtype)),
  samples: (s) => [
    ...shapes(s),
    [s.randn(0)],
    [s.randn(0, 3), 0],
    [s.randn(70_000)],
    [s.randint(-9, 9, [3, 50]), 1],
    [s.randint(-9, 9, [5, 3], 'int32'), 0],
    [s.mask(40), null],
    [s.mask(4, 5), 0, false, 'float32'],
  ],
  errors: (s) => [
    [[s.randn(2, 3), 2], /sum: dim 2 is out of range/],
    [[s.randn(2, 3), [0, -2]], /sum: dim \[0, 0\] names a dimension twice/],
  ],
})

/** The mean over dimensions (all by default). */
export const mean = defineOp({
  name: 'mean',
  params: ['input', 'dim', 'keepdim', 'dtype'],
  forward(record, input: Tensor, dim: Dims = null, keepdim: boolean = false, dtype: string | null = null): Tensor {
    const result = dtype === null ? input.dtype : dtypeOf(dtype)
    if (!isFloating(result)) throw new DTypeError(`mean: expected floats, found ${result}. Hint: to('float32')`)
    const r = prepare('mean', cast(input, 'float32'), dim, keepdim)
    const { shape, dtype: from } = input
    const { kept, n } = r
    const out = n === 0 ? constant(r.shape, 'float32', Number.NaN) : summed(r, 1 / n)
    return record(cast(out, result), [], ([g]) => [cast(spread(zipF32('mul_f32', g, 1 / n), kept, shape), from)])
  },
  ref: (input: Nd, dim: Dims = null, keepdim: boolean = false, dtype: string | null = null) =>
    reduced(input, dim, keepdim, (row) => total(row) / row.length, dtype === null ? input.dtype : dtypeOf(dtype)),
  samples: (s) => [...shapes(s), [s.randn(0)], [s.randint(0, 9, [4]), 0, false, 'float32']],
  errors: (s) => [[[s.randint(0, 3, [4])], /mean: expected floats, found int64/]],
})

/** The product over one dimension, or all. */
export const prod = defineOp({
  name: 'prod',
  params: ['input', 'dim', 'keepdim', 'dtype'],
  forward(
    record,
    input: Tensor,
    dim: number | null = null,
    keepdim: boolean = false,
    dtype: string | null = null,
  ): Tensor {
    const result = sumType(input.dtype, dtype)
    const type = wide(result)
    const r = prepare('prod', cast(input, type), dim, keepdim)
    const kernel = type === 'int64' ? 'prod_i64' : 'prod_f32'
    const out = r.n === 0 ? constant(r.shape, type, 1) : shaped(reduceBy(kernel, kernel, r), r.shape)
    const { dims, kept } = r
    return record(cast(out, result), [input, out], ([g], [x, y]) => [prodGradient(g, x, y, dims, kept)])
  },
  ref: (input: Nd, dim: number | null = null, keepdim: boolean = false, dtype: string | null = null) =>
    reduced(input, dim, keepdim, (row) => row.reduce((a, b) => a * b, 1), sumType(input.dtype, dtype)),
  samples: (s) => [
    [s.uniform(0.5, 1.5, 17)],
    [s.uniform(-2, 2, 3, 5), 1],
    [s.uniform(-2, 2, 3, 5), 0, true],
    [s.uniform(0.9, 1.1, 2, 300, 3), 1],
    [s.uniform(-2, 2, 3, 4).map((x, i) => (i === 1 || i === 4 || i === 6 ? 0 : x)), 1],
    [s.randint(-3, 4, [2, 5]), 1],
    [s.mask(4)],
    [s.randn(0)],
  ],
})

/** Each element's gradient is the product of the others: y / x, or where one element is 0 that of the rest, at it alone. */
function prodGradient(g: Tensor, x: Tensor, y: Tensor, dims: number[], kept: number[]): Tensor {
  const values = cast(x, 'float32')
  if (values.numel() === 0) return x
  const zero = x.eq(0)
  const rest = prepare('prod', choose('prod', zero, operand(1, 'float32'), values), dims, true)
  const others = shaped(reduceBy('prod_f32', 'prod_f32', rest), kept)
  const alone = choose('prod', zero.sum(dims, true).eq(1), others, operand(0, 'float32'))
  const slope = choose('prod', zero, alone, zipF32('div_f32', y.reshape(kept), values))
  return cast(zipF32('mul_f32', g.reshape(kept), slope), x.dtype)
}

// ---- extremes

type Extreme = 'max' | 'min'

function refuseEmpty(op: string, { n }: { n: number }, shape: Shape): void {
  if (n === 0) throw new RushlightError(`${op}: there is nothing to choose from in shape ${show(shape)}`)
}

const pick = (which: Extreme, row: Float64Array): number =>
  row.reduce((a, b) => (which === 'max' ? Math.max(a, b) : Math.min(a, b)))

/** Extremes over dimensions; equal ones share the gradient. */
function extreme(which: Extreme) {
  const name = `a${which}`
  return defineOp({
    name,
    params: ['input', 'dim', 'keepdim'],
    forward(record, input: Tensor, dim: Dims = null, keepdim: boolean = false): Tensor {
      const { dtype, shape } = input
      const r = prepare(name, cast(input, wide(dtype)), dim, keepdim)
      refuseEmpty(name, r, shape)
      const kernel = `${which}_${isFloating(dtype) ? 'f32' : 'i64'}` as const
      const out = cast(shaped(reduceBy(kernel, kernel, r), r.shape), dtype)
      const { dims, kept } = r
      return record(out, [input, out], ([g], [x, y]) => {
        const ties = cast(x.eq(y.reshape(kept)), 'float32')
        const share = zipF32('div_f32', g.reshape(kept), ties.sum(dims, true))
        return [cast(zipF32('mul_f32', share, ties), dtype)]
      })
    },
    ref: (input: Nd, dim: Dims = null, keepdim: boolean = false) =>
      reduced(input, dim, keepdim, (row) => pick(which, row)),
    samples: (s) => [
      ...shapes(s),
      [s.randn(70_000)],
      [s.randint(-90, 90, [3, 50]), 1],
      [s.randint(-9, 9, [5, 3], 'int8'), 0],
      [s.mask(4, 2), 0],
      [Nd.of([2, 40], (i) => (i === 7 ? Number.NaN : i % 13), 'float16'), 1],
    ],
    errors: (s) => [[[s.randn(0, 3), 0], new RegExp(`${name}: there is nothing to choose from in shape \\[0, 3\\]`)]],
  })
}

/** The largest over dimensions (all by default). */
export const amax = extreme('max')
/** The smallest over dimensions (all by default). */
export const amin = extreme('min')

/** Places over one dimension, or in the flat whole; the first of equals, and the first NaN where there is one. */
function places(
  which: Extreme,
  op: string,
  input: Tensor,
  dim: number | null,
  keepdim: boolean,
): { values: Tensor; indices: Tensor } {
  const r = prepare(op, cast(input, wide(input.dtype)), dim, keepdim)
  refuseEmpty(op, r, input.shape)
  const [values, indices] = placesBy(`arg${which}`, r)
  return { values: cast(shaped(values, r.shape), input.dtype), indices: shaped(indices, r.shape) }
}

function placeIn(which: Extreme, row: Float64Array): number {
  const nan = row.findIndex(Number.isNaN)
  return nan >= 0 ? nan : row.indexOf(pick(which, row))
}

function argument(which: Extreme) {
  return defineOp({
    name: `arg${which}`,
    params: ['input', 'dim', 'keepdim'],
    differentiable: false,
    forward: (record, input: Tensor, dim: number | null = null, keepdim: boolean = false): Tensor =>
      record(places(which, `arg${which}`, input, dim, keepdim).indices, [], () => []),
    ref: (input: Nd, dim: number | null = null, keepdim: boolean = false) =>
      reduced(input, dim, keepdim, (row) => placeIn(which, row), 'int64'),
    samples: (s) => [
      [s.randn(17)],
      [s.randn(3, 5), 1],
      [s.randn(3, 5), 0, true],
      [s.randn(2, 3, 4), -2],
      [s.randn(3, 4)],
      [s.randn(2, 150_000), 1],
      [s.randint(-3, 3, [70, 5]), 0],
      [s.randint(-3, 3, [40], 'int32')],
      [Nd.of([2, 40], (i) => (i === 7 ? Number.NaN : i % 13)), 1],
    ],
    errors: (s) => [[[s.randn(0, 3), 0], /there is nothing to choose from/]],
  })
}

/** Where the largest is, along a dimension or in the flat whole. */
export const argmax = argument('max')
/** Where the smallest is, along a dimension or in the flat whole. */
export const argmin = argument('min')

/** The extreme along a dimension with its places: [values, indices]. The gradient goes to that place alone. */
function extremeAlong(which: Extreme) {
  return defineOp({
    name: which,
    params: ['input', 'dim', 'keepdim'],
    forward(record, input: Tensor, dim: number, keepdim: boolean): Tensor[] {
      const { shape, dtype } = input
      const d = normalizeDim(which, dim, input.ndim)
      const { values, indices } = places(which, which, input, input.ndim ? d : null, keepdim)
      return record([values, indices], [indices], ([g], [at]) => {
        if (shape.length === 0) return [g]
        const kept = shape.map((size, i) => (i === d ? 1 : size))
        const count = Tensor.from(
          Int32Array.from({ length: shape[d] }, (_, i) => i),
          shape.map((size, i) => (i === d ? size : 1)),
          'int32',
        )
        return [
          cast(
            choose(which, count.eq(at.reshape(kept)), cast(g.reshape(kept), 'float32'), operand(0, 'float32')),
            dtype,
          ),
        ]
      })
    },
    ref: (input: Nd) => input,
    samples: () => [],
  })
}

/** max and min: of all elements, of each along a dimension with its place, or of each two. */
function manyFold(which: Extreme) {
  const along = extremeAlong(which)
  return compose({
    name: which,
    params: ['input', 'dim', 'keepdim'],
    forward(input: Tensor, dim: number | Tensor | null = null, keepdim: boolean = false): Tensor | Tensor[] {
      if (dim instanceof Tensor) return which === 'max' ? input.maximum(dim) : input.minimum(dim)
      if (dim === null) return which === 'max' ? amax(input) : amin(input)
      return along(input, dim, keepdim)
    },
    ref(input: Nd, dim: number | Nd | null = null, keepdim: boolean = false) {
      if (dim instanceof Nd) return input.zip(dim, which === 'max' ? Math.max : Math.min)
      const values = reduced(input, dim, keepdim, (row) => pick(which, row))
      return dim === null ? values : [values, reduced(input, dim, keepdim, (row) => placeIn(which, row), 'int64')]
    },
    samples: (s) => [
      [s.randn(3, 5)],
      [s.randn(3, 5), 1],
      [s.randn(3, 5), 0, true],
      [s.randn(2, 3, 4), -2],
      [s.randn(1, 3, 33), 1],
      [s.randn(), 0],
      [s.randn(3, 5), s.randn(5)],
      [s.randint(-3, 3, [7, 5]), 0],
    ],
    errors: (s) => [[[s.randn(2), 1], new RegExp(`${which}: dim 1 is out of range`)]],
  })
}

/** The call forms of max and min. */
export interface ManyFold {
  /** Of all elements. */
  (): Tensor
  /** Of each two. */
  (other: Tensor): Tensor
  /** Along a dimension: [values, indices]. */
  (dim: number, keepdim?: boolean): [values: Tensor, indices: Tensor]
  (options: { dim: number; keepdim?: boolean }): [values: Tensor, indices: Tensor]
}

/** The largest: of all elements, along a dimension [values, indices], or of each two. */
export const max = manyFold('max')
/** The smallest: of all elements, along a dimension [values, indices], or of each two. */
export const min = manyFold('min')

// ---- truth

function truth(name: 'any' | 'all') {
  const [kernel, empty] = name === 'any' ? (['max_u8', 0] as const) : (['min_u8', 1] as const)
  return defineOp({
    name,
    params: ['input', 'dim', 'keepdim'],
    differentiable: false,
    forward(record, input: Tensor, dim: Dims = null, keepdim: boolean = false): Tensor {
      const r = prepare(name, asByte(cast(input, 'bool')), dim, keepdim)
      const bytes = r.n === 0 ? constant(r.shape, 'uint8', empty) : shaped(reduceBy(kernel, kernel, r), r.shape)
      return record(cast(bytes, 'bool'), [], () => [])
    },
    ref: (input: Nd, dim: Dims = null, keepdim: boolean = false) =>
      reduced(
        input,
        dim,
        keepdim,
        (row) => Number(name === 'any' ? row.some((x) => x !== 0) : row.every((x) => x !== 0)),
        'bool',
      ),
    samples: (s) => [
      [s.mask(3, 5)],
      [s.mask(3, 2), 1],
      [s.mask(2, 9, 3), [0, 2], true],
      [s.randint(0, 2, [3, 2]), 0],
      [s.randint(0, 2, [3, 2], 'float32'), 0],
      [s.mask(0)],
      [Nd.of([70_000], (i) => Number((name === 'any') === (i === 69_999)), 'bool')],
    ],
  })
}

/** Whether any element is not 0. */
export const any = truth('any')
/** Whether no element is 0. */
export const all = truth('all')

/** How many elements are not 0. */
export const count_nonzero = compose({
  name: 'count_nonzero',
  params: ['input', 'dim'],
  differentiable: false,
  forward: (input: Tensor, dim: Dims = null): Tensor => sum(input.ne(0), dim),
  ref: (input: Nd, dim: Dims = null) => reduced(input, dim, false, (row) => row.filter((x) => x !== 0).length, 'int64'),
  samples: (s) => [[s.randint(0, 3, [3, 5])], [s.mask(3, 5), 1]],
})

// ---- spread

const variance = (row: Float64Array, correction: number): number => {
  const mid = total(row) / row.length
  return total(row.map((x) => (x - mid) ** 2)) / Math.max(row.length - correction, 0)
}

const spreadSamples = (s: Sampler): unknown[][] => [
  [s.randn(17)],
  [s.randn(3, 5), 1],
  [s.randn(3, 5).map((x) => x + 100), 0, 0, true],
  [s.randn(2, 3, 4), [0, 2], 1],
  [s.randn(300, 37), 0],
  [s.randn(70_000), null, 0],
]

/** The mean of squared deviations from the mean, computed in two passes. `correction` is taken from the count (torch.var). */
const varianceOf = defineOp({
  name: 'var',
  params: ['input', 'dim', 'correction', 'keepdim'],
  forward(record, input: Tensor, dim: Dims = null, correction: number = 1, keepdim: boolean = false): Tensor {
    if (!isFloating(input.dtype))
      throw new DTypeError(`var: expected floats, found ${input.dtype}. Hint: to('float32')`)
    const { shape, dtype } = input
    const r = prepare('var', cast(input, 'float32'), dim, keepdim)
    const { kept } = r
    const scale = 1 / Math.max(r.n - correction, 0)
    if (r.n === 0) return record(cast(constant(r.shape, 'float32', Number.NaN), dtype), [], () => [null])
    const middle = reduceBy('sum_f32', 'sum_f32', r, 1 / r.n)
    const out = shaped(reduceBy('sum_deviations_f32', 'sum_f32', r, scale, middle), r.shape)
    return record(cast(out, dtype), [input, shaped(middle, kept)], ([g], [x, mid]) => {
      const slope = zipF32('mul_f32', zipF32('sub_f32', x, mid), zipF32('mul_f32', g.reshape(kept), 2 * scale))
      return [cast(slope.expand(shape), dtype)]
    })
  },
  ref: (input: Nd, dim: Dims = null, correction: number = 1, keepdim: boolean = false) =>
    reduced(input, dim, keepdim, (row) => variance(row, correction)),
  samples: spreadSamples,
  errors: (s) => [[[s.randint(0, 3, [4])], /var: expected floats, found int64/]],
})
export { varianceOf as var }

/** The square root of the variance. */
export const std = compose({
  name: 'std',
  params: ['input', 'dim', 'correction', 'keepdim'],
  forward: (input: Tensor, dim: Dims = null, correction: number = 1, keepdim: boolean = false): Tensor =>
    varianceOf(input, dim, correction, keepdim).sqrt(),
  ref: (input: Nd, dim: Dims = null, correction: number = 1, keepdim: boolean = false) =>
    reduced(input, dim, keepdim, (row) => Math.sqrt(variance(row, correction))),
  samples: spreadSamples,
})

/** Variance and mean. */
export const var_mean = compose({
  name: 'var_mean',
  params: ['input', 'dim', 'correction', 'keepdim'],
  forward: (input: Tensor, dim: Dims = null, correction: number = 1, keepdim: boolean = false): [Tensor, Tensor] => [
    varianceOf(input, dim, correction, keepdim),
    mean(input, dim, keepdim),
  ],
  ref: (input: Nd, dim: Dims = null, correction: number = 1, keepdim: boolean = false) => [
    reduced(input, dim, keepdim, (row) => variance(row, correction)),
    reduced(input, dim, keepdim, (row) => total(row) / row.length),
  ],
  samples: spreadSamples,
})

/** Standard deviation and mean. */
export const std_mean = compose({
  name: 'std_mean',
  params: ['input', 'dim', 'correction', 'keepdim'],
  forward: (input: Tensor, dim: Dims = null, correction: number = 1, keepdim: boolean = false): [Tensor, Tensor] => [
    std(input, dim, correction, keepdim),
    mean(input, dim, keepdim),
  ],
  ref: (input: Nd, dim: Dims = null, correction: number = 1, keepdim: boolean = false) => [
    reduced(input, dim, keepdim, (row) => Math.sqrt(variance(row, correction))),
    reduced(input, dim, keepdim, (row) => total(row) / row.length),
  ],
  samples: spreadSamples,
})

/** ln of the sum of e^x, without overflow. */
export const logsumexp = defineOp({
  name: 'logsumexp',
  params: ['input', 'dim', 'keepdim'],
  forward(record, input: Tensor, dim: Dims, keepdim: boolean = false): Tensor {
    const { dtype } = input
    const x = cast(input, 'float32')
    const r = prepare('logsumexp', x, dim, keepdim)
    const { kept } = r
    if (r.n === 0) return record(constant(r.shape, 'float32', Number.NEGATIVE_INFINITY), [], () => [null])
    const top = shaped(reduceBy('max_f32', 'max_f32', r), kept)
    // Where all are -∞ or one is ∞, that is the answer, and ∞ - ∞ must not come up.
    const shift = choose('logsumexp', top.isfinite(), top, operand(0, 'float32'))
    const sums = prepare('logsumexp', mapF32('exp_f32', zipF32('sub_f32', x, shift)), r.dims, true)
    const out = zipF32('add_f32', mapF32('log_f32', summed(sums)), shift)
    return record(
      cast(shaped(out, r.shape), isFloating(dtype) ? dtype : 'float32'),
      [input, out],
      ([g], [given, y]) => {
        const share = mapF32('exp_f32', zipF32('sub_f32', given, y))
        return [cast(zipF32('mul_f32', share, g.reshape(kept)), dtype)]
      },
    )
  },
  ref: (input: Nd, dim: Dims, keepdim: boolean = false) =>
    reduced(input, dim, keepdim, (row) => {
      const top = Math.max(...row)
      return Number.isFinite(top) ? top + Math.log(total(row.map((x) => Math.exp(x - top)))) : top
    }),
  samples: (s) => [
    [s.randn(17), 0],
    [s.randn(3, 5), 1],
    [s.randn(3, 5).map((x) => x * 100), 0, true],
    [s.randn(2, 3, 4), [0, 2]],
    [
      Nd.of(
        [3, 2],
        (i) =>
          [
            1,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            Number.NEGATIVE_INFINITY,
            Number.POSITIVE_INFINITY,
            0,
          ][i],
        'float16',
      ),
      1,
    ],
  ],
})

// ---- norms

/** The square root of the sum of squares. */
const euclidean = defineOp({
  name: 'norm',
  params: ['input', 'dim', 'keepdim'],
  forward(record, input: Tensor, dim: Dims, keepdim: boolean): Tensor {
    const { dtype } = input
    const r = prepare('norm', cast(input, 'float32'), dim, keepdim)
    const { kept } = r
    const squares =
      r.n === 0 ? constant(r.shape, 'float32', 0) : shaped(reduceBy('sum_squares_f32', 'sum_f32', r, 1), r.shape)
    const out = cast(mapF32('sqrt_f32', squares), dtype)
    return record(out, [input, out], ([g], [x, y]) => {
      // Towards 0 the norm has no direction: its gradient there is 0.
      const unit = zipF32('div_f32', x, y.reshape(kept))
      const zero = operand(0, 'float32')
      return [cast(zipF32('mul_f32', choose('norm', y.reshape(kept).eq(0), zero, unit), g.reshape(kept)), dtype)]
    })
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

const norm64 = (row: Float64Array, p: number): number => {
  if (p === 0) return row.filter((x) => x !== 0).length
  if (p === Number.POSITIVE_INFINITY) return Math.max(...row.map(Math.abs))
  if (p === Number.NEGATIVE_INFINITY) return Math.min(...row.map(Math.abs))
  return total(row.map((x) => Math.abs(x) ** p)) ** (1 / p)
}

/** The p-norm over dimensions (all by default): (Σ |x|^p)^(1/p). p may be Infinity, -Infinity, 0, or 'fro' for 2. */
export const norm = compose({
  name: 'norm',
  params: ['input', 'p', 'dim', 'keepdim'],
  forward(input: Tensor, p: number | 'fro' | null = 'fro', dim: Dims = null, keepdim: boolean = false): Tensor {
    if (!isFloating(input.dtype))
      throw new DTypeError(`norm: expected floats, found ${input.dtype}. Hint: to('float32')`)
    if (p === 'fro' || p === null || p === 2) return euclidean(input, dim, keepdim)
    if (typeof p !== 'number') throw unsupported('norm', 'p', p, ['a number', 'fro'])
    if (p === 0) return sum(input.ne(0), dim, keepdim).to(input.dtype)
    const size = input.abs()
    if (p === 1) return sum(size, dim, keepdim)
    if (Math.abs(p) === Number.POSITIVE_INFINITY) return p > 0 ? amax(size, dim, keepdim) : amin(size, dim, keepdim)
    return sum(size.pow(p), dim, keepdim).pow(1 / p)
  },
  ref: (input: Nd, p: number | 'fro' | null = 'fro', dim: Dims = null, keepdim: boolean = false) =>
    reduced(input, dim, keepdim, (row) => norm64(row, typeof p === 'number' ? p : 2)),
  samples: (s) => [
    [s.randn(17)],
    [s.randn(3, 5), 2, 1],
    [s.randn(3, 5), 1, 0, true],
    [s.randn(2, 3, 4), 3, [0, 2]],
    [s.randn(3, 5), Number.POSITIVE_INFINITY, -1],
    [s.randn(3, 5), Number.NEGATIVE_INFINITY, -1],
    [s.randn(2, 3, 4), 'fro', [1, 2]],
    [s.randn(0)],
  ],
  errors: (s) => [
    [[s.randn(3, 3), 'nuc'], /norm: p: "nuc" is not supported/],
    [[s.randint(0, 3, [4])], /norm: expected floats, found int64/],
  ],
})

/** Divided by the p-norm along a dimension, or by eps where the norm is smaller (torch.nn.functional.normalize). */
export const normalize = compose({
  name: 'normalize',
  params: ['input', 'p', 'dim', 'eps'],
  forward: (input: Tensor, p: number = 2, dim: Dims = 1, eps: number = 1e-12): Tensor =>
    input.div(norm(input, p, dim, true).clamp_min(eps)),
  ref: (input: Nd, p: number = 2, dim: Dims = 1, eps: number = 1e-12) =>
    input.zip(
      reduced(input, dim, true, (row) => Math.max(norm64(row, p), eps)),
      (x, n) => x / n,
    ),
  samples: (s) => [[s.randn(3, 5)], [s.randn(2, 3, 4), 1, -1], [s.randn(7), 2, 0, 10]],
})
