// StableLM (Stability AI 2023): Llama with layer norms, part of each head turned, and attention and MLP side by side if asked for.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { LayerNorm } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { cat } from '../ops/movement.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Context } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import {
  type Heads,
  LlamaAttention,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaMLP,
  LlamaModel,
} from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 50304,
  hidden_size: 2560,
  intermediate_size: 6912,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32 as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 4096,
  initializer_range: 0.02,
  layer_norm_eps: 1e-5,
  bos_token_id: 0,
  eos_token_id: 0 as number | number[],
  tie_word_embeddings: false,
  partial_rotary_factor: 0.25,
  use_qkv_bias: false,
  qk_layernorm: false,
  use_parallel_residual: false,
  hidden_dropout: 0,
  attention_dropout: 0,
}

export interface StableLmConfig extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of StableLM. */
export class StableLmConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'stablelm'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

/** A layer norm for each head. */
class StableLmLayerNormPerHead extends Module<[x: Tensor], Tensor> {
  norms: ModuleList<LayerNorm>

  constructor(
    private readonly headDim: number,
    heads: number,
    private readonly eps: number,
  ) {
    super()
    this.norms = new ModuleList(Array.from({ length: heads }, () => new LayerNorm(headDim, { eps, bias: false })))
  }

  forward(x: Tensor): Tensor {
    const weights = cat([...this.norms].map((norm) => (norm.weight as Tensor).view([1, 1, -1]))) // (heads,1,D)
    return F.layer_norm(x, [this.headDim], null, null, this.eps).mul(weights) // (B,heads,T,D)
  }
}

class StableLmAttention extends LlamaAttention<StableLmConfig> {
  q_layernorm: StableLmLayerNormPerHead | null
  k_layernorm: StableLmLayerNormPerHead | null

  constructor(config: StableLmConfig, layer: number) {
    super(config, layer)
    const { num_attention_heads: heads, num_key_value_heads, layer_norm_eps: eps, qk_layernorm } = config
    const norm = (n: number) => (qk_layernorm ? new StableLmLayerNormPerHead(this.headDim, n, eps) : null)
    this.q_layernorm = norm(heads)
    this.k_layernorm = norm(num_key_value_heads ?? heads)
  }

  protected override biases({ use_qkv_bias: qkv }: StableLmConfig) {
    return { qkv, out: false }
  }

  protected override heads(x: Tensor): Heads {
    const { q, k, v } = super.heads(x)
    return { q: this.q_layernorm?.(q) ?? q, k: this.k_layernorm?.(k) ?? k, v }
  }
}

class StableLmDecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attn: StableLmAttention
  mlp: LlamaMLP
  input_layernorm: LayerNorm
  post_attention_layernorm: LayerNorm | null
  private readonly dropout: number

  constructor(config: StableLmConfig, layer: number) {
    super()
    const { hidden_size: H, layer_norm_eps: eps, use_parallel_residual } = config
    this.self_attn = new StableLmAttention(config, layer)
    this.mlp = new LlamaMLP(config)
    this.input_layernorm = new LayerNorm(H, { eps })
    this.post_attention_layernorm = use_parallel_residual ? null : new LayerNorm(H, { eps })
    this.dropout = config.hidden_dropout
  }

  forward(x: Tensor, context: Context): Tensor {
    const drop = (y: Tensor) => F.dropout(y, this.dropout, this.training)
    const n = this.input_layernorm(x)
    const h = x.add(this.self_attn(n, context))
    return h.add(drop(this.mlp(this.post_attention_layernorm?.(h) ?? n))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class StableLmModel extends LlamaModel<StableLmConfig> {
  static override readonly config_class: ConfigClass = StableLmConfig

  protected override layer(config: StableLmConfig, i: number) {
    return new StableLmDecoderLayer(config, i)
  }

  protected override lastNorm({ hidden_size: H, layer_norm_eps: eps }: StableLmConfig) {
    return new LayerNorm(H, { eps })
  }
}

/** StableLM with a language modeling head. */
export class StableLmForCausalLM extends LlamaForCausalLM<StableLmConfig> {
  static override readonly config_class: ConfigClass = StableLmConfig

  protected override decoder(config: StableLmConfig) {
    return new StableLmModel(config)
  }
}

/** StableLM with a linear classifier on the last token that is not padding. */
export class StableLmForSequenceClassification extends LlamaForSequenceClassification<StableLmConfig> {
  static override readonly config_class: ConfigClass = StableLmConfig

  protected override decoder(config: StableLmConfig) {
    return new StableLmModel(config)
  }
}
