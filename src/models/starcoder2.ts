// StarCoder2 (Lozhkov et al. 2024): Llama with layer norms, biases, a plain MLP, and a window in every layer.
import * as F from '../nn/functional.ts'
import { LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ACT2FN, type Activation } from './activations.ts'
import type { AttentionOptions, Context } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import {
  LlamaAttention,
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaModel,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 49152,
  hidden_size: 3072,
  intermediate_size: 12288,
  num_hidden_layers: 30,
  num_attention_heads: 24,
  num_key_value_heads: 2,
  hidden_act: 'gelu_pytorch_tanh',
  max_position_embeddings: 4096,
  initializer_range: 0.018042,
  norm_epsilon: 1e-5,
  bos_token_id: 50256,
  eos_token_id: 50256 as number | number[],
  sliding_window: null as number | null,
  attention_dropout: 0,
  residual_dropout: 0,
  embedding_dropout: 0,
  use_bias: true,
  tie_word_embeddings: true,
}

export interface Starcoder2Config extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of StarCoder2. */
export class Starcoder2Config extends PreTrainedConfig {
  static override readonly model_type: string = 'starcoder2'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class Starcoder2Attention extends LlamaAttention<Starcoder2Config> {
  protected override biases({ use_bias: bias }: Starcoder2Config) {
    return { qkv: bias, out: bias }
  }

  protected override options(): AttentionOptions {
    return { ...super.options(), window: this.config.sliding_window }
  }

  override forward(x: Tensor, context: Context): Tensor {
    return F.dropout(super.forward(x, context), this.config.residual_dropout, this.training)
  }
}

class Starcoder2MLP extends Module<[x: Tensor], Tensor> {
  c_fc: Linear
  c_proj: Linear
  private readonly act: Activation
  private readonly dropout: number

  constructor({ hidden_size: H, intermediate_size: I, hidden_act, use_bias, residual_dropout }: Starcoder2Config) {
    super()
    this.c_fc = new Linear(H, I, use_bias)
    this.c_proj = new Linear(I, H, use_bias)
    this.act = ACT2FN(hidden_act)
    this.dropout = residual_dropout
  }

  forward(x: Tensor): Tensor {
    return F.dropout(this.c_proj(this.act(this.c_fc(x))), this.dropout, this.training) // (B,T,H)
  }
}

class Starcoder2DecoderLayer extends LlamaDecoderLayer<Starcoder2Config> {
  protected override attention(config: Starcoder2Config, layer: number) {
    return new Starcoder2Attention(config, layer)
  }

  protected override feedForward(config: Starcoder2Config) {
    return new Starcoder2MLP(config)
  }

  protected override norm({ hidden_size: H, norm_epsilon: eps }: Starcoder2Config) {
    return new LayerNorm(H, { eps })
  }
}

/** The decoder without a head. */
export class Starcoder2Model extends LlamaModel<Starcoder2Config> {
  static override readonly config_class: ConfigClass = Starcoder2Config

  protected override layer(config: Starcoder2Config, i: number) {
    return new Starcoder2DecoderLayer(config, i)
  }

  protected override lastNorm({ hidden_size: H, norm_epsilon: eps }: Starcoder2Config) {
    return new LayerNorm(H, { eps })
  }

  protected override start(x: Tensor): Tensor {
    return F.dropout(x, this.config.embedding_dropout, this.training)
  }
}

/** StarCoder2 with a language modeling head. */
export class Starcoder2ForCausalLM extends LlamaForCausalLM<Starcoder2Config> {
  static override readonly config_class: ConfigClass = Starcoder2Config

  protected override decoder(config: Starcoder2Config) {
    return new Starcoder2Model(config)
  }
}

/** StarCoder2 with a linear classifier on the last token that is not padding. */
export class Starcoder2ForSequenceClassification extends LlamaForSequenceClassification<Starcoder2Config> {
  static override readonly config_class: ConfigClass = Starcoder2Config

  protected override decoder(config: Starcoder2Config) {
    return new Starcoder2Model(config)
  }
}
