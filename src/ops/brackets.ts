// `index`: Python's square brackets.
import { broadcastShapes, contiguousStrides, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { addRows, prepareIndex, selectRows, summable, zerosOf } from './indices.ts'
import { nonzero } from './masks.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

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
      const places = nonzero(given)
      part.forEach((_, d) => void lists.push({ dim: dim++, index: places.select(1, d) }))
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
      t.alias([...before, numelOf(sizes), ...after], contiguousStrides([...before, numelOf(sizes), ...after]))
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
  const strides = contiguousStrides(input.shape)
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
      const found = nonzero.def.ref(...([i] as never[])) as Nd
      for (let k = 0; k < i.shape.length; k++) {
        const list = found.strided([found.shape[0]], [i.shape.length], k)
        lists.push({ list, stride: strides[d], size: input.shape[d++], at: plain.length })
      }
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
