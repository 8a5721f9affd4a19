"""`python -m lab preflight`: a table for each kind of GPU, and one sentence for a job that cannot fit."""

import json

import pytest
from typer.testing import CliRunner

from lab.__main__ import app
from lab.errors import LabError
from lab.models import cross_entropy
from lab.places import ROOT
from lab.preflight import Work, check_fits, gpus_named, memory
from lab.preflight.gpus import GPUS
from lab.preflight.workload import Asked, Row, Workload, about

FULL = dict(pair="mistral-llama", dtype="bfloat16", task="gsm8k", soft_tokens=64, width=1024, heads=16, batch_size=10,
            control=False, max_new_tokens=256, eval_batch_size=64)  # fmt: skip


def work(parameters: dict, answer: int = 120, prompt: int = 20, asked: int = 200, gold: int = 120) -> Work:
    rows = [Row(200 + index % 90, 60 + index % 50, prompt, answer + index % 70) for index in range(500)]
    questions = [Asked(asked, asked, 84, 80, gold)] * 200
    return Work.of("01_train", parameters, Workload(rows, questions, questions))


def test_a_job_is_a_table():
    done = CliRunner().invoke(app, ["preflight", str(ROOT / "papermill_jobs/demo.yaml"), "-p", "steps=20"])
    assert done.exit_code == 0, done.output
    for gpu in GPUS:
        assert gpu.name in done.output
    assert "activations" in done.output and "hours" in done.output


def test_every_number_is_there_as_json():
    job = str(ROOT / "papermill_jobs/demo.yaml")
    done = CliRunner().invoke(app, ["preflight", job, "--gpu", "a100", "--json", "-p", "steps=20"])
    found = json.loads(done.output)
    assert [row["gpu"] for row in found["gpus"]] == ["A100 80 GB", "A100 40 GB"]
    assert found["exact"] and all(row["fits"] and row["hours"] > 0 for row in found["gpus"])


def test_a_kind_that_is_not_known_is_named():
    with pytest.raises(LabError, match="H200"):
        gpus_named("V100")


def test_a_notebook_that_is_not_counted_is_refused():
    with pytest.raises(LabError, match="03_evidence"):
        Work.of("03_evidence", {})


@pytest.mark.parametrize(
    ("changed", "gpu", "said"),
    [
        ({"eval_batch_size": 512, "max_new_tokens": 900}, "H100", "eval_batch_size=128"),
        ({"translator": "constant", "eval_batch_size": 16}, "A100 40", "batch_size="),
        ({"dtype": "float32"}, "A100 80", "dtype=bfloat16"),
        ({}, "L40S", "set"),
    ],
)
def test_a_job_that_does_not_fit_is_told_what_to_change(changed, gpu, said):
    """And what is said helps: changed so, it fits."""
    parameters, kinds = FULL | changed, gpus_named(gpu)
    planned = work(parameters)
    assert not planned.on(kinds[0]).fits
    with pytest.raises(LabError, match="GiB") as refused:
        check_fits("01_train", parameters, planned, kinds)
    text = str(refused.value)
    assert said in text
    advised = text.partition("set ")[2].partition(", with which")[0].replace(" and ", ", ").split(", ")
    values = {name: json.loads(value) if value[0] in "tf0123456789" else value
              for name, _, value in (pair.partition("=") for pair in advised)}  # fmt: skip
    assert check_fits("01_train", parameters | values, work(parameters | values), kinds) is None


def test_a_job_that_no_change_helps_is_told_so():
    with pytest.raises(LabError, match="choose smaller models or a larger GPU"):
        check_fits("01_train", FULL, work(FULL), gpus_named("RTX 4090"))


@pytest.mark.parametrize("changed", [{"source_leaves": True, "eval_batch_size": 8}, {"fused_kernels": True},
                                     {"batch_size": 2}, {"source_layers": "last"}])  # fmt: skip
def test_what_takes_less_memory_is_counted_so(changed):
    assert sum(work(FULL | changed).main.training_bytes().values()) < sum(work(FULL).main.training_bytes().values())


def test_longer_answers_more_steps_and_slower_cards_take_longer():
    h100, l40s = gpus_named("H100")[0], gpus_named("L40S")[0]
    base = work(FULL).on(h100)
    assert work(FULL, answer=300).on(h100).step_s > base.step_s
    assert work(FULL | {"steps": 2000}).on(h100).training_s > 1.9 * base.training_s
    assert work(FULL | {"max_new_tokens": 512}).on(h100).evaluations_s > 1.5 * base.evaluations_s
    assert work(FULL).on(l40s).hours > base.hours


def test_scoring_the_gold_answers_takes_time_and_memory():
    """On test in every run; at looks at dev, where likelihoods choose, instead of generating."""
    h100 = gpus_named("H100")[0]
    short, long = (work(FULL | {"eval_batch_size": 16}, gold=gold).on(h100) for gold in (1, 2000))
    assert long.evaluations_s > short.evaluations_s and long.evaluation_gib > short.evaluation_gib
    chosen = FULL | {"choose_by": "likelihood", "steps": 2000, "eval_every": 100}
    assert work(chosen).on(h100).evaluations_s < work(chosen | {"choose_by": "accuracy"}).on(h100).evaluations_s
    assert work(chosen, gold=900).on(h100).evaluations_s > work(chosen, gold=90).on(h100).evaluations_s
    assert memory.CHUNK == cross_entropy.CHUNK and memory.WHOLE == cross_entropy.WHOLE


def test_tokens_without_a_tokenizer():
    assert about("She buys 120 eggs.", digits=3) == 5 and about("120") == 3
