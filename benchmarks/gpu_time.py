"""Where a GPU's time goes: the kernels of a training step and of an evaluation, by kind.

    python benchmarks/gpu_time.py MODELS OUT.json --data GSM8K --case "batch 10"
    python benchmarks/gpu_time.py OUT.json --data GSM8K --case "small, batch 64" --steps 300
    python benchmarks/gpu_time.py OUT.json --case effects --steps 300

At full size, with MODELS by benchmarks/full_size_pair.py, the cases and the fast path of benchmarks/speed.py; without
them the pair `small` by these cases, or the embedded pair: the demo, or the recipe of benchmarks/effects.py. After
every shape has been captured, the last `STEPS` steps of a training and `TOKENS` tokens of the evaluation's arms latent
and latent_shuffled (source and target are known by then) run under torch.profiler. `idle`: the share of the wall time,
the profiler's own in it, that the kernels' seconds leave; where two run at once there is more of it.
"""

import argparse
import json
import re
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from effects import RECIPE
from speed import CASES, FAST, synchronize
from torch.profiler import ProfilerActivity, profile

import lab.training.loop
from lab.answers import Evaluation, evaluate
from lab.answers.generation import AnswerCache
from lab.config import RunConfig
from lab.studies import start
from lab.tasks import Test
from lab.training import train
from lab.translators import Bridge

STEPS, TOKENS = 4, 16
WITHOUT_MODELS = {
    **{f"small, {name}": {**case, **FAST["small"], "pair": "small"} for name, case in CASES["small"].items()},
    "demo": CASES["mini"]["demo"],
    "effects": RECIPE | {"eval_every": 0},
    "effects, bfloat16": RECIPE | {"eval_every": 0, "dtype": "bfloat16", "fused_kernels": True},
}
KINDS = {  # of a kernel's name, the first that matches
    "attention": r"flash|fmha|attention|softmax",
    "matrix products": r"gemm|nvjet|cutlass|xmma|splitk|gemv",
    "copies": r"memcpy|memset|copy|cat|index|gather|scatter",
}


def kind_of(name: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE)), "everything else")


@contextmanager
def profiled(found: dict):
    """Fills `found`: wall seconds, seconds by kind of kernel, and the kernels that took most."""
    synchronize()
    began = time.monotonic()
    with profile(activities=[ProfilerActivity.CUDA] if torch.cuda.is_available() else [ProfilerActivity.CPU]) as seen:
        yield
        synchronize()
        found["wall_s"] = time.monotonic() - began
    kinds, kernels, counts = Counter(), Counter(), Counter()
    for row in seen.key_averages():
        seconds = row.self_device_time_total / 1e6
        kinds[kind_of(row.key)] += seconds
        kernels[row.key[:90]] += seconds
        counts[row.key[:90]] += row.count
    found["by_kind_s"] = dict(kinds.most_common())
    found["idle"] = 1 - sum(kinds.values()) / found["wall_s"]
    found["kernels"] = [[name, round(seconds, 4), counts[name]] for name, seconds in kernels.most_common(16)]


def steps_profiled(experiment, found: dict):
    """The trained translator; the last `STEPS` steps of its training are profiled."""
    take_step, steps = lab.training.loop.take_step, experiment.config.training.steps
    window = profiled(found)

    def watched(translator, optimizer, config, number, terms_at):
        if number == steps - STEPS:
            window.__enter__()
        underway = take_step(translator, optimizer, config, number, terms_at)
        if number == steps - 1:
            window.__exit__(None, None, None)
        return underway

    with patch.object(lab.training.loop, "take_step", watched):
        return train(experiment.config, experiment.pair, experiment.task, experiment.run).translator


def measure(settings: dict) -> dict:
    found = {"training": {"steps": STEPS}, "evaluation": {}}
    with tempfile.TemporaryDirectory() as runs, patch.object(AnswerCache, "_memory", {}):
        experiment = start(RunConfig.from_parameters(name="profile", **settings), runs)
        config, pair, task = experiment.config, experiment.pair, experiment.task
        translator = steps_profiled(experiment, found["training"])
        asked = Evaluation(config, pair, task, Test.of(task), {"latent": Bridge(pair.source, translator)})
        for arms in (("source", "target", "latent"), ("latent", "latent_shuffled")):
            evaluate(asked, arms, likelihoods=False)
        with profiled(found["evaluation"]):
            evaluate(asked, ("source", "target", "latent", "latent_shuffled"), likelihoods=False)
        found["evaluation"] |= {"questions": len(asked.questions), "tokens": config.evaluation.max_new_tokens}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="?")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--case", required=True, choices=[*CASES["full"], *WITHOUT_MODELS])
    parser.add_argument("--steps", type=int, default=50)
    given = parser.parse_args()
    settings = CASES["full"][given.case] | FAST["full"] if given.models else WITHOUT_MODELS[given.case]
    settings = settings | {"max_new_tokens": TOKENS, "steps": given.steps, "data": given.data}
    if given.models:
        settings |= {"source": f"random:{given.models / 'mistral-7b'}",
                     "target": f"random:{given.models / 'llama-3.1-8b'}"}  # fmt: skip
    found = {"case": given.case, **measure(settings)}
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    for what in ("training", "evaluation"):
        own = found[what]
        print(what, f"{own['wall_s']:.3f} s, idle {own['idle']:.0%}", json.dumps(own["by_kind_s"]), flush=True)
        for name, seconds, count in own["kernels"]:
            print(f"   {seconds:8.4f} s  {count:7d}  {name}")


if __name__ == "__main__":
    main()
