"""Numbers that cross between the host and a device without anybody waiting for what the device still has to do."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def sent(numbers: Tensor | np.ndarray | Sequence, device: torch.device | str) -> Tensor:
    """`numbers` of the host on `device`, after all that it was given before; a sequence holds whole numbers.

    A plain copy waits until a GPU has come to it. This one puts plain memory aside and returns; for more than some
    64 KiB CUDA may wait all the same. Pinned memory (see `torch.Tensor.pin_memory`) must not change before the GPU has
    read it, and on a CPU an array is not copied at all.
    """
    if isinstance(numbers, np.ndarray):
        numbers = torch.from_numpy(numbers)
    elif not isinstance(numbers, Tensor):
        numbers = torch.tensor(numbers, dtype=torch.long)
    return numbers.to(device, non_blocking=torch.device(device).type == "cuda")


class Moment:
    """When `device` has done all that it was given so far; on a CPU, now."""

    def __init__(self, device: torch.device) -> None:
        self._now, self._event = time.monotonic(), None
        if device.type == "cuda":
            self._event = torch.cuda.current_stream(device).record_event(torch.cuda.Event(enable_timing=True))

    @property
    def is_now(self) -> bool:
        """Whether the device does its work at once, so that nobody ever waits for it."""
        return self._event is None

    def wait(self) -> None:
        if self._event is not None:
            self._event.synchronize()

    def seconds_since(self, earlier: Moment) -> float:
        """Of the device's own time, once both have come."""
        if self._event is None:
            return self._now - earlier._now
        return earlier._event.elapsed_time(self._event) / 1000


class Returning:
    """`numbers` of a device on their way to the host; what the device is given after them is not waited for. `there`:
    when they have come."""

    def __init__(self, numbers: Tensor) -> None:
        numbers = numbers.detach()
        self._numbers = numbers.to("cpu", non_blocking=numbers.is_cuda)  # from a GPU into pinned memory
        self.there = Moment(numbers.device)

    def tolist(self) -> list:
        """Waits until they have come."""
        self.there.wait()
        return self._numbers.tolist()
