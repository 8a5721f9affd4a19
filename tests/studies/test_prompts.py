"""The two ends of the scale, trained prompts alone and beside the text; and choosing by likelihood."""

import json

import pytest
from sums_task import Sums
from tiny_training import choosing, config, fresh

from lab.answers import TEXT_TUNED
from lab.config import RunConfig
from lab.errors import LabError
from lab.evidence import verify_run
from lab.runs import RunDirectory, read_jsonl
from lab.studies import constant_config, start, test_once, text_tuned_config, train_constant, train_text_tuned
from lab.studies.budget import beyond, check_equal_budget, check_same_rates
from lab.studies.controls import check_source, control_config
from lab.studies.experiment import CONTROLS, train_translator
from lab.training.checkpoints import step_folder
from lab.training.loop import train

CONFIG = RunConfig.from_parameters(
    name="t", device="cpu", steps=4, batch_size=4, warmup_steps=1, soft_tokens=3, width=16, depth=1, heads=2,
    dev_questions=6, test_questions=12, max_new_tokens=8, eval_every=2, layout="soft_only", choose_by="likelihood",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with both prompts, one of them trained longer: (its folder, its records, its summary)."""
    experiment = start(CONFIG, tmp_path_factory.mktemp("runs"))
    translator, constant = train_translator(experiment).translator, train_constant(experiment).translator
    tuned = train_text_tuned(experiment, steps=6).translator
    records, summary = test_once(experiment, translator, constant, tuned)
    return experiment.run.path, records, summary


def test_both_ends_stand_in_the_records_and_in_the_summary(finished):
    folder, records, summary = finished
    assert {"latent", "latent_shuffled", "latent_constant", TEXT_TUNED, "source", "target"} == records[0]["arms"].keys()
    told = summary["likelihood"]
    assert set(told["arms"]) == set(records[0]["arms"]) and told["n"] == 12 and "latent" in told["recovered"]
    assert json.loads((folder / "summary.json").read_text())["likelihood"] == told
    assert verify_run(folder) == []
    seal = json.loads((folder / "eval_samples_step_final.seal.json").read_text())["evaluation"]["bridges"]
    assert "{question}" in seal[TEXT_TUNED]["layout"] and "layout" not in seal["latent"]


def test_the_prompts_are_runs_of_their_own_that_read_no_source(finished):
    folder = finished[0]
    for arm, steps in (("latent_constant", 4), (TEXT_TUNED, 6)):
        run = RunDirectory(folder / CONTROLS[arm])
        trained = RunConfig.from_yaml(run.path / "config.yaml")
        assert trained.translator.translator == "constant" and trained.training.steps == steps
        assert [row["step"] for row in run.metrics() if row["kind"] == "step"] == list(range(1, steps + 1))
        assert "source" not in run.manifest()["time_and_memory"]["parts"]
        check_source(CONFIG, trained, arm)


def test_by_likelihood_nothing_is_generated_and_the_likeliest_is_chosen(finished):
    folder = finished[0]
    looks = [row for row in read_jsonl(folder / "metrics.jsonl") if row["kind"] == "evaluation"]
    assert [row["step"] for row in looks] == [0, 2, 4] and all("accuracy" not in row for row in looks)
    best = min(looks, key=lambda row: row["nats"])["step"]
    state = json.loads((folder / "checkpoints" / "best" / "state.json").read_text())
    assert state["best_step"] == best and "nats per token" in (folder / "train.log").read_text()


def test_the_least_nats_win(tiny_pair, tmp_path):
    """Also where they are above 1: a score of -12 is better than one of -13."""
    nats = iter([13.0, 12.0, 12.5])
    run = fresh(tmp_path / "run", config())
    result = train(config(), tiny_pair, Sums(), run, choosing(lambda *_: {"nats": next(nats), "n": 2}))
    assert result.best_step == 3 and [row["nats"] for row in result.history] == [13.0, 12.0, 12.5]


def test_a_checkpoint_of_before_goes_on(tiny_pair, tmp_path):
    """Accuracy was all that could choose, and had its own name in the state."""
    run, settings = fresh(tmp_path / "run", config()), config()
    found = iter([0.5, 0.7, 0.1])
    first = train(settings, tiny_pair, Sums(), run, choosing(lambda *_: {"accuracy": next(found), "n": 2}))
    state = json.loads((step_folder(run, 6) / "state.json").read_text())
    assert state["best_score"] == 0.7 and first.best_step == 3
    from lab.training.checkpoints import _progress

    state["best_accuracy"] = state.pop("best_score")
    (step_folder(run, 6) / "state.json").write_text(json.dumps(state))
    assert _progress(step_folder(run, 6)).best_score == 0.7


@pytest.mark.parametrize("arm", ["latent_constant", TEXT_TUNED])
def test_a_prompt_may_be_trained_longer_and_never_less(arm):
    control = control_config(CONFIG, arm)
    check_equal_budget(CONFIG, control.replace(steps=9), arm)
    check_equal_budget(CONFIG, control.replace(learning_rate=0.1), arm)
    for less in ({"steps": 3}, {"soft_tokens": 2}, {"batch_size": 2}, {"learning_rate": 1e-4}):
        with pytest.raises(LabError, match=f"control {arm} was trained with"):
            check_equal_budget(CONFIG, control.replace(**less), arm)
    with pytest.raises(LabError, match="was trained with steps=9"):  # of other controls equal is equal
        check_equal_budget(CONFIG, CONFIG.replace(steps=9, source="random:x"), "latent_random_source")
    with pytest.raises(LabError, match="was trained with learning_rate=0.1"):
        check_equal_budget(CONFIG, CONFIG.replace(learning_rate=0.1, source="random:x"), "latent_random_source")


def test_the_rates_of_a_longer_prompt_have_the_same_peak():
    ours = [{"kind": "step", "step": step, "lr": 1e-3 * (5 - step) / 4} for step in range(1, 5)]
    longer = [{"kind": "step", "step": step, "lr": 1e-3 * (9 - step) / 8} for step in range(1, 9)]
    check_same_rates(ours, longer, TEXT_TUNED, longer=True)
    check_same_rates(ours, longer[:3], TEXT_TUNED, longer=True)  # it stopped early
    slower = [row | {"lr": row["lr"] / 10} for row in longer]
    with pytest.raises(LabError, match="took its fastest step at learning rate 0.0001"):
        check_same_rates(ours, slower, TEXT_TUNED, longer=True)


def test_a_faster_prompt_took_its_steps_as_fast_as_it_was_to():
    ours = [{"kind": "step", "step": step, "lr": 1e-3 * (5 - step) / 4} for step in range(1, 5)]
    faster = [row | {"lr": row["lr"] * 30} for row in ours]
    both = beyond(CONFIG, constant_config(CONFIG, learning_rate=30 * CONFIG.training.learning_rate))
    assert both == {"longer": False, "times": pytest.approx(30)}
    check_same_rates(ours, faster, TEXT_TUNED, **both)
    for rows, times in ((faster, 1.0), (ours, 30.0)):
        with pytest.raises(LabError, match="took step 1 at learning rate"):
            check_same_rates(ours, rows, TEXT_TUNED, times=times)


def test_beside_the_text_the_constant_prompt_is_the_tuned_one():
    with pytest.raises(LabError, match="set text_tuned=false"):
        text_tuned_config(CONFIG.replace(layout="soft_plus_text"))
    adapter = CONFIG.replace(layout="soft_plus_text", injection="adapter")
    assert (
        text_tuned_config(adapter).layout.injection == "prepend"
    )  # an adapter adds to the text, a prompt stands before
    tuned = text_tuned_config(CONFIG, 9)
    assert tuned.layout.at().context_aware and tuned.training.steps == 9
    assert constant_config(CONFIG, 2).training.steps == 4  # never fewer than the translator


def test_a_translator_does_not_pass_for_a_prompt():
    for arm in CONTROLS:
        with pytest.raises(LabError, match=f"control {arm} was trained with translator='resampler'"):
            check_source(CONFIG, CONFIG.replace(layout="soft_plus_text" if arm == TEXT_TUNED else "soft_only"), arm)
