"""Laws of training: exact resume, frozen models, pure batches, a best checkpoint that is a copy."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sums_task import Sums
from tiny_training import Killed, choosing, config, fresh, killed_at, scores, weights_of

import lab.training.loop as training
import lab.training.step as stepping
from lab.errors import LabError
from lab.models import Moment, Returning
from lab.runs import RunDirectory
from lab.tasks import Dev, Test
from lab.training.batches import EPOCHS, WINDOW, Batches
from lab.training.loop import train
from lab.training.optimizer import build_optimizer, schedule
from lab.training.reading import ReadAhead
from lab.training.selection import Selection
from lab.training.step import Underway
from lab.training.telling import Telling
from lab.translators import build_translator, load_translator, save_translator

LENGTHS = [5, 3, 9, 1, 7, 2, 8, 6, 4, 10]


class NoQuestions(Sums):
    def train(self, count, seed):
        return []


def losses(run) -> list[float]:
    return [row["loss"] for row in run.metrics() if row["kind"] == "step"]


@pytest.mark.parametrize("killed_after", [3, 5])
@pytest.mark.parametrize("extra", [
    {"translator": "resampler"}, {"translator": "constant"},
    {"translator": "dit", "flow_weight": 0.5, "teacher": "answer", "flow_condition_dropout": 0.5},
    {"layout": "soft_only", "question_until": 4, "contrast_weight": 0.1, "contrast_start": 4, "patience": 3},
], ids=str)  # fmt: skip
def test_a_resumed_run_ends_in_the_same_bits(tiny_pair, tmp_path, monkeypatch, killed_after, extra):
    settings, accuracy = config(**extra), lambda translator, step: {"accuracy": step / 10, "n": 2}
    whole_run = fresh(tmp_path / "whole", settings)
    whole = train(settings, tiny_pair, Sums(), whole_run, choosing(accuracy))

    halves = tmp_path / "halves"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, killed_after)
        train(settings, tiny_pair, Sums(), fresh(halves, settings), choosing(accuracy))
    torch.manual_seed(999)  # whatever another process would start with
    run = fresh(halves, settings)
    again = train(settings, tiny_pair, Sums(), run, choosing(accuracy))

    assert weights_of(whole.translator) == weights_of(again.translator)
    assert whole.history == again.history
    # Steps 4 and 5 of the killed job are done again, and stand in the log once.
    assert losses(run) == losses(whole_run) and len(losses(run)) == settings.training.steps


def test_a_job_killed_before_its_first_checkpoint_starts_over(tiny_pair, tmp_path, monkeypatch):
    settings = config()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 2)
        train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings), scores(0.1))
    run = fresh(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run, scores(0.1, 0.2, 0.3))
    assert [row["step"] for row in run.metrics() if row["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_it_checkpoints_by_the_clock_where_nothing_is_evaluated(tiny_pair, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    settings = config(eval_every=0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 4)
        train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings))
    run = fresh(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run)
    assert "Resumed after step 4" in (run.path / "train.log").read_text()


def test_training_changes_the_translator_and_no_frozen_model(tiny_pair, tmp_path):
    settings = config()
    before = [weights_of(model.model) for model in (tiny_pair.source, tiny_pair.target)]
    torch.manual_seed(settings.training.seed)
    start = build_translator(settings.translator, tiny_pair, "all").state_dict()
    result = train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings))
    assert before == [weights_of(model.model) for model in (tiny_pair.source, tiny_pair.target)]
    for name, tensor in result.translator.state_dict().items():
        assert not torch.equal(tensor, start[name]), name


def test_training_learns(tiny_pair, tmp_path):
    settings = config(steps=30, dropout=0.0, eval_every=0)
    run = fresh(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run)
    found = losses(run)
    assert sum(found[-5:]) < 0.9 * sum(found[:5])


def test_the_seed_decides_everything(tiny_pair, tmp_path):
    def final(folder, **changes):
        settings = config(steps=2, eval_every=0, **changes)
        return weights_of(train(settings, tiny_pair, Sums(), fresh(tmp_path / folder, settings)).translator)

    first = final("a")
    torch.randn(7)
    assert first == final("b") and first != final("c", seed=5)


@pytest.mark.parametrize("changes", [
    {"learning_rate": 2e-2}, {"gate_learning_rate_scale": 1.0}, {"weight_decay": 0.5}, {"gradient_clip": 1e-3},
    {"warmup_steps": 0}, {"dropout": 0.0}, {"gate_init": 1.0}, {"source_mix": "weighted"}, {"source_layers": "last"},
    {"layout": "soft_only"}, {"shots": 1}, {"batch_size": 3},
], ids=str)  # fmt: skip
def test_every_training_field_changes_the_result(tiny_pair, tmp_path, changes):
    finals, short = [], {"steps": 3, "eval_every": 0}
    for folder, settings in (("a", config(**short)), ("b", config(**short, **changes))):
        finals.append(weights_of(train(settings, tiny_pair, Sums(), fresh(tmp_path / folder, settings)).translator))
    assert finals[0] != finals[1]


def test_an_evaluation_that_draws_random_numbers_sees_no_dropout(tiny_pair, tmp_path):
    settings, modes = config(), []

    def evaluate(translator, step):
        modes.append(translator.training)
        return {"accuracy": 0.0, "n": 2}

    result = train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings), choosing(evaluate))
    assert modes == [False] * 3 and not result.translator.training


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_step_is_given_before_a_device_has_done_the_one_before(tiny_pair, tmp_path, monkeypatch, device):
    """Each batch is made once, and all numbers are read before anything is looked at or saved."""
    events, read, told, take = [], ReadAhead.at, Returning.tolist, training.take_step

    def watched(owner, name, word, kept):
        def call(*given):
            events.append(word)
            return kept(*given)

        monkeypatch.setattr(owner, name, call)

    watched(ReadAhead, "at", "batch", read)
    watched(training, "take_step", "given", take)
    watched(Returning, "tolist", "read", told)
    monkeypatch.setattr(Moment, "is_now", device == "cpu")
    settings = config(steps=4, eval_every=2, warmup_steps=0)
    looking = choosing(lambda translator, step: events.append(f"look {step}") or {"accuracy": 0.0, "n": 2})
    train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings), looking)
    two = ["batch", "given", "batch", "given", "read", "read"] if device == "cuda" else ["batch", "given", "read"] * 2
    assert events == ["look 0", *two, "look 2", *two, "look 4"]


def test_the_seconds_of_steps_are_those_since_the_one_before_was_done(monkeypatch):
    """Of steps that overlap none is counted twice, a batch's reading is its step's; what comes between is nobody's."""
    now = iter([8.0, 10.0, 9.0, 13.0, 38.0, 40.0])  # begun and done, of each: the second while the first was computed
    monkeypatch.setattr("lab.models.transfer.time.monotonic", lambda: next(now))
    monkeypatch.setattr(Moment, "is_now", False)
    rows, cpu = [], torch.device("cpu")
    run = SimpleNamespace(metric=rows.append, log=lambda line: None)
    telling = Telling(run, lambda row, step: None, "train", config(steps=3).training, 0)

    def step():
        return Underway(("a",), {"a": 1.0}, 0.1, Moment(cpu), Returning(torch.tensor([1.0, 2.0, 2.0])))

    telling.add(step())
    telling.add(step())
    telling.catch_up()  # for an evaluation
    telling.add(step())
    telling.close()
    assert [row["seconds"] for row in rows] == [2.0, 3.0, 2.0]
    assert [row["step"] for row in rows] == [1, 2, 3]


