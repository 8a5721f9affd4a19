"""How likely a model finds given endings after its prompts: the sum of log p(token | all before it), in nats.

Nothing is generated. A prompt is what an arm is given anyway (embeddings, soft tokens among them); an ending is a row
of tokens after it, whoever chose them. Rows are independent of one another: alone or in a batch, the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lab.errors import LabError
from lab.models import IGNORED, TargetInputs, pad_batch, positions, token_nats

if TYPE_CHECKING:
    from lab.models import FrozenModel


@dataclass(frozen=True)
class Likelihood:
    """Of one ending: `nats`, the sum over its `tokens` scored tokens; `greedy`: whether each is the likeliest one."""

    nats: float
    tokens: int
    greedy: bool


@torch.no_grad()
def log_likelihoods(
    model: FrozenModel, prompts: TargetInputs, endings: Sequence[Sequence[int]], given: Sequence[int] | None = None
) -> list[Likelihood]:
    """The likelihood of each ending (token ids, no special ones added) after its row of `prompts`.

    `given`: how many leading tokens of each ending are read and not scored; None: none. Raises LabError for an ending
    without a scored token, prompts that already carry labels, and rows longer than the model reads.
    """
    given = given or [0] * len(endings)
    _check(model, prompts, endings, given)
    nats, likeliest = token_nats(model, _continued(model, prompts, endings, given))
    counts = [len(ending) - read for ending, read in zip(endings, given, strict=True)]
    return [
        Likelihood(-one.sum().item(), count, bool(top.all()))
        for one, top, count in zip(nats.double().split(counts), likeliest.split(counts), counts, strict=True)
    ]


def repeated(prompts: TargetInputs, rows: Sequence[int]) -> TargetInputs:
    """The prompts at `rows`, in that order; a row may stand there several times, once for each of its endings."""
    where = torch.tensor(rows, device=prompts.embeds.device)
    tensors = (prompts.embeds[where], prompts.attention_mask[where], prompts.position_ids[where])
    return TargetInputs(*tensors, None, [prompts.prompt_lengths[row] for row in rows],
                        [prompts.text_tokens[row] for row in rows])  # fmt: skip


def token_prompts(model: FrozenModel, rows: Sequence[Sequence[int]]) -> TargetInputs:
    """Prompts that are token ids already, special ones and all, as a left-padded batch."""
    ids, mask = pad_batch(rows, model.tokenizer.pad_token_id, model.device)
    lengths = [len(row) for row in rows]
    return TargetInputs(model.embed(ids), mask, positions(mask), None, lengths, lengths)


def _continued(
    model: FrozenModel, prompts: TargetInputs, endings: Sequence[Sequence[int]], given: Sequence[int]
) -> TargetInputs:
    """Each prompt with its ending after it, padded on the right, and labels where a token is scored."""
    ids, mask = pad_batch(endings, model.tokenizer.pad_token_id, model.device, side="right")
    embeds = torch.cat([prompts.embeds, model.embed(ids).to(prompts.embeds)], dim=1)
    whole = torch.cat([prompts.attention_mask, mask], dim=1)
    first = torch.tensor(given, device=model.device)[:, None]
    scored = mask.bool() & (torch.arange(ids.shape[1], device=model.device) >= first)
    ignored = torch.full_like(prompts.attention_mask, IGNORED)
    labels = torch.cat([ignored, ids.masked_fill(~scored, IGNORED)], dim=1)
    return TargetInputs(embeds, whole, positions(whole), labels, prompts.prompt_lengths, prompts.text_tokens)


def _check(model: FrozenModel, prompts: TargetInputs, endings: Sequence[Sequence[int]], given: Sequence[int]) -> None:
    if prompts.labels is not None or len(endings) != len(prompts.prompt_lengths):
        raise LabError(f"{len(endings)} endings for {len(prompts.prompt_lengths)} prompts; give one each, unlabelled.")
    if any(len(ending) <= read for ending, read in zip(endings, given, strict=True)):
        raise LabError("an ending without a token has no likelihood; give each a text.")
    model.check_length(max(map(sum, zip(prompts.prompt_lengths, map(len, endings), strict=True))))
