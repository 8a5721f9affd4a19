"""Greedy answers from target inputs, cut where the answer ends, and a cache for the answers that never change.

A row is done when its task's rule says so (at the end of a line ``#### number``, or at a new question), or when it
emits an end token. What a row says afterwards depends on its batch (others still run), so every text is cut at the
first token that made it done: the same question gives the same record whatever stood beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lab import ranks
from lab.answers.decoding import PURE, AnswerEnd, AnswersDone, Decoder, Hygiene, read_back
from lab.clock import part
from lab.errors import LabError
from lab.models import positions
from lab.tasks import answer_end

if TYPE_CHECKING:
    from lab.models import FrozenModel, TargetInputs


@dataclass(frozen=True)
class Decoding:
    """How answers are generated: the most new tokens, what is forbidden, and where an answer ends."""

    max_new_tokens: int
    hygiene: Hygiene = PURE
    ends: AnswerEnd = answer_end

    def facts(self) -> dict:
        """The same as plain values, for a key, a cache line and a seal."""
        return {"max_new_tokens": self.max_new_tokens, **asdict(self.hygiene), "ends": self.ends.__qualname__}


@dataclass(frozen=True)
class Generation:
    """`text` up to the end of the answer; `new_tokens`: tokens up to the one that ended it (end token included).

    `ids`: these tokens without the end token, of which the text is made. `decoding`: how it was really generated, said
    by the function that did it and not by the one that asked; `lab.answers.checks` holds every arm to the same.
    `options`: where nothing was generated and one of a question's choices was taken, the log-likelihood of each (nats);
    `ids` are then the tokens of the one that was.
    """

    text: str
    new_tokens: int
    ids: tuple[int, ...]
    decoding: Decoding
    options: tuple[float, ...] = ()


def end_tokens_of(target: FrozenModel) -> list[int]:
    """The tokenizer's end token and those of the model's own generation settings (Llama 3 has several)."""
    settings = getattr(target.model, "generation_config", None)
    own = getattr(settings, "eos_token_id", None)
    own = own if isinstance(own, list) else [own]
    return sorted({token for token in [*own, target.tokenizer.eos_token_id] if token is not None})


def cut_generation(tokenizer, ids: list[int], end_tokens: list[int], decoding: Decoding) -> Generation:
    """New tokens of one row, padding and all -> its Generation. A pure function of the tokens up to the end."""
    ends = decoding.ends
    for index, token in enumerate(ids):
        if token in end_tokens:
            ids, ended = ids[:index], 1
            break
    else:
        ended = 0
    text = read_back(tokenizer, [ids])[0]
    if ends(text) is None:
        return Generation(text, len(ids) + ended, tuple(ids), decoding)
    low, high = 1, len(ids)  # the fewest tokens that are done: once done, a text stays done
    while low < high:
        middle = (low + high) // 2
        if ends(read_back(tokenizer, [ids[:middle]])[0]) is None:
            low = middle + 1
        else:
            high = middle
    text = read_back(tokenizer, [ids[:low]])[0]
    return Generation(text[: ends(text)], low, tuple(ids[:low]), decoding)


def text_of(tokenizer, ids: Sequence[int], ends: AnswerEnd = answer_end) -> str:
    """The answer that generated tokens say, cut where it ends: from these a record's text is derived again."""
    text = read_back(tokenizer, [list(ids)])[0]
    return text[: ends(text)]  # None, where it never ended: all of it


@part("generation")
@torch.no_grad()
def _generate(
    target: FrozenModel, decoding: Decoding, prompt: dict[str, Tensor], mask: Tensor, places: Tensor
) -> list[Generation]:
    end_tokens, most = end_tokens_of(target), decoding.max_new_tokens
    with target.at_home():
        decoder = Decoder(target, prompt, mask, places, most, decoding.hygiene)
        said = decoder.until(most, AnswersDone(target.tokenizer, decoding.ends, end_tokens))
    return [cut_generation(target.tokenizer, row, end_tokens, decoding) for row in said]


def generate(target: FrozenModel, inputs: TargetInputs, decoding: Decoding) -> list[Generation]:
    """Answers to `inputs` (embeds [B, T, d], left-padded), in their order. Hygiene sees new tokens alone."""
    return _generate(target, decoding, {"embeds": inputs.embeds}, inputs.attention_mask, inputs.position_ids)


