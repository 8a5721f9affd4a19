"""Arms: the ways to get an answer, and their evaluation side by side on the same questions.

source, target: each model alone, from text (the source with the evidence that it alone may read). latent: the target
with soft tokens translated from the source's states. Baselines of text (`lab.answers.text`): token_budget,
token_budget_question, cascade, same_bytes, text_hint. Controls of the soft tokens (`lab.answers.latent`):
latent_shuffled, latent_zero, latent_noise, latent_mean. Controls trained at equal budget: latent_constant,
latent_random_source, latent_no_lore_source, latent_target_source; text_tuned, a constant prompt beside the text. All
share instruction, shots, question text, limit and scorer, and `lab.answers.checks` holds every evaluation to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.answers.checks import (
    check_aligned,
    check_chosen,
    check_derangement,
    check_distinct,
    check_no_gold,
    check_records,
)
from lab.answers.common import Answer
from lab.answers.evaluation import TEXT_TUNED, Evaluation
from lab.answers.fitting import check_fits
from lab.answers.generation import AnswerCache
from lab.answers.gold import gold_likelihoods
from lab.answers.latent import CHANGED, SHUFFLE_SEED, LatentArm, change_of, derangement
from lab.answers.model_checks import (
    check_bridge,
    check_cut,
    check_decoding,
    check_soft_inputs,
    check_soft_tokens,
    check_source_reads,
    check_sources,
    heard,
    replay_check,
)
from lab.answers.text import (
    CASCADE_PROMPTS,
    TextArm,
    cascade,
    same_bytes,
    source_shown,
    text_hint,
    token_budget,
    token_budget_question,
)
from lab.answers.together import Arm, answer_together
from lab.answers.wire import WIRES
from lab.errors import LabError
from lab.runs import pack_tokens
from lab.tasks import Question, check_dev
from lab.translators import Bridge

if TYPE_CHECKING:
    from lab.answers.likelihood import Likelihood
    from lab.runs import RunDirectory

__all__ = [
    "AFTER_THE_SOURCE", "ALL_ARMS", "ARMS", "BASELINES", "RETRAINED", "UNTRAINED", "WIRED", "choose_cascade_prompt",
    "evaluate", "likelihoods",
]  # fmt: skip

ARMS = ("source", "target", "latent", "latent_shuffled", "latent_constant", TEXT_TUNED)  # unless others are asked for
BASELINES = ("token_budget", "token_budget_question", "cascade", "same_bytes", "text_hint")
UNTRAINED = ("latent_shuffled", "latent_zero", "latent_noise", "latent_mean")
RETRAINED = ("latent_constant", "latent_random_source", "latent_no_lore_source", "latent_target_source", TEXT_TUNED)
WIRED = tuple(f"latent_{name}" for name in WIRES)
ALL_ARMS = ("source", "target", "latent", *BASELINES, *UNTRAINED, *WIRED, *RETRAINED)
AFTER_THE_SOURCE = ("cascade", "same_bytes")  # they hand over what it has answered
REPLAY_QUESTIONS = 3


@contextmanager
def _evaluating(*modules) -> Iterator[None]:
    """No dropout inside; each module goes back to the mode it was in, so training does not notice."""
    modes = [(module, module.training) for module in modules if module is not None]
    try:
        for module, _ in modes:
            module.eval()
        yield
    finally:
        for module, mode in modes:
            module.train(mode)


def _is_text(arm: str) -> bool:
    return arm in ("source", "target", *BASELINES)


def _bridge_of(arm: str) -> str:
    """The arm whose bridge an arm with soft tokens needs."""
    return arm if arm in RETRAINED else "latent"


def _chosen_arms(arms: Sequence[str] | None, bridges: Mapping[str, Bridge]) -> tuple[str, ...]:
    """The arms, checked against the bridges that there are."""
    if arms is None:
        return tuple(arm for arm in ARMS if _is_text(arm) or _bridge_of(arm) in bridges)
    for arm in arms:
        if arm not in ALL_ARMS:
            raise LabError(f"arm {arm!r} is not known; choose from {', '.join(ALL_ARMS)}.")
        if not _is_text(arm) and _bridge_of(arm) not in bridges:
            raise LabError(f"arm {arm!r} needs a bridge {_bridge_of(arm)!r}; give one, or leave the arm out.")
    return tuple(dict.fromkeys(arms))


def _text_arm(name: str, evaluation: Evaluation, cache: AnswerCache, said: Sequence[Answer]) -> TextArm:
    """An arm of text. Where it is cut, it has as many tokens or bytes as the soft tokens. `said`: the source's
    answers."""
    if name == "source":
        return TextArm(name, evaluation.pair.source, evaluation, cache, source_shown(evaluation))
    shown = None
    if name == "token_budget":
        shown = token_budget(evaluation, _budget(evaluation))
    elif name == "token_budget_question":
        shown = token_budget_question(evaluation, _budget(evaluation))
    elif name == "text_hint":
        shown = text_hint(evaluation)
    elif name == "cascade":
        shown = cascade(evaluation, said)
    elif name == "same_bytes":
        size = WIRES["bf16"].bytes(_budget(evaluation), evaluation.pair.target.embedding_size)
        shown = same_bytes(evaluation, said, size)
    return TextArm(name, evaluation.pair.target, evaluation, cache, shown)


def _budget(evaluation: Evaluation) -> int:
    """How many soft tokens the latent arm has: counted, not believed. Without a bridge, what the config says."""
    if "latent" not in evaluation.bridges:
        chosen = evaluation.config.translator
        return chosen.soft_tokens or chosen.soft_tokens_cap
    return evaluation.bridges["latent"].write(evaluation.questions[:1]).counts()[0]


def _latent_arm(name: str, evaluation: Evaluation) -> LatentArm:
    """An arm with soft tokens."""
    bridge, donors, change = evaluation.bridges[_bridge_of(name)], None, None
    if name == "latent_shuffled":
        questions = evaluation.questions
        donors = derangement([q.cell for q in questions], SHUFFLE_SEED, [len(q.question) for q in questions])
        # here again, whoever made them
        check_derangement(donors, [question.cell for question in questions], [question.word for question in questions])
    elif name in CHANGED:
        change = change_of(name, bridge, evaluation)
    return LatentArm(name, evaluation, bridge, donors, change)


def _arms(
    evaluation: Evaluation, names: Sequence[str], cache: AnswerCache, found: Mapping[str, list[Answer]]
) -> list[Arm]:
    return [
        _text_arm(name, evaluation, cache, found.get("source", ())) if _is_text(name) else _latent_arm(name, evaluation)
        for name in names
    ]


def _answered(
    evaluation: Evaluation, names: Sequence[str], cache: AnswerCache, found: Mapping[str, list[Answer]],
    gold: dict[str, list[Likelihood]] | None,
) -> dict[str, list[Answer]]:  # fmt: skip
    """The answers of arms that need nothing but the answers `found` before, checked. `gold`, unless None, takes how
    likely each arm finds the gold answers."""
    arms = _arms(evaluation, names, cache, found)
    if gold is not None:
        gold |= gold_likelihoods(evaluation, arms)
    answer_together(evaluation, arms)
    found = {**found, **{arm.name: arm.answers() for arm in arms}}
    for arm in arms:
        check_aligned(arm.name, [answer.id for answer in found[arm.name]], [q.id for q in evaluation.questions])
        if evaluation.task.chooses:
            check_chosen(arm.name, found[arm.name], evaluation.questions, evaluation.task)
        else:
            check_decoding(arm.name, found[arm.name], arm.model, evaluation.decoding)
        _check_contents(arm.name, evaluation, found)
    return found


def evaluate(
    evaluation: Evaluation, arms: Sequence[str] | None = None, run: RunDirectory | None = None,
    cache_dir: str | Path | None = None, likelihoods: bool = True,
) -> list[dict]:  # fmt: skip
    """Every arm's answer to every question: one record per question, in the order of the evaluation's questions.

    `arms` None: those of `ARMS` that the evaluation has bridges for; else any of `ALL_ARMS`. `run`: gets a line per arm
    in its log. `cache_dir`: where answers to plain text are kept between processes. `likelihoods` False: without
    those of the gold answers, for looks that use none. Raises LabError for repeated questions, an exemplar among them,
    a leak of the gold, inputs built wrongly, and whatever else `lab.answers.checks` and `lab.answers.model_checks`
    find.
    """
    arms, cache = _chosen_arms(arms, evaluation.bridges), AnswerCache(cache_dir)
    check_distinct(evaluation.questions, evaluation.exemplars)
    needed = sorted({_bridge_of(arm) for arm in arms if not _is_text(arm)})
    bridges = [evaluation.bridges[arm] for arm in needed]
    check_fits(evaluation, arms, [bridge.source for bridge in bridges if bridge.translator.needs_source])
    modules = [bridge.translator for bridge in evaluation.bridges.values()]
    with _evaluating(*modules), evaluation.pair.source_at_home():
        _check_models(evaluation, needed)
        later = [arm for arm in arms if arm in AFTER_THE_SOURCE]
        first = [arm for arm in arms if arm not in later]
        gold = {} if likelihoods else None
        found = _answered(evaluation, [*first, "source"] if later and "source" not in first else first, cache, {}, gold)
        found = _answered(evaluation, later, cache, found, gold)
    records = [
        {"id": question.id, "question": question.question, "gold": question.gold, "cell": question.cell,
         "word": question.word, **({"choices": list(question.choices)} if question.choices else {}),
         **({"gold_text": question.answer} if gold else {}),
         "arms": {arm: _scored(evaluation, question, found[arm][index]) | _told(gold, arm, index) for arm in arms}}
        for index, question in enumerate(evaluation.questions)
    ]  # fmt: skip
    frames = {"source": evaluation.pair.source.frame, "target": evaluation.pair.target.frame}
    check_records(records, evaluation.questions, arms, evaluation.task, evaluation.shared["shots"], frames)
    if run is not None:
        for arm in arms:
            right = sum(record["arms"][arm]["correct"] for record in records)
            run.log(f"[Eval] {arm}: {right}/{len(records)} = {right / len(records):.3f}")
    return records


def likelihoods(evaluation: Evaluation, arms: Sequence[str]) -> dict[str, list[Likelihood]]:
    """How likely these arms find the gold answers, and nothing else: no answer is made. Checks as in `evaluate`."""
    arms = _chosen_arms(arms, evaluation.bridges)
    if unable := [arm for arm in arms if arm in AFTER_THE_SOURCE]:
        raise LabError(f"arm {unable[0]!r} reads what the source has answered; `evaluate` has its likelihood.")
    check_distinct(evaluation.questions, evaluation.exemplars)
    modules = [bridge.translator for bridge in evaluation.bridges.values()]
    with _evaluating(*modules), evaluation.pair.source_at_home():
        _check_models(evaluation, sorted({_bridge_of(arm) for arm in arms if not _is_text(arm)}))
        return gold_likelihoods(evaluation, _arms(evaluation, arms, AnswerCache(), {}))


def _told(gold: Mapping[str, Sequence[Likelihood]] | None, arm: str, index: int) -> dict:
    """What an arm's part of a record says of the gold answer: the nats that it costs, end token included."""
    return {"gold_nats": round(-gold[arm][index].nats, 4), "gold_tokens": gold[arm][index].tokens} if gold else {}


