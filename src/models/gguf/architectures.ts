// The architectures of GGUF files: their names of weights beside the checkpoint's, what the converter did, and how their metadata
// reads as a config.json. What llama.cpp takes for granted (activations, which layers have windows) is said where a config can differ.
import { unsupported } from '../../util/errors.ts'
import type { Metadata } from './metadata.ts'
import { ropeOf } from './rope.ts'
import {
  channels,
  interleavedHalves,
  negativeExp,
  outByIn,
  plusOne,
  qkvByGroups,
  qkvByHeads,
  type Undo,
} from './undo.ts'

type Names = Readonly<Record<string, string>>

export interface GgufArchitecture {
  model_type: string
  /**
   * The checkpoint's name of each of the file's, without `.weight` and `.bias` where it has one of these. `{}` stands for the layer,
   * `{i}` for one of the parts that lie stacked in the file and apart in the checkpoint, `{q,k,v}` for parts of as many rows each.
   */
  names: Names | ((metadata: Metadata) => Names)
  /** What is to be undone, by the file's names. */
  undo?: Readonly<Record<string, Undo>>
  config(metadata: Metadata): Promise<Record<string, unknown>>
}

/** Tensors that are read as part of the config. */
export const SETTINGS: readonly string[] = [
  'rope_freqs.weight',
  'rope_factors_long.weight',
  'rope_factors_short.weight',
]

// ---- what many have in common

const ENDS = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
}
const ATTENTION = {
  'blk.attn_q': 'model.layers.{}.self_attn.q_proj',
  'blk.attn_k': 'model.layers.{}.self_attn.k_proj',
  'blk.attn_v': 'model.layers.{}.self_attn.v_proj',
  'blk.attn_output': 'model.layers.{}.self_attn.o_proj',
}
const HEAD_NORMS = {
  'blk.attn_q_norm': 'model.layers.{}.self_attn.q_norm',
  'blk.attn_k_norm': 'model.layers.{}.self_attn.k_norm',
}
const NORMS_BEFORE = {
  'blk.attn_norm': 'model.layers.{}.input_layernorm',
  'blk.ffn_norm': 'model.layers.{}.post_attention_layernorm',
}
const GATED_MLP = {
  'blk.ffn_gate': 'model.layers.{}.mlp.gate_proj',
  'blk.ffn_up': 'model.layers.{}.mlp.up_proj',
  'blk.ffn_down': 'model.layers.{}.mlp.down_proj',
}
const LLAMA = { ...ENDS, ...ATTENTION, ...NORMS_BEFORE, ...GATED_MLP }
/** Norms before and after both halves of a layer. */
const NORMS_AROUND = {
  'blk.attn_norm': 'model.layers.{}.input_layernorm',
  'blk.post_attention_norm': 'model.layers.{}.post_attention_layernorm',
  'blk.ffn_norm': 'model.layers.{}.pre_feedforward_layernorm',
  'blk.post_ffw_norm': 'model.layers.{}.post_feedforward_layernorm',
}
const EXPERTS = {
  'blk.ffn_gate_inp': 'model.layers.{}.mlp.gate',
  'blk.ffn_gate_exps': 'model.layers.{}.mlp.experts.{i}.gate_proj',
  'blk.ffn_up_exps': 'model.layers.{}.mlp.experts.{i}.up_proj',
  'blk.ffn_down_exps': 'model.layers.{}.mlp.experts.{i}.down_proj',
}
const PERMUTED = {
  'blk.attn_q': interleavedHalves('head_count'),
  'blk.attn_k': interleavedHalves('head_count_kv'),
}
const ALL_PLUS_ONE = Object.fromEntries(
  ['output_norm', ...Object.keys(NORMS_AROUND), ...Object.keys(HEAD_NORMS)].map((name) => [name, plusOne]),
)
/** Names after the pattern of `transformer.h`. */
const BLOOM_LAYERS = {
  'blk.attn_norm': 'transformer.h.{}.input_layernorm',
  'blk.attn_qkv': 'transformer.h.{}.self_attention.query_key_value',
  'blk.attn_output': 'transformer.h.{}.self_attention.dense',
  'blk.ffn_norm': 'transformer.h.{}.post_attention_layernorm',
  'blk.ffn_up': 'transformer.h.{}.mlp.dense_h_to_4h',
  'blk.ffn_down': 'transformer.h.{}.mlp.dense_4h_to_h',
  token_embd: 'transformer.word_embeddings',
  output_norm: 'transformer.ln_f',
  output: 'lm_head',
}

