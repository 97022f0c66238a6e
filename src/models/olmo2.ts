// OLMo 2 (OLMo team 2024): Llama whose norms come behind attention and MLP, and over all heads' queries and keys together.
import { RMSNorm } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Context, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import {
  type Heads,
  LlamaAttention,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaMLP,
  LlamaModel,
  type LlamaShape,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 50304,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 2048,
  initializer_range: 0.02,
  rms_norm_eps: 1e-5,
  pad_token_id: 1,
  eos_token_id: 50279 as number | number[],
  tie_word_embeddings: false,
  attention_bias: false,
  attention_dropout: 0,
}

export interface Olmo2Config extends Readonly<Omit<typeof defaults, 'pad_token_id' | 'eos_token_id'>> {}
/** Configuration of OLMo 2. */
export class Olmo2Config extends PreTrainedConfig {
  static override readonly model_type: string = 'olmo2'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

export class Olmo2Attention<C extends LlamaShape = Olmo2Config> extends LlamaAttention<C> {
  q_norm: RMSNorm
  k_norm: RMSNorm

  constructor(config: C, layer: number) {
    super(config, layer)
    const { rms_norm_eps: eps } = config
    this.q_norm = new RMSNorm(this.q_proj.out_features, { eps })
    this.k_norm = new RMSNorm(this.k_proj.out_features, { eps })
  }

  protected override heads(x: Tensor): Heads {
    return {
      q: splitHeads(this.q_norm(this.q_proj(x)), this.headDim),
      k: splitHeads(this.k_norm(this.k_proj(x)), this.headDim),
      v: splitHeads(this.v_proj(x), this.headDim),
    }
  }
}

class Olmo2DecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attn: Olmo2Attention
  mlp: LlamaMLP
  post_attention_layernorm: RMSNorm
  post_feedforward_layernorm: RMSNorm

  constructor(config: Olmo2Config, layer: number) {
    super()
    const { hidden_size: H, rms_norm_eps: eps } = config
    this.self_attn = new Olmo2Attention(config, layer)
    this.mlp = new LlamaMLP(config)
    this.post_attention_layernorm = new RMSNorm(H, { eps })
    this.post_feedforward_layernorm = new RMSNorm(H, { eps })
  }

  forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.post_attention_layernorm(this.self_attn(x, context)))
    return h.add(this.post_feedforward_layernorm(this.mlp(h))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class Olmo2Model extends LlamaModel<Olmo2Config> {
  static override readonly config_class: ConfigClass = Olmo2Config

  protected override layer(config: Olmo2Config, i: number) {
    return new Olmo2DecoderLayer(config, i)
  }
}

/** OLMo 2 with a language modeling head. */
export class Olmo2ForCausalLM extends LlamaForCausalLM<Olmo2Config> {
  static override readonly config_class: ConfigClass = Olmo2Config

  protected override decoder(config: Olmo2Config) {
    return new Olmo2Model(config)
  }
}

/** OLMo 2 with a linear classifier on the last token that is not padding. */
export class Olmo2ForSequenceClassification extends LlamaForSequenceClassification<Olmo2Config> {
  static override readonly config_class: ConfigClass = Olmo2Config

  protected override decoder(config: Olmo2Config) {
    return new Olmo2Model(config)
  }
}
