"""Writes golden files of small random models from PyTorch: outputs, gradients, training losses, generated ids.

    python tests/golden/make_models.py            (versions and formats: tests/golden/README.md)

Weights, norms and biases are random and away from 0 and 1, so that a part that is forgotten shows.
"""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertConfig, GenerationConfig, LlamaConfig
from transformers.generation.logits_process import LogitsProcessorList

HERE = Path(__file__).parent
ADAMW = dict(lr=5e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
STEPS = 5
IGNORE = -100

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def randomize(model, generator):
    """Every parameter random: matrices scaled to keep activations of order 1, norms around 1, biases around 0."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() > 1:
            p.data = noise * (0.6 if "embed" in name else 1.2 / p.shape[-1] ** 0.5)
        elif "norm" in name.lower() and name.endswith("weight"):
            p.data = 1 + 0.3 * noise
        else:
            p.data = 0.3 * noise


def padded(ids, lengths, pad, side):
    """Keeps the first lengths[i] ids of row i, padded on one side; returns ids and mask."""
    out, mask = torch.full_like(ids, pad), torch.zeros_like(ids)
    width = ids.shape[1]
    for row, n in enumerate(lengths):
        at = slice(0, n) if side == "right" else slice(width - n, width)
        out[row, at], mask[row, at] = ids[row, :n], 1
    return out, mask


def make_batches(model, generator, length):
    """plain (no mask), right and left (padded on that side), as keyword arguments of the model."""
    config = model.config
    kind = type(model).__name__
    pad = config.pad_token_id or 0
    randint = lambda high, shape: torch.randint(0, high, shape, generator=generator)
    batches = {}
    for name, rows in (("plain", 2), ("right", 3), ("left", 3)):
        ids = randint(config.vocab_size, (rows, length))
        ids[:, 2] = pad  # a real token that has the padding id: its embedding gets no gradient
        ids[ids[:, 0] == pad, 0] = 5
        batch = {"input_ids": ids}
        if name != "plain":
            ids, mask = padded(ids, [length, length - 3, length // 2][:rows], pad, name)
            batch = {"input_ids": ids, "attention_mask": mask}
        if getattr(config, "type_vocab_size", 1) > 1 and name != "left":
            batch["token_type_ids"] = (torch.arange(length) > length // 2).long().expand(rows, -1) * (config.type_vocab_size - 1)
        if "Classification" in kind:
            regression = config.num_labels == 1
            batch["labels"] = torch.randn(rows, generator=generator) if regression else randint(config.num_labels, (rows,))
        elif "LM" in kind:
            labels = ids.clone()
            labels[torch.rand(ids.shape, generator=generator) < 0.25] = IGNORE
            if "attention_mask" in batch:
                labels[batch["attention_mask"] == 0] = IGNORE
                if config._attn_implementation == "eager" or getattr(config, "alibi", False):  # what padding predicts is an accident of the implementation, too
                    labels[:, 1:][batch["attention_mask"][:, :-1] == 0] = IGNORE
            batch["labels"] = labels
        batches[name] = batch
    return batches


def objective(out, batch):
    """The loss; for a base model a made-up one: mean squares of the outputs."""
    if getattr(out, "loss", None) is not None:
        return out.loss
    loss = out.last_hidden_state.square().mean()
    return loss + out.pooler_output.square().mean() if getattr(out, "pooler_output", None) is not None else loss


def masked(values, batch):
    """Zeros outputs at padding: what a model gives there is an accident of its implementation."""
    if "attention_mask" not in batch or values.shape[:2] != batch["input_ids"].shape:
        return values
    return values * batch["attention_mask"].unsqueeze(-1)


def run_batches(model, batches):
    tensors, losses = {}, {}
    for name, batch in batches.items():
        with torch.no_grad():
            out = model(**batch, output_hidden_states=True)
        losses[name] = objective(out, batch).item()
        for key in ("logits", "last_hidden_state", "pooler_output"):
            if getattr(out, key, None) is not None:
                tensors[f"{name}.{key}"] = masked(out[key], batch)
        if name == "plain":
            for i, hidden in enumerate(out.hidden_states):
                tensors[f"plain.hidden_states.{i}"] = hidden
            for i, logits in enumerate(getattr(out, "router_logits", None) or ()):
                tensors[f"plain.router_logits.{i}"] = logits
        if getattr(out, "aux_loss", None) is not None:
            tensors[f"{name}.aux_loss"] = out.aux_loss
    return tensors, losses


def gradients(model, batch, spelled={}):
    model.zero_grad()
    objective(model(**batch), batch).backward()
    grads = {name: p.grad.clone() if p.grad is not None else torch.zeros_like(p) for name, p in model.named_parameters()}
    return {f"grad.{spelled.get(name, name)}": grad for whole, stacked in grads.items() for name, grad in by_expert(whole, stacked)}


def by_expert(name, stacked):
    """Experts lie stacked in Python's modules, one by one in checkpoints."""
    if not name.endswith((".experts.gate_up_proj", ".experts.down_proj")):
        yield name, stacked
        return
    where, last = name.rsplit(".", 1)
    for e, matrix in enumerate(stacked):
        parts = {"down_proj": matrix} if last == "down_proj" else dict(zip(("gate_proj", "up_proj"), matrix.chunk(2)))
        yield from ((f"{where}.{e}.{part}.weight", p.clone()) for part, p in parts.items())


def training_losses(model, batch):
    """Loss before each of STEPS AdamW steps, and after the last."""
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = objective(model(**batch), batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses + [objective(model(**batch), batch).item()]


@contextmanager
def finite_masks():
    """In float64, attn_implementation eager masks with the lowest number there is, and rows without anything to see overflow to nan:
    masks as in float32."""
    real = torch.finfo
    torch.finfo = lambda dtype: real(torch.float32 if dtype == torch.float64 else dtype)
    try:
        yield
    finally:
        torch.finfo = real


def relative(a, b):
    return ((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-6)).item()


def generations(model, generator):
    """Greedy ids for one prompt, a left-padded batch, an end token, a repetition penalty."""
    pad, vocab = 0, model.config.vocab_size
    ids = torch.randint(1, vocab, (3, 7), generator=generator)
    batch, mask = padded(ids, [7, 3, 5], pad, "left")
    one = {"input_ids": ids[:1]}
    many = {"input_ids": batch, "attention_mask": mask}
    def run(inputs, options):
        config = GenerationConfig(do_sample=False, output_scores=True, return_dict_in_generate=True, **options)
        out = model.generate(**inputs, generation_config=config)
        for score in out.scores:  # a near tie would make the ids a matter of rounding
            top = score.topk(2).values
            assert ((top[:, 0] - top[:, 1]) > 1e-3).all(), "near tie in greedy decoding: change the seed"
        return out.sequences

    cases = []

    def case(name, inputs, **options):
        cases.append({"name": name, **listed(inputs), "options": options, "sequences": run(inputs, options).tolist()})
        return cases[-1]["sequences"]

    default = {} if model.generation_config.eos_token_id is None else {"pad_token_id": pad}
    case("one prompt", one, max_new_tokens=12)
    new = [row[7:] for row in case("left-padded batch", many, max_new_tokens=12, **default)]
    end = new[1][3]
    case("left-padded batch, a row ends early", many, max_new_tokens=12, eos_token_id=end, pad_token_id=pad)
    case("several end tokens", many, max_new_tokens=12, eos_token_id=[end, new[0][5], new[2][7]], pad_token_id=pad)
    case("no padding token given", many, max_new_tokens=12, eos_token_id=[new[0][2], end])
    case("max_length", one, max_length=10)
    case("repetition_penalty", many, max_new_tokens=12, repetition_penalty=1.8, pad_token_id=pad)
    return cases


def listed(batch):
    return {key: value.tolist() for key, value in batch.items()}


def legacy_config(config, config_class):
    """The same configuration as versions before 5 spelled it, without the types of layers where the rest implies them."""
    old = dict(config)
    if "layer_types" in old:
        without = {k: v for k, v in old.items() if k != "layer_types"}
        if config_class.from_dict(dict(without)).layer_types == old["layer_types"]:
            old = without
    old.pop("dtype", None)
    old["torch_dtype"] = config.get("dtype", "float32")
    old["transformers_version"] = "4.38.0"
    rope = old.pop("rope_parameters", None)
    if rope is not None:
        rope = dict(rope)
        old["rope_theta"] = rope.pop("rope_theta")
        if "partial_rotary_factor" in rope:
            old["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
        kind = rope.pop("rope_type")
        if kind == "default":
            old["rope_scaling"] = None
        elif kind == "linear":
            old["rope_scaling"] = {"type": kind, **rope}  # older still than `rope_type`
        else:
            old["rope_scaling"] = {"rope_type": kind, **rope}
    else:
        old["position_embedding_type"] = "absolute"
        old["gradient_checkpointing"] = False
    return old


def legacy_names(tensors):
    """The names in checkpoints converted from TensorFlow, a stored buffer of positions, the tied matrix stored twice."""
    out = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t for n, t in tensors.items()}
    positions = tensors["bert.embeddings.position_embeddings.weight"].shape[0]
    out["bert.embeddings.position_ids"] = torch.arange(positions)[None]
    out["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    out["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
    return out


def make(name, cls, config, seed, length=11, dtype=torch.float32, shard="5GB", generate=False, renamed=False, light=False, attentions=False, legacy=None, spelled={}):
    """One folder. `light`: outputs and text alone, without gradients and training, two batches. `attentions`: with the weights of attention.
    `legacy`: from config.json to its older spelling, in place of `legacy_config`. `spelled`: checkpoints' names
    of parameters, where Python's are others."""
    generator = torch.Generator().manual_seed(seed)
    folder = HERE / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    model = getattr(transformers, cls)(config)
    randomize(model, generator)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    experts = {"experts_implementation": "eager"} if hasattr(config, "num_experts") else {}  # the other ones ask for sizes of 16 bytes
    load = lambda dtype, **more: getattr(transformers, cls).from_pretrained(folder, dtype=dtype, **experts, **more).eval()
    model = load(torch.float32)

    batches = make_batches(model, generator, length)
    if light:
        del batches["right"]
    tensors, losses = run_batches(model, batches)
    trained_on = "right" if "For" in cls or "LMHead" in cls else "plain"
    if attentions:
        with torch.no_grad():
            weights = load(torch.float32, attn_implementation="eager")(**batches["plain"], output_attentions=True).attentions
        tensors |= {f"plain.attentions.{i}": w for i, w in enumerate(weights)}
    golden = {
        "class": cls,
        "batches": {n: {**listed(b), "loss": losses[n]} for n, b in batches.items()},
    }
    if not light:
        tensors |= gradients(model, batches[trained_on], spelled)
        golden["grad_batch"] = trained_on
    if cls.endswith("SequenceClassification") and config.num_labels > 1 and not light:
        golden["multi_label"] = multi_label(model, batches["right"], generator)
    if generate:
        plain = {"output_router_logits": False} if experts else {}  # with them Python fails on padded prompts
        golden["generate"] = generations(load(torch.float32, **plain), generator)

    # The reference itself must be well conditioned: float64 has to agree far below what the tests ask.
    double = load(torch.float64)
    wide = {n: {k: v.double() if v.is_floating_point() else v for k, v in b.items()} for n, b in batches.items()}
    with finite_masks():
        exact, _ = run_batches(double, wide)
        if not light:
            exact |= gradients(double, wide[trained_on], spelled)
    scale = max((t.abs().max() for n, t in exact.items() if n.startswith("grad.")), default=1)
    for key, value in exact.items():
        error = relative(tensors[key], value) if not key.startswith("grad.") else ((tensors[key] - value).abs().max() / scale).item()
        assert error < 2e-5, f"{name} {key}: float32 is {error:.1e} away from float64"
    if not light:
        golden["train"] = {"batch": trained_on, "optimizer": {"name": "AdamW", **ADAMW}, "losses": training_losses(model, batches[trained_on])}
        with finite_masks():
            exact_losses = training_losses(double, wide[trained_on])
        for ours, theirs in zip(golden["train"]["losses"], exact_losses):
            assert abs(ours - theirs) < 1e-5 * abs(theirs), f"{name}: training losses {ours} and {theirs}"

    # Older spellings must mean the same to transformers, too.
    old = (legacy or legacy_config)(json.loads((folder / "config.json").read_text()), type(config))
    (folder / "config.legacy.json").write_text(json.dumps(old, indent=2) + "\n")
    again = load(torch.float32, config=type(config).from_dict(old))
    check = run_batches(again, batches)[0]
    assert all(torch.equal(check[k], tensors[k]) for k in check), f"{name}: config.legacy.json means another model"
    if renamed:
        old_names = legacy_names(load_file(folder / "model.safetensors"))
        save_file(old_names, folder / "model.legacy.safetensors", metadata={"format": "pt"})

    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    (folder / "golden.json").write_text(dump(golden) + "\n")
    print(f"{name}: {sum(f.stat().st_size for f in folder.iterdir()) // 1024} KiB, losses {[round(x, 4) for x in (golden['train']['losses'] if not light else losses.values())]}")


def multi_label(model, batch, generator):
    """The same logits under problem_type multi_label_classification."""
    labels = torch.randint(0, 2, (batch["labels"].shape[0], model.config.num_labels), generator=generator).float()
    before, model.config.problem_type = model.config.problem_type, "multi_label_classification"
    with torch.no_grad():
        loss = model(**{**batch, "labels": labels}).loss.item()
    model.config.problem_type = before
    return {"batch": "right", "labels": labels.tolist(), "loss": loss}


def dump(value, indent=""):
    """JSON in which an array of numbers takes one line."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        body = ",\n".join(f"{inner}{json.dumps(k)}: {dump(v, inner)}" for k, v in value.items())
        return f"{{\n{body}\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(v, (list, tuple, dict)) for v in value):
        body = ",\n".join(inner + dump(v, inner) for v in value)
        return f"[\n{body}\n{indent}]"
    return json.dumps(value)


def shortest(values):
    """float32 values as the shortest decimals that read back the same; -inf as null."""
    return [shortest(v) for v in values] if values.ndim else None if np.isneginf(values) else float(str(np.float32(values)))


def make_processors():
    """What each logits processor makes of fixed rows, alone and in the order that generate applies them."""
    generator = torch.Generator().manual_seed(99)
    logits = 3 * torch.randn(4, 23, generator=generator)
    logits[1, 5:9] = logits[1].topk(5).values[-1]  # ties at the fifth place
    logits[2] = 0.01 * logits[2]  # nearly flat
    logits[3, ::3] = -torch.inf  # some already excluded
    ids = torch.randint(0, 23, (4, 6), generator=generator)
    ids[:, 3] = ids[:, 1]  # a repeated id is penalized once
    config = LlamaConfig(vocab_size=23, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = transformers.LlamaForCausalLM(config)
    options = [
        *({"temperature": t} for t in (0.3, 0.7, 1.0, 1.9)),
        *({"top_k": k} for k in (1, 3, 5, 23, 50)),
        *({"top_p": p} for p in (0.05, 0.5, 0.9, 0.999, 1.0)),
        *({"min_p": p} for p in (0.01, 0.1, 0.5, 1.0)),
        *({"repetition_penalty": r} for r in (0.7, 1.0, 1.3)),
        *({"typical_p": p} for p in (0.05, 0.3, 0.8, 0.99)),
        *({"epsilon_cutoff": e} for e in (0.001, 0.04, 0.3)),
        *({"eta_cutoff": e} for e in (0.001, 0.05, 0.4)),
        *({"top_h": h} for h in (0.1, 0.5, 0.9)),
        *({"num_beams": 3, **o} for o in ({"top_k": 1}, {"top_p": 0.05}, {"min_p": 0.9}, {"typical_p": 0.05}, {"epsilon_cutoff": 0.5}, {"eta_cutoff": 0.6})),
        {"renormalize_logits": True, "top_k": 4},
        {"remove_invalid_values": True},
        {"temperature": 0.8, "top_k": 8, "top_p": 0.9},
        {"temperature": 1.4, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.2},
        {"temperature": 0.6, "top_k": 10, "top_p": 0.95, "min_p": 0.02, "repetition_penalty": 1.1},
    ]
    cases = []
    for option in options:
        generation = GenerationConfig(do_sample=True, **{"top_k": 0, **option})
        model._prepare_special_tokens(generation, device=torch.device("cpu"))
        chain = model._get_logits_processor(generation, input_ids_seq_length=6, encoder_input_ids=ids, device="cpu", logits_processor=LogitsProcessorList())
        scores = chain(ids, logits.clone())
        cases.append({"options": option, "order": [type(p).__name__ for p in chain], "scores": shortest(scores.numpy())})
    folder = HERE / "generation"
    folder.mkdir(exist_ok=True)
    golden = {"input_ids": ids.tolist(), "logits": shortest(logits.numpy()), "cases": cases}
    (folder / "processors.json").write_text(dump(golden) + "\n")
    print(f"processors: {(folder / 'processors.json').stat().st_size // 1024} KiB, {len(cases)} cases")


def llama(**options):
    base = dict(vocab_size=101, num_hidden_layers=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2)
    return LlamaConfig(**base | options)


def bert(**options):
    base = dict(vocab_size=103, max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0)
    return BertConfig(**base | options)


def main():
    make("llama-mha", "LlamaForCausalLM", llama(
        hidden_size=32, intermediate_size=53, num_attention_heads=4, rms_norm_eps=1e-6), seed=1, generate=True)
    make("llama-gqa-biases", "LlamaForCausalLM", llama(  # heads wider than the model, an odd number of them a group, sharded
        hidden_size=30, intermediate_size=45, num_attention_heads=6, num_key_value_heads=2, head_dim=10, rms_norm_eps=1e-2,
        tie_word_embeddings=True, attention_bias=True, mlp_bias=True, pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0}), seed=2, shard="24KB", generate=True)
    make("llama-rope-llama3", "LlamaForCausalLM", llama(
        hidden_size=24, intermediate_size=37, num_attention_heads=3, num_key_value_heads=1, head_dim=16, num_hidden_layers=1,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 64}), seed=3, length=29)
    make("llama-rope-linear", "LlamaForCausalLM", llama(
        hidden_size=20, intermediate_size=33, num_attention_heads=2, num_hidden_layers=1, hidden_act="gelu",
        rope_parameters={"rope_type": "linear", "rope_theta": 20000.0, "factor": 2.5}), seed=4, length=29)
    make("llama-base-bf16", "LlamaModel", llama(
        hidden_size=20, intermediate_size=31, num_attention_heads=5, num_key_value_heads=5, vocab_size=67), seed=5, dtype=torch.bfloat16)
    make("llama-classifier", "LlamaForSequenceClassification", llama(
        hidden_size=24, intermediate_size=35, num_attention_heads=4, num_key_value_heads=2, num_labels=3, pad_token_id=0,
        vocab_size=67), seed=6)
    make("bert-base", "BertModel", bert(
        hidden_size=20, intermediate_size=27, num_attention_heads=2, num_hidden_layers=2, hidden_act="gelu"), seed=7)
    make("bert-masked-lm", "BertForMaskedLM", bert(
        hidden_size=30, intermediate_size=37, num_attention_heads=5, num_hidden_layers=2, hidden_act="gelu"), seed=8, renamed=True)
    make("bert-causal-lm", "BertLMHeadModel", bert(
        hidden_size=24, intermediate_size=41, num_attention_heads=2, num_hidden_layers=2, hidden_act="relu", is_decoder=True,
        layer_norm_eps=1e-5), seed=9, generate=True)
    make("bert-classifier", "BertForSequenceClassification", bert(
        hidden_size=24, intermediate_size=35, num_attention_heads=3, num_hidden_layers=2, hidden_act="gelu_new", num_labels=3,
        layer_norm_eps=1e-3, type_vocab_size=3), seed=10)
    make("bert-classifier-binary-f16", "BertForSequenceClassification", bert(
        hidden_size=16, intermediate_size=21, num_attention_heads=4, num_hidden_layers=1, hidden_act="relu", num_labels=2,
        type_vocab_size=1), seed=11, dtype=torch.float16)
    make("bert-regression", "BertForSequenceClassification", bert(
        hidden_size=16, intermediate_size=21, num_attention_heads=2, num_hidden_layers=1, hidden_act="gelu", num_labels=1), seed=12)
    make_processors()


if __name__ == "__main__":
    main()
