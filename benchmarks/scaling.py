"""Training on several GPUs at full size: steps, memory, and the share of the time in which gradients are summed.

    python benchmarks/scaling.py MODELS OUT.json --data GSM8K --batch-size 10
    torchrun --nproc_per_node 2 benchmarks/scaling.py MODELS OUT.json --data GSM8K --batch-size 20   # same work per GPU
    torchrun --nproc_per_node 2 benchmarks/scaling.py MODELS OUT.json --data GSM8K --batch-size 10   # same work in all

MODELS by benchmarks/full_size_pair.py; random weights, real token lengths. A line of OUT.json (it is added to) says how
many processes there were and what each step took. Efficiency with the same work per GPU: questions per second and GPU,
beside those of one process in the same file. `--source-stays`: on the GPU, instead of in the host's memory (some 14 GiB
more). `--device cpu` and a small MODELS try the script, and measure nothing.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from speed import FAST, FULL, WARM_UP, forget_peak, peak, synchronize

from lab import ranks
from lab.config import RunConfig
from lab.studies import start
from lab.training import train

REDUCTIONS = 20  # sums of all gradients that are timed by themselves


def seconds_of_a_sum(translator: torch.nn.Module) -> float:
    """What summing gradients as large as the translator's costs by itself, median."""
    for parameter in translator.parameters():
        parameter.grad = torch.zeros_like(parameter)
    found = []
    for _ in range(REDUCTIONS):
        ranks.wait()
        synchronize()
        began = time.monotonic()
        ranks.sum_gradients(translator)
        synchronize()
        found.append(time.monotonic() - began)
    return statistics.median(found)


def measure(settings: dict, folder: str) -> dict:
    """One training. The steps are those of the first rank; all wait for one another in each."""
    experiment = start(RunConfig.from_parameters(name="scaling", **settings), folder)
    forget_peak()
    translator = train(experiment.config, experiment.pair, experiment.task, experiment.run).translator
    rows = [row["seconds"] for row in experiment.run.metrics() if row["kind"] == "step"][WARM_UP:]
    later = rows[len(rows) // 2 :]  # when most shapes have been captured
    parameters = sum(parameter.numel() for parameter in translator.parameters())
    return {
        "processes": ranks.count(), "batch_size": settings["batch_size"], "steps": len(rows),
        "source_leaves": settings["source_leaves"],
        "step_s": statistics.median(later), "step_mean_s": statistics.mean(later), "step_least_s": min(rows),
        "questions_per_s_and_gpu": settings["batch_size"] / ranks.count() / statistics.mean(later),
        "peak_gib": peak(), "translator_parameters": parameters, "sum_s": seconds_of_a_sum(translator),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--source-stays", action="store_true")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    ranks.join(given.device)
    settings = FULL | FAST["mini" if given.device == "cpu" else "full"] | dict(
        data=given.data, steps=given.steps, batch_size=given.batch_size, device=given.device,
        source=f"random:{given.models / 'mistral-7b'}", target=f"random:{given.models / 'llama-3.1-8b'}",
    )  # fmt: skip
    settings["source_leaves"] = settings.get("source_leaves", False) and not given.source_stays
    with tempfile.TemporaryDirectory() as own:
        found = measure(settings, ranks.from_first(lambda: own))
        ranks.wait()
    if ranks.is_first():
        device = torch.cuda.get_device_name() if torch.cuda.is_available() and given.device != "cpu" else "cpu"
        found |= {"device": device, "torch": torch.__version__, "share_of_sums": found["sum_s"] / found["step_mean_s"]}
        with open(given.out, "a") as out:
            out.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
    ranks.leave()


if __name__ == "__main__":
    main()
