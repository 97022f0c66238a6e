"""Ten steps of PyTorch's optimizers on given gradients, and learning rates over time. Writes optim.json beside this file."""
import json
from pathlib import Path

import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

STEPS = 10
SHAPES = [(7, 5), (3,)]
CASES = [
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
]

torch.manual_seed(1)
initial = [torch.randn(shape) for shape in SHAPES]
# Gradients of very different sizes, some of them zero.
gradients = [[torch.randn(shape) * 10.0 ** (-step % 4) * (torch.rand(shape) > 0.1) for shape in SHAPES] for step in range(STEPS)]


def flat(tensors):
    return [float(f"{x:.9g}") for t in tensors for x in t.detach().flatten().tolist()]


def run(name, options, max_norm=None):
    params = [torch.nn.Parameter(x.clone()) for x in initial]
    optimizer = getattr(torch.optim, name)(params, foreach=False, **options)
    after, norms = {}, []
    for step in range(STEPS):
        for p, g in zip(params, gradients[step]):
            p.grad = g.clone()
        if max_norm:
            norms.append(float(torch.nn.utils.clip_grad_norm_(params, max_norm)))
        optimizer.step()
        if step + 1 in (1, 2, 5, STEPS):
            after[step + 1] = flat(params)
    return {"name": name, "options": options, "max_norm": max_norm, "norms": norms, "after": after}


def rates(make):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups)
    scheduler = make(optimizer)
    out = []
    for _ in range(14):
        out.append(scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
    return out


golden = {
    "shapes": SHAPES,
    "initial": flat(initial),
    "gradients": [flat(g) for g in gradients],
    "cases": [run(*case) for case in CASES] + [run("SGD", {"lr": 0.1}, max_norm=0.5)],
    "schedules": {
        "linear": rates(lambda o: get_linear_schedule_with_warmup(o, 3, 12)),
        "cosine": rates(lambda o: get_cosine_schedule_with_warmup(o, 3, 12)),
        "cosine_cycles": rates(lambda o: get_cosine_schedule_with_warmup(o, 0, 10, 1.5)),
    },
}
path = Path(__file__).parent / "optim.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path.stat().st_size, "bytes")
