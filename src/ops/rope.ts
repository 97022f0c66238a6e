// Rotary positions: queries and keys turned by an angle that grows with their place.
import { isFloating } from '../tensor/dtype.ts'
import { numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, ShapeError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { packed } from './copying.ts'
import { cast } from './elementwise.ts'
import { defineOp } from './op.ts'
import { Nd } from './reference.ts'
import { sumTo } from './sum-to.ts'

/** Elements of a chunk. */
const GRAIN = 1 << 15

/** Itself when its last dimension is contiguous, as the kernel wants it, else a copy. */
const withRows = (t: Tensor): Tensor => (t.shape[t.ndim - 1] <= 1 || t.strides[t.ndim - 1] === 1 ? t : packed(t))

/** Strides over batch and position of a table (T,P) or (B,T,P). */
const tableStrides = (t: Tensor): [number, number] => [
  t.ndim === 3 && t.shape[0] > 1 ? t.strides[0] : 0,
  t.strides[t.ndim - 2],
]

/** x (B,H,T,D) turned by the angles, or back. The result lies in memory as (B,T,H,D), as projections do. */
function turn(x: Tensor, cos: Tensor, sin: Tensor, interleaved: boolean, sign: 1 | -1): Tensor {
  const [B, H, T, D] = x.shape
  const from = withRows(x)
  const [c, s] = [withRows(cos), withRows(sin)]
  const pairs = cos.shape[cos.ndim - 1]
  const out = Tensor.empty([B, T, H, D], 'float32', 'rotary_embedding')
  const [xb, xh, xt] = from.strides
  launch(
    'rotary_f32',
    [
      from.ptr,
      c.ptr,
      s.ptr,
      out.ptr,
      T,
      H,
      D,
      pairs,
      Number(interleaved),
      sign,
      xb,
      xt,
      xh,
      ...tableStrides(c),
      ...tableStrides(s),
    ],
    B * T,
    Math.ceil(GRAIN / Math.max(1, H * D)),
  )
  return out.alias([B, H, T, D], [T * H * D, D, H * D, 1])
}

/** First and second of each pair of dimensions. */
function pairsOf(x: Tensor, pairs: number, interleaved: boolean): [Tensor, Tensor] {
  const rotated = x.narrow(3, 0, 2 * pairs)
  if (!interleaved) return [rotated.narrow(3, 0, pairs), rotated.narrow(3, pairs, pairs)]
  const shape = [...x.shape.slice(0, 3), pairs]
  const strides = [...x.strides.slice(0, 3), 2 * x.strides[3]]
  return [x.alias(shape, strides), x.alias(shape, strides, x.offset + x.strides[3])]
}

function check(x: Tensor, tables: Record<string, Tensor>): void {
  if (x.ndim !== 4) throw new ShapeError(`rotary_embedding: input must be (B, H, T, D), found shape ${show(x.shape)}`)
  const [B, , T, D] = x.shape
  for (const [name, t] of Object.entries({ input: x, ...tables }))
    if (!isFloating(t.dtype)) throw new DTypeError(`rotary_embedding: ${name} must be floating, found ${t.dtype}`)
  for (const [name, t] of Object.entries(tables)) {
    const pairs = t.shape[t.ndim - 1]
    const fits: Shape[] = [
      [T, pairs],
      [B, T, pairs],
      [1, T, pairs],
    ]
    if (
      t.ndim < 2 ||
      show(t.shape) !== show(tables.cos.shape) ||
      2 * pairs > D ||
      !fits.some((shape) => show(shape) === show(t.shape))
    )
      throw new ShapeError(
        `rotary_embedding: ${name} of shape ${show(t.shape)} does not fit input ${show(x.shape)}. ` +
          `Hint: both tables are (T, P) or (B, T, P), with P pairs of dimensions, at most ${Math.floor(D / 2)}`,
      )
  }
}

/**
 * Rotary position embedding (Su et al. 2021) of queries or keys (B,H,T,D): each pair of dimensions is turned by the angle whose
 * cosine and sine the tables (T,P) or (B,T,P) give. P pairs cover the first 2P dimensions; those behind stay. Pairs are
 * (i, i + P) as in Llama and GPT-NeoX, or (2i, 2i + 1) as in GPT-J when `interleaved`.
 */
export const rotary_embedding = defineOp({
  name: 'rotary_embedding',
  params: ['input', 'cos', 'sin', 'interleaved'],
  forward(record, input: Tensor, cos: Tensor, sin: Tensor, interleaved: boolean = false): Tensor {
    check(input, { cos, sin })
    const [x, c, s] = [cast(input, 'float32'), cast(cos, 'float32'), cast(sin, 'float32')]
    const dtypes = [input.dtype, cos.dtype, sin.dtype]
    return record(cast(turn(x, c, s, interleaved, 1), input.dtype), [x, c, s], ([g], [x, c, s], needs) => {
      const grad = cast(g, 'float32')
      const pairs = c.shape[c.ndim - 1]
      const [x0, x1] = pairsOf(x, pairs, interleaved)
      const [g0, g1] = pairsOf(grad, pairs, interleaved)
      const { shape } = c
      const seen = shape.length === 3 ? [shape[0], 1, ...shape.slice(1)] : shape // (B,1,T,P) or (T,P), as they broadcast
      const toTable = (t: Tensor) => sumTo(t, seen).reshape(shape)
      return [
        needs[0] ? cast(turn(grad, c, s, interleaved, -1), dtypes[0]) : null,
        needs[1] ? cast(toTable(g0.mul(x0).add(g1.mul(x1))), dtypes[1]) : null,
        needs[2] ? cast(toTable(g1.mul(x0).sub(g0.mul(x1))), dtypes[2]) : null,
      ]
    })
  },
  ref(input: Nd, cos: Nd, sin: Nd, interleaved = false) {
    const [, H, T, D] = input.shape
    const pairs = cos.shape[cos.shape.length - 1]
    const out = Float64Array.from(input.data)
    for (let row = 0; row < numelOf(input.shape.slice(0, 3)); row++) {
      const [b, t] = [cos.shape.length === 3 && cos.shape[0] > 1 ? Math.floor(row / (H * T)) : 0, row % T]
      for (let i = 0; i < pairs; i++) {
        const [p, q] = (interleaved ? [2 * i, 2 * i + 1] : [i, i + pairs]).map((d) => row * D + d)
        const [c, s] = [cos, sin].map((table) => table.data[(b * T + t) * pairs + i])
        out[p] = input.data[p] * c - input.data[q] * s
        out[q] = input.data[q] * c + input.data[p] * s
      }
    }
    return new Nd(input.shape, out, input.dtype)
  },
  samples: (s) => [
    [s.randn(2, 3, 5, 8), s.randn(5, 4), s.randn(5, 4)],
    [s.randn(2, 3, 5, 14), s.randn(5, 7), s.randn(5, 7), true],
    [s.randn(2, 1, 4, 40), s.randn(2, 4, 9), s.randn(2, 4, 9), false],
    [s.randn(2, 2, 3, 11), s.randn(1, 3, 5), s.randn(1, 3, 5), true],
    [s.randn(1, 2, 1, 2), s.randn(1, 1), s.randn(1, 1)],
    [s.randn(0, 2, 3, 4), s.randn(3, 2), s.randn(3, 2)],
  ],
  errors: (s) => [
    [
      [s.randn(2, 3, 8), s.randn(3, 4), s.randn(3, 4)],
      /rotary_embedding: input must be \(B, H, T, D\), found shape \[2, 3, 8\]/,
    ],
    [[s.randn(1, 1, 3, 8), s.randn(3, 5), s.randn(3, 5)], /rotary_embedding: cos of shape \[3, 5\] does not fit input/],
    [[s.randn(1, 1, 3, 8), s.randn(3, 4), s.randn(3, 2)], /rotary_embedding: sin of shape \[3, 2\] does not fit input/],
  ],
})
