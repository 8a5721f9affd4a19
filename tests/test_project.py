"""The project's own files: notebooks stripped, the environment readable, the lock exact."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml

from lab.answers.generation import greedy
from lab.batch import jobs
from lab.batch.catalogue import job_files
from lab.config import PACKAGE
from lab.config.run import SECTION_OF, PairConfig, RunConfig
from lab.models.loading import load_pair
from lab.runs.directory import RunDirectory
from lab.studies.experiment import Experiment, check_training
from lab.tasks import load_task
from lab.training.loop import train

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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_figures_with_their_picture(path):
    """A figure that is named alone is interactive only, and an export of the executed notebook would not show it."""
    for cell in json.loads(path.read_text())["cells"]:
        drawn = re.findall(r"^.*\b(?:\w+_figure|training_curve)\(.*$", "".join(cell["source"]), re.MULTILINE)
        assert cell["cell_type"] != "code" or all(line.startswith("show(") for line in drawn), drawn


@pytest.mark.parametrize("path", sorted((ROOT / "lab").rglob("*.py")), ids=lambda path: path.stem)
def test_progress_is_shown_by_one_module(path):
    """A bar of `tqdm.auto` is a widget, which an executed notebook shows at 0 % for ever."""
    assert "tqdm.auto" not in path.read_text() or path.stem == "harness"


@pytest.mark.parametrize("path", job_files(), ids=lambda path: path.stem)
def test_jobs_are_valid(path, tmp_path):
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


def test_the_small_pair_is_locked_with_its_licences():
    text = (ROOT / "requirements-real.lock").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    for name in PairConfig(pair="small").models:
        package = name.removeprefix(PACKAGE).partition("@")[0]
        assert package in {line.partition("==")[0] for line in lines}
    for place in (text, (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()):
        assert "Apache-2.0" in place and "Gemma Terms of Use" in place


def train_configs():
    """Every job of 01_train with the effective parameters of its run."""
    notebook = jobs.notebook_parameters(ROOT / "notebooks" / "01_train.ipynb")
    defaults = {name: parameter.default for name, parameter in notebook.items()}
    for path in job_files():
        job = jobs.read_job(path)
        if job["notebook"] == "01_train" and path.stem != "documents":  # that one is the ground of others, and 1b
            yield (
                path.stem,
                {name: value for name, value in {**defaults, **job["parameters"]}.items() if name in FIELDS},
            )


FIELDS = {"name", *SECTION_OF}
TRAIN = dict(train_configs())


def test_no_two_jobs_are_the_same_experiment():
    """Three earlier "ablations" had logged configs that differed only in paths and an unused decode interval."""
    hashes = {}
    for name, flat in TRAIN.items():
        digest = RunConfig.from_parameters(**without_idle(flat)).hash()
        assert digest not in hashes, f"{name} is the same experiment as {hashes[digest]}"
        hashes[digest] = name


def without_idle(flat):
    """The parameters, those that change nothing beside the others at their defaults."""
    idle = []
    for term, fields in {"kl": ("tokens",), "contrast": ("start",), "decode": ("every", "samples", "tokens")}.items():
        idle += [f"{term}_{field}" for field in fields if not flat[f"{term}_weight"]]
    if flat["translator"] != "dit":
        idle += ["conditioning", *(name for name in flat if name.startswith("flow_") and name != "flow_weight")]
    if flat["translator"] != "resampler":
        idle += ["gate_init", "gate_learning_rate_scale"]
    if flat["translator"] in ("linear", "constant"):
        idle += ["width", "depth", "heads", "dropout", "source_mix"]
    if flat["translator"] == "constant":
        idle += ["source_layers", "start_from"]
    idle += ["adapter_scale"] if flat["injection"] == "prepend" else []
    idle += ["soft_tokens_cap"] if flat["soft_tokens"] else []
    return {name: value for name, value in flat.items() if name not in idle}


def test_an_idle_field_makes_no_experiment():
    flat = TRAIN["base"]
    assert without_idle(flat | {"decode_every": 7, "flow_eval_steps": 9}) == without_idle(flat)


def test_jobs_on_the_embedded_models_ask_their_own_task():
    """`auto` is GSM8K for `custom`, so they have to stay with the pair `mini`, or name the task."""
    for name, flat in TRAIN.items():
        if "pairs/mini" in flat["source"] + flat["target"]:
            assert RunConfig.from_parameters(**flat).task.task == "minigsm", name


@pytest.mark.parametrize("name", TRAIN)
def test_every_job_trains_on_the_embedded_pair(name, embedded_pair, tmp_path):
    """The whole objective of the job, at a size that a test can afford, for two steps."""
    small = {"pair": "mini", "source": "", "target": "",
             "dtype": "float32", "width": 48, "heads": 4, "depth": 1, "steps": 2, "warmup_steps": 0,
             "batch_size": 2, "decode_every": 1, "decode_tokens": 4, "contrast_start": 0, "start_from": ""}  # fmt: skip
    flat = TRAIN[name] | small
    if flat["injection"] == "prepend":  # an adapter's soft tokens have to fit into its real prompt
        flat |= {"shots": 0, "soft_tokens": min(flat["soft_tokens"], 12)}
    if flat["question_until"]:
        flat["question_until"] = 1
    if isinstance(flat["source_layers"], list):  # of deeper models
        flat["source_layers"] = "middle"
    if flat["task"] in ("hotpotqa", "gsm8k", "jsonl"):
        flat |= {"task": "minigsm", "evidence": "source", "data": "", "scorer": ""}
    config = RunConfig.from_parameters(**flat)
    run, task = RunDirectory.create(tmp_path / "run", config), load_task(config.task)
    check_training(Experiment(config, run, embedded_pair, task), config)
    train(config, embedded_pair, task, run, decode=greedy)
    rows = [row for row in run.metrics() if row["kind"] == "step"]
    weights = {name.removesuffix("_weight") for name, value in flat.items() if name.endswith("_weight") and value}
    assert len(rows) == 2 and set(rows[1]["terms"]) == weights


@pytest.fixture(scope="module")
def embedded_pair():
    torch.set_num_threads(1)
    return load_pair(PairConfig(device="cpu"))
