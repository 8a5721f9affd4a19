"""How trainings went: loss on training questions and nats on dev, step by step, from their metrics. Nothing of test.

    python benchmarks/dev_curves.py OUT.json RUN [RUN ...]

Of each run, and of the prompts that were trained in it: {"dev": [[step, nats per token]], "training": [[step, mean loss
of the steps since the last one]]}. A run that was cut off gives what there is of it.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from statistics import mean

from lab.runs import read_jsonl, write_text

TRAINED = {"latent": "", "latent_constant": "control_constant", "text_tuned": "control_text_tuned"}  # arm -> sub-run


def curve(metrics: Path) -> dict[str, list]:
    """One training, at the steps at which it was looked at on dev."""
    rows = read_jsonl(metrics)
    dev = [[row["step"], row["nats"]] for row in rows if row["kind"] == "evaluation"]
    losses = {row["step"]: row["loss"] for row in rows if row["kind"] == "step"}
    between = [(first, last) for (first, _), (last, _) in pairwise(dev)]
    training = [[last, mean(losses[step] for step in range(first + 1, last + 1))] for first, last in between]
    return {"dev": dev, "training": training}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    given = parser.parse_args()
    found = {
        run.name: {arm: curve(file) for arm, sub in TRAINED.items() if (file := run / sub / "metrics.jsonl").is_file()}
        for run in given.runs
    }
    write_text(given.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
