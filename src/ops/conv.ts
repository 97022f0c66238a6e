// Convolution, as torch has it (cross-correlation): taps unfolded into the columns of a matrix product, a block of images at a
// time; directly where each channel is a group of its own.
import { isFloating } from '../tensor/dtype.ts'
import { numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError, unsupported } from '../util/errors.ts'
import { launch, withTemp } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { gemm } from './gemm.ts'
import { zerosOf } from './indices.ts'
import { defineOp } from './op.ts'
import { Nd } from './reference.ts'
import { checkOut, checkPlanes, eachTap, type Sizes, sizesOf, type Windows, withWindows } from './windows.ts'

/** Elements that a thread copies in some tens of microseconds. */
const GRAIN = 1 << 15
/** Most bytes of unfolded taps at a time. */
const UNFOLDED_BYTES = 1 << 25

type Padding = Sizes | 'same' | 'valid'

/** A convolution's sizes: N images of C channels into O, in groups of c and o. */
interface Convolution extends Windows {
  name: string
  N: number
  C: number
  O: number
  groups: number
}

function readConvolution(
  name: string,
  input: Shape,
  weight: Shape,
  stride: Sizes,
  padding: Padding,
  dilation: Sizes,
  groups: number,
): Convolution {
  const rank = name === 'conv1d' ? 1 : 2
  checkPlanes(name, input, rank)
  if (weight.length !== rank + 2)
    throw new ShapeError(
      `${name}: expected a weight (O,C/groups,${rank === 1 ? 'K' : 'KH,KW'}), found shape ${show(weight)}`,
    )
  const C = input[input.length - rank - 1]
  const [O, c] = weight
  if (!Number.isInteger(groups) || groups < 1 || O % groups !== 0 || c * groups !== C)
    throw new ShapeError(
      `${name}: an input of ${C} channels does not go with a weight of shape ${show(weight)} in ${groups} groups. Hint: the weight has channels / groups, and groups divide both`,
    )
  const size = input.slice(-rank)
  const kernel = weight.slice(2)
  const step = sizesOf(name, 'stride', stride, rank, 1)
  const apart = sizesOf(name, 'dilation', dilation, rank, 1)
  const reach = kernel.map((k, d) => apart[d] * (k - 1))
  if (typeof padding === 'string' && padding !== 'same' && padding !== 'valid')
    throw unsupported(name, 'padding', padding, ['same', 'valid', 'numbers'])
  if (padding === 'same' && step.some((s) => s !== 1))
    throw new RushlightError(`${name}: padding 'same' needs stride 1, found ${show(step)}`)
  // 'same' puts the odd one of an odd number at the end.
  const around =
    padding === 'same'
      ? reach.map((r) => Math.floor(r / 2))
      : sizesOf(name, 'padding', padding === 'valid' ? 0 : padding, rank, 0)
  const out =
    padding === 'same' ? [...size] : size.map((n, d) => Math.floor((n + 2 * around[d] - reach[d] - 1) / step[d]) + 1)
  const conv = {
    name,
    N: input.length === rank + 2 ? input[0] : 1,
    C,
    O,
    groups,
    size: [...size],
    kernel,
    stride: step,
    padding: around,
    dilation: apart,
    out,
  }
  if (padding !== 'same') checkOut(name, input, conv)
  return conv
}

/** Whether each output channel reads one channel: then there is no product of matrices in it. */
const isDepthwise = (v: Convolution) => v.groups === v.C

/** Whether the taps of all outputs are the input itself. */
const isPointwise = (v: Convolution) =>
  [...v.kernel, ...v.stride].every((n) => n === 1) && v.padding.every((n) => n === 0)

