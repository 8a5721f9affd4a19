"""Defects that no run can know: each is planted for the test that has to find it, and that test fails."""

import json
import os
import subprocess
import sys

import pytest
from defects import DEFECTS, FOLDER, TEST

pytestmark = pytest.mark.slow
ROOT = FOLDER.parents[1]
PLANTED = [defect for defect in DEFECTS if defect.stopped == TEST]
FOUND = {"AssertionError", "Failed", "LabError"}  # a test that failed otherwise broke, and has found nothing


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """node -> {key, or "" for the sound code: [outcome, exception]}, of all these tests in one process."""
    plan = tmp_path_factory.mktemp("planted") / "plan.json"
    plan.write_text(json.dumps({d.key: {"node": d.by, "function": d.function, "old": d.old, "new": d.new}
                                for d in PLANTED}))  # fmt: skip
    nodes = sorted({defect.by for defect in PLANTED})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "planted_session", "-p", "no:cacheprovider", *nodes], cwd=ROOT,
        env=os.environ | {"PLANTED": str(plan), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert plan.with_suffix(".seen").exists(), done.stdout + done.stderr
    return json.loads(plan.with_suffix(".seen").read_text())


@pytest.mark.parametrize("defect", PLANTED, ids=lambda defect: defect.key)
def test_its_test_finds_it(seen, defect):
    assert seen[defect.by][""] == ["passed", ""], f"{defect.by} fails without a defect"
    outcome, exception = seen[defect.by][defect.key]
    if outcome == "passed":
        pytest.fail(f"{defect.by} does not see: {defect.wrong}")
    assert exception in FOUND, f"{defect.by} broke with {exception}: plant this defect anew"
