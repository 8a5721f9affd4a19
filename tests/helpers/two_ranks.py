"""Two processes on this machine's CPU, brought together as torchrun would."""

import os
import socket
import traceback

import torch

from lab import ranks


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def on_ranks(work, *given, count=2) -> None:
    """`work(*given)` in `count` processes; it has to be a function of a module. What it raises is raised here."""
    torch.multiprocessing.spawn(_as_rank, (count, free_port(), work, given), nprocs=count)


def _as_rank(rank: int, count: int, port: int, work, given) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1",
                   "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    torch.set_num_threads(1)
    ranks.join("cpu")
    try:
        work(*given)
    except BaseException:
        traceback.print_exc()
        raise
    ranks.leave()
