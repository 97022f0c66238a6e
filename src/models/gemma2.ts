// Gemma 2 (Rivière et al. 2024): Gemma with windows in every other layer, norms behind attention and MLP too, and soft caps.
import type { Tensor } from '../tensor/tensor.ts'
import type { AttentionOptions, Context } from './attention.ts'
import {
  GemmaConfig,
  GemmaDecoderLayer,
  GemmaForCausalLM,
  GemmaForSequenceClassification,
  GemmaModel,
} from './gemma.ts'
import { LlamaAttention, LlamaMLP, type Norm, windowOf } from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  ...GemmaConfig.defaults,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  hidden_activation: 'gelu_pytorch_tanh',
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
  layer_types: null,
  final_logit_softcapping: 30,
  attn_logit_softcapping: 50,
}

export interface Gemma2Config {
  /** Of the MLP; `hidden_act` in these files is a remnant that nobody reads. */
  readonly hidden_activation: string
  readonly query_pre_attn_scalar: number
  readonly sliding_window: number | null
  readonly layer_types: readonly string[]
  readonly final_logit_softcapping: number | null
  readonly attn_logit_softcapping: number | null
}
/** Configuration of Gemma 2. `layer_types` not given alternate, beginning with a window. */
export class Gemma2Config extends GemmaConfig {
  static override readonly model_type: string = 'gemma2'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    if (!this.layer_types) this.derive({ layer_types: this.windowsBetween(2) })
  }

  /** Windows in all layers but every `period`th. */
  protected windowsBetween(period: number): string[] {
    return Array.from({ length: this.num_hidden_layers }, (_, i) =>
      (i + 1) % period === 0 ? 'full_attention' : 'sliding_attention',
    )
  }
}

export class Gemma2Attention<C extends Gemma2Config = Gemma2Config> extends LlamaAttention<C> {
  protected override options(): AttentionOptions {
    const { query_pre_attn_scalar, attn_logit_softcapping } = this.config
    return {
      ...super.options(),
      scale: query_pre_attn_scalar ** -0.5,
      softcap: attn_logit_softcapping,
      window: windowOf(this.config, this.layer),
    }
  }
}

export class Gemma2DecoderLayer<C extends Gemma2Config = Gemma2Config> extends GemmaDecoderLayer<C> {
  pre_feedforward_layernorm: Norm
  post_feedforward_layernorm: Norm

  constructor(config: C, layer: number) {
    super(config, layer)
    this.pre_feedforward_layernorm = this.norm(config)
    this.post_feedforward_layernorm = this.norm(config)
  }

  protected override attention(config: C, layer: number): LlamaAttention<C> {
    return new Gemma2Attention(config, layer)
  }

  protected override feedForward({ hidden_size, intermediate_size, hidden_activation: hidden_act }: C) {
    return new LlamaMLP({ hidden_size, intermediate_size, hidden_act })
  }

  override forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.post_attention_layernorm(this.self_attn(this.input_layernorm(x), context)))
    return h.add(this.post_feedforward_layernorm(this.mlp(this.pre_feedforward_layernorm(h)))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class Gemma2Model<C extends Gemma2Config = Gemma2Config> extends GemmaModel<C> {
  static override readonly config_class: ConfigClass = Gemma2Config

  protected override layer(config: C, i: number): Gemma2DecoderLayer<C> {
    return new Gemma2DecoderLayer(config, i)
  }
}

/** Gemma 2 with a language modeling head. */
export class Gemma2ForCausalLM<C extends Gemma2Config = Gemma2Config> extends GemmaForCausalLM<C> {
  static override readonly config_class: ConfigClass = Gemma2Config

  protected override decoder(config: C): GemmaModel<C> {
    return new Gemma2Model(config)
  }

  protected override head(x: Tensor): Tensor {
    const logits = super.head(x)
    const { final_logit_softcapping: cap } = this.config
    return cap === null ? logits : logits.div(cap).tanh().mul(cap) // (B,T,V)
  }
}

/** Gemma 2 with a linear classifier on the last token that is not padding. */
export class Gemma2ForSequenceClassification<
  C extends Gemma2Config = Gemma2Config,
> extends GemmaForSequenceClassification<C> {
  static override readonly config_class: ConfigClass = Gemma2Config

  protected override decoder(config: C): GemmaModel<C> {
    return new Gemma2Model(config)
  }
}
