// Movement: other shapes and orders of the same elements. Views where strides can say it, copies where not.
import { promoteTypes } from '../tensor/dtype.ts'
import {
  broadcastShapes,
  broadcastStrides,
  contiguousStrides,
  inferShape,
  normalizeDim,
  numelOf,
  type Shape,
  show,
  viewStrides,
} from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, ShapeError, unsupported } from '../util/errors.ts'
import { copyInto, fillWith, packed } from './copying.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'
import { sumTo } from './sum-to.ts'

/** Zeros of that shape with `part` copied in where the strides say: the gradient of a view. */
function scatterView(g: Tensor, shape: Shape, view: { shape: Shape; strides: Shape; offset: number }): Tensor {
  const out = Tensor.empty(shape, g.dtype, 'gradient of a view')
  fillWith(out, 0)
  copyInto(out.alias(view.shape, view.strides, view.offset), g)
  return out
}

/** Seen at a larger shape; -1 keeps a size. */
export const expand = defineOp({
  name: 'expand',
  params: ['input', 'size'],
  forward(record, input: Tensor, size: Shape): Tensor {
    const lead = size.length - input.ndim
    const to = size.map((s, d) => (s === -1 && d >= lead ? input.shape[d - lead] : s))
    if (
      lead < 0 ||
      to.some((s, d) => s < 0 || (d >= lead && s !== input.shape[d - lead] && input.shape[d - lead] !== 1))
    )
      throw new ShapeError(
        `expand: shape ${show(input.shape)} does not expand to ${show(size)}. Hint: only sizes of 1 grow, and new dimensions come first`,
      )
    const from = input.shape
    return record(input.alias(to, broadcastStrides(from, input.strides, to)), [], ([g]) => [sumTo(g, from)])
  },
  ref: (input: Nd, size: number[]) =>
    input.expand(size.map((s, d) => (s === -1 ? input.shape[d - size.length + input.shape.length] : s))),
  samples: (s) => [
    [s.randn(3, 1), [3, 4]],
    [s.randn(1, 3, 1), [2, 5, 3, -1]],
    [s.randn(), [2, 3]],
    [s.randn(1, 0), [4, 0]],
  ],
  errors: (s) => [[[s.randn(3, 2), [3, 4]], /expand: shape \[3, 2\] does not expand to \[3, 4\]/]],
})

export const expand_as = compose({
  name: 'expand_as',
  params: ['input', 'other'],
  forward: (input: Tensor, other: Tensor): Tensor => input.expand(other.shape),
  ref: (input: Nd, other: Nd) => input.expand(other.shape),
  samples: (s) => [[s.randn(1, 3), s.randn(2, 3)]],
})

export const broadcast_to = compose({
  name: 'broadcast_to',
  params: ['input', 'size'],
  forward: (input: Tensor, size: Shape): Tensor => input.expand(size),
  ref: (input: Nd, size: number[]) => input.expand(size),
  samples: (s) => [[s.randn(1, 3), [2, 3]]],
})

const reshaping = {
  ref: (input: Nd, shape: Shape) => input.reshape(inferShape('reshape', input.shape, shape)),
}

/** Another shape over the same memory. @throws ShapeError when only a copy could have it: then reshape does */
export const view = defineOp({
  name: 'view',
  params: ['input', 'shape'],
  forward(record, input: Tensor, shape: Shape): Tensor {
    const to = inferShape('view', input.shape, shape)
    const strides = viewStrides(input.shape, input.strides, to)
    if (!strides)
      throw new ShapeError(
        `view: a tensor of shape ${show(input.shape)} and strides ${show(input.strides)} has no view of shape ${show(to)}. Hint: reshape copies`,
      )
    const from = input.shape
    return record(input.alias(to, strides), [], ([g]) => [g.reshape(from)])
  },
  ...reshaping,
  // Views of a transposed tensor may not exist: the samples are those that exist in any layout.
  samples: (s) => [
    [s.randn(6), [6]],
    [s.randn(5), [5, 1]],
    [s.randn(1, 4), [4, 1]],
  ],
  errors: (s) => [[[s.randn(6), [4, -1]], /view: shape \[4, -1\] does not fit a tensor of shape \[6\]/]],
})

/** Another shape: a view where there is one, else a copy. One size may be -1. */
export const reshape = defineOp({
  name: 'reshape',
  params: ['input', 'shape'],
  forward(record, input: Tensor, shape: Shape): Tensor {
    const to = inferShape('reshape', input.shape, shape)
    const strides = viewStrides(input.shape, input.strides, to)
    const from = input.shape
    const out = strides ? input.alias(to, strides) : packed(input, 'reshape').alias(to, contiguousStrides(to), 0)
    return record(out, [], ([g]) => [g.reshape(from)])
  },
  ...reshaping,
  samples: (s) => [
    [s.randn(2, 3), [3, 2]],
    [s.randn(2, 3, 4), [-1, 4]],
    [s.randn(2, 1, 5), [2, 5, 1]],
    [s.randn(7), [7]],
    [s.randn(0, 3), [3, 0]],
    [s.randn(1), []],
  ],
  errors: (s) => [
    [[s.randn(6), [4, 2]], /reshape: shape \[4, 2\] does not fit a tensor of shape \[6\]/],
    [[s.randn(6), [-1, -1]], /reshape: shape/],
  ],
})

/** Dimensions start_dim to end_dim merged into one. */
export const flatten = compose({
  name: 'flatten',
  params: ['input', 'start_dim', 'end_dim'],
  forward: (input: Tensor, start_dim: number = 0, end_dim: number = -1): Tensor =>
    input.reshape(flatShape(input.shape, start_dim, end_dim)),
  ref: (input: Nd, start_dim: number = 0, end_dim: number = -1) =>
    input.reshape(flatShape(input.shape, start_dim, end_dim)),
  samples: (s) => [[s.randn(2, 3, 4)], [s.randn(2, 3, 4), 1], [s.randn(2, 3, 4), 0, 1], [s.randn()]],
  errors: (s) => [[[s.randn(2, 3), 1, 0], /flatten: start_dim 1 comes after end_dim 0/]],
})

