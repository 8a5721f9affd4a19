"""Speed and memory at full size: training steps and an evaluation, with random weights and real tokenizers.

    python benchmarks/full_size_pair.py models
    python benchmarks/full_size.py models DATA_GSM8K results.json

One GPU. 64 soft tokens, bfloat16. Prints one JSON object per case: seconds per step (median and least of
the steps after the third), seconds per sample of an evaluation of every arm (random weights never stop, so each answer
has all 256 tokens), and the peak of the allocated GPU memory.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from lab.config import RunConfig
from lab.studies import start, test_once
from lab.training import train

WARM_UP = 3  # steps that are not timed: kernels are chosen, the optimiser's state is made
COMMON = dict(
    pair="custom", dtype="bfloat16", task="gsm8k", layout="soft_only", soft_tokens=64, width=1024, depth=2, heads=16,
    learning_rate=1e-4, warmup_steps=5, steps=20, dev_questions=36, test_questions=36, max_new_tokens=256,
)  # fmt: skip
CASES = {
    "batch 2": dict(batch_size=2, eval_batch_size=36),
    "batch 10": dict(batch_size=10, eval_batch_size=36),
    "batch 10, 8 worked examples in the target's text": dict(
        batch_size=10, eval_batch_size=36, shots=8, layout="soft_in_context"
    ),
}


def measure(models: Path, data: Path, **settings) -> dict:
    """One case: 20 training steps, then 36 test questions through every arm that a run without a control has."""
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as runs:
        config = RunConfig.from_parameters(
            name="bench", data=str(data), source=f"random:{models / 'mistral-7b'}",
            target=f"random:{models / 'llama-3.1-8b'}", **COMMON | settings,
        )  # fmt: skip
        began = time.monotonic()
        experiment = start(config, runs)
        loaded = time.monotonic() - began
        result = train(config, experiment.pair, experiment.task, experiment.run)
        seconds = [row["seconds"] for row in experiment.run.metrics() if row["kind"] == "step"][WARM_UP:]
        training_peak = torch.cuda.max_memory_allocated()
        began = time.monotonic()
        records, summary = test_once(experiment, result.translator)
        evaluated = time.monotonic() - began
    arms, spent = len(records[0]["arms"]), summary["time_and_memory"]["parts"]
    evaluation_peak = max(part["peak_bytes"] for name, part in spent.items() if name.startswith("evaluation"))
    return {
        "load_s": round(loaded, 1), "step_s": round(statistics.median(seconds), 3),
        "step_min_s": round(min(seconds), 3),
        "training_peak_gib": round(training_peak / 2**30, 1), "questions": len(records), "arms": arms,
        "evaluation_s": round(evaluated, 1), "s_per_sample": round(evaluated / len(records), 3),
        "evaluation_peak_gib": round(evaluation_peak / 2**30, 1),
        "translator_parameters": sum(p.numel() for p in result.translator.parameters()),
    }  # fmt: skip


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    models, data, out = map(Path, sys.argv[1:])
    results = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cases": {}}
    for name, settings in CASES.items():
        results["cases"][name] = measure(models, data, **settings)
        print(json.dumps({name: results["cases"][name]}), flush=True)
        torch.cuda.empty_cache()
        out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
