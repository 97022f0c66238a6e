"""Writes golden files of small tokenizers with the normalizers, pre-tokenizers, post-processors and decoders of well-known models.

    python tests/golden/make_tokenizer_kinds.py        (versions: tests/golden/README.md; after make_tokenizers.py, whose strings it takes)
"""

import base64
import gzip
import json
import random
import zlib
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.tokenization_utils_base import generate_merges

HERE = Path(__file__).parent / "tokenizers"
ROOT = Path(__file__).parents[2]
STRINGS = json.loads(gzip.decompress((HERE / "strings.json.gz").read_bytes()))
CORPUS = gzip.decompress((ROOT / "examples/train-shakespeare/data/shakespeare.txt.gz").read_bytes()).decode()[:120000]
CORPUS = [CORPUS[i : i + 500] for i in range(0, len(CORPUS), 500)] + ["na\u00efve caf\u00e9 \u4e2d\u6587 \u65e5\u672c\u8a9e \u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 12 345 x1 y2 + = <a> {b} (c) \"d\" 'e'"] * 20

# ---- added tokens, and odd places for them

ADDED = [
    AddedToken("<left>", lstrip=True, special=True, normalized=False),
    AddedToken("<right>", rstrip=True, special=True, normalized=False),
    AddedToken("<both>", lstrip=True, rstrip=True, special=True, normalized=False),
    AddedToken("<word>", single_word=True, normalized=False),
    AddedToken("Norm\u00c9", normalized=True),
    AddedToken("wordy", single_word=True, normalized=True, lstrip=True),
    AddedToken("New York", normalized=True, rstrip=True),
    AddedToken("<|x|>", normalized=False),
    AddedToken("<|x|>y", normalized=False),
]  # fmt: skip
PLACES = ["{0}", " {0}", "{0} ", "  {0}  ", "a{0}b", "a {0} b", "a  {0}\n b", "{0}{0}", "{0} {0}", "\u00e9{0}\u65e5", "_{0}_", "-{0}-", "1{0}2", "\t{0}\u00a0", "\u3000{0}\u2003x", "{0}s", "the {0}, the {0}.", "\U0001f600{0}\U0001f600", "e\u0301{0}\u0301", "\u200d{0}\u200d"]


def odd_strings():
    contents = [token.content for token in ADDED] + ["<unk>", "<s>", "</s>"]
    spellings = contents + ["norm\u00e9", "NORM\u00c9", "Norme\u0301", "WORDY", "new york", "New  York", "<LEFT>"]
    return [place.format(s) for s in spellings for place in PLACES] + [a + b for a in contents for b in contents] + [f"{a} {b}" for a in contents for b in contents]


# ---- the kinds

BYTES = [f"<0x{b:02X}>" for b in range(256)]
SPACE = "\u2581"


def normal(*steps):
    return steps[0] if len(steps) == 1 else normalizers.Sequence(list(steps))


