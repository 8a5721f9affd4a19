"""Several processes from a notebook: how many this machine has GPUs for, and a function executed by all of them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab import ranks
from lab.config import RunConfig
from lab.errors import LabError
from lab.studies.experiment import start, test_once, train_constant, train_translator

ASKED = "NUM_GPUS"  # the environment variable that says how many, whatever the machine has


def gpus() -> int:
    """How many GPUs there are: what `NUM_GPUS` says, else nvidia-smi, else PyTorch. 0: none.

    nvidia-smi knows without starting CUDA, which processes could not be forked after; where `CUDA_VISIBLE_DEVICES`
    hides some, PyTorch's number counts, as it reads that variable and nvidia-smi does not. Raises LabError.
    """
    if said := os.environ.get(ASKED):
        if not said.isdigit():
            raise LabError(f"{ASKED}={said!r} is no number of GPUs; give 0 or more, or unset it.")
        return int(said)
    if "CUDA_VISIBLE_DEVICES" not in os.environ and shutil.which("nvidia-smi"):
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
        if done.returncode == 0:
            return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    import torch

    return torch.cuda.device_count()


def in_processes(work: Callable[..., object], *given: object, processes: int = 0) -> int:
    """`work(*given)` in so many processes of this machine (0: one for each GPU), which find one another when a run is
    started (`lab.studies.start`). Returns how many. For a notebook; a terminal has torchrun.

    They are forked: nothing may have touched a GPU before, so load no models in the notebook itself. What `work`
    returns is lost; it lies in its run. Raises LabError where CUDA was started, or what one of them raised.
    """
    many = processes or max(1, gpus())
    if ranks.started()[1] > 1:
        raise LabError("this is one of several processes already; start them by torchrun or from a notebook, not both.")
    if many == 1:
        work(*given)
        return 1
    import torch
    from accelerate import PartialState, notebook_launcher

    if torch.cuda.is_initialized():
        raise LabError("this notebook has used a GPU already; restart it, and load models in the processes alone.")
    PartialState._reset_state()  # a tracker may have made one, of a process that is alone
    notebook_launcher(_apart, (work, *given), num_processes=many, use_port=str(_free_port()))
    return many


def _apart(work: Callable[..., object], *given: object) -> None:
    """One process's part. All end together."""
    work(*given)
    ranks.leave()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def whole_run(config: RunConfig, runs: str | Path = "runs", resume: bool = False, control: bool = True) -> dict:
    """A run from its config to its summary, on however many processes are in it: the translator, its constant prompt,
    and the test, once."""
    experiment = start(config, runs, resume)
    trained = train_translator(experiment)
    constant = train_constant(experiment).translator if control else None
    return test_once(experiment, trained.translator, constant)[1]
