// Falcon (Almazrouei et al. 2023): attention and MLP side by side, queries of many heads that share one key and value, or few.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { arange } from '../ops/creation.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, unsupported } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { alibiSlopes, attend, type Context, rotated } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel } from './decoder.ts'
import type { Heads } from './llama.ts'
import type { ConfigClass } from './model.ts'
import { RotaryEmbedding } from './rope.ts'

const defaults = {
  vocab_size: 65024,
  hidden_size: 4544,
  num_hidden_layers: 32,
  num_attention_heads: 71,
  num_ln_in_parallel_attn: null as 1 | 2 | null,
  layer_norm_epsilon: 1e-5,
  initializer_range: 0.02,
  hidden_dropout: 0,
  attention_dropout: 0,
  num_kv_heads: null as number | null,
  alibi: false,
  new_decoder_architecture: false,
  multi_query: true,
  parallel_attn: true,
  bias: false,
  max_position_embeddings: 2048,
  bos_token_id: 11,
  eos_token_id: 11 as number | number[],
  ffn_hidden_size: null as number | null,
  activation: 'gelu',
  tie_word_embeddings: true,
}

export interface FalconConfig extends Readonly<Omit<typeof defaults, `${string}_token_id` | 'ffn_hidden_size'>> {
  readonly ffn_hidden_size: number
}
/** Configuration of Falcon. `new_decoder_architecture` is that of Falcon-40B and its successors. */
export class FalconConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'falcon'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    if (typeof this.n_embed === 'number') this.derive({ hidden_size: this.n_embed }) // as older files say it
    if (this.num_kv_heads === null) this.derive({ num_kv_heads: this.num_attention_heads })
    if (this.ffn_hidden_size === null) this.derive({ ffn_hidden_size: 4 * this.hidden_size })
    const { hidden_size: H, num_attention_heads: heads, new_decoder_architecture: renewed, parallel_attn } = this
    if (H % heads !== 0)
      throw new RushlightError(`config: hidden_size ${H} is not a multiple of num_attention_heads ${heads}`)
    if (renewed && !parallel_attn)
      throw unsupported('config of falcon', 'parallel_attn with new_decoder_architecture', parallel_attn, [true])
    if (renewed && this.num_ln_in_parallel_attn === null) this.derive({ num_ln_in_parallel_attn: 2 })
    const norms = this.num_ln_in_parallel_attn
    if (norms !== null && norms !== 1 && !(norms === 2 && renewed))
      throw unsupported('config of falcon', 'num_ln_in_parallel_attn', norms, renewed ? [1, 2] : [1])
  }
}

class FalconAttention extends Module<[x: Tensor, context: Context], Tensor> {
  query_key_value: Linear
  dense: Linear
  private readonly headDim: number

  constructor(
    private readonly config: FalconConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads: heads, new_decoder_architecture, multi_query, bias } = config
    const kvHeads = new_decoder_architecture ? (config.num_kv_heads ?? heads) : multi_query ? 1 : heads
    if (heads % kvHeads !== 0)
      throw new RushlightError(`config: num_attention_heads ${heads} is not a multiple of num_kv_heads ${kvHeads}`)
    this.headDim = H / heads
    this.query_key_value = new Linear(H, (heads + 2 * kvHeads) * this.headDim, bias)
    this.dense = new Linear(H, H, bias)
  }

  /** The fused matrix gives, for each head of keys, the queries that share it, their key and their value. */
  private heads(x: Tensor): Heads {
    const all = this.query_key_value(x) // (B,T,(Hq+2·Hkv)·D)
    const [B, T, width] = all.shape
    const { num_attention_heads: Hq } = this.config
    const D = this.headDim
    const Hkv = (width / D - Hq) / 2
    const G = Hq / Hkv // queries that share a key
    const groups = all.view([B, T, Hkv, G + 2, D])
    const key = (at: number) => groups.select(3, at).transpose(1, 2) // (B,Hkv,T,D)
    return { q: groups.narrow(3, 0, G).reshape([B, T, Hq, D]).transpose(1, 2), k: key(G), v: key(G + 1) }
  }

  forward(x: Tensor, context: Context): Tensor {
    const { q, k, v } = this.heads(x)
    const { layer, config } = this
    // As in Python, weights are dropped with ALiBi alone.
    if (config.alibi)
      return this.dense(attend(q, k, v, context, { layer, dropout_p: this.training ? config.attention_dropout : 0 }))
    return this.dense(attend(rotated(q, context), rotated(k, context), v, context, { layer })) // (B,T,H)
  }
}

class FalconMLP extends Module<[x: Tensor], Tensor> {
  dense_h_to_4h: Linear
  dense_4h_to_h: Linear
  private readonly act: Activation

