"""Kinds of GPU: memory, and how fast they compute and copy.

Of the H100 the two rates are those that `benchmarks/speed.py` measured in the run whose records are in
`benchmarks/speed_h100.json`. The others are scaled from it by their data sheets (dense bfloat16 products with float32
sums; memory bandwidth): nothing of them is measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import LabError

RESERVED = 1.2  # GiB that a process cannot use: CUDA's context, libraries' workspaces
SPLIT = 0.04  # of what is held: pieces of the allocator's blocks that fit nothing (assumed)


@dataclass(frozen=True)
class GPU:
    """`memory`: GiB that a process can see. `products`: bf16 FLOP/s reached by a plain product. `copy`: bytes/s, read
    and written. `link`: bytes/s from pinned host memory. `measured`: on it, or scaled by its data sheet."""

    name: str
    memory: float
    products: float
    copy: float
    link: float
    measured: bool = False

    @property
    def usable(self) -> float:
        """GiB that tensors may take at their peak."""
        return (self.memory - RESERVED) / (1 + SPLIT)


H100 = GPU("H100 80 GB", 79.1, 7.23e14, 2.75e12, 5e10, True)


def _scaled(name: str, memory: float, tflops: float, terabytes: float, link: float) -> GPU:
    """By the data sheet, against the H100's (SXM: 989 TFLOP/s, 3.35 TB/s)."""
    return GPU(name, memory, H100.products * tflops / 989, H100.copy * terabytes / 3.35, link)


GPUS = (
    H100,
    _scaled("H200 141 GB", 139.8, 989, 4.8, 5e10),
    _scaled("A100 80 GB", 79.1, 312, 2.04, 2.4e10),
    _scaled("A100 40 GB", 39.4, 312, 1.56, 2.4e10),
    _scaled("L40S 48 GB", 44.4, 362, 0.864, 2.4e10),
    _scaled("RTX 4090 24 GB", 23.5, 165, 1.008, 2.4e10),
)


def gpus_named(name: str) -> tuple[GPU, ...]:
    """All of them, or those whose names begin with `name` (A100: both). Raises LabError if there is none."""
    wanted = name.lower().replace("-", " ")
    found = tuple(gpu for gpu in GPUS if gpu.name.lower().startswith(wanted))
    if not found:
        raise LabError(f"--gpu {name} is not known; the kinds are {', '.join(gpu.name for gpu in GPUS)}.")
    return found
