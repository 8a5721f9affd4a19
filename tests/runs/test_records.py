"""Records survive the file; a run is never overwritten."""

import json
from types import SimpleNamespace

import pytest

from lab.errors import LabError
from lab.runs.records import RunDirectory, read_jsonl, write_jsonl


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


@pytest.mark.parametrize("broken", ['{"id": ', "[1]", '{"id": "\udcff"}'])
def test_a_broken_line_is_named(tmp_path, broken):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"id": "1"}\n' + broken.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(LabError, match=r"r\.jsonl:2: "):
        read_jsonl(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(LabError, match="cannot be read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_a_row_that_is_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.jsonl"
    write_jsonl(path, [{"id": "1"}])
    with pytest.raises(LabError, match="finite"):
        write_jsonl(path, [{"id": "2"}, {"loss": float("nan")}])
    assert read_jsonl(path) == [{"id": "1"}]


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
