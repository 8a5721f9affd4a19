"""A text that all rows of a batch begin with, read once: its keys and values, which nothing after it changes.

Worked examples stand before the soft tokens in `soft_in_context`. They are the same in every row and at every step and
nothing of them is learned, so the frozen model reads them once, outside the graph, and a step runs what comes after
them alone (prefix sharing as in serving: Kwon et al. 2023, section 4.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import ModelOutput

from lab.models.architecture import close
from lab.models.frozen import FrozenModel, positions

if TYPE_CHECKING:
    from lab.models.inputs import TargetInputs

LEAST = 64  # tokens: a shorter beginning is as quickly read as put aside
FEW, PADDING = 4, 512  # tokens that are tried behind it, and the padding in between: wider than GPT-Neo's window


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values [1, heads, P, d] of every layer for P tokens."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    def cache(self, rows: int) -> DynamicCache:
        """A cache in which each of `rows` rows has read the tokens already."""
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.layers):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
        return cache


@dataclass(frozen=True)
class Unread:
    """What a model still has to read of a batch: embeds [B, T, d] and places [B, T], behind `prefix` if there is one.

    mask [B, P + T] counts the P tokens of the prefix; None: every row begins at the left.
    """

    embeds: Tensor
    mask: Tensor | None
    places: Tensor
    prefix: Prefix | None

    def part(self, rows: Tensor, width: int) -> Unread:
        """Some `rows` (their numbers, on the device), and of their tokens the last `width`: what is before has to be
        padding. Of fewer, padded to it."""
        count, own = self.mask.shape[1] - self.embeds.shape[1], min(width, self.embeds.shape[1])
        more = width - own
        mask = torch.cat([self.mask[rows, :count], pad(self.mask[rows, -own:], (more, 0))], dim=1)
        places = pad(self.places[rows, -own:], (more, 0))
        return Unread(pad(self.embeds[rows, -own:], (0, 0, more, 0)), mask, places, self.prefix)

    def cache(self) -> dict[str, Any]:
        """What has been read, as the model takes it."""
        if self.prefix is None:
            return {}
        return {"past_key_values": self.prefix.cache(len(self.embeds)), "use_cache": True}


def unread(model: FrozenModel, inputs: TargetInputs) -> Unread:
    """`inputs` without what all rows begin with, where the model keeps that; all of it, where `model.plain`."""
    prefix = None if model.plain else prefix_of(model, inputs.shared)
    if prefix is None:
        return Unread(inputs.embeds, inputs.attention_mask, inputs.position_ids, None)
    count = len(inputs.shared)
    rest = inputs.attention_mask.cumsum(dim=1) > count  # left padding: a short row's beginning stands further right
    mask = torch.cat([torch.ones_like(rest[:, :count]), rest[:, count:]], dim=1).long()
    return Unread(inputs.embeds[:, count:], mask, inputs.position_ids[:, count:], prefix)


def shared_start(rows: Sequence[Sequence[int]], ends: Sequence[int]) -> tuple[int, ...]:
    """The tokens that all rows begin with, as far as none of `ends` (one a row) is reached."""
    return tuple(commonprefix([list(row[:end]) for row, end in zip(rows, ends, strict=True)]))


def prefix_of(model: FrozenModel, tokens: tuple[int, ...]) -> Prefix | None:
    """What a frozen model keeps of `tokens` at the start of a text, remembered for the last such text; None for few
    tokens, and for a model that keeps more or less than their keys and values (a sliding window, a recurrent state)."""
    if len(tokens) < LEAST:
        return None
    if tokens not in model.prefixes:
        model.prefixes.clear()  # of another text: worked examples are the same for a whole run
        model.prefixes[tokens] = _read(model, tokens)
    return model.prefixes[tokens]


@torch.no_grad()
def _read(model: FrozenModel, tokens: tuple[int, ...]) -> Prefix | None:
    ids = torch.tensor([tokens], device=model.device)
    kept = _states(model, ids, torch.ones_like(ids)).get("past_key_values")
    if type(kept) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in kept.layers):
        return None
    prefix = Prefix(tuple((layer.keys, layer.values) for layer in kept.layers))
    return prefix if _bears_padding(model, ids, prefix) else None


def _bears_padding(model: FrozenModel, ids: Tensor, prefix: Prefix) -> bool:
    """Whether tokens say the same behind the prefix and padding as right behind it. A short row has padding there, and
    models that count columns instead of positions (MPT's biases, GPT-Neo's window) would take it for a distance."""
    after, width = ids[:, :FEW], min(PADDING, (model.context_length or PADDING * 9) - ids.shape[1] - FEW)
    if width < 1:
        return False
    whole = torch.cat([ids, after], dim=1)
    right_behind = _states(model, whole, torch.ones_like(whole))
    padding = ids.new_full((1, width), model.tokenizer.pad_token_id)
    mask = torch.cat([torch.ones_like(ids), torch.zeros_like(padding), torch.ones_like(after)], dim=1)
    behind = _states(model, torch.cat([padding, after], dim=1), mask, prefix.cache(1))
    return close(behind.last_hidden_state[:, -FEW:], right_behind.last_hidden_state[:, -FEW:])


def _states(model: FrozenModel, ids: Tensor, mask: Tensor, cache: DynamicCache | None = None) -> ModelOutput:
    """One pass over the last tokens of `mask`; those before them lie in `cache`."""
    placed = model.placed(mask, positions(mask)[:, -ids.shape[1] :])
    return model.base(input_ids=ids, **placed, past_key_values=cache, use_cache=True)
