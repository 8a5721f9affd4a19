"""A project of notebooks to run jobs in, and signals as a terminal has them."""

import signal

import pytest
from notebook_project import NotebookProject

from lab.places import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel's folder is not the repository here
    return NotebookProject(tmp_path)


@pytest.fixture(autouse=True)
def heard_signals():
    """A shell starts background jobs with Ctrl-C ignored, and nohup with hang-ups; children would inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)}
    for number, handler in before.items():
        if handler == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