function flatShape(shape: Shape, start: number, end: number): number[] {
  if (shape.length === 0) return [1]
  const [a, b] = [normalizeDim('flatten', start, shape.length), normalizeDim('flatten', end, shape.length)]
  if (a > b) throw new ShapeError(`flatten: start_dim ${start} comes after end_dim ${end}`)
  return [...shape.slice(0, a), numelOf(shape.slice(a, b + 1)), ...shape.slice(b + 1)]
}

/** One dimension split into several. */
export const unflatten = compose({
  name: 'unflatten',
  params: ['input', 'dim', 'sizes'],
  forward: (input: Tensor, dim: number, sizes: Shape): Tensor => input.reshape(unflatShape(input.shape, dim, sizes)),
  ref: (input: Nd, dim: number, sizes: number[]) => input.reshape(unflatShape(input.shape, dim, sizes)),
  samples: (s) => [
    [s.randn(2, 6), 1, [2, 3]],
    [s.randn(6, 2), 0, [3, -1]],
  ],
  errors: (s) => [[[s.randn(2, 6), 1, [4, 2]], /unflatten: shape/]],
})

function unflatShape(shape: Shape, dim: number, sizes: Shape): number[] {
  const d = normalizeDim('unflatten', dim, shape.length)
  return [...shape.slice(0, d), ...inferShape('unflatten', [shape[d]], sizes), ...shape.slice(d + 1)]
}

/** Dimensions in another order. */
export const permute = defineOp({
  name: 'permute',
  params: ['input', 'dims'],
  forward(record, input: Tensor, dims: Shape): Tensor {
    const order = dims.map((d) => normalizeDim('permute', d, input.ndim))
    if (order.length !== input.ndim || new Set(order).size !== order.length)
      throw new ShapeError(
        `permute: dims ${show(dims)} do not name each of the ${input.ndim} dimensions of ${show(input.shape)} once`,
      )
    const inverse = order.map((_, d) => order.indexOf(d))
    return record(
      input.alias(
        order.map((d) => input.shape[d]),
        order.map((d) => input.strides[d]),
      ),
      [],
      ([g]) => [g.permute(inverse)],
    )
  },
  ref: (input: Nd, dims: number[]) => input.permute(dims.map((d) => (d < 0 ? d + dims.length : d))),
  samples: (s) => [
    [s.randn(2, 3, 4), [2, 0, 1]],
    [s.randn(2, 3), [-1, 0]],
    [s.randn(), []],
    [s.randn(0, 2), [1, 0]],
  ],
  errors: (s) => [[[s.randn(2, 3), [0, 0]], /permute: dims \[0, 0\]/]],
})

function swapped(rank: number, a: number, b: number): number[] {
  const order = Array.from({ length: rank }, (_, i) => i)
  if (rank > 0) [order[a], order[b]] = [order[b], order[a]]
  return order
}

/** Two dimensions exchanged. */
export const transpose = defineOp({
  name: 'transpose',
  params: ['input', 'dim0', 'dim1'],
  forward(record, input: Tensor, dim0: number, dim1: number): Tensor {
    const [a, b] = [normalizeDim('transpose', dim0, input.ndim), normalizeDim('transpose', dim1, input.ndim)]
    const swap = (list: Shape) => list.map((x, d) => (d === a ? list[b] : d === b ? list[a] : x))
    return record(input.alias(swap(input.shape), swap(input.strides)), [], ([g]) => [g.transpose(a, b)])
  },
  ref: (input: Nd, dim0: number, dim1: number) =>
    input.permute(
      swapped(
        input.shape.length,
        normalizeDim('', dim0, input.shape.length),
        normalizeDim('', dim1, input.shape.length),
      ),
    ),
  samples: (s) => [
    [s.randn(2, 3), 0, 1],
    [s.randn(2, 3, 4), -1, 0],
    [s.randn(5), 0, 0],
  ],
  errors: (s) => [[[s.randn(2, 3), 0, 2], /transpose: dim 2 is out of range/]],
})

/** A matrix transposed; vectors stay. */
export const t = compose({
  name: 't',
  params: ['input'],
  forward(input: Tensor): Tensor {
    if (input.ndim > 2)
      throw new ShapeError(
        `t: expected at most two dimensions, found shape ${show(input.shape)}. Hint: transpose(a, b)`,
      )
    return input.permute(input.ndim === 2 ? [1, 0] : swapped(input.ndim, 0, 0))
  },
  ref: (input: Nd) => input.permute(input.shape.length === 2 ? [1, 0] : swapped(input.shape.length, 0, 0)),
  samples: (s) => [[s.randn(2, 3)], [s.randn(3)]],
  errors: (s) => [[[s.randn(2, 3, 4)], /t: expected at most two dimensions/]],
})

function movedOrder(rank: number, source: number | Shape, destination: number | Shape): number[] {
  const from = [source].flat().map((d) => normalizeDim('movedim', d, rank))
  const to = [destination].flat().map((d) => normalizeDim('movedim', d, rank))
  if (from.length !== to.length) throw new ShapeError(`movedim: ${from.length} sources and ${to.length} destinations`)
  const rest = Array.from({ length: rank }, (_, i) => i).filter((d) => !from.includes(d))
  return Array.from({ length: rank }, (_, d) => (to.includes(d) ? from[to.indexOf(d)] : (rest.shift() as number)))
}

