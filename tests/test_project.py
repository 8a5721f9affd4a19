"""The project's own files: notebooks stripped, the environment readable, the lock exact."""

import json
import re
from pathlib import Path

import pytest
import yaml

from lab import jobs

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stripped(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "run `nbstripout` on it"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_a_parameters_cell(path):
    assert {"name", "runs"} <= jobs.notebook_parameters(path).keys()


@pytest.mark.parametrize("path", sorted((ROOT / "papermill_jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_jobs_are_valid(path, tmp_path):
    if jobs.read_job(path)["notebook"] is not None:
        jobs.plan(path, runs=tmp_path)


def test_the_environment_is_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.lock"]}]


def test_the_lock_is_exact_and_names_no_place():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert "torch==2.13.0" in lines
    assert not any(line.lower().startswith("nvidia") for line in lines)
    needed = {"papermill", "jupyterlab", "transformers", "pytest", "ruff", "nbstripout", "typer"}
    assert needed <= {line.split("==")[0] for line in lines}