  constructor({ hidden_size: H, ffn_hidden_size: I, activation, bias }: FalconConfig) {
    super()
    this.dense_h_to_4h = new Linear(H, I, bias)
    this.dense_4h_to_h = new Linear(I, H, bias)
    this.act = ACT2FN(activation)
  }

  forward(x: Tensor): Tensor {
    return this.dense_4h_to_h(this.act(this.dense_h_to_4h(x))) // (B,T,H)
  }
}

/** Which norms there are depends: one for both parts, one for each (`ln_attn`, `ln_mlp`), or one before each where they follow each other. */
class FalconDecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attention: FalconAttention
  mlp: FalconMLP
  input_layernorm: LayerNorm | null
  post_attention_layernorm: LayerNorm | null
  ln_attn: LayerNorm | null
  ln_mlp: LayerNorm | null

  constructor(
    private readonly config: FalconConfig,
    layer: number,
  ) {
    super()
    const { hidden_size: H, layer_norm_epsilon: eps, parallel_attn } = config
    const apart = config.num_ln_in_parallel_attn === 2
    const norm = (there: boolean) => (there ? new LayerNorm(H, { eps }) : null)
    this.self_attention = new FalconAttention(config, layer)
    this.mlp = new FalconMLP(config)
    this.input_layernorm = norm(!apart)
    this.post_attention_layernorm = norm(!parallel_attn)
    this.ln_attn = norm(apart)
    this.ln_mlp = norm(apart)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { hidden_dropout, attention_dropout } = this.config
    const drop = (y: Tensor, p: number) => F.dropout(y, p, this.training)
    const n = (this.ln_attn ?? (this.input_layernorm as LayerNorm))(x)
    const attention = this.self_attention(n, context)
    if (this.post_attention_layernorm) {
      const h = x.add(drop(attention, attention_dropout))
      return h.add(drop(this.mlp(this.post_attention_layernorm(h)), hidden_dropout)) // (B,T,H)
    }
    return x.add(drop(this.mlp(this.ln_mlp?.(x) ?? n).add(attention), hidden_dropout)) // (B,T,H)
  }
}

/** The decoder without a head. */
export class FalconModel extends DecoderModel<FalconConfig> {
  static override readonly config_class: ConfigClass = FalconConfig

  word_embeddings: Embedding
  h: ModuleList<FalconDecoderLayer>
  ln_f: LayerNorm
  protected override readonly rotary: RotaryEmbedding | null

  constructor(given: FalconConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H, layer_norm_epsilon: eps } = config
    this.word_embeddings = new Embedding(config.vocab_size, H)
    this.h = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, (_, i) => new FalconDecoderLayer(config, i)),
    )
    this.ln_f = new LayerNorm(H, { eps })
    this.rotary = config.alibi ? null : new RotaryEmbedding(config, H / config.num_attention_heads)
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.word_embeddings(ids)
  }

  protected override start(x: Tensor, context: Context): Tensor {
    if (this.config.alibi) context.bias = this.alibi(context)
    return x
  }

  /**
   * ALiBi (Press et al. 2022) by the places of keys, (B,Hq,1,S): within a row of scores that is the same as by distances. Falcon
   * was trained with it in bfloat16, slopes, places and products.
   */
  private alibi({ key_padding_mask: mask, length: S }: Context): Tensor {
    const { hidden_size: H, num_attention_heads: heads } = this.config
    const places = mask ? mask.to('int64').cumsum(1).sub(1).mul(mask.to('int64')) : arange(S).unsqueeze(0) // (B,S)
    const slopes = Tensor.from(alibiSlopes(heads), [heads, 1, 1], 'bfloat16')
    const bias = places.to('bfloat16').unsqueeze(1).unsqueeze(1).mul(slopes) // (B,Hq,1,S)
    return bias.to('float32').div(Math.sqrt(H / heads))
  }

  protected blocks(): Iterable<FalconDecoderLayer> {
    return this.h
  }

  protected finish(x: Tensor): Tensor {
    return this.ln_f(x)
  }
}

/** Falcon with a language modeling head. */
export class FalconForCausalLM extends DecoderForCausalLM<FalconConfig> {
  static override readonly config_class: ConfigClass = FalconConfig
  static override readonly base_model_prefix: string = 'transformer'

  transformer: FalconModel
  lm_head: Linear

  constructor(given: FalconConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.transformer = new FalconModel(config)
    this.lm_head = new Linear(config.hidden_size, config.vocab_size, false)
    if (config.tie_word_embeddings) this.lm_head.tie(this.transformer.word_embeddings.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** Falcon with a linear classifier on the last token that is not padding. */
export class FalconForSequenceClassification extends DecoderForSequenceClassification<FalconConfig> {
  static override readonly config_class: ConfigClass = FalconConfig
  static override readonly base_model_prefix: string = 'transformer'

  transformer: FalconModel
  score: Linear

  constructor(given: FalconConfig | Record<string, unknown>) {
    super(given)
    this.transformer = new FalconModel(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }
}