/** Calls `fn` with blocks of images and their unfolded taps (images, C × taps, positions). */
function eachUnfolded(
  v: Convolution,
  x: Tensor,
  windows: number,
  fn: (taps: number, first: number, images: number) => void,
): void {
  const image = v.C * numelOf(v.size)
  const each = v.C * numelOf(v.kernel) * numelOf(v.out)
  if (isPointwise(v)) return fn(x.ptr, 0, v.N)
  const block = Math.max(1, Math.min(v.N, Math.floor(UNFOLDED_BYTES / (4 * each))))
  withTemp(
    4 * each * block,
    (taps) => {
      for (let first = 0; first < v.N; first += block) {
        const images = Math.min(block, v.N - first)
        launch(
          'im2col_f32',
          [x.ptr + 4 * first * image, taps, windows],
          images * v.C * numelOf(v.kernel),
          Math.ceil(GRAIN / numelOf(v.out)),
        )
        fn(taps, first, images)
      }
    },
    v.name,
  )
}

/** Sizes of one group's matrices: weight (o, k) by taps (k, positions). */
function groupSizes(v: Convolution): { o: number; k: number; positions: number } {
  return { o: v.O / v.groups, k: (v.C / v.groups) * numelOf(v.kernel), positions: numelOf(v.out) }
}

/** out (N,O,…) of x and weight, both contiguous float32. */
function forward(v: Convolution, x: Tensor, weight: Tensor, bias: Tensor | null, out: Tensor): void {
  withWindows(v, (windows) => {
    const { o, k, positions } = groupSizes(v)
    if (isDepthwise(v)) {
      const grain = Math.ceil(GRAIN / (positions * k))
      return launch('depthwise_f32', [x.ptr, weight.ptr, bias?.ptr ?? 0, out.ptr, windows, v.C, v.O], v.N * v.O, grain)
    }
    if (bias) launch('fill_planes_f32', [bias.ptr, out.ptr, v.O, positions], v.N * v.O, Math.ceil(GRAIN / positions))
    eachUnfolded(v, x, windows, (taps, first, images) => {
      for (let g = 0; g < v.groups; g++)
        gemm({
          m: o,
          n: positions,
          k,
          batch: images,
          a: { ptr: weight.ptr + 4 * g * o * k, dtype: 'float32', rows: k, cols: 1, batch: 0 },
          b: {
            ptr: taps + 4 * g * k * positions,
            dtype: 'float32',
            rows: positions,
            cols: 1,
            batch: v.groups * k * positions,
          },
          c: { ptr: out.ptr + 4 * (first * v.O + g * o) * positions, ld: positions, batch: v.O * positions },
          accumulate: bias !== null,
        })
    })
  })
}

/** Gradient of the input: the weight transposed by the gradient gives that of the taps, which are folded back. */
function inputGradient(v: Convolution, grad: Tensor, weight: Tensor, shape: Shape): Tensor {
  const dx = Tensor.empty(shape, 'float32', `gradient of ${v.name}`)
  withWindows(v, (windows) => {
    const { o, k, positions } = groupSizes(v)
    const grain = Math.ceil(GRAIN / (numelOf(v.size) * numelOf(v.kernel)))
    if (isDepthwise(v))
      return launch('depthwise_input_f32', [grad.ptr, weight.ptr, dx.ptr, windows, v.C, v.O], v.N * v.C, grain)
    const products = (taps: number, first: number, images: number) => {
      for (let g = 0; g < v.groups; g++)
        gemm({
          m: k,
          n: positions,
          k: o,
          batch: images,
          a: { ptr: weight.ptr + 4 * g * o * k, dtype: 'float32', rows: 1, cols: k, batch: 0 },
          b: {
            ptr: grad.ptr + 4 * (first * v.O + g * o) * positions,
            dtype: 'float32',
            rows: positions,
            cols: 1,
            batch: v.O * positions,
          },
          c: { ptr: taps + 4 * g * k * positions, ld: positions, batch: v.groups * k * positions },
        })
    }
    if (isPointwise(v)) return products(dx.ptr, 0, v.N)
    const each = v.groups * k * positions
    const block = Math.max(1, Math.min(v.N, Math.floor(UNFOLDED_BYTES / (4 * each))))
    withTemp(
      4 * each * block,
      (taps) => {
        for (let first = 0; first < v.N; first += block) {
          const images = Math.min(block, v.N - first)
          products(taps, first, images)
          launch('col2im_f32', [taps, dx.ptr + 4 * first * v.C * numelOf(v.size), windows], images * v.C, grain)
        }
      },
      v.name,
    )
  })
  return dx
}

