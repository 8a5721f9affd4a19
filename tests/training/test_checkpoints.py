"""Laws of checkpoints: whatever kills a run, and whatever damages a file, it ends in the same bytes or says why not."""

import errno
import json
import os
import shutil
import signal
import threading

import pytest
import torch
from file_events import Killed, failing_from_event, full_disk, killed_at_event
from sums_task import Sums
from tiny_training import choosing, config, fresh, weights_of

import lab.training.checkpoints as checkpoints
import lab.training.loop as training
import lab.training.step as stepping
from lab.errors import LabError
from lab.runs import RunDirectory, whole_folder
from lab.studies.experiment import open_run
from lab.training import saving, train
from lab.training.saving import Saver
from lab.translators import load_translator

SETTINGS = config(steps=4, eval_every=1)
ACCURACY = {0: 0.1, 1: 0.5, 2: 0.2, 3: 0.6, 4: 0.3}  # the best changes, and changes again before the end


def accuracy(translator, step):
    return {"accuracy": ACCURACY[step], "n": 2}


@pytest.fixture(scope="module", autouse=True)
def no_clock():
    """Seconds are the one thing in metrics.jsonl that no two trainings share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.time, "monotonic", lambda: 0.0)
        yield


@pytest.fixture(scope="module")
def run_training(tiny_pair):
    def run(folder, settings=SETTINGS):
        torch.manual_seed(999)  # whatever another process would start with
        made = fresh(folder, settings)
        return train(settings, tiny_pair, Sums(), made, choosing(accuracy))

    return run


@pytest.fixture(scope="module")
def whole(run_training, tmp_path_factory):
    """What an uninterrupted training leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    result = run_training(folder)
    return weights_of(result.translator), left(folder)


