"""The notebooks of evidence, costs and diagnostics, as jobs, at sizes that a test can afford."""

import json
import subprocess
import sys

import pytest
from trained_runs import gsm8k_files, trained_run

from lab.config.run import RunConfig
from lab.pictures.breakdown import NOT_TOLD
from lab.runs.records import read_jsonl
from lab.studies.experiment import start, train_translator
from lab.studies.experiment import test_once as take_the_test

TINY = {"width": 16, "depth": 1, "heads": 2, "soft_tokens": 3, "steps": 2, "batch_size": 4, "warmup_steps": 1,
        "train_questions": 0, "eval_every": 0}  # fmt: skip


def run(job, runs, **parameters):
    words = [sys.executable, "-m", "lab", "run", f"papermill_jobs/{job}.yaml", "--runs", str(runs), "-p", "name", "t"]
    for name, value in parameters.items():
        words += ["-p", name, json.dumps(value)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return runs / "t"


@pytest.mark.slow
def test_evidence_from_the_shipped_translator(tmp_path):
    folder = run("evidence", tmp_path, test_questions=12, dev_questions=4, max_new_tokens=60, eval_batch_size=12,
                 probe_questions=60, edited_words=1, edit_steps=2, edit_questions=2)  # fmt: skip
    found = json.loads((folder / "evidence.json").read_text())
    arms = {row["arm"]: row for row in found["arms"]}
    assert {"oracle", "cascade", "same_bytes", "text_hint", "latent_mean", "latent_int4"} <= set(arms)
    assert (
        "p_holm" in arms["source"]["versus"]["all"] and found["cascade"]["prompt"] in found["cascade"]["dev_accuracy"]
    )
    (about,) = found["runs"]
    assert about["task"] == "minigsm" and about["set_here"]["test_questions"] == {"trained": 0, "measured": 12}
    assert json.loads((folder / "seed_1234" / "summary.json").read_text())["models"] == about["models"]
    assert found["probe"] and found["counterfactual"]["counts"]["edited words"]["n"] == 2
    assert len(read_jsonl(folder / "seed_1234" / "eval_samples_step_final.jsonl")) == 12


@pytest.mark.slow
def test_evidence_from_scratch_with_controls_and_seeds(tmp_path):
    folder = run("evidence", tmp_path, translators=[], seeds=[1, 2], probe_questions=0, edited_words=0,
                 train_controls=["latent_constant", "latent_random_source", "latent_target_source"],
                 test_questions=6, dev_questions=2, max_new_tokens=8, eval_batch_size=6, **TINY)  # fmt: skip
    rows = {row["arm"]: row for row in json.loads((folder / "evidence.json").read_text())["arms"]}
    assert {"latent_constant", "latent_random_source", "latent_target_source"} <= set(rows)
    assert rows["latent"]["seeds"] == 2 and len(rows["latent"]["per_seed"]) == 2


@pytest.mark.slow
def test_inference_metrics_write_both_files(tmp_path):
    folder = run("inference_metrics", tmp_path, test_questions=6, timed_questions=2, length_questions=1,
                 timed_lengths=[1, 4], max_new_tokens=40)  # fmt: skip
    assert len(read_jsonl(folder / "inference_per_sample.jsonl")) == 6
    summary = json.loads((folder / "inference_aggregate.json").read_text())
    assert summary["task"] == "minigsm" and summary["run"] == "lab/pairs/mini/translator"
    assert summary["set_here"] == {"test_questions": {"trained": 0, "measured": 6},
                                   "max_new_tokens": {"trained": 160, "measured": 40}}  # fmt: skip
    assert summary["timed"] == 2 and summary["sizes"]["kv_bytes_latent"] < summary["sizes"]["kv_bytes_text"]
    assert NOT_TOLD in (folder / "notebook.ipynb").read_text()  # that translator was trained without a clock


@pytest.mark.slow
def test_inference_metrics_show_what_the_run_took(tmp_path):
    config = RunConfig.from_parameters(name="run", device="cpu", dev_questions=4, test_questions=4, max_new_tokens=8,
                                       **TINY)  # fmt: skip
    experiment = start(config, tmp_path)
    take_the_test(experiment, train_translator(experiment).translator)
    folder = run("inference_metrics", tmp_path, translators=[str(tmp_path / "run")], timed_questions=1,
                 length_questions=1, timed_lengths=[1])  # fmt: skip
    said = (folder / "notebook.ipynb").read_text()
    assert "evaluation: generation" in said and NOT_TOLD not in said


@pytest.mark.slow
def test_a_run_is_diagnosed_on_its_own_task(tmp_path):
    config = RunConfig.from_parameters(name="g", task="gsm8k", data=gsm8k_files(tmp_path / "data"), layout="soft_only",
                                       soft_tokens=3, width=16, depth=1, heads=2)  # fmt: skip
    trained = trained_run(tmp_path / "g", config, 1)
    folder = run("diagnostics", tmp_path, translators=[trained], looked_at=4, left_out_questions=3)
    found = json.loads((folder / "diagnostics.json").read_text())
    assert found["task"] == "gsm8k" and found["run"] == trained and found["config_hash"] == config.hash()
    assert found["example"]["question"].startswith("train: what is")  # a dev question of those files
    assert len(found["size"]["per_slot"]) == 3 and found["gradient_norms"]["answer_nll"] > 0
    assert found["left_out"]["questions"] == 3 and [row["n"] for row in found["left_out"]["places"]] == [3] * 3
