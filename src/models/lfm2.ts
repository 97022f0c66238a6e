// LFM2 (Liquid AI 2025): gated short convolutions in most layers, attention in the others.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Conv1d, Embedding, Linear, RMSNorm } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError, unsupported } from '../util/errors.ts'
import { attend, type Context, rotated, splitHeads } from './attention.ts'
import { causalConv, withoutPadding } from './causal-conv.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderModel } from './decoder.ts'
import { headDimOf } from './llama.ts'
import type { ConfigClass } from './model.ts'
import { RotaryEmbedding } from './rope.ts'

const defaults = {
  vocab_size: 65536,
  hidden_size: 2560,
  intermediate_size: 12288,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: null as number | null,
  max_position_embeddings: 128000,
  initializer_range: 0.02,
  norm_eps: 1e-5,
  pad_token_id: 0 as number | null,
  bos_token_id: 1,
  eos_token_id: 2 as number | number[],
  tie_word_embeddings: true,
  rope_theta: 1_000_000,
  conv_bias: false,
  conv_L_cache: 3,
  block_multiple_of: 256,
  block_ffn_dim_multiplier: 1,
  block_auto_adjust_ff_dim: true,
  full_attn_idxs: null as readonly number[] | null,
  layer_types: null as readonly string[] | null,
}

export interface Lfm2Config extends Readonly<Omit<typeof defaults, `${string}_token_id` | 'layer_types'>> {
  /** `full_attention` or `conv`. */
  readonly layer_types: readonly string[]
}
/** Configuration of LFM2. `layer_types` not given are attention at `full_attn_idxs`, convolutions elsewhere. */
export class Lfm2Config extends PreTrainedConfig {
  static override readonly model_type: string = 'lfm2'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    // As the first files say it.
    if (this.tie_embedding !== undefined) this.derive({ tie_word_embeddings: this.tie_embedding })
    if (this.block_ff_dim !== undefined) this.derive({ intermediate_size: this.block_ff_dim })
    const layers = Array.from({ length: this.num_hidden_layers }, (_, i) => i)
    if (!this.layer_types) {
      const attention = this.full_attn_idxs ?? layers
      this.derive({ layer_types: layers.map((i) => (attention.includes(i) ? 'full_attention' : 'conv')) })
    }
    const strange = layers.find((i) => !['full_attention', 'conv'].includes(this.layer_types[i]))
    if (strange !== undefined)
      throw unsupported('config of lfm2', `layer_types[${strange}]`, this.layer_types[strange], [
        'full_attention',
        'conv',
      ])
  }
}

class Lfm2Attention extends Module<[x: Tensor, context: Context], Tensor> {
  q_proj: Linear
  k_proj: Linear
  v_proj: Linear
  out_proj: Linear
  q_layernorm: RMSNorm
  k_layernorm: RMSNorm
  private readonly headDim: number

  constructor(
    config: Lfm2Config,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads: heads, num_key_value_heads: kvHeads, norm_eps: eps } = config
    if (heads % kvHeads !== 0)
      throw new RushlightError(
        `config: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`,
      )
    const D = headDimOf(config)
    this.headDim = D
    this.q_proj = new Linear(H, heads * D, false)
    this.k_proj = new Linear(H, kvHeads * D, false)
    this.v_proj = new Linear(H, kvHeads * D, false)
    this.out_proj = new Linear(heads * D, H, false)
    this.q_layernorm = new RMSNorm(D, { eps })
    this.k_layernorm = new RMSNorm(D, { eps })
  }

  forward(x: Tensor, context: Context): Tensor {
    const q = rotated(this.q_layernorm(splitHeads(this.q_proj(x), this.headDim)), context) // (B,Hq,T,D)
    const k = rotated(this.k_layernorm(splitHeads(this.k_proj(x), this.headDim)), context) // (B,Hkv,T,D)
    const v = splitHeads(this.v_proj(x), this.headDim)
    return this.out_proj(attend(q, k, v, context, { layer: this.layer })) // (B,T,H)
  }
}

class Lfm2ShortConv extends Module<[x: Tensor, context: Context], Tensor> {
  conv: Conv1d
  in_proj: Linear
  out_proj: Linear