/** Dimensions moved to other places, the rest in order. */
export const movedim = compose({
  name: 'movedim',
  params: ['input', 'source', 'destination'],
  forward: (input: Tensor, source: number | Shape, destination: number | Shape): Tensor =>
    input.permute(movedOrder(input.ndim, source, destination)),
  ref: (input: Nd, source: number | number[], destination: number | number[]) =>
    input.permute(movedOrder(input.shape.length, source, destination)),
  samples: (s) => [
    [s.randn(2, 3, 4), 0, 2],
    [s.randn(2, 3, 4), [0, 1], [-1, 0]],
  ],
})

/** Dimensions of size 1 left out: all, or those named. */
export const squeeze = compose({
  name: 'squeeze',
  params: ['input', 'dim'],
  forward: (input: Tensor, dim?: number | Shape): Tensor => input.reshape(squeezed(input.shape, dim)),
  ref: (input: Nd, dim?: number | number[]) => input.reshape(squeezed(input.shape, dim)),
  samples: (s) => [[s.randn(1, 3, 1)], [s.randn(1, 3, 1), 0], [s.randn(1, 3, 1), [0, -1]], [s.randn(2, 3), 1]],
})

function squeezed(shape: Shape, dim?: number | Shape): number[] {
  const dims =
    dim === undefined ? shape.map((_, d) => d) : [dim].flat().map((d) => normalizeDim('squeeze', d, shape.length))
  return shape.filter((size, d) => size !== 1 || !dims.includes(d))
}

/** A dimension of size 1 put in. */
export const unsqueeze = compose({
  name: 'unsqueeze',
  params: ['input', 'dim'],
  forward: (input: Tensor, dim: number): Tensor => view(input, unsqueezed(input.shape, dim)),
  ref: (input: Nd, dim: number) => input.reshape(unsqueezed(input.shape, dim)),
  samples: (s) => [
    [s.randn(2, 3), 0],
    [s.randn(2, 3), -1],
    [s.randn(), 0],
  ],
  errors: (s) => [[[s.randn(2), 3], /unsqueeze: dim 3 is out of range/]],
})

function unsqueezed(shape: Shape, dim: number): number[] {
  const d = normalizeDim('unsqueeze', dim, shape.length + 1)
  return [...shape.slice(0, d), 1, ...shape.slice(d)]
}

/** The elements in row-major order: the tensor itself where they are, else a copy. */
export const contiguous = compose({
  name: 'contiguous',
  params: ['input'],
  forward: (input: Tensor): Tensor => (input.is_contiguous() ? input : clone(input)),
  ref: (input: Nd) => input,
  samples: (s) => [[s.randn(3, 4)], [s.randn(0)]],
})

/** A copy. */
export const clone = defineOp({
  name: 'clone',
  params: ['input'],
  forward: (record, input: Tensor): Tensor => record(packed(input, 'clone'), [], ([g]) => [g]),
  ref: (input: Nd) => input,
  samples: (s) => [
    [s.randn(3, 4)],
    [s.randn()],
    [s.randint(-3, 3, [2, 2, 2])],
    [s.randn(2, 3, 2, 2, 3)],
    [s.randn(40, 33)],
  ],
})

/** Part of a dimension: elements start, start + step, … before end. Negative places count from the end. */
export const slice = defineOp({
  name: 'slice',
  params: ['input', 'dim', 'start', 'end', 'step'],
  forward(
    record,
    input: Tensor,
    dim: number = 0,
    start: number | null = null,
    end: number | null = null,
    step: number = 1,
  ): Tensor {
    const part = slicePart(input.shape, dim, start, end, step)
    const shape = input.shape
    const strides = input.strides.map((s, d) => (d === part.dim ? s * step : s))
    const out = input.alias(part.shape, strides, input.offset + part.start * input.strides[part.dim])
    return record(out, [], ([g]) => {
      const full = contiguousStrides(shape)
      return [
        scatterView(g, shape, {
          shape: g.shape,
          strides: full.map((s, d) => (d === part.dim ? s * step : s)),
          offset: part.start * full[part.dim],
        }),
      ]
    })
  },
  ref(input: Nd, dim: number = 0, start: number | null = null, end: number | null = null, step: number = 1) {
    const part = slicePart(input.shape, dim, start, end, step)
    const full = contiguousStrides(input.shape)
    return input.strided(
      part.shape,
      full.map((s, d) => (d === part.dim ? s * step : s)),
      part.start * full[part.dim],
    )
  },
  samples: (s) => [
    [s.randn(5, 3), 0, 1, 4],
    [s.randn(5, 3), 1, -2],
    [s.randn(7), 0, null, null, 2],
    [s.randn(7, 2), 0, 1, 100, 3],
    [s.randn(4), 0, 3, 2],
  ],
  errors: (s) => [
    [[s.randn(4), 0, 0, 4, 0], /slice: step/],
    [[s.randn(4), 1], /slice: dim 1 is out of range/],
  ],
})

function slicePart(
  shape: Shape,
  dim: number,
  start: number | null,
  end: number | null,
  step: number,
): { dim: number; start: number; shape: number[] } {
  if (shape.length === 0) throw new ShapeError('slice: a tensor without dimensions has no slices')
  const d = normalizeDim('slice', dim, shape.length)
  if (!Number.isInteger(step) || step < 1)
    throw new RushlightError(
      `slice: step must be a whole number from 1 up, found ${step}. Hint: flip() for the other direction`,
    )
  const place = (x: number) => Math.min(Math.max(x < 0 ? x + shape[d] : x, 0), shape[d])
  const from = start === null ? 0 : place(start)
  const to = end === null ? shape[d] : place(end)
  return {
    dim: d,
    start: from,
    shape: shape.map((size, i) => (i === d ? Math.max(0, Math.ceil((to - from) / step)) : size)),
  }
}