/** Sizes of a decoder whose config spells them as Llama's does, and its rotary settings. */
async function decoder(m: Metadata): Promise<Record<string, unknown>> {
  const heads = m.number('attention.head_count')
  const hidden_size = m.number('embedding_length')
  return {
    hidden_size,
    intermediate_size: m.number('feed_forward_length'),
    num_hidden_layers: m.layers,
    num_attention_heads: heads,
    num_key_value_heads: m.number('attention.head_count_kv', heads),
    max_position_embeddings: m.number('context_length'),
    rope_parameters: await ropeOf(m, headDim(m)),
    tie_word_embeddings: !m.has('output.weight'),
  }
}

/** The same with RMS norms. */
async function rmsDecoder(m: Metadata): Promise<Record<string, unknown>> {
  return { ...(await decoder(m)), rms_norm_eps: m.number('attention.layer_norm_rms_epsilon') }
}

function headDim(m: Metadata): number {
  return m.number('attention.key_length', m.number('embedding_length') / m.number('attention.head_count'))
}

/** What Gemma 2 divides attention's scores by the root of: llama.cpp knows the largest models by their layers. */
function queryScalar(m: Metadata, largest: number): number {
  const wide = m.layers === largest
  return wide ? m.number('embedding_length') / m.number('attention.head_count') : headDim(m)
}

const layers = <T>(m: Metadata, of: (layer: number) => T): T[] => Array.from({ length: m.layers }, (_, i) => of(i))

const llama: GgufArchitecture = {
  model_type: 'llama',
  names: LLAMA,
  undo: PERMUTED,
  config: async (m) => ({
    ...(await rmsDecoder(m)),
    head_dim: headDim(m),
    attention_bias: m.has('blk.0.attn_q.bias'),
    mlp_bias: m.has('blk.0.ffn_gate.bias'),
  }),
}

