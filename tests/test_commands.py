"""The command line: what it writes, and the one clear line for what it cannot read."""

from pathlib import Path

import pytest
from synthetic_runs import make_run
from typer.testing import CliRunner

from lab.__main__ import app
from lab.errors import LabError
from lab.pictures import NoPicture, painter


@pytest.fixture
def without_pictures(monkeypatch):
    """Nothing is drawn: what is tested are the words."""
    monkeypatch.setattr(painter(), "paint", lambda figure, scale=1.0: {"svg": b"<svg/>", "pdf": b"%PDF"})


def figures(*words):
    return CliRunner().invoke(app, ["figures", *map(str, words)])


def test_the_figures_of_a_run_are_written_and_what_is_missing_is_said_in_one_line(tmp_path, without_pictures):
    done = figures(make_run(tmp_path / "runs", "one"), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    *made, missing = done.output.splitlines()
    names = {Path(line.split()[0]).name for line in made}
    assert {"arms_and_controls", "flips"} < names and missing.startswith("not made: training_curves (needs ")
    assert {path.stem for path in (tmp_path / "out").iterdir()} == names


def test_what_cannot_be_drawn_is_named(tmp_path):
    run = make_run(tmp_path / "runs", "one")
    for words, said in (
        ((tmp_path,), "not made"),
        ((run, "--only", "people_curve"), "not made: people_curve (needs runs of task twohop"),
        ((run, "--only", "nonsense"), "there is no figure 'nonsense'"),
        ((tmp_path / "nothing",), "is no folder"),
    ):
        done = figures(*words, *(() if "--only" in words else ("--only", "flips")), "--out", tmp_path / "out")
        assert isinstance(done.exception, LabError) and said in str(done.exception)
        assert "\n" not in str(done.exception) and not (tmp_path / "out").exists()


def test_without_chromium_all_else_is_written(tmp_path, monkeypatch):
    def refuse(figure, scale=1.0):
        raise NoPicture("no picture could be drawn")

    monkeypatch.setattr(painter(), "paint", refuse)
    done = figures(make_run(tmp_path / "runs", "one"), "--out", tmp_path / "out", "--only", "flips")
    assert isinstance(done.exception, NoPicture)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"flips.html", "flips.csv", "flips.json"}