/** `length` elements of a dimension from `start` on. @throws ShapeError when they reach past the end */
export const narrow = compose({
  name: 'narrow',
  params: ['input', 'dim', 'start', 'length'],
  forward(input: Tensor, dim: number, start: number, length: number): Tensor {
    const d = normalizeDim('narrow', dim, input.ndim)
    const from = start < 0 ? start + input.shape[d] : start
    if (from < 0 || length < 0 || from + length > input.shape[d])
      throw new ShapeError(
        `narrow: ${length} elements from ${start} on reach past dimension ${dim} of ${show(input.shape)}`,
      )
    return slice(input, d, from, from + length)
  },
  ref(input: Nd, dim: number, start: number, length: number) {
    const d = normalizeDim('narrow', dim, input.shape.length)
    const from = start < 0 ? start + input.shape[d] : start
    const full = contiguousStrides(input.shape)
    return input.strided(
      input.shape.map((size, i) => (i === d ? length : size)),
      full,
      from * full[d],
    )
  },
  samples: (s) => [
    [s.randn(5, 3), 0, 1, 3],
    [s.randn(5, 3), -1, -2, 2],
    [s.randn(4), 0, 4, 0],
  ],
  errors: (s) => [[[s.randn(4), 0, 2, 3], /narrow: 3 elements from 2 on reach past/]],
})

/** One place of a dimension, which goes away. */
export const select = compose({
  name: 'select',
  params: ['input', 'dim', 'index'],
  forward(input: Tensor, dim: number, index: number): Tensor {
    const { d, at } = selected(input.shape, dim, index)
    return slice(input, d, at, at + 1).reshape(input.shape.filter((_, i) => i !== d))
  },
  ref(input: Nd, dim: number, index: number) {
    const { d, at } = selected(input.shape, dim, index)
    const full = contiguousStrides(input.shape)
    const keep = (list: Shape) => list.filter((_, i) => i !== d)
    return input.strided(keep(input.shape), keep(full), at * full[d])
  },
  samples: (s) => [
    [s.randn(5, 3), 0, 1],
    [s.randn(2, 3, 4), 1, -1],
    [s.randn(3), 0, 2],
  ],
  errors: (s) => [[[s.randn(4, 2), 0, 4], /select: index 4 is out of range for dimension 0 of \[4, 2\]/]],
})

function selected(shape: Shape, dim: number, index: number): { d: number; at: number } {
  if (shape.length === 0) throw new ShapeError('select: a tensor without dimensions has no elements to select')
  const d = normalizeDim('select', dim, shape.length)
  const at = index < 0 ? index + shape[d] : index
  if (!Number.isInteger(index) || at < 0 || at >= shape[d])
    throw new ShapeError(`select: index ${index} is out of range for dimension ${dim} of ${show(shape)}`)
  return { d, at }
}

/** Tensors one behind another along a dimension. Promotes dtypes; empty tensors of one dimension are left out, as in torch. */
export const cat = defineOp({
  name: 'cat',
  params: ['tensors', 'dim'],
  forward(record, tensors: Tensor[], dim: number = 0): Tensor {
    if (!Array.isArray(tensors) || tensors.length === 0)
      throw new RushlightError('cat: expected a list of at least one tensor')
    const { shape, d, sizes } = catShape(
      tensors.map((x) => x.shape),
      dim,
    )
    const dtype = tensors.map((x) => x.dtype).reduce(promoteTypes)
    const out = Tensor.empty(shape, dtype, 'cat')
    let at = 0
    tensors.forEach((tensor, i) => {
      if (sizes[i] > 0) copyInto(out.alias(tensor.shape, out.strides, at * out.strides[d]), tensor.to(dtype))
      at += sizes[i]
    })
    const dtypes = tensors.map((x) => x.dtype)
    const shapes = tensors.map((x) => x.shape)
    return record(out, [], ([g], _, needs) => {
      let from = 0
      return sizes.map((size, i) => {
        const part = needs[i] ? g.narrow(d, from, size).reshape(shapes[i]).to(dtypes[i]) : null
        from += size
        return part
      })
    })
  },
  ref(tensors: Nd[], dim: number = 0) {
    const { shape, d } = catShape(
      tensors.map((x) => x.shape),
      dim,
    )
    const inner = numelOf(shape.slice(d + 1))
    const parts = tensors
      .filter((x) => x.shape.length === shape.length)
      .map((x) => ({ width: x.shape[d] * inner, data: x.data }))
    const width = shape[d] * inner
    const out = new Float64Array(numelOf(shape))
    for (let o = 0; o < numelOf(shape.slice(0, d)); o++) {
      let at = o * width
      for (const part of parts) {
        out.set(part.data.subarray(o * part.width, (o + 1) * part.width), at)
        at += part.width
      }
    }
    return new Nd(shape, out, tensors.map((x) => x.dtype).reduce(promoteTypes))
  },
  samples: (s) => [
    [[s.randn(2, 3), s.randn(1, 3)]],
    [[s.randn(2, 3), s.randn(2, 1), s.randn(2, 0)], -1],
    [[s.randn(4)], 0],
    [[s.randint(0, 5, [2]), s.randn(3)], 0],
    [[s.randn(2, 2, 3), s.randn(2, 5, 3)], 1],
  ],
  errors: (s) => [
    [
      [[s.randn(2, 3), s.randn(2, 4)], 0],
      /cat: tensor 1 has shape \[2, 4\], expected that of tensor 0, \[2, 3\], but for dimension 0/,
    ],
    [[[]], /cat: expected a list of at least one tensor/],
  ],
})

