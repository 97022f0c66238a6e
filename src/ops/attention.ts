// Scaled dot-product attention, fused: no matrix of scores is stored, forward or backward.
import { isFloating } from '../tensor/dtype.ts'
import { broadcastShapes, broadcastStrides, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError, shown } from '../util/errors.ts'
import { f32View, i32View, launch, withTemp } from '../wasm/index.ts'
import { asContiguous, packed } from './copying.ts'
import { cast } from './elementwise.ts'
import { type Generator, generatorOf, type Randomness } from './generator.ts'
import { defineOp } from './op.ts'
import { wordsOf } from './philox.ts'
import { constant } from './reducing.ts'
import { Nd } from './reference.ts'
import { sumTo } from './sum-to.ts'

const NAME = 'scaled_dot_product_attention'
/** Operations of a chunk. */
const GRAIN = 4e6
/** Largest product of query heads that share keys with queries, for which keys are read in place by splits. */
const FEW = 16
/** Keys of a split. */
const SPLIT = 256
/** Dimensions of a head whose blocks fit a thread's scratch. */
const LARGEST = 1536
/** No limit to how far a query sees. */
const UNLIMITED = 2 ** 30

/** Everything but the tensors. */
interface Settings {
  scale: number
  softcap: number
  /** Keys that a query sees before and behind its own place. */
  left: number
  right: number
  dropout: Dropout | null
}

/** Weights that go have a word of the stream below the threshold; backward makes the same words again. */
interface Dropout {
  threshold: number
  keptScale: number
  seedLow: number
  seedHigh: number
  offset: number
}

/** float32 tensors (B,H,T,D) with contiguous rows, and what is added to or taken from the scores. */
interface Operands {
  query: Tensor
  key: Tensor
  value: Tensor
  /** (B,Hq,T,S) by strides of 0 where it is repeated. */
  bias: Tensor | null
  /** (B,S) of bool, contiguous. */
  padding: Tensor | null
  /** (Hq), contiguous. */
  slopes: Tensor | null
}

/** What the kernels write, and the gradient that backward reads. */
interface Results {
  out?: Tensor
  lse?: Tensor
  dout?: Tensor
  delta?: Tensor
  dq?: Tensor
  dk?: Tensor
  dv?: Tensor
  dbias?: Tensor
  partial?: Tensor
}

interface Sizes {
  B: number
  Hq: number
  Hkv: number
  T: number
  S: number
  D: number
  /** Queries and keys of a block. */
  rows: number
  keys: number
}

/** Sizes, and blocks that fit a thread's scratch and keep a block of queries below a millisecond. */
function sizesOf({ query, key }: Operands): Sizes {
  const [B, Hq, T, D] = query.shape
  const [, Hkv, S] = key.shape
  const keys = D <= 128 ? 128 : D <= 192 ? 64 : D <= 384 ? 32 : D <= 768 ? 16 : 8
  let rows = keys
  while (rows > 16 && 4 * rows * S * D > 40e6) rows /= 2
  return { B, Hq, Hkv, T, S, D, rows, keys }
}

/** Calls `fn` with the record that the kernels take: the fields of `Attention` in assembly/attention.ts, in its order. */
function withRecord(
  operands: Operands,
  sizes: Sizes,
  settings: Settings,
  results: Results,
  fn: (record: number) => void,
): void {
  const { query, key, value, bias, padding, slopes } = operands
  const { B, Hq, Hkv, T, S, D, rows, keys } = sizes
  const { out, lse, dout, delta, dq, dk, dv, dbias, partial } = results
  const pointers = [query, key, value, out, lse, bias, padding, slopes, dout, delta, dq, dk, dv, dbias, partial].map(
    (t) => t?.ptr ?? 0,
  )
  const strides = [query, key, value, dout].flatMap((t) => t?.strides.slice(0, 3) ?? [0, 0, 0])
  const { left, right, dropout, scale, softcap } = settings
  const { threshold = 0, keptScale = 1, seedLow = 0, seedHigh = 0, offset = 0 } = dropout ?? {}
  const random = [threshold, seedLow, seedHigh, offset % 2 ** 32, Math.floor(offset / 2 ** 32)]
  const limits = [left, right, rows, keys, SPLIT]
  const whole = [...pointers, B, Hq, Hkv, T, S, D, ...strides, ...(bias?.strides ?? [0, 0, 0, 0]), ...limits, ...random]
  const real = [keptScale, scale, softcap]
  withTemp(4 * (whole.length + real.length), (record) => {
    i32View(record, whole.length).set(whole)
    f32View(record + 4 * whole.length, real.length).set(real)
    fn(record)
  })
}

