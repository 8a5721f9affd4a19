"""Soft tokens on the wire: how many bytes they are in bf16, int8 and int4, and what is left of them at the other end.

Integers are symmetric and scaled by the largest magnitude of a group: the whole soft token for int8, 32 values for
int4, as usual for weights (LLM.int8(), Dettmers et al. 2022, section 2.1; group-wise int4, GPTQ, Frantar et al. 2023).
Scales are bf16 and are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lab.errors import LabError

__all__ = ["WIRES", "Wire", "get_wire"]


@dataclass(frozen=True)
class Wire:
    """A format. `bits` per value; one bf16 scale per `group` values (0: per soft token), none for bf16."""

    name: str
    bits: int
    group: int = 0

    def bytes(self, soft_tokens: int, size: int) -> int:
        """Bytes of `soft_tokens` soft tokens of `size` values, scales included."""
        scales = 0 if self.bits == 16 else -(-size // self.group) if self.group else 1
        return soft_tokens * (-(-size * self.bits // 8) + 2 * scales)

    def through(self, soft: Tensor) -> Tensor:
        """Soft tokens [..., d] as they arrive: written in this format and read again, in their old dtype."""
        if self.bits == 16:
            return soft.to(torch.bfloat16).to(soft.dtype)
        size, most = soft.shape[-1], 2 ** (self.bits - 1) - 1
        group = self.group or size
        padded = torch.nn.functional.pad(soft.float(), (0, -size % group)).unflatten(-1, (-1, group))
        # The scale is rounded as it is sent; what then lies beyond the largest integer is clamped.
        scale = (padded.abs().amax(dim=-1, keepdim=True) / most).to(torch.bfloat16).float().clamp_min(1e-30)
        whole = (padded / scale).round().clamp(-most, most)
        return (whole * scale).flatten(-2)[..., :size].to(soft.dtype)


WIRES = {wire.name: wire for wire in (Wire("bf16", 16), Wire("int8", 8), Wire("int4", 4, group=32))}


def get_wire(name: str) -> Wire:
    """A format by name. Raises LabError."""
    if name not in WIRES:
        raise LabError(f"wire format {name!r} is not known; choose one of {', '.join(WIRES)}.")
    return WIRES[name]