def test_batches_are_a_pure_function_of_seed_and_step():
    def epoch(seed):
        return [Batches(LENGTHS, 4, seed).indices(step) for step in range(5)]

    assert epoch(1) == epoch(1) and epoch(1) != epoch(2)
    one_after_another = Batches(LENGTHS, 4, 1)
    assert [one_after_another.indices(step) for step in range(5)] == epoch(1)  # each step as if it were the first
    flat = [index for batch in epoch(1) for index in batch]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10))  # an epoch is each question once
    assert flat[:10] != flat[10:]
    assert len(Batches(LENGTHS, 25, 1).indices(0)) == 25  # a batch may be longer than an epoch


def test_an_epoch_is_ordered_once_however_far_ahead_is_asked(monkeypatch):
    orders, make = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: orders.append(seed) or make(seed))
    batches = Batches(LENGTHS, 2, 1)
    for step in range(60):
        for ahead in (0, 4, 13):  # an epoch has five steps
            batches.indices(step + ahead)
        assert len(batches._orders) <= EPOCHS
    assert len(orders) == len({tuple(seed) for seed in orders}) == 15


def test_the_batches_of_a_window_hold_questions_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 1000, 16 * WINDOW)
    batches = [lengths[Batches(lengths, 4, 7).indices(step)] for step in range(4 * WINDOW)]
    spread = np.mean([batch.max() - batch.min() for batch in batches])
    assert spread < 0.2 * np.ptp(lengths)
    longest = [batch.max() for batch in batches[:WINDOW]]
    assert longest != sorted(longest)  # but not one after the other


