// Llama (Touvron et al. 2023): pre-norm decoder with RMS norm, rotary positions, grouped heads and a gated MLP.
// Many architectures differ from it in a part or two: they subclass, and override the method that makes that part.
import { Embedding, Linear, RMSNorm } from '../nn/layers.ts'
import { ModuleList } from '../nn/containers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError, shown, unsupported } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type AttentionOptions, type Context, rotated, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, type DecoderLayer, DecoderModel } from './decoder.ts'
import type { ConfigClass } from './model.ts'
import { RotaryEmbedding } from './rope.ts'

const defaults = {
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null as number | null,
  head_dim: null as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 2048,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  bos_token_id: 1,
  eos_token_id: 2 as number | number[],
  tie_word_embeddings: false,
  attention_bias: false,
  attention_dropout: 0,
  mlp_bias: false,
}

export interface LlamaConfig extends Readonly<Omit<typeof defaults, 'bos_token_id' | 'eos_token_id'>> {}
/** Configuration of Llama and of the models that share its shape. */
export class LlamaConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'llama'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

/** What the parts below need of a config. Those of the architectures that are made of them have it too. */
export interface LlamaShape extends PreTrainedConfig {
  readonly vocab_size: number
  readonly hidden_size: number
  readonly intermediate_size: number
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly num_key_value_heads: number | null
  readonly head_dim?: number | null
  readonly hidden_act: string
  readonly rms_norm_eps?: number
  readonly attention_bias?: boolean
  readonly attention_dropout: number
  readonly mlp_bias?: boolean
}

/** Queries, keys and values of a layer's heads. */
export interface Heads {
  q: Tensor // (B,Hq,T,D)
  k: Tensor // (B,Hkv,T,D)
  v: Tensor // (B,Hkv,T,D)
}

/** A normalization of the last dimension. */
export type Norm = Module<[x: Tensor], Tensor>

export class LlamaAttention<C extends LlamaShape = LlamaConfig> extends Module<[x: Tensor, context: Context], Tensor> {
  q_proj: Linear
  k_proj: Linear
  v_proj: Linear
  o_proj: Linear
  protected readonly headDim: number

  constructor(
    protected readonly config: C,
    protected readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads: heads } = config
    const kvHeads = config.num_key_value_heads ?? heads
    const D = headDimOf(config)
    if (heads % kvHeads !== 0)
      throw new RushlightError(
        `config: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`,
      )
    const bias = this.biases(config)
    this.headDim = D
    this.q_proj = new Linear(H, heads * D, bias.qkv)
    this.k_proj = new Linear(H, kvHeads * D, bias.qkv)
    this.v_proj = new Linear(H, kvHeads * D, bias.qkv)
    this.o_proj = new Linear(heads * D, H, bias.out)
  }

  /** Whether the projections to heads have a bias, and the one back. Called by the constructor: it may use its argument only. */
  protected biases({ attention_bias: bias = false }: C): { qkv: boolean; out: boolean } {
    return { qkv: bias, out: bias }
  }

  /** Heads before their positions are told. */
  protected heads(x: Tensor): Heads {
    return {
      q: splitHeads(this.q_proj(x), this.headDim),
      k: splitHeads(this.k_proj(x), this.headDim),
      v: splitHeads(this.v_proj(x), this.headDim),
    }
  }

  /** Queries or keys turned by their positions. */
  protected rotate(x: Tensor, context: Context): Tensor {
    return rotated(x, context, layerType(this.config, this.layer))
  }

  protected options(): AttentionOptions {
    return { layer: this.layer, dropout_p: this.training ? this.config.attention_dropout : 0 }
  }

  forward(x: Tensor, context: Context): Tensor {
    const { q, k, v } = this.heads(x)
    return this.o_proj(attend(this.rotate(q, context), this.rotate(k, context), v, context, this.options())) // (B,T,H)
  }
}

export class LlamaMLP extends Module<[x: Tensor], Tensor> {
  gate_proj: Linear
  up_proj: Linear
  down_proj: Linear
  private readonly act: Activation

  constructor(
    {
      hidden_size: H,
      intermediate_size: I,
      hidden_act,
    }: Pick<LlamaShape, 'hidden_size' | 'intermediate_size' | 'hidden_act'>,
    bias = false,
  ) {
    super()
    this.gate_proj = new Linear(H, I, bias)
    this.up_proj = new Linear(H, I, bias)
    this.down_proj = new Linear(I, H, bias)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    return this.down_proj(this.act(this.gate_proj(x)).mul(this.up_proj(x))) // (B,T,H)
  }
}

export class LlamaDecoderLayer<C extends LlamaShape = LlamaConfig> extends Module<
  [x: Tensor, context: Context],
  Tensor
