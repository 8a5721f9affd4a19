"""What the target is given: a layout filled with text and soft tokens, as embeddings, in training and evaluation alike.

Both go through the same function, and an answer can only ever be appended after the prompt: the prompt part of a
training row is that of the evaluation row, value by value and position by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lab.clock import part
from lab.config import Layout, Soft
from lab.errors import LabError
from lab.models.cross_entropy import IGNORED
from lab.models.frozen import FrozenModel, positions
from lab.models.prefix import shared_start, unread
from lab.models.transfer import sent

__all__ = ["IGNORED", "TargetInputs", "answer_logits", "build_inputs", "joined", "next_labels"]

PARTS = ("instruction", "shots", "question")


@dataclass
class TargetInputs:
    """A left-padded batch for the target.

    embeds [B, T, d] in the target's dtype; attention_mask, position_ids [B, T] long; labels [B, T] long, `IGNORED`
    everywhere but on the answer and its end, or None without answers. Per row: prompt_lengths counts the tokens before
    the answer (BOS and soft tokens included), text_tokens the same without the soft tokens. shared: the tokens that
    all rows begin with, before any soft token and before the last token of a prompt. answer_lengths: tokens of each
    row's answer, its end included; none without answers.
    """

    embeds: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    labels: Tensor | None
    prompt_lengths: list[int]
    text_tokens: list[int]
    shared: tuple[int, ...] = ()
    answer_lengths: tuple[int, ...] = ()


def build_inputs(
    target: FrozenModel,
    layout: Layout,
    soft: Tensor | None,
    contexts: Sequence[Mapping[str, str]],
    answers: Sequence[str] | None = None,
    soft_mask: Tensor | None = None,
) -> TargetInputs:
    """Fill `layout` for each context (instruction, shots, question), with soft [B, K, d] where it says `{soft}`.

    `soft_mask` [B, K] bool: which soft tokens exist, None: all. An adapter layout adds them, scaled, to the prompt's
    last embeddings instead. `answers`, for training only, follow the prompt after a space and end in EOS. Gradients
    reach `soft`, which is cast to the target's dtype only where it enters. Raises LabError if batch sizes, `soft` and
    the layout, the length of an adapted prompt, or the length that the target can read do not agree.
    """
    counts = _check(target, layout, soft, contexts, answers, soft_mask)
    prompts, soft_starts = _prompt_rows(target, layout, contexts, counts)
    endings = [[] for _ in prompts] if answers is None else answer_rows(target, answers)
    rows = [prompt + ending for prompt, ending in zip(prompts, endings, strict=True)]
    target.check_length(max(map(len, rows)))

    ids, mask = target.padded(rows)
    width = ids.shape[1]
    embeds = target.embed(ids)
    if soft is not None:
        # Out of place, so that the frozen table's output stays as it is and the gradient has one path: to `soft`.
        first = np.array([width - len(row) + start for row, start in zip(rows, soft_starts, strict=True)])
        lines, before = np.repeat(np.arange(len(rows)), counts), np.cumsum(counts) - counts
        columns = np.arange(len(lines)) + np.repeat(first - before, counts)
        where = (sent(lines, target.device), sent(columns, target.device))
        values = (soft.flatten(0, 1) if soft_mask is None else soft[soft_mask]).to(embeds)
        scale = layout.adapter_scale if layout.adapter else 1.0
        embeds = embeds.index_put(where, values * scale, accumulate=layout.adapter)

    labels = None
    if answers is not None:
        labels = np.full((len(rows), width), IGNORED)
        for row, ending in zip(labels, endings, strict=True):
            row[width - len(ending) :] = ending
        labels = sent(labels, target.device)
    lengths = [len(prompt) for prompt in prompts]
    free = lengths if soft is None else soft_starts
    shared = shared_start(prompts, [min(length - 1, end) for length, end in zip(lengths, free, strict=True)])
    taken = [0 if layout.adapter else count for count in counts]
    text = [length - count for length, count in zip(lengths, taken, strict=True)]
    answered = () if answers is None else tuple(map(len, endings))
    return TargetInputs(embeds, mask, positions(mask), labels, lengths, text, shared, answered)


def joined(target: FrozenModel, parts: Sequence[TargetInputs]) -> TargetInputs:
    """Prompts of several batches as one, left-padded to the longest: as if they had been built together."""
    width = max(one.embeds.shape[1] for one in parts)
    padding = target.embed(torch.tensor([[target.tokenizer.pad_token_id]], device=target.device))
    embeds, masks, places = [], [], []
    for one in parts:
        rows, own, _ = one.embeds.shape
        embeds.append(torch.cat([padding.expand(rows, width - own, -1), one.embeds], dim=1))
        masks.append(pad(one.attention_mask, (width - own, 0)))
        places.append(pad(one.position_ids, (width - own, 0)))
    lengths, text = ([n for one in parts for n in getattr(one, name)] for name in ("prompt_lengths", "text_tokens"))
    return TargetInputs(torch.cat(embeds), torch.cat(masks), torch.cat(places), None, lengths, text)


def tokenise(
    target: FrozenModel, layout: Layout, contexts: Sequence[Mapping[str, str]], answers: Sequence[str]
) -> None:
    """Look up the tokens that `build_inputs` is going to ask for, which the target remembers."""
    _text_tokens(target, _filled(layout, contexts))
    answer_rows(target, answers)


def _filled(layout: Layout, contexts: Sequence[Mapping[str, str]]) -> list[list[str | Soft]]:
    return [layout.segments(**{part: context.get(part, "") for part in PARTS}) for context in contexts]


def _text_tokens(
    target: FrozenModel, filled: Sequence[Sequence[str | Soft]]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Text -> tokens: of texts at the start, tokenised as in a plain prompt, and of those after soft tokens, as one
    that goes on. Each text once: the exemplars of a batch are the same in every row."""
    heads = {segments[0] for segments in filled if not isinstance(segments[0], Soft)}
    tails = {text for segments in filled for text in segments[1:] if not isinstance(text, Soft)}
    head_tokens = dict(zip(heads, target.tokens(list(heads)), strict=True))
    return head_tokens, dict(zip(tails, target.tokens(list(tails), continued=True), strict=True))


