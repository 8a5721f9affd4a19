"""At which learning rate is a trained prompt learned best? Looks at dev, nothing of test.

    python benchmarks/prompt_rates.py OUT.json --data GSM8K

The two trained prompts of `papermill_jobs/real/gsm8k.yaml`, alone and beside the text, for few steps at each rate: a
prompt that learns too slowly is a bound that flatters the translator. A line of OUT.json (it is added to) for each.
"""

import argparse
import json
import tempfile
from pathlib import Path

from lab.batch import all_parameters
from lab.config import RunConfig
from lab.places import ROOT
from lab.runs import read_jsonl
from lab.studies import start, train_constant, train_text_tuned

JOB = ROOT / "papermill_jobs" / "real" / "gsm8k.yaml"
PROMPTS = {"control_constant": train_constant, "control_text_tuned": train_text_tuned}
# The translator is not trained here, but a prompt's rate is never below its own.
SHORT = dict(name="rates", learning_rate=1e-4, seed=1)
WARM_UP = 30  # steps, of however many


def looks(prompt: str, rate: float, settings: dict) -> list[tuple[int, float]]:
    """(step, nats per token on dev) of one prompt at one rate."""
    with tempfile.TemporaryDirectory() as runs:
        experiment = start(RunConfig.from_notebook(settings), runs)
        PROMPTS[prompt](experiment, 0, rate)
        rows = read_jsonl(experiment.run.path / prompt / "metrics.jsonl")
        return [(row["step"], row["nats"]) for row in rows if row["kind"] == "evaluation"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--dev-questions", type=int, default=250)
    given = parser.parse_args()
    overrides = [("data", given.data)] if given.data else []
    settings = all_parameters(JOB, overrides)[1] | SHORT
    settings |= {
        "steps": given.steps, "warmup_steps": min(WARM_UP, given.steps), "eval_every": max(1, given.steps // 3),
        "batch_size": given.batch_size, "dev_questions": given.dev_questions,
    }  # fmt: skip
    for prompt in PROMPTS:
        for rate in given.rates:
            found = {"prompt": prompt, "learning_rate": rate, "nats_per_token": looks(prompt, rate, settings)}
            with open(given.out, "a") as out:
                out.write(json.dumps(found) + "\n")
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