def greedy(
    target: FrozenModel, inputs: TargetInputs, max_new_tokens: int, ends: AnswerEnd = answer_end
) -> list[Generation]:
    """Purely greedy answers: what training decodes with, and a check compares."""
    return generate(target, inputs, Decoding(max_new_tokens, ends=ends))


def generate_from_text(target: FrozenModel, texts: list[str], max_new_tokens: int) -> list[Generation]:
    """The plain way, through token ids: the reference that the way through embeddings is held to."""
    ids, mask = target.encode(texts, bos=True, side="left")
    return _generate(target, Decoding(max_new_tokens), {"input_ids": ids}, mask, positions(mask))


@dataclass(frozen=True)
class Asked:
    """What a frozen model was asked: its weights, the prompt's text, and how it was to answer."""

    model: str
    weights: str
    prompt: str
    decoding: Decoding

    def facts(self) -> dict:
        digest = hashlib.sha256(self.prompt.encode("utf-8")).hexdigest()
        return {"model": self.model, "weights": self.weights, "prompt": digest, **self.decoding.facts()}

    @property
    def key(self) -> str:
        """The content hash under which the answer is kept."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode("utf-8")).hexdigest()


class AnswerCache:
    """Answers of frozen models to plain text, by the content of what was `Asked`.

    `folder` None keeps them for this process only; else they are also appended to ``answers.jsonl`` there. A line
    cut short by a crash, or with a value of another type, is skipped when read: a cache may forget, it must not lie.
    """

    _memory: dict[str, dict] = {}

    def __init__(self, folder: str | Path | None = None) -> None:
        self.path = Path(folder) / "answers.jsonl" if folder else None
        self.rows = {} if folder else AnswerCache._memory
        if self.path and self.path.exists():
            try:
                lines = self.path.read_bytes().splitlines()
            except OSError as error:
                raise LabError(f"{self.path} cannot be read ({error.strerror}); choose another cache_dir.") from None
            for line in lines:
                if (row := _cached(line)) is not None:
                    self.rows[row.pop("key")] = row

    def get(self, asked: Asked) -> Generation | None:
        """The answer to `asked`, None if it is not known. Raises LabError for one that was given to something else."""
        row = self.rows.get(asked.key)
        if row is None:
            return None
        if row["asked"] != asked.facts():
            differs = sorted(name for name, value in asked.facts().items() if row["asked"].get(name) != value)
            raise LabError(
                f"answer cache: the key of a prompt gives an answer that was made with another {differs[0]}; the key "
                "forgets something, so its answers cannot be trusted."
            )
        return Generation(row["text"], row["new_tokens"], tuple(row["ids"]), asked.decoding)

    def put(self, answers: Mapping[Asked, Generation]) -> None:
        rows = {
            asked.key: {"asked": asked.facts(), "text": answer.text, "new_tokens": answer.new_tokens,
                        "ids": list(answer.ids)}
            for asked, answer in answers.items() if asked.key not in self.rows
        }  # fmt: skip
        self.rows.update(rows)
        if self.path and rows and ranks.is_first():
            text = "".join(json.dumps({"key": key, **row}, ensure_ascii=False) + "\n" for key, row in rows.items())
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # One write to a file opened for appending: lines of two jobs never interleave. The leading newline
                # closes a line that a crash left open.
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                try:
                    os.write(file, ("\n" + text).encode("utf-8"))
                finally:
                    os.close(file)
            except OSError as error:
                raise LabError(f"{self.path} cannot be written ({error}); choose another cache_dir.") from error


def _cached(line: bytes) -> dict | None:
    """A line of the cache, checked against what `put` writes; None for any other."""
    try:
        row = json.loads(line)
        kinds = {"key": str, "asked": dict, "text": str, "new_tokens": int, "ids": list}
        sound = row.keys() == kinds.keys() and all(type(row[name]) is kind for name, kind in kinds.items())
        sound = sound and all(type(token) is int for token in row["ids"]) and row["new_tokens"] >= 0
        str.encode(row["text"])  # one that can be written again
        return row if sound else None
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
