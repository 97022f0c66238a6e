// Qwen3 (Yang et al. 2025): Qwen2 without the biases, with a norm over each head's queries and keys.
import { RMSNorm } from '../nn/layers.ts'
import { type Heads, LlamaForCausalLM, LlamaForSequenceClassification, headDimOf } from './llama.ts'
import type { ConfigClass } from './model.ts'
import { Qwen2Attention, Qwen2Config, Qwen2DecoderLayer, Qwen2Model } from './qwen2.ts'
import type { Tensor } from '../tensor/tensor.ts'

const defaults = { ...Qwen2Config.defaults, head_dim: 128, attention_bias: false }

export interface Qwen3Config {
  readonly head_dim: number
  readonly attention_bias: boolean
}
/** Configuration of Qwen3. */
export class Qwen3Config extends Qwen2Config {
  static override readonly model_type: string = 'qwen3'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class Qwen3Attention extends Qwen2Attention<Qwen3Config> {
  q_norm: RMSNorm
  k_norm: RMSNorm

  constructor(config: Qwen3Config, layer: number) {
    super(config, layer)
    this.q_norm = new RMSNorm(headDimOf(config), { eps: config.rms_norm_eps })
    this.k_norm = new RMSNorm(headDimOf(config), { eps: config.rms_norm_eps })
  }

  protected override biases({ attention_bias: bias }: Qwen3Config) {
    return { qkv: bias, out: bias }
  }

  protected override heads(x: Tensor): Heads {
    const { q, k, v } = super.heads(x)
    return { q: this.q_norm(q), k: this.k_norm(k), v }
  }
}

class Qwen3DecoderLayer extends Qwen2DecoderLayer<Qwen3Config> {
  protected override attention(config: Qwen3Config, layer: number) {
    return new Qwen3Attention(config, layer)
  }
}

/** The decoder without a head. */
export class Qwen3Model extends Qwen2Model<Qwen3Config> {
  static override readonly config_class: ConfigClass = Qwen3Config

  protected override layer(config: Qwen3Config, i: number) {
    return new Qwen3DecoderLayer(config, i)
  }
}

/** Qwen3 with a language modeling head. */
export class Qwen3ForCausalLM extends LlamaForCausalLM<Qwen3Config> {
  static override readonly config_class: ConfigClass = Qwen3Config

  protected override decoder(config: Qwen3Config) {
    return new Qwen3Model(config)
  }
}

/** Qwen3 with a linear classifier on the last token that is not padding. */
export class Qwen3ForSequenceClassification extends LlamaForSequenceClassification<Qwen3Config> {
  static override readonly config_class: ConfigClass = Qwen3Config

  protected override decoder(config: Qwen3Config) {
    return new Qwen3Model(config)
  }
}
