"""Being asked to stop: a cluster warns before it takes its machine back, and a training saves before it goes.

SIGUSR1 is the warning that a job asks its cluster for, SIGTERM what comes without asking (preemption, a time limit, a
person's `kill`). Inside, neither ends the process: the loop sees it between two steps.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ASKING = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGTERM") if hasattr(signal, name))


class Asked:
    """The first signal that asked to stop; 0 while none did."""

    signum = 0

    def __bool__(self) -> bool:
        return self.signum > 0

    def __str__(self) -> str:
        return signal.Signals(self.signum).name


@contextmanager
def asked_to_stop() -> Iterator[Asked]:
    """Inside, the signals of `ASKING` are noted and nothing else happens; only in the main thread, which alone can
    hear them."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(signum: int, frame) -> None:
        asked.signum = asked.signum or signum

    before = {signum: signal.signal(signum, note) for signum in ASKING}
    try:
        yield asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
