"""The benchmark of speed runs on a CPU, and compares the same training and the same answers. No time is judged."""

import json
import subprocess
import sys

import pytest

from lab.places import ROOT

pytestmark = pytest.mark.slow


def test_plain_and_fast_are_measured_side_by_side(tmp_path):
    command = [sys.executable, "benchmarks/speed.py", "mini", str(tmp_path / "speed.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["limits"]["matmul_flops"] > 0 and found["limits"]["copy_bytes"] > 0
    demo = found["cases"]["demo"]
    assert demo["fast"]["loss"] == pytest.approx(demo["plain"]["loss"], rel=1e-3)  # the same steps
    assert demo["fast"]["new_tokens"] == demo["plain"]["new_tokens"]  # the same answers
    for kind in ("fast", "plain"):
        assert 0 < demo[kind]["step_least_s"] <= demo[kind]["step_s"] and 0 < demo[kind]["share_of_matmul"] < 1.5
        assert demo[kind]["questions"] == 60 and demo[kind]["training_peak_gib"] is None
    assert set(demo["plain_over_fast"]) == {"step_s", "step_mean_s", "s_per_sample_first", "s_per_sample_again"}


def test_where_a_gpu_spends_its_time_is_asked_of_the_last_steps(tmp_path):
    command = [sys.executable, "benchmarks/gpu_time.py", str(tmp_path / "found.json"), "--case", "demo", "--steps", "6"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["training"]["steps"] == 4 and found["training"]["wall_s"] > 0 and found["evaluation"]["wall_s"] > 0
