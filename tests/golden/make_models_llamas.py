"""Writes golden files of small random models whose architectures are Llama's relatives.

    python tests/golden/make_models_llamas.py            (versions and formats: tests/golden/README.md)

Windows are shorter than batches and prompts; `light` models are for further options.
"""

from transformers import (
    GraniteConfig, MistralConfig, Olmo2Config, OlmoeConfig, Phi3Config, Qwen2Config, Qwen2MoeConfig, Qwen3Config, SmolLM3Config, StableLmConfig,
)

from make_models import make

COMMON = dict(vocab_size=59, num_hidden_layers=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def mistral():
    config = lambda **options: MistralConfig(**COMMON | options)
    make("mistral", "MistralForCausalLM", config(  # heads of 8 in a model of 30, windows in each layer
        hidden_size=30, intermediate_size=41, num_attention_heads=6, num_key_value_heads=2, head_dim=8, sliding_window=5,
        tie_word_embeddings=True, rms_norm_eps=1e-3), seed=301, generate=True, attentions=True)
    make("mistral-full", "MistralForCausalLM", config(  # one head of keys, no window
        hidden_size=24, intermediate_size=33, num_attention_heads=4, num_key_value_heads=1, sliding_window=None, hidden_act="gelu",
        pad_token_id=None, rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}),
        seed=302, generate=True, light=True)
    make("mistral-classifier", "MistralForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=2, sliding_window=4, num_labels=3),
        seed=303, light=True)