@pytest.fixture(scope="module")
def stopped(run_training, tmp_path_factory):
    """A run that was stopped while it did its fourth step."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    stop_after(run_training, folder, 3)
    return folder


@pytest.fixture
def begun(stopped, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(stopped, tmp_path / "begun", symlinks=True)
    return tmp_path / "begun"


def left(run) -> dict[str, bytes | str]:
    """Metrics and checkpoints, byte by byte; a link by where it leads."""
    found = [run / "metrics.jsonl", *sorted((run / "checkpoints").rglob("*"))]
    files = [path for path in found if not is_folder(path) and path.exists()]
    return {str(file.relative_to(run)): os.readlink(file) if file.is_symlink() else file.read_bytes() for file in files}


def is_folder(path) -> bool:
    return path.is_dir() and not path.is_symlink()


def log_of(run) -> str:
    return (run / "train.log").read_text()


def ends_as(whole, run_training, folder):
    weights = weights_of(run_training(folder).translator)
    assert (weights, left(folder)) == whole


def events_of(run_training, folder) -> list:
    with killed_at_event(folder, None) as seen:
        run_training(folder)
    return list(seen)


def kill_at(which, run_training, folder):
    with killed_at_event(folder, which), pytest.raises(Killed):
        run_training(folder)


def test_every_kind_of_file_event_is_one_to_be_killed_at(run_training, tmp_path):
    """The failpoints below are what Python reports of itself: the law holds for files that are yet to be invented."""
    seen = events_of(run_training, tmp_path / "run")
    assert {event for event, _ in seen} >= {"open", "os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir"}
    assert len(seen) > 100


def test_killed_at_a_file_event_it_ends_in_the_same_bytes(run_training, whole, tmp_path):
    count = len(events_of(run_training, tmp_path / "count"))
    for which in range(3, count, count // 6):
        folder = tmp_path / f"at{which}"
        kill_at(which, run_training, folder)
        ends_as(whole, run_training, folder)


@pytest.mark.slow
def test_killed_at_any_file_event_it_ends_in_the_same_bytes(run_training, whole, tmp_path):
    for which in range(len(events_of(run_training, tmp_path / "count"))):
        folder = tmp_path / f"at{which}"
        kill_at(which, run_training, folder)
        ends_as(whole, run_training, folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_killed_again_while_it_resumes_it_ends_in_the_same_bytes(run_training, whole, tmp_path):
    count = len(events_of(run_training, tmp_path / "count"))
    begun = tmp_path / "begun"
    kill_at(count * 3 // 4, run_training, begun)
    (begun / "checkpoints" / "step_2" / "model.safetensors").write_bytes(b"")  # so that it has something to tidy
    again = tmp_path / "again"
    shutil.copytree(begun, again, symlinks=True)
    for which in range(len(events_of(run_training, again))):
        shutil.rmtree(again)
        shutil.copytree(begun, again, symlinks=True)
        kill_at(which, run_training, again)
        ends_as(whole, run_training, again)


def test_the_newest_two_are_kept_each_with_its_best(run_training, tmp_path):
    run_training(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best", "last", "step_3", "step_4"]
    assert (os.readlink(folder / "best"), os.readlink(folder / "last")) == ("step_3", "step_4")


def stop_after(run_training, folder, steps):
    """Train, and stop in the middle of the step after `steps`."""
    inner, count = training.take_step, iter(range(steps))

    def dying(*args):
        if next(count, None) is None:
            raise Killed
        return inner(*args)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "take_step", dying)
        run_training(folder)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGES = {
    "a flipped bit in the weights": lambda c: flip_a_bit(c / "step_3" / "model.safetensors"),
    "a flipped bit in the optimiser": lambda c: flip_a_bit(c / "step_3" / "optimizer.safetensors"),
    "a shortened optimiser": lambda c: os.truncate(c / "step_3" / "optimizer.safetensors", 100),
    "a lost optimiser": lambda c: (c / "step_3" / "optimizer.safetensors").unlink(),
    "another step in the state": lambda c: change_json(c / "step_3" / "state.json", step=2),
    "half a state": lambda c: os.truncate(c / "step_3" / "state.json", 20),
    "a lost manifest": lambda c: (c / "step_3" / "manifest.json").unlink(),
    "half a manifest": lambda c: os.truncate(c / "step_3" / "manifest.json", 40),
    "another step in the manifest": lambda c: change_json(c / "step_3" / "manifest.json", step=2),
    "a manifest without its metrics": lambda c: change_json(c / "step_3" / "manifest.json", metrics=None),
    "a manifest that is a list": lambda c: (c / "step_3" / "manifest.json").write_text("[]"),
    "another config": lambda c: change_json(c / "step_3" / "manifest.json", config_hash="0"),
    "metrics that lost their last rows": lambda c: cut_rows(c.parent / "metrics.jsonl", 1),
    "an empty folder": lambda c: [file.unlink() for file in (c / "step_3").iterdir()],
}  # fmt: skip


def cut_rows(path, count):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-count]))


@pytest.mark.parametrize("damage", DAMAGES)
def test_it_falls_back_to_the_checkpoint_before_a_damaged_one(run_training, whole, begun, capsys, damage):
    DAMAGES[damage](begun / "checkpoints")
    ends_as(whole, run_training, begun)
    (line,) = [line for line in log_of(begun).splitlines() if "Resumed" in line]
    assert "Resumed after step 2; " in line and ("step_3" in line or "metrics.jsonl" in line)
    assert line in capsys.readouterr().out


def test_a_damaged_best_takes_its_checkpoint_with_it(run_training, tmp_path):
    """The checkpoint itself is whole, but it would end with a best that nobody saved."""
    stop_after(run_training, tmp_path / "run", 2)
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.glob("step_*")) == ["step_1", "step_2"]
    flip_a_bit(folder / "step_1" / "model.safetensors")
    with pytest.raises(LabError, match="cannot be resumed: model.safetensors of step_1 is not what was saved; move"):
        run_training(tmp_path / "run")


def edit_metrics(run):
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace('"accuracy": 0.1', '"accuracy": 0.2'))


@pytest.mark.parametrize("damage, reason", [
    (lambda run: (run / "metrics.jsonl").unlink(), "metrics.jsonl has lost rows"),
    (edit_metrics, "metrics.jsonl is not what was logged"),
    (lambda run: [flip_a_bit(path) for path in run.glob("checkpoints/step_*/model.safetensors")],
     "model.safetensors of step_3 is not what was saved; model.safetensors of step_2"),
])  # fmt: skip
def test_where_nothing_is_left_to_go_on_from_it_refuses(run_training, begun, damage, reason):
    damage(begun)
    checkpoints_before = {name: text for name, text in left(begun).items() if name != "metrics.jsonl"}
    with pytest.raises(LabError, match=f"cannot be resumed: {reason}"):
        run_training(begun)
    assert checkpoints_before == {name: text for name, text in left(begun).items() if name != "metrics.jsonl"}


def test_a_run_whose_checkpoints_are_damaged_is_left_as_it_is(begun):
    """Refused before anything says that the run was resumed."""
    for path in begun.glob("checkpoints/step_*/state.json"):
        flip_a_bit(path)
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    with pytest.raises(LabError, match="cannot be resumed: state.json of step_3 is not what was saved"):
        open_run(begun, SETTINGS, resume=True)
    assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before


def test_checkpoints_of_another_config_are_not_taken(run_training, begun):
    """Even where the run's own manifest does not tell."""
    other = SETTINGS.replace(learning_rate=3e-2)
    change_json(begun / "manifest.json", config_hash=other.hash())
    with pytest.raises(LabError, match=f"step_3 was saved with config {SETTINGS.hash()}, not {other.hash()}"):
        run_training(begun, other)


