"""What is said of runs: from what they left, whatever is missing or damaged, and one table of all in summary.log."""

import json
import os

import pytest
from typer.testing import CliRunner

from lab.__main__ import app
from lab.batch import screen
from lab.batch.members import plan_all
from lab.batch.status import runs_below, status_of
from lab.batch.submission import write_submission
from lab.batch.tables import duration, row, summary_row, write_summary_log
from lab.errors import LabError
from lab.runs import Lock

LOOKS = [{"step": 0, "accuracy": 0.1, "n": 10, "source": 0.2, "target": 0.4, "kind": "evaluation"},
         {"step": 4, "accuracy": 0.7, "n": 10, "source": 0.2, "target": 0.4, "kind": "evaluation"},
         {"step": 8, "accuracy": 0.5, "n": 10, "source": 0.2, "target": 0.4, "kind": "evaluation"}]  # fmt: skip
SUMMARY = {"arms": {"source": {"accuracy": 0.25, "n": 40}, "target": {"accuracy": 0.5, "n": 40},
                    "latent": {"accuracy": 0.75, "n": 40}}}  # fmt: skip


def make(run, status="running", steps=20, done=8, looks=LOOKS, summary=None, seconds=2.0):
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"status": status}))
    (run / "config.yaml").write_text(f"steps: {steps}\n")
    rows = [{"kind": "step", "step": step, "seconds": seconds} for step in range(1, done + 1)] + looks
    (run / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    if summary:
        (run / "summary.json").write_text(json.dumps(summary))
    return run


def test_a_run_in_its_training(tmp_path):
    run = make(tmp_path / "one")
    assert row(status_of(run)) == ("one", "dead", "8/20", "50.0", "")
    held = Lock(run / ".lock")
    assert row(status_of(run)) == ("one", "running", "8/20", "50.0", "24 s")
    make(run / "control_constant", done=3)
    assert row(status_of(run))[2] == "control 3/20"
    held.release()


def test_where_likelihoods_choose_their_nats_are_shown(tmp_path):
    looks = [
        {"step": step, "nats": nats, "n": 10, "kind": "evaluation"} for step, nats in ((0, 2.5), (4, 1.25), (8, 1.5))
    ]
    run = make(tmp_path / "one", looks=looks)
    assert row(status_of(run)) == ("one", "dead", "8/20", "1.500 nats", "")
    assert summary_row(status_of(run))[3] == "1.250 nats (4)"
    make(run / "control_constant", done=20)
    make(run / "control_text_tuned", done=5)
    assert row(status_of(run))[2] == "control 5/20"  # the one that was begun last


def test_a_finished_run_and_one_that_is_not_there(tmp_path):
    run = make(tmp_path / "one", "finished", done=20, summary=SUMMARY)
    assert row(status_of(run)) == ("one", "finished", "20/20", "75.0", "")
    assert row(status_of(tmp_path / "two")) == ("two", "waiting", "", "", "")


@pytest.mark.parametrize("name", ["manifest.json", "config.yaml", "metrics.jsonl", "summary.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", '{"kind": "step", "step": "x"}\n{"kind": "evaluation"'])
def test_what_is_damaged_counts_as_not_there(tmp_path, name, text):
    run = make(tmp_path / "one", "finished", summary=SUMMARY)
    (run / name).write_text(text)
    found = status_of(run)
    assert row(found)[0] == summary_row(found)[0] == "one"


def test_peak_final_and_gap(tmp_path):
    finished = status_of(make(tmp_path / "one", "finished", done=20, summary=SUMMARY))
    assert summary_row(finished)[3:] == ("70.0 (4)", "75.0", "25.0", "50.0", "+25.0", "test, n = 40")
    begun = status_of(make(tmp_path / "two", "interrupted"))
    assert summary_row(begun)[3:] == ("70.0 (4)", "50.0", "20.0", "40.0", "+10.0", "dev, n = 10")
    bare = status_of(make(tmp_path / "three", looks=[]))
    assert summary_row(bare)[3:] == ("", "", "", "", "", "")


@pytest.mark.parametrize("seconds, text", [(3, "3 s"), (100, "2 min"), (7500, "2 h 05 min"), (None, "")])
def test_durations_are_read_at_a_glance(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def submission(tmp_path):
    files = [tmp_path / f"{name}.yaml" for name in ("one", "two")]
    for file in files:
        file.write_text("notebook: 01_train\n")
    return write_submission(plan_all(files, [], [], tmp_path / "runs"))


def test_the_summary_has_a_line_for_every_run_submitted_there(submission, tmp_path):
    make(submission.runs[1], "finished", done=20, summary=SUMMARY)
    (tmp_path / "one.yaml").write_text("notebook: 01_train\nparameters: {name: later}\n")
    later = write_submission(plan_all([tmp_path / "one.yaml"], [], [], tmp_path / "runs"))
    lines = write_summary_log(later).read_text().splitlines()
    assert [line.split()[:2] for line in lines if not line.startswith("#")] == [
        ["run", "state"], ["one", "waiting"], ["two", "finished"], ["later", "waiting"]
    ]  # fmt: skip
    assert "70.0 (4)  75.0   25.0    50.0    +25.0  test, n = 40" in lines[-2]


def test_status_lists_what_is_there_and_what_was_submitted(submission, tmp_path):
    make(submission.runs[1], "finished", done=20, summary=SUMMARY)
    make(tmp_path / "runs" / "zero", "failed")
    done = CliRunner().invoke(app, ["status", str(tmp_path / "runs")])
    assert [line.split()[:2] for line in done.output.splitlines()[1:]] == [
        ["one", "waiting"], ["two", "finished"], ["zero", "failed"]
    ]  # fmt: skip
    assert runs_below(submission.runs[1]) == [submission.runs[1]]
    with pytest.raises(LabError, match="holds no run and no submission"):
        runs_below(tmp_path)


def test_the_live_table_shows_what_runs_first_and_what_it_says(submission):
    make(submission.runs[1])
    held = Lock(submission.runs[1] / ".lock")
    submission.output(1).write_text("old\n  50%|###  | 5/10\r 60%|###  | 6/10\x1b[A\n")
    rows = screen.Screen(submission).rows()
    (submission.runs[1] / "train.log").write_text("Step 7/20 | Loss 1.0\n")
    os.utime(submission.output(1), (0, 0))
    assert screen.Screen(submission).rows()[0][-1] == "Step 7/20 | Loss 1.0"
    held.release()
    assert [cells[0] for cells in rows] == ["two", "one"]
    assert rows[0][-1].startswith("60%") and "\x1b" not in rows[0][-1] and rows[1][-1] == ""
    assert screen._table(screen.Screen(submission)).row_count == 2