> {
  self_attn: Module<[x: Tensor, context: Context], Tensor>
  mlp: Module<[x: Tensor], Tensor>
  input_layernorm: Norm
  post_attention_layernorm: Norm

  constructor(config: C, layer: number) {
    super()
    this.self_attn = this.attention(config, layer)
    this.mlp = this.feedForward(config, layer)
    this.input_layernorm = this.norm(config)
    this.post_attention_layernorm = this.norm(config)
  }

  /** Makes a norm. Called by the constructor: it may use its argument only. */
  protected norm({ hidden_size: H, rms_norm_eps: eps }: C): Norm {
    return new RMSNorm(H, { eps })
  }

  /** Makes the attention. Called by the constructor: it may use its arguments only. */
  protected attention(config: C, layer: number): Module<[x: Tensor, context: Context], Tensor> {
    return new LlamaAttention(config, layer)
  }

  /** Makes the MLP. Called by the constructor: it may use its arguments only. */
  protected feedForward(config: C, _layer: number): Module<[x: Tensor], Tensor> {
    return new LlamaMLP(config, config.mlp_bias)
  }

  forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.self_attn(this.input_layernorm(x), context))
    return h.add(this.mlp(this.post_attention_layernorm(h))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class LlamaModel<C extends LlamaShape = LlamaConfig> extends DecoderModel<C> {
  static override readonly config_class: ConfigClass = LlamaConfig
  static override readonly base_model_prefix: string = ''

  embed_tokens: Embedding
  layers: ModuleList<DecoderLayer>
  norm: Norm
  protected override readonly rotary: RotaryEmbedding

  constructor(given: C | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.embed_tokens = new Embedding(config.vocab_size, config.hidden_size, { padding_idx: config.pad_token_id })
    this.layers = new ModuleList(Array.from({ length: config.num_hidden_layers }, (_, i) => this.layer(config, i)))
    this.norm = this.lastNorm(config)
    this.rotary = new RotaryEmbedding(config, headDimOf(config))
    this.initialize()
  }

  /** Makes a layer. Called by the constructor: it may use its arguments only. */
  protected layer(config: C, i: number): DecoderLayer {
    return new LlamaDecoderLayer(config, i)
  }

  /** Makes the norm behind the last layer. Called by the constructor: it may use its argument only. */
  protected lastNorm({ hidden_size: H, rms_norm_eps: eps }: C): Norm {
    return new RMSNorm(H, { eps })
  }

  protected embed(ids: Tensor): Tensor {
    return this.embed_tokens(ids)
  }

  protected blocks(): Iterable<DecoderLayer> {
    return this.layers
  }

  protected finish(x: Tensor): Tensor {
    return this.norm(x)
  }
}

/** Llama with a language modeling head. */
export class LlamaForCausalLM<C extends LlamaShape = LlamaConfig> extends DecoderForCausalLM<C> {
  static override readonly config_class: ConfigClass = LlamaConfig
  static override readonly base_model_prefix: string = 'model'

  model: LlamaModel<C>
  lm_head: Linear

  constructor(given: C | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.model = this.decoder(config)
    this.lm_head = new Linear(config.hidden_size, config.vocab_size, false)
    if (config.tie_word_embeddings) this.lm_head.tie(this.model.embed_tokens.weight)
    this.initialize()
  }

  /** Makes the decoder. Called by the constructor: it may use its argument only. */
  protected decoder(config: C): LlamaModel<C> {
    return new LlamaModel(config)
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** Llama with a linear classifier on the last token that is not padding. */
export class LlamaForSequenceClassification<
  C extends LlamaShape = LlamaConfig,
> extends DecoderForSequenceClassification<C> {
  static override readonly config_class: ConfigClass = LlamaConfig
  static override readonly base_model_prefix: string = 'model'

  model: LlamaModel<C>
  score: Linear

  constructor(given: C | Record<string, unknown>) {
    super(given)
    this.model = this.decoder(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }

  /** Makes the decoder. Called by the constructor: it may use its argument only. */
  protected decoder(config: C): LlamaModel<C> {
    return new LlamaModel(config)
  }
}

/** Type of a layer (`full_attention`, `sliding_attention`), where the config's `layer_types` tell them apart. */
export function layerType({ layer_types }: PreTrainedConfig, layer: number): string | undefined {
  if (!Array.isArray(layer_types)) return undefined
  if (layer >= layer_types.length)
    throw new RushlightError(`config: layer_types: expected one for each layer, found ${layer_types.length}`)
  return layer_types[layer]
}

/**
 * How many positions a layer looks at: those of `sliding_window` where `layer_types` say so, else all (null).
 * @throws UnsupportedOptionError for a type of layer that is neither
 */
export function windowOf(config: PreTrainedConfig, layer: number): number | null {
  const type = layerType(config, layer) ?? 'full_attention'
  if (type === 'full_attention') return null
  if (type !== 'sliding_attention')
    throw unsupported('config', `layer_types[${layer}]`, type, ['full_attention', 'sliding_attention'])
  const { sliding_window: window } = config
  if (typeof window !== 'number' || window < 1)
    throw new RushlightError(
      `config: layer ${layer} is sliding_attention: sliding_window must be a whole number from 1 up, found ${shown(window)}`,
    )
  return window
}

/** Dimensions of a head: what the config says, or the width shared out. */
export function headDimOf({
  head_dim,
  hidden_size,
  num_attention_heads,
}: Pick<LlamaShape, 'head_dim' | 'hidden_size' | 'num_attention_heads'>): number {
  return head_dim ?? Math.floor(hidden_size / num_attention_heads)
}