/** Blocks in a chunk, each of `rows` queries by S keys. */
const grainOf = (rows: number, S: number, D: number): number =>
  Math.max(1, Math.floor(GRAIN / Math.max(1, 4 * rows * S * D)))

/** A tensor (B,H,T,D) that lies in memory as (B,T,H,D), as the projections before and behind attention have it. */
function headsLast(B: number, H: number, T: number, D: number, label: string): Tensor {
  return Tensor.empty([B, T, H, D], 'float32', label).alias([B, H, T, D], [T * H * D, D, H * D, 1])
}

function forward(operands: Operands, settings: Settings): { out: Tensor; lse: Tensor } {
  const sizes = sizesOf(operands)
  const { B, Hq, Hkv, T, S, D, rows } = sizes
  const out = headsLast(B, Hq, T, D, NAME)
  const lse = Tensor.empty([B, Hq, T], 'float32', NAME)
  if (S > 0 && (Hq / Hkv) * T <= FEW && !settings.dropout) {
    const splits = Math.ceil(S / SPLIT)
    const partial = Tensor.empty([B, Hq, T, splits, D + 2], 'float32', NAME)
    withRecord(operands, sizes, settings, { out, lse, partial }, (record) => {
      launch('attention_split_f32', [record], B * Hkv * splits, grainOf((Hq / Hkv) * T, Math.min(S, SPLIT), D))
      launch('attention_combine_f32', [record], B * Hq * T, Math.ceil(1e5 / (splits * D)))
    })
    partial.dispose()
  } else
    withRecord(operands, sizes, settings, { out, lse }, (record) => {
      launch('attention_f32', [record], B * Hq * Math.ceil(T / rows), grainOf(rows, S, D))
    })
  return { out, lse }
}

interface Gradients {
  dq: Tensor
  dk: Tensor
  dv: Tensor
  /** (B,Hq,T,S) */
  dscores?: Tensor
}

function backward(
  operands: Operands,
  settings: Settings,
  out: Tensor,
  lse: Tensor,
  dout: Tensor,
  scored: boolean,
): Gradients {
  const sizes = sizesOf(operands)
  const { B, Hq, Hkv, T, S, D, rows, keys } = sizes
  const label = `gradient of ${NAME}`
  const dq = headsLast(B, Hq, T, D, label)
  const dk = headsLast(B, Hkv, S, D, label)
  const dv = headsLast(B, Hkv, S, D, label)
  const delta = Tensor.empty([B, Hq, T], 'float32', label)
  const dbias = scored ? Tensor.empty([B, Hq, T, S], 'float32', label) : undefined
  withRecord(operands, sizes, settings, { out, lse, dout, delta, dq, dk, dv, dbias }, (record) => {
    launch('attention_dq_f32', [record], B * Hq * Math.ceil(T / rows), grainOf(rows, S, 2 * D))
    launch('attention_dkv_f32', [record], B * Hkv * Math.ceil(S / keys), grainOf(keys, T, (3 * D * Hq) / Hkv))
  })
  return { dq, dk, dv, dscores: dbias }
}

/** float32 with contiguous rows. */
function withRows(t: Tensor): Tensor {
  const x = cast(t, 'float32')
  return x.strides[3] === 1 || x.shape[3] === 1 ? x : packed(x)
}

/** The mask as it is added to scores: -∞ where a mask of bool is false. */
function additive(mask: Tensor): Tensor {
  if (mask.dtype !== 'bool') return cast(mask, 'float32')
  return constant(mask.shape, 'float32', 0).masked_fill(mask.logical_not(), Number.NEGATIVE_INFINITY)
}

/** Distance of each key from each query's place, (T,S): what slopes are multiplied by. */
function distances(T: number, S: number): Tensor {
  const values = Float32Array.from({ length: T * S }, (_, i) => Math.abs((i % S) - Math.floor(i / S) - S + T))
  return Tensor.from(values, [T, S])
}

/** Words for the weights of `rows` rows of S keys, each row from a block of 16 of its own. */
function dropoutOf(p: number, rows: number, S: number, generator: Generator): Dropout | null {
  if (p === 0) return null
  const [seedLow, seedHigh, offset] = generator.take(rows * Math.ceil(S / 16))
  // With p = 1 nothing stays: a scale of 0 does what no threshold of 32 bits can.
  return {
    threshold: Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1),
    keptScale: p === 1 ? 0 : 1 / (1 - p),
    seedLow,
    seedHigh,
    offset,
  }
}

