// What decoder-only language models share: the walk through the layers, the language modeling head's loss, the classifier on the last token.
import type { Linear } from '../nn/layers.ts'
import type { Module } from '../nn/module.ts'
import { arange } from '../ops/creation.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import type { Context } from './attention.ts'
import { type Cache, DynamicCache } from './cache.ts'
import type { PreTrainedConfig } from './config.ts'
import { batch, checkInputs, type IntInput, labelTensor, oneOf } from './inputs.ts'
import { causalLMLoss, sequenceClassificationLoss } from './losses.ts'
import { PreTrainedModel } from './model.ts'
import type { BaseModelOutput, CausalLMOutput, SequenceClassifierOutput } from './outputs.ts'
import type { Positions, RotaryEmbedding } from './rope.ts'

/** What decoders are called with. */
export interface DecoderInputs {
  /** (B,T) */
  input_ids?: IntInput
  /** (B,S), S the cached tokens and these: 1 for tokens, 0 for padding. */
  attention_mask?: IntInput | null
  /** (B,T); by default counted on from the cache, padding included, as in Python. */
  position_ids?: IntInput | null
  /** (B,T,H) in place of ids. */
  inputs_embeds?: Tensor | null
  past_key_values?: Cache | null
  use_cache?: boolean
  output_hidden_states?: boolean
  /** Needs `attn_implementation: 'eager'`. */
  output_attentions?: boolean
  /** Of models with experts; by default as their config says. */
  output_router_logits?: boolean
}

const INPUTS: readonly string[] = [
  'input_ids',
  'attention_mask',
  'position_ids',
  'inputs_embeds',
  'past_key_values',
  'use_cache',
  'output_hidden_states',
  'output_attentions',
  'return_dict',
]

/** Buffers of rotary frequencies that older checkpoints hold for each layer. */
export const ROTARY_BUFFERS: readonly RegExp[] = [/(^|\.)rotary_emb\.inv_freq$/]

/** One layer: states (B,T,H) to states. */
export type DecoderLayer = Module<[x: Tensor, context: Context], Tensor>

/**
 * A decoder without a head. A subclass says how tokens become states (`embed`), which layers there are (`blocks`), and what comes
 * behind the last (`finish`); `start` is for what is added to the embeddings.
 */
export abstract class DecoderModel<C extends PreTrainedConfig = PreTrainedConfig> extends PreTrainedModel<
  C,
  [inputs: DecoderInputs],
  BaseModelOutput
> {
  static override readonly ignore_unexpected: readonly RegExp[] = ROTARY_BUFFERS

  /** Rotary positions, in models that have them. */
  protected readonly rotary: RotaryEmbedding | null = null

  /** Embeddings (B,T,H) of ids (B,T). */
  protected abstract embed(ids: Tensor): Tensor
  /** The layers, in order. */
  protected abstract blocks(): Iterable<DecoderLayer>
  /** What comes behind the last layer. */
  protected abstract finish(x: Tensor): Tensor
  /** Names of the inputs that forward takes. */
  protected accepted(): readonly string[] {
    return INPUTS
  }
  /** From embeddings, of ids or given, to the first layer's input. */
  protected start(x: Tensor, _context: Context): Tensor {
    return x
  }

  /** What `output_hidden_states` tells, of the first layer's input, each layer's result, and what came of the last. */
  protected toTell(states: Tensor[], last: Tensor): Tensor[] {
    return [...states.slice(0, -1), last]
  }

  forward(inputs: DecoderInputs): BaseModelOutput {
    const { name } = this.constructor
    checkInputs(name, inputs, this.accepted())
    const ids = batch(name, 'input_ids', inputs.input_ids)
    oneOf(name, ids, inputs.inputs_embeds)
    const embeddings = inputs.inputs_embeds ?? this.embed(ids as Tensor) // (B,T,H)
    const cache = inputs.past_key_values ?? (inputs.use_cache ? new DynamicCache() : null)
    const context = this.context(inputs, embeddings.shape[1], cache)
    let x = this.start(embeddings, context)
    const states = inputs.output_hidden_states ? [x] : undefined
    for (const layer of this.blocks()) {
      x = layer(x, context)
      states?.push(x)
    }
    const last_hidden_state = this.finish(x)
    const hidden_states = states && this.toTell(states, last_hidden_state)
    return {
      last_hidden_state,
      ...(cache && { past_key_values: cache }),
      ...(hidden_states && { hidden_states }),
      ...(context.attentions && { attentions: context.attentions.map(inThisScope) }),
      ...(context.router_logits && { router_logits: context.router_logits.map(inThisScope) }),
    }
  }

  /** Where T tokens stand behind what the cache holds, when nobody says: padding counts, as in Python. */
  protected positionsOf(_mask: Tensor | null, past: number, T: number): Positions {
    return { start: past, length: T }
  }

  /** Positions and masks of T tokens behind what the cache holds. */
  private context(inputs: DecoderInputs, T: number, cache: Cache | null): Context {
    const { name } = this.constructor
    const past = cache?.get_seq_length() ?? 0
    const mask = batch(name, 'attention_mask', inputs.attention_mask)
    if (mask && mask.shape[1] !== past + T)
      throw new RushlightError(
        `${name}: attention_mask covers ${mask.shape[1]} tokens, expected ${past + T} (${past} cached, ${T} new)`,
      )
    if (inputs.output_attentions && this.config.attn_implementation !== 'eager')
      throw new RushlightError(
        `${name}: output_attentions needs weights that the fused attention never stores. Hint: from_pretrained(…, { attn_implementation: 'eager' })`,
      )
    const positions = batch(name, 'position_ids', inputs.position_ids) ?? this.positionsOf(mask, past, T)
    const padded = mask !== null && mask.ne(1).any().item() === 1
    return {
      positions,
      key_padding_mask: padded ? mask.to('bool') : null,
      cache,
      length: past + T,
      attentions: inputs.output_attentions ? [] : null,
      router_logits: inputs.output_router_logits ? [] : null,
      rotary: this.rotary?.at(positions) ?? noRotary,
    }
  }

  protected override release(): void {
    this.rotary?.dispose()
    super.release()
  }
}