function catShape(shapes: Shape[], dim: number): { shape: number[]; d: number; sizes: number[] } {
  const isNothing = (shape: Shape) => shape.length === 1 && shape[0] === 0
  const first = shapes.find((shape) => !isNothing(shape)) ?? shapes[0]
  if (first.length === 0) throw new ShapeError('cat: tensors without dimensions cannot be joined. Hint: stack')
  const d = normalizeDim('cat', dim, first.length)
  const sizes = shapes.map((shape, i) => {
    if (isNothing(shape)) return 0
    if (shape.length !== first.length || shape.some((size, j) => j !== d && size !== first[j]))
      throw new ShapeError(
        `cat: tensor ${i} has shape ${show(shape)}, expected that of tensor ${shapes.indexOf(first)}, ${show(first)}, but for dimension ${dim}`,
      )
    return shape[d]
  })
  return { shape: first.map((size, i) => (i === d ? sizes.reduce((a, b) => a + b, 0) : size)), d, sizes }
}

/** Tensors of one shape along a new dimension. */
export const stack = compose({
  name: 'stack',
  params: ['tensors', 'dim'],
  forward(tensors: Tensor[], dim: number = 0): Tensor {
    if (!Array.isArray(tensors) || tensors.length === 0)
      throw new RushlightError('stack: expected a list of at least one tensor')
    tensors.forEach((x, i) => {
      if (show(x.shape) !== show(tensors[0].shape))
        throw new ShapeError(
          `stack: tensor ${i} has shape ${show(x.shape)}, expected that of tensor 0, ${show(tensors[0].shape)}`,
        )
    })
    const d = normalizeDim('stack', dim, tensors[0].ndim + 1)
    return cat(
      tensors.map((x) => unsqueeze(x, d)),
      d,
    )
  },
  ref(tensors: Nd[], dim: number = 0) {
    const shape = tensors[0].shape
    const d = normalizeDim('stack', dim, shape.length + 1)
    const flat = new Nd(
      [tensors.length, ...shape],
      Float64Array.from(tensors.flatMap((x) => [...x.data])),
      tensors[0].dtype,
    )
    const order = Array.from({ length: shape.length }, (_, i) => i + 1)
    order.splice(d, 0, 0)
    return flat.permute(order)
  },
  samples: (s) => [[[s.randn(2, 3), s.randn(2, 3)]], [[s.randn(2), s.randn(2), s.randn(2)], -1], [[s.randn()], 0]],
  errors: (s) => [[[[s.randn(2), s.randn(3)]], /stack: tensor 1 has shape \[3\], expected that of tensor 0, \[2\]/]],
})

function splitSizes(n: number, size: number | Shape): number[] {
  if (typeof size !== 'number') {
    if (size.reduce((a, b) => a + b, 0) !== n) throw new ShapeError(`split: sizes ${show(size)} do not sum to ${n}`)
    return [...size]
  }
  if (!(size > 0)) throw new ShapeError(`split: the size of a part must be above 0, found ${size}`)
  return n === 0 ? [0] : Array.from({ length: Math.ceil(n / size) }, (_, i) => Math.min(size, n - i * size))
}

function partsRef(input: Nd, sizes: number[], d: number): Nd[] {
  const full = contiguousStrides(input.shape)
  let at = 0
  return sizes.map((size) => {
    const part = input.strided(
      input.shape.map((s, i) => (i === d ? size : s)),
      full,
      at * full[d],
    )
    at += size
    return part
  })
}

/** Views of that size along a dimension (the last may be smaller), or of those sizes. */
export const split = compose({
  name: 'split',
  params: ['input', 'split_size_or_sections', 'dim'],
  forward(input: Tensor, split_size_or_sections: number | Shape, dim: number = 0): Tensor[] {
    const d = normalizeDim('split', dim, input.ndim)
    let at = 0
    return splitSizes(input.shape[d], split_size_or_sections).map((size) => {
      at += size
      return slice(input, d, at - size, at)
    })
  },
  ref: (input: Nd, sizes: number | number[], dim: number = 0) => {
    const d = normalizeDim('split', dim, input.shape.length)
    return partsRef(input, splitSizes(input.shape[d], sizes), d)
  },
  samples: (s) => [
    [s.randn(5, 2), 2],
    [s.randn(2, 6), [1, 2, 3], 1],
    [s.randn(4), 4, -1],
  ],
  errors: (s) => [[[s.randn(5), [2, 2]], /split: sizes \[2, 2\] do not sum to 5/]],
})

/** At most that many parts of equal size. */
export const chunk = compose({
  name: 'chunk',
  params: ['input', 'chunks', 'dim'],
  forward: (input: Tensor, chunks: number, dim: number = 0): Tensor[] =>
    split(input, Math.max(1, Math.ceil(input.shape[normalizeDim('chunk', dim, input.ndim)] / chunks)), dim),
  ref: (input: Nd, chunks: number, dim: number = 0) => {
    const d = normalizeDim('chunk', dim, input.shape.length)
    return partsRef(input, splitSizes(input.shape[d], Math.max(1, Math.ceil(input.shape[d] / chunks))), d)
  },
  samples: (s) => [
    [s.randn(5, 2), 2],
    [s.randn(2, 6), 3, 1],
    [s.randn(4), 3],
  ],
})

/** Each place of a dimension as a tensor of its own. */
export const unbind = compose({
  name: 'unbind',
  params: ['input', 'dim'],
  forward: (input: Tensor, dim: number = 0): Tensor[] =>
    Array.from({ length: input.shape[normalizeDim('unbind', dim, input.ndim)] }, (_, i) => select(input, dim, i)),
  ref: (input: Nd, dim: number = 0) => {
    const d = normalizeDim('unbind', dim, input.shape.length)
    return partsRef(input, new Array<number>(input.shape[d]).fill(1), d).map((x) =>
      x.reshape(x.shape.filter((_, i) => i !== d)),
    )
  },
  samples: (s) => [[s.randn(3, 2)], [s.randn(2, 3), 1]],
})

