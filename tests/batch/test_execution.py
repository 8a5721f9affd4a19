"""Executions: a failure leaves nothing half-written, and a refused one nothing at all."""

import fcntl
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest
from notebook_project import STEPS

from lab.batch import execution, jobs
from lab.errors import LabError
from lab.runs import RunDirectory


def run_job(project, path, *overrides):
    return execution.execute(jobs.plan(path, list(overrides), root=project.root), root=project.root)


def content(folder) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_gets_its_notebook(project, capfd):
    path = project("import os; os.makedirs(f'{runs}/{name}'); print('steps', steps)")
    run = execution.execute(jobs.plan(path, [("steps", "7")], root=project.root), root=project.root)
    assert "steps 7" in capfd.readouterr().out
    assert [file.name for file in run.iterdir()] == ["notebook.ipynb"]
    assert os.listdir(run.parent) == ["j"]


@pytest.mark.slow
def test_each_kernel_talks_through_files_of_its_own(project):
    """Two that start at once in one folder must not share a socket, nor leave any there."""
    body = "import json, os, ipykernel, time; os.makedirs(f'{runs}/{name}'); time.sleep(1)\n"
    body += "open(f'{runs}/{name}/kernel', 'w').write(json.load(open(ipykernel.get_connection_file()))['ip'])"
    path, before = project(body), set(os.listdir(project.root))
    plans = [jobs.plan(path, [("name", name)], root=project.root) for name in ("one", "two", "three", "four")]
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        made = list(pool.map(partial(execution.execute, root=project.root), plans))
    ips = {(run / "kernel").read_text() for run in made}
    assert len(ips) == 4 and not any(Path(ip).parent.exists() for ip in ips)
    assert set(os.listdir(project.root)) - before == {"runs"}


LAB_ERROR = "import os; from lab.errors import LabError; os.makedirs(f'{runs}/{name}')\n"


def test_a_refused_configuration_leaves_nothing(project):
    path = project(LAB_ERROR + "raise LabError('heads=5 does not divide width=128')")
    with pytest.raises(LabError, match="^heads=5 does not divide width=128$"):
        execution.execute(jobs.plan(path, root=project.root), root=project.root)
    assert os.listdir(project.root / "runs") == []


def test_a_crash_before_the_first_result_keeps_only_the_notebook(project):
    path = project("1 / 0")
    with pytest.raises(LabError, match="nb failed with ZeroDivisionError"):
        execution.execute(jobs.plan(path, root=project.root), root=project.root)
    assert os.listdir(project.root / "runs") == ["j.failed.ipynb"]


def test_a_run_that_got_going_is_kept_as_failed(project):
    path = project(
        LAB_ERROR + "open(f'{runs}/{name}/metrics.jsonl', 'w').write('{}')\n"
        "open(f'{runs}/{name}/manifest.json', 'w').write('{\"status\": \"running\", \"seed\": 3}')\n"
        "raise LabError('no')"
    )
    with pytest.raises(LabError, match="no"):
        execution.execute(jobs.plan(path, root=project.root), root=project.root)
    run = project.root / "runs" / "j"
    assert json.loads((run / "manifest.json").read_text()) == {"status": "failed", "seed": 3}
    assert sorted(file.name for file in run.iterdir()) == ["manifest.json", "metrics.jsonl", "notebook.ipynb"]


def test_two_executions_of_one_run_exclude_each_other(project):
    job = jobs.plan(project(), root=project.root)
    job.run.parent.mkdir()
    with (job.run.parent / ".j.executing.ipynb").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="is being executed"):
            execution.execute(job, root=project.root)


def test_what_a_killed_execution_left_is_no_obstacle(project):
    job = jobs.plan(project(), root=project.root)
    job.run.parent.mkdir()
    (job.run.parent / ".j.executing.ipynb").write_text("half a notebo")
    assert (execution.execute(job, root=project.root) / "notebook.ipynb").is_file()
    assert not (job.run.parent / ".j.executing.ipynb").exists()


def test_what_killed_executions_left_is_swept_by_the_next(project, monkeypatch, tmp_path):
    monkeypatch.setattr(execution.tempfile, "tempdir", str(tmp_path / "t"))
    job = jobs.plan(project(), root=project.root)
    for left in (job.run.parent / ".other.executing.ipynb", tmp_path / "t" / "lab-kernel-dead" / "lock"):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("")
    os.utime(left, (0, 0))
    with (job.run.parent / ".living.executing.ipynb").open("w") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        execution.execute(job, root=project.root)
    assert sorted(os.listdir(job.run.parent)) == [".living.executing.ipynb", "j"]
    assert os.listdir(tmp_path / "t") == []