def _prompt_rows(
    target: FrozenModel, layout: Layout, contexts: Sequence[Mapping[str, str]], counts: Sequence[int]
) -> tuple[list[list[int]], list[int]]:
    """Token rows, BOS first, and the column where each one's soft tokens start: padding tokens hold their places, or,
    in an adapter layout, the prompt's last tokens are those that they are added to."""
    filled = _filled(layout, contexts)
    head_tokens, tail_tokens = _text_tokens(target, filled)
    bos = target.tokenizer.bos_token_id
    rows, starts = [], []
    for segments, count in zip(filled, counts, strict=True):
        row, start = ([] if bos is None else [bos]), 0
        for place, segment in enumerate(segments):
            if isinstance(segment, Soft):
                start = len(row)
                row += [target.tokenizer.pad_token_id] * count
            else:
                row += head_tokens[segment] if place == 0 else tail_tokens[segment]
        if layout.adapter:
            start = len(row) - count
            if start < 0:
                raise LabError(
                    f"soft_tokens={count} is more than the {len(row)} tokens of the prompt that they are added to; "
                    "with injection='adapter' choose at most that many."
                )
        rows.append(row)
        starts.append(start)
    return rows, starts


def answer_rows(target: FrozenModel, answers: Sequence[str]) -> list[list[int]]:
    """Tokens of each answer, from its leading space to EOS; tokenised apart, as the target would generate them."""
    eos = target.tokenizer.eos_token_id
    if eos is None:
        raise LabError(f"{target.name}: its tokenizer has no eos token, so a training answer cannot end.")
    return [row + [eos] for row in target.tokens([" " + answer for answer in answers], continued=True)]


def _check(
    target: FrozenModel,
    layout: Layout,
    soft: Tensor | None,
    contexts: Sequence[Mapping[str, str]],
    answers: Sequence[str] | None,
    soft_mask: Tensor | None,
) -> list[int]:
    """How many soft tokens each row has (0 without); raises LabError where the arguments disagree."""
    if not contexts:
        raise LabError("build_inputs got an empty batch; give at least one context.")
    for context in contexts:
        unknown = set(context) - set(PARTS)
        if unknown:  # an answer among the parts would be a leak
            raise LabError(f"a context has {sorted(unknown)[0]!r}; it takes {', '.join(PARTS)} only.")
    if answers is not None and len(answers) != len(contexts):
        raise LabError(f"build_inputs got {len(answers)} answers for {len(contexts)} contexts; give one for each.")
    if layout.has_soft != (soft is not None):
        need = "needs soft tokens, but none were given" if soft is None else "has no place for the soft tokens given"
        raise LabError(f"layout {layout.name!r} {need}.")
    if soft is None:
        return [0] * len(contexts)
    if soft.dim() != 3 or soft.shape[0] != len(contexts) or soft.shape[2] != target.embedding_size:
        expected = f"[{len(contexts)}, K, {target.embedding_size}]"
        raise LabError(f"soft tokens have shape {list(soft.shape)}; {target.name} and this batch take {expected}.")
    return [soft.shape[1]] * len(contexts) if soft_mask is None else soft_mask.sum(dim=1).tolist()


def next_labels(inputs: TargetInputs) -> Tensor:
    """[B, T]: the label that each position predicts, which is that of the next one; the last predicts none."""
    labels = inputs.labels.roll(-1, dims=1)
    labels[:, -1] = IGNORED
    return labels


@part("target forward")
def answer_logits(target: FrozenModel, inputs: TargetInputs) -> tuple[Tensor, Tensor]:
    """Logits `[N, vocabulary]` at the N positions that predict a label, and those labels `[N]`. The head runs there
    alone, and what all rows begin with is read once, see `lab.models.prefix`."""
    rest, labels = unread(target, inputs), next_labels(inputs)
    predicts = labels != IGNORED
    keep = predicts[:, -rest.embeds.shape[1] :]
    return target.run(keep, rest.embeds, rest.mask, rest.places, **rest.cache()).logits, labels[predicts]