/** The tensor repeated along each dimension; new dimensions come first. */
export const repeat = compose({
  name: 'repeat',
  params: ['input', 'repeats'],
  forward(input: Tensor, repeats: Shape): Tensor {
    const { from, wide, to } = repeated(input.shape, repeats)
    return input.reshape(from).expand(wide).reshape(to)
  },
  ref(input: Nd, repeats: number[]) {
    const { from, wide, to } = repeated(input.shape, repeats)
    return input.reshape(from).expand(wide).reshape(to)
  },
  samples: (s) => [
    [s.randn(2, 3), [2, 1]],
    [s.randn(3), [2, 2]],
    [s.randn(2, 1, 2), [1, 3, 2]],
  ],
  errors: (s) => [[[s.randn(2, 3), [2]], /repeat: 1 repeats for 2 dimensions/]],
})

function repeated(shape: Shape, repeats: Shape): { from: number[]; wide: number[]; to: number[] } {
  if (repeats.length < shape.length)
    throw new ShapeError(`repeat: ${repeats.length} repeats for ${shape.length} dimensions of ${show(shape)}`)
  const full = [...new Array<number>(repeats.length - shape.length).fill(1), ...shape]
  return {
    from: full.flatMap((s) => [1, s]),
    wide: full.flatMap((s, d) => [repeats[d], s]),
    to: full.map((s, d) => s * repeats[d]),
  }
}

/** As repeat, with missing counts taken for 1. */
export const tile = compose({
  name: 'tile',
  params: ['input', 'dims'],
  forward: (input: Tensor, dims: Shape): Tensor => repeat(input, padCounts(dims, input.ndim)),
  ref: (input: Nd, dims: number[]) => {
    const { from, wide, to } = repeated(input.shape, padCounts(dims, input.shape.length))
    return input.reshape(from).expand(wide).reshape(to)
  },
  samples: (s) => [
    [s.randn(2, 3), [2]],
    [s.randn(3), [2, 2]],
  ],
})

function padCounts(counts: Shape, rank: number): number[] {
  return [...new Array<number>(Math.max(0, rank - counts.length)).fill(1), ...counts]
}

/** Each element repeated in place along a dimension (over the flat elements when none is given). */
export const repeat_interleave = compose({
  name: 'repeat_interleave',
  params: ['input', 'repeats', 'dim'],
  forward(input: Tensor, repeats: number, dim?: number | null): Tensor {
    const x = dim === undefined || dim === null ? input.reshape([-1]) : input
    const d = normalizeDim('repeat_interleave', dim ?? 0, x.ndim)
    const wide = [...x.shape.slice(0, d + 1), repeats, ...x.shape.slice(d + 1)]
    return x
      .unsqueeze(d + 1)
      .expand(wide)
      .reshape(x.shape.map((s, i) => (i === d ? s * repeats : s)))
  },
  ref(input: Nd, repeats: number, dim?: number | null) {
    const x = dim === undefined || dim === null ? input.reshape([input.data.length]) : input
    const d = normalizeDim('repeat_interleave', dim ?? 0, x.shape.length)
    return x.rows(d, (row) => [...row].flatMap((v) => new Array<number>(repeats).fill(v)))
  },
  samples: (s) => [
    [s.randn(2, 3), 2, 1],
    [s.randn(2, 3), 3, 0],
    [s.randn(2, 2), 2],
  ],
})

/** Dimensions in reverse. */
export const flip = defineOp({
  name: 'flip',
  params: ['input', 'dims'],
  forward(record, input: Tensor, dims: number | Shape): Tensor {
    const list = [dims].flat().map((d) => normalizeDim('flip', d, input.ndim))
    const out = Tensor.empty(input.shape, input.dtype, 'flip')
    const back = out.strides.map((s, d) => (list.includes(d) ? -s : s))
    const start = list.reduce((at, d) => at + Math.max(0, input.shape[d] - 1) * out.strides[d], 0)
    copyInto(out.alias(out.shape, back, start), input)
    return record(out, [], ([g]) => [g.flip(list)])
  },
  ref(input: Nd, dims: number | number[]) {
    let out = input
    for (const d of [dims].flat())
      out = out.rows(normalizeDim('flip', d, input.shape.length), (row) => row.slice().reverse())
    return out
  },
  samples: (s) => [
    [s.randn(3, 4), 0],
    [s.randn(3, 4), [0, 1]],
    [s.randn(5), -1],
    [s.randn(0, 2), 1],
  ],
})

/** Elements shifted along a dimension, those that fall off coming back at the other end. */
export const roll = compose({
  name: 'roll',
  params: ['input', 'shifts', 'dims'],
  forward(input: Tensor, shifts: number | Shape, dims?: number | Shape | null): Tensor {
    if (dims === undefined || dims === null)
      return rolled(input.reshape([-1]), [shifts].flat()[0], 0).reshape(input.shape)
    const [by, over] = [[shifts].flat(), [dims].flat()]
    if (by.length !== over.length) throw new ShapeError(`roll: ${by.length} shifts for ${over.length} dims`)
    return over.reduce((x, d, i) => rolled(x, by[i], normalizeDim('roll', d, input.ndim)), input.reshape(input.shape))
  },
  ref(input: Nd, shifts: number | number[], dims?: number | number[] | null) {
    const shift = (x: Nd, by: number, d: number) =>
      x.rows(d, (row) => row.map((_, i) => row[(((i - by) % row.length) + row.length) % row.length]))
    if (dims === undefined || dims === null)
      return shift(input.reshape([input.data.length]), [shifts].flat()[0], 0).reshape(input.shape)
    return [dims]
      .flat()
      .reduce((x, d, i) => shift(x, [shifts].flat()[i], normalizeDim('roll', d, input.shape.length)), input)
  },
  samples: (s) => [
    [s.randn(5), 2],
    [s.randn(3, 4), -1, 1],
    [s.randn(3, 4), [1, 2], [0, 1]],
    [s.randn(2, 3), 4],
  ],
})

