"""A pytest plugin that runs each test once as it is and once for every defect that is planted for it.

`PLANTED` names a JSON file: {key: {"node", "function", "old", "new"}}; what happened is written beside it, as
{"node": {key, or "" where nothing was planted: [outcome, exception]}}.
"""

import json
import os
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from planting import Planting, named

SEEN: dict[str, dict[str, list[str]]] = {}


def _plants() -> dict[str, dict]:
    return json.loads(Path(os.environ["PLANTED"]).read_text())


def _run(item, key: str) -> None:
    """One run of the test, with fixtures of its own: what a sound fixture made must not hide a defect."""
    item._initrequest()
    found = SEEN.setdefault(item.nodeid.partition("[")[0], {})
    for report in runtestprotocol(item, log=False, nextitem=None):
        if report.when == "call" or report.outcome != "passed":
            kind = getattr(report, "raised", "")
            if found.get(key, ["passed"])[0] == "passed":  # of several parameters the first that fails
                found[key] = [report.outcome if report.when == "call" else "error", kind]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.excinfo is not None:
        outcome.get_result().raised = call.excinfo.typename


def pytest_runtest_protocol(item, nextitem):
    _run(item, "")
    for key, plant in _plants().items():
        if item.nodeid.partition("[")[0] == plant["node"]:
            planting = Planting()
            planting.edit(named(plant["function"]), plant["old"], plant["new"])
            try:
                _run(item, key)
            finally:
                planting.undo()
    return True


def pytest_sessionfinish():
    Path(os.environ["PLANTED"]).with_suffix(".seen").write_text(json.dumps(SEEN))
