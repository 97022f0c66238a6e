// What encoders share: attention to both sides, its mask, and its weights where they are asked for.
import * as F from '../nn/functional.ts'
import { arange } from '../ops/creation.ts'
import { where } from '../ops/compare.ts'
import { keep } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { LOWEST, splitHeads } from './attention.ts'
import type { PreTrainedConfig } from './config.ts'

/** What every layer needs beside the states. */
export interface EncoderContext {
  /** (B,T) of bool: which tokens are not padding; null when all are. */
  key_padding_mask: Tensor | null
  /** Whether a token looks at those before it alone. */
  is_causal: boolean
  /** Filled with each layer's weights (B,H,T,T), kept out of all scopes, where they are asked for. */
  attentions: Tensor[] | null
}

/** @throws RushlightError where weights are asked for that the fused attention never stores */
export function encoderContext(
  model: string,
  config: PreTrainedConfig,
  mask: Tensor | null,
  output_attentions: boolean | undefined,
): EncoderContext {
  if (output_attentions && config.attn_implementation !== 'eager')
    throw new RushlightError(
      `${model}: output_attentions needs weights that the fused attention never stores. Hint: from_pretrained(…, { attn_implementation: 'eager' })`,
    )
  const padded = mask !== null && mask.ne(1).any().item() === 1
  return {
    key_padding_mask: padded ? mask.to('bool') : null,
    is_causal: config.is_decoder,
    attentions: output_attentions ? [] : null,
  }
}

/** Attention of projections (B,T,H) by heads: (B,T,H). */
export function attendAround(
  [q, k, v]: readonly Tensor[],
  heads: number,
  { key_padding_mask, is_causal, attentions }: EncoderContext,
  dropout_p: number,
): Tensor {
  const [B, T, H] = q.shape
  const [query, key, value] = [q, k, v].map((y) => splitHeads(y, H / heads)) // (B,heads,T,D)
  const out = attentions
    ? weighed(query, key, value)
    : F.scaled_dot_product_attention(query, key, value, { is_causal, key_padding_mask, dropout_p })
  return out.transpose(1, 2).reshape([B, T, H])

  function weighed(query: Tensor, key: Tensor, value: Tensor): Tensor {
    let scores = query.matmul(key.transpose(2, 3)).div(Math.sqrt(H / heads)) // (B,heads,T,T)
    const lowest = Tensor.from([LOWEST], [], 'float32')
    if (key_padding_mask) scores = where(key_padding_mask.unsqueeze(1).unsqueeze(1), scores, lowest)
    if (is_causal) scores = where(arange(T).unsqueeze(1).ge(arange(T)), scores, lowest)
    const weights = scores.softmax(-1)
    attentions?.push(keep(weights))
    return F.dropout(weights, dropout_p, dropout_p > 0).matmul(value)
  }
}
