"""What every translator gets and gives back, and the size its soft tokens are held to.

A translator is called with the source's states and, in training, with what a teacher would have written; only an
auxiliary loss may look at the teacher.
"""

from dataclasses import dataclass, field

from torch import Tensor

from lab.models import SourceStates

SMALLEST_SCALE, LARGEST_SCALE = 0.25, 4.0


@dataclass
class Teacher:
    """Target embeddings [B, K, d_target] of a text, pooled to the K places of the soft tokens; mask [B, K] bool."""

    embeds: Tensor
    mask: Tensor


@dataclass
class TranslatorOutput:
    """`soft_tokens` [B, K, d_target]; `mask` [B, K] bool says which exist, None: all of them.

    `auxiliary`: further loss terms by name, attached to the graph.
    """

    soft_tokens: Tensor
    mask: Tensor | None = None
    auxiliary: dict[str, Tensor] = field(default_factory=dict)

    def counts(self) -> list[int]:
        """How many soft tokens each question has."""
        batch, places = self.soft_tokens.shape[:2]
        return [places] * batch if self.mask is None else self.mask.sum(dim=1).tolist()


def as_long_as_source(source: SourceStates, cap: int) -> tuple[Tensor, Tensor]:
    """(states [B, K, L, d], mask [B, K] bool) of the last `cap` source tokens: K is one per source token."""
    return source.states[:, -cap:], source.mask[:, -cap:].bool()


def match_rms(soft_tokens: Tensor, target_rms: float, mask: Tensor | None = None) -> Tensor:
    """Scale each question's soft tokens [B, K, d] to the target's median embedding RMS.

    The factor is a statistic (of those that `mask` [B, K] says exist), detached from the graph, and clamped to 0.25-4
    so that a collapsed output is not blown up into noise.
    """
    square = soft_tokens.detach().float().square().mean(dim=2)
    if mask is None:
        mean = square.mean(dim=1)
    else:
        mean = (square * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)
    scale = (target_rms / mean.sqrt().clamp_min(1e-8)).clamp(SMALLEST_SCALE, LARGEST_SCALE)
    return soft_tokens * scale[:, None, None].to(soft_tokens.dtype)
