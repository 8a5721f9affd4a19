"""What one answer costs at full size: random weights, real token lengths, as notebook 04 measures it.

    python benchmarks/full_size_costs.py MODELS DATA OUT --soft-tokens 32 48 64

MODELS by benchmarks/full_size_pair.py. Writes the two files of notebook 04 for each number of soft tokens into
OUT/soft_tokens_<K>: source, target, latent, cascade, and the prompt cut to K tokens, one question at a time, every
pass included. Accuracies of random weights say nothing.
"""

import argparse
import tempfile
from pathlib import Path

from speed import FULL

from lab.answers import Evaluation
from lab.config import RunConfig
from lab.costs import aggregate, inference_rows, time_by_length, write_inference
from lab.pictures import costs_table
from lab.studies import start
from lab.tasks import Test
from lab.training import train
from lab.translators import Bridge

QUESTIONS, TOKENS = 8, 32  # timed, after three that are not; new tokens, all of which random weights say
LENGTHS = (1, 8, 32)


def measure(settings: dict, out: Path) -> None:
    with tempfile.TemporaryDirectory() as runs:
        experiment = start(RunConfig.from_parameters(name="costs", **settings), runs)
        config, pair, task = experiment.config, experiment.pair, experiment.task
        translator = train(config, pair, task, experiment.run).translator
    evaluation = Evaluation(config, pair, task, Test.of(task), {"latent": Bridge(pair.source, translator)})
    rows = inference_rows(evaluation, QUESTIONS)
    summary = aggregate(rows, time_by_length(evaluation, evaluation.questions[:3], LENGTHS))
    out.mkdir(parents=True)
    write_inference(out, rows, summary, config.about(out.name) | {"device": str(pair.target.device)})
    print(config.translator.soft_tokens, costs_table(summary), sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--soft-tokens", type=int, nargs="+", default=[32, 48, 64])
    given = parser.parse_args()
    for count in given.soft_tokens:
        settings = FULL | dict(
            steps=2, warmup_steps=1, batch_size=2, soft_tokens=count, max_new_tokens=TOKENS, data=given.data,
            source=f"random:{given.models / 'mistral-7b'}", target=f"random:{given.models / 'llama-3.1-8b'}",
            dev_questions=2, test_questions=QUESTIONS,
        )  # fmt: skip
        measure(settings, given.out / f"soft_tokens_{count}")


if __name__ == "__main__":
    main()
