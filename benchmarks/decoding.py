"""What a token of greedy decoding costs at full size, by the rows of a batch, and where its time goes.

    python benchmarks/decoding.py MODELS OUT.json

MODELS by benchmarks/full_size_pair.py; random weights. Steps over slots, replayed from a graph, as an evaluation takes
them: by rows; with a longer prompt; by kind of kernel. Then what would change it: attention left out, the rotation of
queries and keys in one kernel, the products of queries, keys and values in one, all but the head compiled. Beside it
the rates at which one linear layer, over and over, and a plain sum read memory. Without MODELS the embedded pair,
which tries the script and measures nothing.
"""

import argparse
import json
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from gpu_time import kind_of
from speed import seconds_of, synchronize
from torch.profiler import ProfilerActivity, profile
from transformers import AttentionInterface

from lab.config import PairConfig
from lab.models import first_step, load_pair
from lab.models.slots import GROUPED, READ, SlotSteps, grouped_attention

ROWS, PROMPT, LONGER, MOST, TIMED = (36, 64, 72, 108, 128, 144), 60, 300, 256, 40
LINEAR_ROWS, TIMES = (36, 72, 144), 10


@torch.no_grad()
def replayed(model, rows: int, prompt: int):
    """Takes one step, after a prompt of so many tokens; the graph is recorded."""
    ids = torch.randint(100, 1000, (rows, prompt), device=model.device)
    places = torch.arange(prompt, device=model.device).expand(rows, -1)
    steps = first_step(model, {"embeds": model.embed(ids)}, torch.ones_like(ids), places, MOST, graphs=True)
    said = [steps.logits.argmax(dim=-1)]

    def step():
        said[0] = steps.step(said[0]).argmax(dim=-1)

    for _ in range(3):
        step()
    return step


@torch.no_grad()
def milliseconds(model, rows: int, prompt: int) -> float:
    """Of a token."""
    step = replayed(model, rows, prompt)
    synchronize()
    began = time.perf_counter()
    for _ in range(TIMED):
        step()
    synchronize()
    return round(1e3 * (time.perf_counter() - began) / TIMED, 2)


@torch.no_grad()
def by_kind(model, rows: int, prompt: int) -> dict[str, list]:
    """Milliseconds of a token, and launches, by kind of kernel."""
    step, times = replayed(model, rows, prompt), 4
    with profile(activities=[ProfilerActivity.CUDA] if torch.cuda.is_available() else [ProfilerActivity.CPU]) as seen:
        for _ in range(times):
            step()
        synchronize()
    spent, launches = Counter(), Counter()
    for row in seen.key_averages():
        if row.self_device_time_total:  # what the host does has none
            spent[kind_of(row.key)] += row.self_device_time_total / 1e3 / times
            launches[kind_of(row.key)] += row.count / times
    return {kind: [round(spent[kind], 2), round(launches[kind])] for kind in spent}


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


@contextmanager
def one_rotation(model):
    """Queries and keys rotated by one kernel, made by PyTorch's compiler, in place of a dozen."""
    module = sys.modules[type(model.model).__module__]
    with patch.object(module, "apply_rotary_pos_emb", torch.compile(module.apply_rotary_pos_emb, dynamic=False)):
        yield


@contextmanager
def one_product(model):
    """Queries, keys and values by one product; on the copies of their weights that it needs."""
    for layer in model.base.layers:
        own = layer.self_attn
        parts = own.q_proj, own.k_proj, own.v_proj
        weight, sizes, made = torch.cat([part.weight for part in parts]), [len(part.weight) for part in parts], []

        def first(x, weight=weight, sizes=sizes, made=made):
            made[:] = F.linear(x, weight).split(sizes, dim=-1)
            return made[0]

        own.q_proj.forward = first
        own.k_proj.forward, own.v_proj.forward = (lambda x, made=made, at=at: made[at] for at in (1, 2))
    try:
        yield
    finally:
        for layer in model.base.layers:
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                del part.forward


@contextmanager
def compiled(model):
    """All of a step but the head, compiled as one."""
    take, whole = SlotSteps.take, torch.compile(model.base.forward, dynamic=False)

    def taken(self, read: int):
        model.base.forward = whole
        try:
            return take(self, read)
        finally:
            del model.base.forward

    with patch.object(SlotSteps, "take", taken):
        yield


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


def bytes_summed(device: torch.device, count: int) -> float:
    """Bytes a second of a plain sum over so many float32."""
    data = torch.zeros(count, device=device)
    return 4 * count / seconds_of(data.sum)


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
    found["kinds"] = by_kind(target, at, PROMPT)
    changes = {"without_attention": without_attention(), "one_rotation": one_rotation(target),
               "one_product": one_product(target), "compiled": compiled(target)}  # fmt: skip
    for name, change in changes.items():
        with change:
            began = time.perf_counter()
            found[f"{name}_ms"] = milliseconds(target, at, PROMPT)
            found[f"{name}_s"] = round(time.perf_counter() - began, 1)  # to make it, and its steps
    found["linear_bytes_a_second"] = {str(count): weights_read(target, count) for count in LINEAR_ROWS}
    found["sum_bytes_a_second"] = bytes_summed(target.device, 2**29 if given.models else 2**20)
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
