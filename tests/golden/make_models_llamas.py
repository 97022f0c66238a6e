"""Writes golden files of small random models whose architectures are Llama's relatives.

    python tests/golden/make_models_llamas.py            (versions and formats: tests/golden/README.md)

Windows are shorter than batches and prompts; `light` models are for further options.
"""

from transformers import MistralConfig, Qwen2Config, Qwen3Config, SmolLM3Config

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


if __name__ == "__main__":
    for family in (mistral, qwen2, qwen3, smollm3):
        family()
