"""Saving a training without holding it up: on a GPU the state is copied to the host, and a thread writes the copy.

A translator of full size and its optimiser are two gigabytes, which take seconds to write, to hash and to flush;
copying them takes a tenth of a second. At most one checkpoint is being written, each is complete before the next one
begins, and what was wrong with it is raised by the next, or at the end. On a CPU, where there is nothing to copy and a
thread would take a core from the training, it is written at once.
"""

from __future__ import annotations

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor, nn

from lab import ranks
from lab.clock import part
from lab.config import RunConfig
from lab.runs import RunDirectory
from lab.training.checkpoints import Progress, checkpoint_facts, training_state, write_checkpoint


class Saver:
    """Saves the checkpoints of one training. `beside`: in a thread; None: on a GPU. Leaving it waits for the last."""

    def __init__(
        self, run: RunDirectory, config: RunConfig, translator: nn.Module, optimizer: torch.optim.Optimizer,
        beside: bool | None = None,
    ) -> None:  # fmt: skip
        self.run, self.config, self.translator, self.optimizer = run, config, translator, optimizer
        self.beside = next(translator.parameters()).is_cuda if beside is None else beside
        self._pool = ThreadPoolExecutor(1, "checkpoint") if self.beside else None
        self._pending: Future | None = None
        self._twin: nn.Module | None = None
        self._state: dict[str, Tensor] = {}

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._pool:
            self._pool.shutdown()
        if error is None:
            self.wait()

    @part("checkpoint")
    def save(self, progress: Progress) -> None:
        """Save the state after `progress.step`. Raises LabError if this one, or in a thread the one before it, cannot
        be written; those before stay as they are. Of several ranks the first one saves."""
        self.wait()
        if not ranks.is_first():  # all have the same
            return
        facts = checkpoint_facts(self.run, self.config, progress)
        state = training_state(self.translator, self.optimizer)
        if not self._pool:
            write_checkpoint(self.run, facts, self.translator, state, progress)
            return
        now = replace(progress, history=list(progress.history))  # it goes on
        given = (self.run, facts, *self._copied(state), now)
        self._pending = self._pool.submit(write_checkpoint, *given)

    def wait(self) -> None:
        """Until nothing is being written. Raises what the writing met."""
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def _copied(self, state: dict[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
        """The translator and `state` as they are now, in memory of the host that is used again each time."""
        if self._twin is None:
            tensors = [*self.translator.parameters(), *self.translator.buffers()]
            homes = {id(one): _like(one) for one in tensors}  # not a copy on the GPU first
            self._twin = copy.deepcopy(self.translator, homes)
        with torch.no_grad():
            for home, now in zip(self._tensors(self._twin), self._tensors(self.translator), strict=True):
                home.copy_(now, non_blocking=True)
            for name, now in state.items():
                home = self._state.get(name)
                if home is None or home.shape != now.shape:
                    home = self._state[name] = _like(now)
                home.copy_(now, non_blocking=True)
        if next(self.translator.parameters()).is_cuda:
            torch.cuda.current_stream().synchronize()
        return self._twin, {name: self._state[name] for name in state}

    @staticmethod
    def _tensors(module: nn.Module) -> list[Tensor]:
        return [*module.parameters(), *module.buffers()]


def _like(tensor: Tensor) -> Tensor:
    """Room for a tensor in the host's memory: pinned where it comes from a GPU, which then copies at full speed."""
    home = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.is_cuda)
    return nn.Parameter(home, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else home
