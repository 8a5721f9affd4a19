"""A run is never overwritten."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from file_events import full_disk

from lab.errors import LabError
from lab.runs.directory import RunDirectory
from lab.runs.records import read_jsonl, write_jsonl, write_text


class Config:
    """What RunDirectory asks of a RunConfig."""

    def __init__(self, digest="abc"):
        self.pair, self.training, self.digest = SimpleNamespace(device="cpu"), SimpleNamespace(seed=7), digest

    def hash(self):
        return self.digest

    def to_yaml(self, path):
        path.write_text(f"hash: {self.digest}\n")


def test_a_run_on_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path / "run", Config())
    monkeypatch.setattr("builtins.open", full_disk)
    with pytest.raises(LabError, match="metrics.jsonl cannot be written .No space left on device.; mend that"):
        run.metric({"step": 1})


@pytest.mark.parametrize("place", [("n" * 300,), ("file", "run"), ("proc",)])
def test_a_place_that_cannot_hold_a_run_is_one_sentence(tmp_path, place):
    (tmp_path / "file").write_text("")
    folder = Path("/proc/nothing-here") if place == ("proc",) else tmp_path.joinpath(*place)
    with pytest.raises(LabError, match="cannot be (read|written)"):
        RunDirectory.create(folder, Config())


def test_a_run_holds_everything(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Config())
    run.log("Step 1/2 | Loss 3.0")
    run.metric({"step": 1, "loss": float("nan")})
    run.write_records(2, [{"id": "1"}])
    run.write_summary({"n": 1})
    run.note(gpus=0)
    run.finish()
    manifest = run.manifest()
    assert manifest["status"] == "finished" and manifest["started"] <= manifest["ended"]
    assert manifest["config_hash"] == "abc" and manifest["seeds"] == {"training": 7} and manifest["gpu_hours"] == 0
    assert manifest["versions"]["python"]
    assert run.metrics() == [{"step": 1, "loss": None}]
    assert (run.path / "train.log").read_text() == "Step 1/2 | Loss 3.0\n"
    assert read_jsonl(run.path / "eval_samples_step_2.jsonl") == [{"id": "1"}]
    assert json.loads((run.path / "summary.json").read_text()) == {"n": 1}


def test_an_existing_run_is_refused_unless_resumed_with_its_config(tmp_path):
    RunDirectory.create(tmp_path / "run", Config())
    with pytest.raises(LabError, match="already holds a run"):
        RunDirectory.create(tmp_path / "run", Config())
    with pytest.raises(LabError, match="abc, this one is other"):
        RunDirectory.create(tmp_path / "run", Config("other"), resume=True)
    run = RunDirectory.create(tmp_path / "run", Config(), resume=True)
    assert len(run.manifest()["resumed"]) == 1


def content(folder) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(run):
    raise LabError("its checkpoints are damaged")


TORN, LIST = b'{"status": "finished", "config_ha', b"[]"


@pytest.mark.parametrize("manifest", [None, TORN, LIST, b"\xff", b"[" * 100_000], ids=lambda text: str(text)[:12])
@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_lost_its_manifest_is_refused_and_left_as_it_is(tmp_path, manifest, resume):
    """Without it nothing says with what the run was made: it would be resumed with another learning rate."""
    run = RunDirectory.create(tmp_path / "run", Config())
    run.metric({"step": 1})
    run.finish()
    (run.path / "metrics.jsonl").open("a").write('{"step": 2, "lo')
    if manifest is None:
        (run.path / "manifest.json").unlink()
    else:
        (run.path / "manifest.json").write_bytes(manifest)
    before = content(run.path)
    with pytest.raises(LabError, match="manifest.json|already holds a run"):
        RunDirectory.create(run.path, Config("other"), resume=resume)
    assert content(run.path) == before


@pytest.mark.parametrize("config, check", [("other", lambda run: None), ("abc", refuse)])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_refusal_touches_nothing(tmp_path, config, check, earlier):
    run = RunDirectory.create(tmp_path / "run", Config())
    run.metric({"step": 1})
    run.finish()
    (run.path / "metrics.jsonl").open("a").write('{"step": 2, "lo')
    (run.path / ".manifest.json.77.tmp").write_text("left by a killed job")
    if earlier:  # a run of a version without locks
        (run.path / ".lock").unlink()
    before = content(run.path)
    with pytest.raises(LabError, match="this one is other|are damaged"):
        RunDirectory.create(run.path, Config(config), resume=True, check=check)
    assert content(run.path) == before
    assert RunDirectory.create(run.path, Config(), resume=True).metrics() == [{"step": 1}]  # and nobody holds it


def test_a_job_killed_before_its_manifest_left_nothing_to_lose(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("hash: other\n")
    assert RunDirectory.create(tmp_path / "run", Config(), resume=True).manifest()["status"] == "running"


def test_what_a_killed_job_left_is_swept_at_the_next_start(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Config())
    for name in (".manifest.json.77.tmp", "config.yaml.77.tmp", ".summary.json.77.tmp"):
        (run.path / name).write_text("half")
    RunDirectory.create(run.path, Config(), resume=True)
    assert sorted(os.listdir(run.path)) == [".lock", "config.yaml", "manifest.json"]


def test_a_folder_with_only_its_notebook_is_no_run_yet(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notebook.ipynb").write_text("{}")
    RunDirectory.create(tmp_path / "run", Config())


def test_resume_drops_the_half_row_a_killed_job_left(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Config())
    run.metric({"step": 1})
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "lo')
    again = RunDirectory.create(tmp_path / "run", Config(), resume=True)
    again.metric({"step": 2})
    assert again.metrics() == [{"step": 1}, {"step": 2}]


def test_gpu_hours_add_up_over_sessions(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Config())
    run.note(gpus=2)
    run._began -= 1800
    run.finish()
    again = RunDirectory.create(tmp_path / "run", Config(), resume=True)
    again._began -= 1800
    again.finish()
    again.finish()
    assert again.manifest()["gpu_hours"] == pytest.approx(2.0, abs=0.01)
