// Llama (Touvron et al. 2023): pre-norm decoder with RMS norm, rotary positions, grouped heads and a gated MLP.
import { Embedding, Linear, RMSNorm } from '../nn/layers.ts'
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Module } from '../nn/module.ts'
import { arange } from '../ops/creation.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { DynamicCache } from './cache.ts'
import { PreTrainedConfig } from './config.ts'
import { batch, checkInputs, type IntInput, labelTensor, oneOf } from './inputs.ts'
import { causalLMLoss, sequenceClassificationLoss } from './losses.ts'
import { PreTrainedModel } from './model.ts'
import type { BaseModelOutput, CausalLMOutput, SequenceClassifierOutput } from './outputs.ts'
import { RotaryEmbedding } from './rope.ts'
import { RushlightError } from '../util/errors.ts'

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

/** Where the tokens of a call stand: rotary tables, what may be looked at, and the cache. */
interface Context {
  cos: Tensor
  sin: Tensor
  /** (B,S) of bool: which keys are not padding; null when all are. */
  key_padding_mask: Tensor | null
  cache: DynamicCache | null
}

export class LlamaAttention extends Module<[x: Tensor, context: Context], Tensor> {
  q_proj: Linear
  k_proj: Linear
  v_proj: Linear
  o_proj: Linear
  private readonly heads: number
  private readonly kvHeads: number
  private readonly headDim: number
  private readonly dropout: number

  constructor(
    config: LlamaConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads, num_key_value_heads, attention_bias: bias } = config
    this.heads = num_attention_heads
    this.kvHeads = num_key_value_heads ?? num_attention_heads
    this.headDim = headDimOf(config)
    this.dropout = config.attention_dropout
    if (this.heads % this.kvHeads !== 0)
      throw new RushlightError(
        `config: num_attention_heads ${this.heads} is not a multiple of num_key_value_heads ${this.kvHeads}`,
      )
    this.q_proj = new Linear(H, this.heads * this.headDim, bias)
    this.k_proj = new Linear(H, this.kvHeads * this.headDim, bias)
    this.v_proj = new Linear(H, this.kvHeads * this.headDim, bias)
    this.o_proj = new Linear(this.heads * this.headDim, H, bias)
  }

  forward(x: Tensor, { cos, sin, key_padding_mask, cache }: Context): Tensor {
    const [B, T] = x.shape
    const split = (y: Tensor, heads: number) => y.view([B, T, heads, this.headDim]).transpose(1, 2)
    const q = F.rotary_embedding(split(this.q_proj(x), this.heads), cos, sin) // (B,Hq,T,D)
    let k = F.rotary_embedding(split(this.k_proj(x), this.kvHeads), cos, sin) // (B,Hkv,T,D)
    let v = split(this.v_proj(x), this.kvHeads)
    if (cache) ({ keys: k, values: v } = cache.update(k, v, this.layer)) // (B,Hkv,S,D)
    const out = F.scaled_dot_product_attention(q, k, v, {
      is_causal: true,
      enable_gqa: true,
      key_padding_mask,
      dropout_p: this.training ? this.dropout : 0,
    }) // (B,Hq,T,D)
    return this.o_proj(out.transpose(1, 2).reshape([B, T, this.heads * this.headDim]))
  }
}

export class LlamaMLP extends Module<[x: Tensor], Tensor> {
  gate_proj: Linear
  up_proj: Linear
  down_proj: Linear
  private readonly act: Activation

  constructor({ hidden_size: H, intermediate_size: I, mlp_bias, hidden_act }: LlamaConfig) {
    super()
    this.gate_proj = new Linear(H, I, mlp_bias)
    this.up_proj = new Linear(H, I, mlp_bias)
    this.down_proj = new Linear(I, H, mlp_bias)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    return this.down_proj(this.act(this.gate_proj(x)).mul(this.up_proj(x))) // (B,T,H)
  }
}

