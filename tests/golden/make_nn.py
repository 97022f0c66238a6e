"""Layers of PyTorch: how they print, outputs and gradients on fixed weights. Writes nn.json beside this file."""
import json
from pathlib import Path

import torch
from torch import nn

CASES = [
    # layer, positional arguments, keywords, shape of the input
    ("Linear", [5, 3], {}, [2, 4, 5]),
    ("Linear", [3, 2, False], {}, [3]),
    ("Embedding", [6, 3], {"padding_idx": 2}, [2, 4]),
    ("Embedding", [6, 3, -1], {}, [5]),
    ("Embedding", [6, 2], {}, [3, 1]),
    ("LayerNorm", [5], {}, [2, 3, 5]),
    ("LayerNorm", [[3, 4], 1e-3], {"bias": False}, [2, 3, 4]),
    ("LayerNorm", [7], {"elementwise_affine": False}, [2, 7]),
    ("RMSNorm", [5], {}, [2, 3, 5]),
    ("RMSNorm", [[3, 4]], {"eps": 1e-5}, [2, 3, 4]),
    ("RMSNorm", [6, 1e-2, False], {}, [2, 6]),
    ("Conv1d", [3, 4, 3], {}, [2, 3, 7]),
    ("Conv1d", [4, 6, 3, 2, 2, 2, 2, False], {}, [2, 4, 9]),
    ("Conv1d", [2, 3, 4], {"padding": "same"}, [1, 2, 6]),
    ("Conv2d", [2, 3, 3], {}, [2, 2, 5, 4]),
    ("Conv2d", [4, 6, [3, 2]], {"stride": [2, 1], "padding": [1, 0], "groups": 2}, [1, 4, 6, 5]),
    ("Conv2d", [3, 3, 3], {"padding": 2, "dilation": 2, "groups": 3, "bias": False}, [2, 3, 5, 5]),
    ("Conv2d", [2, 2, 2], {"padding": "valid"}, [1, 2, 3, 3]),
    ("Dropout", [0.25], {}, None),
    ("Identity", [], {}, [2, 3]),
    ("ReLU", [], {}, [2, 3]),
    ("GELU", [], {}, [2, 5]),
    ("GELU", ["tanh"], {}, [2, 5]),
    ("SiLU", [], {}, [2, 3]),
    ("Sigmoid", [], {}, [2, 3]),
    ("Tanh", [], {}, [2, 3]),
    ("Softmax", [-1], {}, [2, 3]),
    ("LogSoftmax", [], {"dim": 0}, [2, 3]),
    ("Flatten", [], {}, [2, 3, 2]),
    ("Flatten", [0, 1], {}, [2, 3, 2]),
]


def made(name, args, keywords):
    given = [tuple(a) if isinstance(a, list) else a for a in args]
    if name == "GELU" and given:
        return nn.GELU(approximate=given[0])
    return getattr(nn, name)(*given, **{k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()})


def flat(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().flatten().tolist()]


def run(module, x):
    for p in module.parameters():
        p.data = torch.randn_like(p) * 0.5 + 0.3
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        module.weight.data[module.padding_idx] = 0
    floating = x.is_floating_point()
    y = module(x.requires_grad_() if floating else x)
    weights = torch.randn_like(y)
    y.backward(weights)
    return {
        "state": {k: {"shape": list(v.shape), "data": flat(v)} for k, v in module.state_dict().items()},
        "input": {"shape": list(x.shape), "data": flat(x) if floating else x.flatten().tolist()},
        "output": {"shape": list(y.shape), "data": flat(y)},
        "weights": flat(weights),
        "gradients": {k: flat(p.grad) for k, p in module.named_parameters()},
        "inputGradient": flat(x.grad) if floating else None,
    }


torch.manual_seed(3)
cases = []
for name, args, keywords, shape in CASES:
    module = made(name, args, keywords)
    case = {"layer": name, "args": args, "keywords": keywords, "text": str(module)}
    if shape:
        x = torch.randint(0, 6, shape) if name == "Embedding" else torch.randn(shape)
        case |= run(module, x)
    cases.append(case)

stack = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4), nn.LayerNorm(4), nn.Softmax(-1))
sequential = {"text": str(stack)} | run(stack, torch.randn(2, 1, 3, 4))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 2, padding_idx=0)
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Dropout(0.5)), nn.Linear(2, 2)])
        self.norm = nn.RMSNorm(2, eps=1e-6)

    def extra_repr(self):
        return "width=2"


losses = []
logits, classes, weight = torch.randn(4, 3), torch.tensor([0, 2, -100, 1]), torch.tensor([0.5, 1.0, 2.0])
for options in [{}, {"reduction": "sum"}, {"reduction": "none"}, {"label_smoothing": 0.2}, {"ignore_index": 1}, {"weight": weight, "label_smoothing": 0.1}]:
    target = torch.where(classes == -100, 1, classes) if options.get("ignore_index") == 1 else classes
    loss = nn.CrossEntropyLoss(**options)(logits, target)
    losses.append({"options": {k: v.tolist() if k == "weight" else v for k, v in options.items()}, "target": target.tolist(), "loss": flat(loss)})

out = Path(__file__).parent / "nn.json"
rows = ",\n".join("    " + json.dumps(c) for c in cases)
rest = {"sequential": sequential, "net": str(Net()), "logits": flat(logits), "losses": losses}
out.write_text('{\n  "cases": [\n' + rows + "\n  ],\n" + ",\n".join(f'  "{k}": {json.dumps(v)}' for k, v in rest.items()) + "\n}\n")
print(len(cases), "cases,", out.stat().st_size, "bytes")
