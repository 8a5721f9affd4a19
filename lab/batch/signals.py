"""Being stopped from outside: Ctrl-C, SIGTERM, SIGHUP, SIGUSR1, and the death of the process that started this one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# From outside; those of `SAVING` leave time for a checkpoint, Ctrl-C is a person's, who waits for the prompt.
SAVING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
STOPPING = (signal.SIGINT, *SAVING)
SECONDS_TO_SAVE = 60  # between being asked to stop and being ended
PARENT = "LAB_ENDS_WITH"  # environment: the process with which a command ends


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop. The text is one line for the user: what is safe, and how to go on."""

    def __init__(self, signum: int, text: str = ""):
        super().__init__(text)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        return 128 + self.signum


class Stop:
    """Whether a signal has asked to stop, and whether what runs was asked to end by itself and still may."""

    signum, waiting = 0, False

    def ended(self) -> None:
        """It has: nothing is waited for any more."""
        if self.waiting:
            self.waiting = False
            signal.alarm(0)

    def check(self) -> None:
        """Raise Interrupted if so: what ran meanwhile may have taken the exception for one of its own."""
        if self.signum:
            raise Interrupted(self.signum)


@contextmanager
def stoppable(first: Callable[[], None] = lambda: None, ask: Callable[[], bool] = lambda: False) -> Iterator[Stop]:
    """Inside, the first of `STOPPING` calls `first` and raises Interrupted; while that is dealt with, others wait.

    One of `SAVING` calls `ask` before: where that is true, what runs here was asked to end by itself, and only Ctrl-C
    or `SECONDS_TO_SAVE` end it. In any other thread than the main one signals go their way as before.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(signum: int, frame) -> None:
        if not stop.signum and signum != signal.SIGALRM:
            stop.signum = signum
            stop.waiting = signum in SAVING and ask()
            if stop.waiting:
                signal.alarm(SECONDS_TO_SAVE)
                return
        elif not stop.waiting or signum in SAVING:
            return
        stop.ended()
        first()
        raise Interrupted(stop.signum)

    # a signal that is ignored (nohup) stays ignored
    before = {signum: signal.getsignal(signum) for signum in STOPPING if signal.getsignal(signum) != signal.SIG_IGN}
    before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    for signum in before:
        signal.signal(signum, on_signal)
    try:
        yield stop
    finally:
        stop.ended()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def killed_by(signum: int) -> str:
    """How a process ended that a signal killed: nobody told it why, but there is a usual reason."""
    lack = ", most often for lack of memory" if signum == signal.SIGKILL else ""
    return f"killed by {signal.Signals(signum).name}{lack}"


def end_with_parent() -> None:
    """Where the parent asked for it (by `PARENT`), stop as by SIGTERM once it is gone: a killed one leaves no run."""
    parent = os.environ.pop(PARENT, "")

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    if parent == str(os.getppid()):
        threading.Thread(target=watch, daemon=True).start()
