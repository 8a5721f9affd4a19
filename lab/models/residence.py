"""Where a frozen model's weights are: on its device, or in the host's memory, from where each layer comes for its pass.

A source of 7 B parameters takes 13.5 GiB and is idle for most of a training. Away, it can still be read, a layer at a
time (as FlexGen does: Sheng et al. 2023, section 3); to generate token by token it has to be at home.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

ROOM = 1.2  # of the bytes of its weights: what is read at home takes some memory besides


class Residence:
    """Moves the parameters of `model` between `device` and host memory, pinned where the device is a GPU.

    The host's copy is made once and kept: frozen weights never have to be written back.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.device, self.hooks = model, device, []
        self.host: dict[int, Tensor] = {}  # of each parameter, tied ones once

    @property
    def away(self) -> bool:
        return bool(self.hooks)

    def leave(self) -> None:
        """Give the device's memory back. Each module's own parameters come when it is called, and go after it."""
        if self.away:
            return
        for parameter in self.model.parameters():
            if id(parameter) not in self.host:
                kept = parameter.data.to("cpu", copy=True)
                self.host[id(parameter)] = kept.pin_memory() if self.device.type == "cuda" else kept
            parameter.data = self.host[id(parameter)]
        for module in self.model.modules():
            if own := list(module.parameters(recurse=False)):
                self.hooks.append(module.register_forward_pre_hook(lambda *_, own=own: self._bring(own)))
                after = lambda *_, own=own: self._drop(own)  # noqa: E731
                self.hooks.append(module.register_forward_hook(after, always_call=True))

    def come(self) -> None:
        """Bring all of it back."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []
        self._bring(list(self.model.parameters()))

    def has_room(self) -> bool:
        """Whether the device has free memory for all of it, once what is cached has been given back."""
        if self.device.type != "cuda":
            return True
        torch.cuda.empty_cache()  # what graphs keep stays
        free, _ = torch.cuda.mem_get_info(self.device)
        return free >= ROOM * sum(kept.nbytes for kept in self.host.values())

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Inside, all of it is on its device; it leaves again, if it was away."""
        was_away = self.away
        if was_away:
            self.come()
        try:
            yield
        finally:
            if was_away:
                self.leave()

    def _bring(self, parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            parameter.data = self.host[id(parameter)].to(self.device, non_blocking=True, copy=True)

    def _drop(self, parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            parameter.data = self.host[id(parameter)]
