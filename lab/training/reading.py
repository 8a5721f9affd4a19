"""The source's states of the questions that the next steps train on, read many at a time.

Which question comes when is known from the seed, and the source never changes. A GPU reads 64 questions in little more
time than two, so the questions of several steps are read at once and put aside, in the memory of the device, or in
that of the host where the source leaves the device in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lab import ranks
from lab.models import SourceStates, layer_indices, sent
from lab.tasks import Question, source_text
from lab.training.batches import Batches
from lab.translators import Bridge

ON_DEVICE, ON_HOST = 2**31, 2**33  # bytes of states that are put aside
IN_A_PASS, MOST_ROWS = 2**31, 1024  # bytes of states, and rows, of one pass of the source
SAMPLED = 1024  # questions of which the average length is taken


@dataclass(frozen=True)
class _Window:
    """The tokens of many questions, one after the other: states [tokens, L, d], ids [tokens]; question index -> where
    its own begin, and how many they are."""

    states: Tensor
    ids: Tensor
    spans: dict[int, tuple[int, int]]


class _Room:
    """Room for the states of a window in the host's memory, which the device copies to and from by itself. Made once:
    to set aside and lock eight gigabytes takes as long as to read them."""

    def __init__(self) -> None:
        self.states: Tensor | None = None
        self._put: torch.cuda.Event | None = None  # when a GPU has put all that was given
        self._bringing: torch.cuda.Stream | None = None

    def put(self, states: Tensor, at: int, expected: int) -> None:
        """`states` [n, L, d] at the places from `at` on, for which nothing here waits; `expected`: how many places the
        whole window may take."""
        needed = at + len(states)
        if self.states is None or needed > len(self.states) or self.states.shape[1:] != states.shape[1:]:
            before, size = self.states, (max(expected, needed + needed // 4), *states.shape[1:])
            self.states = torch.empty(size, dtype=states.dtype, pin_memory=states.is_cuda)
            if at:
                if states.is_cuda:
                    torch.cuda.current_stream(states.device).synchronize()  # what was put there has to have come
                self.states[:at] = before[:at]
        self.states[at:needed].copy_(states, non_blocking=True)
        if states.is_cuda:
            self._put = torch.cuda.current_stream(states.device).record_event()

    def brought(self, spans: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
        """The states at the `spans` (first, how many), one after the other, on `device`. A GPU brings them while it
        still computes what it was given before; what it is given after this finds them there."""
        if device.type != "cuda":
            return torch.cat([self.states[first : first + count] for first, count in spans]).to(device)
        now = torch.cuda.current_stream(device)
        if self._bringing is None:
            self._bringing = torch.cuda.Stream(device)
        if self._put is not None:
            self._bringing.wait_event(self._put)
        with torch.cuda.stream(self._bringing):
            found = self.states.new_empty(sum(count for _, count in spans), *self.states.shape[1:], device=device)
            for piece, (first, count) in zip(found.split([count for _, count in spans]), spans, strict=True):
                piece.copy_(self.states[first : first + count], non_blocking=True)
        now.wait_stream(self._bringing)
        found.record_stream(now)  # where it is read, so that its memory is not given back before
        return found


class ReadAhead:
    """States of each step's questions, from windows of steps that are read together. On a CPU a window is one step.

    Windows begin at multiples of their length, so a run resumed within one reads it again in the same batches.
    """

    def __init__(self, bridge: Bridge, batches: Batches, questions: Sequence[Question], steps: int) -> None:
        self.bridge, self.batches, self.questions, self.steps = bridge, batches, questions, steps
        self.window, self._first, self._kept = self._steps_of_a_window(), -1, None
        self._room = _Room()

    def at(self, step: int) -> SourceStates:
        """The states of this rank's questions of `step` (from 0), in their order."""
        indices = self.batches.own(step)
        if self.window == 1:
            return self.bridge.read([self.questions[index] for index in indices])
        first = step - step % self.window
        if first != self._first:
            self._kept = None  # before the next one is read: both at once need not fit
            self._first, self._kept = first, self._read(first)
        return self._together(indices)

    def _steps_of_a_window(self) -> int:
        source = self.bridge.source
        if not self.bridge.translator.needs_source or source.device.type == "cpu":
            return 1
        stays, size = source.residence is None, self._bytes(self._layers())
        # One full pass is all that a window can save, unless every pass has to bring the source's weights along.
        questions = min(ON_DEVICE // size, MOST_ROWS) if stays else ON_HOST // size
        return max(1, questions * ranks.count() // self.batches.batch_size)

    def _layers(self) -> int:
        return len(layer_indices(self.bridge.source_layers, self.bridge.source.num_layers))

    @cached_property
    def _tokens(self) -> float:
        """Of a question of average length, by a thousand of them."""
        some = self.questions[:: -(-len(self.questions) // SAMPLED)]
        texts = [source_text(question.question, question.evidence) for question in some]
        return sum(map(len, self.bridge.source.tokens(texts))) / len(texts) + 1

    def _bytes(self, layers: int) -> int:
        """Of the states of a question of average length."""
        source = self.bridge.source
        return int(self._tokens * layers * source.hidden_size * source.dtype.itemsize) + 1

    def _read(self, first: int) -> _Window:
        """All questions of a window, each once."""
        steps = range(first, min(first + self.window, self.steps))
        indices = sorted({index for step in steps for index in self.batches.own(step)})
        stays = self.bridge.source.residence is None
        states, ids, spans, count = [], [], {}, 0
        for chosen in self._passes(indices):
            found = self.bridge.read([self.questions[index] for index in chosen])
            real, before = found.mask.bool(), count
            for index, tokens in zip(chosen, found.mask.sum(dim=1).tolist(), strict=True):
                spans[index], count = (count, tokens), count + tokens
            if stays:
                states.append(found.states[real])
            else:
                self._room.put(found.states[real], before, int(1.1 * len(indices) * self._tokens))
            ids.append(found.ids[real])
        return _Window(torch.cat(states) if stays else self._room.states[:count], torch.cat(ids), spans)

    def _passes(self, indices: Sequence[int]) -> Iterator[list[int]]:
        """The questions in batches of like length, as many as a pass has memory for."""
        order = sorted(indices, key=lambda index: (self.batches.lengths[index], index))
        size = IN_A_PASS // self._bytes(self._layers() + self.bridge.source.num_layers + 1)
        size = min(MOST_ROWS, max(1, size))
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def _together(self, indices: Sequence[int]) -> SourceStates:
        """Left-padded, as the source itself gives them."""
        source, kept = self.bridge.source, self._kept
        starts, counts = zip(*(kept.spans[index] for index in indices), strict=True)
        width = -(-max(counts) // source.step) * source.step
        column = torch.arange(width) - width + torch.tensor(counts)[:, None]  # of a row's own tokens; below 0: padding
        mask = sent((column >= 0).long(), source.device)
        where = sent(torch.tensor(starts)[:, None] + column.clamp_min(0), source.device)
        states, at = kept.states, where
        if states.device != where.device:  # in the host's memory: only what this step needs comes
            states = self._room.brought(list(zip(starts, counts, strict=True)), where.device)
            before = torch.tensor([0, *counts[:-1]]).cumsum(dim=0)
            at = sent(before[:, None] + column.clamp_min(0), where.device)
        ids = kept.ids[where].masked_fill_(mask == 0, source.tokenizer.pad_token_id)
        return SourceStates(states[at].masked_fill_(mask[..., None, None] == 0, 0.0), mask, ids)
