"""Writes generation/generate.json: what transformers' generate() makes of the small golden models, option by option.

    python tests/golden/make_generation.py        (after make_models*.py; versions: tests/golden/README.md)

Greedy and beam results alone: sampling is tested by its distribution. Near ties would make results a matter of rounding: beams are
checked in float64 too.
"""

import json
import warnings
from pathlib import Path

import torch
import transformers
from transformers import GenerationConfig, StoppingCriteria

from make_models import HERE, dump, padded, shortest

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

PAD = 0


def numbers(tensor):
    return shortest(tensor.float().numpy())


def run(model, inputs, options):
    config = GenerationConfig(**{"return_dict_in_generate": True, **options})
    return model.generate(**inputs, generation_config=config)


def cases(name, assistant=None):
    folder = HERE / "models" / name
    golden = json.loads((folder / "golden.json").read_text())
    cls = getattr(transformers, golden["class"])
    load = lambda dtype: cls.from_pretrained(folder, dtype=dtype).eval()
    model, double = load(torch.float32), load(torch.float64)
    model.generation_config = double.generation_config = GenerationConfig()
    vocab = model.config.vocab_size
    generator = torch.Generator().manual_seed(len(name))
    ids = torch.randint(3, vocab, (3, 9), generator=generator)
    ids[0, 3:6] = ids[0, 6:9]  # something that comes again
    batch, mask = padded(ids, [9, 5, 7], PAD, "left")
    one, many = {"input_ids": ids[:1]}, {"input_ids": batch, "attention_mask": mask}
    out = []

    def case(label, inputs, **options):
        found = run(model, inputs, options)
        exact = run(double, inputs, options)
        if found.sequences.shape != exact.sequences.shape or not torch.equal(found.sequences, exact.sequences):
            print(f"{name}: {label}: left out, a matter of rounding")
            return found
        entry = {"name": label, **{k: v.tolist() for k, v in inputs.items()}, "options": options, "sequences": found.sequences.tolist()}
        for key in ("sequences_scores",):
            if getattr(found, key, None) is not None:
                entry[key] = numbers(getattr(found, key))
        if getattr(found, "beam_indices", None) is not None:
            entry["beam_indices"] = found.beam_indices.tolist()
        if options.get("output_scores"):
            # Of each row and step: the best token and its score, and the sum of all that are finite.
            entry["scores"] = [[[int(row.argmax()), *numbers(torch.stack([row.max(), row[row.isfinite()].sum()]))] for row in step] for step in found.scores]
            beams = getattr(found, "beam_indices", None)
            entry["transition_scores"] = numbers(model.compute_transition_scores(found.sequences, found.scores, beams, normalize_logits=True))
        out.append(entry)
        return found

    first = case("greedy with scores", many, max_new_tokens=6, pad_token_id=PAD, output_scores=True, output_logits=True)
    new = first.sequences[:, 9:]
    end = [int(new[0, 3]), int(new[1, 1])]
    case("ends", many, max_new_tokens=10, pad_token_id=PAD, eos_token_id=end)
    case("no_repeat_ngram_size", one, max_new_tokens=14, pad_token_id=PAD, no_repeat_ngram_size=2)
    case("no_repeat_ngram_size in a batch", many, max_new_tokens=14, pad_token_id=PAD, no_repeat_ngram_size=3)
    case("encoder_no_repeat_ngram_size", many, max_new_tokens=10, pad_token_id=PAD, encoder_no_repeat_ngram_size=1)
    case("repetition penalties", one, max_new_tokens=12, pad_token_id=PAD, repetition_penalty=1.3, encoder_repetition_penalty=1.4)
    words = [[int(new[0, 0])], [int(new[0, 1]), int(new[0, 2])], [end[0]]]
    case("bad_words_ids", many, max_new_tokens=10, pad_token_id=PAD, eos_token_id=end[0], bad_words_ids=words)
    case("sequence_bias", many, max_new_tokens=10, pad_token_id=PAD, sequence_bias=[[[5], 3.0], [[int(new[0, 0]), 7], 6.0], [[int(new[1, 0])], -9.0]])
    case("suppress_tokens", many, max_new_tokens=8, pad_token_id=PAD, suppress_tokens=[int(x) for x in new[:, 0]], begin_suppress_tokens=[int(x) for x in new[:, 1]])
    case("forced_eos_token_id", many, max_new_tokens=6, pad_token_id=PAD, eos_token_id=2, forced_eos_token_id=2, min_new_tokens=6)
    case("min_new_tokens", many, max_new_tokens=9, pad_token_id=PAD, eos_token_id=end, min_new_tokens=5)
    case("min_length", many, max_length=20, pad_token_id=PAD, eos_token_id=end, min_length=13)
    case("exponential_decay_length_penalty", many, max_new_tokens=12, pad_token_id=PAD, eos_token_id=end, exponential_decay_length_penalty=(3, 1.5))
    case("renormalize_logits", one, max_new_tokens=4, pad_token_id=PAD, renormalize_logits=True, remove_invalid_values=True, output_scores=True)
    case("default length", one, pad_token_id=PAD)
    case("guidance_scale", one, max_new_tokens=8, pad_token_id=PAD, guidance_scale=1.6)
    case("static cache", many, max_new_tokens=8, pad_token_id=PAD, cache_implementation="static")
    case("prompt_lookup_num_tokens", one, max_new_tokens=14, pad_token_id=PAD, prompt_lookup_num_tokens=4)

    beams = dict(pad_token_id=PAD, num_beams=4)
    case("beams", one, max_new_tokens=10, output_scores=True, **beams)
    case("beams in a batch", many, max_new_tokens=10, eos_token_id=end, num_return_sequences=3, output_scores=True, **beams)
    for early in (True, False, "never"):
        for penalty in (0.0, 1.0, 2.5, -1.0):
            case(f"beams, early_stopping {early}, length_penalty {penalty}", many, max_new_tokens=9, eos_token_id=[*end, 7, 11], early_stopping=early, length_penalty=penalty, num_return_sequences=2, output_scores=True, **beams)
    case("beams with processors", many, max_new_tokens=10, eos_token_id=end, no_repeat_ngram_size=2, repetition_penalty=1.2, min_new_tokens=3, num_return_sequences=4, **beams)
    case("beams without a cache", one, max_new_tokens=8, eos_token_id=end, use_cache=False, **beams)
    case("two beams", many, max_new_tokens=8, eos_token_id=end[1], pad_token_id=PAD, num_beams=2, num_return_sequences=2, output_scores=True)
    return {"model": name, "cases": out}


def stops():
    """Where stop_strings end the Shakespeare model's text."""
    folder = HERE.parent.parent / "examples" / "train-shakespeare" / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    out = []
    inputs = tokenizer("ROMEO:\nWhat", return_tensors="pt")
    whole = tokenizer.decode(model.generate(**inputs, max_new_tokens=40, do_sample=False)[0])
    tail = whole[len("ROMEO:\nWhat"):]
    for stop in ([tail[9:13]], [tail[20:22], tail[15:18]], ["\n"], [" "], [tail[3:4]], ["never there"]):
        found = model.generate(**inputs, max_new_tokens=40, do_sample=False, stop_strings=stop, tokenizer=tokenizer)
        out.append({"stop_strings": stop, "input_ids": inputs["input_ids"].tolist(), "sequences": found.tolist()})
    return out


def main():
    golden = {
        "models": [cases(name) for name in ("llama-mha", "mistral", "gpt-neox") if (HERE / "models" / name).exists()],
        "stops": stops(),
    }
    file = HERE / "generation" / "generate.json"
    file.write_text(dump(golden) + "\n")
    print(f"{file.stat().st_size // 1024} KiB, {[len(m['cases']) for m in golden['models']]} cases")


if __name__ == "__main__":
    main()