class Config:
    pair, training = SimpleNamespace(device="cpu"), SimpleNamespace(seed=1)

    def hash(self):
        return "10"  # what the notebook of STEPS says of its ten steps

    def to_yaml(self, path):
        path.write_text("steps: 1")


@pytest.fixture
def finished(project):
    """A finished run of the job, with its notebook."""
    run = RunDirectory.create(project.root / "runs" / "j", Config())
    run.metric({"step": 0})
    run.finish()
    (run.path / "notebook.ipynb").write_text("its own notebook")
    return run.path


REFUSALS = {
    "a value that cannot be": ("heads=5 does not divide", "raise LabError('heads=5 does not divide width=128')"),
    "another config": ("was run with config 10, this one is 7", STEPS),
    "a crash before it begins": ("failed with ZeroDivisionError", "1 / 0"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_refused_command_leaves_a_finished_run_as_it_was(project, finished, why):
    """Its notebook, its manifest with hash, versions and dates: byte by byte."""
    before, (message, body) = content(finished), REFUSALS[why]
    path = project("from lab.errors import LabError\n" + body)
    with pytest.raises(LabError, match=message):
        run_job(project, path, ("resume", "true"), ("steps", "7"))
    assert content(finished) == before
    assert set(os.listdir(finished.parent)) <= {"j", "j.failed.ipynb"}


def test_a_run_that_another_process_writes_meanwhile_is_left_to_it(project):
    """Trained in JupyterLab, and asked to be resumed here: its files change, but not by this execution."""
    run = RunDirectory.create(project.root / "runs" / "j", Config())
    run.metric({"step": 0})
    body = "with open(f'{runs}/{name}/metrics.jsonl', 'a') as file:\n    file.write('{}\\n')\n" + STEPS
    with pytest.raises(LabError, match="runs/j is being written by process .*; wait until it has ended"):
        run_job(project, project(body), ("resume", "true"))
    assert run.status == "running" and not (run.path / "notebook.ipynb").exists()
    run.finish()


def test_a_damaged_manifest_keeps_what_it_still_says(project, finished):
    (finished / "manifest.json").write_bytes((finished / "manifest.json").read_bytes()[:60])
    before = content(finished)
    with pytest.raises(LabError, match="manifest.json: not valid JSON"):
        run_job(project, project(STEPS), ("resume", "true"))
    assert content(finished) == before
    # a notebook that does not ask the manifest gets going, and fails
    with pytest.raises(LabError, match="ZeroDivisionError"):
        run_job(project, project("open(f'{runs}/{name}/x', 'w').write('x'); 1 / 0"), ("resume", "true"))
    assert content(finished)[Path("manifest.json")] == before[Path("manifest.json")]


def test_a_resumed_run_that_fails_later_is_marked(project, finished):
    with pytest.raises(LabError, match="ZeroDivisionError"):
        run_job(project, project(STEPS + "1 / 0"), ("resume", "true"))
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "failed" and manifest["config_hash"] == "10" and len(manifest["resumed"]) == 1
    assert "ZeroDivisionError" in (finished / "notebook.ipynb").read_text()


def test_a_kernel_that_is_killed_says_by_what_and_how_to_go_on(project):
    path = project(STEPS + "os.kill(os.getpid(), 9)")
    with pytest.raises(LabError) as error:
        run_job(project, path)
    run = project.root / "runs" / "j"
    assert str(error.value) == (
        f"the kernel of nb was killed by SIGKILL, most often for lack of memory; {run} is safe; "
        f"the same command with `-p resume True` goes on (notebook: {run}/notebook.ipynb)"
    )


def test_a_disk_that_fills_up_is_one_sentence(project, monkeypatch):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    path = project(STEPS)
    monkeypatch.setattr(execution, "_run_papermill", full)
    with pytest.raises(LabError, match="runs/j cannot be written .No space left on device.; mend that, then resume it"):
        run_job(project, path)
    assert os.listdir(project.root / "runs") == []


def test_a_folder_with_braces_is_no_template(project):
    """Papermill fills parameters into paths."""
    path = project("import os; os.makedirs(f'{runs}/{name}')")
    job = jobs.plan(path, runs=project.root / "{steps}", root=project.root)
    assert execution.execute(job, root=project.root) == project.root / "{steps}" / "j"