def test_checkpoints_of_an_earlier_version_are_refused(run_training, begun):
    folder = begun / "checkpoints"
    for name in ("best", "last"):
        content = (folder / name).resolve()
        (folder / name).unlink()
        shutil.copytree(content, folder / name)
    for path in folder.glob("step_*"):
        shutil.rmtree(path)
    with pytest.raises(LabError, match="`last` is of an earlier version"):
        run_training(begun)


def test_a_run_that_was_copied_without_its_links_goes_on(run_training, whole, begun, tmp_path):
    shutil.copytree(begun, tmp_path / "copy")  # links become folders
    assert not (tmp_path / "copy" / "checkpoints" / "last").is_symlink()
    ends_as(whole, run_training, tmp_path / "copy")


def test_where_there_can_be_no_links_best_and_last_are_copies(run_training, whole, tmp_path, monkeypatch):
    def refuse(*given, **named):
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", refuse)
        result = run_training(tmp_path / "run")
    assert weights_of(result.translator) == whole[0]
    for name, step in (("best", "step_3"), ("last", "step_4")):
        folder = tmp_path / "run" / "checkpoints" / name
        assert is_folder(folder) and (folder / "state.json").read_bytes() == whole[1][f"checkpoints/{step}/state.json"]
    ends_as(whole, run_training, tmp_path / "run")  # and links again where there can be


def test_a_full_disk_is_one_sentence_and_leaves_the_checkpoint_before(run_training, whole, tmp_path, monkeypatch):
    inner, saved = checkpoints.save_file, []

    def full(tensors, path):
        if len(saved) == 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        saved.append(path)
        inner(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", full)
        with pytest.raises(LabError, match=r"step_3 cannot be saved \(No space left on device\).*resume the run"):
            run_training(tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))  # a full disk needs the room
    ends_as(whole, run_training, tmp_path / "run")


def test_a_damaged_translator_is_not_begun_with(run_training, tmp_path):
    run_training(tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best"
    later = config(steps=1, warmup_steps=0, eval_every=0, start_from=str(best))
    run_training(tmp_path / "later", later)
    flip_a_bit(best / "model.safetensors")
    with pytest.raises(LabError, match="best is damaged: model.safetensors of best is not what was saved"):
        run_training(tmp_path / "other", later)


def test_a_finished_training_resumed_changes_nothing(run_training, whole, tmp_path):
    run_training(tmp_path / "run")
    ends_as(whole, run_training, tmp_path / "run")


def test_the_translator_that_is_returned_is_the_best(run_training, tmp_path):
    result = run_training(tmp_path / "run")
    assert result.best_step == 3
    assert weights_of(result.translator) == weights_of(load_translator(tmp_path / "run" / "checkpoints" / "best"))


def test_without_evaluation_there_is_a_last_and_no_best(tiny_pair, tmp_path):
    settings = config(eval_every=2)
    train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings))
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["last", "step_4", "step_6"]


