// SmolLM3 (Bakouch et al. 2025): Llama whose every fourth layer tells no positions (NoPE), with windows there if asked for.
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import type { AttentionOptions, Context } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import {
  LlamaAttention,
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaModel,
  windowOf,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 128256,
  hidden_size: 2048,
  intermediate_size: 11008,
  num_hidden_layers: 36,
  num_attention_heads: 16,
  num_key_value_heads: 4 as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 32768,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  pad_token_id: 128004,
  bos_token_id: 128000,
  eos_token_id: 128001 as number | number[],
  rope_theta: 2000000,
  use_sliding_window: false,
  sliding_window: null as number | null,
  no_rope_layers: null as readonly number[] | null,
  no_rope_layer_interval: 4,
  layer_types: null as readonly string[] | null,
  attention_bias: false,
  attention_dropout: 0,
  mlp_bias: false,
  tie_word_embeddings: true,
}

type Own = Omit<typeof defaults, 'pad_token_id' | 'bos_token_id' | 'eos_token_id' | 'no_rope_layers'>
export interface SmolLM3Config extends Readonly<Own> {
  /** 1 for the layers that turn by positions, 0 for those that do not. */
  readonly no_rope_layers: readonly number[]
}
/** Configuration of SmolLM3. `no_rope_layers` and `layer_types` not given come from `no_rope_layer_interval`. */
export class SmolLM3Config extends PreTrainedConfig {
  static override readonly model_type: string = 'smollm3'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    const { num_hidden_layers: length, no_rope_layer_interval: interval } = this
    if (!this.no_rope_layers)
      this.derive({ no_rope_layers: Array.from({ length }, (_, i) => Number((i + 1) % interval !== 0)) })
    if (this.no_rope_layers.length !== length)
      throw new RushlightError(
        `config of smollm3: no_rope_layers: expected a number for each of ${length} layers, found ${this.no_rope_layers.length}`,
      )
    const windows = this.use_sliding_window && this.sliding_window !== null
    if (!this.layer_types)
      this.derive({
        layer_types: Array.from({ length }, (_, i) =>
          windows && !this.no_rope_layers[i] ? 'sliding_attention' : 'full_attention',
        ),
      })
  }
}

class SmolLM3Attention extends LlamaAttention<SmolLM3Config> {
  protected override rotate(x: Tensor, context: Context): Tensor {
    return this.config.no_rope_layers[this.layer] ? super.rotate(x, context) : x
  }

  protected override options(): AttentionOptions {
    return { ...super.options(), window: windowOf(this.config, this.layer) }
  }
}

class SmolLM3DecoderLayer extends LlamaDecoderLayer<SmolLM3Config> {
  protected override attention(config: SmolLM3Config, layer: number) {
    return new SmolLM3Attention(config, layer)
  }
}

/** The decoder without a head. */
export class SmolLM3Model extends LlamaModel<SmolLM3Config> {
  static override readonly config_class: ConfigClass = SmolLM3Config

  protected override layer(config: SmolLM3Config, i: number) {
    return new SmolLM3DecoderLayer(config, i)
  }
}

/** SmolLM3 with a language modeling head. */
export class SmolLM3ForCausalLM extends LlamaForCausalLM<SmolLM3Config> {
  static override readonly config_class: ConfigClass = SmolLM3Config

  protected override decoder(config: SmolLM3Config) {
    return new SmolLM3Model(config)
  }
}

/** SmolLM3 with a linear classifier on the last token that is not padding. */
export class SmolLM3ForSequenceClassification extends LlamaForSequenceClassification<SmolLM3Config> {
  static override readonly config_class: ConfigClass = SmolLM3Config

  protected override decoder(config: SmolLM3Config) {
    return new SmolLM3Model(config)
  }
}
