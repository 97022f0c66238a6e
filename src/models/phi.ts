// Phi-1.5 and Phi-2 (Li et al. 2023): attention and MLP side by side behind one layer norm, biases everywhere, half of each head turned.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type Context, rotated, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel } from './decoder.ts'
import { headDimOf } from './llama.ts'
import type { ConfigClass } from './model.ts'
import { RotaryEmbedding } from './rope.ts'

const defaults = {
  vocab_size: 51200,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 24,
  num_attention_heads: 32,
  num_key_value_heads: null as number | null,
  head_dim: null as number | null,
  resid_pdrop: 0,
  embd_pdrop: 0,
  attention_dropout: 0,
  hidden_act: 'gelu_new',
  max_position_embeddings: 2048,
  initializer_range: 0.02,
  layer_norm_eps: 1e-5,
  tie_word_embeddings: false,
  partial_rotary_factor: 0.5,
  qk_layernorm: false,
  bos_token_id: 1,
  eos_token_id: 2 as number | number[],
}

export interface PhiConfig extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of Phi. */
export class PhiConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'phi'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class PhiAttention extends Module<[x: Tensor, context: Context], Tensor> {
  q_proj: Linear
  k_proj: Linear
  v_proj: Linear
  dense: Linear
  q_layernorm: LayerNorm | null
  k_layernorm: LayerNorm | null
  private readonly headDim: number

  constructor(
    private readonly config: PhiConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads: heads, layer_norm_eps: eps, qk_layernorm } = config
    const kvHeads = config.num_key_value_heads ?? heads
    const D = headDimOf(config)
    this.headDim = D
    this.q_proj = new Linear(H, heads * D)
    this.k_proj = new Linear(H, kvHeads * D)
    this.v_proj = new Linear(H, kvHeads * D)
    this.dense = new Linear(heads * D, H)
    this.q_layernorm = qk_layernorm ? new LayerNorm(D, { eps }) : null
    this.k_layernorm = qk_layernorm ? new LayerNorm(D, { eps }) : null
  }

  forward(x: Tensor, context: Context): Tensor {
    const q = splitHeads(this.q_proj(x), this.headDim) // (B,Hq,T,D)
    const k = splitHeads(this.k_proj(x), this.headDim) // (B,Hkv,T,D)
    const v = splitHeads(this.v_proj(x), this.headDim)
    const dropout_p = this.training ? this.config.attention_dropout : 0
    const [qn, kn] = [this.q_layernorm?.(q) ?? q, this.k_layernorm?.(k) ?? k]
    return this.dense(attend(rotated(qn, context), rotated(kn, context), v, context, { layer: this.layer, dropout_p })) // (B,T,H)
  }
}

class PhiMLP extends Module<[x: Tensor], Tensor> {
  fc1: Linear
  fc2: Linear
  private readonly act: Activation

  constructor({ hidden_size: H, intermediate_size: I, hidden_act }: PhiConfig) {
    super()
    this.fc1 = new Linear(H, I)
    this.fc2 = new Linear(I, H)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    return this.fc2(this.act(this.fc1(x))) // (B,T,H)
  }
}

class PhiDecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attn: PhiAttention
  mlp: PhiMLP
  input_layernorm: LayerNorm
  private readonly dropout: number

  constructor(config: PhiConfig, layer: number) {
    super()
    this.self_attn = new PhiAttention(config, layer)
    this.mlp = new PhiMLP(config)
    this.input_layernorm = new LayerNorm(config.hidden_size, { eps: config.layer_norm_eps })
    this.dropout = config.resid_pdrop
  }

  forward(x: Tensor, context: Context): Tensor {
    const drop = (y: Tensor) => F.dropout(y, this.dropout, this.training)
    const n = this.input_layernorm(x)
    return x.add(drop(this.self_attn(n, context))).add(drop(this.mlp(n))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class PhiModel extends DecoderModel<PhiConfig> {
  static override readonly config_class: ConfigClass = PhiConfig

  embed_tokens: Embedding
  layers: ModuleList<PhiDecoderLayer>
  final_layernorm: LayerNorm
  protected override readonly rotary: RotaryEmbedding

  constructor(given: PhiConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H, layer_norm_eps: eps } = config
    this.embed_tokens = new Embedding(config.vocab_size, H, { padding_idx: config.pad_token_id })
    this.layers = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, (_, i) => new PhiDecoderLayer(config, i)),
    )
    this.final_layernorm = new LayerNorm(H, { eps })
    this.rotary = new RotaryEmbedding(config, headDimOf(config))
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.embed_tokens(ids)
  }

  protected override start(x: Tensor): Tensor {
    return F.dropout(x, this.config.embd_pdrop, this.training)
  }

  protected blocks(): Iterable<PhiDecoderLayer> {
    return this.layers
  }

  protected finish(x: Tensor): Tensor {
    return this.final_layernorm(x)
  }
}

/** Phi with a language modeling head. */
export class PhiForCausalLM extends DecoderForCausalLM<PhiConfig> {
  static override readonly config_class: ConfigClass = PhiConfig
  static override readonly base_model_prefix: string = 'model'

  model: PhiModel
  lm_head: Linear

  constructor(given: PhiConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.model = new PhiModel(config)
    this.lm_head = new Linear(config.hidden_size, config.vocab_size)
    if (config.tie_word_embeddings) this.lm_head.tie(this.model.embed_tokens.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** Phi with a linear classifier on the last token that is not padding. */
export class PhiForSequenceClassification extends DecoderForSequenceClassification<PhiConfig> {
  static override readonly config_class: ConfigClass = PhiConfig
  static override readonly base_model_prefix: string = 'model'

  model: PhiModel
  score: Linear

  constructor(given: PhiConfig | Record<string, unknown>) {
    super(given)
    this.model = new PhiModel(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }
}
