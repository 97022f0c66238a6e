// Phi-3 and Phi-4-mini (Abdin et al. 2024): Llama with its projections fused, dropout on its residuals, and LongRoPE.
import * as F from '../nn/functional.ts'
import { Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type Context, splitHeads } from './attention.ts'
import { PreTrainedConfig, ropeParameters } from './config.ts'
import { headDimOf, LlamaDecoderLayer, LlamaForCausalLM, LlamaForSequenceClassification, LlamaModel } from './llama.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 32064,
  hidden_size: 3072,
  intermediate_size: 8192,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null as number | null,
  resid_pdrop: 0,
  attention_dropout: 0,
  hidden_act: 'silu',
  max_position_embeddings: 4096,
  original_max_position_embeddings: 4096,
  initializer_range: 0.02,
  rms_norm_eps: 1e-5,
  bos_token_id: 1,
  eos_token_id: 32000 as number | number[],
  pad_token_id: 32000,
  tie_word_embeddings: false,
  sliding_window: null as number | null,
}

export interface Phi3Config extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of Phi-3. */
export class Phi3Config extends PreTrainedConfig {
  static override readonly model_type: string = 'phi3'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class Phi3Attention extends Module<[x: Tensor, context: Context], Tensor> {
  qkv_proj: Linear
  o_proj: Linear
  private readonly headDim: number
  private readonly kvHeads: number

  constructor(
    private readonly config: Phi3Config,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, num_attention_heads: heads } = config
    const D = headDimOf(config)
    this.headDim = D
    this.kvHeads = config.num_key_value_heads ?? heads
    this.qkv_proj = new Linear(H, (heads + 2 * this.kvHeads) * D, false)
    this.o_proj = new Linear(heads * D, H, false)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { num_attention_heads: heads, sliding_window: window, attention_dropout } = this.config
    const { kvHeads, layer } = this
    const all = splitHeads(this.qkv_proj(x), this.headDim) // (B,Hq+2·Hkv,T,D)
    const q = all.narrow(1, 0, heads)
    const k = all.narrow(1, heads, kvHeads)
    const v = all.narrow(1, heads + kvHeads, kvHeads)
    const { cos, sin } = context.rotary()
    const rotate = (x: Tensor) => F.rotary_embedding(x, cos, sin)
    const dropout_p = this.training ? attention_dropout : 0
    return this.o_proj(attend(rotate(q), rotate(k), v, context, { layer, window, dropout_p })) // (B,T,H)
  }
}

class Phi3MLP extends Module<[x: Tensor], Tensor> {
  gate_up_proj: Linear
  down_proj: Linear
  private readonly act: Activation

  constructor({ hidden_size: H, intermediate_size: I, hidden_act }: Phi3Config) {
    super()
    this.gate_up_proj = new Linear(H, 2 * I, false)
    this.down_proj = new Linear(I, H, false)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    const [gate, up] = this.gate_up_proj(x).chunk(2, -1) // (B,T,I) each
    return this.down_proj(up.mul(this.act(gate))) // (B,T,H)
  }
}

class Phi3DecoderLayer extends LlamaDecoderLayer<Phi3Config> {
  private readonly dropout: number

  constructor(config: Phi3Config, layer: number) {
    super(config, layer)
    this.dropout = config.resid_pdrop
  }

  protected override attention(config: Phi3Config, layer: number) {
    return new Phi3Attention(config, layer)
  }

  protected override feedForward(config: Phi3Config) {
    return new Phi3MLP(config)
  }

  override forward(x: Tensor, context: Context): Tensor {
    const drop = (y: Tensor) => F.dropout(y, this.dropout, this.training)
    const h = x.add(drop(this.self_attn(this.input_layernorm(x), context)))
    return h.add(drop(this.mlp(this.post_attention_layernorm(h)))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class Phi3Model extends LlamaModel<Phi3Config> {
  static override readonly config_class: ConfigClass = Phi3Config

  protected override layer(config: Phi3Config, i: number) {
    return new Phi3DecoderLayer(config, i)
  }
}

/** Phi-3 with a language modeling head. */
export class Phi3ForCausalLM extends LlamaForCausalLM<Phi3Config> {
  static override readonly config_class: ConfigClass = Phi3Config

  protected override decoder(config: Phi3Config) {
    return new Phi3Model(config)
  }

  /** Not beyond the length where LongRoPE changes its frequencies: keys turned by the old ones do not go with queries turned by the new. */
  override keepsCache(past: number, length: number): boolean {
    const { rope_type, original_max_position_embeddings: original = 0 } = ropeParameters(this.config)
    return rope_type !== 'longrope' || past > original || length <= original
  }
}

/** Phi-3 with a linear classifier on the last token that is not padding. */
export class Phi3ForSequenceClassification extends LlamaForSequenceClassification<Phi3Config> {
  static override readonly config_class: ConfigClass = Phi3Config

  protected override decoder(config: Phi3Config) {
    return new Phi3Model(config)
  }
}
