"""A run is written by one process at a time, and whether it still is can be seen from outside."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.errors import LabError
from lab.runs import RunDirectory, find_runs
from lab.runs.locks import Lock, Taken, is_held

ROOT = Path(__file__).parents[2]


class Config:
    pair, training = SimpleNamespace(device="cpu"), SimpleNamespace(seed=7)

    def hash(self):
        return "abc"

    def to_yaml(self, path):
        path.write_text("hash: abc\n")


WRITER = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from test_locks import Config
from lab.runs import RunDirectory
run = RunDirectory.create(sys.argv[1], Config(), resume=True)
run.log("Step 1/2 | Loss 3.0")
print("writing", flush=True)
sys.stdin.read()
run.finish()
print("finished", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that writes the run `tmp_path/run` until it is killed, or its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_is_refused_and_touches_nothing(tmp_path, writer):
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(LabError, match=f"is being written by process {writer.pid} on .*; wait until it has ended"):
        RunDirectory.create(tmp_path / "run", Config(), resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_dead_run_does_not_look_like_a_living_one(tmp_path, writer):
    run = RunDirectory(tmp_path / "run")
    assert run.status == "running" and find_runs(tmp_path)[0].status == "running"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert run.manifest()["status"] == "running"  # nobody was there to change it
    assert run.status == "dead" and find_runs(tmp_path)[0].status == "dead"
    RunDirectory.create(tmp_path / "run", Config(), resume=True).finish()
    assert run.status == "finished" and find_runs(tmp_path)[0].status == "finished"


def test_the_lock_is_given_back_with_the_last_word(tmp_path, writer):
    writer.stdin.close()
    assert writer.stdout.readline() == "finished\n"
    RunDirectory.create(tmp_path / "run", Config(), resume=True)


def test_one_process_may_open_its_run_again(tmp_path):
    """A notebook's cell is run twice."""
    first = RunDirectory.create(tmp_path / "run", Config())
    again = RunDirectory.create(tmp_path / "run", Config(), resume=True)
    assert is_held(tmp_path / "run" / ".lock")
    del first
    assert is_held(tmp_path / "run" / ".lock")
    again.finish()
    assert not is_held(tmp_path / "run" / ".lock")


def test_looking_at_a_lock_does_not_take_it(tmp_path):
    lock = Lock(tmp_path / "lock")
    assert is_held(tmp_path / "lock")
    with pytest.raises(Taken):
        Lock(tmp_path / "lock")
    lock.release(delete=True)
    assert not is_held(tmp_path / "lock") and not os.listdir(tmp_path)
