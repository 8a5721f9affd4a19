"""Jobs: what is wrong is refused before anything runs."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.batch import jobs
from lab.errors import LabError
from lab.terminal import join, split


def test_overrides_are_typed_and_layered(project):
    path = project(job="base: base.yaml\nparameters: {steps: 20}\n")
    (project.root / "base.yaml").write_text("notebook: nb\nparameters: {steps: 5, rate: 1e-2, tie: true}\n")
    job = jobs.plan(path, [("name", "8"), ("layers", "[1, 2]"), ("rate", "3")], root=project.root)
    assert job.parameters == {
        "name": "8", "steps": 20, "rate": 3.0, "tie": True, "layers": [1, 2], "runs": "runs",
    }  # fmt: skip
    assert jobs.plan(path, root=project.root).parameters["rate"] == 0.01
    assert jobs.plan(path, root=project.root).run == project.root / "runs" / "j"
    assert not (project.root / "runs").exists()
    assert jobs.plan(path, [("name", "2024-02-30")], root=project.root).run.name == "2024-02-30"  # no date of YAML's


@pytest.mark.parametrize(
    "overrides, message",
    [
        ([("stesp", "3")], "did you mean 'steps'"),
        ([("steps", "3.5")], "it has to be int"),
        ([("steps", "true")], "it has to be int"),
        ([("rate", "fast")], "it has to be float"),
        ([("rate", "true")], "it has to be float"),
        ([("tie", "1")], "it has to be bool"),
        ([("name", "../up")], "run name"),
        ([("name", "")], "run name"),
        ([("name", "n" * 201)], "has 201 characters: choose at most 200"),
        ([("layers", "caf\udce9")], "layers is 'caf.udce9', which is not UTF-8"),
    ],
)
def test_wrong_parameters_are_refused(project, overrides, message):
    with pytest.raises(LabError, match=message):
        jobs.plan(project(), overrides, root=project.root)


@pytest.mark.parametrize(
    "text, message",
    [
        ("notebook: nb\nparameters:\n  steps: 1\n  rate: 2\n  steps: 3", "'steps' stands on line 3 and again on line"),
        ("notebook: nb\nnotebook: nb", "the key 'notebook' stands on line 1 and again on line 2"),
        ("[" * 2000, "nested too deeply"),
        ("[1]", "has to hold"),
        ("notebook: nb\nparamters: {}", "unknown key"),
        ("notebook: other", "the notebooks are: nb"),
        ("parameters: {steps: 1}", "names no notebook"),
        ("notebook: nb\nparameters: 3", "has to be a mapping"),
        ("notebook: [", "not YAML"),
        ("notebook: nb\nparameters: {name: 2024-02-30}", "not YAML"),
        ("base: j.yaml", "its own base"),
        ("notebook: nb\nparameters: {name: 8}", "it has to be str"),
    ],
)
def test_wrong_jobs_are_refused(project, text, message):
    with pytest.raises(LabError, match=message):
        jobs.plan(project(job=text), root=project.root)


def test_a_folder_that_no_notebook_can_name_is_refused(project):
    """A folder's name may be any bytes; papermill writes it into a notebook, which is UTF-8."""
    with pytest.raises(LabError, match="runs is '.*caf.udce9', which is not UTF-8"):
        jobs.plan(project(), runs=project.root / "caf\udce9", root=project.root)


def test_a_damaged_notebook_is_one_sentence(project):
    path = project()
    for text in ("{", "[]", "[" * 100_000):
        (project.root / "notebooks" / "nb.ipynb").write_text(text)
        with pytest.raises(LabError, match="nb.ipynb is not a notebook"):
            jobs.plan(path, root=project.root)


def test_an_existing_run_is_refused(project):
    path = project()
    (project.root / "runs" / "j").mkdir(parents=True)
    with pytest.raises(LabError, match="exists: remove it"):
        jobs.plan(path, root=project.root)


def test_parameters_cells_hold_literals_only(project):
    project()
    path = project.root / "notebooks" / "nb.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"] = "import os\nname = os.getcwd()"
    path.write_text(json.dumps(notebook))
    with pytest.raises(LabError, match="may hold only"):
        jobs.notebook_parameters(path)


@given(st.one_of(st.integers(), st.booleans(), st.text(), st.floats(allow_nan=False), st.none()))
def test_a_fitted_value_has_an_allowed_type(value):
    for kind, default in ((int, 1), (float, 1.0), (bool, True), (str, "a")):
        try:
            assert type(jobs.fit(jobs.Parameter("p", default, (kind,)), value)) is kind
        except LabError:
            assert type(value) is not kind


def test_the_command_line_says_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", str(tmp_path / "none.yaml")], capture_output=True, text=True, cwd=jobs.ROOT
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no job ") and done.stderr.count("\n") == 1


def test_parameters_may_be_two_words_or_one():
    assert join(["run", "-p", "a", "-1", "j.yaml", "-p", "b=2"]) == ["run", "-p", "a=-1", "j.yaml", "-p", "b=2"]
    assert split("a=b=c") == ("a", "b=c")
    with pytest.raises(LabError, match="has no value"):
        split("a")