export class LlamaDecoderLayer extends Module<[x: Tensor, context: Context], Tensor> {
  self_attn: LlamaAttention
  mlp: LlamaMLP
  input_layernorm: RMSNorm
  post_attention_layernorm: RMSNorm

  constructor(config: LlamaConfig, layer: number) {
    super()
    const { hidden_size: H, rms_norm_eps: eps } = config
    this.self_attn = new LlamaAttention(config, layer)
    this.mlp = new LlamaMLP(config)
    this.input_layernorm = new RMSNorm(H, { eps })
    this.post_attention_layernorm = new RMSNorm(H, { eps })
  }

  forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.self_attn(this.input_layernorm(x), context))
    return h.add(this.mlp(this.post_attention_layernorm(h))) // (B,T,H)
  }
}

/** What the Llama models are called with. */
export interface LlamaInputs {
  /** (B,T) */
  input_ids?: IntInput
  /** (B,S), S the cached tokens and these: 1 for tokens, 0 for padding. */
  attention_mask?: IntInput | null
  /** (B,T); by default counted on from the cache, padding included, as in Python. */
  position_ids?: IntInput | null
  /** (B,T,H) in place of ids. */
  inputs_embeds?: Tensor | null
  past_key_values?: DynamicCache | null
  use_cache?: boolean
  output_hidden_states?: boolean
}

const INPUTS = [
  'input_ids',
  'attention_mask',
  'position_ids',
  'inputs_embeds',
  'past_key_values',
  'use_cache',
  'output_hidden_states',
  'return_dict',
]

/** The decoder without a head. */
export class LlamaModel extends PreTrainedModel<LlamaConfig, [inputs: LlamaInputs], BaseModelOutput> {
  static override readonly config_class = LlamaConfig
  static override readonly base_model_prefix: string = ''

  embed_tokens: Embedding
  layers: ModuleList<LlamaDecoderLayer>
  norm: RMSNorm
  private readonly rotary: RotaryEmbedding

  constructor(given: LlamaConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.embed_tokens = new Embedding(config.vocab_size, config.hidden_size, { padding_idx: config.pad_token_id })
    this.layers = new ModuleList(
      Array.from({ length: config.num_hidden_layers }, (_, i) => new LlamaDecoderLayer(config, i)),
    )
    this.norm = new RMSNorm(config.hidden_size, { eps: config.rms_norm_eps })
    this.rotary = new RotaryEmbedding(config, headDimOf(config))
    this.initialize()
  }

  forward(inputs: LlamaInputs): BaseModelOutput {
    checkInputs('LlamaModel', inputs, INPUTS)
    const ids = batch('LlamaModel', 'input_ids', inputs.input_ids)
    oneOf('LlamaModel', ids, inputs.inputs_embeds)
    let x = inputs.inputs_embeds ?? this.embed_tokens(ids as Tensor) // (B,T,H)
    const cache = inputs.past_key_values ?? (inputs.use_cache ? new DynamicCache() : null)
    const context = this.context(inputs, x.shape[1], cache)
    const hidden_states = inputs.output_hidden_states ? [x] : undefined
    for (const layer of this.layers) {
      x = layer(x, context)
      hidden_states?.push(x)
    }
    const last_hidden_state = this.norm(x)
    if (hidden_states) hidden_states[hidden_states.length - 1] = last_hidden_state
    return { last_hidden_state, ...(cache && { past_key_values: cache }), ...(hidden_states && { hidden_states }) }
  }

  /** Positions and mask of T tokens behind what the cache holds. */
  private context(inputs: LlamaInputs, T: number, cache: DynamicCache | null): Context {
    const past = cache?.get_seq_length() ?? 0
    const mask = batch('LlamaModel', 'attention_mask', inputs.attention_mask)
    if (mask && mask.shape[1] !== past + T)
      throw new RushlightError(
        `LlamaModel: attention_mask covers ${mask.shape[1]} tokens, expected ${past + T} (${past} cached, ${T} new)`,
      )
    const positions = batch('LlamaModel', 'position_ids', inputs.position_ids)
    const { cos, sin } = this.rotary.at(positions ?? { start: past, length: T })
    const padded = mask !== null && mask.ne(1).any().item() === 1
    return { cos, sin, key_padding_mask: padded ? mask.to('bool') : null, cache }
  }

