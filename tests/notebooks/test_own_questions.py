"""Forty lines of a user's own questions through training, evidence and the browser, with nothing but parameters."""

import json
import os
import subprocess
import sys

import pytest
from own_questions import rows, write

from lab.evidence import read_evidence
from lab.runs.records import read_jsonl
from lab.samples import screen
from lab.samples.desk import Desk
from lab.samples.sheets import Library

TINY = {"width": 16, "depth": 1, "heads": 2, "soft_tokens": 3, "steps": 2, "batch_size": 4, "warmup_steps": 1,
        "eval_every": 0, "max_new_tokens": 8, "layout": "soft_only"}  # fmt: skip
TINY_OF = {"base": TINY, "demo": {name: value for name, value in TINY.items() if name not in ("heads", "eval_every")}}


def run(job, runs, **parameters):
    words = [sys.executable, "-m", "lab", "run", f"papermill_jobs/{job}.yaml", "--runs", str(runs)]
    for name, value in parameters.items():
        words += ["-p", name, value if isinstance(value, str) else json.dumps(value)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # models this small only wait for each other's threads
    done = subprocess.run(words, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("scorer", "job"), [("f1", "base"), ("number", "demo"), ("choice", "base")])
def test_own_questions_need_nothing_but_parameters(tmp_path, scorer, job):
    """`base` is notebook 01, `demo` notebook 00. The other scorers are known in tests/tasks/test_jsonl.py."""
    path = write(tmp_path / "mine.jsonl", rows(scorer))
    only = {"shots": 1} if job == "base" else {}
    run(job, tmp_path / "runs", name="own", task="jsonl", data=str(path), scorer=scorer, **TINY_OF[job], **only)
    folder = tmp_path / "runs" / "own"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["task"] == "jsonl" and ("f1" in summary["arms"]["latent"]) == (scorer == "f1")
    assert len(read_jsonl(folder / "eval_samples_step_final.jsonl")) == summary["arms"]["latent"]["n"]
    assert read_evidence([folder]).runs[0].settings["scorer"] == scorer
    verified = subprocess.run([sys.executable, "-m", "lab", "verify", str(folder)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    shown = screen.sample(Desk(Library(tmp_path / "runs")))
    assert ("crate" if scorer == "number" else "capital") in shown["question"]
    assert all(bool(answer["options"]) == scorer.startswith("choice") for answer in shown["answers"])
    if job == "base":
        run("evidence", tmp_path / "runs", name="told", translators=[str(folder)], test_questions=6, dev_questions=4)
        arms = {row["arm"] for row in json.loads((tmp_path / "runs" / "told" / "evidence.json").read_text())["arms"]}
        assert {"cascade", "latent"} <= arms