def test_training_starts_from_another_translator(tiny_pair, tmp_path):
    first = train(config(), tiny_pair, Sums(), fresh(tmp_path / "first", config()))
    save_translator(first.translator, tmp_path / "saved")
    settings = dict(start_from=str(tmp_path / "saved"), learning_rate=1e-12, steps=1, warmup_steps=0)
    begun = config(**settings)
    second = train(begun, tiny_pair, Sums(), fresh(tmp_path / "second", begun))
    for name, value in first.translator.state_dict().items():
        assert torch.allclose(value, second.translator.state_dict()[name], atol=1e-6), name
    for wrong in (dict(width=8), dict(source_layers="last")):
        with pytest.raises(LabError, match="start_from=.*another kind, size or source_layers"):
            changed = config(**settings, **wrong)
            train(changed, tiny_pair, Sums(), fresh(tmp_path / "-".join(wrong), changed))


def test_the_schedule_warms_up_and_decays():
    settings = config(steps=10, warmup_steps=4).training
    factors = [schedule(step, settings) for step in range(10)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[4:] == sorted(factors[4:], reverse=True) and factors[-1] == pytest.approx(1 / 6)
    assert schedule(0, config(warmup_steps=0).training) == 1.0
    assert all(schedule(step, config(warmup_steps=6).training) <= 1 for step in range(6))


def test_every_parameter_is_optimised_once_and_gates_faster(tiny_pair):
    settings = config(source_mix="weighted")
    translator = build_translator(settings.translator, tiny_pair, "all")
    groups = build_optimizer(translator, settings.training).param_groups
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in translator.parameters())
    where = {id(parameter): group for group in groups for parameter in group["params"]}
    for name, parameter in translator.named_parameters():
        group = where[id(parameter)]
        assert group["peak_lr"] == pytest.approx(3e-2 if name.endswith("_gate") else 1e-2), name
        assert (group["weight_decay"] > 0) == (parameter.ndim == 2 and name != "queries"), name


def test_the_best_checkpoint_is_a_copy(tiny_pair, tmp_path):
    settings, seen = config(), {}

    def evaluate(translator, step):
        seen[step] = weights_of(translator)
        return {"accuracy": {0: 0.1, 3: 0.9, 6: 0.2}[step], "n": 2}

    run = fresh(tmp_path / "run", settings)
    result = train(settings, tiny_pair, Sums(), run, choosing(evaluate))
    assert result.best_step == 3 and len(set(seen.values())) == 3
    assert weights_of(result.translator) == seen[3] == weights_of(load_translator(run.checkpoints / "best"))
    assert weights_of(load_translator(run.checkpoints / "last")) == seen[6]


def test_it_stops_early_and_stays_stopped(tiny_pair, tmp_path):
    settings = config(steps=20, eval_every=2, patience=2)
    run = fresh(tmp_path / "run", settings)
    result = train(settings, tiny_pair, Sums(), run, scores(0.1, 0.5, 0.5, 0.4))
    assert [row["step"] for row in result.history] == [0, 2, 4, 6] and result.best_step == 2
    assert "Stopped early at step 6" in (run.path / "train.log").read_text()
    again = train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings), scores())
    assert again.best_step == 2 and weights_of(again.translator) == weights_of(result.translator)


def test_patience_begins_when_the_curriculum_takes_the_question_away(tiny_pair, tmp_path):
    """Before that dev is asked without the question, training still with it: no gain there says nothing."""
    settings = config(steps=20, eval_every=2, patience=2, question_until=8, layout="soft_only")
    result = train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings), scores(*[0.1] * 20))
    assert result.history[-1]["step"] == 12


