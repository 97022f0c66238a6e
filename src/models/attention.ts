// Attention of a decoder's layer: the fused op with the cache and the masks around it, or by plain products where weights are asked for.
import * as F from '../nn/functional.ts'
import { arange } from '../ops/creation.ts'
import { where } from '../ops/compare.ts'
import { keep } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import type { Cache } from './cache.ts'
import type { Positions, Rotation } from './rope.ts'

/** Where the tokens of a call stand: what every layer needs beside the states themselves. */
export interface Context {
  positions: Positions
  /** (B,S) of bool: which of the cached and new tokens are not padding; null when all are. */
  key_padding_mask: Tensor | null
  cache: Cache | null
  /** How many tokens there are, the cached and these. */
  length: number
  /** Filled with each layer's weights (B,Hq,T,S), kept out of all scopes, where they are asked for. */
  attentions: Tensor[] | null
  /** Filled with each router's logits (B·T,E), kept out of all scopes, where they are asked for. */
  router_logits: Tensor[] | null
  /** Cosines and sines (T,P) or (B,T,P) of the positions; of a type of layer, where types differ. */
  rotary: Rotation
  /** (B,Hq,1,S), or one row for all: added to the scores of each key, in models that tell positions so. */
  bias?: Tensor | null
}

export interface AttentionOptions {
  /** Index of the layer in the cache. */
  layer: number
  /** Of the scores; 1/√D by default. */
  scale?: number
  /** How many positions a query looks at, its own included; all by default. */
  window?: number | null
  softcap?: number | null
  /** (Hq): ALiBi's slopes. */
  alibi_slopes?: Tensor | null
  dropout_p?: number
}

/** Positions as ids, (T) or (B,T), for a table of learned ones. */
export function positionIds({ positions }: Context): Tensor {
  return positions instanceof Tensor ? positions : arange(positions.start, positions.start + positions.length)
}

/** Heads of a projection: (B,T,H·D) to (B,H,T,D). */
export function splitHeads(x: Tensor, headDim: number): Tensor {
  const [B, T, width] = x.shape
  return x.view([B, T, width / headDim, headDim]).transpose(1, 2)
}

/** Queries or keys (B,H,T,D) turned by their positions. */
export function rotated(x: Tensor, context: Context, layer_type?: string): Tensor {
  const { cos, sin } = context.rotary(layer_type)
  return F.rotary_embedding(x, cos, sin)
}

/**
 * Causal attention of queries (B,Hq,T,D) over the cached and new keys and values (B,Hkv,T,D): (B,T,Hq·D). Heads are shared where
 * there are fewer of keys.
 */
export function attend(q: Tensor, k: Tensor, v: Tensor, context: Context, options: AttentionOptions): Tensor {
  const { cache, attentions } = context
  const { layer, window = null } = options
  const { keys, values } = cache ? cache.update(k, v, layer, window) : { keys: k, values: v } // (B,Hkv,S,D)
  const S = keys.shape[2]
  const mask = context.key_padding_mask
  const padding = mask && mask.shape[1] > S ? mask.slice(1, mask.shape[1] - S) : mask // a windowed cache has the last S alone
  const out = attentions
    ? weighed(q, keys, values, padding, options, context, attentions)
    : F.scaled_dot_product_attention(q, keys, values, {
        attn_mask: context.bias ?? null,
        is_causal: true,
        enable_gqa: true,
        key_padding_mask: padding,
        window_size: [window === null ? -1 : window - 1, -1],
        scale: options.scale,
        softcap: options.softcap ?? 0,
        alibi_slopes: options.alibi_slopes ?? null,
        dropout_p: options.dropout_p ?? 0,
      }) // (B,Hq,T,D)
  const [B, Hq, T, D] = out.shape
  return out.transpose(1, 2).reshape([B, T, Hq * D])
}

/** ALiBi's slopes of so many heads (Press et al. 2022): powers of two's roots, and between them where heads are no power of two. */
export function alibiSlopes(heads: number): number[] {
  const whole = 2 ** Math.floor(Math.log2(heads))
  const powers = (n: number, exponents: number[]) => exponents.map((e) => Math.fround(2 ** (-8 / n)) ** e)
  const first = powers(
    whole,
    Array.from({ length: whole }, (_, i) => i + 1),
  )
  const between = powers(
    2 * whole,
    Array.from({ length: heads - whole }, (_, i) => 2 * i + 1),
  )
  return [...first, ...between].map(Math.fround)
}

/** The same, step by step, so that the weights can be handed out (attn_implementation: 'eager'). */
function weighed(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  padding: Tensor | null,
  { scale, window = null, softcap, alibi_slopes, dropout_p = 0 }: AttentionOptions,
  { bias }: Context,
  attentions: Tensor[],
): Tensor {
  const [, Hq, T, D] = q.shape
  const [, Hkv, S] = k.shape
  const shared = (x: Tensor) => (Hq === Hkv ? x : x.repeat_interleave(Hq / Hkv, 1))
  let scores = q.matmul(shared(k).transpose(2, 3)).mul(scale ?? 1 / Math.sqrt(D)) // (B,Hq,T,S)
  if (softcap) scores = scores.div(softcap).tanh().mul(softcap)
  if (bias) scores = scores.add(bias)
  const distance = arange(S - T, S)
    .unsqueeze(1)
    .sub(arange(S)) // (T,S): how far a key lies before its query
  if (alibi_slopes) scores = scores.sub(alibi_slopes.view([Hq, 1, 1]).mul(distance.to('float32')))
  let seen = distance.ge(0)
  if (window !== null) seen = seen.logical_and(distance.lt(window))
  if (padding) seen = seen.logical_and(padding.unsqueeze(1).unsqueeze(1)) // (B,1,T,S)
  const weights = where(seen, scores, Tensor.from([LOWEST], [], 'float32')).softmax(-1)
  attentions.push(keep(weights))
  return F.dropout(weights, dropout_p, dropout_p > 0).matmul(shared(v))
}

/** What Python masks with: rows without anything to see stay finite. */
export const LOWEST = -3.4028234663852886e38
