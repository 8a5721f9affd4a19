"""The objective: the loss terms that a config asks for at a step, computed on one batch. No weight, no cost.

Every term is a mean over something: answer tokens, places, questions. Where several ranks share a batch, each gives its
part of that mean, so that a term says and does the same on any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab import ranks
from lab.clock import part
from lab.config import TEXT, Layout, RunConfig
from lab.errors import LabError
from lab.models import (
    IGNORED,
    FrozenModel,
    Pair,
    SourceStates,
    TargetInputs,
    answer_logits,
    answer_nll,
    build_inputs,
    pooled,
    projected,
    sent,
)
from lab.tasks import Question, Task, source_text
from lab.training import losses
from lab.translators import Bridge, Teacher, TranslatorOutput, as_long_as_source

Decode = Callable[..., list]  # `lab.answers.generation.generate`: greedy answers with a `text`


@dataclass
class Batch:
    """The questions of a step, what the target reads around each of them, and the source's states of them, where they
    have been read already."""

    questions: Sequence[Question]
    shared: Mapping[str, str]  # see `lab.tasks.surroundings`
    states: SourceStates | None = None

    @property
    def contexts(self) -> list[dict[str, str]]:
        return [{**self.shared, "question": question.question} for question in self.questions]

    @property
    def answers(self) -> list[str]:
        return [question.answer for question in self.questions]


def due_weights(config: RunConfig, step: int) -> dict[str, float]:
    """Term -> weight of the terms that are computed at `step` (from 1)."""
    chosen = config.losses
    begin = chosen.contrast_start if chosen.contrast_start >= 0 else config.training.warmup_steps // 2
    due = {
        "answer_nll": chosen.answer_nll_weight,
        "flow": chosen.flow_weight,
        "token_alignment": chosen.token_alignment_weight,
        "prompt_alignment": chosen.prompt_alignment_weight,
        "geometry": chosen.geometry_weight,
        "kl": chosen.kl_weight,
        "contrast": chosen.contrast_weight if step > begin else 0.0,
        "format": chosen.format_weight,
        "probe": chosen.probe_weight,
        "decode": chosen.decode_weight if step % chosen.decode_every == 0 else 0.0,
    }
    return {name: weight for name, weight in due.items() if weight}


def training_terms(
    translator: nn.Module,
    pair: Pair,
    config: RunConfig,
    batch: Batch,
    step: int = 1,
    task: Task | None = None,
    decode: Decode | None = None,
) -> dict[str, Tensor]:
    """Every loss term that is due, attached to the graph: of several ranks, this one's part of it.

    `task` and `decode` are for the decode-aware term.
    """
    due, target = due_weights(config, step), pair.target
    bridge = Bridge(pair.source, translator)
    source = bridge.read(batch.questions) if batch.states is None else batch.states
    teacher = _teacher(target, config, batch, source) if due.keys() & {"flow", "token_alignment"} else None
    with part("translator"):
        output = translator(source, teacher if "flow" in due else None)
    soft, mask, rms = output.soft_tokens, output.mask, target.embedding_rms
    layout = target.reads(config.layout.at(step))

    terms = dict(output.auxiliary)
    # Of how many things each term is a mean.
    counts: dict[str, int | Tensor] = dict.fromkeys(due, len(batch.questions))
    if teacher is not None:
        counts |= dict.fromkeys(("flow", "token_alignment"), teacher.mask.sum())
    if due.keys() & {"answer_nll", "kl", "format"}:
        inputs = training_inputs(target, layout, output, batch)
        scored = inputs.labels[:, 1:] != IGNORED
        counts["answer_nll"] = scored.sum()
    if "answer_nll" in due and not due.keys() & {"kl", "format"}:
        terms["answer_nll"] = answer_nll(target, inputs)
    elif due.keys() & {"answer_nll", "kl", "format"}:  # these read the distributions themselves
        logits, labels = answer_logits(target, inputs)
        if "answer_nll" in due:
            terms["answer_nll"] = losses.answer_nll(logits, labels)
        if "format" in due:
            marker = marker_tokens(target)
            terms["format"] = losses.format_nll(logits, labels, marker)
            counts["format"] = losses.in_marker(labels, marker).sum()
        if "kl" in due:
            with torch.no_grad():
                as_text = build_inputs(target, target.reads(TEXT), None, batch.contexts, batch.answers)
                text_logits, _ = answer_logits(target, as_text)
            first = config.losses.kl_tokens
            terms["kl"] = losses.text_kl(logits, text_logits, inputs, first)
            counts["kl"] = scored.sum(dim=1).clamp_max(first or scored.shape[1]).sum()
    if "token_alignment" in due:
        terms["token_alignment"] = losses.token_distance(soft, teacher.embeds, teacher.mask, rms)
    if due.keys() & {"prompt_alignment", "contrast"}:
        prompts = [target.embed(ids).float().mean(dim=0) for ids in _question_ids(target, batch)]
        prompt = torch.stack(prompts)
        if "prompt_alignment" in due:
            terms["prompt_alignment"] = losses.mean_distance(soft, mask, prompt, rms)
        if "contrast" in due:
            terms["contrast"] = losses.contrast(losses.mean_token(soft, mask), prompt)
    if "geometry" in due:
        wanted, known = _geometry(pair, batch, output)
        terms["geometry"], counts["geometry"] = losses.token_distance(soft, wanted, known, rms), known.sum()
    if "probe" in due:
        table = target.model.get_input_embeddings().weight
        words = target.tokens([question.question for question in batch.questions])
        terms["probe"] = losses.word_probe(soft, mask, table, words)
    if "decode" in due:
        counts["decode"] = min(len(ranks.mine(range(config.losses.decode_samples))), len(batch.questions))
        terms["decode"] = _decode_term(target, config, batch, soft, mask, layout, task, decode, counts["decode"])
    return ranks.parts_of_means({name: terms[name] for name in due}, counts)


def training_inputs(target: FrozenModel, layout: Layout, output: TranslatorOutput, batch: Batch) -> TargetInputs:
    """What the target is given of a batch: the prompt of an evaluation, and the answer after it."""
    return build_inputs(target, layout, output.soft_tokens, batch.contexts, batch.answers, output.mask)


def marker_tokens(target: FrozenModel) -> set[int]:
    """The tokens that write ``####`` at the start of a line."""
    row = target.tokens(["\n#### 7"], continued=True)[0]
    digits = set(target.tokens(["7", " 7"], continued=True)[0]) | set(target.tokens([" 7"], continued=True)[0])
    return set(row) - digits - set(target.tokens(["\n"], continued=True)[0])


