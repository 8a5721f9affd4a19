"""Steps of a frozen model after a prompt: one token a row enters, the logits of the next one come out.

Two ways, chosen once the prompt has been read and it is known what the model keeps of it: its own forward over the
cache that it makes itself, whatever that holds, and, where that is keys and values alone, steps over `Slots`, which a
GPU replays from a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import ModelOutput

from lab.models.architecture import close
from lab.models.attention import REFUSALS
from lab.models.frozen import SENTENCE, FrozenModel, pad_batch, positions
from lab.models.slots import SlotSteps

__all__ = ["OwnSteps", "first_step", "fits_slots"]

CACHES = ("past_key_values", "cache_params")  # under which a model hands on what it keeps: attention, and Mamba
ROWS_APART = (DynamicLayer, DynamicSlidingWindowLayer)  # layers that keep each row by itself
TRIED = 2  # steps on which a model is tried

_fits: WeakKeyDictionary[PreTrainedModel, dict[torch.device, bool]] = WeakKeyDictionary()


class OwnSteps:
    """Steps by the model's own forward, with the cache that it made of the prompt."""

    def __init__(self, model: FrozenModel, prompt: dict[str, Tensor], mask: Tensor, places: Tensor, most: int) -> None:
        """`prompt`: `embeds` [B, T, d] or `input_ids` [B, T], left-padded, with `mask` and `places` [B, T]; at most
        `most` tokens follow. `logits` [B, vocabulary] are then those of the first."""
        last = torch.arange(mask.shape[1], device=mask.device) == mask.shape[1] - 1
        given = {"embeds": None, **prompt}
        out = model.run(last.expand(len(mask), -1), mask=mask, places=places, use_cache=True, **given)
        self.model, self.logits, self.width = model, out.logits, mask.shape[1]
        self.mask, self.place = pad(mask, (0, most), value=1), places[:, -1:]
        self.cached_as = next((name for name in CACHES if out.get(name) is not None), "")
        self.cache = out.get(self.cached_as)
        self.read = None if self.cache is not None else _embeds(model, prompt)  # one that keeps nothing reads all anew

    def step(self, tokens: Tensor) -> Tensor:
        """tokens [B] -> logits [B, vocabulary] of what comes after them."""
        embeds, self.place, self.width = self.model.embed(tokens[:, None]), self.place + 1, self.width + 1
        if self.cache is None:
            self.read = torch.cat([self.read, embeds], dim=1)
            return self._read_anew().logits
        placed = self.model.placed(self.mask[:, : self.width], self.place)
        if self.cached_as != "past_key_values":
            del placed["attention_mask"]  # all that it keeps is one state a row: there is nothing to be masked
        kept = {self.cached_as: self.cache, "use_cache": True}
        return self.model.model(inputs_embeds=embeds, **placed, **kept).logits[:, -1]

    def _read_anew(self) -> ModelOutput:
        mask = self.mask[:, : self.width]
        last = torch.arange(self.width, device=mask.device) == self.width - 1
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return self.model.run(last.expand(len(mask), -1), self.read, mask, places)

    @property
    def drops_rows(self) -> bool:
        """Whether `keep` may be called: in half precision a row would be answered otherwise with fewer beside it, so
        that what a frozen model says would depend on when the others were done."""
        plain = type(self.cache) is DynamicCache and all(type(layer) in ROWS_APART for layer in self.cache.layers)
        return plain and self.logits.dtype == torch.float32

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self.cache.batch_select_indices(rows)
        self.mask, self.place = self.mask[rows], self.place[rows]


def first_step(
    model: FrozenModel, prompt: dict[str, Tensor], mask: Tensor, places: Tensor, most: int, graphs: bool
) -> OwnSteps | SlotSteps:
    """The prompt read, and the steps after it: replayed from graphs where `graphs` and the model allow it."""
    steps = OwnSteps(model, prompt, mask, places, most)
    if graphs and mask.device.type == "cuda" and replayable(model, steps):
        return SlotSteps(model, steps.logits, steps.cache, mask, steps.place, most)
    return steps


def replayable(model: FrozenModel, steps: OwnSteps) -> bool:
    """Whether the steps after `steps` may be taken over slots: no layer forgets anything before the last of them."""
    plain = type(steps.cache) is DynamicCache and all(
        _keeps(layer, steps.mask.shape[1]) for layer in steps.cache.layers
    )
    return plain and fits_slots(model)


def _keeps(layer: object, tokens: int) -> bool:
    """Whether a cache's layer still has all of `tokens`: a window that is never full is none."""
    kind = type(layer)
    return kind is DynamicLayer or (kind is DynamicSlidingWindowLayer and tokens < layer.sliding_window)


@torch.no_grad()
def fits_slots(model: FrozenModel) -> bool:
    """Whether steps over slots say what the model's own do, and can be recorded. Asked of the model itself, once: one
    may count columns, cap its scores, or look at a value on its way."""
    known = _fits.setdefault(model.model, {})
    if model.device not in known:
        known[model.device] = model.model.config._attn_implementation == "sdpa" and _tried(model)
    return known[model.device]


def _tried(model: FrozenModel) -> bool:
    row = model.tokens([SENTENCE])[0]
    ids, mask = pad_batch([row, row + row], model.tokenizer.pad_token_id, model.device)  # one with padding
    ours, theirs = (OwnSteps(model, {"input_ids": ids}, mask, positions(mask), TRIED) for _ in range(2))
    over = SlotSteps(model, theirs.logits, theirs.cache, mask, theirs.place, TRIED)
    expected = ours.logits
    for _ in range(TRIED):
        over.tokens.copy_(expected.argmax(dim=-1, keepdim=True))
        expected = ours.step(over.tokens[:, 0])
        try:
            with _waiting_is_an_error(model.device):
                found = over.take(over.slots)
        except REFUSALS:
            return False
        if not close(found, expected):
            return False
    return True


@contextmanager
def _waiting_is_an_error(device: torch.device) -> Iterator[None]:
    """Inside, what makes the host wait for the GPU raises a RuntimeError: a graph could not hold it."""
    kept = torch.cuda.get_sync_debug_mode() if device.type == "cuda" else None
    if kept is None:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(kept)


def _embeds(model: FrozenModel, prompt: dict[str, Tensor]) -> Tensor:
    return prompt["embeds"] if "embeds" in prompt else model.embed(prompt["input_ids"])
