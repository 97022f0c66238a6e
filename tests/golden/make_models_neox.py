"""Writes golden files of small random models of GPT-NeoX's family: layer norms, fused matrices, attention beside the MLP.

    python tests/golden/make_models_neox.py            (versions and formats: tests/golden/README.md)

Windows are shorter than batches and prompts; `light` models are for further options.
"""

from transformers import FalconConfig, GPTNeoXConfig, PhiConfig, Starcoder2Config

from make_models import legacy_config, make

COMMON = dict(vocab_size=59, num_hidden_layers=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def phi():
    config = lambda **options: PhiConfig(**COMMON | options)
    make("phi", "PhiForCausalLM", config(  # 6 of 10 dimensions of a head turned, norms of queries and keys
        hidden_size=20, intermediate_size=33, num_attention_heads=2, num_key_value_heads=1, qk_layernorm=True, layer_norm_eps=1e-3,
        partial_rotary_factor=0.6), seed=501, generate=True, attentions=True)
    make("phi-tied", "PhiForCausalLM", config(  # half of each head by default, the head's bias beside a tied matrix
        hidden_size=24, intermediate_size=33, num_attention_heads=2, tie_word_embeddings=True, hidden_act="relu", pad_token_id=None,
        rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0, "partial_rotary_factor": 0.5}),
        seed=502, generate=True, light=True)
    make("phi-classifier", "PhiForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_labels=3), seed=503, light=True)


def older_neox(config, config_class):
    """The rotary settings as GPT-NeoX's files spelled them."""
    old = legacy_config(config, config_class)
    old |= {"rotary_pct": old.pop("partial_rotary_factor"), "rotary_emb_base": old.pop("rope_theta")}
    return old


def gpt_neox():
    config = lambda **options: GPTNeoXConfig(**COMMON | options)
    make("gpt-neox", "GPTNeoXForCausalLM", config(  # a quarter of each head turned: one pair of 8
        hidden_size=32, intermediate_size=45, num_attention_heads=4, layer_norm_eps=1e-3), seed=611, generate=True, attentions=True,
        legacy=older_neox, spelled={"lm_head.weight": "embed_out.weight"})
    make("gpt-neox-serial", "GPTNeoXForCausalLM", config(  # one after the other, no biases in attention, tied, all of each head
        hidden_size=18, intermediate_size=25, num_attention_heads=3, use_parallel_residual=False, attention_bias=False,
        tie_word_embeddings=True, hidden_act="gelu_new", pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 300.0, "partial_rotary_factor": 1.0}),
        seed=512, generate=True, light=True, legacy=older_neox)
    make("gpt-neox-classifier", "GPTNeoXForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_labels=2), seed=513, light=True, legacy=older_neox)


def starcoder2():
    config = lambda **options: Starcoder2Config(**COMMON | options)
    make("starcoder2", "Starcoder2ForCausalLM", config(  # a window of 5, one head of keys
        hidden_size=24, intermediate_size=37, num_attention_heads=3, num_key_value_heads=1, sliding_window=5, norm_epsilon=1e-3),
        seed=521, generate=True, attentions=True)
    make("starcoder2-full", "Starcoder2ForCausalLM", config(  # no window, no biases, untied
        hidden_size=20, intermediate_size=29, num_attention_heads=2, num_key_value_heads=2, sliding_window=None, use_bias=False,
        tie_word_embeddings=False, hidden_act="silu", pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 999.0}), seed=522, generate=True, light=True)
    make("starcoder2-classifier", "Starcoder2ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=1, sliding_window=4, num_labels=1),
        seed=523, light=True)


def falcon():
    config = lambda **options: FalconConfig(**COMMON | options)
    make("falcon", "FalconForCausalLM", config(  # as 40B: 6 heads over 2, a norm each for attention and MLP
        hidden_size=36, ffn_hidden_size=41, num_attention_heads=6, num_kv_heads=2, new_decoder_architecture=True, layer_norm_epsilon=1e-3),
        seed=531, generate=True, attentions=True)
    make("falcon-one-norm", "FalconForCausalLM", config(  # as 11B: one norm, biases, untied
        hidden_size=16, ffn_hidden_size=23, num_attention_heads=4, num_kv_heads=4, new_decoder_architecture=True, num_ln_in_parallel_attn=1,
        bias=True, tie_word_embeddings=False, pad_token_id=None), seed=532, generate=True, light=True)
    make("falcon-multi-query", "FalconForCausalLM", config(  # as 7B, by `dynamic` positions
        hidden_size=24, num_attention_heads=3, multi_query=True, activation="relu", max_position_embeddings=12,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 300.0, "factor": 2.0}), seed=533, generate=True, light=True)
    make("falcon-alibi", "FalconForCausalLM", config(  # as RW-1B, one part after the other; slopes that bfloat16 rounds
        hidden_size=24, ffn_hidden_size=29, num_attention_heads=12, multi_query=False, alibi=True, parallel_attn=False, bias=True),
        seed=534, length=13, generate=True)
    make("falcon-alibi-multi-query", "FalconForCausalLM", config(  # beside each other
        hidden_size=20, ffn_hidden_size=27, num_attention_heads=5, alibi=True, num_hidden_layers=1), seed=535, length=13, generate=True, light=True)
    make("falcon-classifier", "FalconForSequenceClassification", config(
        hidden_size=16, num_attention_heads=2, num_labels=3), seed=536, light=True)


if __name__ == "__main__":
    phi()
    gpt_neox()
    starcoder2()
    falcon()