def _question_ids(target: FrozenModel, batch: Batch) -> list[Tensor]:
    rows = target.tokens([question.question for question in batch.questions])
    return [sent(row, target.device) for row in rows]


@torch.no_grad()
def _teacher(target: FrozenModel, config: RunConfig, batch: Batch, source: SourceStates) -> Teacher:
    """The target's embeddings of each prompt (its question) or answer, pooled to the places that the row has."""
    if config.losses.teacher == "prompt":
        rows = _question_ids(target, batch)
    else:
        rows = [sent(row, target.device) for row in target.tokens(batch.answers, continued=True)]
    count = config.translator.soft_tokens
    if count:
        places = torch.ones(len(rows), count, dtype=torch.bool, device=target.device)
    else:
        places = as_long_as_source(source, config.translator.soft_tokens_cap)[1]
    embeds = torch.zeros(*places.shape, target.embedding_size, device=target.device)
    mask = torch.zeros_like(places)
    for row, ids in enumerate(rows):
        existing = torch.nonzero(places[row]).flatten()
        filled = pooled(target.embed(ids).float(), len(existing))
        embeds[row, existing[: len(filled)]], mask[row, existing[: len(filled)]] = filled, True
    return Teacher(embeds, mask)


def _geometry(pair: Pair, batch: Batch, output: TranslatorOutput) -> tuple[Tensor, Tensor]:
    """For each soft token, which stands for one source token, what the target's embeddings say in that place."""
    wanted, known = torch.zeros_like(output.soft_tokens), torch.zeros_like(output.mask)
    for row, question in enumerate(batch.questions):
        values, found = projected(pair.source, pair.target, source_text(question.question, question.evidence))
        count = min(len(values), known.shape[1])
        wanted[row, -count:], known[row, -count:] = values[-count:].to(wanted), found[-count:]
    return wanted, known & output.mask


def _decode_term(
    target: FrozenModel, config: RunConfig, batch: Batch, soft: Tensor, mask: Tensor | None, layout, task, decode,
    first: int,
) -> Tensor:  # fmt: skip
    """The margin term on the `first` few questions: memory is bounded by `decode_samples` and `decode_tokens`.

    0, but in the graph, for a rank that has none of them.
    """
    few = slice(0, first)
    if decode is not None and not first:
        return soft.sum() * 0.0
    contexts, answers, gold = batch.contexts[few], batch.answers[few], [q.gold for q in batch.questions[few]]
    if decode is None:
        raise LabError("decode_weight needs a decoder: give train() one, as lab.studies.experiment does.")
    soft, mask = soft[few], None if mask is None else mask[few]
    with torch.no_grad():
        prompt = build_inputs(target, layout, soft.detach(), contexts, None, mask)
        answers_of = decode(target, prompt, config.losses.decode_tokens, ends=task.answer_end)
        texts = [answer.text.strip() or "?" for answer in answers_of]
    wrong = [not task.correct(task.extract(text), right) for text, right in zip(texts, gold, strict=True)]
    likelihoods = []
    for endings in (answers, texts):
        inputs = build_inputs(target, layout, soft, contexts, endings, mask)
        logits, labels = answer_logits(target, inputs)
        likelihoods.append(losses.mean_log_likelihood(logits, labels, inputs))
    return losses.decoded_margin(*likelihoods, torch.tensor(wrong, device=target.device))
