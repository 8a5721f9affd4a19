"""What every translator gives back, and the size its soft tokens are held to."""

from dataclasses import dataclass, field

from torch import Tensor

SMALLEST_SCALE, LARGEST_SCALE = 0.25, 4.0


@dataclass
class TranslatorOutput:
    """`soft_tokens` [B, K, d_target]; `auxiliary`: further loss terms by name, attached to the graph."""

    soft_tokens: Tensor
    auxiliary: dict[str, Tensor] = field(default_factory=dict)


def match_rms(soft_tokens: Tensor, target_rms: float) -> Tensor:
    """Scale each question's soft tokens [B, K, d] to the target's median embedding RMS.

    The factor is a statistic, detached from the graph, and clamped to 0.25-4 so that a collapsed output is not blown
    up into noise.
    """
    rms = soft_tokens.detach().float().square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-8)
    return soft_tokens * (target_rms / rms).clamp(SMALLEST_SCALE, LARGEST_SCALE).to(soft_tokens.dtype)
