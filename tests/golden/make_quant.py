"""Writes numbers, the blocks that Python's gguf rounds them to, and what it reads back from those, for tests/quant."""
import base64
import json
import pathlib

import gguf
import numpy as np

rng = np.random.default_rng(0)
ramp = np.arange(32, dtype=np.float32)
blocks = [
    np.zeros(32),
    np.full(32, 3.25),
    np.full(32, -0.001),
    np.eye(32)[5] * -7,
    (ramp - 16) / 2 * (127 / 8),  # halves, which Q8_0 rounds away from zero
    np.where(ramp % 2 == 0, 1, -1) * 2.5,  # the first of two extremes counts
    np.where(ramp % 2 == 0, -1, 1) * 2.5,
    ramp,
    -ramp * 1000,
    ramp * 1e-6,  # subnormal scales
    (ramp - 9) * 3e-8,  # about the least float16
    (ramp - 9) * 1e-10,  # scales that become 0
    (ramp - 2) * 10000,  # about the largest float16
]
blocks += [rng.normal(0, scale, 32) for scale in (1e-3, 0.02, 0.3, 1, 40, 3000) for _ in range(6)]
x = np.stack(blocks).astype(np.float32)


def text(a):
    return base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()


golden = {"x": text(x)}
for name in ("Q4_0", "Q4_1", "Q8_0"):
    kind = gguf.GGMLQuantizationType[name]
    packed = gguf.quantize(x, kind)
    values = gguf.dequantize(packed, kind)
    assert np.isfinite(values).all()
    golden[name.lower()] = {"blocks": text(packed), "values": text(values)}
(pathlib.Path(__file__).parent / "quant.json").write_text(json.dumps(golden, indent=1) + "\n")