def _check_contents(arm: str, evaluation: Evaluation, found: Mapping[str, list[Answer]]) -> None:
    """What was given to an arm: cut text of the right length, soft tokens of the right number and origin."""
    answers = found[arm]
    if arm in ("token_budget", "token_budget_question", "same_bytes"):
        budget = _budget(evaluation)
        size = WIRES["bf16"].bytes(budget, evaluation.pair.target.embedding_size)
        check_cut(arm, evaluation, answers, budget, size, found.get("source", ()))
    if _is_text(arm):
        return
    wanted = evaluation.config.translator.soft_tokens
    if wrong := next((answer for answer in answers if wanted and answer.soft_tokens != wanted), None):
        raise LabError(
            f"arm {arm}: question {wrong.id} has {wrong.soft_tokens} soft tokens, the config says {wanted}; give the "
            "translator of this config."
        )
    bridge = evaluation.bridges[_bridge_of(arm)]
    if bridge.translator.needs_source:
        check_soft_tokens(arm, bridge, evaluation.questions, answers[:REPLAY_QUESTIONS])


def _check_models(evaluation: Evaluation, needed: Sequence[str]) -> None:
    """On a few questions, before anything is answered: what enters the target, and what the bridges write."""
    few = _of_different_lengths(evaluation.questions, REPLAY_QUESTIONS)
    contexts, target = [evaluation.context(question) for question in few], evaluation.pair.target
    replay_check(target, contexts)
    check_sources({arm: evaluation.bridges[arm] for arm in needed}, evaluation.pair.source, target)
    for arm in needed:
        bridge = evaluation.bridges[arm]
        check_bridge(arm, bridge, few)
        with heard(bridge.translator) as given:
            written = bridge.write(few)
        if bridge.translator.needs_source:
            check_source_reads(f"arm {arm}", bridge, few, given[0])
        check_soft_inputs(target, evaluation.layout_of(arm), written, contexts)


