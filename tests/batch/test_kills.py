"""A sample of the runs that `benchmarks/kills.py` kills."""

import subprocess
import sys

import pytest

from lab.places import ROOT


@pytest.mark.slow
def test_killed_runs_of_the_embedded_pair_end_in_the_same_bytes():
    command = [sys.executable, "benchmarks/kills.py", "--kills", "8", "--seed", "2", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "of 8 runs" in done.stdout and done.stdout.rstrip().endswith("0 ended in other bytes")
