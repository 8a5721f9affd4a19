"""Numbers that cross between the host and a device without anybody waiting for what the device still has to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def sent(numbers: Tensor | np.ndarray | Sequence, device: torch.device | str) -> Tensor:
    """`numbers` of the host on `device`, after all that it was given before; a sequence holds whole numbers.

    A plain copy waits until the device has come to it. Plain memory is put aside before this one returns, so it may be
    changed at once; pinned memory (see `torch.Tensor.pin_memory`) may not before the device has read it.
    """
    if isinstance(numbers, np.ndarray):
        numbers = torch.from_numpy(numbers)
    elif not isinstance(numbers, Tensor):
        numbers = torch.tensor(numbers, dtype=torch.long)
    return numbers.to(device, non_blocking=torch.device(device).type == "cuda")


class Returning:
    """`numbers` of a device on their way to the host; what the device is given after them is not waited for."""

    def __init__(self, numbers: Tensor) -> None:
        self._numbers, self._come = numbers.detach(), None
        if numbers.is_cuda:
            self._numbers = self._numbers.to("cpu", non_blocking=True)  # pinned memory
            self._come = torch.cuda.Event()
            self._come.record(torch.cuda.current_stream(numbers.device))

    def have_come(self) -> bool:
        return self._come is None or self._come.query()

    def tolist(self) -> list:
        """Waits until they have come."""
        if self._come is not None:
            self._come.synchronize()
        return self._numbers.tolist()