def test_a_folder_is_whole_or_not_there(tmp_path):
    with pytest.raises(Killed), whole_folder(tmp_path / "a") as beside:
        (beside / "x").write_text("x")
        raise Killed
    assert [path.name for path in tmp_path.iterdir()] == [".a.tmp"]
    with whole_folder(tmp_path / "a") as beside:
        assert not list(beside.iterdir())
        (beside / "y").write_text("y")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_metrics_are_held_to_what_was_logged(tmp_path):
    run = RunDirectory(tmp_path)
    run.metric({"step": 1})
    mark = run.metrics_so_far()
    run.metric({"step": 2})
    run.check_metrics(**mark)
    assert run.cut_metrics(mark["bytes"]) and not run.cut_metrics(mark["bytes"])
    assert run.metrics() == [{"step": 1}]


def beside(monkeypatch):
    """As on a GPU: a thread writes the checkpoints."""
    monkeypatch.setattr(training, "Saver", lambda *given: Saver(*given, beside=True))


def test_checkpoints_written_by_a_thread_are_the_same_bytes(run_training, whole, tmp_path, monkeypatch):
    """Of the moment at which they were asked for, though the training has gone on since."""
    beside(monkeypatch)
    inner = saving.write_checkpoint
    monkeypatch.setattr(saving, "write_checkpoint", lambda *given: (threading.Event().wait(0.05), inner(*given)))
    ends_as(whole, run_training, tmp_path / "run")


