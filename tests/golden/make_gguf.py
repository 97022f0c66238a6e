"""Writes tiny models of every architecture by llama.cpp's own converter, and what they were before, for tests/models/gguf.test.ts.

LLAMA_CPP names a folder that holds llama.cpp's convert_hf_to_gguf.py with its packages `conversion` and `gguf` (its gguf-py):
    LLAMA_CPP=~/llama.cpp python tests/golden/make_gguf.py [name …]

Each model becomes gguf/<name>.gguf (float32, or Q8_0 where the name says so) and gguf/<name>.json: the class, its config, shape and sha256 of each tensor of its
checkpoint, and for a few ids the logits (or the last hidden state) in float32. gguf/llama.bin is llama's state_dict by torch.save.
"""
import base64
import hashlib
import json
import os
import pathlib
import sys
import tempfile

llama_cpp = pathlib.Path(os.environ["LLAMA_CPP"])
for folder in (llama_cpp / "gguf-py", llama_cpp):
    if (folder / "gguf").is_dir() or (folder / "conversion").is_dir():
        sys.path.insert(0, str(folder))

import gguf
import safetensors.torch
import torch
import transformers
from conversion import get_model_class

here = pathlib.Path(__file__).parent / "gguf"
here.mkdir(exist_ok=True)
V = 40
BASE = dict(vocab_size=V, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GQA = dict(BASE, num_key_value_heads=2)
WIDE = dict(GQA, hidden_size=32, intermediate_size=64)
LONG = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.5], long_factor=[2.0, 4.0],
            original_max_position_embeddings=16)


def without(given, *keys):
    return {key: value for key, value in given.items() if key not in keys}


MODELS = {
    "llama": ("Llama", dict(GQA, head_dim=6, rms_norm_eps=1e-4)),
    "llama-llama3": ("Llama", dict(GQA, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, hidden_size=32,
                     rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0,
                     high_freq_factor=4.0, original_max_position_embeddings=8192))),
    "llama-factors": ("Llama", dict(GQA, head_dim=8, rope_parameters=dict(rope_type="llama3", rope_theta=500.0, factor=8.0,
                      low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64))),
    "llama-yarn": ("Llama", dict(GQA, rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0,
                   original_max_position_embeddings=16))),
    "mistral": ("Mistral", dict(GQA, head_dim=8, sliding_window=None)),
    "qwen2": ("Qwen2", dict(GQA, tie_word_embeddings=True)),
    "qwen3": ("Qwen3", dict(GQA, head_dim=8, rope_parameters=dict(rope_type="linear", rope_theta=1e6, factor=2.0))),
    "qwen2-moe": ("Qwen2Moe", dict(GQA, moe_intermediate_size=8, shared_expert_intermediate_size=12, num_experts=4,
                  num_experts_per_tok=2, norm_topk_prob=False)),
    "olmoe": ("Olmoe", dict(GQA, num_experts=4, num_experts_per_tok=2, rms_norm_eps=1e-5)),
    "gemma": ("Gemma", dict(GQA, head_dim=8)),
    "gemma2": ("Gemma2", dict(GQA, head_dim=8, query_pre_attn_scalar=8, sliding_window=4)),
    "gemma3": ("Gemma3", dict(GQA, head_dim=8, query_pre_attn_scalar=8, sliding_window=4, num_hidden_layers=6)),
    "phi": ("Phi", dict(BASE, intermediate_size=64, partial_rotary_factor=0.5)),
    "phi3": ("Phi3", dict(GQA, rope_parameters=dict(rope_type="default", rope_theta=10000.0, original_max_position_embeddings=64),
             original_max_position_embeddings=64, sliding_window=5)),
    "phi3-longrope": ("Phi3", dict(GQA, rope_parameters=LONG, original_max_position_embeddings=16)),
    "smollm3": ("SmolLM3", dict(GQA, num_hidden_layers=5)),
    "granite": ("Granite", dict(GQA, embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.3)),
    "olmo2": ("Olmo2", dict(GQA)),
    "gpt2": ("GPT2", dict(vocab_size=V, n_embd=16, n_layer=2, n_head=4, n_positions=32, n_ctx=32, bos_token_id=1, eos_token_id=2)),
    "gpt-neox": ("GPTNeoX", dict(BASE, rotary_pct=0.5, hidden_act="gelu")),
    "gpt-neox-serial": ("GPTNeoX", dict(BASE, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=1.0),
                        rotary_pct=1.0, use_parallel_residual=False)),
    "bloom": ("Bloom", dict(vocab_size=V, hidden_size=16, n_layer=2, n_head=4, seq_length=64)),
    "falcon-7b": ("Falcon", dict(without(BASE, "intermediate_size"), multi_query=True, bias=False, alibi=False)),
    "falcon-40b": ("Falcon", dict(without(BASE, "intermediate_size"), new_decoder_architecture=True, num_kv_heads=2, bias=False, alibi=False)),
    "starcoder2": ("Starcoder2", dict(GQA, sliding_window=None)),
    "stablelm": ("StableLm", dict(GQA, partial_rotary_factor=0.5)),
    "stablelm-2": ("StableLm", dict(GQA, partial_rotary_factor=0.5, use_qkv_bias=True, qk_layernorm=True, use_parallel_residual=True)),
    "lfm2": ("Lfm2", dict(GQA, num_hidden_layers=3, layer_types=["conv", "full_attention", "conv"], block_auto_adjust_ff_dim=False)),
    "mamba": ("Mamba", dict(vocab_size=V, hidden_size=16, state_size=4, num_hidden_layers=2, bos_token_id=1, eos_token_id=2)),
    # in blocks: sizes and weights are such that rounding changes nothing
    "llama-q8_0": ("Llama", WIDE),
    "gpt2-q8_0": ("GPT2", dict(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=32, n_ctx=32, bos_token_id=1, eos_token_id=2)),
    "falcon-40b-q8_0": ("Falcon", dict(without(BASE, "intermediate_size"), hidden_size=32, new_decoder_architecture=True,
                        num_kv_heads=2, bias=False, alibi=False)),
    "qwen2-moe-q8_0": ("Qwen2Moe", dict(WIDE, moe_intermediate_size=32, shared_expert_intermediate_size=32, num_experts=4,
                       num_experts_per_tok=2, norm_topk_prob=False)),
    "bert": ("Bert", dict(BASE, type_vocab_size=2)),
}


