// Reading and writing along a dimension by index: index_select, index_add, gather, scatter.
import { broadcastShapes, contiguousStrides, normalizeDim, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, ShapeError } from '../util/errors.ts'
import { asContiguous, copyInto, packed } from './copying.ts'
import {
  addRows,
  checkAlong,
  eachAlong,
  gatherAlong,
  prepareIndex,
  scatterInto,
  selectRows,
  summable,
  withSize,
  zerosOf,
} from './indices.ts'
import { cast } from './elementwise.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

function checkVector(op: string, index: Tensor): void {
  if (index.ndim > 1)
    throw new ShapeError(`${op}: expected an index of one dimension, found shape ${show(index.shape)}`)
}

function sameDtype(op: string, name: string, a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype)
    throw new DTypeError(`${op}: ${name} is ${b.dtype}, expected ${a.dtype} as the input. Hint: to('${a.dtype}')`)
}

/** Slices along a dimension, in the order of a vector of indices. */
export const index_select = defineOp({
  name: 'index_select',
  params: ['input', 'dim', 'index'],
  forward(record, input: Tensor, dim: number, index: Tensor): Tensor {
    const d = normalizeDim('index_select', dim, input.ndim)
    checkVector('index_select', index)
    const ids = prepareIndex('index_select', index, input.shape[d] ?? 1)
    const shape = input.shape
    const out = selectRows(asContiguous(input), d, ids, input.ndim ? [ids.numel()] : [], 'index_select')
    return record(out, [ids], ([g], [saved]) => {
      const sum = zerosOf(shape, 'float32', 'gradient of index_select')
      addRows(sum, d, saved, summable(g, 'gradient'))
      return [sum]
    })
  },
  ref(input: Nd, dim: number, index: Nd) {
    return input.shape.length
      ? input.rows(normalizeDim('', dim, input.shape.length), (row) => index.data.map((i) => row[i]))
      : input
  },
  samples: (s) => [
    [s.randn(5, 3), 0, s.randint(0, 5, [4])],
    [s.randn(2, 5, 7), 1, s.randint(0, 5, [9], 'int32')],
    [s.randn(3, 6), -1, s.randint(0, 6, [11])],
    [s.randint(-9, 9, [4, 3]), 0, s.randint(0, 4, [5])],
    [s.mask(4, 5), 1, s.randint(0, 5, [3])],
    [s.randn(4), 0, s.randint(0, 4, [])],
    [s.randn(4, 2), 0, s.randint(0, 4, [0])],
  ],
  errors: (s) => [
    [
      [s.randn(3, 2), 0, new Nd([2], Float64Array.of(1, 3), 'int64')],
      /index_select: index 3 at \[1\] is out of range for size 3/,
    ],
    [[s.randn(3, 2), 0, new Nd([1], Float64Array.of(-1), 'int64')], /index_select: index -1/],
    [[s.randn(3, 2), 2, s.randint(0, 2, [2])], /index_select: dim 2 is out of range/],
    [[s.randn(3, 2), 0, s.randint(0, 2, [2, 2])], /index_select: expected an index of one dimension/],
  ],
})

