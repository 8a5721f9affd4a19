"""The notebook of the claims runs as a job, on runs whose truth is known, and leaves its artefact."""

import json
import subprocess
import sys

import pytest
from synthetic_runs import make_run


@pytest.mark.slow
def test_the_job_leaves_the_verdicts(tmp_path):
    for seed in (1, 2):
        make_run(tmp_path, f"first-seed{seed}", seed)
    words = ["run", "papermill_jobs/claims.yaml", "--runs", str(tmp_path)]
    words += ["-p", "evidence_runs", "[first-seed1, first-seed2]"]
    done = subprocess.run([sys.executable, "-m", "lab", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    judged = json.loads((tmp_path / "claims" / "claims.json").read_text())
    assert judged["main"] == ["first-seed1", "first-seed2"] and judged["scenario"]["name"] == "best"
    assert [about["run"] for about in judged["runs"]] == judged["main"]
    assert {"task", "models", "config_hash"} <= judged["runs"][0].keys()
    assert (tmp_path / "claims" / "notebook.ipynb").exists()
    page = (tmp_path / "claims" / "claims.html").read_text()
    assert page.startswith("<!doctype html>") and page.count("--claim") == len(judged["claims"])


def test_missing_evidence_ends_in_one_line(tmp_path):
    words = ["run", "papermill_jobs/claims.yaml", "--runs", str(tmp_path), "-p", "evidence_runs", "[nowhere]"]
    done = subprocess.run([sys.executable, "-m", "lab", *words], capture_output=True, text=True)
    assert done.returncode == 1 and "nowhere is no folder" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "claims").exists()
