"""What a target in 8 or 4 bits costs: nats per token of the gold answers, with the question as text.

    python benchmarks/quantised.py RESULTS.json mini
    python benchmarks/quantised.py RESULTS.json small GSM8K_FOLDER 200

The same questions and tokens for each (MiniGSM's dev questions for the embedded pair, GSM8K's test questions for any
other). The difference to the unpacked target is paired token by token; its 95 % interval takes questions as clusters.
Beside it the bytes of the target's weights, which layers are packed, and how the gradient on the prompt's embeddings,
by which soft tokens are trained, lies to the unpacked one (mean cosine over questions). A pair's results are added to
the file.
"""

import argparse
import json
import platform
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers

from lab.config import TEXT, PairConfig, TaskConfig
from lab.evidence.crossed import mean_interval
from lab.models import FrozenModel, answer_logits, build_inputs, load_pair, packed_layers
from lab.models.fingerprints import plain_tensors
from lab.tasks import load_task, surroundings

BITS = (0, 8, 4)  # 0: none is packed
GRADIENTS = 20  # questions whose gradient is compared


def read(target: FrozenModel, questions: list, shared: dict) -> tuple[list[list[float]], list[torch.Tensor]]:
    """(nats of each gold token, question by question; gradients on the prompts of the first `GRADIENTS`)."""
    nats, gradients = [], []
    for number, question in enumerate(questions):
        context = {**shared, "question": question.question}
        inputs = build_inputs(target, target.reads(TEXT), None, [context], [question.answer])
        inputs.embeds = inputs.embeds.detach().requires_grad_(number < GRADIENTS)
        with torch.set_grad_enabled(number < GRADIENTS):
            logits, labels = answer_logits(target, inputs)
            losses = F.cross_entropy(logits.float(), labels, reduction="none")
        if number < GRADIENTS:
            (gradient,) = torch.autograd.grad(losses.mean(), inputs.embeds)
            gradients.append(gradient[0, : inputs.prompt_lengths[0]].flatten().float())
        nats.append(losses.tolist())
    return nats, gradients


def measured(name: str, data: str, count: int) -> dict:
    """The results of one pair: by bits, its loss and what it is compared with."""
    task = load_task(TaskConfig(task="minigsm") if name == "mini" else TaskConfig(task="gsm8k", data=data))
    questions = (task.dev() if name == "mini" else task.test())[: count or None]
    shared, found, plain = surroundings(task, 0), {}, None
    for bits in BITS:
        target = load_pair(PairConfig(pair=name, target_bits=bits)).target
        nats, gradients = read(target, questions, shared)
        plain = plain or (nats, gradients)
        tokens = [token for row in nats for token in row]
        held = {tensor.data_ptr(): tensor.nbytes for _, tensor in plain_tensors(target.model.state_dict())}
        row = {"nats_per_token": sum(tokens) / len(tokens), "weights_mib": sum(held.values()) / 2**20}
        if bits:
            apart = [one - other for row, before in zip(nats, plain[0], strict=True)
                     for one, other in zip(row, before, strict=True)]  # fmt: skip
            clusters = [number for number, row in enumerate(nats) for _ in row]
            interval = mean_interval(apart, clusters)
            row |= {"more": interval["mean"], "ci95": [interval["low"], interval["high"]]}
            alike = [F.cosine_similarity(*both, dim=0).item() for both in zip(gradients, plain[1], strict=True)]
            row["gradient_cosine"] = sum(alike) / len(alike)
            row["packed"] = kinds(target)
        found[str(bits)] = row
    about = {"dtype": str(target.dtype).removeprefix("torch."), "device": target.device.type, "task": task.name,
             "questions": len(questions), "tokens": len(tokens)}  # fmt: skip
    return about | {"bits": found}


def kinds(target: FrozenModel) -> dict[str, int]:
    """How many layers of each name and shape are packed."""
    layers = packed_layers(target.model).items()
    names = (f"{name.rpartition('.')[2]} {layer.in_features} -> {layer.out_features}" for name, layer in layers)
    return dict(Counter(names))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("count", nargs="?", type=int, default=0)
    out, name, data, count = vars(parser.parse_args()).values()
    results = json.loads(out.read_text()) if out.exists() else {}
    versions = {module.__name__: module.__version__ for module in (torch, transformers)}
    results[name] = {"machine": platform.machine(), **versions, **measured(name, data, count)}
    out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{name}: {results[name]['questions']} questions, {results[name]['tokens']} tokens")
    for bits, row in results[name]["bits"].items():
        more = f"{row['more']:+.4f} [{row['ci95'][0]:+.4f}, {row['ci95'][1]:+.4f}]" if "more" in row else ""
        print(f"{bits:>2} bits  {row['nats_per_token']:.4f} nats per token  {row['weights_mib']:8.1f} MiB  {more}")
