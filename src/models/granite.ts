// Granite 3 (IBM 2024): Llama with fixed multipliers of embeddings, scores, residuals and logits.
import type { Tensor } from '../tensor/tensor.ts'
import type { AttentionOptions, Context } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { LlamaAttention, LlamaDecoderLayer, LlamaForCausalLM, LlamaModel } from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 2048,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  bos_token_id: 1,
  eos_token_id: 2 as number | number[],
  tie_word_embeddings: false,
  attention_bias: false,
  attention_dropout: 0,
  mlp_bias: false,
  embedding_multiplier: 1,
  logits_scaling: 1,
  residual_multiplier: 1,
  attention_multiplier: 1,
}

export interface GraniteConfig extends Readonly<Omit<typeof defaults, 'bos_token_id' | 'eos_token_id'>> {}
/** Configuration of Granite. */
export class GraniteConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'granite'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class GraniteAttention extends LlamaAttention<GraniteConfig> {
  protected override options(): AttentionOptions {
    return { ...super.options(), scale: this.config.attention_multiplier }
  }
}

class GraniteDecoderLayer extends LlamaDecoderLayer<GraniteConfig> {
  private readonly multiplier: number

  constructor(config: GraniteConfig, layer: number) {
    super(config, layer)
    this.multiplier = config.residual_multiplier
  }

  protected override attention(config: GraniteConfig, layer: number) {
    return new GraniteAttention(config, layer)
  }

  override forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.self_attn(this.input_layernorm(x), context).mul(this.multiplier))
    return h.add(this.mlp(this.post_attention_layernorm(h)).mul(this.multiplier)) // (B,T,H)
  }
}

/** The decoder without a head. */
export class GraniteModel extends LlamaModel<GraniteConfig> {
  static override readonly config_class: ConfigClass = GraniteConfig

  protected override layer(config: GraniteConfig, i: number) {
    return new GraniteDecoderLayer(config, i)
  }

  protected override start(x: Tensor): Tensor {
    return x.mul(this.config.embedding_multiplier)
  }
}

/** Granite with a language modeling head. */
export class GraniteForCausalLM extends LlamaForCausalLM<GraniteConfig> {
  static override readonly config_class: ConfigClass = GraniteConfig

  protected override decoder(config: GraniteConfig) {
    return new GraniteModel(config)
  }

  protected override head(x: Tensor): Tensor {
    return super.head(x).div(this.config.logits_scaling)
  }
}
