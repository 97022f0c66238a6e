"""Exports all-MiniLM-L6-v2 to ONNX for the peers that need it.

    python benchmarks/peers/export_minilm.py      (torch, transformers, onnx, onnxscript; after npm run models)
"""

import os
from pathlib import Path

import torch
from transformers import AutoModel


class LastHidden(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state


cache = Path(os.environ.get("RUSHLIGHT_MODELS") or Path.home() / ".cache/rushlight/models")
folder, out = cache / "all-MiniLM-L6-v2", cache / "all-MiniLM-L6-v2.onnx"
model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
names = ["input_ids", "attention_mask", "token_type_ids"]
ids = torch.randint(1000, 2000, (2, 16))
inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
shape = {0: torch.export.Dim("batch", max=4096), 1: torch.export.Dim("sequence", max=512)}
torch.onnx.export(
    LastHidden(model), inputs, out, input_names=names, output_names=["last_hidden_state"],
    dynamic_shapes=tuple(shape for _ in names), external_data=False, dynamo=True,
)  # fmt: skip
