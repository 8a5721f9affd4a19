"""Ranks: the processes that compute one run together, each with a device of its own, and what they tell one another.

A process is alone until `join`, which does something only where torchrun, or Accelerate's `notebook_launcher`, started
several: then Accelerate brings them together (NCCL between GPUs, gloo between CPUs and for what the hosts tell one
another). Alone, every function here gives back what it was given, so that training and evaluation are written once.

What several ranks compute is what one would: a step's batch is dealt out to them, every loss term is a rank's part of
the mean over all (`parts_of_means`), and gradients are summed (`sum_gradients`). That is data parallelism without
`DistributedDataParallel`: the translator is called by several names, saved and hashed, which a wrapper would get in the
way of; a wrapper averages over ranks, where a mean over tokens needs each rank's share of them; and sending gradients
while the backward pass goes on gained nothing when it was tried.

torch is imported inside: rooms without it know of ranks as well.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lab.errors import LabError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
_told: Any = None  # the group by which ranks tell one another what the host knows; None: the one that they met in


def started() -> tuple[int, int]:
    """(rank, how many) as whoever started this process says, joined or not; (0, 1) for a process that was started
    alone."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def join(device: str = "auto") -> None:
    """Find the other ranks, if this process was started as one of several. Waits until all are there.

    `device`: that of the config; on GPUs each rank gets the one of its local rank. Raises LabError.
    """
    _, many = started()
    if many == 1:
        return
    if count() == 1:
        _meet(device, many)
    global _told
    if _told is None:
        # By NCCL a number of the host's would go through the GPU, and each step wait until that has done all it was
        # given. Between nodes gloo may have to be told the interface: GLOO_SOCKET_IFNAME.
        _told = _distributed().new_group(backend="gloo")


def _meet(device: str, many: int) -> None:
    if device not in ("auto", "cuda", "cpu"):
        raise LabError(f"device={device!r} would be the device of all {many} processes; choose auto, cuda or cpu.")
    try:
        from accelerate import PartialState
    except ImportError:
        raise LabError("several processes need accelerate, which is not installed: `pip install accelerate`.") from None
    import torch

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    atexit.register(_drop)
    if state.num_processes != many:
        raise LabError(f"{many} processes were started, but Accelerate found {state.num_processes}; use torchrun.")


def leave() -> None:
    """The end of what ranks do together: waits for all of them, and lets them go. A process may join again."""
    if count() > 1:
        import torch
        from accelerate import PartialState

        if torch.cuda.is_available():
            torch.cuda.synchronize()  # what it was given for the others has to be done
        wait()
        _drop()
        PartialState._reset_state()


def _drop() -> None:
    """Close the group without waiting: one that is left open at the end of the interpreter may abort it."""
    global _told
    _told = None
    if group := _distributed():
        group.destroy_process_group()


def _distributed():
    """`torch.distributed` where a group of processes is open, else None."""
    torch = sys.modules.get("torch")
    there = torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed if there else None


def count() -> int:
    """How many ranks there are: 1 for a process that is alone."""
    group = _distributed()
    return group.get_world_size() if group else 1


def rank() -> int:
    """Which of them this is, from 0."""
    group = _distributed()
    return group.get_rank() if group else 0


def is_first() -> bool:
    """Whether this is the rank that writes, and speaks."""
    return rank() == 0


def wait() -> None:
    """Until all ranks are here."""
    if count() > 1:
        gathered(None)  # not a barrier: that one goes through the GPU, and has to be told which


def mine(dealt: Sequence[T]) -> Sequence[T]:
    """Of what is dealt out to the ranks, one by one in turn, what this one gets."""
    return dealt[rank() :: count()] if count() > 1 else dealt


def gathered(value: T) -> list[T]:
    """The `value` of every rank, in their order. It goes through pickle."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    _distributed().all_gather_object(found, value, group=_told)
    return found


def from_first(work: Callable[[], T]) -> T:
    """What `work` gives on the first rank, which alone does it. Its LabError is raised on all of them."""
    if count() == 1:
        return work()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = work()
        except LabError as error:
            told[1] = str(error)
    _distributed().broadcast_object_list(told, src=0, group=_told)
    if told[1] is not None:
        raise LabError(told[1])
    return told[0]


def any_rank(*said: bool) -> list[bool]:
    """Of each thing, whether any rank says so: what all have to do in the same step."""
    if count() == 1:
        return list(said)
    import torch

    return [bool(number) for number in greatest(torch.tensor(said, dtype=torch.uint8)).tolist()]


def summed(x: Tensor) -> Tensor:
    """The sum of `x` over all ranks, outside the graph."""
    if count() == 1:
        return x
    total = x.detach().clone()
    _distributed().all_reduce(total)
    return total


def greatest(numbers: Tensor) -> Tensor:
    """Of each of the `numbers` of the host, which have one shape on all ranks, the largest that any rank has."""
    if count() == 1:
        return numbers
    largest, group = numbers.clone(), _distributed()
    group.all_reduce(largest, op=group.ReduceOp.MAX, group=_told)
    return largest


def parts_of_means(means: Mapping[str, Tensor], counts: Mapping[str, int | Tensor]) -> dict[str, Tensor]:
    """This rank's part of each mean over what all ranks have, from its own mean of `counts` things: parts add up."""
    if count() == 1:
        return dict(means)
    import torch

    device = next(iter(means.values())).device
    # Numbers of the host are made on the device: to copy one there would wait until the device has come to it.
    own = torch.stack([
        count.to(device).float() if isinstance(count, torch.Tensor) else torch.full((), float(count), device=device)
        for count in (counts[name] for name in means)
    ])  # fmt: skip
    shares = own / summed(own).clamp_min(1)
    return {name: mean * share for (name, mean), share in zip(means.items(), shares, strict=True)}


def sum_gradients(module: nn.Module) -> None:
    """Every gradient becomes its sum over all ranks, on each of them in the same bits. All have the same graph, so a
    parameter that has none has none anywhere. All go in one piece: while a host started a sum for each of
    66 parameters, its GPU waited."""
    if count() == 1:
        return
    import torch

    owners = [parameter for parameter in module.parameters() if parameter.grad is not None]
    flat = torch.nn.utils.parameters_to_vector(parameter.grad for parameter in owners)
    _distributed().all_reduce(flat)
    for parameter, own in zip(owners, flat.split([parameter.numel() for parameter in owners]), strict=True):
        parameter.grad = own.view_as(parameter)


def every_row(x: Tensor) -> Tensor:
    """The rows [B, d] of all ranks one after the other, [ranks * B, d], with gradients to each; `x` itself alone."""
    if count() == 1:
        return x
    import torch
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x))


def draw_apart(seed: int, step: int) -> None:
    """Ranks after the first draw the random numbers of a step (dropout, noise) from seed, step and rank: others than
    the first, whose state a checkpoint keeps, and again the same ones after a resume, with nothing kept."""
    if rank():
        import torch

        torch.manual_seed((seed * 1_000_003 + step) * 1_009 + rank())


def check_alike(what: str, numbers: Iterable[float]) -> None:
    """Raise LabError unless all ranks have the same `numbers`, bit by bit."""
    if count() > 1 and any(other != found[0] for found in [gathered(list(numbers))] for other in found):
        raise LabError(f"{what} differ between the {count()} processes; they no longer compute the same run.")
