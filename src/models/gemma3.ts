// Gemma 3 (Kamath et al. 2025), text alone: Gemma 2 with norms of queries and keys, and rotary positions by type of layer.
import { unsupported } from '../util/errors.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { isObject } from './config.ts'
import { GemmaRMSNorm } from './gemma.ts'
import {
  Gemma2Attention,
  Gemma2Config,
  Gemma2DecoderLayer,
  Gemma2ForCausalLM,
  Gemma2ForSequenceClassification,
  Gemma2Model,
} from './gemma2.ts'
import type { Heads } from './llama.ts'
import type { ConfigClass, Rename } from './model.ts'

const defaults = {
  ...Gemma2Config.defaults,
  vocab_size: 262208,
  max_position_embeddings: 131072,
  final_logit_softcapping: null,
  attn_logit_softcapping: null,
}

/**
 * Configuration of Gemma 3's language model. Of a repository with images it takes the `text_config`. `layer_types` not given are
 * those of `sliding_window_pattern`; rotary settings are told by type of layer (older files: `rope_theta` and `rope_scaling` for
 * full attention, `rope_local_base_freq` for windows).
 */
export class Gemma3TextConfig extends Gemma2Config {
  static override readonly model_type: string = 'gemma3_text'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(textOf(given))
    const { attn_logit_softcapping: cap } = this
    if (cap !== null) throw unsupported('config of gemma3_text', 'attn_logit_softcapping', cap, [null])
  }

  protected override windowsBetween(): string[] {
    return super.windowsBetween((this.sliding_window_pattern as number | undefined) ?? 6)
  }

  override ropeSettings(): Record<string, unknown> {
    const { rope_parameters, rope_scaling, rope_theta = 1_000_000, rope_local_base_freq = 10_000 } = this
    const given = isObject(rope_parameters) ? rope_parameters : {}
    return {
      full_attention: { rope_theta, ...(given.full_attention ?? {}), ...(isObject(rope_scaling) && rope_scaling) },
      sliding_attention: { rope_theta: rope_local_base_freq, ...(given.sliding_attention ?? {}) },
    }
  }
}

/** Keys of a repository with images that say nothing of its language model. */
const OF_IMAGES = ['vision_config', 'mm_tokens_per_image', 'boi_token_index', 'eoi_token_index', 'image_token_index']

/** The language model's part of a config; what stands beside it, such as the tokens that end a text, goes first. */
function textOf({ text_config, ...outer }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (!isObject(text_config)) return outer
  return { ...text_config, ...Object.fromEntries(Object.entries(outer).filter(([key]) => !OF_IMAGES.includes(key))) }
}

/** How repositories with images spell the language model's weights, the present way and the older, and what else they hold. */
const RENAME: readonly Rename[] = [
  { from: /^(model\.language_model|language_model\.model)\./, to: 'model.' },
  { from: /^language_model\.lm_head\./, to: 'lm_head.' },
  { from: /^model\.(vision_tower|multi_modal_projector)\./, to: '$1.' },
]
const IGNORED = [/^(vision_tower|multi_modal_projector)\./]

class Gemma3Attention extends Gemma2Attention<Gemma3TextConfig> {
  q_norm: GemmaRMSNorm
  k_norm: GemmaRMSNorm

  constructor(config: Gemma3TextConfig, layer: number) {
    super(config, layer)
    this.q_norm = new GemmaRMSNorm(config.head_dim, config.rms_norm_eps)
    this.k_norm = new GemmaRMSNorm(config.head_dim, config.rms_norm_eps)
  }

  protected override heads(x: Tensor): Heads {
    const { q, k, v } = super.heads(x)
    return { q: this.q_norm(q), k: this.k_norm(k), v }
  }
}

class Gemma3DecoderLayer extends Gemma2DecoderLayer<Gemma3TextConfig> {
  protected override attention(config: Gemma3TextConfig, layer: number) {
    return new Gemma3Attention(config, layer)
  }
}

/** The decoder without a head. */
export class Gemma3TextModel extends Gemma2Model<Gemma3TextConfig> {
  static override readonly config_class: ConfigClass = Gemma3TextConfig
  static override readonly rename: readonly Rename[] = RENAME
  static override readonly ignore_unexpected: readonly RegExp[] = IGNORED

  protected override layer(config: Gemma3TextConfig, i: number) {
    return new Gemma3DecoderLayer(config, i)
  }
}

/** Gemma 3's language model with its head. */
export class Gemma3ForCausalLM extends Gemma2ForCausalLM<Gemma3TextConfig> {
  static override readonly config_class: ConfigClass = Gemma3TextConfig
  static override readonly rename: readonly Rename[] = RENAME
  static override readonly ignore_unexpected: readonly RegExp[] = IGNORED

  protected override decoder(config: Gemma3TextConfig) {
    return new Gemma3TextModel(config)
  }
}

/** Gemma 3's language model with a linear classifier on the last token that is not padding. */
export class Gemma3TextForSequenceClassification extends Gemma2ForSequenceClassification<Gemma3TextConfig> {
  static override readonly config_class: ConfigClass = Gemma3TextConfig
  static override readonly rename: readonly Rename[] = RENAME
  static override readonly ignore_unexpected: readonly RegExp[] = IGNORED

  protected override decoder(config: Gemma3TextConfig) {
    return new Gemma3TextModel(config)
  }
}
