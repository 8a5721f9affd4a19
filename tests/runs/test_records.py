"""Records survive the file; a run is never overwritten."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.errors import LabError
from lab.runs.records import RunDirectory, read_jsonl, write_jsonl, write_text


class Config:
    """What RunDirectory asks of a RunConfig."""

    def __init__(self, digest="abc"):
        self.pair, self.training, self.digest = SimpleNamespace(device="cpu"), SimpleNamespace(seed=7), digest

    def hash(self):
        return self.digest

    def to_yaml(self, path):
        path.write_text(f"hash: {self.digest}\n")


def test_rows_come_back_whole(tmp_path):
    rows = [{"id": "1", "text": 'a\nb\u2028c\u0085 "ü" \x1c </script>'}, {"id": "2", "x": 0.1, "none": None}]
    write_jsonl(tmp_path / "deep" / "r.jsonl", rows)
    assert read_jsonl(tmp_path / "deep" / "r.jsonl") == rows
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["r.jsonl"]


@pytest.mark.parametrize("broken", [
    '{"id": ', "[1]", '{"id": "\udcff"}', '{"loss": NaN}', '{"loss": -Infinity}', '{"loss": 1e999}',
    '{"question": "\\ud83d"}', '{"a": ' * 100_000,
], ids=lambda text: text[:20].encode("ascii", "replace").decode())  # fmt: skip
def test_a_broken_line_is_named(tmp_path, broken):
    """What reads, can be written again: else the mistake shows hours later, far from the file that has it."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"id": "1"}\n' + broken.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(LabError, match=r"r\.jsonl:2: "):
        read_jsonl(path)


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    (tmp_path / "r.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "1"}\n')
    assert read_jsonl(tmp_path / "r.jsonl") == [{"id": "1"}]


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(LabError, match="cannot be read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_a_row_that_is_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.jsonl"
    write_jsonl(path, [{"id": "1"}])
    with pytest.raises(LabError, match="finite"):
        write_jsonl(path, [{"id": "2"}, {"loss": float("nan")}])
    assert read_jsonl(path) == [{"id": "1"}]


def test_what_cannot_be_written_is_one_sentence_and_leaves_what_was(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    write_jsonl(path, [{"id": "1"}])
    with pytest.raises(LabError, match="half a surrogate pair"):
        write_jsonl(path, [{"id": "\ud83d"}])
    with monkeypatch.context() as patch, pytest.raises(LabError, match="r.jsonl cannot be written .No space left"):
        patch.setattr(os, "fsync", full_disk)
        write_jsonl(path, [{"id": "2"}])
    for bad in (tmp_path / ("n" * 300), path / "inside"):  # too long a name; a file where a folder belongs
        with pytest.raises(LabError, match="cannot be written"):
            write_text(bad, "x")
    assert read_jsonl(path) == [{"id": "1"}] and os.listdir(tmp_path) == ["r.jsonl"]


def full_disk(*given, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
