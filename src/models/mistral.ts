// Mistral (Jiang et al. 2023): Llama whose layers look at a window of the last positions.
import { unsupported } from '../util/errors.ts'
import type { AttentionOptions } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import {
  LlamaAttention,
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaMLP,
  LlamaModel,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8 as number | null,
  head_dim: null as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 131072,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  bos_token_id: 1,
  eos_token_id: 2 as number | number[],
  tie_word_embeddings: false,
  sliding_window: 4096 as number | null,
  attention_dropout: 0,
}

export interface MistralConfig extends Readonly<Omit<typeof defaults, 'bos_token_id' | 'eos_token_id'>> {}
/** Configuration of Mistral. */
export class MistralConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'mistral'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    const { layer_types, sliding_window } = this
    const all = sliding_window === null ? 'full_attention' : 'sliding_attention'
    if (Array.isArray(layer_types) && layer_types.some((type) => type !== all))
      throw unsupported('config of mistral', 'layer_types', layer_types.join(', '), [`${all} in each layer`])
  }
}

class MistralAttention extends LlamaAttention<MistralConfig> {
  protected override biases() {
    return { qkv: false, out: false }
  }

  protected override options(): AttentionOptions {
    return { ...super.options(), window: this.config.sliding_window }
  }
}

class MistralDecoderLayer extends LlamaDecoderLayer<MistralConfig> {
  protected override attention(config: MistralConfig, layer: number) {
    return new MistralAttention(config, layer)
  }

  protected override feedForward(config: MistralConfig) {
    return new LlamaMLP(config)
  }
}

/** The decoder without a head. */
export class MistralModel extends LlamaModel<MistralConfig> {
  static override readonly config_class: ConfigClass = MistralConfig

  protected override layer(config: MistralConfig, i: number) {
    return new MistralDecoderLayer(config, i)
  }
}

/** Mistral with a language modeling head. */
export class MistralForCausalLM extends LlamaForCausalLM<MistralConfig> {
  static override readonly config_class: ConfigClass = MistralConfig

  protected override decoder(config: MistralConfig) {
    return new MistralModel(config)
  }
}

/** Mistral with a linear classifier on the last token that is not padding. */
export class MistralForSequenceClassification extends LlamaForSequenceClassification<MistralConfig> {
  static override readonly config_class: ConfigClass = MistralConfig

  protected override decoder(config: MistralConfig) {
    return new MistralModel(config)
  }
}
