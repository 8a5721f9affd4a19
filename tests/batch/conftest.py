"""Signals as a terminal has them, also where the tests themselves were started in the background."""

import signal

import pytest


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
