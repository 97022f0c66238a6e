"""Writes golden files of small random Gemmas.

    python tests/golden/make_models_gemma.py            (versions and formats: tests/golden/README.md)

Windows are shorter than batches and prompts; `light` models are for further options.
"""

from transformers import Gemma2Config, Gemma3TextConfig, GemmaConfig

from make_models import legacy_config, make

COMMON = dict(vocab_size=61, num_hidden_layers=2, max_position_embeddings=64, bos_token_id=2, eos_token_id=1, pad_token_id=0)


def gemma():
    config = lambda **options: GemmaConfig(**COMMON | options)
    make("gemma", "GemmaForCausalLM", config(  # heads of 10 in a model of 24, one of keys; gelu means its approximation
        hidden_size=24, intermediate_size=37, num_attention_heads=4, num_key_value_heads=1, head_dim=10, rms_norm_eps=1e-3),
        seed=401, generate=True, attentions=True, legacy=lambda c, kind: legacy_config(c, kind) | {"hidden_act": "gelu"})
    make("gemma-biases", "GemmaForCausalLM", config(  # untied
        hidden_size=20, intermediate_size=31, num_attention_heads=3, num_key_value_heads=3, head_dim=6, attention_bias=True,
        tie_word_embeddings=False, hidden_act="silu", rope_parameters={"rope_type": "linear", "rope_theta": 300.0, "factor": 2.0}),
        seed=402, generate=True, light=True)
    make("gemma-classifier", "GemmaForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=1, head_dim=8, num_labels=3), seed=403, light=True)


def gemma2():
    config = lambda **options: Gemma2Config(**COMMON | dict(layer_types=None) | options)
    make("gemma2", "Gemma2ForCausalLM", config(  # caps that bite, window, all, window
        hidden_size=24, intermediate_size=37, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=3, head_dim=10, sliding_window=4,
        query_pre_attn_scalar=7, attn_logit_softcapping=2.0, final_logit_softcapping=9.0, rms_norm_eps=1e-3),
        seed=411, generate=True, attentions=True)
    make("gemma2-uncapped", "Gemma2ForCausalLM", config(  # neither caps nor windows, biases
        hidden_size=18, intermediate_size=25, num_attention_heads=3, num_key_value_heads=1, head_dim=8, attn_logit_softcapping=None,
        final_logit_softcapping=None, attention_bias=True, tie_word_embeddings=False, hidden_activation="relu",
        layer_types=["full_attention", "full_attention"]), seed=412, generate=True, light=True)
    make("gemma2-classifier", "Gemma2ForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=1, head_dim=8, sliding_window=5, num_labels=2,
        query_pre_attn_scalar=8), seed=413, light=True)


def older_gemma3(config, config_class):
    """As the first Gemma 3's: two bases and the scaling of full attention beside each other, windows by a period."""
    old = dict(config)
    rope = old.pop("rope_parameters")
    full, window = dict(rope["full_attention"]), rope["sliding_attention"]
    assert window["rope_type"] == "default"
    old |= {"rope_theta": full.pop("rope_theta"), "rope_local_base_freq": window["rope_theta"]}
    old["rope_scaling"] = None if full["rope_type"] == "default" else full
    types = old.pop("layer_types")
    period = types.index("full_attention") + 1
    old |= {"sliding_window_pattern": period, "torch_dtype": old.pop("dtype"), "transformers_version": "4.50.0"}
    assert config_class.from_dict(dict(old)).layer_types == types
    return old


def gemma3():
    config = lambda **options: Gemma3TextConfig(**COMMON | dict(layer_types=None) | options)
    rope = lambda full, window, **more: {
        "full_attention": {"rope_type": "default", "rope_theta": full, **more},
        "sliding_attention": {"rope_type": "default", "rope_theta": window}}
    make("gemma3", "Gemma3ForCausalLM", config(  # window, window, all, window; positions squeezed where all is seen
        hidden_size=20, intermediate_size=29, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=4, head_dim=6, sliding_window=4,
        query_pre_attn_scalar=5, sliding_window_pattern=3, rope_parameters=rope(5000.0, 50.0, rope_type="linear", factor=4.0)),
        seed=421, generate=True, attentions=True, legacy=older_gemma3)
    make("gemma3-capped", "Gemma3ForCausalLM", config(  # a cap on the logits, biases, untied, one head of keys
        hidden_size=16, intermediate_size=23, num_attention_heads=2, num_key_value_heads=1, head_dim=10, sliding_window=6,
        query_pre_attn_scalar=10, final_logit_softcapping=7.5, attention_bias=True, tie_word_embeddings=False, pad_token_id=None,
        layer_types=["full_attention", "sliding_attention"], sliding_window_pattern=1, rope_parameters=rope(700.0, 30.0)),
        seed=422, generate=True, light=True, legacy=lambda c, kind: c)
    make("gemma3-classifier", "Gemma3TextForSequenceClassification", config(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=1, head_dim=8, sliding_window=5, num_labels=2,
        query_pre_attn_scalar=8, sliding_window_pattern=2), seed=423, light=True, legacy=older_gemma3)


if __name__ == "__main__":
    gemma()
    gemma2()
    gemma3()