def sentencepiece_bpe(normalizer=None, pre=None, spaces=(), **more):
    """A vocabulary such as SentencePiece's BPE makes, with its bytes, by pieces trained on words between spaces."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, show_progress=False))
    pieces = [t for t, _ in sorted(trained.get_vocab().items(), key=lambda item: item[1])]
    tokens = list(dict.fromkeys(["<unk>", "<s>", "</s>", *BYTES, *spaces, *[t for t in pieces if len(t) > 1], *[t for t in pieces if len(t) == 1]]))
    vocab = {t: i for i, t in enumerate(tokens)}
    merges = generate_merges(vocab, {t: -i for t, i in vocab.items()})
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    return with_bos(tokenizer)


def with_bos(tokenizer, token="<s>"):
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    bos = tokenizer.token_to_id(token)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{token}:0 $A:0", pair=f"{token}:0 $A:0 {token}:1 $B:1", special_tokens=[(token, bos)])
    return tokenizer


def llama_decoder(strip=True):
    return decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *([decoders.Strip(" ", 1, 0)] if strip else [])])


def llama2():
    tokenizer = sentencepiece_bpe(normal(normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)))
    tokenizer.decoder = llama_decoder()
    return tokenizer


def metaspace_bpe(scheme, split):
    tokenizer = sentencepiece_bpe(pre=pre_tokenizers.Metaspace(SPACE, scheme, split))
    tokenizer.decoder = llama_decoder(strip=scheme != "never")
    return tokenizer


def gemma():
    tokenizer = sentencepiece_bpe(normalizers.Replace(" ", SPACE), pre_tokenizers.Split(" ", "merged_with_previous"), spaces=[SPACE * n for n in range(2, 9)])
    tokenizer.decoder = llama_decoder(strip=False)
    return tokenizer


def unigram(normalizer, pre, fallback):
    trained = Tokenizer(models.Unigram())
    trained.normalizer, trained.pre_tokenizer = normalizer, pre
    trained.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False))
    pieces = [tuple(p) for p in json.loads(trained.to_str())["model"]["vocab"]]
    if fallback:
        pieces = [*pieces[:3], *[(b, 0.0) for b in BYTES], *pieces[3:]]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=fallback))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    return tokenizer


def t5():
    tokenizer = unigram(normal(normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=False, right=True)), pre_tokenizers.Metaspace(SPACE, "always"), True)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(SPACE, "always")])
    return tokenizer


def charsmap(table):
    """A table of replacements as SentencePiece compiles it: a double array, each node with 256 places of its own."""
    texts, nodes = b"", {b"": 0}
    for key in table:
        for n in range(1, len(key.encode()) + 1):
            nodes.setdefault(key.encode()[:n], len(nodes))
    units = [0] * (256 * (len(nodes) + 1))
    place = {b"": 0}
    for prefix, number in nodes.items():  # shorter ones first
        base = 256 * (number + 1)
        if prefix:
            place[prefix] = 256 * (nodes[prefix[:-1]] + 1) ^ prefix[-1]
        at = place[prefix]
        units[at] |= ((at ^ base) << 10) | (prefix[-1] if prefix else 0)
        if prefix.decode(errors="ignore") in table and prefix:
            units[at] |= 1 << 8
            units[base] = 1 << 31 | len(texts)
            texts += table[prefix.decode()].encode() + b"\0"
    trie = b"".join(u.to_bytes(4, "little") for u in units)
    return len(trie).to_bytes(4, "little") + trie + texts


CHARSMAP = {"\u00a0": " ", "\u3000": " ", "\n": " ", "\t": " ", "\u200b": "", "\ufb01": "fi", "\u00e9": "e\u0301", "e\u0301": "E", "\u00bd": "1/2", "\u2026": "...", "\uff01": "!", "\u0344": "\u0308\u0301", "\u1112\u1161": "\ud558", "\U0001f600": ":-)"}


def precompiled():
    tokenizer = t5()
    tokenizer.normalizer = normal(normalizers.Precompiled(charsmap(CHARSMAP)), normalizers.Replace(Regex(" {2,}"), " "))
    return tokenizer


def xlm_roberta():
    tokenizer = unigram(normal(normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, "always")]), False)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.decoder = decoders.Metaspace(SPACE, "always")
    return tokenizer


def albert():
    tokenizer = unigram(normal(normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")), pre_tokenizers.Metaspace(SPACE, "always"), False)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s>:0 $A:0 </s>:0", pair="<s>:0 $A:0 </s>:0 $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.decoder = decoders.Metaspace(SPACE, "always")
    return tokenizer


CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def byte_level(*pre, normalizer=None, processor=None, ignore_merges=False):
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=480, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(trained.to_str())["model"]
    tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre[0] if len(pre) == 1 else pre_tokenizers.Sequence(list(pre))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processor or processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def bos_template():
    return processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def wordpiece(**options):
    trained = Tokenizer(models.WordPiece(unk_token="<unk>"))
    trained.normalizer = normalizers.BertNormalizer(**options)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    trained.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    trained.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    trained.decoder = decoders.WordPiece("##", True)
    return trained


KINDS = {
    "llama2": llama2,
    "mistral (Metaspace first, whole)": lambda: metaspace_bpe("first", False),
    "Metaspace always, whole": lambda: metaspace_bpe("always", False),
    "Metaspace never, split": lambda: metaspace_bpe("never", True),
    "Metaspace first, split": lambda: metaspace_bpe("first", True),
    "gemma": gemma,
    "t5": t5,
    "precompiled": precompiled,
    "xlm-roberta": xlm_roberta,
    "albert": albert,
    "llama3": lambda: byte_level(split(LLAMA3), BYTE_LEVEL, ignore_merges=True, processor=processors.Sequence([processors.ByteLevel(trim_offsets=False), bos_template()])),
    "qwen2": lambda: byte_level(split(QWEN2), BYTE_LEVEL, normalizer=normalizers.NFC()),
    "gpt-neox": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True), normalizer=normalizers.NFC(), processor=processors.ByteLevel(add_prefix_space=False, trim_offsets=True)),
    "falcon": lambda: byte_level(pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(False), split(r"[0-9][0-9][0-9]")),
    "smollm": lambda: byte_level(pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "olmo2": lambda: byte_level(split(LLAMA3, "removed", True), BYTE_LEVEL),
    "lfm2": lambda: byte_level(split(r"\p{N}{1,3}(?=(?:\p{N}{3})*\b)"), split(QWEN2), BYTE_LEVEL, processor=bos_template()),
    "opt": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), processor=bos_template()),
    "roberta": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), processor=processors.RobertaProcessing(("</s>", 2), ("<s>", 1), trim_offsets=True, add_prefix_space=True)),
    "bert cased": lambda: wordpiece(lowercase=False),
    "bert uncased": lambda: wordpiece(lowercase=True),
    "bert, accents kept": lambda: wordpiece(lowercase=True, strip_accents=False, handle_chinese_chars=False, clean_text=False),
}  # fmt: skip


# ---- what is compared


def marks(values):
    """16 bits of each value: enough to tell which ones differ."""
    return base64.b64encode(b"".join((zlib.crc32(v) & 0xFFFF).to_bytes(2, "little") for v in values)).decode()


def numbers(values):
    return b"".join(v.to_bytes(4, "little") for v in values)


def golden_of(tokenizer, strings):
    tokenizer.add_tokens(ADDED)
    encodings = [tokenizer.encode(s, add_special_tokens=True) for s in strings]
    plain = [tokenizer.encode(s, add_special_tokens=False) for s in strings]
    rng = random.Random(7)
    size = tokenizer.get_vocab_size()
    sequences = [[rng.randrange(size) for _ in range(rng.randint(1, 12))] for _ in range(100)]
    decode = lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip).encode()
    return {
        "json": json.loads(tokenizer.to_str()),
        "ids": marks(numbers(e.ids) for e in encodings),
        "offsets": marks(numbers([x for pair in e.offsets for x in pair]) for e in plain),
        "decoded": marks(decode(e.ids, False) for e in encodings),
        "skipped": marks(decode(e.ids, True) for e in encodings),
        "sequences": sequences,
        "texts": marks(decode(ids, False) for ids in sequences),
    }


def main():
    odd = odd_strings()
    kinds = {}
    for name, make in KINDS.items():
        kinds[name] = golden_of(make(), STRINGS + odd)
        print(name)
    text = json.dumps({"strings": odd, "kinds": kinds}, ensure_ascii=False, separators=(",", ":"))
    data = gzip.compress(text.encode(), 9, mtime=0)
    (HERE / "kinds.json.gz").write_bytes(data)
    print(f"kinds: {len(data)} bytes")


main()
