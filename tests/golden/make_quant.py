"""Writes numbers, the blocks that Python's gguf rounds them to, and what it reads back from those, for tests/quant; and what it
reads from random blocks of every type (their bytes come from a generator that the test has too)."""
import base64
import hashlib
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

# Every block type: 256 blocks of random bytes, whose float16 numbers are finite, then 32 with special ones.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "IQ4_XS": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x3C00]


def generator(seed):
    state = seed
    while True:
        state = (state * 1664525 + 1013904223) % 2**32
        yield state >> 24


def random_blocks(name, count, special):
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]
    byte = generator(size)
    data = np.array([next(byte) for _ in range((count + special) * size)], np.uint8).reshape(-1, size)
    for i, block in enumerate(data):
        for j, at in enumerate(HALVES[name]):
            half = int(block[at]) | int(block[at + 1]) << 8
            if half & 0x7C00 == 0x7C00:
                half &= 0xBFFF
            if i >= count:
                half = SPECIAL[(i * (1 + 6 * j) + j) % len(SPECIAL)]
            block[at], block[at + 1] = half & 255, half >> 8
    return data


def sha256(values):
    bits = np.where(np.isnan(values), np.float32("nan"), values).astype(np.float32).view(np.uint32)
    bits[np.isnan(values)] = 0x7FC00000  # one NaN is as good as another
    return hashlib.sha256(bits.tobytes()).hexdigest()


unpacked = {}
with np.errstate(all="ignore"):
    for name in HALVES:
        values = gguf.dequantize(random_blocks(name, 256, 32), gguf.GGMLQuantizationType[name])
        assert np.isfinite(values[:256]).all()
        unpacked[name] = {"first": text(values[0]), "finite": sha256(values[:256]), "special": sha256(values[256:])}
(pathlib.Path(__file__).parent / "blocks.json").write_text(json.dumps(unpacked, indent=1) + "\n")
