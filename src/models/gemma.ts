// Gemma (Mesnard et al. 2024): Llama with scaled embeddings, norms about one, and a gated MLP of GELU.
import { Module } from '../nn/module.ts'
import { Parameter } from '../nn/parameter.ts'
import * as F from '../nn/functional.ts'
import { Tensor } from '../tensor/tensor.ts'
import { unsupported } from '../util/errors.ts'
import { PreTrainedConfig } from './config.ts'
import {
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaMLP,
  LlamaModel,
  type Norm,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 256000,
  hidden_size: 3072,
  intermediate_size: 24576,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 16,
  head_dim: 256,
  hidden_act: 'gelu_pytorch_tanh',
  max_position_embeddings: 8192,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  pad_token_id: 0 as number | null,
  eos_token_id: 1 as number | number[],
  bos_token_id: 2,
  tie_word_embeddings: true,
  attention_bias: false,
  attention_dropout: 0,
  use_bidirectional_attention: false as boolean | null,
}

export interface GemmaConfig
  extends Readonly<Omit<typeof defaults, 'pad_token_id' | 'bos_token_id' | 'eos_token_id'>> {}
/** Configuration of Gemma, and of what its successors share with it. */
export class GemmaConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'gemma'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    // The first files say gelu and mean its approximation.
    if (this.hidden_act === 'gelu') this.derive({ hidden_act: 'gelu_pytorch_tanh' })
    if (this.use_bidirectional_attention)
      throw unsupported(`config of ${new.target.model_type}`, 'use_bidirectional_attention', true, [false])
  }
}

/** RMS norm whose weight is kept as its distance from one, added in float32. */
export class GemmaRMSNorm extends Module<[x: Tensor], Tensor> {
  weight: Parameter

  constructor(
    width: number,
    private readonly eps: number,
  ) {
    super()
    this.weight = Parameter.lazy([width], (t) => void t.zero_())
  }

  forward(x: Tensor): Tensor {
    return F.rms_norm(x, this.weight.shape, this.weight.to('float32').add(1), this.eps)
  }

  override extra_repr(): string {
    return `(${this.weight.shape[0]},), eps=${this.eps}`
  }
}

export class GemmaDecoderLayer<C extends GemmaConfig = GemmaConfig> extends LlamaDecoderLayer<C> {
  protected override norm({ hidden_size: H, rms_norm_eps: eps }: C): Norm {
    return new GemmaRMSNorm(H, eps)
  }

  protected override feedForward(config: C): Module<[x: Tensor], Tensor> {
    return new LlamaMLP(config)
  }
}

/** The decoder without a head. */
export class GemmaModel<C extends GemmaConfig = GemmaConfig> extends LlamaModel<C> {
  static override readonly config_class: ConfigClass = GemmaConfig

  protected override layer(config: C, i: number): GemmaDecoderLayer<C> {
    return new GemmaDecoderLayer(config, i)
  }

  protected override lastNorm({ hidden_size: H, rms_norm_eps: eps }: C): Norm {
    return new GemmaRMSNorm(H, eps)
  }

  /** Embeddings times √H, which Python rounds to the dtype of the table. */
  protected override embed(ids: Tensor): Tensor {
    const { weight } = this.embed_tokens
    const scale = Tensor.from([Math.sqrt(this.config.hidden_size)], [], 'float32')
    return super.embed(ids).mul((weight instanceof Tensor ? scale.to(weight.dtype) : scale).item()) // (B,T,H)
  }
}

/** Gemma with a language modeling head. */
export class GemmaForCausalLM<C extends GemmaConfig = GemmaConfig> extends LlamaForCausalLM<C> {
  static override readonly config_class: ConfigClass = GemmaConfig

  protected override decoder(config: C): LlamaModel<C> {
    return new GemmaModel(config)
  }
}

/** Gemma with a linear classifier on the last token that is not padding. */
export class GemmaForSequenceClassification<
  C extends GemmaConfig = GemmaConfig,
> extends LlamaForSequenceClassification<C> {
  static override readonly config_class: ConfigClass = GemmaConfig

  protected override decoder(config: C): LlamaModel<C> {
    return new GemmaModel(config)
  }
}
