"""Frozen models: encode text, embed tokens, read hidden states, and say what comes next.

Nothing here is ever trained. Batches are padded on the left, positions count real tokens only, and padded states are
zero, so a text gives the same states alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import ModelOutput

from lab.clock import part
from lab.config import NAMED_LAYERS, NAMED_LAYERS_TEXT, Layout
from lab.errors import LabError
from lab.models.architecture import (
    context_length,
    embedding_scale,
    projection_of,
    takes_positions,
)
from lab.models.graphs import Graphs
from lab.models.head import Places, head_is_last, headless, run_with_head_at
from lab.models.residence import Residence
from lab.models.state_cache import StateCache, StateKey
from lab.models.state_keys import state_keys
from lab.models.transfer import sent

__all__ = ["FrozenModel", "SourceStates", "layer_indices", "pad_batch", "positions"]

STEP = 32  # on a GPU rows are padded to a multiple of so many tokens, so that shapes come again
KNOWN_TEXTS = 500_000  # texts whose tokens are remembered: some hundred megabytes at most
SENTENCE = "Two and two are four."  # read while a model is looked at
MESSAGE = "\u27e6message\u27e7"  # stands for what is read while a chat template is looked at
CHAT_DATE = "26 Jul 2024"  # for templates that say a date: the same prompt on every day


@dataclass
class SourceStates:
    """states [B, S, L, d_src], zero where mask [B, S] is 0; ids [B, S]. Left-padded, outside the autograd graph."""

    states: Tensor
    mask: Tensor
    ids: Tensor


def positions(mask: Tensor) -> Tensor:
    """[B, S] position of each real token among the real ones of its row; padding gets 0."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def pad_batch(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device | str, side: str = "left", step: int = 1
) -> tuple[Tensor, Tensor]:
    """Token rows -> (ids [B, S] long, mask [B, S] long) on `device`, padded on `side` to the longest row, and on to the
    next multiple of `step`."""
    if side not in ("left", "right"):
        raise LabError(f"padding side {side!r} is not known; choose left or right.")
    width = -(-max((len(row) for row in rows), default=0) // step) * step
    ids, mask = np.full((len(rows), width), pad), np.zeros((len(rows), width), dtype=np.int64)
    for line, row in enumerate(rows):  # numpy: torch takes nested lists number by number
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[line, place], mask[line, place] = row, 1
    return sent(ids, device), sent(mask, device)


def layer_indices(layers: str | Sequence[int], num_layers: int) -> list[int]:
    """`layers` (a name of `NAMED_LAYERS`, or indices, negative from the end) as indices into the num_layers + 1 hidden
    states.

    Index 0 is the embeddings; the last one is after the final norm. "middle" is the layers at 3, 4, 5 and 6 eighths of
    the depth (12, 16, 20, 24 of 32). Raises LabError for an index that does not exist.
    """
    if isinstance(layers, str):
        if layers not in NAMED_LAYERS:
            raise LabError(f"source_layers={layers!r} is not known; choose {NAMED_LAYERS_TEXT}.")
        middle = sorted({-(-eighth * num_layers // 8) for eighth in (3, 4, 5, 6)})
        return {"all": list(range(1, num_layers + 1)), "last": [num_layers], "middle": middle}[layers]
    states = num_layers + 1
    for index in layers:
        if not -states <= index < states:
            raise LabError(f"source_layers has {index}, but the source has hidden states {-states} to {num_layers}.")
    return [index % states for index in layers]


@dataclass
class FrozenModel:
    """A causal language model and its tokenizer, frozen and in evaluation mode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    device: torch.device
    dtype: torch.dtype
    chat: bool = False  # whether its own chat template stands around all that it reads
    bits: int = 0  # of a weight of its packed layers, 0: none is packed
    known_states: StateCache | None = None  # where `source_states` finds what was read before, None: it always reads
    graphs: bool = True  # whether what it computes again and again is captured and replayed, on a GPU
    fused: bool = False  # whether its layers are Liger's, and its loss a compiled one
    residence: Residence | None = field(default=None, repr=False)  # of weights that may be away from the device
    plain: bool = field(default=False, init=False, repr=False)  # inside `plainly`
    captured: Graphs = field(default_factory=Graphs, init=False, repr=False)
    _named_bos: str = field(default="", repr=False)  # which a template may write, whether or not the tokenizer does
    prefixes: dict = field(default_factory=dict, init=False, repr=False)  # of this model alone; see `lab.models.prefix`
    _known_tokens: dict[str, list[int]] = field(default_factory=dict, repr=False)  # a text of a second epoch is free

    def __post_init__(self) -> None:
        self.model.requires_grad_(False)
        self.model.eval()
        rows = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > rows:
            raise LabError(f"{self.name}: its tokenizer has {len(self.tokenizer)} entries, its model {rows}.")
        bos = self.tokenizer.bos_token_id
        self._named_bos = self.tokenizer.bos_token or self._named_bos
        if bos is not None and bos not in self.tokenizer("a")["input_ids"][:1]:
            # Named, but never put before a text (SmolLM2's begins a message): nothing here puts it there, either.
            self.tokenizer.bos_token = None
        if self.tokenizer.pad_token_id is None:
            # Any known token will do, the mask decides; a new one would resize the embeddings.
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
            if self.tokenizer.pad_token_id is None:
                raise LabError(f"{self.name}: its tokenizer has no pad, eos or unk token; set one in its folder.")
        if self.model.get_output_embeddings() is None:
            raise LabError(f"{self.name}: its model has no language-model head; choose a causal language model.")
        if getattr(self.model, "generation_config", None) is not None:
            self.model.generation_config.pad_token_id = self.tokenizer.pad_token_id

    @property
    def base(self) -> PreTrainedModel:
        """The model without its language-model head."""
        return self.model.base_model

    @property
    def hidden_size(self) -> int:
        """Size of a hidden state: what a source gives."""
        return self.model.config.hidden_size

    @property
    def embedding_size(self) -> int:
        """Size of an embedding: what a target is given. OPT-350m's are half as wide as its hidden states."""
        return self.model.get_input_embeddings().weight.shape[1]

    @property
    def context_length(self) -> int | None:
        """The most tokens that the model declares to read, None where it declares none; see `context_length`."""
        return context_length(self.model.config)

    @property
    def step(self) -> int:
        """To a multiple of how many tokens a batch is padded: a GPU takes a new shape as slowly as the work itself."""
        return STEP if self.device.type == "cuda" else 1

    @property
    def replays(self) -> bool:
        """Whether graphs are captured and replayed here and now."""
        return self.graphs and self.device.type == "cuda" and not self.plain

    @contextmanager
    def plainly(self) -> Iterator[None]:
        """Inside, nothing is kept, captured or left out: every pass is the model's own forward over whole rows, where a
        check can see what enters."""
        before, self.plain = self.plain, True
        try:
            yield
        finally:
            self.plain = before

    def at_home(self) -> AbstractContextManager:
        """Inside, all weights are on the device: token by token, a layer at a time, an answer would take minutes."""
        return nullcontext() if self.residence is None else self.residence.at_home()

    @property
    def num_layers(self) -> int:
        """Number of transformer layers."""
        return self.model.config.num_hidden_layers

    @cached_property
    def embedding_rms(self) -> float:
        """The median over the vocabulary of a row's root mean square: the size that soft tokens should have."""
        vocabulary = torch.arange(self.model.get_input_embeddings().weight.shape[0], device=self.device)
        # Of what `embed` returns, which some models scale. In pieces: a float32 copy of a large table takes gigabytes.
        with torch.no_grad():
            rows = [self.embed(ids).float().square().mean(dim=1).sqrt() for ids in vocabulary.split(16384)]
        return torch.cat(rows).median().item()

    @cached_property
    def embedding_scale(self) -> float:
        """What `embed` multiplies the rows of the embedding module by, so that they enter as the tokens would. Raises
        LabError for a model that cannot be given embeddings."""
        return embedding_scale(self.name, self.model, self._plain([SENTENCE])[0])

    @cached_property
    def frame(self) -> tuple[str, str]:
        """The texts before and after all that the model reads: its chat template's around one message of a user, up to
        where the answer begins. Empty without `chat`. Raises LabError for a tokenizer that has no such template."""
        if not self.chat:
            return "", ""
        message = [{"role": "user", "content": MESSAGE}]
        try:
            text = self.tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True, date_string=CHAT_DATE, bos_token=self._named_bos
            )
        except Exception as error:  # a template is a program of the model's: it may raise anything
            reason = str(error).split("\n")[0]
            raise LabError(
                f"{self.name}: its chat template cannot be used ({reason}); set source_chat or target_chat to false."
            ) from None
        before, found, after = text.partition(MESSAGE)
        if not found or MESSAGE in after:
            raise LabError(f"{self.name}: its chat template does not hold the message once; leave its chat out.")
        return before.removeprefix(self.tokenizer.bos_token or ""), after  # BOS comes with every prompt already

    def reads(self, layout: Layout) -> Layout:
        """`layout` as this model reads it: inside its chat template, where it has `chat`."""
        return layout.framed(*self.frame)

    @cached_property
    def _marks_starts(self) -> bool:
        """Whether the tokenizer puts a mark of its own before a text (SentencePiece does), as if a word began there."""
        return self.tokenizer.convert_ids_to_tokens(self._plain(["a"])[0])[0].startswith("▁")

    def _plain(self, texts: list[str]) -> list[list[int]]:
        """Another thread may ask at the same time: what is known is added to or begun anew, never emptied."""
        known = self._known_tokens
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            if len(known) > KNOWN_TEXTS:
                missing, known = list(dict.fromkeys(texts)), {}
                self._known_tokens = known
            # The tokenizer's own batch, ids alone: what is built around them takes as long as the tokens themselves.
            encoded = self.tokenizer.backend_tokenizer.encode_batch_fast(missing, add_special_tokens=False)
            known.update((text, row.ids) for text, row in zip(missing, encoded, strict=True))
        return [known[text] for text in texts]

    def tokens(self, texts: list[str], continued: bool = False) -> list[list[int]]:
        """Each text's tokens, without special ones. `continued`: it goes on from other text, so no word begins."""
        if not (continued and self._marks_starts):
            return self._plain(texts)
        # The mark goes to the newline before the text, and the newline's tokens are cut off again.
        newline = self._plain(["\n"])[0]
        rows = []
        for text, row in zip(texts, self._plain(["\n" + text for text in texts]), strict=True):
            whole = row[: len(newline)] == newline  # else the newline has merged with the text
            rows.append(row[len(newline) :] if whole else self._plain([text])[0])
        return rows

    def encode(self, texts: list[str], bos: bool = True, side: str = "left") -> tuple[Tensor, Tensor]:
        """(ids [B, S] long, mask [B, S] long) on the model's device. Without `bos` a text goes on from other text."""
        return self.padded(self.rows(texts, bos), side)

    def rows(self, texts: list[str], bos: bool = True) -> list[list[int]]:
        """Each text's tokens as it is read, BOS first where there is one. Without `bos` it goes on from other text."""
        start = [self.tokenizer.bos_token_id] if bos and self.tokenizer.bos_token_id is not None else []
        return [start + row for row in self.tokens(texts, continued=not bos)]

    def padded(self, rows: Sequence[Sequence[int]], side: str = "left") -> tuple[Tensor, Tensor]:
        """Token rows as `pad_batch` gives them, on the model's device. A row alone gets no padding at all: it is read
        as it would be in use, where its time and its memory are measured."""
        step = self.step if len(rows) > 1 else 1
        return pad_batch(rows, self.tokenizer.pad_token_id, self.device, side, step)

    def check_length(self, tokens: int) -> None:
        """Raise LabError for more tokens than the model declares to read."""
        if self.context_length is not None and tokens > self.context_length:
            raise LabError(
                f"{self.name} reads at most {self.context_length} tokens, but a row has {tokens}; use shorter texts, "
                "fewer shots, soft tokens or new tokens, or a model that reads more."
            )

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, S] -> embeddings [B, S, d], as they enter the model."""
        rows = self.model.get_input_embeddings()(ids)
        return rows if self.embedding_scale == 1 else rows * self.embedding_scale

    def placed(self, mask: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Mask and positions [B, S] by the names under which the model takes them; one without positions gets none."""
        return {"attention_mask": mask} | ({"position_ids": places} if takes_positions(self.base) else {})

    @cached_property
    def head_is_last(self) -> bool:
        """Whether a product of the head with the states of `run_headless` gives the logits of `run`."""
        ids, mask = self.encode([SENTENCE])
        return head_is_last(self.model, input_ids=ids, **self.placed(mask, positions(mask)), use_cache=False)

    def run(self, keep: Places, embeds: Tensor, mask: Tensor, places: Tensor, **more) -> ModelOutput:
        """One pass over embeddings [B, T, d]: `logits` [N, vocabulary], the model's own, at the N positions of `keep`
        ([B, T] bool, or their numbers [N] long), in their order. `more`: a cache, as the model takes it."""
        given = {"use_cache": False, "inputs_embeds": embeds, **self.placed(mask, places), **more}
        return run_with_head_at(self.model, keep, **given)

    def run_headless(self, keep: Places, embeds: Tensor, mask: Tensor, places: Tensor, **more) -> Tensor:
        """The states [N, d] that the head would read in `run`."""
        with headless(self.model):
            return self.run(keep, embeds, mask, places, **more).logits

    @contextmanager
    def without_cache(self) -> Iterator[None]:
        """Inside, `source_states` reads every text anew: for checks and clocks, which are about the reading itself."""
        known, self.known_states = self.known_states, None
        try:
            yield
        finally:
            self.known_states = known

    @part("source")
    @torch.no_grad()
    def source_states(self, texts: list[str], layers: str | Sequence[int] = "all") -> SourceStates:
        """The hidden states of `texts`, inside the chat template where there is `chat`, at `layers` (see
        `layer_indices`), in that order, without running the head.

        With `known_states` only texts that are not known are read, each once and in one batch, and are known from then
        on. States that were read in another batch differ from those read here in their last bits.
        """
        picked = layer_indices(layers, self.num_layers)
        before, after = self.frame
        whole = [before + text + after for text in texts]
        rows = self.rows(whole)
        self.check_length(max(map(len, rows)))  # of the text: padding is no part of a context
        ids, mask = self.padded(rows)
        if self.known_states is None:
            return SourceStates(self._read(ids, mask, picked), mask, ids)
        keys = state_keys(self, whole, rows, picked)
        known = {key: self.known_states.get(key) for key in dict.fromkeys(keys)}
        missing = {key: row for row, key in enumerate(keys) if known[key] is None}
        if missing:
            known |= self._made_known(missing, ids, mask, picked)
        states = torch.zeros(*ids.shape, len(picked), self.hidden_size, dtype=self.dtype, device=self.device)
        for row, key in enumerate(keys):
            states[row, ids.shape[1] - len(rows[row]) :] = known[key].to(self.device)
        return SourceStates(states, mask, ids)

    def _made_known(self, missing: dict[StateKey, int], ids: Tensor, mask: Tensor, picked: list[int]) -> dict:
        """Key -> states [S, L, d_src] of the rows of a batch, read as one and kept."""
        rows = sorted(missing.values())
        longest = max(key.shape[0] for key in missing)
        first = ids.shape[1] - longest  # padding is on the left: what a batch of these alone would have
        read = self._read(ids[rows, first:], mask[rows, first:], picked)
        made = {}
        for key, row in missing.items():
            made[key] = read[rows.index(row), longest - key.shape[0] :]
            self.known_states.put(key, made[key])
        return made

    def _read(self, ids: Tensor, mask: Tensor, picked: list[int]) -> Tensor:
        """States [B, S, L, d_src] at the layers `picked`."""
        hidden = self._hidden_states(ids, mask)
        states = torch.stack([hidden[index] for index in picked], dim=2)
        # Filled, not multiplied: whatever attention leaves at padding, NaN included, must not come through.
        return states.masked_fill_(mask[:, :, None, None] == 0, 0.0)

    def _hidden_states(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """num_layers + 1 hidden states [B, S, d_src]; the last one before it is narrowed to an embedding, if it is."""
        wide: list[Tensor] = []
        projection = projection_of(self.base, self.hidden_size, self.embedding_size)
        hook = projection and projection.register_forward_pre_hook(lambda _, given: wide.append(given[0]))
        try:
            out = self.base(
                input_ids=ids, **self.placed(mask, positions(mask)), output_hidden_states=True, use_cache=False
            )
        finally:
            if hook:
                hook.remove()
        hidden = list(out.hidden_states)
        return hidden if hidden[-1].shape[-1] == self.hidden_size else [*hidden[:-1], wide[-1]]
