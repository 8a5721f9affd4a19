"""What the README says of the demo and of the shipped translator, done again. Minutes, so it is slow."""

import json
import subprocess
import sys

import pytest
from evaluations import evaluated

from lab.config.model_names import MINI
from lab.config.run import RunConfig
from lab.evidence.stats import mcnemar
from lab.evidence.summary import summarise
from lab.models.loading import load_pair
from lab.tasks import load_task
from lab.translators import load_translator

pytestmark = pytest.mark.slow


def test_the_demo_shows_enrichment(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", "papermill_jobs/demo.yaml", "--runs", str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    accuracy = {arm: row["accuracy"] for arm, row in summary["arms"].items()}
    assert summary["arms"]["latent"]["n"] >= 400
    for arm in ("source", "target", "latent_shuffled", "latent_constant"):
        assert accuracy["latent"] > accuracy[arm] and summary["tests"][f"latent_vs_{arm}"]["p"] < 0.01
    assert max(accuracy["latent_shuffled"], accuracy["latent_constant"]) <= accuracy["target"] + 0.05
    rows = [json.loads(line) for line in (tmp_path / "demo" / "eval_samples_step_final.jsonl").open()]
    both = [row["arms"] for row in rows if row["cell"].startswith("lore/long")]
    latent = [arms["latent"]["correct"] for arms in both]
    oracle = [arms["source"]["correct"] or arms["target"]["correct"] for arms in both]
    assert len(both) >= 130 and sum(latent) > sum(oracle) and mcnemar(latent, oracle)["p"] < 0.01


def test_the_shipped_translator_carries_the_question():
    translator = load_translator(MINI / "translator")
    config = RunConfig.from_parameters(name="shipped", layout="soft_only", soft_tokens=16, eval_batch_size=256)
    task, pair = load_task(config.task), load_pair(config.pair)
    questions = task.test()
    mean = sum(len(pair.target.tokens([q.question])[0]) for q in questions) / len(questions)
    records = evaluated(config, pair, task, questions, ("latent", "latent_shuffled"), translator=translator)
    arms = summarise(records)["arms"]
    assert arms["latent"]["n"] == 1319 and records[0]["arms"]["latent"]["soft_tokens"] <= mean / 2
    assert arms["latent"]["accuracy"] >= 0.90
    assert arms["latent"]["cells"]["lore/long/held_out"]["accuracy"] >= 0.75
    assert arms["latent_shuffled"]["accuracy"] <= 0.10
