"""Writes golden files of the rope types: rope.json, the angles that Python's module gives, and Llamas that use them.

    python tests/golden/make_models_rope.py            (versions and formats: tests/golden/README.md)
"""

import json

import torch
from transformers import Gemma3TextConfig, LlamaConfig, Phi3Config
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

from make_models import HERE, dump, llama, make, shortest

# Lengths of a sequence as it grows, past the model's own and the original: each call has the last positions of one.
CALLS = [(0, 2), (31, 1), (32, 1), (48, 1), (63, 2), (4095, 1)]


def angles(name, module, config, layer_type=None):
    """What a module gives at CALLS, and at positions of two rows."""
    kwargs = {} if layer_type is None else {"layer_type": layer_type}
    calls = []
    rows = [list(range(start, start + length)) for start, length in CALLS]
    for positions in [*([r] for r in rows), [[0, 1], [69, 70]]]:
        # afresh: what a module remembers of longer sequences is not part of the frequencies
        cos, sin = module(config)(torch.zeros(1), torch.tensor(positions), **kwargs)
        half = cos.shape[-1] // 2
        assert torch.equal(cos[..., :half], cos[..., half:])
        calls.append({"positions": positions, "cos": shortest(cos[..., :half].numpy()), "sin": shortest(sin[..., :half].numpy())})
    return {"name": name, "layer_type": layer_type, "calls": calls}


def case(name, module, config_class, width, types=(None,), **options):
    """`config` is what a repository would hold, so that its spelling is read, not what Python made of it."""
    config = dict(hidden_size=24, num_attention_heads=3, max_position_embeddings=64, **options)
    made = lambda: config_class.from_dict(json.loads(json.dumps(config)))
    return [{**angles(name, module, made(), t), "head_dim": width, "config": config} for t in types]


def make_angles():
    rope = lambda rope_type, **more: {"rope_parameters": {"rope_type": rope_type, "rope_theta": 5000.0, **more}}
    llama_case = lambda name, **options: case(name, LlamaRotaryEmbedding, LlamaConfig, options.get("head_dim", 8), **options)
    phi3_case = lambda name, **options: case(name, Phi3RotaryEmbedding, Phi3Config, 8, **options)
    factors = {"short_factor": [1.0, 1.25, 1.5, 3.0], "long_factor": [1.5, 2.5, 6.0, 17.0]}
    cases = [
        llama_case("default", **rope("default")),
        llama_case("theta alone", rope_theta=777.0),
        llama_case("nothing said"),
        llama_case("linear", **rope("linear", factor=2.5)),
        llama_case("linear, type, odd head", head_dim=10, rope_theta=999.0, rope_scaling={"type": "linear", "factor": 3}),
        llama_case("linear, partial", **rope("linear", factor=1.5, partial_rotary_factor=0.5)),
        llama_case("dynamic", **rope("dynamic", factor=4.0)),
        llama_case("dynamic, type", rope_theta=300.0, rope_scaling={"type": "dynamic", "factor": 1.5}),
        llama_case("yarn", **rope("yarn", factor=4.0, original_max_position_embeddings=16)),
        llama_case("yarn, wide", head_dim=32, **rope("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=2.0, beta_slow=0.1)),
        llama_case("yarn, every option", head_dim=32, **rope(
            "yarn", factor=8.0, original_max_position_embeddings=32, beta_fast=3, beta_slow=0.5, mscale=0.7, mscale_all_dim=1.3, truncate=False)),
        llama_case("yarn, attention_factor", **rope("yarn", factor=2.0, original_max_position_embeddings=32, attention_factor=0.83)),
        llama_case("yarn, factor of the lengths", **rope("yarn", factor=None, original_max_position_embeddings=16)),
        llama_case("yarn, rope_scaling", rope_theta=10000.0, rope_scaling={"rope_type": "yarn", "factor": 2.0}),
        llama_case("longrope", **rope("longrope", original_max_position_embeddings=32, **factors)),
        llama_case("longrope, factor", **rope("longrope", original_max_position_embeddings=32, factor=16.0, **factors)),
        llama_case("longrope, attention_factor", **rope("longrope", original_max_position_embeddings=32, factor=16.0, attention_factor=1.19, **factors)),
        phi3_case("longrope, su", original_max_position_embeddings=32, rope_scaling={"type": "su", "original_max_position_embeddings": 32, **factors}),
        phi3_case("longrope, yarn", original_max_position_embeddings=48, rope_theta=2000.0, rope_scaling={"type": "yarn", **factors}),
        phi3_case("default, partial", partial_rotary_factor=0.5),
        llama_case("llama3", head_dim=16, **rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=48)),
        llama_case("llama3, rope_scaling", head_dim=16, rope_theta=500000.0, rope_scaling={
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
        case("by layer type", Gemma3RotaryEmbedding, Gemma3TextConfig, 8, ("full_attention", "sliding_attention"), head_dim=8,
             num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"], rope_parameters={
                 "full_attention": {"rope_type": "linear", "rope_theta": 40000.0, "factor": 8.0},
                 "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}),
        case("by layer type, both lengths matter", Gemma3RotaryEmbedding, Gemma3TextConfig, 8, ("full_attention", "sliding_attention"), head_dim=8,
             num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"], rope_parameters={
                 "full_attention": {"rope_type": "dynamic", "rope_theta": 400.0, "factor": 3.0},
                 "sliding_attention": {"type": "yarn", "rope_theta": 5000.0, "factor": 2.0, "original_max_position_embeddings": 32}}),
    ]
    file = HERE / "rope.json"
    file.write_text(dump([c for group in cases for c in group]) + "\n")
    print(f"rope.json: {file.stat().st_size // 1024} KiB, {sum(map(len, cases))} cases")


def main():
    make_angles()
    make("llama-rope-dynamic", "LlamaForCausalLM", llama(  # grows beyond its 12 positions while decoding
        hidden_size=20, intermediate_size=33, num_attention_heads=2, num_hidden_layers=2, vocab_size=53, max_position_embeddings=12,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 100.0, "factor": 4.0}), seed=202, length=15, generate=True, light=True)
    make("llama-rope-yarn", "LlamaForCausalLM", llama(
        hidden_size=16, head_dim=16, intermediate_size=33, num_attention_heads=2, num_hidden_layers=1, vocab_size=53,
        max_position_embeddings=64, rope_parameters={"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "beta_fast": 4.0, "original_max_position_embeddings": 16}),
        seed=202, length=15, generate=True, light=True)
    make("llama-rope-longrope", "LlamaForCausalLM", llama(  # from the short factors to the long ones while decoding
        hidden_size=16, intermediate_size=25, num_attention_heads=2, num_hidden_layers=2, vocab_size=53,
        rope_parameters={"rope_type": "longrope", "rope_theta": 100.0, "original_max_position_embeddings": 13, "factor": 5.0,
                         "short_factor": [1.0, 1.1, 1.3, 1.7], "long_factor": [1.5, 3.0, 7.0, 9.0]}), seed=203, length=14, generate=True, light=True)


if __name__ == "__main__":
    main()
