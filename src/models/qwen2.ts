// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on queries, keys and values, and windows in some of its layers.
import type { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { AttentionOptions } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import {
  LlamaAttention,
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaMLP,
  LlamaModel,
  windowOf,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 151936,
  hidden_size: 4096,
  intermediate_size: 22016,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32 as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 32768,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  use_sliding_window: false,
  sliding_window: 4096 as number | null,
  max_window_layers: 28,
  layer_types: null as readonly string[] | null,
  attention_dropout: 0,
}

export interface Qwen2Config extends Readonly<typeof defaults> {
  readonly head_dim?: number | null
}
/** Configuration of Qwen2. `layer_types` not given are those that `use_sliding_window` and `max_window_layers` mean. */
export class Qwen2Config extends PreTrainedConfig {
  static override readonly model_type: string = 'qwen2'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    if (!this.use_sliding_window) this.derive({ sliding_window: null })
    if (!this.layer_types) this.derive({ layer_types: this.windows() })
  }

  /** Type of each layer: full attention up to `max_window_layers`, then windows, if there are any. */
  protected windows(): string[] {
    const { num_hidden_layers, max_window_layers, sliding_window } = this
    return Array.from({ length: num_hidden_layers }, (_, i) =>
      sliding_window !== null && i >= max_window_layers ? 'sliding_attention' : 'full_attention',
    )
  }
}

export class Qwen2Attention<C extends Qwen2Config = Qwen2Config> extends LlamaAttention<C> {
  protected override biases(_config: C) {
    return { qkv: true, out: false }
  }

  protected override options(): AttentionOptions {
    return { ...super.options(), window: windowOf(this.config, this.layer) }
  }
}

export class Qwen2DecoderLayer<C extends Qwen2Config = Qwen2Config> extends LlamaDecoderLayer<C> {
  protected override attention(config: C, layer: number): Qwen2Attention<C> {
    return new Qwen2Attention(config, layer)
  }

  protected override feedForward(config: C, _layer: number): Module<[x: Tensor], Tensor> {
    return new LlamaMLP(config)
  }
}

/** The decoder without a head. */
export class Qwen2Model<C extends Qwen2Config = Qwen2Config> extends LlamaModel<C> {
  static override readonly config_class: ConfigClass = Qwen2Config

  protected override layer(config: C, i: number): Qwen2DecoderLayer<C> {
    return new Qwen2DecoderLayer(config, i)
  }
}

/** Qwen2 with a language modeling head. */
export class Qwen2ForCausalLM extends LlamaForCausalLM<Qwen2Config> {
  static override readonly config_class: ConfigClass = Qwen2Config

  protected override decoder(config: Qwen2Config) {
    return new Qwen2Model(config)
  }
}

/** Qwen2 with a linear classifier on the last token that is not padding. */
export class Qwen2ForSequenceClassification extends LlamaForSequenceClassification<Qwen2Config> {
  static override readonly config_class: ConfigClass = Qwen2Config

  protected override decoder(config: Qwen2Config) {
    return new Qwen2Model(config)
  }
}
