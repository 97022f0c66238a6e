"""Writes golden files of small random models without rotary positions: GPT-2 and its relatives, OPT, BLOOM, DistilBERT.

    python tests/golden/make_models_gpt.py            (versions and formats: tests/golden/README.md)

Windows are shorter than batches and prompts; `light` models are for further options.
"""

import sys

from transformers import BloomConfig, DistilBertConfig, GPT2Config, GPTNeoConfig, OPTConfig

import make_models

COMMON = dict(vocab_size=59, bos_token_id=1, eos_token_id=2, pad_token_id=0)
def make(*args, seed, **options):
    """The first seed from this one on whose greedy text has no near ties."""
    for attempt in range(seed, seed + 60):
        try:
            return make_models.make(*args, seed=attempt, legacy=legacy, **options)
        except AssertionError as error:
            if "near tie" not in str(error):
                raise
    raise AssertionError(f"{args[0]}: near ties for every seed")


legacy = lambda config, *_: {k: v for k, v in config.items() if k != "dtype"} | {"torch_dtype": config.get("dtype", "float32"), "transformers_version": "4.38.0"}


def gpt2():
    quiet = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, summary_first_dropout=0.0)
    config = lambda **options: GPT2Config(**COMMON | quiet | dict(n_layer=2, n_positions=48) | options)
    make("gpt2", "GPT2LMHeadModel", config(n_embd=24, n_head=3, n_inner=37, layer_norm_epsilon=1e-3, scale_attn_by_inverse_layer_idx=True),
        seed=701, generate=True, attentions=True)
    make("gpt2-unscaled", "GPT2LMHeadModel", config(n_embd=20, n_head=5, scale_attn_weights=False, activation_function="relu",
        tie_word_embeddings=False, pad_token_id=None), seed=702, generate=True, light=True)
    make("gpt2-classifier", "GPT2ForSequenceClassification", config(n_embd=16, n_head=2, num_labels=3), seed=703, light=True)


def gpt_neo():
    config = lambda **options: GPTNeoConfig(**COMMON | dict(max_position_embeddings=48, classifier_dropout=0.0) | options)
    make("gpt-neo", "GPTNeoForCausalLM", config(hidden_size=24, num_heads=3, num_layers=3, attention_types=[[["global", "local"], 1], [["local"], 1]],
        window_size=5, intermediate_size=37), seed=718, generate=True, attentions=True)
    make("gpt-neo-global", "GPTNeoForCausalLM", config(hidden_size=20, num_heads=2, num_layers=2, attention_types=[[["global"], 2]],
        activation_function="relu", tie_word_embeddings=False, pad_token_id=None), seed=712, generate=True, light=True)
    make("gpt-neo-classifier", "GPTNeoForSequenceClassification", config(hidden_size=16, num_heads=2, num_layers=2,
        attention_types=[[["global", "local"], 1]], window_size=3, num_labels=2), seed=713, light=True)


def bloom():
    config = lambda **options: BloomConfig(**COMMON | dict(n_layer=2) | options)
    make("bloom", "BloomForCausalLM", config(hidden_size=30, n_head=5), seed=728, generate=True, attentions=True)
    make("bloom-behind", "BloomForCausalLM", config(hidden_size=24, n_head=4, apply_residual_connection_post_layernorm=True,
        layer_norm_epsilon=1e-3, tie_word_embeddings=False, pad_token_id=None), seed=722, generate=True, light=True)
    make("bloom-classifier", "BloomForSequenceClassification", config(hidden_size=18, n_head=6, num_labels=1), seed=723, light=True)


def opt():
    config = lambda **options: OPTConfig(**COMMON | dict(num_hidden_layers=2, max_position_embeddings=48, dropout=0.0) | options)
    make("opt", "OPTForCausalLM", config(hidden_size=24, ffn_dim=37, num_attention_heads=3), seed=731, generate=True, attentions=True)
    make("opt-350m", "OPTForCausalLM", config(hidden_size=24, ffn_dim=29, num_attention_heads=2, word_embed_proj_dim=16, do_layer_norm_before=False),
        seed=732, generate=True, light=True)
    make("opt-plain", "OPTForCausalLM", config(hidden_size=20, ffn_dim=29, num_attention_heads=2, enable_bias=False, layer_norm_elementwise_affine=False,
        activation_function="gelu", tie_word_embeddings=False), seed=733, generate=True, light=True)
    make("opt-classifier", "OPTForSequenceClassification", config(hidden_size=16, ffn_dim=21, num_attention_heads=2, num_labels=3), seed=734, light=True)


def distilbert():
    quiet = dict(dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    config = lambda **options: DistilBertConfig(**dict(vocab_size=59, max_position_embeddings=40, n_layers=2) | quiet | options)
    make("distilbert", "DistilBertModel", config(dim=24, n_heads=3, hidden_dim=37), seed=741, attentions=True)
    make("distilbert-masked-lm", "DistilBertForMaskedLM", config(dim=20, n_heads=2, hidden_dim=29, activation="relu"), seed=742)
    make("distilbert-classifier", "DistilBertForSequenceClassification", config(dim=16, n_heads=4, hidden_dim=21, num_labels=3), seed=743)


if __name__ == "__main__":
    for name in sys.argv[1:] or ("gpt2", "gpt_neo", "bloom", "opt", "distilbert"):
        globals()[name]()
