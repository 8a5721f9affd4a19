"""The clock of a run: where its time and its memory go, in parts that have names.

Whoever does a piece of work says so where it is done, `with part("source"):`, and needs to know of no clock: where none
runs that line does nothing. Every moment belongs to the innermost part that is open, or to `OTHER`, so a part inside
another is taken off it, nothing is counted twice, and the parts add up to the whole. A part inside `evaluation` is a
part of its own, `evaluation: source`.

A GPU works on its own time: when a call returns, its work has hardly begun. There a border between two parts is an
event that the device passes when it comes to it; events are read later, in bulk, and nobody waits for them but the one
who asks for the sums. So a part's seconds are those in which the device did its work, or stood idle for it. A border
that falls into the capture of a CUDA graph, or into compiled code, would be replayed or break it: keep parts outside.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

OTHER = "other"
INSIDE = ": "  # between the names of a part and the one that it is inside
# In the order in which they are shown. "backward" is the translator's, and the target's as well where a loss term reads
# the target's distributions themselves: there one call of autograd computes both.
PARTS = (
    "load", "checks", "source", "translator", "target forward", "target backward", "backward", "optimiser",
    "generation", "likelihood", "evaluation", "checkpoint", OTHER,
)  # fmt: skip
DEVICE, RESIDENT = "device", "resident"  # memory that PyTorch has allocated on a GPU; of the process, on a CPU
UNREAD = 512  # intervals that wait to be read: some tens of steps


@dataclass
class Spent:
    """What went into one part: seconds, how often it was entered, and the most bytes in use at any moment of it (None
    where that cannot be told). Parts inside it are not in it."""

    seconds: float = 0.0
    times: int = 0
    peak_bytes: int | None = None

    def add(self, seconds: float, times: int, peak_bytes: int | None) -> None:
        peaks = [peak for peak in (self.peak_bytes, peak_bytes) if peak is not None]
        self.seconds, self.times, self.peak_bytes = self.seconds + seconds, self.times + times, max(peaks, default=None)


class Meter(Protocol):
    """How time and memory are read. A mark is a moment, which the device may reach later."""

    memory: str | None

    def mark(self) -> Any: ...
    def reached(self, mark: Any) -> bool: ...
    def wait(self, mark: Any) -> None: ...
    def seconds(self, begin: Any, end: Any) -> float: ...
    def peak(self) -> int | None:
        """The most bytes in use since this was last asked."""


class HostMeter:
    """A CPU: work is done when a call returns. The peak is the process's resident memory, which only Linux can measure
    anew for each part; elsewhere it is None."""

    def __init__(self) -> None:
        self.memory = None if most_resident() is None else RESIDENT

    def mark(self) -> float:
        return time.perf_counter()

    def reached(self, mark: float) -> bool:
        return True

    def wait(self, mark: float) -> None:
        pass

    def seconds(self, begin: float, end: float) -> float:
        return end - begin

    def peak(self) -> int | None:
        return most_resident() if self.memory else None


def most_resident() -> int | None:
    """The most bytes of this process that were resident since this was last asked; None where no system tells."""
    try:
        with open("/proc/self/status", "rb") as status:
            line = next(line for line in status if line.startswith(b"VmHWM:"))
        with open("/proc/self/clear_refs", "wb") as mark:
            mark.write(b"5")  # from here on, the highest is what is resident now
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


class DeviceMeter:
    """A GPU: marks are events on its current stream. The peak is of what PyTorch has allocated there; its own count
    (`torch.cuda.max_memory_allocated`) begins anew with every part."""

    memory = DEVICE

    def __init__(self, device: object) -> None:
        import torch

        self.cuda, self.device = torch.cuda, torch.device(device)

    def mark(self) -> Any:
        event = self.cuda.Event(enable_timing=True)
        event.record(self.cuda.current_stream(self.device))
        return event

    def reached(self, mark: Any) -> bool:
        return mark.query()

    def wait(self, mark: Any) -> None:
        mark.synchronize()

    def seconds(self, begin: Any, end: Any) -> float:
        return begin.elapsed_time(end) / 1000

    def peak(self) -> int:
        found = self.cuda.memory_stats_as_nested_dict(self.device)["allocated_bytes"]["all"]["peak"]
        self.cuda.reset_peak_memory_stats(self.device)
        return found


class Clock:
    """The clock of one run on one device. It counts while it is `running`, and goes on from what a checkpoint kept."""

    def __init__(self, device: object = "cpu", meter: Meter | None = None) -> None:
        self.meter = meter or (DeviceMeter(device) if str(device).startswith("cuda") else HostMeter())
        self.device, self.session = str(device), datetime.now(UTC).isoformat()
        self._open: list[str] = []
        self._spent: dict[str, Spent] = {}
        self._unread: deque[tuple[str, Any, Any]] = deque()
        self._last: Any = None  # the border behind us; None while the clock stands
        self._earlier: Mapping = {}

    @contextmanager
    def running(self) -> Iterator[Clock]:
        """Inside, time and memory are counted here. A clock that ran before stands still for it."""
        outer = _running.get()
        if outer is not None:
            outer._stop()
        token = _running.set(self)
        self._go()
        try:
            yield self
        finally:
            self._stop()
            _running.reset(token)
            if outer is not None:
                outer._go()

    def enter(self, name: str) -> None:
        self._border()
        self._open.append(name)
        self._of_now().times += 1

    def leave(self) -> None:
        self._border()
        self._open.pop()

    def record(self) -> dict:
        """What the run has spent so far, as plain values:

        ``{"device", "memory", "sessions", "seconds", "parts": {name: {"seconds", "times", "peak_bytes"}}}``. `seconds`
        is the sum of all parts; `memory` says of what the peaks are ("device", "resident", or None: of nothing);
        `sessions` are the moments at which a process began or went on. Waits for the device.
        """
        if self._last is not None:
            self._border()
        if self._unread:
            self.meter.wait(self._unread[-1][2])
        self._read()
        parts = {name: Spent(**vars(spent)) for name, spent in self._spent.items()}
        comparable = self._earlier.get("memory") == self.meter.memory
        for name, before in self._earlier.get("parts", {}).items():
            peak = before["peak_bytes"] if comparable else None
            parts.setdefault(name, Spent()).add(before["seconds"], before["times"], peak)
        return {
            "device": self.device,
            "memory": self.meter.memory,
            "sessions": [*self._earlier.get("sessions", []), self.session],
            "seconds": math.fsum(spent.seconds for spent in parts.values()),
            "parts": {name: asdict(parts[name]) for name in sorted(parts, key=_order)},
        }

    def go_on(self, record: Mapping) -> None:
        """Count what earlier sessions spent, up to the checkpoint that kept this `record`; once, however often it is
        loaded. What this session has spent already stays."""
        if record and self.session not in record["sessions"]:
            self._earlier = record

    def _of_now(self) -> Spent:
        return self._spent.setdefault(INSIDE.join(self._open) or OTHER, Spent())

    def _go(self) -> None:
        self._last = self.meter.mark()
        self.meter.peak()

    def _stop(self) -> None:
        self._border()
        self._last = None

    def _border(self) -> None:
        """What came since the last border is the innermost part's."""
        mark, name = self.meter.mark(), INSIDE.join(self._open) or OTHER
        self._of_now().add(0.0, 0, self.meter.peak())
        self._unread.append((name, self._last, mark))
        self._last = mark
        if len(self._unread) >= UNREAD:
            self._read()

    def _read(self) -> None:
        """Add up the intervals whose end the device has reached."""
        while self._unread and self.meter.reached(self._unread[0][2]):
            name, begin, end = self._unread.popleft()
            self._spent[name].seconds += self.meter.seconds(begin, end)


_running: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Inside (of a `with`, or of the function that this decorates), time and memory are `name`'s."""
    clock = _running.get()
    if clock is None:
        yield
        return
    clock.enter(name)
    try:
        yield
    finally:
        clock.leave()


def running_clock() -> Clock | None:
    """The clock that runs here, None where there is none."""
    return _running.get()


def _order(name: str) -> tuple:
    outer, _, inner = name.partition(INSIDE)
    return tuple(PARTS.index(word) if word in PARTS else len(PARTS) for word in (outer, *[inner] * bool(inner)))
