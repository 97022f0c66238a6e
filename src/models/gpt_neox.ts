// GPT-NeoX and Pythia (Black et al. 2022): queries, keys and values from one matrix, a quarter of each head turned, attention and MLP
// side by side, each behind a layer norm of its own.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type Context, rotated, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel, ROTARY_BUFFERS } from './decoder.ts'
import type { ConfigClass, Rename } from './model.ts'
import { RotaryEmbedding } from './rope.ts'

const defaults = {
  vocab_size: 50432,
  hidden_size: 6144,
  num_hidden_layers: 44,
  num_attention_heads: 64,
  intermediate_size: 24576,
  hidden_act: 'gelu',
  attention_dropout: 0,
  hidden_dropout: 0,
  max_position_embeddings: 2048,
  initializer_range: 0.02,
  layer_norm_eps: 1e-5,
  bos_token_id: 0,
  eos_token_id: 2 as number | number[],
  tie_word_embeddings: false,
  use_parallel_residual: true,
  attention_bias: true,
}

export interface GPTNeoXConfig extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of GPT-NeoX. */
export class GPTNeoXConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'gpt_neox'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    const { hidden_size: H, num_attention_heads: heads } = this
    if (H % heads !== 0)
      throw new RushlightError(`config: hidden_size ${H} is not a multiple of num_attention_heads ${heads}`)
  }

  /** Older files call the base `rotary_emb_base`, and how much of each head is turned `rotary_pct`. */
  override ropeSettings(): Record<string, unknown> {
    const { rotary_emb_base = 10000, rotary_pct = 0.25 } = this
    return { rope_theta: rotary_emb_base, partial_rotary_factor: rotary_pct, ...super.ropeSettings() }
  }
}

/** Masks and frequencies that older files store with the weights. */
const BUFFERS = [...ROTARY_BUFFERS, /\.attention\.(bias|masked_bias)$/]

class GPTNeoXAttention extends Module<[x: Tensor, context: Context], Tensor> {
  query_key_value: Linear
  dense: Linear
  private readonly headDim: number

  constructor(
    private readonly config: GPTNeoXConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads: heads, attention_bias: bias } = config
    this.headDim = H / heads
    this.query_key_value = new Linear(H, 3 * H, bias)
    this.dense = new Linear(H, H, bias)
  }

  forward(x: Tensor, context: Context): Tensor {
    const heads = splitHeads(this.query_key_value(x), 3 * this.headDim) // (B,heads,T,3D)
    const [q, k, v] = heads.chunk(3, -1) // (B,heads,T,D) each
    const dropout_p = this.training ? this.config.attention_dropout : 0
    return this.dense(attend(rotated(q, context), rotated(k, context), v, context, { layer: this.layer, dropout_p })) // (B,T,H)
  }
}

class GPTNeoXMLP extends Module<[x: Tensor], Tensor> {
  dense_h_to_4h: Linear
  dense_4h_to_h: Linear
  private readonly act: Activation

  constructor({ hidden_size: H, intermediate_size: I, hidden_act }: GPTNeoXConfig) {
    super()
    this.dense_h_to_4h = new Linear(H, I)
    this.dense_4h_to_h = new Linear(I, H)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    return this.dense_4h_to_h(this.act(this.dense_h_to_4h(x))) // (B,T,H)
  }
}

class GPTNeoXLayer extends Module<[x: Tensor, context: Context], Tensor> {
  input_layernorm: LayerNorm
  post_attention_layernorm: LayerNorm
  attention: GPTNeoXAttention
  mlp: GPTNeoXMLP

  constructor(
    private readonly config: GPTNeoXConfig,
    layer: number,
  ) {
    super()
    const { hidden_size: H, layer_norm_eps: eps } = config
    this.input_layernorm = new LayerNorm(H, { eps })
    this.post_attention_layernorm = new LayerNorm(H, { eps })
    this.attention = new GPTNeoXAttention(config, layer)
    this.mlp = new GPTNeoXMLP(config)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { hidden_dropout, use_parallel_residual } = this.config
    const drop = (y: Tensor) => F.dropout(y, hidden_dropout, this.training)
    const h = x.add(drop(this.attention(this.input_layernorm(x), context)))
    return h.add(drop(this.mlp(this.post_attention_layernorm(use_parallel_residual ? x : h)))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class GPTNeoXModel extends DecoderModel<GPTNeoXConfig> {
  static override readonly config_class: ConfigClass = GPTNeoXConfig
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  embed_in: Embedding
  layers: ModuleList<GPTNeoXLayer>
  final_layer_norm: LayerNorm
  protected override readonly rotary: RotaryEmbedding

  constructor(given: GPTNeoXConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H, layer_norm_eps: eps } = config
    this.embed_in = new Embedding(config.vocab_size, H)
    this.layers = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, (_, i) => new GPTNeoXLayer(config, i)),
    )
    this.final_layer_norm = new LayerNorm(H, { eps })
    this.rotary = new RotaryEmbedding(config, H / config.num_attention_heads)
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.embed_in(ids)
  }

  protected override start(x: Tensor): Tensor {
    return F.dropout(x, this.config.hidden_dropout, this.training)
  }

  protected blocks(): Iterable<GPTNeoXLayer> {
    return this.layers
  }

  protected finish(x: Tensor): Tensor {
    return this.final_layer_norm(x)
  }
}

/** GPT-NeoX with a language modeling head. */
export class GPTNeoXForCausalLM extends DecoderForCausalLM<GPTNeoXConfig> {
  static override readonly config_class: ConfigClass = GPTNeoXConfig
  static override readonly base_model_prefix: string = 'gpt_neox'
  static override readonly rename: readonly Rename[] = [{ from: /^lm_head\./, to: 'embed_out.' }] // Python's name since version 5
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  gpt_neox: GPTNeoXModel
  embed_out: Linear

  constructor(given: GPTNeoXConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.gpt_neox = new GPTNeoXModel(config)
    this.embed_out = new Linear(config.hidden_size, config.vocab_size, false)
    if (config.tie_word_embeddings) this.embed_out.tie(this.gpt_neox.embed_in.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.embed_out(x)
  }
}

/** GPT-NeoX with a linear classifier on the last token that is not padding. */
export class GPTNeoXForSequenceClassification extends DecoderForSequenceClassification<GPTNeoXConfig> {
  static override readonly config_class: ConfigClass = GPTNeoXConfig
  static override readonly base_model_prefix: string = 'gpt_neox'
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  gpt_neox: GPTNeoXModel
  score: Linear

  constructor(given: GPTNeoXConfig | Record<string, unknown>) {
    super(given)
    this.gpt_neox = new GPTNeoXModel(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }
}
