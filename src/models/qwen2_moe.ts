// Qwen1.5-MoE and Qwen2-MoE (Yang et al. 2024): Qwen2 with experts in place of MLPs, and one more that every token shares.
import { Linear } from '../nn/layers.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { AttentionOptions, Context } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { LlamaAttention, LlamaForSequenceClassification, LlamaMLP, windowOf } from './llama.ts'
import type { ConfigClass } from './model.ts'
import { MoeDecoderLayer, MoeForCausalLM, MoeModel, SparseMoe } from './moe.ts'

const defaults = {
  vocab_size: 151936,
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  num_key_value_heads: 16 as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 32768,
  initializer_range: 0.02,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  use_sliding_window: false,
  sliding_window: 4096 as number | null,
  max_window_layers: 28,
  layer_types: null as readonly string[] | null,
  attention_dropout: 0,
  qkv_bias: true,
  decoder_sparse_step: 1,
  moe_intermediate_size: 1408,
  shared_expert_intermediate_size: 5632,
  num_experts_per_tok: 4,
  num_experts: 60,
  norm_topk_prob: false,
  output_router_logits: false,
  router_aux_loss_coef: 0.001,
  mlp_only_layers: null as readonly number[] | null,
}

export interface Qwen2MoeConfig extends Readonly<Omit<typeof defaults, 'mlp_only_layers'>> {
  /** Layers with an ordinary MLP, besides those that `decoder_sparse_step` leaves out. */
  readonly mlp_only_layers: readonly number[]
}
/** Configuration of Qwen2-MoE. `layer_types` not given are those that `use_sliding_window` and `max_window_layers` mean. */
export class Qwen2MoeConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'qwen2_moe'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    const { num_hidden_layers: length, max_window_layers, use_sliding_window } = this
    if (!this.mlp_only_layers) this.derive({ mlp_only_layers: [] })
    if (!use_sliding_window) this.derive({ sliding_window: 0 })
    if (!this.layer_types)
      this.derive({
        layer_types: Array.from({ length }, (_, i) =>
          use_sliding_window && i % 2 === 0 && i < max_window_layers ? 'sliding_attention' : 'full_attention',
        ),
      })
  }
}

class Qwen2MoeAttention extends LlamaAttention<Qwen2MoeConfig> {
  protected override biases({ qkv_bias: qkv }: Qwen2MoeConfig) {
    return { qkv, out: false }
  }

  protected override options(): AttentionOptions {
    return { ...super.options(), window: windowOf(this.config, this.layer) }
  }
}

class Qwen2MoeSparseMoeBlock extends SparseMoe {
  shared_expert: LlamaMLP
  shared_expert_gate: Linear

  constructor(config: Qwen2MoeConfig) {
    super(config, config.moe_intermediate_size)
    const { hidden_size, hidden_act, shared_expert_intermediate_size: intermediate_size } = config
    this.shared_expert = new LlamaMLP({ hidden_size, intermediate_size, hidden_act })
    this.shared_expert_gate = new Linear(hidden_size, 1, false)
  }

  override forward(x: Tensor, context?: Context): Tensor {
    const shared = this.shared_expert(x).mul(this.shared_expert_gate(x).sigmoid())
    return super.forward(x, context).add(shared) // (B,T,H)
  }
}

class Qwen2MoeDecoderLayer extends MoeDecoderLayer<Qwen2MoeConfig> {
  protected override attention(config: Qwen2MoeConfig, layer: number) {
    return new Qwen2MoeAttention(config, layer)
  }

  protected override feedForward(config: Qwen2MoeConfig, layer: number) {
    const sparse = !config.mlp_only_layers.includes(layer) && (layer + 1) % config.decoder_sparse_step === 0
    return sparse ? new Qwen2MoeSparseMoeBlock(config) : new LlamaMLP(config)
  }
}

/** The decoder without a head. */
export class Qwen2MoeModel extends MoeModel<Qwen2MoeConfig> {
  static override readonly config_class: ConfigClass = Qwen2MoeConfig

  protected override layer(config: Qwen2MoeConfig, i: number) {
    return new Qwen2MoeDecoderLayer(config, i)
  }
}

/** Qwen2-MoE with a language modeling head. */
export class Qwen2MoeForCausalLM extends MoeForCausalLM<Qwen2MoeConfig> {
  static override readonly config_class: ConfigClass = Qwen2MoeConfig

  protected override decoder(config: Qwen2MoeConfig) {
    return new Qwen2MoeModel(config)
  }
}

/** Qwen2-MoE with a linear classifier on the last token that is not padding. */
export class Qwen2MoeForSequenceClassification extends LlamaForSequenceClassification<Qwen2MoeConfig> {
  static override readonly config_class: ConfigClass = Qwen2MoeConfig

  protected override decoder(config: Qwen2MoeConfig) {
    return new Qwen2MoeModel(config)
  }
}
