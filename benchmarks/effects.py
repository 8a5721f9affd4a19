"""Twelve runs of the embedded pair on one GPU, some of them at once: wall seconds, everything in them.

    python benchmarks/effects.py PROCESSES [STEPS [NAME=VALUE ...]]

The recipe of papermill_jobs/effects, a seed each, with parameters of the notebook changed as given (dtype=bfloat16
fused_kernels=true); of every run also where its time went. Start MPS first, so that
processes share the GPU instead of taking turns: `nvidia-cuda-mps-control -d`. Each has as many CPU threads as there are
cores for it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import yaml

RUNS, STEPS = 12, 1200
RECIPE = dict(
    pair="mini", task="minigsm", layout="soft_only", soft_tokens=16, width=256, depth=2, heads=8, batch_size=256,
    warmup_steps=100, learning_rate=1e-3, eval_every=300, dev_questions=200, eval_batch_size=512, max_new_tokens=160,
)  # fmt: skip


def train(seed: int, steps: int, changes: dict) -> None:
    from lab.config import RunConfig
    from lab.studies import start, train_translator

    config = RunConfig.from_parameters(**RECIPE | dict(name=f"seed_{seed}", seed=seed, steps=steps) | changes)
    with tempfile.TemporaryDirectory() as runs:
        experiment = start(config, runs)
        began = time.monotonic()
        result = train_translator(experiment)
        steps_took = sorted(row["seconds"] for row in experiment.run.metrics() if row["kind"] == "step")
    print(json.dumps({"seed": seed, "training_s": round(time.monotonic() - began, 1),
                      "step_s": round(steps_took[len(steps_took) // 2], 4),
                      "dev_accuracy": [row["accuracy"] for row in result.history],
                      "parts_s": {name: round(spent["seconds"], 1) for name, spent in
                                  experiment.clock.record()["parts"].items()}}), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processes", type=int)
    parser.add_argument("steps", type=int, nargs="?", default=STEPS)
    parser.add_argument("changes", nargs="*", type=lambda text: text.split("=", 1), metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=lambda text: list(map(int, text.split(","))), help=argparse.SUPPRESS)
    given = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in given.changes}
    if given.seeds:  # one of the processes
        for seed in given.seeds:
            train(seed, given.steps, changes)
        return
    count, began = given.processes, time.monotonic()
    shares = [",".join(str(seed) for seed in range(first, RUNS, count)) for first in range(count)]
    # Each takes all of them otherwise, and they wait for one another.
    threads = str(max(1, len(os.sched_getaffinity(0)) // count))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    processes = [subprocess.Popen([sys.executable, *sys.argv, "--seeds", share], env=environment) for share in shares]
    codes = [process.wait() for process in processes]
    print(json.dumps({"processes": count, "runs": RUNS, "steps": given.steps, "changes": changes, "codes": codes,
                      "wall_s": round(time.monotonic() - began, 1)}))  # fmt: skip
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