function noRotary(): never {
  throw new RushlightError('this model has no rotary positions')
}

/** A tensor that was kept out of all scopes, handed to the present one. */
export function inThisScope(kept: Tensor): Tensor {
  const view = kept.view(kept.shape)
  kept.dispose()
  return view
}

/** Inputs of a language model. */
export interface CausalInputs extends DecoderInputs {
  /** (B,T): the loss is that of predicting each from those before it; -100 is left out. */
  labels?: IntInput | null
  /** Compute logits for the last so many positions only; 0 means all. */
  logits_to_keep?: number
}

/** A decoder with a language modeling head, whose decoder lies under `base_model_prefix`. A subclass says what the head does. */
export abstract class DecoderForCausalLM<C extends PreTrainedConfig = PreTrainedConfig> extends PreTrainedModel<
  C,
  [inputs: CausalInputs],
  CausalLMOutput
> {
  static override readonly ignore_unexpected: readonly RegExp[] = ROTARY_BUFFERS
  static override readonly supports_cache: boolean = true

  /** Logits (B,T,V) of states (B,T,H). */
  protected abstract head(x: Tensor): Tensor

  forward({ labels, logits_to_keep = 0, ...inputs }: CausalInputs): CausalLMOutput {
    const decoder = this.base_model as DecoderModel<C>
    const { last_hidden_state: x, ...rest } = decoder(inputs)
    const kept = logits_to_keep > 0 && logits_to_keep < x.shape[1] ? x.slice(1, x.shape[1] - logits_to_keep) : x
    const logits = this.head(kept) // (B,T,V)
    const targets = batch(this.constructor.name, 'labels', labels)
    return { ...(targets && { loss: causalLMLoss(logits, targets) }), logits, ...rest }
  }
}

/** Inputs of a classifier. */
export interface DecoderClassifierInputs extends DecoderInputs {
  /** (B): class indices, or numbers for regression. */
  labels?: Tensor | number[] | null
}

/** A linear classifier (`score`) on the last token that is not padding. The decoder lies under `base_model_prefix`. */
export abstract class DecoderForSequenceClassification<
  C extends PreTrainedConfig = PreTrainedConfig,
> extends PreTrainedModel<C, [inputs: DecoderClassifierInputs], SequenceClassifierOutput> {
  static override readonly ignore_unexpected: readonly RegExp[] = ROTARY_BUFFERS

  abstract score: Linear

  forward({ labels, ...inputs }: DecoderClassifierInputs): SequenceClassifierOutput {
    const decoder = this.base_model as DecoderModel<C>
    const { last_hidden_state: x, past_key_values: _, ...rest } = decoder(inputs)
    const [B, T] = x.shape
    const last = this.lastTokens(batch(this.constructor.name, 'input_ids', inputs.input_ids), B, T) // (B)
    const logits = this.score(x).index(arange(B), last) // (B,C)
    const targets = labelTensor(labels, this.config)
    const loss = targets && sequenceClassificationLoss(logits, targets, this.config)
    return { ...(loss && { loss }), logits, ...rest }
  }

  private lastTokens(ids: Tensor | null, B: number, T: number): Tensor {
    const pad = this.config.pad_token_id
    if (pad === null && B > 1)
      throw new RushlightError(
        `${this.constructor.name}: a batch needs a padding token to find each last token. Hint: set pad_token_id in the config`,
      )
    if (pad === null || ids === null)
      return arange(B)
        .mul(0)
        .add(T - 1)
    // The last position that is not padding, on whichever side the padding is.
    return ids.ne(pad).to('int64').mul(arange(T)).argmax(-1)
  }
}