/** The input with alpha × slices of source added where a vector of indices says. */
export const index_add = defineOp({
  name: 'index_add',
  params: ['input', 'dim', 'index', 'source', 'alpha'],
  forward(record, input: Tensor, dim: number, index: Tensor, source: Tensor, alpha: number = 1): Tensor {
    const d = normalizeDim('index_add', dim, input.ndim)
    checkVector('index_add', index)
    sameDtype('index_add', 'source', input, source)
    const ids = prepareIndex('index_add', index, input.shape[d] ?? 1)
    const expected = withSize(input.shape, d, ids.numel())
    if (show(expected) !== show(source.shape))
      throw new ShapeError(`index_add: source has shape ${show(source.shape)}, expected ${show(expected)}`)
    const sum = summable(input, 'index_add')
    addRows(sum, d, ids, asContiguous(cast(source, sum.dtype)), alpha)
    return record(cast(sum, input.dtype), [ids], ([g], [saved], needs) => [
      g,
      null,
      needs[2]
        ? selectRows(asContiguous(g), d, saved, g.ndim ? [saved.numel()] : [], 'gradient of index_add').mul(alpha)
        : null,
    ])
  },
  ref(input: Nd, dim: number, index: Nd, source: Nd, alpha: number = 1) {
    const d = normalizeDim('', dim, input.shape.length)
    const out = input.map((x) => x)
    const wide = source.shape.length
      ? Nd.of(source.shape, (i) => index.data[Math.floor(i / numelOf(source.shape.slice(d + 1))) % source.shape[d]])
      : index
    eachAlong(wide, d, input.shape, (at, to) => {
      out.data[to] += alpha * source.data[at]
    })
    return out
  },
  samples: (s) => [
    [s.randn(5, 3), 0, s.randint(0, 5, [4]), s.randn(4, 3)],
    [s.randn(2, 4, 21), 1, s.randint(0, 4, [7]), s.randn(2, 7, 21), -0.5],
    [s.randn(3, 6), 1, s.randint(0, 6, [9], 'int32'), s.randn(3, 9)],
    [s.randint(-9, 9, [4, 3]), 0, s.randint(0, 4, [6]), s.randint(-9, 9, [6, 3]), 2],
    [s.randn(4), 0, s.randint(0, 4, [0]), s.randn(0)],
  ],
  errors: (s) => [
    [
      [s.randn(3, 2), 0, s.randint(0, 2, [2]), s.randn(3, 2)],
      /index_add: source has shape \[3, 2\], expected \[2, 2\]/,
    ],
    [[s.randn(3), 0, new Nd([1], Float64Array.of(3), 'int64'), s.randn(1)], /index_add: index 3/],
    [[s.randn(3), 0, s.randint(0, 2, [2]), s.randint(0, 2, [2])], /index_add: source is int64, expected float32/],
  ],
})

/** out[i][j] = input[index[i][j]][j] along dim 0, and so on: an index for each element. */
export const gather = defineOp({
  name: 'gather',
  params: ['input', 'dim', 'index'],
  forward(record, input: Tensor, dim: number, index: Tensor): Tensor {
    const d = normalizeDim('gather', dim, input.ndim)
    checkAlong('gather', 'an input', input.shape, d, index.shape)
    const ids = prepareIndex('gather', index, input.shape[d] ?? 1)
    const shape = input.shape
    return record(gatherAlong(input, d, ids, 'gather'), [ids], ([g], [saved]) => {
      const sum = zerosOf(shape, 'float32', 'gradient of gather')
      scatterInto(sum, d, saved, cast(g, 'float32'), true)
      return [sum]
    })
  },
  ref(input: Nd, dim: number, index: Nd) {
    const out = Nd.of(index.shape, () => 0, input.dtype)
    eachAlong(index, dim, input.shape, (at, from) => {
      out.data[at] = input.data[from]
    })
    return out
  },
  samples: (s) => [
    [s.randn(5, 3), 0, s.randint(0, 5, [4, 3])],
    [s.randn(3, 5), 1, s.randint(0, 5, [3, 7], 'int32')],
    [s.randn(2, 5, 4), 1, s.randint(0, 5, [2, 3, 4])],
    [s.randn(4, 5, 3), -1, s.randint(0, 3, [2, 4, 6])],
    [s.randint(-9, 9, [4, 3]), 0, s.randint(0, 4, [2, 2])],
    [s.mask(3, 5), 1, s.randint(0, 5, [3, 2])],
    [s.randn(), 0, s.randint(0, 1, [])],
    [s.randn(3, 2), 0, s.randint(0, 3, [0, 2])],
  ],
  errors: (s) => [
    [
      [s.randn(3, 2), 0, s.randint(0, 2, [2, 3])],
      /gather: index of shape \[2, 3\] does not fit an input of shape \[3, 2\]/,
    ],
    [[s.randn(3, 2), 0, s.randint(0, 2, [2])], /gather: index of shape \[2\]/],
    [
      [s.randn(3, 2), 1, new Nd([1, 2], Float64Array.of(0, 2), 'int64')],
      /gather: index 2 at \[0, 1\] is out of range for size 2/,
    ],
  ],
})

