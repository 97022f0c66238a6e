"""PyTorch's training step of the Llama in the table: forward, backward, AdamW, on the CPU. Prints what the .mjs scripts print.

    python benchmarks/peers/torch_train.py [--threads N] [--seconds 1]      (torch, transformers)
"""

import argparse
import json
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seconds", type=float, default=1)
options, _ = parser.parse_known_args()

config = LlamaConfig(
    vocab_size=4096, hidden_size=256, intermediate_size=688, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4,
    max_position_embeddings=128,
)  # fmt: skip
torch.manual_seed(0)
model = LlamaForCausalLM(config).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
ids = torch.randint(0, 4096, (16, 128))


def step():
    optimizer.zero_grad()
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()


torch.set_num_threads(options.threads)
step()
step()
fastest, runs, until = float("inf"), 0, time.perf_counter() + options.seconds
while runs < 3 or time.perf_counter() < until:
    start = time.perf_counter()
    step()
    fastest, runs = min(fastest, time.perf_counter() - start), runs + 1
line = {"who": "PyTorch", "work": "training step", "threads": options.threads, "value": round(fastest * 1000, 1), "unit": "ms"}
print(json.dumps(line))