def qwen2():
    config = lambda **options: Qwen2Config(**COMMON | options)
    make("qwen2", "Qwen2ForCausalLM", config(  # full, full, window
        hidden_size=24, intermediate_size=37, num_attention_heads=3, num_key_value_heads=1, num_hidden_layers=3,
        use_sliding_window=True, sliding_window=4, max_window_layers=2, tie_word_embeddings=True), seed=311, generate=True, attentions=True)
    make("qwen2-yarn", "Qwen2ForCausalLM", config(  # head_dim given, windows not used
        hidden_size=20, intermediate_size=33, num_attention_heads=2, num_key_value_heads=2, head_dim=14, sliding_window=4,
        rope_parameters={"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16}),
        seed=312, generate=True, light=True)
    make("qwen2-classifier", "Qwen2ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=4, num_key_value_heads=2, num_labels=2), seed=313, light=True)


def qwen3():
    config = lambda **options: Qwen3Config(**COMMON | options)
    make("qwen3", "Qwen3ForCausalLM", config(  # heads of 10 in a model of 24
        hidden_size=24, intermediate_size=37, num_attention_heads=4, num_key_value_heads=2, head_dim=10, tie_word_embeddings=True,
        rms_norm_eps=1e-2), seed=321, generate=True, attentions=True)
    make("qwen3-windows", "Qwen3ForCausalLM", config(  # types of layers given, biases, untied
        hidden_size=20, intermediate_size=33, num_attention_heads=3, num_key_value_heads=3, head_dim=6, num_hidden_layers=3, attention_bias=True,
        use_sliding_window=True, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        seed=322, generate=True, light=True)
    make("qwen3-classifier", "Qwen3ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=1, head_dim=12, num_labels=1), seed=323, light=True)


def smollm3():
    config = lambda **options: SmolLM3Config(**COMMON | options)
    make("smollm3", "SmolLM3ForCausalLM", config(  # no positions in layers 2 and 4, which have windows
        hidden_size=24, intermediate_size=29, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=4, no_rope_layer_interval=2,
        use_sliding_window=True, sliding_window=5), seed=331, generate=True, attentions=True)
    make("smollm3-biases", "SmolLM3ForCausalLM", config(  # untied, layers without positions given
        hidden_size=20, intermediate_size=33, num_attention_heads=5, num_key_value_heads=1, no_rope_layers=[0, 1], attention_bias=True,
        mlp_bias=True, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 300.0}),
        seed=332, generate=True, light=True)
    make("smollm3-classifier", "SmolLM3ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=2, num_labels=4), seed=333, light=True)


def granite():
    config = lambda **options: GraniteConfig(**COMMON | options)
    make("granite", "GraniteForCausalLM", config(  # every multiplier its own
        hidden_size=24, intermediate_size=35, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        embedding_multiplier=3.5, attention_multiplier=0.21, residual_multiplier=0.7, logits_scaling=1.8), seed=341, generate=True, attentions=True)
    make("granite-biases", "GraniteForCausalLM", config(
        hidden_size=20, intermediate_size=33, num_attention_heads=2, num_key_value_heads=1, attention_bias=True, mlp_bias=True,
        residual_multiplier=0.22, rope_parameters={"rope_type": "dynamic", "rope_theta": 200.0, "factor": 3.0}, max_position_embeddings=12),
        seed=342, generate=True, light=True)


def olmo2():
    config = lambda **options: Olmo2Config(**COMMON | options)
    make("olmo2", "Olmo2ForCausalLM", config(
        hidden_size=24, intermediate_size=35, num_attention_heads=3, rms_norm_eps=1e-2), seed=351, generate=True, attentions=True)
    make("olmo2-gqa", "Olmo2ForCausalLM", config(  # heads shared, tied, biases
        hidden_size=20, intermediate_size=27, num_attention_heads=5, num_key_value_heads=1, attention_bias=True, tie_word_embeddings=True),
        seed=352, generate=True, light=True)
    make("olmo2-classifier", "Olmo2ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_labels=3), seed=353, light=True)


def phi3():
    config = lambda **options: Phi3Config(**COMMON | options)
    make("phi3", "Phi3ForCausalLM", config(  # half of each head turned, windows
        hidden_size=24, intermediate_size=35, num_attention_heads=3, num_key_value_heads=1, sliding_window=5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.5}), seed=361, generate=True, attentions=True)
    make("phi3-longrope", "Phi3ForCausalLM", config(  # other factors from 10 tokens on: the cache is computed afresh
        hidden_size=32, intermediate_size=25, num_attention_heads=2, num_key_value_heads=2, original_max_position_embeddings=9,
        rope_parameters={"rope_type": "longrope", "rope_theta": 100.0, "partial_rotary_factor": 0.5, "factor": 7.0,
                         "short_factor": [1.0, 1.1, 1.3, 1.7], "long_factor": [1.5, 3.0, 7.0, 9.0]}), seed=362, generate=True, light=True)
    make("phi3-classifier", "Phi3ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_labels=3), seed=363, light=True)


def stablelm():
    config = lambda **options: StableLmConfig(**COMMON | options)
    make("stablelm", "StableLmForCausalLM", config(  # 6 of 12 dimensions turned, one behind the other
        hidden_size=24, intermediate_size=35, num_attention_heads=2, num_key_value_heads=1, layer_norm_eps=1e-2, use_qkv_bias=True,
        qk_layernorm=True, rope_parameters={"rope_type": "default", "rope_theta": 400.0, "partial_rotary_factor": 0.5}),
        seed=372, generate=True, attentions=True)
    make("stablelm-parallel", "StableLmForCausalLM", config(  # a quarter turned, side by side, tied
        hidden_size=32, intermediate_size=25, num_attention_heads=4, num_key_value_heads=4, use_parallel_residual=True,
        tie_word_embeddings=True), seed=372, generate=True, light=True)
    make("stablelm-classifier", "StableLmForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=2, use_parallel_residual=True, qk_layernorm=True,
        num_labels=2), seed=373, light=True)


def qwen2_moe():
    config = lambda **options: Qwen2MoeConfig(**COMMON | options)
    make("qwen2_moe", "Qwen2MoeForCausalLM", config(  # an ordinary MLP first, windows in the first and third layer, the balancing loss
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=3, num_experts=5,
        num_experts_per_tok=2, moe_intermediate_size=9, shared_expert_intermediate_size=13, mlp_only_layers=[0], use_sliding_window=True,
        sliding_window=5, max_window_layers=3, output_router_logits=True, router_aux_loss_coef=0.2), seed=381, generate=True, attentions=True)
    make("qwen2_moe-shares", "Qwen2MoeForCausalLM", config(  # shares that sum to 1, experts in every second layer, no biases, tied
        hidden_size=20, intermediate_size=21, num_attention_heads=2, num_key_value_heads=2, num_experts=4, num_experts_per_tok=3,
        moe_intermediate_size=7, shared_expert_intermediate_size=11, decoder_sparse_step=2, norm_topk_prob=True, qkv_bias=False,
        tie_word_embeddings=True), seed=382, generate=True, light=True)
    make("qwen2_moe-classifier", "Qwen2MoeForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=2, num_hidden_layers=1, num_experts=3,
        num_experts_per_tok=1, moe_intermediate_size=7, shared_expert_intermediate_size=5, num_labels=3), seed=383, light=True)


def olmoe():
    config = lambda **options: OlmoeConfig(**COMMON | options)
    make("olmoe", "OlmoeForCausalLM", config(  # more experts than tokens reach
        hidden_size=16, intermediate_size=7, num_attention_heads=2, num_key_value_heads=1, num_experts=9, num_experts_per_tok=1,
        clip_qkv=0.9, norm_topk_prob=True), seed=391, generate=True, attentions=True)
    make("olmoe-biases", "OlmoeForCausalLM", config(
        hidden_size=16, intermediate_size=9, num_attention_heads=2, num_experts=4, num_experts_per_tok=2, attention_bias=True,
        output_router_logits=True, router_aux_loss_coef=0.5, tie_word_embeddings=True), seed=393, generate=True, light=True)


if __name__ == "__main__":
    for family in (granite, mistral, olmo2, olmoe, phi3, qwen2, qwen2_moe, qwen3, smollm3, stablelm):
        family()