/** A dimension's elements by an index of the same other sizes, broadcast where they are 1; over all elements without `dim`. */
export const take_along_dim = compose({
  name: 'take_along_dim',
  params: ['input', 'indices', 'dim'],
  forward(input: Tensor, indices: Tensor, dim: number | null = null): Tensor {
    if (dim === null) return gather(input.reshape([-1]), 0, indices.reshape([-1]))
    const d = normalizeDim('take_along_dim', dim, input.ndim)
    const [x, index] = alongShapes(input.shape, indices.shape, d)
    return gather(input.expand(x), d, indices.expand(index))
  },
  ref(input: Nd, indices: Nd, dim: number | null = null): Nd {
    if (dim === null) return indices.reshape([indices.data.length]).map((i) => input.data[i], input.dtype)
    const d = normalizeDim('', dim, input.shape.length)
    const [x, index] = alongShapes(input.shape, indices.shape, d)
    return gather.def.ref(...([input.expand(x), d, indices.expand(index)] as never[])) as Nd
  },
  samples: (s) => [
    [s.randn(3, 5), s.randint(0, 5, [3, 2]), 1],
    [s.randn(3, 5), s.randint(0, 3, [2, 1]), 0],
    [s.randn(1, 5), s.randint(0, 5, [4, 2]), -1],
    [s.randn(3, 4), s.randint(0, 12, [5]), null],
  ],
  errors: (s) => [[[s.randn(3, 5), s.randint(0, 3, [2]), 1], /take_along_dim: indices of shape \[2\]/]],
})

/** Both shapes with their other dimensions broadcast. */
function alongShapes(x: Shape, index: Shape, dim: number): [number[], number[]] {
  if (x.length !== index.length)
    throw new ShapeError(
      `take_along_dim: indices of shape ${show(index)} for an input of shape ${show(x)}: expected as many dimensions`,
    )
  const common = broadcastShapes('take_along_dim', withSize(x, dim, 1), withSize(index, dim, 1))
  return [withSize(common, dim, x[dim]), withSize(common, dim, index[dim])]
}

/** The input with elements of `src` (a tensor, or one number) written where the index says, one index for each element. */
export const scatter = defineOp({
  name: 'scatter',
  params: ['input', 'dim', 'index', 'src'],
  forward(record, input: Tensor, dim: number, index: Tensor, src: Tensor | number): Tensor {
    const { d, ids, source } = scatterParts('scatter', input, dim, index, src)
    const out = packed(input, 'scatter')
    scatterInto(out, d, ids, source, false)
    const shape = source.shape
    return record(out, [ids], ([g], [saved], needs) => [
      needs[0] ? overwritten(g, d, saved) : null,
      null,
      needs[2] ? fromPlaces(g, d, saved, shape) : null,
    ])
  },
  ref(input: Nd, dim: number, index: Nd, src: Nd | number) {
    const out = input.map((x) => x)
    const source = typeof src === 'number' ? null : src.strided(index.shape, contiguousStrides(src.shape), 0)
    eachAlong(index, dim, input.shape, (at, to) => {
      out.data[to] = source ? source.data[at] : (src as number)
    })
    return out
  },
  // Where an index comes twice the last one is written, which has no gradient to speak of: these have each once.
  samples: (s) => [
    [s.randn(5, 3), 0, new Nd([2, 3], Float64Array.of(0, 4, 2, 1, 0, 3), 'int64'), s.randn(2, 3)],
    [s.randn(3, 6), 1, new Nd([2, 3], Float64Array.of(0, 5, 2, 1, 0, 3), 'int32'), s.randn(4, 5)],
    [s.randn(2, 4, 3), -2, new Nd([2, 1, 3], Float64Array.of(0, 3, 2, 1, 0, 3), 'int64'), 1.5],
    [s.randint(-9, 9, [4, 3]), 0, s.randint(0, 4, [6, 3]), s.randint(-9, 9, [6, 3])],
    [s.mask(3, 5), 1, s.randint(0, 5, [3, 2]), 1],
    [s.randn(3), 0, s.randint(0, 3, [0]), s.randn(0)],
  ],
  errors: (s) => [
    [
      [s.randn(3, 2), 0, s.randint(0, 2, [2, 3]), 1],
      /scatter: index of shape \[2, 3\] does not fit an input of shape \[3, 2\]/,
    ],
    [
      [s.randn(3, 2), 0, s.randint(0, 2, [4, 2]), s.randn(3, 2)],
      /scatter: index of shape \[4, 2\] does not fit src of shape \[3, 2\]/,
    ],
    [[s.randn(3, 2), 0, new Nd([1, 1], Float64Array.of(7), 'int64'), 1], /scatter: index 7 at \[0, 0\]/],
    [[s.randn(3), 0, s.randint(0, 2, [2]), s.randint(0, 2, [2])], /scatter: src is int64, expected float32/],
  ],
})

