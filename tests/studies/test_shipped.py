"""The bridge and the constant prompt that come with the package for the pair `small`: no models are loaded."""

import json
from pathlib import Path

import pytest

from lab.batch.jobs import notebook_parameters, read_job
from lab.config import RunConfig
from lab.config.run import SECTION_OF
from lab.places import ROOT
from lab.studies.budget import beyond, check_equal_budget, constant_config
from lab.studies.controls import check_source, trained_folder
from lab.studies.measured import trained_config
from lab.translators import load_translator

SMALL = ROOT / "lab" / "pairs" / "small"
FOLDERS = [SMALL / "translator", SMALL / "constant"]
MOST = 20e6  # bytes that a folder may add to the package
FILES = {"README.md", "config.json", "config.yaml", "model.safetensors", "translator.json"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_folder_loads_and_is_small(folder):
    config, translator = trained_config(folder), load_translator(trained_folder(folder))
    assert config.pair.pair == "small" and f"# hash {config.hash()}\n" in (folder / "config.yaml").read_text()
    built = json.loads((folder / "config.json").read_text())
    assert translator.layers == config.pair.source_layers and built["soft_tokens"] == config.translator.soft_tokens
    assert {path.name for path in folder.iterdir()} == FILES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST


def test_the_control_differs_in_what_it_may():
    config, control = map(trained_config, FOLDERS)
    ours, theirs = config.parameters(), control.parameters()
    assert {name for name in ours if ours[name] != theirs[name]} == {"name", "translator", "learning_rate"}
    check_equal_budget(config, control, "latent_constant")
    check_source(config, control, "latent_constant")
    assert beyond(config, control) == {"longer": False, "times": pytest.approx(100)}


def test_both_were_trained_by_the_job():
    defaults = {name: one.default for name, one in notebook_parameters(ROOT / "notebooks/01_train.ipynb").items()}
    job = defaults | read_job(ROOT / "papermill_jobs/real/word_problems.yaml")["parameters"]
    recipe = RunConfig.from_parameters(**{name: job[name] for name in {"name", *SECTION_OF}})
    control = constant_config(recipe, job["control_steps"], job["control_learning_rate"])
    assert [trained_config(folder).hash() for folder in FOLDERS] == [recipe.hash(), control.hash()]


def test_make_real_evaluates_them():
    job = read_job(ROOT / "papermill_jobs/real/word_problems_evidence.yaml")["parameters"]
    assert [ROOT / Path(name) for name in (*job["translators"], *job["constant"])] == FOLDERS
    assert "papermill_jobs/real/word_problems_evidence.yaml" in (ROOT / "Makefile").read_text()