function rolled(x: Tensor, by: number, d: number): Tensor {
  const n = x.shape[d]
  if (n === 0) return x.reshape(x.shape)
  const at = (((-by % n) + n) % n) as number
  return cat([slice(x, d, at), slice(x, d, 0, at)], d)
}

function triangle(op: string, keep: (row: number, col: number, diagonal: number) => boolean) {
  return defineOp({
    name: op,
    params: ['input', 'diagonal'],
    forward(record, input: Tensor, diagonal: number = 0): Tensor {
      if (input.ndim < 2)
        throw new ShapeError(`${op}: expected at least two dimensions, found shape ${show(input.shape)}`)
      const out = packed(input, op)
      const [rows, cols] = input.shape.slice(-2)
      const view = out.view1d()
      const zero = view instanceof BigInt64Array ? 0n : 0
      for (let at = 0; at < view.length; at += cols) {
        const row = (at / cols) % rows
        for (let col = 0; col < cols; col++) if (!keep(row, col, diagonal)) view[at + col] = zero
      }
      return record(out, [], ([g]) => [op === 'tril' ? g.tril(diagonal) : g.triu(diagonal)])
    },
    ref(input: Nd, diagonal: number = 0) {
      const [rows, cols] = input.shape.slice(-2)
      return input.map((x, i) => (keep(Math.floor(i / cols) % rows, i % cols, diagonal) ? x : 0))
    },
    samples: (s) => [[s.randn(4, 3)], [s.randn(2, 3, 3), 1], [s.randn(3, 4), -1], [s.randn(0, 3)]],
    errors: (s) => [[[s.randn(3)], new RegExp(`${op}: expected at least two dimensions`)]],
  })
}

/** The lower triangle, the rest 0. */
export const tril = triangle('tril', (row, col, diagonal) => col - row <= diagonal)
/** The upper triangle, the rest 0. */
export const triu = triangle('triu', (row, col, diagonal) => col - row >= diagonal)

/** A view of a diagonal of two dimensions, as a new last dimension. */
export const diagonal = defineOp({
  name: 'diagonal',
  params: ['input', 'offset', 'dim1', 'dim2'],
  forward(record, input: Tensor, offset: number = 0, dim1: number = 0, dim2: number = 1): Tensor {
    const at = diagonalPart(input.shape, input.strides, offset, dim1, dim2)
    const from = input.shape
    return record(input.alias(at.shape, at.strides, input.offset + at.offset), [], ([g]) => [
      scatterView(g, from, diagonalPart(from, contiguousStrides(from), offset, dim1, dim2)),
    ])
  },
  ref(input: Nd, offset: number = 0, dim1: number = 0, dim2: number = 1) {
    const at = diagonalPart(input.shape, contiguousStrides(input.shape), offset, dim1, dim2)
    return input.strided(at.shape, at.strides, at.offset)
  },
  samples: (s) => [[s.randn(3, 4)], [s.randn(3, 3), 1], [s.randn(2, 3, 4), -1, 1, 2]],
})

function diagonalPart(
  shape: Shape,
  strides: Shape,
  offset: number,
  dim1: number,
  dim2: number,
): { shape: number[]; strides: number[]; offset: number } {
  const [a, b] = [normalizeDim('diagonal', dim1, shape.length), normalizeDim('diagonal', dim2, shape.length)]
  if (a === b) throw new ShapeError(`diagonal: dim1 and dim2 are both ${dim1}`)
  const [down, right] = [Math.max(0, -offset), Math.max(0, offset)]
  const n = Math.max(0, Math.min(shape[a] - down, shape[b] - right))
  const rest = (list: Shape) => list.filter((_, d) => d !== a && d !== b)
  return {
    shape: [...rest(shape), n],
    strides: [...rest(strides), strides[a] + strides[b]],
    offset: n > 0 ? down * strides[a] + right * strides[b] : 0,
  }
}

/** A vector as a matrix with that diagonal, or the diagonal of a matrix. */
export const diag = compose({
  name: 'diag',
  params: ['input', 'diagonal'],
  forward(input: Tensor, diagonalOffset: number = 0): Tensor {
    if (input.ndim === 2) return diagonal(input, diagonalOffset).contiguous()
    if (input.ndim !== 1) throw new ShapeError(`diag: expected a vector or a matrix, found shape ${show(input.shape)}`)
    return embedDiagonal(input, diagonalOffset)
  },
  ref(input: Nd, offset: number = 0) {
    if (input.shape.length === 2) {
      const at = diagonalPart(input.shape, contiguousStrides(input.shape), offset, 0, 1)
      return input.strided(at.shape, at.strides, at.offset)
    }
    const n = input.shape[0] + Math.abs(offset)
    return Nd.of([n, n], (i) =>
      (i % n) - Math.floor(i / n) === offset ? input.data[Math.min(Math.floor(i / n), i % n)] : 0,
    )
  },
  samples: (s) => [[s.randn(3)], [s.randn(2), 1], [s.randn(3, 4)], [s.randn(3, 3), -1]],
})