def _of_different_lengths(questions: Sequence[Question], count: int) -> list[Question]:
    """`count` questions (all, if there are fewer) from the shortest to the longest: beside one another they have
    padding, and only there does it show what padding does."""
    by_length = sorted(questions, key=lambda question: len(question.question))
    places = [round(place * (len(by_length) - 1) / (count - 1)) for place in range(count)]
    return [by_length[place] for place in dict.fromkeys(places)]


def choose_cascade_prompt(evaluation: Evaluation, cache_dir: str | Path | None = None) -> tuple[str, dict[str, float]]:
    """The prompt of `CASCADE_PROMPTS` with the best accuracy on the evaluation's questions, and the accuracy of each.

    Raises LabError unless these are dev questions: the baseline, too, is chosen where nothing is reported.
    """
    check_dev(evaluation.questions, "choosing the cascade's prompt")
    accuracies = {}
    for prompt in CASCADE_PROMPTS:
        records = evaluate(replace(evaluation, cascade_prompt=prompt), ("source", "cascade"), cache_dir=cache_dir,
                           likelihoods=False)  # fmt: skip
        accuracies[prompt] = sum(record["arms"]["cascade"]["correct"] for record in records) / len(records)
    return max(accuracies, key=accuracies.get), accuracies


def _scored(evaluation: Evaluation, question: Question, answer: Answer) -> dict:
    """An arm's part of a record. The gold enters here, for the first time, and only to be compared."""
    check_no_gold(question, answer.saw, evaluation.shared["shots"], answer.handed)
    task, extracted = evaluation.task, evaluation.task.extract(answer.text)
    return {
        "text": answer.text, "extracted": extracted, "correct": task.correct(extracted, question.gold),
        "saw": answer.saw, "context_aware": answer.context_aware, "prompt_tokens": answer.prompt_tokens,
        "soft_tokens": answer.soft_tokens, "new_tokens": answer.generation.new_tokens, "soft_from": answer.soft_from,
        "handed": list(answer.handed), "tokens": pack_tokens(answer.generation.ids),
        **task.grades(extracted, question.gold),
        **({"options": list(answer.generation.options)} if task.chooses else {}),
    }  # fmt: skip