/** Sizes of batch, heads, queries, keys and dimensions, as they are in tensors and in Nd arrays. */
type Shaped = { shape: readonly number[] }

function checkShapes(query: Shaped, key: Shaped, value: Shaped, enable_gqa: boolean): void {
  const all = `query ${show(query.shape)}, key ${show(key.shape)}, value ${show(value.shape)}`
  const fail = (what: string): never => {
    throw new ShapeError(`${NAME}: ${all}: ${what}`)
  }
  if ([query, key, value].some((t) => t.shape.length !== 4))
    fail('expected four dimensions each, (B, H, T, D). Hint: unsqueeze')
  const [B, Hq, , D] = query.shape
  const [, Hkv, S] = key.shape
  if (key.shape[0] !== B || value.shape[0] !== B) fail('expected the same batch size')
  if (key.shape[3] !== D || value.shape[3] !== D) fail('expected the same number of dimensions of a head')
  if (value.shape[1] !== Hkv || value.shape[2] !== S) fail('expected as many values as keys')
  if (D > LARGEST) fail(`heads of up to ${LARGEST} dimensions are supported`)
  if (Hq === Hkv) return
  if (!enable_gqa) fail('expected the same number of heads. Hint: enable_gqa: true lets heads of queries share keys')
  if (Hkv === 0 || Hq % Hkv !== 0) fail(`${Hq} heads of queries cannot share ${Hkv} of keys evenly`)
}

/** The mask seen at (B,Hq,T,S), as it is added to scores. */
function biasOf(mask: Tensor, shape: Shape): Tensor {
  if (show(broadcastShapes(NAME, mask.shape, shape)) !== show(shape))
    throw new ShapeError(
      `${NAME}: attn_mask of shape ${show(mask.shape)} does not broadcast to scores of shape ${show(shape)}`,
    )
  const bias = additive(mask)
  return bias.alias(shape, broadcastStrides(mask.shape, bias.strides, shape))
}

function paddingOf(mask: Tensor, B: number, S: number): Tensor {
  if (isFloating(mask.dtype))
    throw new DTypeError(
      `${NAME}: key_padding_mask must be bool or of integers, found ${mask.dtype}. Hint: a mask that is added goes in attn_mask`,
    )
  if (show(mask.shape) !== show([B, S]))
    throw new ShapeError(`${NAME}: key_padding_mask has shape ${show(mask.shape)}, expected ${show([B, S])}`)
  return asContiguous(cast(mask, 'bool'))
}

function slopesOf(slopes: Tensor, Hq: number): Tensor {
  if (show(slopes.shape) !== show([Hq]))
    throw new ShapeError(
      `${NAME}: alibi_slopes has shape ${show(slopes.shape)}, expected ${show([Hq])}, one for each head of queries`,
    )
  return asContiguous(cast(slopes, 'float32'))
}

/** Keys from `left` before to `right` behind a query's place, as flash-attn's window_size says it: -1 is without limit. */
function bandOf(window: readonly number[], causal: boolean): { left: number; right: number } {
  const valid =
    Array.isArray(window) && window.length === 2 && window.every((w) => Number.isInteger(w) && w >= -1 && w < UNLIMITED)
  if (!valid)
    throw new RushlightError(
      `${NAME}: window_size must be [left, right], whole numbers from -1 up, found ${shown(window)}`,
    )
  const [left, right] = window.map((w) => (w < 0 ? UNLIMITED : w))
  return { left, right: causal ? 0 : right }
}

/**
 * softmax(query keyᵀ × scale + masks) value for (B,H,T,D) (torch.nn.functional.scaled_dot_product_attention). With fewer queries
 * than keys the queries are the last ones: `is_causal` then lets query t see keys up to t + S - T (PyTorch counts from the first). A
 * row whose keys are all masked gives zeros.
 *
 * `attn_mask` is added where floating, and says who takes part where bool; it has a gradient. Beyond PyTorch: `window_size` [left,
 * right] and `softcap` as in flash-attn (a query sees so many keys before and behind its place, -1 for all; scores become
 * cap × tanh(score / cap) before masks are added), `alibi_slopes` (Hq), times the distance and subtracted, and `key_padding_mask`
 * (B,S), true for keys that take part.
 */
