"""str(tensor) of PyTorch for many tensors, and its table of type promotion. Writes print.json beside this file."""
import itertools
import json
import math
from pathlib import Path

import torch

inf, nan = math.inf, math.nan
cases = []


def number(x):
    """JSON has no infinities; -0.0 it has, but JavaScript's writers lose it."""
    if isinstance(x, float) and (math.isinf(x) or math.isnan(x) or (x == 0 and math.copysign(1, x) < 0)):
        return str(x)
    return str(x) if isinstance(x, int) and not isinstance(x, bool) and abs(x) > 2**53 else x


def case(tensor, **how):
    """Small tensors go into the file; of large ones, how they are made (see print.test.ts)."""
    given = {"text": str(tensor), "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    if tensor.requires_grad:
        given["requires_grad"] = True
    cases.append({**given, **(how or {"data": [number(x) for x in tensor.detach().flatten().tolist()]})})


# Without dimensions, at all magnitudes.
for value in [0.0, -0.0, 1.0, -2.0, 0.5, 3.14159265, 1e-3, 1e-4, 9.9e-5, 1e-10, -1e-30, 1e-45, 123456.78, 1e7, 99999999.0, 1e8, 2e8, 3.4e38, inf, -inf, nan]:
    case(torch.tensor(value))
for value in [0, -7, 2**31, 2**62 + 1, -(2**63)]:
    case(torch.tensor(value))
for value in [True, False]:
    case(torch.tensor(value))
for dtype in [torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32]:
    case(torch.tensor(3, dtype=dtype))

# One dimension: whole numbers, fractions, magnitudes apart, what is not finite.
for values in [
    [1.0, 2.0, 3.0],
    [-1.0, 10.0, -100.0],
    [1.5, -2.25, 100.125],
    [1.0, nan],
    [nan, inf, -inf],
    [0.0, nan],
    [1.5, inf, nan, -inf],
    [1e-5, 1.0],
    [1.0, 1000.0],
    [1.0, 1001.0],
    [0.5, 500.0],
    [0.5, 500.5],
    [1e8, 1e8],
    [1e9, 1e9, 0.0],
    [0.0, 0.0, -0.0],
    [0.0, 1e-20],
    [1e-38, 1e-40],
    [12345.678, 0.1234],
    # Halves of the last digit: Python rounds them to even.
    [0.03125, 0.09375, 0.15625, 0.21875, -0.03125],
    [1.03125, 2.09375, 1000.03125],
    [1000000.5, 1000001.5, 2.0],
    [33554450.0, 1.0, 100005000.0, 100015000.0],
]:
    case(torch.tensor(values))
case(torch.tensor([1, -20, 300]))
case(torch.tensor([2**60, -1]))
case(torch.tensor([True, False, True]))
case(torch.tensor([0.1, 0.2, 65504.0], dtype=torch.float16))
case(torch.tensor([0.1, -3.0, 6e-8], dtype=torch.float16))
case(torch.tensor([0.1, 0.2, 3e38], dtype=torch.bfloat16))
case(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
case(torch.tensor([-128, 127], dtype=torch.int8))
case(torch.tensor([0, 255], dtype=torch.uint8))
case(torch.tensor([[1, 2], [3, -4]], dtype=torch.int32))

# Empty ones.
for shape in [(0,), (0, 3), (2, 0), (2, 0, 4)]:
    case(torch.zeros(shape))
    case(torch.zeros(shape, dtype=torch.int64))
case(torch.zeros(0, dtype=torch.bool))
case(torch.zeros(0, dtype=torch.float16))

# More dimensions, and lines that wrap at 80 columns.
made = torch.Generator().manual_seed(5)
short = lambda *shape: (torch.randn(shape, generator=made) * 64).round() / 16
case(short(2, 3))
case(short(1, 1))
case(short(2, 2, 2))
case(short(2, 1, 2, 3))
case(short(1, 2, 1, 2, 2))
case(short(3, 1))
case(short(30))
case(short(2, 12))
case(short(2, 2, 11))
case(torch.arange(40))
case(torch.arange(24).reshape(2, 12) * 100000)
case(torch.randn(12, generator=made).mul(1000).round().div(1e6))
case(torch.tensor([[True, False], [False, True]]))

# Above 1,000 elements only the edges.
for shape in [(1000,), (1001,), (2000,), (6, 200), (40, 40), (7, 7, 30), (2, 600), (501, 2), (1001, 1), (3, 5, 7, 11)]:
    n = math.prod(shape)
    case(torch.arange(n).reshape(shape), arange=1)
    if n > 1000:
        case((torch.arange(n, dtype=torch.float32) / 8).reshape(shape), arange=0.125)
case((torch.arange(4096, dtype=torch.float32) / 64).to(torch.bfloat16).reshape(64, 64), arange=1 / 64)

# Suffixes, and where they go to a line of their own.
case(torch.tensor([1.0, 2.0], requires_grad=True))
case(torch.tensor(1.5, requires_grad=True))
case(torch.zeros((0, 2), requires_grad=True))
case(torch.tensor([0.5, 1.5], dtype=torch.bfloat16, requires_grad=True))
for n in [8, 9, 10]:
    case(short(n).requires_grad_())
    case(short(n).to(torch.float16))
    case(short(n).to(torch.bfloat16).requires_grad_())
    case(short(2, n).requires_grad_())

NAMES = ["float32", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "bool"]
promotion = {
    f"{a} {b}": str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
    for a, b in itertools.product(NAMES, NAMES)
}
out = Path(__file__).parent / "print.json"
rows = ",\n".join("    " + json.dumps(c) for c in cases)
out.write_text('{\n  "cases": [\n' + rows + '\n  ],\n  "promotion": ' + json.dumps(promotion) + "\n}\n")
print(len(cases), "cases,", out.stat().st_size, "bytes")
