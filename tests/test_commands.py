"""The command line: what it writes, and the one clear line for what it cannot read."""

import json

import pytest
from typer.testing import CliRunner

from lab.__main__ import app
from lab.errors import LabError

CELL = {"accuracy": 0.5, "n": 4, "ci95": [0.15, 0.85]}
SUMMARY = {"arms": {arm: CELL | {"cells": {}} for arm in ("source", "latent")}, "tests": {}}
ARM = {"arm": "latent", "accuracy": 0.5, "low": 0.2, "high": 0.8, "per_seed": [0.4, 0.6], "versus": {}}


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [("summary.json", SUMMARY, "Source"), ("evidence.json", {"arms": [ARM]}, "ticks are seeds")],
)
def test_a_run_is_drawn_into_a_file(tmp_path, name, content, shown):
    (tmp_path / name).write_text(json.dumps(content))
    done = CliRunner().invoke(app, ["figure", str(tmp_path), str(tmp_path / "figure.html")])
    assert done.exit_code == 0, done.output
    assert shown in (tmp_path / "figure.html").read_text()


@pytest.mark.parametrize("content", [None, "{"])
def test_what_cannot_be_drawn_is_named(tmp_path, content):
    if content:
        (tmp_path / "summary.json").write_text(content)
    done = CliRunner().invoke(app, ["figure", str(tmp_path), str(tmp_path / "figure.html")])
    assert isinstance(done.exception, LabError) and str(tmp_path) in str(done.exception)
    assert not (tmp_path / "figure.html").exists()
