"""Which target tokens a piece of text stands for: two tokenizations of one text, aligned by character offsets."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lab.errors import LabError
from lab.models.frozen import FrozenModel

Span = tuple[int, int]  # first character, and the one after the last


def token_spans(model: FrozenModel, text: str) -> list[Span]:
    """The characters of each token of `text` (special tokens not counted). Raises LabError without a fast tokenizer."""
    if not model.tokenizer.is_fast:
        raise LabError(f"{model.name}: geometry_weight needs a fast tokenizer, which knows where its tokens lie.")
    return model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]


def overlaps(spans: Sequence[Span], tokens: Sequence[Span]) -> Tensor:
    """[len(spans), len(tokens)]: how many characters each span shares with each token."""
    ours, theirs = torch.tensor(spans).reshape(-1, 1, 2), torch.tensor(tokens).reshape(1, -1, 2)
    shared = torch.minimum(ours[..., 1], theirs[..., 1]) - torch.maximum(ours[..., 0], theirs[..., 0])
    return shared.clamp_min(0).float()


def projected(source: FrozenModel, target: FrozenModel, text: str) -> tuple[Tensor, Tensor]:
    """What the target's embeddings say where each source token of `text` stands: ([S, d_target], [S] bool).

    Row s is the mean of the embeddings of those target tokens that overlap source token s, weighted by the characters
    they share; False where there is none (the source's BOS, which comes first).
    """
    tokens = token_spans(target, text)
    bos = [(0, 0)] if source.tokenizer.bos_token_id is not None else []
    shared = overlaps([*bos, *token_spans(source, text)], tokens).to(target.device)
    ids = torch.tensor(target.tokens([text])[0], device=target.device)
    total = shared.sum(dim=1, keepdim=True)
    return (shared / total.clamp_min(1)) @ target.embed(ids).float(), total[:, 0] > 0


def pooled(embeds: Tensor, count: int) -> Tensor:
    """[T, d] -> [min(T, count), d]: more tokens than places are averaged, neighbours together (adaptive pooling)."""
    if len(embeds) <= count:
        return embeds
    return torch.nn.functional.adaptive_avg_pool1d(embeds.T[None], count)[0].T