/** The input with elements of `src` added where the index says, one index for each element. */
export const scatter_add = defineOp({
  name: 'scatter_add',
  params: ['input', 'dim', 'index', 'src'],
  forward(record, input: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
    const { d, ids, source } = scatterParts('scatter_add', input, dim, index, src)
    const sum = summable(input, 'scatter_add')
    scatterInto(sum, d, ids, cast(source, sum.dtype), true)
    const shape = source.shape
    return record(cast(sum, input.dtype), [ids], ([g], [saved], needs) => [
      g,
      null,
      needs[2] ? fromPlaces(g, d, saved, shape) : null,
    ])
  },
  ref(input: Nd, dim: number, index: Nd, src: Nd) {
    const out = input.map((x) => x)
    const source = src.strided(index.shape, contiguousStrides(src.shape), 0)
    eachAlong(index, dim, input.shape, (at, to) => {
      out.data[to] += source.data[at]
    })
    return out
  },
  samples: (s) => [
    [s.randn(5, 3), 0, s.randint(0, 5, [7, 3]), s.randn(7, 3)],
    [s.randn(3, 4), 1, s.randint(0, 4, [2, 9], 'int32'), s.randn(3, 10)],
    [s.randn(2, 4, 3), 1, s.randint(0, 4, [2, 3, 2]), s.randn(2, 3, 3)],
    [s.randint(-9, 9, [4, 3]), 0, s.randint(0, 4, [6, 3]), s.randint(-9, 9, [6, 3])],
    [s.randn(), 0, s.randint(0, 1, []), s.randn()],
  ],
  errors: (s) => [[[s.randn(3, 2), 0, s.randint(0, 2, [2]), s.randn(2, 2)], /scatter_add: index of shape \[2\]/]],
})

function scatterParts(
  op: string,
  input: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor | number,
): { d: number; ids: Tensor; source: Tensor } {
  const d = normalizeDim(op, dim, input.ndim)
  checkAlong(op, 'an input', input.shape, d, index.shape)
  const source = src instanceof Tensor ? src : Tensor.from([src], [], input.dtype).expand(index.shape)
  sameDtype(op, 'src', input, source)
  checkAlong(op, 'src', source.shape, -1, index.shape)
  return { d, ids: prepareIndex(op, index, input.shape[d] ?? 1), source }
}

/** The gradient but for the places that scatter wrote to. */
function overwritten(g: Tensor, dim: number, index: Tensor): Tensor {
  const out = packed(g, 'gradient of scatter')
  scatterInto(out, dim, index, zerosOf(index.shape, g.dtype, 'gradient of scatter'), false)
  return out
}

/** The gradient at the places that scatter wrote to, in the shape of its source. */
function fromPlaces(g: Tensor, dim: number, index: Tensor, shape: Shape): Tensor {
  const taken = gatherAlong(g, dim, index, 'gradient of scatter')
  if (show(shape) === show(index.shape)) return taken
  const out = zerosOf(shape, g.dtype, 'gradient of scatter')
  copyInto(out.alias(index.shape), taken)
  return out
}
