"""What a token of greedy decoding costs at full size, by the rows of a batch, and what of it is reading the weights.

    python benchmarks/decoding.py MODELS OUT.json

MODELS by benchmarks/full_size_pair.py; random weights. Steps over slots, replayed from a graph, as an evaluation takes
them: by rows; with a longer prompt; with attention left out; with every layer compiled. Beside it one linear layer of
the target's, over and over: the rate at which a plain product reads weights when few rows ask for them. Without MODELS
the embedded pair, which tries the script and measures nothing.
"""

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from speed import synchronize
from transformers import AttentionInterface

from lab.config import PairConfig
from lab.models import first_step, load_pair
from lab.models.slots import GROUPED, READ, grouped_attention

ROWS, PROMPT, LONGER, MOST, TIMED = (36, 64, 72, 108, 128, 144), 60, 300, 256, 40
LINEAR_ROWS, TIMES = (36, 72, 144), 10


@torch.no_grad()
def milliseconds(model, rows: int, prompt: int) -> float:
    """Of a token, after a prompt of so many, once the graph is recorded."""
    ids = torch.randint(100, 1000, (rows, prompt), device=model.device)
    places = torch.arange(prompt, device=model.device).expand(rows, -1)
    steps = first_step(model, {"embeds": model.embed(ids)}, torch.ones_like(ids), places, MOST, graphs=True)
    token = steps.logits.argmax(dim=-1)
    for _ in range(3):
        token = steps.step(token).argmax(dim=-1)
    synchronize()
    began = time.perf_counter()
    for _ in range(TIMED):
        token = steps.step(token).argmax(dim=-1)
    synchronize()
    return 1e3 * (time.perf_counter() - began) / TIMED


def slots_read(prompt: int) -> int:
    """How many slots attention reads while a token is timed."""
    return -(-(prompt + TIMED) // READ) * READ


@contextmanager
def without_attention():
    def left_out(module, query, key, value, attention_mask, **ignored):
        rows, heads, _, size = query.shape
        return query.reshape(rows, 1, heads, size), None

    AttentionInterface.register(GROUPED, left_out)
    try:
        yield
    finally:
        AttentionInterface.register(GROUPED, grouped_attention)


def compiled(model) -> None:
    for layer in model.base.layers:
        layer.forward = torch.compile(layer.forward)


@torch.no_grad()
def weights_read(model, rows: int) -> float:
    """Bytes a second, of one linear layer's weights after the other's."""
    weights = [layer.mlp.gate_proj.weight for layer in model.base.layers]
    x = torch.randn(rows, weights[0].shape[1], device=model.device, dtype=model.dtype)
    for count in (2, TIMES):
        synchronize()
        began = time.perf_counter()
        for _ in range(count):
            for weight in weights:
                F.linear(x, weight)
        synchronize()
    size = sum(weight.numel() * weight.element_size() for weight in weights)
    return TIMES * size / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="?")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    pair = {"pair": "mini"}
    if given.models:
        pair = {"pair": "custom", "source": f"random:{given.models / 'mistral-7b'}", "dtype": "bfloat16",
                "target": f"random:{given.models / 'llama-3.1-8b'}", "fused_kernels": True}  # fmt: skip
    target = load_pair(PairConfig(**pair)).target
    rows = ROWS if given.models else (4,)
    found = {"ms": {str(count): milliseconds(target, count, PROMPT) for count in rows}}
    at = 72 if given.models else 4
    longer = LONGER if given.models else PROMPT
    found |= {"tokens": TIMED, "rows": at, "slots": slots_read(PROMPT), "longer_slots": slots_read(longer)}
    found["longer_ms"] = milliseconds(target, at, longer)
    with without_attention():
        found["without_attention_ms"] = milliseconds(target, at, PROMPT)
    found["linear_bytes_a_second"] = {str(count): weights_read(target, count) for count in LINEAR_ROWS}
    if given.models:
        compiled(target)
        found["compiled_ms"] = [milliseconds(target, at, PROMPT) for _ in range(2)][-1]
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