export const scaled_dot_product_attention = defineOp({
  name: NAME,
  params: [
    'query',
    'key',
    'value',
    'attn_mask',
    'dropout_p',
    'is_causal',
    'scale',
    'enable_gqa',
    'window_size',
    'softcap',
    'alibi_slopes',
    'key_padding_mask',
    'generator',
  ],
  forward(
    record,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | null = null,
    dropout_p: number = 0,
    is_causal: boolean = false,
    scale: number | null = null,
    enable_gqa: boolean = false,
    window_size: readonly number[] = [-1, -1],
    softcap: number = 0,
    alibi_slopes: Tensor | null = null,
    key_padding_mask: Tensor | null = null,
    generator: Randomness = null,
  ): Tensor {
    checkShapes(query, key, value, enable_gqa)
    if (!(dropout_p >= 0 && dropout_p <= 1))
      throw new RushlightError(`${NAME}: dropout_p must be from 0 to 1, found ${dropout_p}`)
    if (!(softcap >= 0)) throw new RushlightError(`${NAME}: softcap must not be negative, found ${softcap}`)
    const [B, Hq, T, D] = query.shape
    const S = key.shape[2]
    const settings: Settings = {
      scale: scale ?? 1 / Math.sqrt(D),
      softcap,
      ...bandOf(window_size, is_causal),
      dropout: dropoutOf(dropout_p, B * Hq * T, S, generatorOf(generator)),
    }
    const operands: Operands = {
      query: withRows(query),
      key: withRows(key),
      value: withRows(value),
      bias: attn_mask && biasOf(attn_mask, [B, Hq, T, S]),
      padding: key_padding_mask && paddingOf(key_padding_mask, B, S),
      slopes: alibi_slopes && slopesOf(alibi_slopes, Hq),
    }
    const { out, lse } = forward(operands, settings)
    const { bias, padding, slopes } = operands
    const masks = [bias, padding, slopes]
    const present = masks.map((t) => t !== null)
    const saved = [operands.query, operands.key, operands.value, out, lse, ...masks.filter((t) => t !== null)]
    const [types, maskShape] = [[query.dtype, key.dtype, value.dtype], attn_mask?.shape]
    const [maskType, slopesType] = [attn_mask?.dtype, alibi_slopes?.dtype]
    return record(cast(out, query.dtype), saved, ([g], [query, key, value, out, lse, ...rest], needs) => {
      const [bias, padding, slopes] = present.map((there) => (there ? (rest.shift() as Tensor) : null))
      // Gradients of mask and slopes are sums of those of the scores, which are stored for them alone.
      const wanted = needs.slice(3).includes(true)
      const { dq, dk, dv, dscores } = backward(
        { query, key, value, bias, padding, slopes },
        settings,
        out,
        lse,
        withRows(g),
        wanted,
      )
      const grads: (Tensor | null)[] = [dq, dk, dv].map((t, i) => cast(t, types[i]))
      if (maskType && maskShape) grads.push(dscores && needs[3] ? cast(sumTo(dscores, maskShape), maskType) : null)
      if (slopesType)
        grads.push(
          dscores && needs[grads.length] ? cast(dscores.mul(distances(T, S)).sum([0, 2, 3]).neg(), slopesType) : null,
        )
      return grads
    })
  },
  ref(
    query: Nd,
    key: Nd,
    value: Nd,
    mask: Nd | null = null,
    p = 0,
    causal = false,
    scale: number | null = null,
    _enable_gqa = false,
    window: readonly number[] = [-1, -1],
    softcap = 0,
    slopes: Nd | null = null,
    padding: Nd | null = null,
    seed: Randomness = null,
  ) {
    const [B, Hq, T, D] = query.shape
    const [, Hkv, S] = key.shape
    const { left, right } = bandOf(window, causal)
    const seen = mask?.expand([B, Hq, T, S])
    const columns = 16 * Math.ceil(S / 16)
    const words = p > 0 && p < 1 ? wordsOf(seed as number, B * Hq * T * columns) : null
    const out = new Float64Array(numelOf(query.shape))
    for (let row = 0; row < B * Hq * T; row++) {
      const [b, h, t] = [Math.floor(row / (Hq * T)), Math.floor(row / T) % Hq, row % T]
      const place = t + S - T
      const shared = (b * Hkv + Math.floor(h / (Hq / Hkv))) * S
      const scores = Float64Array.from({ length: S }, (_, j) => {
        const there = j >= place - left && j <= place + right && padding?.data[b * S + j] !== 0
        if (!there || (seen?.dtype === 'bool' && seen.data[row * S + j] === 0)) return Number.NEGATIVE_INFINITY
        let score = 0
        for (let d = 0; d < D; d++) score += query.data[row * D + d] * key.data[(shared + j) * D + d]
        score *= scale ?? 1 / Math.sqrt(D)
        if (softcap > 0) score = softcap * Math.tanh(score / softcap)
        return (
          score +
          (seen && seen.dtype !== 'bool' ? seen.data[row * S + j] : 0) -
          (slopes ? slopes.data[h] * Math.abs(j - place) : 0)
        )
      })
      const most = Math.max(...scores)
      if (most === Number.NEGATIVE_INFINITY) continue
      const weights = scores.map((x) => Math.exp(x - most))
      const sum = weights.reduce((a, b) => a + b, 0)
      weights.forEach((w, j) => {
        const kept = p === 0 ? 1 : words && words[row * columns + j] >= Math.round(p * 2 ** 32) ? 1 / (1 - p) : 0
        for (let d = 0; d < D; d++) out[row * D + d] += ((w * kept) / sum) * value.data[(shared + j) * D + d]
      })
    }
    return new Nd(query.shape, out, query.dtype)
  },
  samples: (s) => {
    const qkv = (B: number, Hq: number, Hkv: number, T: number, S: number, D: number) =>
      [s.randn(B, Hq, T, D), s.randn(B, Hkv, S, D), s.randn(B, Hkv, S, D)] as [Nd, Nd, Nd]
    return [
      [...qkv(1, 1, 1, 1, 1, 1)],
      [...qkv(2, 2, 2, 5, 5, 8)],
      [...qkv(1, 2, 2, 33, 33, 7), null, 0, true],
      [...qkv(1, 4, 2, 3, 70, 8), null, 0, true, null, true],
      [...qkv(1, 6, 2, 1, 300, 12), null, 0, true, 0.3, true],
      [...qkv(1, 3, 1, 1, 19, 7), null, 0, true, null, true],
      [...qkv(1, 4, 2, 20, 70, 16), null, 0, false, 0.5, true],
      [...qkv(2, 2, 1, 9, 20, 5), s.randn(1, 2, 9, 20), 0, false, null, true],
      [...qkv(2, 2, 2, 9, 9, 4), s.randn(2, 1, 1, 9), 0, true],
      [...qkv(1, 2, 2, 18, 9, 4), s.mask(18, 9)],
      [...qkv(1, 2, 2, 3, 9, 4), s.mask(1, 2, 1, 9)],
      [...qkv(1, 2, 2, 20, 20, 4), null, 0, true, null, false, [5, -1]],
      [...qkv(1, 2, 2, 20, 20, 4), null, 0, false, null, false, [3, 2], 1.5],
      [...qkv(1, 4, 2, 2, 9, 4), null, 0, true, null, true, [-1, -1], 2, s.uniform(0, 1, 4), s.mask(1, 9)],
      [
        ...qkv(2, 2, 2, 19, 19, 6),
        s.randn(2, 1, 19, 19),
        0,
        false,
        null,
        false,
        [-1, -1],
        3,
        s.uniform(0, 1, 2),
        s.mask(2, 19),
      ],
      [...qkv(2, 2, 2, 19, 35, 6), null, 0.3, true, null, false, [-1, -1], 0, null, null, 11],
      [...qkv(1, 4, 2, 1, 20, 6), s.randn(1, 1, 1, 20), 0.5, false, null, true, [-1, -1], 2, null, s.mask(1, 20), 12],
      [...qkv(1, 1, 1, 3, 3, 4), null, 1, false, null, false, [-1, -1], 0, null, null, 13],
      [...qkv(1, 2, 2, 4, 3, 4), null, 0, true],
      [...qkv(1, 2, 2, 10, 0, 4)],
      [...qkv(0, 2, 2, 10, 3, 4)],
      [...qkv(1, 1, 1, 9, 9, 200)],
    ]
  },
  errors: (s) => [
    [[s.randn(2, 3, 4), s.randn(2, 3, 4), s.randn(2, 3, 4)], /expected four dimensions each/],
    [
      [s.randn(1, 4, 2, 4), s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4)],
      /expected the same number of heads. Hint: enable_gqa/,
    ],
    [
      [s.randn(1, 3, 2, 4), s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), null, 0, false, null, true],
      /3 heads of queries cannot share 2/,
    ],
    [[s.randn(1, 2, 2, 4), s.randn(1, 2, 3, 4), s.randn(1, 2, 2, 4)], /expected as many values as keys/],
    [
      [s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), s.randn(3, 2)],
      /attn_mask of shape \[3, 2\] does not broadcast|do not broadcast/,
    ],
    [
      [s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), null, 2],
      /dropout_p must be from 0 to 1, found 2/,
    ],
    [
      [s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), s.randn(1, 2, 2, 4), null, 0, false, null, false, 5],
      /window_size must be \[left, right\]/,
    ],
  ],
})
