"""A submission on a cluster: what is asked of SLURM, and a real one that warns a run, queues it again and ends it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from one_node_slurm import ask, missing, one_node_slurm, wait_until

from lab.batch import slurm
from lab.batch.members import plan_all
from lab.batch.slurm import Cluster, read_cluster, script
from lab.batch.submission import Keeping, write_submission
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import RunDirectory

needs_slurm = pytest.mark.skipif(bool(missing()), reason=missing())
SMALL = dict(steps=60, warmup_steps=2, batch_size=4, eval_every=20, dev_questions=4, test_questions=8,
             max_new_tokens=8, width=32, heads=2, depth=1, seed=1)  # fmt: skip
HERE = "gpus_per_node: 0\nwarning_seconds: 75\n"


@pytest.fixture
def submission(tmp_path):
    files = [tmp_path / f"{name}.yaml" for name in ("one", "two")]
    for file in files:
        file.write_text("notebook: 01_train\nparameters: {control: false}\n")
    return write_submission(plan_all(files, [], [], tmp_path / "runs"))


@pytest.fixture
def again(submission, tmp_path):
    """The same two runs submitted once more, perhaps with other parameters."""

    def write(overrides=(), keeping=None):
        files = [tmp_path / f"{name}.yaml" for name in ("one", "two")]
        return write_submission(plan_all(files, [], overrides, tmp_path / "runs"), keeping)

    return write


def test_the_settings_that_come_with_it_are_the_defaults():
    assert read_cluster() == Cluster()


@pytest.mark.parametrize("text, message", [
    ("gpu_per_node: 2", "'gpu_per_node' is not known; did you mean 'gpus_per_node'"),
    ("nodes: two", "nodes is 'two', it has to be of type int"),
    ("nodes: true", "nodes is True"),
    ("modules: cuda", "modules is 'cuda', it has to be a list"),
    ("nodes: -1", "nodes is -1"),
    ("partition: 'gpu\n#SBATCH --wrap=x'", "which is no single word"),
    ("warning_seconds: 5", "a run may take 60 s to save"),
    ("[1]", "cluster.yaml"),
    ("nodes: [", "cluster.yaml"),
])  # fmt: skip
def test_wrong_settings_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(LabError, match=re.escape(message)):
        read_cluster(tmp_path / "cluster.yaml")


def test_the_script_asks_for_what_the_settings_say(submission):
    text = script(submission, Cluster(partition="gpu", account="me", time="02:00:00", nodes=2, gpus_per_node=4,
                                      modules=("cuda/12.4",), setup=("source x",), options=("--qos=low",),
                                      requeue=False))  # fmt: skip
    asked = {line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")}
    assert asked == {
        "--partition=gpu", "--account=me", "--time=02:00:00", "--nodes=2", "--gpus-per-node=4", "--qos=low",
        "--no-requeue", "--ntasks-per-node=1", "--open-mode=append", "--signal=B:USR1@120", "--job-name=runs",
        f"--output={submission.folder}/%a.log",
    }  # fmt: skip
    assert "module load cuda/12.4\nsource x\n" in text
    assert "\nsrun " in text  # one process on each of the two nodes
    bare = script(submission, Cluster(gpus_per_node=0))
    assert "srun" not in bare and "ntasks" not in bare
    assert "--requeue" in bare and not re.search(r"partition|account|gpus|--mem|cpus", bare)
    for whole in (text, bare):
        assert subprocess.run(["bash", "-n"], input=whole, text=True).returncode == 0
    assert "step" not in text  # how far a run is is found when it starts


def test_without_slurm_it_says_so(submission, monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(LabError, match="needs `sbatch`"):
        slurm.queue(submission, Cluster())


@pytest.fixture
def asked(monkeypatch):
    """A SLURM that takes every job and holds those of `held`, each as squeue prints it; what it was asked."""
    words, held = [], []

    def ask_(*given):
        words.append(given)
        return "".join(held) if given[0] == "squeue" else "17;east\n"

    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    monkeypatch.setattr(slurm, "_ask", ask_)
    return words, held


def test_only_what_is_not_finished_is_queued(submission, asked):
    submission.runs[0].mkdir(parents=True)
    (submission.runs[0] / "manifest.json").write_text('{"status": "finished"}')
    queued = slurm.queue(submission, Cluster(at_once=3))
    assert str(queued) == "array 17: 1 of 2 runs are queued"
    assert asked[0][1:] == [("sbatch", "--parsable", "--array=1%3", str(submission.folder / "job.sh"))]


def test_what_is_queued_is_not_queued_twice(submission, again, asked):
    said, held = asked
    held += [
        f"9_1 1 {submission.folder / 'job.sh'}\n",
        f"8 0 {ROOT / 'job.sh'}\n",
        "7 N/A (null)\n",
        "6 N/A\n",
        "5 0 /x y/z\n",
    ]
    queued = slurm.queue(again([]), Cluster())
    assert str(queued) == "array 17: 1 of 2 runs are queued; two is there already as 9_1"
    assert said[-1][2] == "--array=0"
    held.append(f"9_0 0 {submission.folder / 'job.sh'}\n")
    assert str(slurm.queue(again([]), Cluster())) == (
        "nothing is queued; one is there already as 9_0; two is there already as 9_1"
    )
    assert said[-1][0] == "squeue"


@pytest.mark.parametrize("change", [dict(overrides=[("steps", "7")]), dict(keeping=Keeping("why", "what"))])
def test_a_run_that_is_queued_with_other_parameters_is_not_passed_off_as_this_one(submission, again, asked, change):
    asked[1].append(f"9_1 1 {submission.folder / 'job.sh'}\n")
    with pytest.raises(LabError, match="two is task 9_1 .* `scancel 9_1` first"):
        slurm.queue(again(**change), Cluster())
    assert not any(words[0] == "sbatch" for words in asked[0])


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with one_node_slurm(folder) as environment:
            yield environment | {"OMP_NUM_THREADS": "1"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def job(environment, array: str, index: int) -> dict:
    """What SLURM says of one task."""
    said = ask(environment, "scontrol", "show", "job", f"{array}_{index}")
    return dict(re.findall(r"(\w+)=(\S*)", said))


def rows(run: Path) -> list[dict]:
    try:
        return [row | {"seconds": 0} for row in RunDirectory(run).metrics()]
    except LabError:  # half a line, at this moment
        return []


def submit(environment, tmp_path, *words, settings=HERE) -> str:
    (tmp_path / "cluster.yaml").write_text(settings)
    command = [sys.executable, "-m", "lab", "submit", *words, "--runs", str(tmp_path / "runs"), "--slurm",
               "--cluster", str(tmp_path / "cluster.yaml")]  # fmt: skip
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return re.match(r"array (\d+): (\d) of", done.stdout)[1]


@pytest.mark.slow
@needs_slurm
def test_a_warned_run_is_queued_again_and_ends_in_the_same_bytes(cluster, tmp_path):
    """Two tasks of an array, alike but for their names; one is warned in the middle of its training."""
    for name in ("warned", "whole"):
        (tmp_path / f"{name}.yaml").write_text(
            f"notebook: 01_train\nparameters: {json.dumps({**SMALL, 'name': name, 'control': False})}\n"
        )
    array = submit(cluster, tmp_path, str(tmp_path / "warned.yaml"), str(tmp_path / "whole.yaml"))
    warned, whole = tmp_path / "runs" / "warned", tmp_path / "runs" / "whole"
    wait_until(lambda: len(rows(warned)) > 10, "the training", 90)
    subprocess.run(["scancel", "--signal=USR1", "--batch", f"{array}_0"], env=cluster, check=True)
    wait_until(lambda: job(cluster, array, 0).get("Restarts") == "1", "queueing it again", 60)
    for index in (0, 1):
        wait_until(lambda index=index: job(cluster, array, index)["JobState"] == "COMPLETED", f"task {index}", 120)

    log = (warned / "train.log").read_text()
    stopped, resumed = (
        int(re.search(f"{word} after step (\\d+)", log)[1]) for word in ("Stopped by SIGTERM", "Resumed")
    )
    assert 0 < stopped == resumed < SMALL["steps"]
    assert rows(warned) == rows(whole)
    for name in ("best/model.safetensors", "last/model.safetensors", "last/optimizer.safetensors", "last/state.json"):
        assert (warned / "checkpoints" / name).read_bytes() == (whole / "checkpoints" / name).read_bytes(), name
    name = "eval_samples_step_final.jsonl"
    assert (warned / name).read_bytes() == (whole / name).read_bytes()
    summary = (tmp_path / "runs" / "summary.log").read_text()
    assert re.search(r"^warned +finished +60/60", summary, re.M) and re.search(r"^whole +finished", summary, re.M)
    (output,) = (tmp_path / "runs" / ".submissions").glob("*/0.log")
    assert f"interrupted: {warned} is safe up to step {stopped}" in output.read_text()


@pytest.mark.slow
@needs_slurm
def test_several_processes_of_a_task_share_its_run_and_a_warning(cluster, tmp_path):
    """Two processes on the one node; the warning reaches both, they stop after the same step, and go on together."""
    (tmp_path / "job.yaml").write_text(
        f"notebook: 01_train\nparameters: {json.dumps({**SMALL, 'name': 'shared', 'control': False})}\n"
    )
    array = submit(cluster, tmp_path, str(tmp_path / "job.yaml"), settings=HERE + "processes_per_node: 2\n")
    run = tmp_path / "runs" / "shared"
    wait_until(lambda: len(rows(run)) > 10, "the training", 120)
    subprocess.run(["scancel", "--signal=USR1", "--batch", f"{array}_0"], env=cluster, check=True)
    wait_until(lambda: job(cluster, array, 0).get("Restarts") == "1", "queueing it again", 90)
    wait_until(lambda: job(cluster, array, 0)["JobState"] == "COMPLETED", "the task", 150)
    manifest = RunDirectory(run).manifest()
    assert (manifest["status"], manifest["processes"]) == ("finished", 2)
    assert [row["step"] for row in rows(run) if row["kind"] == "step"] == list(range(1, SMALL["steps"] + 1))


RUN = """#!/bin/bash
echo started >> {folder}/starts
[ $(wc -l < {folder}/starts) -gt 1 ] && exit 0
trap 'exit 138' USR1
touch {folder}/runs-now
while true; do sleep 0.1; done
"""


@pytest.fixture
def pretended(cluster, submission, tmp_path, monkeypatch):
    """Queue one task that only pretends to run, and wait until it does: the number of its array."""
    python = tmp_path / "python"
    python.write_text(RUN.format(folder=tmp_path))
    python.chmod(0o755)
    monkeypatch.setattr(slurm.sys, "executable", str(python))
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, cluster[name])
    submission.runs[1].mkdir(parents=True)
    (submission.runs[1] / "manifest.json").write_text('{"status": "finished"}')

    def queue(**settings) -> str:
        queued = slurm.queue(submission, Cluster(gpus_per_node=0, **settings))
        assert queued.tasks == 1
        wait_until((tmp_path / "runs-now").exists, "the run", 30)
        return queued.array

    return queue


@pytest.mark.slow
@needs_slurm
@pytest.mark.parametrize("signum", ["USR1", "TERM"])
def test_where_requeueing_is_off_a_warned_run_submits_itself_again(pretended, submission, tmp_path, signum):
    array = pretended(requeue=False)
    subprocess.run(["scancel", f"--signal={signum}", "--batch", f"{array}_0"], env=os.environ, check=True)
    wait_until(lambda: (tmp_path / "starts").read_text().count("started") == 2, "the second start", 60)
    assert job(os.environ, array, 0)["Restarts"] == "0"
    wait_until(lambda: "started 1 times before" in submission.output(0).read_text(), "its output")


@pytest.mark.slow
@needs_slurm
def test_a_run_that_slurm_has_is_not_queued_twice(pretended, submission):
    """While it runs, and when it has queued itself again as another array."""
    array = pretended(requeue=False)
    twice = slurm.queue(submission, Cluster(gpus_per_node=0))
    assert (twice.array, twice.before) == ("", {"one": f"{array}_0"})
    subprocess.run(["scancel", "--signal=USR1", "--batch", f"{array}_0"], env=os.environ, check=True)
    wait_until(lambda: "started 1 times before" in submission.output(0).read_text(), "the second start", 60)
    wait_until(lambda: not slurm._there(), "the end of all")


@pytest.mark.slow
@needs_slurm
def test_a_run_that_was_warned_too_often_gives_up(pretended, submission):
    array = pretended(most_restarts=0)
    subprocess.run(["scancel", "--signal=USR1", "--batch", f"{array}_0"], env=os.environ, check=True)
    wait_until(lambda: job(os.environ, array, 0)["JobState"] == "FAILED", "its end")
    assert "error: warned for the last time" in submission.output(0).read_text()


@pytest.mark.slow
@needs_slurm
@pytest.mark.parametrize("requeue", [True, False])
def test_a_run_that_a_person_cancels_stays_away(pretended, tmp_path, requeue):
    array = pretended(requeue=requeue)
    subprocess.run(["scancel", f"{array}_0"], env=os.environ, check=True)
    wait_until(lambda: job(os.environ, array, 0)["JobState"] == "CANCELLED", "its end")
    wait_until(lambda: "State=IDLE" in ask(os.environ, "scontrol", "show", "node"), "the end of all that it started")
    assert (tmp_path / "starts").read_text().count("started") == 1
    assert "PENDING" not in ask(os.environ, "scontrol", "show", "job")