/** Gradient of the weight: the output's by the taps, summed over images in their order. */
function weightGradient(v: Convolution, grad: Tensor, x: Tensor, shape: Shape): Tensor {
  const dw = zerosOf(shape, 'float32', `gradient of ${v.name}`)
  withWindows(v, (windows) => {
    const { o, k, positions } = groupSizes(v)
    if (isDepthwise(v)) {
      const grain = Math.ceil(GRAIN / Math.max(1, v.N * positions))
      return launch('depthwise_weight_f32', [x.ptr, grad.ptr, dw.ptr, windows, v.N, v.C, v.O], v.O * k, grain)
    }
    eachUnfolded(v, x, windows, (taps, first, images) => {
      for (let i = 0; i < images; i++)
        for (let g = 0; g < v.groups; g++)
          gemm({
            m: o,
            n: k,
            k: positions,
            batch: 1,
            a: {
              ptr: grad.ptr + 4 * ((first + i) * v.O + g * o) * positions,
              dtype: 'float32',
              rows: positions,
              cols: 1,
              batch: 0,
            },
            b: {
              ptr: taps + 4 * (i * v.groups + g) * k * positions,
              dtype: 'float32',
              rows: 1,
              cols: positions,
              batch: 0,
            },
            c: { ptr: dw.ptr + 4 * g * o * k, ld: k, batch: 0 },
            accumulate: true,
          })
    })
  })
  return dw
}

function biasGradient(v: Convolution, grad: Tensor): Tensor {
  const db = Tensor.empty([v.O], 'float32', `gradient of ${v.name}`)
  const positions = numelOf(v.out)
  launch(
    'sum_planes_f32',
    [grad.ptr, db.ptr, v.N, v.O, positions],
    v.O,
    Math.ceil(GRAIN / Math.max(1, v.N * positions)),
  )
  return db
}