/** By llama.cpp's names. */
export const GGUF_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama, // Mistral too, which is the same without a window

  granite: {
    ...llama,
    model_type: 'granite',
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      attention_bias: m.has('blk.0.attn_q.bias'),
      mlp_bias: m.has('blk.0.ffn_gate.bias'),
      attention_multiplier: m.number('attention.scale', 1),
      embedding_multiplier: m.number('embedding_scale', 1),
      residual_multiplier: m.number('residual_scale', 1),
      logits_scaling: m.number('logit_scale', 1),
    }),
  },

  smollm3: {
    ...llama,
    model_type: 'smollm3',
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      attention_bias: m.has('blk.0.attn_q.bias'),
      mlp_bias: m.has('blk.0.ffn_gate.bias'),
      no_rope_layers: layers(m, (i) => Number((i + 1) % 4 !== 0)),
      no_rope_layer_interval: 4,
    }),
  },

  qwen2: { model_type: 'qwen2', names: LLAMA, config: rmsDecoder },

  qwen3: {
    model_type: 'qwen3',
    names: { ...LLAMA, ...HEAD_NORMS },
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      head_dim: headDim(m),
      attention_bias: m.has('blk.0.attn_q.bias'),
    }),
  },

  qwen2moe: {
    model_type: 'qwen2_moe',
    names: {
      ...LLAMA,
      ...EXPERTS,
      'blk.ffn_gate_inp_shexp': 'model.layers.{}.mlp.shared_expert_gate',
      'blk.ffn_gate_shexp': 'model.layers.{}.mlp.shared_expert.gate_proj',
      'blk.ffn_up_shexp': 'model.layers.{}.mlp.shared_expert.up_proj',
      'blk.ffn_down_shexp': 'model.layers.{}.mlp.shared_expert.down_proj',
    },
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      num_experts: m.number('expert_count'),
      num_experts_per_tok: m.number('expert_used_count'),
      moe_intermediate_size: m.shape('blk.0.ffn_down_exps.weight')[2],
      shared_expert_intermediate_size: m.shape('blk.0.ffn_down_shexp.weight')[1],
      norm_topk_prob: false,
      decoder_sparse_step: 1,
      mlp_only_layers: [],
    }),
  },

  olmoe: {
    model_type: 'olmoe',
    names: { ...LLAMA, ...HEAD_NORMS, ...EXPERTS },
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      num_experts: m.number('expert_count'),
      num_experts_per_tok: m.number('expert_used_count'),
      norm_topk_prob: false,
      attention_bias: m.has('blk.0.attn_q.bias'),
    }),
  },

  olmo2: {
    model_type: 'olmo2',
    names: { ...ENDS, ...ATTENTION, ...HEAD_NORMS, ...GATED_MLP, ...NORMS_AROUND },
    async config(m) {
      if (m.value('attention.sliding_window') !== undefined)
        throw unsupported(m.file, 'olmo2.attention.sliding_window', m.value('attention.sliding_window'), [
          'none (OLMo 2)',
        ])
      return { ...(await rmsDecoder(m)), attention_bias: m.has('blk.0.attn_q.bias') }
    },
  },

  gemma: {
    model_type: 'gemma',
    names: LLAMA,
    undo: ALL_PLUS_ONE,
    config: async (m) => ({ ...(await rmsDecoder(m)), head_dim: headDim(m) }),
  },

  gemma2: {
    model_type: 'gemma2',
    names: { ...ENDS, ...ATTENTION, ...GATED_MLP, ...NORMS_AROUND },
    undo: ALL_PLUS_ONE,
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      head_dim: headDim(m),
      query_pre_attn_scalar: queryScalar(m, 46),
      attn_logit_softcapping: m.optional('attn_logit_softcapping') ?? null,
      final_logit_softcapping: m.optional('final_logit_softcapping') ?? null,
      sliding_window: m.number('attention.sliding_window', 4096),
      layer_types: layers(m, (i) => (i % 2 === 0 ? 'sliding_attention' : 'full_attention')),
    }),
  },

  gemma3: {
    model_type: 'gemma3_text',
    names: { ...ENDS, ...ATTENTION, ...HEAD_NORMS, ...GATED_MLP, ...NORMS_AROUND },
    undo: ALL_PLUS_ONE,
    async config(m) {
      const { rope_parameters, ...rest } = await rmsDecoder(m)
      const window = m.optional('attention.sliding_window')
      const period = window === undefined ? 1 : m.number('attention.sliding_window_pattern', 6)
      return {
        ...rest,
        head_dim: headDim(m),
        query_pre_attn_scalar: queryScalar(m, 62),
        final_logit_softcapping: m.optional('final_logit_softcapping') ?? null,
        sliding_window: window ?? null,
        layer_types: layers(m, (i) => ((i + 1) % period ? 'sliding_attention' : 'full_attention')),
        rope_parameters: {
          full_attention: rope_parameters,
          sliding_attention: { rope_type: 'default', rope_theta: m.number('rope.freq_base_swa', 10000) },
        },
      }
    },
  },

  phi2: {
    model_type: 'phi',
    names: {
      ...ENDS,
      ...ATTENTION,
      output_norm: 'model.final_layernorm',
      'blk.attn_norm': 'model.layers.{}.input_layernorm',
      'blk.attn_qkv': 'model.layers.{}.self_attn.{q,k,v}_proj', // of early files
      'blk.attn_output': 'model.layers.{}.self_attn.dense',
      'blk.ffn_up': 'model.layers.{}.mlp.fc1',
      'blk.ffn_down': 'model.layers.{}.mlp.fc2',
    },
    config: async (m) => ({ ...(await decoder(m)), layer_norm_eps: m.number('attention.layer_norm_epsilon') }),
  },

  phi3: {
    model_type: 'phi3',
    names: {
      ...ENDS,
      ...NORMS_BEFORE,
      'blk.attn_qkv': 'model.layers.{}.self_attn.qkv_proj',
      'blk.attn_output': 'model.layers.{}.self_attn.o_proj',
      'blk.ffn_up': 'model.layers.{}.mlp.gate_up_proj',
      'blk.ffn_down': 'model.layers.{}.mlp.down_proj',
    },
    config: async (m) => ({
      ...(await rmsDecoder(m)),
      original_max_position_embeddings: m.number('rope.scaling.original_context_length', m.number('context_length')),
      sliding_window: m.number('attention.sliding_window', 0) || null,
    }),
  },

  stablelm: {
    model_type: 'stablelm',
    names: {
      ...LLAMA,
      'blk.attn_q_norm': 'model.layers.{}.self_attn.q_layernorm.norms.{i}',
      'blk.attn_k_norm': 'model.layers.{}.self_attn.k_layernorm.norms.{i}',
    },
    config: async (m) => ({
      ...(await decoder(m)),
      layer_norm_eps: m.number('attention.layer_norm_epsilon'),
      use_parallel_residual: m.flag('use_parallel_residual', !m.has('blk.0.ffn_norm.weight')),
      use_qkv_bias: m.has('blk.0.attn_q.bias'),
      qk_layernorm: m.has('blk.0.attn_q_norm.weight'),
    }),
  },

  starcoder2: {
    model_type: 'starcoder2',
    names: {
      ...ENDS,
      ...ATTENTION,
      ...NORMS_BEFORE,
      'blk.ffn_up': 'model.layers.{}.mlp.c_fc',
      'blk.ffn_down': 'model.layers.{}.mlp.c_proj',
    },
    config: async (m) => ({
      ...(await decoder(m)),
      norm_epsilon: m.number('attention.layer_norm_epsilon'),
      use_bias: m.has('blk.0.attn_q.bias'),
      sliding_window: m.optional('attention.sliding_window') ?? null,
    }),
  },

  gpt2: {
    model_type: 'gpt2',
    names: {
      token_embd: 'transformer.wte',
      position_embd: 'transformer.wpe',
      output_norm: 'transformer.ln_f',
      output: 'lm_head',
      'blk.attn_norm': 'transformer.h.{}.ln_1',
      'blk.attn_qkv': 'transformer.h.{}.attn.c_attn',
      'blk.attn_output': 'transformer.h.{}.attn.c_proj',
      'blk.ffn_norm': 'transformer.h.{}.ln_2',
      'blk.ffn_up': 'transformer.h.{}.mlp.c_fc',
      'blk.ffn_down': 'transformer.h.{}.mlp.c_proj',
    },
    undo: { 'blk.attn_qkv': outByIn, 'blk.attn_output': outByIn, 'blk.ffn_up': outByIn, 'blk.ffn_down': outByIn },
    config: async (m) => ({
      n_embd: m.number('embedding_length'),
      n_layer: m.layers,
      n_head: m.number('attention.head_count'),
      n_positions: m.number('context_length'),
      n_inner: m.number('feed_forward_length'),
      layer_norm_epsilon: m.number('attention.layer_norm_epsilon'),
      tie_word_embeddings: !m.has('output.weight'),
    }),
  },

  gptneox: {
    model_type: 'gpt_neox',
    names: {
      token_embd: 'gpt_neox.embed_in',
      output_norm: 'gpt_neox.final_layer_norm',
      output: 'embed_out',
      'blk.attn_norm': 'gpt_neox.layers.{}.input_layernorm',
      'blk.attn_qkv': 'gpt_neox.layers.{}.attention.query_key_value',
      'blk.attn_output': 'gpt_neox.layers.{}.attention.dense',
      'blk.ffn_norm': 'gpt_neox.layers.{}.post_attention_layernorm',
      'blk.ffn_up': 'gpt_neox.layers.{}.mlp.dense_h_to_4h',
      'blk.ffn_down': 'gpt_neox.layers.{}.mlp.dense_4h_to_h',
    },
    undo: { 'blk.attn_qkv': qkvByHeads },
    async config(m) {
      const { num_key_value_heads: _, ...rest } = await decoder(m)
      return {
        ...rest,
        layer_norm_eps: m.number('attention.layer_norm_epsilon'),
        use_parallel_residual: m.flag('use_parallel_residual', true),
        attention_bias: m.has('blk.0.attn_qkv.bias'),
      }
    },
  },

  bloom: {
    model_type: 'bloom',
    names: { ...BLOOM_LAYERS, token_embd_norm: 'transformer.word_embeddings_layernorm' },
    undo: { 'blk.attn_qkv': qkvByHeads },
    config: async (m) => ({
      hidden_size: m.number('embedding_length'),
      n_layer: m.layers,
      n_head: m.number('attention.head_count'),
      layer_norm_epsilon: m.number('attention.layer_norm_epsilon'),
      seq_length: m.number('context_length'),
      tie_word_embeddings: !m.has('output.weight'),
    }),
  },

  falcon: {
    model_type: 'falcon',
    // The larger models have a norm for each half of a layer.
    names: (m) =>
      m.has('blk.0.attn_norm_2.weight')
        ? {
            ...BLOOM_LAYERS,
            'blk.attn_norm': 'transformer.h.{}.ln_mlp',
            'blk.attn_norm_2': 'transformer.h.{}.ln_attn',
          }
        : BLOOM_LAYERS,
    undo: { 'blk.attn_qkv': qkvByGroups },
    async config(m) {
      const heads = m.number('attention.head_count')
      const groups = m.number('attention.head_count_kv', 1)
      return {
        hidden_size: m.number('embedding_length'),
        num_hidden_layers: m.layers,
        num_attention_heads: heads,
        num_kv_heads: groups === 1 ? heads : groups, // of one head for all, Python's config says so by multi_query
        multi_query: true,
        new_decoder_architecture: groups > 1,
        num_ln_in_parallel_attn: groups > 1 ? (m.has('blk.0.attn_norm_2.weight') ? 2 : 1) : null,
        parallel_attn: true,
        alibi: false,
        bias: m.has('blk.0.attn_qkv.bias'),
        layer_norm_epsilon: m.number('attention.layer_norm_epsilon'),
        max_position_embeddings: m.number('context_length'),
        rope_parameters: await ropeOf(m, headDim(m)),
        tie_word_embeddings: !m.has('output.weight'),
      }
    },
  },

  lfm2: {
    model_type: 'lfm2',
    names: {
      ...ATTENTION,
      token_embd: 'model.embed_tokens',
      token_embd_norm: 'model.embedding_norm',
      output_norm: 'model.embedding_norm',
      output: 'lm_head',
      'blk.attn_norm': 'model.layers.{}.operator_norm',
      'blk.ffn_norm': 'model.layers.{}.ffn_norm',
      'blk.attn_output': 'model.layers.{}.self_attn.out_proj',
      'blk.attn_q_norm': 'model.layers.{}.self_attn.q_layernorm',
      'blk.attn_k_norm': 'model.layers.{}.self_attn.k_layernorm',
      'blk.shortconv.conv': 'model.layers.{}.conv.conv',
      'blk.shortconv.in_proj': 'model.layers.{}.conv.in_proj',
      'blk.shortconv.out_proj': 'model.layers.{}.conv.out_proj',
      'blk.ffn_gate': 'model.layers.{}.feed_forward.w1',
      'blk.ffn_down': 'model.layers.{}.feed_forward.w2',
      'blk.ffn_up': 'model.layers.{}.feed_forward.w3',
    },
    undo: { 'blk.shortconv.conv': channels },
    async config(m) {
      const count = m.layers
      const heads = m.perLayer('attention.head_count_kv', count)
      return {
        hidden_size: m.number('embedding_length'),
        intermediate_size: m.number('feed_forward_length'),
        block_auto_adjust_ff_dim: false, // that is the adjusted size
        num_hidden_layers: count,
        num_attention_heads: m.number('attention.head_count'),
        num_key_value_heads: Math.max(...heads),
        layer_types: heads.map((n) => (n === 0 ? 'conv' : 'full_attention')),
        conv_L_cache: m.number('shortconv.l_cache'),
        conv_bias: m.has('blk.0.shortconv.conv.bias'),
        max_position_embeddings: m.number('context_length'),
        norm_eps: m.number('attention.layer_norm_rms_epsilon'),
        rope_parameters: await ropeOf(m, headDim(m)),
        tie_word_embeddings: !m.has('output.weight'),
      }
    },
  },

  mamba: {
    model_type: 'mamba',
    names: {
      token_embd: 'backbone.embeddings',
      output_norm: 'backbone.norm_f',
      output: 'lm_head',
      'blk.attn_norm': 'backbone.layers.{}.norm',
      'blk.ssm_a': 'backbone.layers.{}.mixer.A_log',
      'blk.ssm_d': 'backbone.layers.{}.mixer.D',
      'blk.ssm_in': 'backbone.layers.{}.mixer.in_proj',
      'blk.ssm_out': 'backbone.layers.{}.mixer.out_proj',
      'blk.ssm_x': 'backbone.layers.{}.mixer.x_proj',
      'blk.ssm_dt': 'backbone.layers.{}.mixer.dt_proj',
      'blk.ssm_conv1d': 'backbone.layers.{}.mixer.conv1d',
    },
    undo: { 'blk.ssm_a': negativeExp, 'blk.ssm_conv1d': channels },
    config: async (m) => ({
      hidden_size: m.number('embedding_length'),
      num_hidden_layers: m.layers,
      intermediate_size: m.number('ssm.inner_size'),
      expand: m.number('ssm.inner_size') / m.number('embedding_length'),
      state_size: m.number('ssm.state_size'),
      conv_kernel: m.number('ssm.conv_kernel'),
      time_step_rank: m.number('ssm.time_step_rank'),
      layer_norm_epsilon: m.number('attention.layer_norm_rms_epsilon'),
      use_bias: m.has('blk.0.ssm_in.bias'),
      use_conv_bias: m.has('blk.0.ssm_conv1d.bias'),
      tie_word_embeddings: !m.has('output.weight'),
    }),
  },

  bert: {
    model_type: 'bert',
    names: {
      token_embd: 'embeddings.word_embeddings',
      token_types: 'embeddings.token_type_embeddings',
      position_embd: 'embeddings.position_embeddings',
      token_embd_norm: 'embeddings.LayerNorm',
      'blk.attn_q': 'encoder.layer.{}.attention.self.query',
      'blk.attn_k': 'encoder.layer.{}.attention.self.key',
      'blk.attn_v': 'encoder.layer.{}.attention.self.value',
      'blk.attn_output': 'encoder.layer.{}.attention.output.dense',
      'blk.attn_output_norm': 'encoder.layer.{}.attention.output.LayerNorm',
      'blk.ffn_up': 'encoder.layer.{}.intermediate.dense',
      'blk.ffn_down': 'encoder.layer.{}.output.dense',
      'blk.layer_output_norm': 'encoder.layer.{}.output.LayerNorm',
    },
    config: async (m) => ({
      hidden_size: m.number('embedding_length'),
      intermediate_size: m.number('feed_forward_length'),
      num_hidden_layers: m.layers,
      num_attention_heads: m.number('attention.head_count'),
      max_position_embeddings: m.number('context_length'),
      layer_norm_eps: m.number('attention.layer_norm_epsilon'),
      type_vocab_size: m.shape('token_types.weight')[0],
    }),
  },
}
