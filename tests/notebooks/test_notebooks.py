"""The notebooks run from top to bottom, as papermill runs them, at sizes that a test can afford."""

import json
import subprocess
import sys

import pytest

SMALL = {
    "steps": 3,
    "warmup_steps": 1,
    "batch_size": 4,
    "dev_questions": 8,
    "test_questions": 24,
    "eval_batch_size": 24,
}


def arguments(job, runs, **parameters):
    words = ["run", f"papermill_jobs/{job}.yaml", "--runs", str(runs)]
    for name, value in parameters.items():
        words += ["-p", name, str(value)]
    return words


def run(*words) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "lab", *words], capture_output=True, text=True)


@pytest.mark.parametrize(
    "job, extra",
    [
        ("demo", {"max_new_tokens": 24}),
        pytest.param(
            "base",
            {
                "max_new_tokens": 24,
                "soft_tokens": 4,
                "width": 32,
                "eval_every": 0,
                "layout": "soft_only",
                "text_tuned": True,
                "control_steps": 4,
                "choose_by": "likelihood",
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_job_leaves_a_complete_run(job, extra, tmp_path):
    done = run(*arguments(job, tmp_path, name="t", **SMALL, **extra))
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "t"
    summary = json.loads((folder / "summary.json").read_text())
    arms = {"source", "target", "latent", "latent_shuffled", "latent_constant", "oracle"}
    assert set(summary["arms"]) == arms | ({"text_tuned"} if "text_tuned" in extra else set())
    assert set(summary["likelihood"]["arms"]) == set(summary["arms"]) - {"oracle"}
    assert summary["run"] == "t" and summary["task"] == "minigsm" and summary["models"]["source"] == "mini/source"
    assert f"# hash {summary['config_hash']}\n" in (folder / "config.yaml").read_text()
    assert all(arm["n"] == 24 and len(arm["ci95"]) == 2 for arm in summary["arms"].values())
    assert json.loads((folder / "manifest.json").read_text())["status"] == "finished"
    for name in ("config.yaml", "metrics.jsonl", "train.log", "notebook.ipynb", "eval_samples_step_final.jsonl"):
        assert (folder / name).exists(), name
    again = run(*arguments(job, tmp_path, name="t"))
    assert again.returncode == 1 and "t" in again.stderr.splitlines()[-1]  # a run is never overwritten


FLOW_ALONE = {"translator": "dit", "flow_weight": 1, "teacher": "prompt", "answer_nll_weight": 0}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"heads": 5}, "heads=5 does not divide width=256"),
        pytest.param(FLOW_ALONE, "the control, a constant prompt, cannot be", marks=pytest.mark.slow),
    ],
)
def test_a_bad_value_ends_in_one_line_and_leaves_nothing(bad, message, tmp_path):
    done = run(*arguments("base", tmp_path, name="bad", **bad))
    assert done.returncode == 1 and message in done.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("*"))
