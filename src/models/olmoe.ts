// OLMoE (Muennighoff et al. 2024): Llama with experts in place of MLPs, and norms over all heads' queries and keys together.
import type { Tensor } from '../tensor/tensor.ts'
import { PreTrainedConfig } from './config.ts'
import type { Heads } from './llama.ts'
import type { ConfigClass } from './model.ts'
import { MoeDecoderLayer, MoeForCausalLM, MoeModel, SparseMoe } from './moe.ts'
import { Olmo2Attention } from './olmo2.ts'

const defaults = {
  vocab_size: 50304,
  hidden_size: 2048,
  intermediate_size: 2048,
  num_hidden_layers: 16,
  num_attention_heads: 16,
  num_key_value_heads: null as number | null,
  hidden_act: 'silu',
  max_position_embeddings: 4096,
  initializer_range: 0.02,
  rms_norm_eps: 1e-5,
  pad_token_id: 1,
  eos_token_id: 50279 as number | number[],
  tie_word_embeddings: false,
  attention_bias: false,
  attention_dropout: 0,
  clip_qkv: null as number | null,
  num_experts_per_tok: 8,
  num_experts: 64,
  output_router_logits: false,
  router_aux_loss_coef: 0.01,
  norm_topk_prob: false,
}

export interface OlmoeConfig extends Readonly<Omit<typeof defaults, 'pad_token_id' | 'eos_token_id'>> {}
/** Configuration of OLMoE. */
export class OlmoeConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'olmoe'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class OlmoeAttention extends Olmo2Attention<OlmoeConfig> {
  protected override heads(x: Tensor): Heads {
    const { clip_qkv: most } = this.config
    const { q, k, v } = super.heads(x)
    return most === null ? { q, k, v } : { q: q.clamp(-most, most), k: k.clamp(-most, most), v: v.clamp(-most, most) }
  }
}

class OlmoeDecoderLayer extends MoeDecoderLayer<OlmoeConfig> {
  protected override attention(config: OlmoeConfig, layer: number) {
    return new OlmoeAttention(config, layer)
  }

  protected override feedForward(config: OlmoeConfig) {
    return new SparseMoe(config, config.intermediate_size)
  }
}

/** The decoder without a head. */
export class OlmoeModel extends MoeModel<OlmoeConfig> {
  static override readonly config_class: ConfigClass = OlmoeConfig

  protected override layer(config: OlmoeConfig, i: number) {
    return new OlmoeDecoderLayer(config, i)
  }
}

/** OLMoE with a language modeling head. */
export class OlmoeForCausalLM extends MoeForCausalLM<OlmoeConfig> {
  static override readonly config_class: ConfigClass = OlmoeConfig

  protected override decoder(config: OlmoeConfig) {
    return new OlmoeModel(config)
  }
}
