// Layer norm and RMS norm over the last dimensions.
import { isFloating } from '../tensor/dtype.ts'
import { numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, ShapeError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { cast } from './elementwise.ts'
import { defineOp } from './op.ts'
import { Nd } from './reference.ts'

/** Elements of a chunk. */
const GRAIN = 1 << 15
/** Rows of a block of the backward kernels. */
const ROWS = 32
/** float32's epsilon: what rms_norm takes where none is given. */
const EPSILON = 2 ** -23

/**
 * Number of rows and their length.
 * @throws ShapeError when the input does not end with `normalized`, or a parameter has another shape
 */
function rowsOf(
  op: string,
  input: Tensor,
  normalized: Shape,
  parameters: Record<string, Tensor | null>,
): { rows: number; n: number } {
  const lead = input.ndim - normalized.length
  if (normalized.length === 0 || lead < 0 || show(input.shape.slice(lead)) !== show(normalized))
    throw new ShapeError(`${op}: shape ${show(input.shape)} does not end with normalized_shape ${show(normalized)}`)
  if (!isFloating(input.dtype))
    throw new DTypeError(`${op}: expected a floating tensor, found ${input.dtype}. Hint: .float()`)
  for (const [name, t] of Object.entries(parameters))
    if (t && show(t.shape) !== show(normalized))
      throw new ShapeError(`${op}: ${name} has shape ${show(t.shape)}, expected ${show(normalized)}`)
  return { rows: numelOf(input.shape.slice(0, lead)), n: numelOf(normalized) }
}

const plain = (t: Tensor): Tensor => asContiguous(cast(t, 'float32'))

/** Chunks of rows, or of blocks of them, of n elements. */
const grainOf = (n: number, rows = 1): number => Math.ceil(GRAIN / Math.max(1, rows * n))

/** f64: rows of n less their mean (where `center`) over the root of what is left, then finished. */
function reference(
  input: Nd,
  normalized: Shape,
  eps: number,
  center: boolean,
  finish: (x: number, j: number) => number,
): Nd {
  const n = numelOf(normalized)
  const out = new Float64Array(input.data.length)
  for (let from = 0; from < out.length; from += n) {
    const row = input.data.subarray(from, from + n)
    const mean = center ? row.reduce((a, b) => a + b, 0) / n : 0
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / n
    for (let j = 0; j < n; j++) out[from + j] = finish((row[j] - mean) / Math.sqrt(variance + eps), j)
  }
  return new Nd(input.shape, out, input.dtype)
}

/**
 * Normalizes the last dimensions to mean 0 and variance 1, then scales and shifts (torch.nn.functional.layer_norm;
 * Ba et al. 2016): (x - mean) / √(variance + eps) × weight + bias.
 */
export const layer_norm = defineOp({
  name: 'layer_norm',
  params: ['input', 'normalized_shape', 'weight', 'bias', 'eps'],
  forward(
    record,
    input: Tensor,
    normalized_shape: Shape,
    weight: Tensor | null = null,
    bias: Tensor | null = null,
    eps: number = 1e-5,
  ): Tensor {
    const { rows, n } = rowsOf('layer_norm', input, normalized_shape, { weight, bias })
    const x = plain(input)
    const w = weight && plain(weight)
    const b = bias && plain(bias)
    const out = Tensor.empty(input.shape, 'float32', 'layer_norm')
    const mean = Tensor.empty([rows], 'float32', 'layer_norm')
    const rstd = Tensor.empty([rows], 'float32', 'layer_norm')
    const pointers = [x.ptr, w?.ptr ?? 0, b?.ptr ?? 0, out.ptr, mean.ptr, rstd.ptr] as const
    if (n > 0) launch('layer_norm_f32', [...pointers, n, eps], rows, grainOf(n))
    const dtypes = { input: input.dtype, weight: weight?.dtype, bias: bias?.dtype }
    return record(cast(out, input.dtype), [x, mean, rstd, ...(w ? [w] : [])], ([g], [x, mean, rstd, w]) => {
      const blocks = Math.ceil(rows / ROWS)
      const grad = plain(g)
      const dx = Tensor.empty(x.shape, 'float32', 'gradient of layer_norm')
      const parts = () => Tensor.empty([blocks, ...normalized_shape], 'float32', 'gradient of layer_norm')
      const dw = dtypes.weight && parts()
      const db = dtypes.bias && parts()
      const pointers = [grad.ptr, x.ptr, w?.ptr ?? 0, mean.ptr, rstd.ptr, dx.ptr, dw?.ptr ?? 0, db?.ptr ?? 0] as const
      if (n > 0) launch('layer_norm_backward_f32', [...pointers, rows, n], blocks, grainOf(n, ROWS))
      return [
        cast(dx, dtypes.input),
        ...(dw && dtypes.weight ? [cast(dw.sum(0), dtypes.weight)] : []),
        ...(db && dtypes.bias ? [cast(db.sum(0), dtypes.bias)] : []),
      ]
    })
  },
  ref: (input: Nd, shape: Shape, weight: Nd | null = null, bias: Nd | null = null, eps = 1e-5) =>
    reference(input, shape, eps, true, (x, j) => x * (weight?.data[j] ?? 1) + (bias?.data[j] ?? 0)),
  samples: (s) => [
    [s.randn(3, 5), [5], s.randn(5), s.randn(5), 1e-5],
    [s.randn(2, 3, 37), [37], s.randn(37), s.randn(37), 1e-3],
    [s.randn(2, 3, 4), [3, 4], s.randn(3, 4), s.randn(3, 4)],
    [s.randn(70, 8), [8], s.randn(8), null],
    [s.randn(4, 9), [9], null, s.randn(9)],
    [s.randn(4, 9), [9]],
    [s.randn(0, 6), [6], s.randn(6), s.randn(6)],
    [s.randn(3, 130).map((x) => Math.fround(x + 100)), [130], null, null, 1e-5],
    [s.randn(5, 12).map((x) => Math.round(x * 16) / 16, 'bfloat16'), [12]],
  ],
  errors: (s) => [
    [[s.randn(2, 3), [2]], /layer_norm: shape \[2, 3\] does not end with normalized_shape \[2\]/],
    [[s.randn(2, 3), [3], s.randn(4)], /layer_norm: weight has shape \[4\], expected \[3\]/],
    [[s.randint(0, 5, [2, 3]), [3]], /layer_norm: expected a floating tensor, found int64/],
  ],
})

/**
 * Divides the last dimensions by the root of their mean square, then scales (torch.nn.functional.rms_norm; Zhang and
 * Sennrich 2019): x / √(mean(x²) + eps) × (weight + weight_offset). `weight_offset` is 1 for weights stored around 0, as Gemma's.
 */
export const rms_norm = defineOp({
  name: 'rms_norm',
  params: ['input', 'normalized_shape', 'weight', 'eps', 'weight_offset'],
  forward(
    record,
    input: Tensor,
    normalized_shape: Shape,
    weight: Tensor | null = null,
    eps: number | null = null,
    weight_offset: number = 0,
  ): Tensor {
    const { rows, n } = rowsOf('rms_norm', input, normalized_shape, { weight })
    const x = plain(input)
    const w = weight && plain(weight)
    const out = Tensor.empty(input.shape, 'float32', 'rms_norm')
    const rstd = Tensor.empty([rows], 'float32', 'rms_norm')
    const pointers = [x.ptr, w?.ptr ?? 0, out.ptr, rstd.ptr] as const
    if (n > 0) launch('rms_norm_f32', [...pointers, n, eps ?? EPSILON, weight_offset], rows, grainOf(n))
    const dtypes = { input: input.dtype, weight: weight?.dtype }
    return record(cast(out, input.dtype), [x, rstd, ...(w ? [w] : [])], ([g], [x, rstd, w]) => {
      const blocks = Math.ceil(rows / ROWS)
      const grad = plain(g)
      const dx = Tensor.empty(x.shape, 'float32', 'gradient of rms_norm')
      const dw = dtypes.weight && Tensor.empty([blocks, ...normalized_shape], 'float32', 'gradient of rms_norm')
      const pointers = [grad.ptr, x.ptr, w?.ptr ?? 0, rstd.ptr, dx.ptr, dw?.ptr ?? 0] as const
      if (n > 0) launch('rms_norm_backward_f32', [...pointers, rows, n, weight_offset], blocks, grainOf(n, ROWS))
      return [cast(dx, dtypes.input), ...(dw && dtypes.weight ? [cast(dw.sum(0), dtypes.weight)] : [])]
    })
  },
  ref: (input: Nd, shape: Shape, weight: Nd | null = null, eps: number | null = null, offset = 0) =>
    reference(input, shape, eps ?? EPSILON, false, (x, j) => x * (weight ? weight.data[j] + offset : 1)),
  samples: (s) => [
    [s.randn(3, 5), [5], s.randn(5), 1e-6],
    [s.randn(2, 3, 37), [37], s.randn(37), 1e-5, 1],
    [s.randn(2, 3, 4), [3, 4], s.randn(3, 4)],
    [s.randn(70, 8), [8], null, 1e-6],
    [s.randn(4, 9), [9]],
    [s.randn(0, 6), [6], s.randn(6)],
    [s.randn(5, 12).map((x) => Math.round(x * 16) / 16, 'float16'), [12]],
  ],
  errors: (s) => [
    [[s.randn(2, 3), []], /rms_norm: shape \[2, 3\] does not end with normalized_shape \[\]/],
    [[s.randn(2, 3), [3], s.randn(2)], /rms_norm: weight has shape \[2\], expected \[3\]/],
    [[s.randint(0, 5, [2, 3]), [3]], /rms_norm: expected a floating tensor, found int64/],
  ],
})