  protected override release(): void {
    this.rotary.dispose()
    super.release()
  }
}

/** Inputs of the language model. */
export interface LlamaCausalInputs extends LlamaInputs {
  /** (B,T): the loss is that of predicting each from those before it; -100 is left out. */
  labels?: IntInput | null
  /** Compute logits for the last so many positions only; 0 means all. */
  logits_to_keep?: number
}

/** Llama with a language modeling head. */
export class LlamaForCausalLM extends PreTrainedModel<LlamaConfig, [inputs: LlamaCausalInputs], CausalLMOutput> {
  static override readonly config_class = LlamaConfig
  static override readonly base_model_prefix: string = 'model'
  static override readonly supports_cache: boolean = true

  model: LlamaModel
  lm_head: Linear

  constructor(given: LlamaConfig | Record<string, unknown>) {
    super(given)
    this.model = new LlamaModel(this.config)
    this.lm_head = new Linear(this.config.hidden_size, this.config.vocab_size, false)
    if (this.config.tie_word_embeddings) this.lm_head.tie(this.model.embed_tokens.weight)
    this.initialize()
  }

  forward({ labels, logits_to_keep = 0, ...inputs }: LlamaCausalInputs): CausalLMOutput {
    const { last_hidden_state: x, ...rest } = this.model(inputs)
    const kept = logits_to_keep > 0 && logits_to_keep < x.shape[1] ? x.slice(1, x.shape[1] - logits_to_keep) : x
    const logits = this.lm_head(kept) // (B,T,V)
    const targets = batch('LlamaForCausalLM', 'labels', labels)
    return { ...(targets && { loss: causalLMLoss(logits, targets) }), logits, ...rest }
  }
}

/** Inputs of the classifier. */
export interface LlamaClassifierInputs extends LlamaInputs {
  /** (B): class indices, or numbers for regression. */
  labels?: Tensor | number[] | null
}

/** Llama with a linear classifier on the last token that is not padding. */
export class LlamaForSequenceClassification extends PreTrainedModel<
  LlamaConfig,
  [inputs: LlamaClassifierInputs],
  SequenceClassifierOutput
> {
  static override readonly config_class = LlamaConfig
  static override readonly base_model_prefix: string = 'model'

  model: LlamaModel
  score: Linear

  constructor(given: LlamaConfig | Record<string, unknown>) {
    super(given)
    this.model = new LlamaModel(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }

  forward({ labels, ...inputs }: LlamaClassifierInputs): SequenceClassifierOutput {
    const { last_hidden_state: x, hidden_states } = this.model(inputs)
    const [B, T] = x.shape
    const ids = batch('LlamaForSequenceClassification', 'input_ids', inputs.input_ids)
    const last = this.lastTokens(ids, B, T) // (B)
    const logits = this.score(x).index(arange(B), last) // (B,C)
    const targets = labelTensor(labels, this.config)
    const loss = targets && sequenceClassificationLoss(logits, targets, this.config)
    return { ...(loss && { loss }), logits, ...(hidden_states && { hidden_states }) }
  }

  private lastTokens(ids: Tensor | null, B: number, T: number): Tensor {
    const pad = this.config.pad_token_id
    if (pad === null && B > 1)
      throw new RushlightError(
        'LlamaForSequenceClassification: a batch needs a padding token to find each last token. Hint: set pad_token_id in the config',
      )
    if (pad === null || ids === null)
      return arange(B)
        .mul(0)
        .add(T - 1)
    // The last position that is not padding, on whichever side the padding is.
    return ids.ne(pad).to('int64').mul(arange(T)).argmax(-1)
  }
}

function headDimOf({ head_dim, hidden_size, num_attention_heads }: LlamaConfig): number {
  return head_dim ?? Math.floor(hidden_size / num_attention_heads)
}
