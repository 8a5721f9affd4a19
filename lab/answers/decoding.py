"""Greedy decoding: the likeliest token is said, row by row, until each answer has ended.

Nothing of a model's own generation settings enters but its end tokens: what is said is decided here. A row whose answer
has ended may go on for some tokens, beside those that still run; where its answer ends is decided by
`lab.answers.generation.cut_generation`, from its tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessorList, NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from lab.models import first_step
from lab.tasks import answer_end

if TYPE_CHECKING:
    from lab.models import FrozenModel

AnswerEnd = Callable[[str], int | None]  # characters of a text that belong to the answer, None while it may go on

CHECK_EVERY = 4  # tokens between two looks at the text; at most so many are generated in vain, ahead twice as many
_WINDOW = 40  # newest tokens looked at: a number of 24 digits, one token each, still fits with its "####"
_FEWER = 9 / 10  # of the rows still run: then the others are dropped, which copies the cache, as every step does anyway


@dataclass(frozen=True)
class Hygiene:
    """What decoding may forbid: repeated tokens made less likely, n-grams not said twice. Both off: pure greedy."""

    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0


PURE = Hygiene()


def forbidding(hygiene: Hygiene) -> LogitsProcessorList:
    """What changes the scores of the next token, given the new tokens so far."""
    chosen = LogitsProcessorList()
    if hygiene.repetition_penalty != 1:
        chosen.append(RepetitionPenaltyLogitsProcessor(hygiene.repetition_penalty))
    if hygiene.no_repeat_ngram:
        chosen.append(NoRepeatNGramLogitsProcessor(hygiene.no_repeat_ngram))
    return chosen


class Decoder:
    """One greedy answer a row, token by token."""

    def __init__(
        self, model: FrozenModel, prompt: dict[str, Tensor], mask: Tensor, places: Tensor, most: int,
        hygiene: Hygiene = PURE, graphs: bool | None = None,
    ) -> None:  # fmt: skip
        """`prompt`, left-padded: `embeds` [B, T, d] or `input_ids` [B, T], with `mask` and `places` [B, T]; read at
        once. `most`: tokens. `graphs` None: as the model says."""
        model.check_length(int(mask.sum(dim=1).max()) + most)  # of the text: padding is no part of a context
        if "embeds" in prompt:
            prompt = {"embeds": prompt["embeds"].to(next(model.model.parameters()).dtype)}
        self.steps = first_step(model, prompt, mask, places, most, model.replays if graphs is None else graphs)
        self.forbid = forbidding(hygiene)
        self.said = torch.zeros(len(mask), 0, dtype=torch.long, device=mask.device)
        # A GPU goes on while the host looks at what it said last, unless what is said there decides who goes on.
        self.ahead = self.said.is_cuda and not self.steps.drops_rows

    def next(self) -> Tensor:
        """The next token of each row, [B] on the device, for which nothing here waits."""
        scores = self.steps.step(self.said[:, -1]) if self.said.shape[1] else self.steps.logits
        if self.forbid:
            scores = self.forbid(self.said, scores.float())
        token = scores.argmax(dim=-1)
        self.said = torch.cat([self.said, token[:, None]], dim=1)
        return token

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, where `self.steps.drops_rows`."""
        kept = torch.tensor(rows, device=self.said.device)
        self.steps.keep(kept)
        self.said = self.said[kept]

    def until(self, most: int, ended: AnswersDone) -> list[list[int]]:
        """The tokens of each row, `most` at most, up to its end or some beyond it."""
        said: list[list[int]] = [[] for _ in range(len(self.said))]
        running, arrive = list(range(len(said))), self._begin(most)
        while arrive is not None:
            later = self._begin(most) if self.ahead else None
            for row, new in zip(running, arrive(), strict=True):
                said[row] += new
            done = ended([said[row] for row in running], running)
            going = [place for place, over in enumerate(done) if not over]
            if not going:
                break
            if self.steps.drops_rows and len(going) <= _FEWER * len(running):
                self.keep(going)
                running = [running[place] for place in going]
            arrive = later if self.ahead else self._begin(most)
        return said

    def _begin(self, most: int) -> Callable[[], list[list[int]]] | None:
        """Some more tokens of each row, asked of the device: what waits for them and returns them; None where `most`
        have been asked for."""
        length = self.said.shape[1]
        if length >= most:
            return None
        for _ in range(min(CHECK_EVERY, most - length)):
            self.next()
        new = self.said[:, length:].to("cpu", non_blocking=True)
        there = torch.cuda.Event() if self.said.is_cuda else None
        if there:
            there.record()

        def arrived() -> list[list[int]]:
            if there:
                there.synchronize()
            return new.tolist()

        return arrived


class AnswersDone:
    """Says which rows are done: by an end token, or as their text says. Once done, a row stays so."""

    def __init__(self, tokenizer, ends: AnswerEnd = answer_end, end_tokens: Sequence[int] = ()) -> None:
        self.tokenizer, self.ends, self.end_tokens, self.rows = tokenizer, ends, set(end_tokens), set()

    def __call__(self, said: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> list[bool]:
        """All new tokens of each row, after some more steps -> whether it is done. `rows`: their numbers in the batch,
        None: all of it. Reads a few new tokens of unfinished rows."""
        rows = range(len(said)) if rows is None else rows
        self.rows |= {row for row, ids in zip(rows, said, strict=True) if not self.end_tokens.isdisjoint(ids)}
        open_rows = {row: ids for row, ids in zip(rows, said, strict=True) if row not in self.rows}
        texts = read_back(self.tokenizer, [ids[-_WINDOW:] for ids in open_rows.values()])
        ended = {row: ids for (row, ids), text in zip(open_rows.items(), texts, strict=True)
                 if self.ends(text) is not None}  # fmt: skip
        # A piece may begin where no line does: the whole text decides.
        whole = read_back(self.tokenizer, list(ended.values()))
        self.rows |= {row for row, text in zip(ended, whole, strict=True) if self.ends(text) is not None}
        return [row in self.rows for row in rows]


def read_back(tokenizer, ids: list[list[int]]) -> list[str]:
    """The text of each row of tokens, without special ones."""
    return tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) if ids else []