def test_what_a_thread_cannot_write_stops_the_training(run_training, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        beside(patch)
        inner = checkpoints.save_file
        patch.setattr(checkpoints, "save_file", lambda state, path: (
            full_disk() if "step_3" in str(path) else inner(state, path)))  # fmt: skip
        with pytest.raises(LabError, match=r"step_3 cannot be saved \(No space left on device\)"):
            run_training(tmp_path / "run")
    ends_as(whole, run_training, tmp_path / "run")


def test_a_failing_training_still_has_its_last_checkpoint_written(run_training, tmp_path, monkeypatch):
    beside(monkeypatch)
    stop_after(run_training, tmp_path / "run", 3)
    assert (tmp_path / "run" / "checkpoints" / "step_3" / "manifest.json").exists()


def asked_after(step, signum, monkeypatch):
    """The signal comes while the step after `step` others is done."""
    inner, count = training.take_step, iter(range(step))

    def asking(*given):
        if next(count, None) is None:
            os.kill(os.getpid(), signum)
        return inner(*given)

    monkeypatch.setattr(training, "take_step", asking)


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
@pytest.mark.parametrize("step", [0, 2, 3])
def test_a_training_that_is_asked_to_stop_saves_first(run_training, whole, tmp_path, monkeypatch, name, step):
    before = signal.getsignal(getattr(signal, name))
    with (
        monkeypatch.context() as patch,
        pytest.raises(LabError, match=f"stopped by {name} after step {step + 1}, which is"),
    ):
        asked_after(step, getattr(signal, name), patch)
        run_training(tmp_path / "run")
    assert f"Stopped by {name} after step {step + 1}" in log_of(tmp_path / "run")
    assert signal.getsignal(getattr(signal, name)) is before
    ends_as(whole, run_training, tmp_path / "run")
    assert f"Resumed after step {step + 1}" in log_of(tmp_path / "run")


def test_a_training_that_is_asked_to_stop_saves_between_two_evaluations(run_training, tmp_path, monkeypatch):
    """A checkpoint that would not be there otherwise changes nothing of what comes after it."""
    rare = SETTINGS.replace(eval_every=4)
    expected = run_training(tmp_path / "whole", rare)
    with monkeypatch.context() as patch, pytest.raises(LabError, match="stopped by SIGTERM after step 2"):
        asked_after(1, signal.SIGTERM, patch)
        run_training(tmp_path / "run", rare)
    again = run_training(tmp_path / "run", rare)
    assert weights_of(again.translator) == weights_of(expected.translator) and again.history == expected.history
    for name in ("last/optimizer.safetensors", "last/state.json"):
        both = [(tmp_path / run / "checkpoints" / name).read_bytes() for run in ("run", "whole")]
        assert both[0] == both[1]
    both = [(tmp_path / run / "metrics.jsonl").read_bytes() for run in ("run", "whole")]
    assert both[0] == both[1]


FAILING = {"a full disk": errno.ENOSPC, "a folder that is read-only": errno.EROFS}


def stopped_by(what, which, run_training, folder):
    """The training ends in one sentence; on a full disk it may end well, where all it had left to do was to delete."""
    with failing_from_event(folder, which, FAILING[what]):
        try:
            run_training(folder)
        except LabError as error:
            assert os.strerror(FAILING[what]) in str(error) and "\n" not in str(error)
        else:
            assert what == "a full disk" and which > 50


@pytest.mark.parametrize("what", FAILING)
def test_a_disk_that_fails_at_any_moment_is_one_sentence_and_nothing_is_lost(run_training, whole, tmp_path, what):
    """From a file event on nothing can be written any more; mended, the run ends in the same bytes."""
    count = len(events_of(run_training, tmp_path / "count"))
    for which in range(2, count, count // 4):
        folder = tmp_path / f"at{which}"
        stopped_by(what, which, run_training, folder)
        ends_as(whole, run_training, folder)


@pytest.mark.parametrize("what", FAILING)
def test_a_disk_that_fails_while_a_run_is_resumed_is_one_sentence(run_training, whole, begun, tmp_path, what):
    (begun / "checkpoints" / "step_3" / "model.safetensors").write_bytes(b"")  # so that it has something to tidy
    again = tmp_path / "again"
    shutil.copytree(begun, again, symlinks=True)
    for which in range(0, len(events_of(run_training, again)) // 2, 9):
        shutil.rmtree(again)
        shutil.copytree(begun, again, symlinks=True)
        stopped_by(what, which, run_training, again)
        ends_as(whole, run_training, again)


def test_a_loss_that_is_no_number_names_its_step_and_term_and_keeps_the_last_good_checkpoint(
    tiny_pair, tmp_path, monkeypatch
):
    settings, steps = config(steps=4, eval_every=1, contrast_weight=0.1, contrast_start=0), iter(range(9))
    inner = training.training_terms

    def poisoned(*given):
        terms = inner(*given)
        return terms | ({"contrast": terms["contrast"] * float("nan")} if next(steps) == 2 else {})

    def run_it():
        return train(settings, tiny_pair, Sums(), fresh(tmp_path / "run", settings), choosing(accuracy))

    with monkeypatch.context() as patch:
        patch.setattr(training, "training_terms", poisoned)
        with pytest.raises(
            LabError, match="at step 3 the loss is nan: contrast is nan; the last checkpoint is from before"
        ):
            run_it()
    assert os.readlink(tmp_path / "run" / "checkpoints" / "last") == "step_2"
    good = load_translator(tmp_path / "run" / "checkpoints" / "last").state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in good.values())
    run_it()  # what was logged of the bad step is dropped
    assert [row["step"] for row in RunDirectory(tmp_path / "run").metrics() if row["kind"] == "step"] == [1, 2, 3, 4]


def test_of_finite_terms_with_an_infinite_gradient_it_says_that(tiny_pair, tmp_path, monkeypatch):
    """The square root has no slope at zero."""
    monkeypatch.setattr(stepping, "weighted_sum", lambda terms, weights: (sum(terms.values()) * 0).sqrt())
    with pytest.raises(
        LabError, match="at step 1 the loss is 0.0: every term is finite, but the gradient of the loss is "
    ):
        train(SETTINGS, tiny_pair, Sums(), fresh(tmp_path / "run", SETTINGS))
