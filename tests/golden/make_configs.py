"""Writes configs.json: the defaults of each architecture's configuration, and how many parameters its models then have.

    python tests/golden/make_configs.py            (versions and formats: tests/golden/README.md)
"""

import json
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

from make_models import dump

TYPES = (
    "bert bloom distilbert falcon gemma gemma2 gemma3_text gpt2 gpt_neo gpt_neox granite lfm2 llama mamba mistral olmo2 olmoe opt phi phi3 "
    "qwen2 qwen2_moe qwen3 smollm3 stablelm starcoder2"
).split()
CLASSES = {"base": AutoModel, "causal-lm": AutoModelForCausalLM, "masked-lm": AutoModelForMaskedLM, "sequence-classification": AutoModelForSequenceClassification}


def sizes(config):
    """Parameters by task, of those that there are; nothing is allocated."""
    for task, auto in CLASSES.items():
        if type(config) in auto._model_mapping:
            with torch.device("meta"):
                yield task, sum(p.numel() for p in auto.from_config(config).parameters())


def main():
    transformers.logging.set_verbosity_error()
    out = {}
    for name in TYPES:
        config = AutoConfig.for_model(name)
        defaults = {k: v for k, v in config.to_dict().items() if k != "transformers_version"}
        out[name] = {"defaults": defaults, "parameters": dict(sizes(config))}
    file = Path(__file__).parent / "configs.json"
    file.write_text(dump(json.loads(json.dumps(out))) + "\n")
    print(f"{file.name}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