def class_of(name):
    if name == "Bert":
        return transformers.BertModel
    if name == "GPT2":
        return transformers.GPT2LMHeadModel
    return getattr(transformers, f"{name}ForCausalLM")


def config_of(name):
    return getattr(transformers, "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config")


def in_blocks(p, generator, first):
    """Weights that Q8_0 holds exactly: k / 512, the largest k of each block of 32 being 127. Rows are the file's (GPT-2's are `first`)."""
    k = torch.randint(-127, 128, p.shape, generator=generator).float()
    (k.t() if first else k)[:, ::32] = 127
    return k / 512


def randomize(model, blocks=False):
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        values = torch.randn(p.shape, generator=generator)
        if blocks and p.ndim == 2 and "wpe" not in name and "gate.weight" not in name:
            values = in_blocks(p, generator, any(part in name for part in ("c_attn", "c_proj", "c_fc")))
        elif p.ndim == 3 and blocks:
            values = torch.stack([in_blocks(part, generator, False) for part in p])
        elif p.ndim == 1 and "A_log" not in name:
            values = torch.round(values * 32) / 256 + 0.0  # so that adding 1 and taking it away again changes nothing
            if name.endswith("norm.weight") and "Gemma" not in type(model).__name__ or "ln_" in name and name.endswith("weight"):
                values += 1
        elif "A_log" in name:
            values = values * 0.3
        else:
            values = values * 0.3
        p.data.copy_(values)


def text(t):
    return base64.b64encode(t.detach().contiguous().float().numpy().tobytes()).decode()


def convert(folder, architecture, out, hparams=None, kind_of_file=gguf.LlamaFileType.ALL_F32):
    kind = get_model_class(architecture)

    def set_vocab(self):
        self.gguf_writer.add_tokenizer_model("none")
        self.gguf_writer.add_token_list([f"t{i}" for i in range(V)])
        self.gguf_writer.add_bos_token_id(1)
        self.gguf_writer.add_eos_token_id(2)
        if architecture == "BertModel":
            self.gguf_writer.add_token_type_count(self.hparams["type_vocab_size"])

    def modify_tensors(self, data, name, bid):
        # StableLM's is a generator that returns the stacked norms where it means to yield them
        returned = yield from kind.modify_tensors(self, data, name, bid)
        yield from returned or ()

    given = {"model_arch": kind.model_arch, "set_vocab": set_vocab, "modify_tensors": modify_tensors}
    patched = type(kind.__name__, (kind,), given)
    if hasattr(kind, "_experts"):
        patched._experts = None
    patched(folder, kind_of_file, out, eager=True, hparams=hparams).write()


def make(name):
    kind, given = MODELS[name]
    torch.manual_seed(0)
    model = class_of(kind)(config_of(kind)(**given)).eval()
    randomize(model, name.endswith("q8_0"))
    ids = torch.tensor([[3, 17, 5, 29, 11, 36, 8, 22, 14]])
    with torch.no_grad():
        output = model(ids)
    result = output.last_hidden_state if kind == "Bert" else output.logits
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model.save_pretrained(folder)
        if name == "llama":  # for reading such files
            torch.save(model.state_dict(), here / "llama.bin")
        # Gemma 3's embeddings are cut to the tokenizer's size
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {f"t{i}": i for i in range(V)}}, "added_tokens": []}))
        config = json.loads((folder / "config.json").read_text())
        older = None  # spellings that the converter knows
        if kind == "GPTNeoX":
            older = {**config, "rotary_pct": config["rope_parameters"]["partial_rotary_factor"]}
        if name == "falcon-7b":
            older = without(config, "num_kv_heads")
        convert(folder, type(model).__name__, here / f"{name}.gguf", older,
                gguf.LlamaFileType.MOSTLY_Q8_0 if name.endswith("q8_0") else gguf.LlamaFileType.ALL_F32)
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
    golden = {
        "class": type(model).__name__,
        "config": config,
        "tensors": {
            key: {"shape": list(t.shape), "sha256": hashlib.sha256(t.contiguous().float().numpy().tobytes()).hexdigest()}
            for key, t in sorted(tensors.items())
        },
        "ids": ids.tolist(),
        "shape": list(result.shape),
        "result": text(result),
    }
    (here / f"{name}.json").write_text(json.dumps(golden) + "\n")
    print(name, (here / f"{name}.gguf").stat().st_size, (here / f"{name}.json").stat().st_size)


for name in sys.argv[1:] or MODELS:
    make(name)
