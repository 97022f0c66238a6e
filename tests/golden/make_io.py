"""Writes small safetensors, GGUF and torch.save files with Python's own writers, and what is in them, for tests/io."""
import collections
import datetime
import json
import math
import pathlib

import gguf
import numpy as np
import safetensors.torch
import torch

here = pathlib.Path(__file__).parent / "io"
here.mkdir(exist_ok=True)
torch.manual_seed(0)
rng = np.random.default_rng(0)


def write_safetensors():
    ramp = torch.arange(-6, 6).reshape(3, 4)
    tensors = {
        "f64": ramp.double() / 3,
        "f32": ramp.float() / 7,
        "f16": (ramp / 5).half(),
        "bf16": (ramp / 5).bfloat16(),
        "f8_e4m3": ramp.float().to(torch.float8_e4m3fn),
        "f8_e5m2": ramp.float().to(torch.float8_e5m2),
        "i64": ramp * 2**40,
        "i32": ramp.int() * 1000,
        "i16": ramp.short() * 100,
        "i8": ramp.char(),
        "u8": ramp.abs().byte(),
        "u16": ramp.abs().to(torch.uint16),
        "u32": ramp.abs().to(torch.uint32),
        "u64": ramp.abs().to(torch.uint64),
        "bool": ramp > 0,
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 4),
        "7": torch.ones(2),  # a name that JavaScript objects would put first
        "__proto__": torch.full((2,), 2.0),
        "größe.權重": torch.zeros(1),
    }
    path = here / "types.safetensors"
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with safetensors.safe_open(path, "pt") as f:
        return {
            name: {
                "dtype": f.get_slice(name).get_dtype(),
                "shape": list(t.shape),
                "hex": t.contiguous().flatten().view(torch.uint8).numpy().tobytes().hex() if t.numel() else "",
            }
            for name, t in tensors.items()
        }


def write_gguf():
    path = here / "types.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    values = {
        "uint8": 200,
        "int8": -100,
        "uint16": 60000,
        "int16": -30000,
        "uint32": 4000000000,
        "int32": -2000000000,
        "float32": 0.25,
        "bool": True,
        "string": "größe 權重 🕯",
        "uint64": 2**63 + 1,
        "int64": -(2**40),
        "float64": 1 / 3,
    }
    for name, value in values.items():
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    lists = {
        "tokens": ["<s>", "", "ein", "🕯"],
        "scores": [0.5, -1.5],
        "types": [1, -2, 3],
        "flags": [True, False],
    }
    for name, value in lists.items():
        writer.add_array(f"test.{name}", value)

    data = rng.standard_normal((3, 64)).astype(np.float32)
    tensors = {}
    for name, kind in [("f32", "F32"), ("f16", "F16"), ("bf16", "BF16"), ("q8_0", "Q8_0"), ("q4_0", "Q4_0"), ("q4_1", "Q4_1")]:
        quantized = gguf.quants.quantize(data, gguf.GGMLQuantizationType[kind])
        raw = kind not in ("F32", "F16")
        writer.add_tensor(name, quantized, raw_dtype=gguf.GGMLQuantizationType[kind] if raw else None)
        tensors[name] = {"type": kind, "shape": [3, 64], "hex": quantized.tobytes().hex()}
    odd = np.arange(5, dtype=np.int32)  # 20 bytes: the next one begins after padding
    writer.add_tensor("i32", odd)
    tensors["i32"] = {"type": "I32", "shape": [5], "hex": odd.tobytes().hex()}
    four = np.arange(24, dtype=np.float32).reshape(2, 3, 1, 4)
    writer.add_tensor("four", four)
    tensors["four"] = {"type": "F32", "shape": [2, 3, 1, 4], "hex": four.tobytes().hex()}

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    values["uint64"] = str(values["uint64"])
    return {"values": values, "lists": lists, "tensors": tensors}


def write_torch():
    """The same state_dict by torch.save in several ways."""
    ramp = torch.arange(-6, 6).reshape(3, 4)
    shared = torch.arange(20).float() / 3
    state = {
        "f32": ramp.float() / 7,
        "f64": ramp.double() / 3,
        "f16": (ramp / 5).half(),
        "bf16": (ramp / 5).bfloat16(),
        "f8": ramp.float().to(torch.float8_e4m3fn),
        "i64": ramp * 2**40,
        "i32": ramp.int() * 1000,
        "i16": ramp.short() * 100,
        "i8": ramp.char(),
        "u8": ramp.abs().byte(),
        "u16": ramp.abs().to(torch.uint16),
        "bool": ramp > 0,
        "transposed": (ramp.float() / 9).t(),
        "permuted": torch.arange(24).float().reshape(2, 3, 4).permute(2, 0, 1),
        "every_second": shared[1::2],
        "shared": shared[4:12].view(2, 4),
        "tied.one": shared,
        "tied.two": shared,
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(ramp.float()),
        "größe.權重": torch.ones(2),
        "__proto__": torch.full((2,), 2.0),
    }
    ordered = collections.OrderedDict(state)
    ordered._metadata = {"": {"version": 1}}  # as Module.state_dict() has it
    torch.save(ordered, here / "state.bin")
    older = {name: t for name, t in state.items() if name not in ("f8", "u16")}
    torch.save(older, here / "legacy.pt", _use_new_zipfile_serialization=False)
    small = {"a": torch.ones(2, 2), "b": torch.zeros(1).half()}
    note = {"epoch": 3, "lr": 1e-4, "name": "x", "sizes": torch.Size([2, 3]), "flags": [True, None, (1, 2)], "big": 2**80}
    torch.save({"state_dict": {**small, "step": 7}, **note}, here / "nested.pt", pickle_protocol=4)
    torch.save({"model": small, "when": datetime.timedelta(1)}, here / "callable.pt")
    linear = torch.nn.Linear(2, 2)
    torch.save(linear, here / "module.pt")
    contiguous = {
        name: {"shape": list(t.shape), "hex": t.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes().hex() if t.numel() else ""}
        for name, t in state.items()
    }
    return contiguous


def write_split():
    """A GGUF file in three parts by Python's writer."""
    path = here / "split.gguf"
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=2)
    writer.add_string("test.name", "split")
    for i in range(5):
        writer.add_tensor(f"t{i}", np.full((2, 3), i, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def eight_bits():
    """What each byte means, as bfloat16: 256 values of each type."""
    types = {
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
        "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
        "F8_E8M0": torch.float8_e8m0fnu,
    }
    every = torch.arange(256).byte()
    return {
        name: ["nan" if math.isnan(x) else x if math.isfinite(x) else str(x) for x in every.view(t).double().tolist()]
        for name, t in types.items()
    }


expected = {"safetensors": write_safetensors(), "gguf": write_gguf(), "torch": write_torch(), "eight_bits": eight_bits()}
write_split()
(here / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")
