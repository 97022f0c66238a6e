// Reading and writing by index: index_select, gather, scatter, masks, and `index`, which is Python's square brackets.
import { broadcastShapes, normalizeDim, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous, copyInto, packed } from './copying.ts'
import {
  addRows,
  checkAlong,
  checkIndex,
  eachAlong,
  flatNonzero,
  gatherAlong,
  prepareIndex,
  scatterInto,
  selectRows,
  summable,
  withSize,
  zerosOf,
} from './indices.ts'
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
    addRows(sum, d, ids, asContiguous(source.to(sum.dtype)), alpha)
    return record(sum.to(input.dtype), [ids], ([g], [saved], needs) => [
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
      scatterInto(sum, d, saved, g.to('float32'), true)
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
    const source = typeof src === 'number' ? null : src.strided(index.shape, stridesOf(src.shape), 0)
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
    scatterInto(sum, d, ids, source.to(sum.dtype), true)
    const shape = source.shape
    return record(sum.to(input.dtype), [ids], ([g], [saved], needs) => [
      g,
      null,
      needs[2] ? fromPlaces(g, d, saved, shape) : null,
    ])
  },
  ref(input: Nd, dim: number, index: Nd, src: Nd) {
    const out = input.map((x) => x)
    const source = src.strided(index.shape, stridesOf(src.shape), 0)
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

function stridesOf(shape: Shape): number[] {
  return shape.map((_, d) => numelOf(shape.slice(d + 1)))
}

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

/** Coordinates of what is not zero: (count, dimensions), int64; a list of one vector a dimension with `as_tuple`. */
export const nonzero = defineOp({
  name: 'nonzero',
  params: ['input', 'as_tuple'],
  differentiable: false,
  forward(_, input: Tensor, as_tuple: boolean = false): Tensor | Tensor[] {
    const at = flatNonzero(input)
    const { shape } = input
    if (as_tuple) return shape.map((_size, d) => coordinates(at, shape, [d]).reshape([at.numel()]))
    return coordinates(
      at,
      shape,
      shape.map((_size, d) => d),
    )
  },
  ref(input: Nd, as_tuple: boolean = false) {
    const found = [...input.data.keys()].filter((i) => input.data[i] !== 0)
    const strides = stridesOf(input.shape)
    const coordinate = (i: number, d: number) => Math.floor(i / strides[d]) % input.shape[d]
    if (as_tuple) return input.shape.map((_, d) => Nd.of([found.length], (i) => coordinate(found[i], d), 'int64'))
    const rank = input.shape.length
    return Nd.of([found.length, rank], (i) => coordinate(found[Math.floor(i / rank)], i % rank), 'int64')
  },
  samples: (s) => [
    [s.mask(3, 5)],
    [s.randint(-1, 2, [2, 3, 4])],
    [s.randint(0, 2, [5000], 'uint8').map((x) => x, 'float32')],
    [s.mask(70, 130), true],
    [s.mask(0, 3)],
    [Nd.of([], () => 1)],
    [Nd.of([4], () => 0)],
  ],
})

/** Coordinates of flat positions along some dimensions: (count, dimensions). */
function coordinates(at: Tensor, shape: Shape, dims: number[]): Tensor {
  const out = Tensor.empty([at.numel(), dims.length], 'int64', 'nonzero')
  const strides = stridesOf(shape)
  dims.forEach(
    (d, i) =>
      void launch('unravel_i64', [at.ptr, out.ptr + 8 * i, strides[d], shape[d], dims.length], at.numel(), 1 << 14),
  )
  return out
}

/** The elements at flat int32 positions, as one dimension. */
const takeFlat = defineOp({
  name: 'take_flat',
  params: ['input', 'positions'],
  forward(record, input: Tensor, positions: Tensor): Tensor {
    const shape = input.shape
    const out = selectRows(
      asContiguous(input).alias([input.numel()], [1]),
      0,
      positions,
      [positions.numel()],
      'masked_select',
    )
    return record(out, [positions], ([g], [at]) => {
      const sum = zerosOf(shape, 'float32', 'gradient of masked_select')
      addRows(sum.alias([sum.numel()], [1]), 0, at, summable(g, 'gradient'))
      return [sum]
    })
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

/** The elements where the mask is true, as one dimension. Both broadcast. */
export const masked_select = compose({
  name: 'masked_select',
  params: ['input', 'mask'],
  forward(input: Tensor, mask: Tensor): Tensor {
    if (mask.dtype !== 'bool')
      throw new DTypeError(`masked_select: expected a mask of dtype bool, found ${mask.dtype}. Hint: to('bool')`)
    const shape = broadcastShapes('masked_select', input.shape, mask.shape)
    return takeFlat(input.expand(shape), flatNonzero(mask.expand(shape)))
  },
  ref(input: Nd, mask: Nd) {
    const shape = broadcastShapes('', input.shape, mask.shape)
    const chosen = input.expand(shape).data.filter((_, i) => mask.expand(shape).data[i] !== 0)
    return new Nd([chosen.length], chosen, input.dtype)
  },
  samples: (s) => [
    [s.randn(3, 5), s.mask(3, 5)],
    [s.randn(4, 1), s.mask(3)],
    [s.randint(0, 9, [2, 3]), s.mask(3)],
    [s.randn(3), Nd.of([3], () => 0, 'bool')],
  ],
  errors: (s) => [
    [[s.randn(3), s.randn(3)], /masked_select: expected a mask of dtype bool, found float32/],
    [[s.randn(3), s.mask(2)], /masked_select: shapes/],
  ],
})

/** Ones at the classes' places, else zeros: (…, num_classes), int64. -1 makes as many classes as there are. */
export const one_hot = defineOp({
  name: 'one_hot',
  params: ['input', 'num_classes'],
  differentiable: false,
  forward(_, input: Tensor, num_classes: number = -1): Tensor {
    checkIndex('one_hot', input)
    if (num_classes === -1 && input.numel() === 0)
      throw new RushlightError('one_hot: num_classes cannot be told from no elements')
    const classes = num_classes === -1 ? 1 + Number(input.max().item()) : num_classes
    const index = prepareIndex('one_hot', input, classes)
    const out = zerosOf([...input.shape, classes], 'int64', 'one_hot')
    const ids = index.view1d()
    const view = out.view1d()
    for (let i = 0; i < ids.length; i++) view[i * classes + Number(ids[i])] = 1n
    return out
  },
  ref(input: Nd, num_classes: number = -1) {
    const classes = num_classes === -1 ? 1 + Math.max(...input.data) : num_classes
    return Nd.of([...input.shape, classes], (i) => Number(input.data[Math.floor(i / classes)] === i % classes), 'int64')
  },
  samples: (s) => [
    [s.randint(0, 5, [4])],
    [s.randint(0, 5, [2, 3]), 7],
    [s.randint(0, 5, [0]), 3],
    [s.randint(0, 5, []), 5],
  ],
  errors: () => [
    [[new Nd([2], Float64Array.of(1, 3), 'int64'), 3], /one_hot: index 3 at \[1\] is out of range for size 3/],
    [[new Nd([1], Float64Array.of(-1), 'int64'), 3], /one_hot: index -1/],
  ],
})

// ---- index: Python's square brackets

/**
 * One place of `index`: a number; a slice as Python writes it (':', '1:', '::2', '-3:-1'); '...'; null for a new dimension; a tensor or list
 * of numbers; a mask (a bool tensor of as many dimensions as it stands for).
 */
export type Index = PlainIndex | Tensor
type PlainIndex = number | string | null | readonly number[]

/** `t.index(i, j, …)` is Python's t[i, j, …]. Views, but where a tensor, list or mask picks elements. */
export const index = compose({
  name: 'index',
  params: ['input', 'index0', 'index1', 'index2', 'index3', 'index4', 'index5', 'index6', 'index7'],
  forward(input: Tensor, ...indices: Index[]): Tensor {
    const { steps, lists } = readIndices(input.shape, indices)
    let x = input.reshape(input.shape)
    for (const step of steps) {
      if (step.kind === 'select') x = x.select(step.dim, step.at)
      else if (step.kind === 'slice') x = x.slice(step.dim, step.start, step.end, step.step)
      else x = x.unsqueeze(step.dim)
    }
    if (lists.length === 0) return x
    return pick(
      x,
      lists.map(({ dim }) => dim),
      lists.map(({ index: list }) => (list instanceof Tensor ? list : Tensor.from([...list], [list.length], 'int64'))),
    )
  },
  ref(input: Nd, ...indices: (PlainIndex | Nd)[]) {
    return indexReference(input, indices)
  },
  samples: (s) => [
    [s.randn(4, 5), 1],
    [s.randn(4, 5), -1, 2],
    [s.randn(4, 5), '1:3'],
    [s.randn(4, 5), ':', '-3:'],
    [s.randn(4, 5), '::2', null, 1],
    [s.randn(2, 3, 4), '...', 0],
    [s.randn(2, 3, 4), 1, '...', '1:-1'],
    [s.randn(4, 5), s.randint(-4, 4, [3])],
    [s.randn(4, 5), s.randint(0, 4, [3]), s.randint(-5, 5, [3], 'int32')],
    [s.randn(4, 5), s.randint(0, 4, [2, 1]), s.randint(0, 5, [3])],
    [s.randn(2, 3, 4), ':', s.randint(0, 3, [5])],
    [s.randn(2, 3, 4), s.randint(0, 2, [5]), ':', s.randint(0, 4, [5])],
    [s.randn(2, 3, 4), 1, ':', s.randint(0, 4, [5])],
    [s.randn(4, 5, 3), ':', [0, -1, 2], '1:'],
    [s.randn(4, 5), s.mask(4, 5)],
    [s.randn(4, 5, 2), s.mask(4)],
    [s.randn(3, 4, 5), ':', s.mask(4, 5)],
    [s.randint(0, 9, [4, 5]), s.randint(0, 4, [2, 2]), 1],
    [s.randn(4, 5), s.randint(0, 4, [0])],
  ],
  errors: (s) => [
    [[s.randn(4, 5), 4], /index: index 4 is out of range for size 4 at dim 0: expected -4 to 3/],
    [[s.randn(4), 0, 0], /index: 2 indices for a tensor of 1 dimension/],
    [[s.randn(4), 'a:b'], /index: "a:b" is not a slice/],
    [[s.randn(4), '1:2:0'], /index: "1:2:0" is not a slice/],
    [[s.randn(4), s.randn(2)], /index: expected an index of dtype int64, int32 or bool, found float32/],
    [[s.randn(4, 5), s.mask(5)], /index: a mask of shape \[5\] does not fit \[4\]/],
    [
      [s.randn(4, 5), new Nd([2], Float64Array.of(0, 4), 'int64')],
      /index: index 4 at \[1\] is out of range for size 4: expected -4 to 3/,
    ],
    [[s.randn(4, 5), s.randint(0, 4, [2]), s.randint(0, 4, [3])], /index: shapes \[2\] and \[3\] do not broadcast/],
    [[s.randn(4, 5), '...', '...'], /index: only one '...'/],
  ],
})

type Step =
  | { kind: 'select'; dim: number; at: number }
  | { kind: 'slice'; dim: number; start: number | null; end: number | null; step: number }
  | { kind: 'new'; dim: number }

/** The views that lead to the part meant, one after another, and the lists that pick from what they leave. */
function readIndices(
  shape: Shape,
  indices: readonly Index[],
): { steps: Step[]; lists: { dim: number; index: readonly number[] | Tensor }[] } {
  const dots = indices.indexOf('...')
  if (dots !== indices.lastIndexOf('...')) throw new RushlightError("index: only one '...' is possible")
  const wants = (i: Index) => (i === null || i === '...' ? 0 : i instanceof Tensor && i.dtype === 'bool' ? i.ndim : 1)
  const wanted = indices.reduce<number>((n, i) => n + wants(i), 0)
  if (wanted > shape.length)
    throw new ShapeError(
      `index: ${wanted} indices for a tensor of ${shape.length} dimension${shape.length === 1 ? '' : 's'}, ${show(shape)}`,
    )
  const steps: Step[] = []
  const lists: { dim: number; index: readonly number[] | Tensor }[] = []
  let from = 0 // in the input
  let dim = 0 // in what the steps leave
  for (const given of indices) {
    const size = shape[from]
    if (given === '...') {
      from += shape.length - wanted
      dim += shape.length - wanted
    } else if (given === null) steps.push({ kind: 'new', dim: dim++ })
    else if (typeof given === 'number') {
      if (!Number.isInteger(given) || given < -size || given >= size)
        throw new RushlightError(
          `index: index ${given} is out of range for size ${size} at dim ${from}: expected ${-size} to ${size - 1}`,
        )
      steps.push({ kind: 'select', dim, at: given })
      from++
    } else if (typeof given === 'string') {
      steps.push({ kind: 'slice', dim: dim++, ...readSlice(given) })
      from++
    } else if (given instanceof Tensor && given.dtype === 'bool') {
      if (given.ndim === 0)
        throw new ShapeError('index: a mask of no dimensions picks nothing. Hint: use where, or an if')
      const part = shape.slice(from, from + given.ndim)
      if (show(part) !== show(given.shape))
        throw new ShapeError(`index: a mask of shape ${show(given.shape)} does not fit ${show(part)}`)
      const places = nonzero(given, true) as Tensor[]
      for (const index of places) lists.push({ dim: dim++, index })
      from += given.ndim
    } else {
      if (given instanceof Tensor && given.dtype !== 'int64' && given.dtype !== 'int32')
        throw new DTypeError(`index: expected an index of dtype int64, int32 or bool, found ${given.dtype}`)
      lists.push({ dim: dim++, index: given })
      from++
    }
  }
  return { steps, lists }
}

function readSlice(text: string): { start: number | null; end: number | null; step: number } {
  const match = text.match(/^\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*([1-9]\d*)?\s*)?$/)
  if (!match)
    throw new RushlightError(
      `index: "${text}" is not a slice. Hint: ':', '1:', '-3:-1', '::2' (steps from 1 up), or '...'`,
    )
  const [, start, end, step] = match
  return { start: start ? Number(start) : null, end: end ? Number(end) : null, step: step ? Number(step) : 1 }
}

/** Elements of dimensions `dims` by index tensors, broadcast together. They stand where the dims were if those are neighbours, else first. */
const pick = defineOp({
  name: 'index_tensors',
  params: ['input', 'dims', 'indices'],
  forward(record, input: Tensor, dims: number[], indices: Tensor[]): Tensor {
    const common = indices.map((i) => i.shape).reduce((a, b) => broadcastShapes('index', a, b))
    const { order, first } = pickOrder(input.ndim, dims)
    const moved = asContiguous(input.permute(order))
    const sizes = dims.map((d) => input.shape[d])
    // One flat index over all the picked dimensions.
    const flat = zerosOf(common, 'int32', 'index')
    indices.forEach((index, i) => {
      const part = asContiguous(prepareIndex('index', index, sizes[i], true).expand(common))
      launch('index_combine_i32', [part.ptr, flat.ptr, numelOf(sizes.slice(i + 1))], flat.numel(), 1 << 14)
    })
    const before = moved.shape.slice(0, first)
    const after = moved.shape.slice(first + dims.length)
    const merged = (t: Tensor) =>
      t.alias([...before, numelOf(sizes), ...after], stridesOf([...before, numelOf(sizes), ...after]))
    const out = selectRows(merged(moved), first, flat, common, 'index')
    const shape = moved.shape
    return record(out, [flat], ([g], [at]) => {
      const sum = zerosOf(shape, 'float32', 'gradient of index')
      addRows(merged(sum), first, at, summable(g, 'gradient'))
      return [sum.permute(order.map((_, d) => order.indexOf(d)))]
    })
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

/** Dimensions in an order that brings the picked ones together, and where they start. */
function pickOrder(rank: number, dims: readonly number[]): { order: number[]; first: number } {
  const rest = Array.from({ length: rank }, (_, d) => d).filter((d) => !dims.includes(d))
  const neighbours = dims.every((d, i) => i === 0 || d === dims[i - 1] + 1)
  const first = neighbours ? dims[0] : 0
  return { order: [...rest.slice(0, first), ...dims, ...rest.slice(first)], first }
}

/** The rule itself, element by element: every place of the result looks up where it comes from. */
function indexReference(input: Nd, indices: (PlainIndex | Nd)[]): Nd {
  const strides = stridesOf(input.shape)
  const used = indices.reduce<number>(
    (n, i) => n + (i === null || i === '...' ? 0 : i instanceof Nd && i.dtype === 'bool' ? i.shape.length : 1),
    0,
  )
  const full = indices.includes('...') ? indices : [...indices, '...']
  // Each dimension of the result as (size, offset of its k-th place); those of lists share one.
  const plain: { size: number; offset: (k: number) => number }[] = []
  const lists: { list: Nd; stride: number; size: number; at: number }[] = []
  let base = 0
  let d = 0
  const keep = (start: number, size: number, step: number) => {
    const stride = strides[d++]
    plain.push({ size, offset: (k) => (start + k * step) * stride })
  }
  for (const i of full) {
    if (i === '...') for (let k = input.shape.length - used; k > 0; k--) keep(0, input.shape[d], 1)
    else if (i === null) plain.push({ size: 1, offset: () => 0 })
    else if (typeof i === 'number') base += (i < 0 ? i + input.shape[d] : i) * strides[d++]
    else if (typeof i === 'string') {
      const n = input.shape[d]
      const all = Array.from({ length: n }, (_, k) => k)
      const [start, end, step] = i.split(':').map((part) => (part === '' ? undefined : Number(part)))
      const kept = all.slice(start, end).filter((_, k) => k % (step ?? 1) === 0)
      keep(kept[0] ?? 0, kept.length, step ?? 1)
    } else if (i instanceof Nd && i.dtype === 'bool') {
      const found = nonzero.def.ref(...([i, true] as never[])) as Nd[]
      for (const list of found) lists.push({ list, stride: strides[d], size: input.shape[d++], at: plain.length })
    } else {
      const list = i instanceof Nd ? i : Nd.of([i.length], (k) => i[k], 'int64')
      lists.push({ list, stride: strides[d], size: input.shape[d++], at: plain.length })
    }
  }
  const common = lists.map(({ list }) => list.shape).reduce((a, b) => broadcastShapes('', a, b), [] as Shape)
  const wide = lists.map((l) => ({ ...l, list: l.list.expand(common) }))
  const first = lists.length > 0 && lists.every(({ at }) => at === lists[0].at) ? lists[0].at : 0
  const shape = [...plain.slice(0, first).map((p) => p.size), ...common, ...plain.slice(first).map((p) => p.size)]
  const inner = numelOf(shape.slice(first + common.length))
  const middle = numelOf(common)
  return Nd.of(
    shape,
    (at) => {
      let from = base
      const place = Math.floor(at / inner) % Math.max(middle, 1)
      for (const { list, stride, size } of wide) from += ((list.data[place] + size) % size) * stride
      let rest = at % inner
      for (let p = plain.length - 1; p >= 0; p--) {
        if (p === first - 1) rest = Math.floor(at / (inner * middle))
        from += plain[p].offset(rest % plain[p].size)
        rest = Math.floor(rest / plain[p].size)
      }
      return input.data[from]
    },
    input.dtype,
  )
}
