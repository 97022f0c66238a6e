"""Loads models that rushlight saved, beside the golden ones they came from. See with-python.mjs."""

import io
import json
import logging
import sys
from pathlib import Path

import torch
import transformers

saved, golden = map(Path, sys.argv[1:])
transformers.logging.set_verbosity_warning()
transformers.logging.disable_progress_bar()
failed = 0
for folder in sorted(saved.iterdir()):
    cls = getattr(transformers, json.loads((golden / folder.name / "golden.json").read_text())["class"])
    said = logging.StreamHandler(io.StringIO())
    logging.getLogger("transformers").addHandler(said)
    ours, info = cls.from_pretrained(folder, output_loading_info=True)
    logging.getLogger("transformers").removeHandler(said)
    theirs = cls.from_pretrained(golden / folder.name)
    problems = [said.stream.getvalue().strip(), *(f"{k}: {v}" for k, v in info.items() if v)]
    for name, tensor in theirs.state_dict().items():
        if not torch.equal(ours.state_dict()[name], tensor):
            problems.append(f"{name} differs")
    problems = [p for p in problems if p]
    failed += bool(problems)
    print(f"{folder.name}: {'; '.join(problems) or 'the same, no warning'}")
sys.exit(f"{failed} failed" if failed else None)
