// Pooling: the largest or the mean of each window.
import { isFloating } from '../tensor/dtype.ts'
import { numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { type KernelArgs, type KernelName, launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'
import { checkOut, checkPlanes, eachTap, type Sizes, sizesOf, type Windows, withWindows } from './windows.ts'

/** Taps that a thread looks at in some tens of microseconds. */
const GRAIN = 1 << 14

function poolWindows(
  op: string,
  shape: Shape,
  rank: number,
  kernel_size: Sizes,
  stride: Sizes | null,
  padding: Sizes,
  dilation: Sizes,
  ceil_mode: boolean,
): Windows {
  checkPlanes(op, shape, rank)
  const size = shape.slice(-rank)
  const kernel = sizesOf(op, 'kernel_size', kernel_size, rank, 1)
  const step = sizesOf(op, 'stride', stride ?? kernel, rank, 1)
  const around = sizesOf(op, 'padding', padding, rank, 0)
  const apart = sizesOf(op, 'dilation', dilation, rank, 1)
  around.forEach((p, d) => {
    if (p > kernel[d] / 2)
      throw new RushlightError(`${op}: padding ${p} is more than half of the kernel size ${kernel[d]}`)
  })
  const out = size.map((n, d) => {
    const room = n + 2 * around[d] - apart[d] * (kernel[d] - 1) - 1
    const windows = (ceil_mode ? Math.ceil(room / step[d]) : Math.floor(room / step[d])) + 1
    // A window that begins beyond the padding before the end would see nothing.
    return ceil_mode && (windows - 1) * step[d] >= n + around[d] ? windows - 1 : windows
  })
  const windows = { size, kernel, stride: step, padding: around, dilation: apart, out }
  checkOut(op, shape, windows)
  return windows
}

function floating(op: string, input: Tensor): Tensor {
  if (!isFloating(input.dtype))
    throw new DTypeError(`${op}: expected a floating dtype, found ${input.dtype}. Hint: to('float32')`)
  return asContiguous(cast(input, 'float32'))
}

const planesOf = (shape: Shape, rank: number) => numelOf(shape.slice(0, -rank))

/** Calls a kernel that goes over the rows of the output. */
function overRows<K extends KernelName>(
  kernel: K,
  args: (windows: number) => KernelArgs[K],
  planes: number,
  w: Windows,
): void {
  const rows = planes * (w.out.length === 1 ? 1 : w.out[0])
  const grain = Math.ceil(GRAIN / (w.out[w.out.length - 1] * numelOf(w.kernel)))
  withWindows(w, (windows) => void launch(kernel, args(windows), rows, grain))
}

/** Calls a kernel that goes over the planes of the input. */
function overPlanes<K extends KernelName>(
  kernel: K,
  args: (windows: number) => KernelArgs[K],
  planes: number,
  w: Windows,
): void {
  withWindows(w, (windows) => void launch(kernel, args(windows), planes, Math.ceil(GRAIN / numelOf(w.size))))
}

/** [values, places] by definition. */
function largestReference(input: Nd, w: Windows): [Nd, Nd] {
  const rank = w.size.length
  const shape = [...input.shape.slice(0, -rank), ...w.out]
  const values = Nd.of(shape, () => Number.NEGATIVE_INFINITY)
  const places = Nd.of(shape, () => 0, 'int64')
  const [windows, elements] = [numelOf(w.out), numelOf(w.size)]
  for (let plane = 0; plane < planesOf(input.shape, rank); plane++)
    eachTap(w, (window, element) => {
      const value = input.data[plane * elements + element]
      const to = plane * windows + window
      if (!(value > values.data[to] || Number.isNaN(value))) return
      values.data[to] = value
      places.data[to] = element
    })
  return [values, places]
}

/** What max pooling is told besides the input. */
type MaxPoolArgs = [kernel_size: Sizes, stride?: Sizes | null, padding?: Sizes, dilation?: Sizes, ceil_mode?: boolean]

function maxPoolWithIndices(rank: 1 | 2) {
  const name = `max_pool${rank}d_with_indices`
  const read = (
    shape: Shape,
    [kernel_size, stride = null, padding = 0, dilation = 1, ceil_mode = false]: MaxPoolArgs,
  ) => poolWindows(`max_pool${rank}d`, shape, rank, kernel_size, stride, padding, dilation, ceil_mode)
  return defineOp({
    name,
    params: ['input', 'kernel_size', 'stride', 'padding', 'dilation', 'ceil_mode'],
    forward(record, input: Tensor, ...args: MaxPoolArgs): Tensor[] {
      const w = read(input.shape, args)
      const x = floating(name, input)
      const out = Tensor.empty([...input.shape.slice(0, -rank), ...w.out], 'float32', name)
      const places = Tensor.empty(out.shape, 'int32', name)
      const planes = planesOf(input.shape, rank)
      overRows('max_pool_f32', (windows) => [x.ptr, out.ptr, places.ptr, windows], planes, w)
      const { shape } = input
      return record([cast(out, input.dtype), cast(places, 'int64')], [places], ([g], [at]) => {
        const grad = floating(name, g)
        const dx = Tensor.empty(shape, 'float32', `gradient of ${name}`)
        overPlanes('max_pool_backward_f32', (windows) => [grad.ptr, at.ptr, dx.ptr, windows], planes, w)
        return [dx]
      })
    },
    ref: (input: Nd, ...args: MaxPoolArgs) => largestReference(input, read(input.shape, args)),
    samples: (s) => [
      [s.randn(...[2, 3, 8, 7].slice(2 - rank)), 3, 2, 1],
      [s.randn(...[2, 3, 9, 9].slice(2 - rank)), 2, 1, 0, 3],
    ],
  })
}

/** The largest of each window of (N,C,L), and where it is: [values, indices]. */
export const max_pool1d_with_indices = maxPoolWithIndices(1)
/** The largest of each window of (N,C,H,W), and where in its plane it is: [values, indices]. */
export const max_pool2d_with_indices = maxPoolWithIndices(2)

function maxPool(rank: 1 | 2, both: typeof max_pool2d_with_indices) {
  const name = `max_pool${rank}d`
  return compose({
    name,
    params: ['input', 'kernel_size', 'stride', 'padding', 'dilation', 'ceil_mode', 'return_indices'],
    forward(input: Tensor, ...args: [...MaxPoolArgs, return_indices?: boolean]): Tensor {
      if (args[5])
        throw new RushlightError(`${name}: return_indices: true is not supported. Hint: ${name}_with_indices`)
      return both(input, ...(args.slice(0, 5) as unknown as MaxPoolArgs))[0]
    },
    ref: (...args: unknown[]) => (both.def.ref(...(args as never[])) as Nd[])[0],
    samples: (s) =>
      rank === 1
        ? [
            [s.randn(2, 3, 9), 2],
            [s.randn(3, 10), 3, 2, 1],
            [s.randn(1, 2, 11), 3, 2, 0, 2, true],
            [s.randn(1, 2, 8), 3, 2, 1, 1, true],
          ]
        : [
            [s.randn(2, 3, 6, 8), 2],
            [s.randn(3, 7, 9), [3, 2], [2, 1], 1],
            [s.randn(1, 2, 11, 10), 3, 2, [1, 0], [2, 1], true],
            [s.randn(1, 1, 5, 5), 3, 1, 1, 1, false],
            [s.randn(0, 1, 5, 5), 2],
          ],
    errors: (s) => {
      const image = (size: number) => s.randn(...[1, 1, size, size].slice(2 - rank))
      return [
        [[s.randn(5), 2], new RegExp(`${name}: expected an input`)],
        [[image(1), 2], new RegExp(`${name}: windows of .* do not fit`)],
        [[image(9), 2, 1, 2], new RegExp(`${name}: padding 2 is more than half`)],
        [[image(9), 0], new RegExp(`${name}: kernel_size must be`)],
        [[image(9), 2, { return_indices: true }], new RegExp(`${name}: return_indices: true is not supported`)],
      ]
    },
  })
}

/** The largest of each window of (N,C,L). */
export const max_pool1d = maxPool(1, max_pool1d_with_indices)
/** The largest of each window of (N,C,H,W). */
export const max_pool2d = maxPool(2, max_pool2d_with_indices)

function avgPool(rank: 1 | 2) {
  const name = `avg_pool${rank}d`
  return defineOp({
    name,
    params: [
      'input',
      'kernel_size',
      'stride',
      'padding',
      'ceil_mode',
      'count_include_pad',
      ...(rank === 2 ? ['divisor_override'] : []),
    ] as ['input', 'kernel_size', 'stride', 'padding', 'ceil_mode', 'count_include_pad', 'divisor_override'],
    forward(
      record,
      input: Tensor,
      kernel_size: Sizes,
      stride: Sizes | null = null,
      padding: Sizes = 0,
      ceil_mode: boolean = false,
      count_include_pad: boolean = true,
      divisor_override: number | null = null,
    ): Tensor {
      const w = poolWindows(name, input.shape, rank, kernel_size, stride, padding, 1, ceil_mode)
      if (divisor_override === 0) throw new RushlightError(`${name}: divisor_override must not be 0`)
      const x = floating(name, input)
      const out = Tensor.empty([...input.shape.slice(0, -rank), ...w.out], 'float32', name)
      const planes = planesOf(input.shape, rank)
      const mode: [number, number] = [Number(count_include_pad), divisor_override ?? 0]
      overRows('avg_pool_f32', (windows) => [x.ptr, out.ptr, windows, ...mode], planes, w)
      const { shape } = input
      return record(cast(out, input.dtype), [], ([g]) => {
        const grad = floating(name, g)
        const dx = Tensor.empty(shape, 'float32', `gradient of ${name}`)
        overPlanes('avg_pool_backward_f32', (windows) => [grad.ptr, dx.ptr, windows, ...mode], planes, w)
        return [dx]
      })
    },
    ref(
      input: Nd,
      kernel_size: Sizes,
      stride: Sizes | null = null,
      padding: Sizes = 0,
      ceil_mode: boolean = false,
      count_include_pad: boolean = true,
      divisor_override: number | null = null,
    ) {
      const w = poolWindows(name, input.shape, rank, kernel_size, stride, padding, 1, ceil_mode)
      const [windows, elements] = [numelOf(w.out), numelOf(w.size)]
      const out = Nd.of([...input.shape.slice(0, -rank), ...w.out], () => 0)
      for (let plane = 0; plane < planesOf(input.shape, rank); plane++)
        eachTap(w, (window, element) => {
          out.data[plane * windows + window] += input.data[plane * elements + element]
        })
      // A window's elements: those inside, or (with the padding) those before the padding's end.
      const counts = new Float64Array(windows)
      const seen = count_include_pad
        ? { ...w, size: w.size.map((n, d) => n + 2 * w.padding[d]), padding: w.padding.map(() => 0) }
        : w
      eachTap(seen, (window) => void counts[window]++)
      return out.map((x, i) => x / (divisor_override ?? counts[i % windows]))
    },
    samples: (s) =>
      rank === 1
        ? [
            [s.randn(2, 3, 9), 2],
            [s.randn(3, 10), 3, 2, 1],
            [s.randn(1, 2, 8), 3, 2, 1, true, false],
            [s.randn(1, 2, 8), 3, 2, 1, true, true],
          ]
        : [
            [s.randn(2, 3, 6, 8), 2],
            [s.randn(3, 7, 9), [3, 2], [2, 1], 1],
            [s.randn(1, 2, 8, 10), 3, 2, 1, true, false],
            [s.randn(1, 2, 8, 10), 3, 2, 1, true, true],
            [s.randn(1, 2, 5, 5), 3, 2, 1, false, true, 4],
          ],
    errors: (s) => [[[s.randn(5), 2], new RegExp(`${name}: expected an input`)]],
  })
}

/** The mean of each window of (N,C,L). */
export const avg_pool1d = avgPool(1)
/** The mean of each window of (N,C,H,W). */
export const avg_pool2d = avgPool(2)

/** A matrix (out, n) whose rows take the mean of each of `out` stretches that cover n elements. */
function stretches(n: number, out: number): Float64Array {
  const matrix = new Float64Array(out * n)
  for (let o = 0; o < out; o++) {
    const [start, end] = [Math.floor((o * n) / out), Math.ceil(((o + 1) * n) / out)]
    matrix.fill(1 / (end - start), o * n + start, o * n + end)
  }
  return matrix
}

/** One number for each dimension; null keeps the input's. */
function outputSizes(
  op: string,
  shape: Shape,
  rank: number,
  given: number | null | readonly (number | null)[],
): number[] {
  checkPlanes(op, shape, rank)
  const list = given === null || typeof given === 'number' ? new Array<number | null>(rank).fill(given) : given
  const sizes = list.map((size, d) => size ?? shape[shape.length - rank + d])
  if (sizes.length !== rank || sizes.some((n) => !Number.isInteger(n) || n < 1))
    throw new ShapeError(`${op}: output_size ${show(sizes)} does not fit an input of shape ${show(shape)}`)
  return sizes
}

/** The mean of each of `output_size` stretches that cover (N,C,L). */
export const adaptive_avg_pool1d = compose({
  name: 'adaptive_avg_pool1d',
  params: ['input', 'output_size'],
  forward(input: Tensor, output_size: number | null | readonly (number | null)[]): Tensor {
    const [size] = outputSizes('adaptive_avg_pool1d', input.shape, 1, output_size)
    const n = input.shape[input.ndim - 1]
    return input.matmul(Tensor.from(stretches(n, size), [size, n]).transpose(0, 1))
  },
  ref(input: Nd, output_size: number | null | readonly (number | null)[]) {
    const [size] = outputSizes('adaptive_avg_pool1d', input.shape, 1, output_size)
    return input.rows(input.shape.length - 1, (row) => means(row, size))
  },
  samples: (s) => [
    [s.randn(2, 3, 8), 2],
    [s.randn(3, 7), 3],
    [s.randn(1, 2, 3), 5],
    [s.randn(1, 2, 3), [null]],
  ],
  errors: (s) => [[[s.randn(1, 2, 3), 0], /adaptive_avg_pool1d: output_size \[0\]/]],
})

/** The mean of each of `output_size` rectangles that cover (N,C,H,W). */
export const adaptive_avg_pool2d = compose({
  name: 'adaptive_avg_pool2d',
  params: ['input', 'output_size'],
  forward(input: Tensor, output_size: number | null | readonly (number | null)[]): Tensor {
    const sizes = outputSizes('adaptive_avg_pool2d', input.shape, 2, output_size)
    const [H, W] = input.shape.slice(-2)
    const rows = Tensor.from(stretches(H, sizes[0]), [sizes[0], H])
    const columns = Tensor.from(stretches(W, sizes[1]), [sizes[1], W])
    return rows.matmul(input).matmul(columns.transpose(0, 1)) // (OH,H) (…,H,W) (W,OW)
  },
  ref(input: Nd, output_size: number | null | readonly (number | null)[]) {
    const sizes = outputSizes('adaptive_avg_pool2d', input.shape, 2, output_size)
    const rank = input.shape.length
    return input.rows(rank - 1, (row) => means(row, sizes[1])).rows(rank - 2, (row) => means(row, sizes[0]))
  },
  samples: (s) => [
    [s.randn(2, 3, 6, 8), 2],
    [s.randn(3, 7, 5), [3, 2]],
    [s.randn(1, 2, 4, 4), 1],
    [s.randn(1, 2, 4, 5), [null, 2]],
  ],
})

function means(row: Float64Array, size: number): number[] {
  return Array.from({ length: size }, (_, o) => {
    const part = row.slice(Math.floor((o * row.length) / size), Math.ceil(((o + 1) * row.length) / size))
    return part.reduce((a, b) => a + b, 0) / part.length
  })
}
