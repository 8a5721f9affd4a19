"""The documents' rule for soft tokens beside the literal question: their threshold, and what the pairs really say."""

import pytest
from synthetic_runs import make_run

from lab.batch.jobs import read_job
from lab.evidence import hybrid_rows, read_evidence
from lab.evidence.hybrid import ADAPTER as KIND_ADAPTER
from lab.evidence.hybrid import JOBS
from lab.pictures import hybrid_table
from lab.places import ROOT

ADAPTER = {"layout": "soft_plus_text", "injection": "adapter"}
BESIDE = {"layout": "soft_plus_text"}


def rows(tmp_path, latent, target=0.5, seeds=(1, 2, 3), **settings):
    folders = [make_run(tmp_path, f"run{seed}", seed, {"target": target, "latent": latent}, **settings)
               for seed in seeds]  # fmt: skip
    return {row["kind"]: row for row in hybrid_rows(read_evidence(folders))}


@pytest.mark.parametrize("latent, said", [(0.7, "go"), (0.3, "stop"), (0.5, "undecided")])
@pytest.mark.parametrize("settings", [ADAPTER, BESIDE], ids=["adapter", "beside"])
def test_three_states(tmp_path, latent, said, settings):
    found = rows(tmp_path, latent, **settings)
    row = next(one for one in found.values() if one["runs"])
    assert row["verdict"] == said and row["low"] < row["effect"] < row["high"]
    assert row["kind"].startswith("added" if settings == ADAPTER else "before")
    assert row["effect"] == pytest.approx(row["latent"] - row["threshold"])


def test_the_threshold_is_the_targets_own(tmp_path):
    """Whatever a document says it was elsewhere: the same latent arm passes one target and not another."""
    low, high = rows(tmp_path / "a", 0.5, target=0.3, **ADAPTER), rows(tmp_path / "b", 0.5, target=0.7, **ADAPTER)
    said = [next(one for one in found.values() if one["runs"])["rule"] for found in (low, high)]
    assert said == ["go", "stop"]


def test_the_bare_rule_never_leaves_open_what_the_pairs_do(tmp_path):
    """Two arms that are equally good: the rule goes by luck, the verdict does not go."""
    found = [row for seed in range(6) for row in rows(tmp_path / str(seed), 0.5, seeds=(seed,), **ADAPTER).values()
             if row["runs"]]  # fmt: skip
    assert {row["rule"] for row in found} <= {"go", "stop"}
    assert sum(row["verdict"] == "undecided" for row in found) >= 5


def test_a_run_without_the_question_is_no_hybrid(tmp_path):
    found = rows(tmp_path, 0.9)
    assert all(row["verdict"] == "not run" and not row["runs"] for row in found.values()) and len(found) == 2
    shown = str(hybrid_table(list(found.values())))
    assert "papermill_jobs/effects/effect_adapter.yaml" in shown
    assert "papermill_jobs/documents/phase2_hybrid_adapter.yaml" in shown


def test_the_jobs_that_it_names_exist_and_make_such_runs():
    for kind, jobs in JOBS.items():
        for job in jobs:
            given = read_job(ROOT / job)["parameters"]
            assert (given.get("injection") == "adapter") == (kind == KIND_ADAPTER), job


def test_what_a_prompt_gives_stands_beside(tmp_path):
    accuracies = {"target": 0.1, "latent": 0.6, "latent_constant": 0.6}
    folders = [make_run(tmp_path, f"run{seed}", seed, accuracies, **ADAPTER) for seed in (1, 2, 3)]
    row = hybrid_rows(read_evidence(folders))[0]
    assert row["verdict"] == "go" and row["beyond_prompt"]["low"] < 0 < row["beyond_prompt"]["high"]
    assert "go" in hybrid_table([row]).column("verdict")