function convolution(rank: 1 | 2) {
  const name = `conv${rank}d`
  const float32 = (t: Tensor, what: string): Tensor => {
    if (!isFloating(t.dtype))
      throw new DTypeError(`${name}: expected a floating ${what}, found ${t.dtype}. Hint: to('float32')`)
    return asContiguous(cast(t, 'float32'))
  }
  return defineOp({
    name,
    params: ['input', 'weight', 'bias', 'stride', 'padding', 'dilation', 'groups'],
    forward(
      record,
      input: Tensor,
      weight: Tensor,
      bias: Tensor | null = null,
      stride: Sizes = 1,
      padding: Padding = 0,
      dilation: Sizes = 1,
      groups: number = 1,
    ): Tensor {
      const v = readConvolution(name, input.shape, weight.shape, stride, padding, dilation, groups)
      if (bias && show(bias.shape) !== show([v.O]))
        throw new ShapeError(`${name}: expected a bias of shape [${v.O}], found ${show(bias.shape)}`)
      const [x, w] = [float32(input, 'input'), float32(weight, 'weight')]
      const batch = input.ndim === rank + 2 ? [v.N] : []
      const out = Tensor.empty([...batch, v.O, ...v.out], 'float32', name)
      if (out.numel() > 0) forward(v, x, w, bias && float32(bias, 'bias'), out)
      const shapes = [input.shape, weight.shape]
      return record(cast(out, input.dtype), [input, weight], ([g], [savedInput, savedWeight], needs) => {
        const grad = float32(g, 'gradient')
        return [
          needs[0] ? inputGradient(v, grad, float32(savedWeight, 'weight'), shapes[0]) : null,
          needs[1] ? weightGradient(v, grad, float32(savedInput, 'input'), shapes[1]) : null,
          needs[2] ? biasGradient(v, grad) : null,
        ]
      })
    },
    ref(
      input: Nd,
      weight: Nd,
      bias: Nd | null = null,
      stride: Sizes = 1,
      padding: Padding = 0,
      dilation: Sizes = 1,
      groups: number = 1,
    ) {
      const v = readConvolution(name, input.shape, weight.shape, stride, padding, dilation, groups)
      const { o, k, positions } = groupSizes(v)
      const [taps, elements] = [numelOf(v.kernel), numelOf(v.size)]
      const batch = input.shape.length === rank + 2 ? [v.N] : []
      const out = Nd.of([...batch, v.O, ...v.out], (i) => (bias ? bias.data[Math.floor(i / positions) % v.O] : 0))
      for (let plane = 0; plane < v.N * v.O; plane++)
        for (let c = 0; c < k / taps; c++) {
          const channel = Math.floor((plane % v.O) / o) * (k / taps) + c
          const from = (Math.floor(plane / v.O) * v.C + channel) * elements
          eachTap(v, (position, element, tap) => {
            out.data[plane * positions + position] +=
              weight.data[(plane % v.O) * k + c * taps + tap] * input.data[from + element]
          })
        }
      return out
    },
    samples: (s) =>
      rank === 1
        ? [
            [s.randn(2, 3, 9), s.randn(4, 3, 3)],
            [s.randn(3, 17), s.randn(5, 3, 4), s.randn(5), 2, 1],
            [s.randn(2, 4, 12), s.randn(6, 2, 3), s.randn(6), 1, 2, 2, 2],
            [s.randn(2, 3, 8), s.randn(3, 3, 4), null, 1, 'same'],
            [s.randn(1, 3, 11), s.randn(3, 1, 3), s.randn(3), 1, 1, 1, 3],
            [s.randn(1, 3, 6), s.randn(4, 3, 1), s.randn(4)],
            [s.randn(0, 3, 6), s.randn(4, 3, 2)],
          ]
        : [
            [s.randn(2, 3, 6, 7), s.randn(4, 3, 3, 3)],
            [s.randn(2, 3, 8, 5), s.randn(5, 3, 3, 2), s.randn(5), [2, 1], [1, 0]],
            [s.randn(1, 4, 9, 9), s.randn(6, 2, 3, 3), s.randn(6), 2, 2, [2, 1], 2],
            [s.randn(1, 2, 6, 5), s.randn(3, 2, 2, 4), null, 1, 'same'],
            [s.randn(2, 3, 7, 9), s.randn(6, 1, 3, 3), s.randn(6), [1, 2], 1, 1, 3],
            [s.randn(1, 3, 8, 11), s.randn(3, 1, 3, 5), null, 1, 'same', 2, 3],
            [s.randn(2, 5, 4, 3), s.randn(7, 5, 1, 1), s.randn(7)],
            [s.randn(3, 6, 6), s.randn(2, 3, 2, 2), null, 1, 'valid'],
            [s.randn(1, 2, 2, 2), s.randn(2, 2, 5, 5), null, 1, 3],
          ],
    errors: (s) => {
      const image = (...lead: number[]) => s.randn(...lead, ...[6, 6].slice(0, rank))
      const kernel = (...lead: number[]) => s.randn(...lead, ...[3, 3].slice(0, rank))
      return [
        [[image(2, 3), kernel(4, 2)], new RegExp(`${name}: an input of 3 channels does not go with a weight`)],
        [
          [image(2, 3), kernel(4, 3), s.randn(3)],
          new RegExp(`${name}: expected a bias of shape \\[4\\], found \\[3\\]`),
        ],
        [[image(2, 3), kernel(4, 3), null, 2, 'same'], new RegExp(`${name}: padding 'same' needs stride 1`)],
        [[image(2, 3), kernel(4, 3), null, 1, 'full'], new RegExp(`${name}: padding: "full" is not supported`)],
        [[image(2, 3), kernel(4, 3), null, 1, 0, 3], new RegExp(`${name}: windows of .* do not fit`)],
        [[image(2, 3), kernel(4, 3), null, 0], new RegExp(`${name}: stride must be`)],
        [[image(), kernel(4, 3)], new RegExp(`${name}: expected an input`)],
      ]
    },
  })
}

/** Convolution of (N,C,L) with a weight (O,C/groups,K). Padding: a number, 'same' or 'valid'. */
export const conv1d = convolution(1)
/** Convolution of (N,C,H,W) with a weight (O,C/groups,KH,KW). Padding: numbers, 'same' or 'valid'. */
export const conv2d = convolution(2)
