// OPT (Zhang et al. 2022): learned positions counted from the first token that is not padding, ReLU; embeddings may be narrower than the layers.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type Context, positionIds, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { type DecoderInputs, DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel } from './decoder.ts'
import { type ConfigClass, PreTrainedModel } from './model.ts'
import type { BaseModelOutput } from './outputs.ts'
import type { Positions } from './rope.ts'

const defaults = {
  vocab_size: 50272,
  hidden_size: 768,
  num_hidden_layers: 12,
  ffn_dim: 3072,
  max_position_embeddings: 2048,
  do_layer_norm_before: true,
  _remove_final_layer_norm: false,
  word_embed_proj_dim: null as number | null,
  dropout: 0.1,
  attention_dropout: 0,
  num_attention_heads: 12,
  activation_function: 'relu',
  layerdrop: 0,
  init_std: 0.02,
  pad_token_id: 1 as number | null,
  bos_token_id: 2,
  eos_token_id: 2 as number | number[],
  enable_bias: true,
  layer_norm_elementwise_affine: true,
  tie_word_embeddings: true,
}

export interface OPTConfig extends Readonly<Omit<typeof defaults, `${string}_token_id` | 'word_embed_proj_dim'>> {
  readonly word_embed_proj_dim: number
}
/** Configuration of OPT. */
export class OPTConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'opt'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    const { hidden_size: H, num_attention_heads: heads } = this
    if (this.word_embed_proj_dim === null) this.derive({ word_embed_proj_dim: H })
    this.derive({ initializer_range: this.init_std })
    if (H % heads !== 0)
      throw new RushlightError(`config: hidden_size ${H} is not a multiple of num_attention_heads ${heads}`)
  }
}

/** Rows of the table of positions in front of the first. */
const OFFSET = 2

const norm = ({ layer_norm_elementwise_affine }: OPTConfig, width: number) =>
  new LayerNorm(width, { elementwise_affine: layer_norm_elementwise_affine })

class OPTAttention extends Module<[x: Tensor, context: Context], Tensor> {
  k_proj: Linear
  v_proj: Linear
  q_proj: Linear
  out_proj: Linear

  constructor(
    private readonly config: OPTConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, enable_bias: bias } = config
    this.k_proj = new Linear(H, H, bias)
    this.v_proj = new Linear(H, H, bias)
    this.q_proj = new Linear(H, H, bias)
    this.out_proj = new Linear(H, H, bias)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { hidden_size: H, num_attention_heads: heads, attention_dropout } = this.config
    const [q, k, v] = [this.q_proj(x), this.k_proj(x), this.v_proj(x)].map((y) => splitHeads(y, H / heads))
    const dropout_p = this.training ? attention_dropout : 0
    return this.out_proj(attend(q, k, v, context, { layer: this.layer, dropout_p })) // (B,T,H)
  }
}

class OPTDecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attn: OPTAttention
  self_attn_layer_norm: LayerNorm
  fc1: Linear
  fc2: Linear
  final_layer_norm: LayerNorm
  private readonly act: Activation

  constructor(
    private readonly config: OPTConfig,
    layer: number,
  ) {
    super()
    const { hidden_size: H, ffn_dim, enable_bias: bias } = config
    this.self_attn = new OPTAttention(config, layer)
    this.self_attn_layer_norm = norm(config, H)
    this.fc1 = new Linear(H, ffn_dim, bias)
    this.fc2 = new Linear(ffn_dim, H, bias)
    this.final_layer_norm = norm(config, H)
    this.act = ACT2FN(config.activation_function)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { do_layer_norm_before: before, dropout } = this.config
    const around = (x: Tensor, norm: LayerNorm, part: (x: Tensor) => Tensor) => {
      const y = x.add(F.dropout(part(before ? norm(x) : x), dropout, this.training))
      return before ? y : norm(y)
    }
    const h = around(x, this.self_attn_layer_norm, (y) => this.self_attn(y, context))
    return around(h, this.final_layer_norm, (y) => this.fc2(this.act(this.fc1(y)))) // (B,T,H)
  }
}

/** The layers, with the embeddings in front of them. */
class OPTDecoder extends DecoderModel<OPTConfig> {
  static override readonly config_class: ConfigClass = OPTConfig

  embed_tokens: Embedding
  embed_positions: Embedding
  project_out: Linear | null
  project_in: Linear | null
  final_layer_norm: LayerNorm | null
  layers: ModuleList<OPTDecoderLayer>

  constructor(config: OPTConfig) {
    super(config)
    const { hidden_size: H, word_embed_proj_dim: E, vocab_size, pad_token_id, max_position_embeddings } = config
    this.embed_tokens = new Embedding(vocab_size, E, { padding_idx: pad_token_id })
    this.embed_positions = new Embedding(max_position_embeddings + OFFSET, H)
    this.project_out = E === H ? null : new Linear(H, E, false)
    this.project_in = E === H ? null : new Linear(E, H, false)
    const normed = config.do_layer_norm_before && !config._remove_final_layer_norm
    this.final_layer_norm = normed ? norm(config, H) : null
    this.layers = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, (_, i) => new OPTDecoderLayer(config, i)),
    )
  }

  protected embed(ids: Tensor): Tensor {
    return this.embed_tokens(ids) // (B,T,E)
  }

  protected override start(x: Tensor, context: Context): Tensor {
    const wide = this.project_in ? this.project_in(x) : x
    return wide.add(this.embed_positions(positionIds(context).add(OFFSET))) // (B,T,H)
  }

  protected override positionsOf(mask: Tensor | null, past: number, T: number): Positions {
    return mask ? mask.cumsum(1).mul(mask).sub(1).slice(1, past) : super.positionsOf(mask, past, T)
  }

  protected blocks(): Iterable<OPTDecoderLayer> {
    return this.layers
  }

  protected finish(x: Tensor): Tensor {
    const y = this.final_layer_norm ? this.final_layer_norm(x) : x
    return this.project_out ? this.project_out(y) : y
  }
}

/** The decoder without a head. */
export class OPTModel extends PreTrainedModel<OPTConfig, [inputs: DecoderInputs], BaseModelOutput> {
  static override readonly config_class: ConfigClass = OPTConfig

  decoder: OPTDecoder

  constructor(given: OPTConfig | Record<string, unknown>) {
    super(given)
    this.decoder = new OPTDecoder(this.config)
    this.initialize()
  }

  forward(inputs: DecoderInputs): BaseModelOutput {
    return this.decoder(inputs)
  }
}

/** OPT with a language modeling head. */
export class OPTForCausalLM extends DecoderForCausalLM<OPTConfig> {
  static override readonly config_class: ConfigClass = OPTConfig
  static override readonly base_model_prefix: string = 'model'

  model: OPTModel
  lm_head: Linear

  constructor(given: OPTConfig | Record<string, unknown>) {
    super(given)
    this.model = new OPTModel(this.config)
    this.lm_head = new Linear(this.config.word_embed_proj_dim, this.config.vocab_size, false)
    if (this.config.tie_word_embeddings) this.lm_head.tie(this.model.decoder.embed_tokens.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** OPT with a linear classifier on the last token that is not padding. */
export class OPTForSequenceClassification extends DecoderForSequenceClassification<OPTConfig> {
  static override readonly config_class: ConfigClass = OPTConfig
  static override readonly base_model_prefix: string = 'model'

  model: OPTModel
  score: Linear

  constructor(given: OPTConfig | Record<string, unknown>) {
    super(given)
    this.model = new OPTModel(this.config)
    this.score = new Linear(this.config.word_embed_proj_dim, this.config.num_labels, false)
    this.initialize()
  }
}