def test_an_interrupted_step_leaves_full_precision(tiny_pair, tmp_path, monkeypatch):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(stepping, "weighted_sum", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config(), tiny_pair, Sums(), fresh(tmp_path / "run", config()))
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_log_has_the_lines_that_readers_know(tiny_pair, tmp_path):
    settings = config(steps=20, eval_every=10)
    run = fresh(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run, scores(0.25, 0.5, 0.75))
    log = (run.path / "train.log").read_text()
    assert "Step 20/20 | Loss " in log and "[Eval] Step 10 | Bridged acc: 0.500" in log
    row = next(row for row in run.metrics() if row["kind"] == "step")
    assert {"step", "loss", "terms", "lr", "grad_norm", "seconds"} <= row.keys() and set(row["terms"]) == {"answer_nll"}


@pytest.fixture(params=[True, False], ids=["at once", "behind"])
def told_at_once(request, monkeypatch):
    """Whether a step is told before the next one is given, as on a CPU, or after, as on a GPU."""
    monkeypatch.setattr(Moment, "is_now", request.param)
    return request.param


def no_number_in(step, monkeypatch):
    """The loss of that step is no number."""
    inner, steps = stepping.weighted_sum, iter(range(1, 100))
    spoilt = lambda terms, weights: inner(terms, weights) * (math.nan if next(steps) == step else 1)  # noqa: E731
    monkeypatch.setattr(stepping, "weighted_sum", spoilt)


@pytest.mark.parametrize("step", [1, 2, 6])
def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(
    tiny_pair, tmp_path, monkeypatch, told_at_once, step
):  # fmt: skip
    """Though everything is saved that may be, after every step."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)
    no_number_in(step, monkeypatch)
    settings = config(eval_every=0)
    run = fresh(tmp_path / "run", settings)
    with pytest.raises(LabError, match=f"at step {step} the loss is nan.*lower learning_rate"):
        train(settings, tiny_pair, Sums(), run)
    assert [row["step"] for row in run.metrics() if row["kind"] == "step"] == list(range(1, step + 1))
    saved = run.checkpoints / "last"
    assert json.loads((saved / "manifest.json").read_text())["step"] == step - 1 if step > 1 else not saved.exists()


def test_a_step_that_was_no_number_says_so_before_what_it_led_to(tiny_pair, tmp_path, monkeypatch, told_at_once):
    """On a GPU the next step is given before; what fails in that one is not the reason."""
    no_number_in(2, monkeypatch)
    take, steps = training.take_step, iter(range(1, 100))

    def failing(*given):
        if next(steps) == 3:
            raise LabError("a captured graph gives the loss nan")
        return take(*given)

    monkeypatch.setattr(training, "take_step", failing)
    run = fresh(tmp_path / "run", config())
    with pytest.raises(LabError, match="at step 2 the loss is nan"):
        train(config(), tiny_pair, Sums(), run)
    assert len(losses(run)) == 2


def test_a_failure_of_its_own_is_a_steps_own(tiny_pair, tmp_path, monkeypatch, told_at_once):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 2)
        train(config(), tiny_pair, Sums(), fresh(tmp_path / "run", config()))
    assert len(losses(RunDirectory(tmp_path / "run"))) == 2


def test_a_task_without_training_questions_is_refused(tiny_pair, tmp_path):
    with pytest.raises(LabError, match="no training questions"):
        train(config(), tiny_pair, NoQuestions(), fresh(tmp_path / "run", config()))


def test_nothing_but_dev_questions_can_choose(tiny_pair, tmp_path):
    settings, run = config(), fresh(tmp_path / "run", config())
    with pytest.raises(LabError, match="selection on test"):
        train(settings, tiny_pair, Sums(), run, lambda translator, step: {"accuracy": 1.0, "n": 2})
    with pytest.raises(LabError, match="selection on test: choosing a checkpoint takes dev questions alone"):
        Selection(Test.of(Sums()), lambda translator, step, questions: {"accuracy": 1.0, "n": 2})
    with pytest.raises(LabError, match="selection on test: 2 questions of the dev split"):
        Dev.of(Sums())  # its dev questions are its test questions