  constructor(
    { hidden_size: H, conv_L_cache: taps, conv_bias: bias }: Lfm2Config,
    private readonly layer: number,
  ) {
    super()
    this.conv = new Conv1d(H, H, taps, { groups: H, bias })
    this.in_proj = new Linear(H, 3 * H, bias)
    this.out_proj = new Linear(H, H, bias)
  }

  forward(x: Tensor, context: Context): Tensor {
    const [b, c, u] = this.in_proj(withoutPadding(x, context)).transpose(1, 2).chunk(3, 1) // (B,H,T) each
    const y = c.mul(causalConv(this.conv, b.mul(u), context, this.layer)) // gated before and behind
    return this.out_proj(y.transpose(1, 2)) // (B,T,H)
  }
}

/** Width of the MLP: two thirds of what is said, times a factor, rounded up to a multiple. */
function widthOf(config: Lfm2Config): number {
  const { intermediate_size, block_auto_adjust_ff_dim, block_ffn_dim_multiplier: factor, block_multiple_of } = config
  if (!block_auto_adjust_ff_dim) return intermediate_size
  const width = Math.trunc(factor * Math.trunc((2 * intermediate_size) / 3))
  return block_multiple_of * Math.ceil(width / block_multiple_of)
}

class Lfm2MLP extends Module<[x: Tensor], Tensor> {
  w1: Linear
  w3: Linear
  w2: Linear

  constructor(config: Lfm2Config) {
    super()
    const { hidden_size: H } = config
    const I = widthOf(config)
    this.w1 = new Linear(H, I, false)
    this.w3 = new Linear(H, I, false)
    this.w2 = new Linear(I, H, false)
  }

  forward(x: Tensor): Tensor {
    return this.w2(F.silu(this.w1(x)).mul(this.w3(x))) // (B,T,H)
  }
}

class Lfm2DecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attn: Lfm2Attention | null
  conv: Lfm2ShortConv | null
  feed_forward: Lfm2MLP
  operator_norm: RMSNorm
  ffn_norm: RMSNorm

  constructor(config: Lfm2Config, layer: number) {
    super()
    const { hidden_size: H, norm_eps: eps } = config
    const attention = config.layer_types[layer] === 'full_attention'
    this.self_attn = attention ? new Lfm2Attention(config, layer) : null
    this.conv = attention ? null : new Lfm2ShortConv(config, layer)
    this.feed_forward = new Lfm2MLP(config)
    this.operator_norm = new RMSNorm(H, { eps })
    this.ffn_norm = new RMSNorm(H, { eps })
  }

  forward(x: Tensor, context: Context): Tensor {
    const operator = (this.self_attn ?? this.conv) as Module<[x: Tensor, context: Context], Tensor>
    const h = x.add(operator(this.operator_norm(x), context))
    return h.add(this.feed_forward(this.ffn_norm(h))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class Lfm2Model extends DecoderModel<Lfm2Config> {
  static override readonly config_class: ConfigClass = Lfm2Config

  embed_tokens: Embedding
  layers: ModuleList<Lfm2DecoderLayer>
  embedding_norm: RMSNorm
  protected override readonly rotary: RotaryEmbedding

  constructor(given: Lfm2Config | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H, norm_eps: eps } = config
    this.embed_tokens = new Embedding(config.vocab_size, H, { padding_idx: config.pad_token_id })
    this.layers = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, (_, i) => new Lfm2DecoderLayer(config, i)),
    )
    this.embedding_norm = new RMSNorm(H, { eps })
    this.rotary = new RotaryEmbedding(config, headDimOf(config))
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.embed_tokens(ids)
  }

  protected blocks(): Iterable<Lfm2DecoderLayer> {
    return this.layers
  }

  protected finish(x: Tensor): Tensor {
    return this.embedding_norm(x)
  }
}

/** LFM2 with a language modeling head. */
export class Lfm2ForCausalLM extends DecoderForCausalLM<Lfm2Config> {
  static override readonly config_class: ConfigClass = Lfm2Config
  static override readonly base_model_prefix: string = 'model'

  model: Lfm2Model
  lm_head: Linear

  constructor(given: Lfm2Config | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.model = new Lfm2Model(config)
    this.lm_head = new Linear(config.hidden_size, config.vocab_size, false)
    if (config.tie_word_embeddings) this.lm_head.tie(this.model.embed_tokens.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}
