"""Writes golden files of small random models whose layers carry a state in place of keys and values.

    python tests/golden/make_models_states.py            (versions and formats: tests/golden/README.md)
"""

from transformers import Lfm2Config, MambaConfig

from make_models import legacy_config, make

COMMON = dict(vocab_size=59, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def older_lfm2(config, config_class):
    """As the first LFM2's: places of attention, other names of what is tied and of the width."""
    old = legacy_config(config, config_class)
    types = old.pop("layer_types", None)
    if types:
        old["full_attn_idxs"] = [i for i, kind in enumerate(types) if kind == "full_attention"]
    old |= {"tie_embedding": old.pop("tie_word_embeddings"), "block_ff_dim": old.pop("intermediate_size")}
    return old


def lfm2():
    config = lambda **options: Lfm2Config(**COMMON | dict(max_position_embeddings=64, block_multiple_of=4) | options)
    make("lfm2", "Lfm2ForCausalLM", config(  # begins with a convolution; 4 heads over 2, biases of convolutions, an MLP of 28
        hidden_size=24, intermediate_size=37, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=3,
        layer_types=["conv", "full_attention", "conv"], conv_bias=True, conv_L_cache=4, block_ffn_dim_multiplier=1.1, norm_eps=1e-3),
        seed=601, generate=True, attentions=True, legacy=older_lfm2)
    make("lfm2-attention-first", "Lfm2ForCausalLM", config(  # no biases, untied, the width as it is said
        hidden_size=18, intermediate_size=25, num_attention_heads=3, num_key_value_heads=1, num_hidden_layers=2,
        layer_types=["full_attention", "conv"], block_auto_adjust_ff_dim=False, tie_word_embeddings=False, pad_token_id=None,
        rope_parameters={"rope_type": "linear", "rope_theta": 300.0, "factor": 2.0}),
        seed=602, generate=True, light=True, legacy=older_lfm2)
    make("lfm2-long", "Lfm2ForCausalLM", config(  # convolutions longer than the prompts
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_key_value_heads=2, num_hidden_layers=3, conv_L_cache=9,
        layer_types=["conv", "conv", "full_attention"]), seed=603, generate=True, light=True, legacy=older_lfm2)


def mamba():
    config = lambda **options: MambaConfig(**COMMON | dict(num_hidden_layers=2) | options)
    same = lambda config, config_class: config
    make("mamba", "MambaForCausalLM", config(  # states of 5 for each of 48 channels
        hidden_size=24, state_size=5, layer_norm_epsilon=1e-3), seed=611, generate=True, legacy=same)
    make("mamba-biases", "MambaForCausalLM", config(  # untied, biases of projections, none of convolutions
        hidden_size=18, state_size=4, expand=3, conv_kernel=3, use_bias=True, use_conv_bias=False, time_step_rank=3, hidden_act="gelu",
        tie_word_embeddings=False, pad_token_id=None), seed=612, generate=True, light=True, legacy=same)


if __name__ == "__main__":
    lfm2()
    mamba()
