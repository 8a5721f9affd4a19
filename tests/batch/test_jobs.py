"""Jobs: what is wrong is refused before anything runs, and a failure leaves nothing half-written."""

import fcntl
import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.__main__ import join, split
from lab.batch import jobs
from lab.errors import LabError

PARAMETERS = 'name = "x"\nruns = "runs"\nsteps = 10\nrate = 1e-3\ntie = False\nlayers: "str | list[int]" = "all"\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository root with one notebook `nb`, whose second cell can be changed, and one job."""

    monkeypatch.setenv("PYTHONPATH", str(jobs.ROOT))  # the kernel's folder is not the repository here

    def make(body="pass", job="notebook: nb\n"):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        cells = [nbformat.v4.new_code_cell(PARAMETERS), nbformat.v4.new_code_cell(body)]
        cells[0].metadata["tags"] = ["parameters"]
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), tmp_path / "notebooks" / "nb.ipynb")
        path = tmp_path / "j.yaml"
        path.write_text(job)
        return path

    make.root = tmp_path
    return make


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
    ],
)
def test_wrong_parameters_are_refused(project, overrides, message):
    with pytest.raises(LabError, match=message):
        jobs.plan(project(), overrides, root=project.root)


@pytest.mark.parametrize(
    "text, message",
    [
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


def test_a_run_gets_its_notebook(project, capfd):
    path = project("import os; os.makedirs(f'{runs}/{name}'); print('steps', steps)")
    run = jobs.execute(jobs.plan(path, [("steps", "7")], root=project.root), root=project.root)
    assert "steps 7" in capfd.readouterr().out
    assert [file.name for file in run.iterdir()] == ["notebook.ipynb"]
    assert os.listdir(run.parent) == ["j"]


def test_each_kernel_talks_through_files_of_its_own(project):
    """Two that start at once in one folder must not share a socket, nor leave any there."""
    body = "import json, os, ipykernel, time; os.makedirs(f'{runs}/{name}'); time.sleep(1)\n"
    body += "open(f'{runs}/{name}/kernel', 'w').write(json.load(open(ipykernel.get_connection_file()))['ip'])"
    path, before = project(body), set(os.listdir(project.root))
    plans = [jobs.plan(path, [("name", name)], root=project.root) for name in ("one", "two", "three", "four")]
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        made = list(pool.map(partial(jobs.execute, root=project.root), plans))
    ips = {(run / "kernel").read_text() for run in made}
    assert len(ips) == 4 and not any(Path(ip).parent.exists() for ip in ips)
    assert set(os.listdir(project.root)) - before == {"runs"}


LAB_ERROR = "import os; from lab.errors import LabError; os.makedirs(f'{runs}/{name}')\n"


def test_a_refused_configuration_leaves_nothing(project):
    path = project(LAB_ERROR + "raise LabError('heads=5 does not divide width=128')")
    with pytest.raises(LabError, match="^heads=5 does not divide width=128$"):
        jobs.execute(jobs.plan(path, root=project.root), root=project.root)
    assert os.listdir(project.root / "runs") == []


def test_a_crash_before_the_first_result_keeps_only_the_notebook(project):
    path = project("1 / 0")
    with pytest.raises(LabError, match="nb failed with ZeroDivisionError"):
        jobs.execute(jobs.plan(path, root=project.root), root=project.root)
    assert os.listdir(project.root / "runs") == ["j.failed.ipynb"]


def test_a_run_that_got_going_is_kept_as_failed(project):
    path = project(
        LAB_ERROR + "open(f'{runs}/{name}/metrics.jsonl', 'w').write('{}')\n"
        "open(f'{runs}/{name}/manifest.json', 'w').write('{\"status\": \"running\", \"seed\": 3}')\n"
        "raise LabError('no')"
    )
    with pytest.raises(LabError, match="no"):
        jobs.execute(jobs.plan(path, root=project.root), root=project.root)
    run = project.root / "runs" / "j"
    assert json.loads((run / "manifest.json").read_text()) == {"status": "failed", "seed": 3}
    assert sorted(file.name for file in run.iterdir()) == ["manifest.json", "metrics.jsonl", "notebook.ipynb"]


def test_two_executions_of_one_run_exclude_each_other(project):
    job = jobs.plan(project(), root=project.root)
    job.run.parent.mkdir()
    with (job.run.parent / ".j.executing.ipynb").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="is being executed"):
            jobs.execute(job, root=project.root)


def test_what_a_killed_execution_left_is_no_obstacle(project):
    job = jobs.plan(project(), root=project.root)
    job.run.parent.mkdir()
    (job.run.parent / ".j.executing.ipynb").write_text("half a notebo")
    assert (jobs.execute(job, root=project.root) / "notebook.ipynb").is_file()
    assert not (job.run.parent / ".j.executing.ipynb").exists()


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