const embedDiagonal = defineOp({
  name: 'diag_embed',
  params: ['input', 'offset'],
  forward(record, input: Tensor, offset: number = 0): Tensor {
    const n = input.shape[0] + Math.abs(offset)
    const out = scatterView(input, [n, n], diagonalPart([n, n], [n, 1], offset, 0, 1))
    return record(out, [], ([g]) => [g.diagonal(offset)])
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

/** Modes of pad. */
const PAD_MODES = ['constant', 'reflect', 'replicate', 'circular'] as const

/**
 * More elements around (torch.nn.functional.pad): `pad` holds two numbers a dimension, from the last dimension on; negative ones cut.
 * @param mode 'constant', or (without negative numbers) 'reflect', 'replicate', 'circular'
 */
export const pad = compose({
  name: 'pad',
  params: ['input', 'pad', 'mode', 'value'],
  forward(input: Tensor, padding: Shape, mode: (typeof PAD_MODES)[number] = 'constant', value: number = 0): Tensor {
    checkPad(input.shape, padding, mode)
    if (mode === 'constant') return padConstant(input, padding, value)
    let out = input.reshape(input.shape)
    for (let i = 0; 2 * i < padding.length; i++) {
      const d = input.ndim - 1 - i
      const sources = padSources(input.shape[d], padding[2 * i], padding[2 * i + 1], mode)
      out = cat(
        sources.map((at) => slice(out, d, at, at + 1)),
        d,
      )
    }
    return out
  },
  ref(input: Nd, padding: number[], mode: (typeof PAD_MODES)[number] = 'constant', value: number = 0) {
    let out = input
    for (let i = 0; 2 * i < padding.length; i++) {
      const d = input.shape.length - 1 - i
      const n = input.shape[d]
      const [before, after] = [padding[2 * i], padding[2 * i + 1]]
      if (mode !== 'constant') {
        const sources = padSources(n, before, after, mode)
        out = out.rows(d, (row) => sources.map((at) => row[at]))
      } else
        out = out.rows(d, (row) =>
          Array.from({ length: n + before + after }, (_, k) =>
            k - before >= 0 && k - before < n ? row[k - before] : value,
          ),
        )
    }
    return out
  },
  samples: (s) => [
    [s.randn(2, 3), [1, 2]],
    [s.randn(2, 3), [1, 0, 2, 1], 'constant', 0.5],
    [s.randn(2, 5), [-1, -2]],
    [s.randn(2, 2, 4), [2, 1], 'reflect'],
    [s.randn(2, 3), [2, 1], 'replicate'],
    [s.randn(2, 3), [2, 1], 'circular'],
  ],
  errors: (s) => [
    [[s.randn(2, 3), [1]], /pad: expected two numbers a dimension/],
    [[s.randn(2, 3), [1, 1], 'mirror'], /pad: mode: "mirror" is not supported/],
    [[s.randn(2, 3), [3, 0], 'reflect'], /pad: reflect/],
  ],
})

function checkPad(shape: Shape, padding: Shape, mode: (typeof PAD_MODES)[number]): void {
  if (!PAD_MODES.includes(mode)) throw unsupported('pad', 'mode', mode, PAD_MODES)
  if (padding.length % 2 !== 0 || padding.length > 2 * shape.length)
    throw new ShapeError(
      `pad: expected two numbers a dimension, for at most ${shape.length} dimensions, found ${padding.length} numbers`,
    )
  padding.forEach((n, i) => {
    const size = shape[shape.length - 1 - Math.floor(i / 2)]
    if (mode !== 'constant' && (n < 0 || n > (mode === 'reflect' ? size - 1 : mode === 'circular' ? size : n)))
      throw new ShapeError(`pad: ${mode} padding of ${n} does not fit a dimension of size ${size}`)
    if (n < -size) throw new ShapeError(`pad: ${n} cuts more than the ${size} elements there are`)
  })
}

function padSources(n: number, before: number, after: number, mode: (typeof PAD_MODES)[number]): number[] {
  return Array.from({ length: n + before + after }, (_, k) => {
    const at = k - before
    if (mode === 'circular') return ((at % n) + n) % n
    if (mode === 'replicate') return Math.min(Math.max(at, 0), n - 1)
    return at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at
  })
}

const padConstant = defineOp({
  name: 'constant_pad',
  params: ['input', 'pad', 'value'],
  forward(record, input: Tensor, padding: Shape, value: number): Tensor {
    const sides = input.shape.map((_, d) => [
      padding[2 * (input.ndim - 1 - d)] ?? 0,
      padding[2 * (input.ndim - 1 - d) + 1] ?? 0,
    ])
    const out = Tensor.empty(
      input.shape.map((s, d) => s + sides[d][0] + sides[d][1]),
      input.dtype,
      'pad',
    )
    fillWith(out, value)
    // Where sides are negative, only what stays is copied.
    const cut = sides.map(([a, b]) => [Math.max(0, -a), Math.max(0, -b)])
    const shape = input.shape.map((s, d) => s - cut[d][0] - cut[d][1])
    const from = input.alias(
      shape,
      input.strides,
      input.strides.reduce((at, s, d) => at + cut[d][0] * s, input.offset),
    )
    const to = out.alias(
      shape,
      out.strides,
      out.strides.reduce((at, s, d) => at + Math.max(0, sides[d][0]) * s, 0),
    )
    copyInto(to, from)
    const back = padding.map((n) => -n)
    return record(out, [], ([g]) => [padConstant(g, back, 0)])
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

/** Views of tensors at their common broadcast shape. */
export const broadcast_tensors = compose({
  name: 'broadcast_tensors',
  params: ['tensors'],
  forward(tensors: Tensor[]): Tensor[] {
    const shape = tensors.map((x) => x.shape).reduce((a, b) => broadcastShapes('broadcast_tensors', a, b))
    return tensors.map((x) => expand(x, shape))
  },
  ref(tensors: Nd[]) {
    const shape = tensors.map((x) => x.shape).reduce((a, b) => broadcastShapes('broadcast_tensors', a, b))
    return tensors.map((x) => x.expand(shape))
  },
  samples: (s) => [[[s.randn(3, 1), s.randn(1, 4)]]],
})

/** A contiguous tensor's elements, or a contiguous copy's, as one dimension. */
export const ravel = compose({
  name: 'ravel',
  params: ['input'],
  forward: (input: Tensor): Tensor => input.reshape([-1]),
  ref: (input: Nd) => input.reshape([input.data.length]),
  samples: (s) => [[s.randn(2, 3)], [s.randn()]],
})
