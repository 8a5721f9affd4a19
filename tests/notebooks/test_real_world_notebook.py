"""The two-hop world from its making to its curve, as jobs, on the embedded models: the path, not a result."""

import json
import os
import subprocess
import sys

import pytest
from synthetic_runs import make_run

from lab.runs.records import read_jsonl

SMALL = {"source_documents": 16, "target_documents": 16, "source_batch_size": 8, "target_batch_size": 8,
         "test_questions": 8, "device": "cpu", "pair": "mini"}  # fmt: skip
TINY = {"width": 16, "depth": 1, "heads": 2, "soft_tokens": 3, "steps": 2, "batch_size": 4, "warmup_steps": 1,
        "eval_every": 0, "dev_questions": 6, "test_questions": 24, "eval_batch_size": 24}  # fmt: skip


def run(job, runs, **parameters):
    words = [sys.executable, "-m", "lab", "run", f"papermill_jobs/real/{job}.yaml", "--runs", str(runs)]
    for name, value in parameters.items():
        words += ["-p", name, value if isinstance(value, str) else json.dumps(value)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # models this small only wait for each other's threads
    return subprocess.run(words, capture_output=True, text=True, env=alone)


@pytest.mark.slow
def test_from_the_build_to_the_evidence(tmp_path):
    done = run("twohop_build", tmp_path, **SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "real-world"
    card = json.loads((folder / "card.json").read_text())
    assert {path.name for path in folder.iterdir()} >= {"source", "target", "source_no_facts", "README.md"}
    assert card["trained"]["source"]["steps"] == 2 and card["broken"]
    made = {path: path.stat().st_mtime_ns for path in folder.glob("*/model.safetensors")}
    again = run("twohop_build", tmp_path, **SMALL, resume=True)
    assert again.returncode == 0, again.stderr[-3000:]
    assert made == {path: path.stat().st_mtime_ns for path in folder.glob("*/model.safetensors")}
    models = {"source": str(folder / "source"), "target": str(folder / "target")}
    for people in (300, 0):
        done = run("twohop", tmp_path, name=f"people{people}", people=people, **models, **TINY)
        assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "people300" / "summary.json").read_text())
    assert summary["task"] == "twohop" and summary["models"]["source"] == "real-world/source"
    assert len(read_jsonl(tmp_path / "people0" / "eval_samples_step_final.jsonl")) == 24
    done = run("twohop_control_no_facts_source", tmp_path, name="no_facts", source=str(folder / "source_no_facts"),
               target=models["target"], **TINY)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    done = run("twohop_evidence", tmp_path, name="evidence", translators=[str(tmp_path / "people0")], constant=[],
               random_source=[], target_source=[], no_lore_source=[str(tmp_path / "no_facts")], edited_words=2,
               edit_steps=2, edit_questions=2, dev_questions=4, probe_questions=60)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "evidence" / "evidence.json").read_text())
    arms = {row["arm"] for row in found["arms"]}
    assert {"oracle", "text_hint", "cascade", "latent_shuffled", "latent_no_lore_source"} <= arms
    assert found["counterfactual"]["counts"]["edited words"]["n"] == 4 and found["probe"][0]["quantity"] == "home"


def test_the_curve_is_drawn_from_finished_runs(tmp_path):
    for people in (300, 3000):
        make_run(tmp_path, f"people{people}", 1, task="twohop", people=people)
    done = run("twohop_curve", tmp_path, curve_runs=["people300", "people3000"])
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads((tmp_path / "twohop_curve" / "people_curve.json").read_text())
    assert {row["people"] for row in rows} == {300, 3000}
