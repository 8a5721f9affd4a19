"""Arms: the ways to get an answer, and their evaluation side by side on the same questions.

source, target: each model alone, from text (the source with the evidence that it alone may read). latent: the target
with soft tokens translated from the source's states. Baselines of text (`lab.answers.text`): token_budget,
token_budget_question, cascade, same_bytes, text_hint. Controls of the soft tokens (`lab.answers.latent`):
latent_shuffled, latent_zero, latent_noise, latent_mean. Controls trained at equal budget: latent_constant,
latent_random_source, latent_no_lore_source, latent_target_source. All share instruction, shots, question text, limit
and scorer, and `lab.answers.checks` holds every evaluation to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab.answers.checks import (
    check_aligned,
    check_derangement,
    check_distinct,
    check_no_gold,
    check_not_test,
    check_records,
)
from lab.answers.common import Answer, Prompts, check_token_counts, count_tokens, replay_check
from lab.answers.generation import AnswerCache, Hygiene
from lab.answers.latent import CHANGED, SHUFFLE_SEED, Bridge, change_of, derangement, latent_arm
from lab.answers.text import (
    CASCADE_PROMPTS,
    DEFAULT_CASCADE,
    cascade,
    same_bytes,
    source_shown,
    text_arm,
    text_hint,
    token_budget,
    token_budget_question,
)
from lab.answers.wire import WIRES
from lab.errors import LabError
from lab.tasks import Question, Task, shots_text

if TYPE_CHECKING:
    from lab.config import RunConfig
    from lab.models import Pair
    from lab.runs import RunDirectory

__all__ = [
    "ALL_ARMS", "ARMS", "BASELINES", "RETRAINED", "UNTRAINED", "Answer", "Bridge", "Prompts", "check_token_counts",
    "choose_cascade_prompt", "count_tokens", "derangement", "evaluate", "replay_check",
]  # fmt: skip

ARMS = ("source", "target", "latent", "latent_shuffled", "latent_constant")  # unless others are asked for
BASELINES = ("token_budget", "token_budget_question", "cascade", "same_bytes", "text_hint")
UNTRAINED = ("latent_shuffled", "latent_zero", "latent_noise", "latent_mean")
RETRAINED = ("latent_constant", "latent_random_source", "latent_no_lore_source", "latent_target_source")
WIRED = tuple(f"latent_{name}" for name in WIRES)
ALL_ARMS = ("source", "target", "latent", *BASELINES, *UNTRAINED, *WIRED, *RETRAINED)
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


def _chosen_arms(arms: Sequence[str] | None, bridges: Mapping[str, Bridge]) -> tuple[str, ...]:
    """The arms, checked against what there is to make them with: `bridges` by the arm that they were trained for."""
    text = ("source", "target", *BASELINES)

    def bridge_for(arm: str) -> str:
        return arm if arm in RETRAINED else "latent"

    if arms is None:
        return tuple(arm for arm in ARMS if arm in text or bridge_for(arm) in bridges)
    for arm in arms:
        if arm not in ALL_ARMS:
            raise LabError(f"arm {arm!r} is not known; choose from {', '.join(ALL_ARMS)}.")
        if arm not in text and bridge_for(arm) not in bridges:
            given = {"latent_constant": "constant="}.get(arm, "controls=" if arm in RETRAINED else "translator=")
            raise LabError(f"arm {arm!r} needs {given}; pass it, or leave the arm out.")
    return tuple(dict.fromkeys(arms))


def _prompts(config: RunConfig, task: Task, questions: Sequence[Question], progress: bool) -> Prompts:
    exemplars = task.exemplars(config.task.shots)
    check_distinct(questions, exemplars)
    chosen = config.evaluation
    hygiene = Hygiene(chosen.repetition_penalty, chosen.no_repeat_ngram)
    return Prompts(questions, task.instruction, shots_text(exemplars), chosen.eval_batch_size, chosen.max_new_tokens,
                   hygiene, progress, task.answer_end)  # fmt: skip


def _text_answers(
    arm: str, pair: Pair, task: Task, prompts: Prompts, cache: AnswerCache, soft_tokens: int, cascade_prompt: str
) -> list[Answer]:
    """The answers of one text arm. `soft_tokens` is the budget that the cut arms are held to."""
    if arm == "source":
        return text_arm(arm, pair.source, prompts, cache, source_shown(prompts))
    if arm == "target":
        return text_arm(arm, pair.target, prompts, cache)
    if arm == "token_budget":
        shown = token_budget(pair, prompts, soft_tokens)
    elif arm == "token_budget_question":
        shown = token_budget_question(pair, prompts, soft_tokens)
    elif arm == "text_hint":
        shown = text_hint(task, prompts)
    else:
        said = text_arm("source", pair.source, prompts, cache, source_shown(prompts))
        check_aligned("source", [answer.id for answer in said], [question.id for question in prompts.questions])
        size = WIRES["bf16"].bytes(soft_tokens, pair.target.hidden_size)
        shown = (
            cascade(prompts, said, cascade_prompt) if arm == "cascade"
            else same_bytes(prompts, said, cascade_prompt, size)
        )  # fmt: skip
    return text_arm(arm, pair.target, prompts, cache, shown)


def _latent_answers(arm: str, pair: Pair, bridge: Bridge, layout, prompts: Prompts) -> list[Answer]:
    """The answers of one arm with soft tokens."""
    donors = change = None
    if arm == "latent_shuffled":
        questions = prompts.questions
        donors = derangement([q.cell for q in questions], SHUFFLE_SEED, [len(q.question) for q in questions])
        check_derangement(donors)  # here again, whoever made them
    elif arm in CHANGED:
        change = change_of(arm, bridge, prompts)
    return latent_arm(arm, pair.target, bridge, layout, prompts, donors, change)


def evaluate(
    config: RunConfig,
    pair: Pair,
    task: Task,
    questions: Sequence[Question],
    translator=None,
    constant=None,
    run: RunDirectory | None = None,
    arms: Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = True,
    controls: Mapping[str, Bridge] | None = None,
    cascade_prompt: str = DEFAULT_CASCADE,
) -> list[dict]:
    """Every arm's answer to every question: one record per question, in the order of `questions`.

    `arms` None: those of `ARMS` that can be had (latent arms with a translator, latent_constant with a ConstantPrompt);
    else any of `ALL_ARMS`. `controls`: the bridges of the retrained arms, by arm. `cascade_prompt`: see
    `choose_cascade_prompt`. `cache_dir`: where answers to plain text are kept between processes. `run`: gets a line
    per arm in its log. Raises LabError for repeated questions, an exemplar among them, a leak of the gold, inputs
    built wrongly, and whatever else `lab.answers.checks` finds.
    """
    layers = config.pair.source_layers
    given = {"latent": translator, "latent_constant": constant}
    bridges = {arm: Bridge(pair.source, module, layers) for arm, module in given.items() if module is not None}
    bridges |= controls or {}
    arms = _chosen_arms(arms, bridges)
    prompts = _prompts(config, task, questions, progress)
    layout, cache = config.layout.at(), AnswerCache(cache_dir)
    replay_check(pair.target, [prompts.context(index) for index in range(min(REPLAY_QUESTIONS, len(questions)))])
    found: dict[str, list[Answer]] = {}
    ids = [question.id for question in questions]
    with _evaluating(*(bridge.translator for bridge in bridges.values())):
        for arm in arms:
            if arm in ("source", "target", *BASELINES):
                budget = _budget(config, pair, bridges, prompts) if arm in BASELINES else 0
                found[arm] = _text_answers(arm, pair, task, prompts, cache, budget, cascade_prompt)
            else:
                bridge = bridges[arm if arm in RETRAINED else "latent"]
                found[arm] = _latent_answers(arm, pair, bridge, layout, prompts)
            check_aligned(arm, [answer.id for answer in found[arm]], ids)
    records = [
        {"id": question.id, "question": question.question, "gold": question.gold, "cell": question.cell,
         "word": question.word,
         "arms": {arm: _scored(task, question, found[arm][index], prompts.shots) for arm in arms}}
        for index, question in enumerate(questions)
    ]  # fmt: skip
    check_records(records, questions, arms, task, prompts.shots)
    if run is not None:
        for arm in arms:
            right = sum(record["arms"][arm]["correct"] for record in records)
            run.log(f"[Eval] {arm}: {right}/{len(records)} = {right / len(records):.3f}")
    return records


def _budget(config: RunConfig, pair: Pair, bridges: Mapping[str, Bridge], prompts: Prompts) -> int:
    """How many soft tokens the latent arm has: counted, not believed. Without a translator, what the config says."""
    if "latent" not in bridges:
        return config.translator.soft_tokens or config.translator.soft_tokens_cap
    return bridges["latent"].write(prompts.questions[:1]).counts()[0]


def choose_cascade_prompt(
    config: RunConfig, pair: Pair, task: Task, questions: Sequence[Question] | None = None,
    cache_dir: str | Path | None = None, progress: bool = True,
) -> tuple[str, dict[str, float]]:  # fmt: skip
    """The prompt of `CASCADE_PROMPTS` with the best accuracy on dev, and the accuracy of each.

    Raises LabError for test questions: the baseline, too, is chosen where nothing is reported.
    """
    questions = task.dev() if questions is None else questions
    check_not_test(task, questions, "choosing the cascade's prompt")
    accuracies = {}
    for prompt in CASCADE_PROMPTS:
        records = evaluate(config, pair, task, questions, arms=("source", "cascade"), cache_dir=cache_dir,
                           progress=progress, cascade_prompt=prompt)  # fmt: skip
        accuracies[prompt] = sum(record["arms"]["cascade"]["correct"] for record in records) / len(records)
    return max(accuracies, key=accuracies.get), accuracies


def _scored(task: Task, question: Question, answer: Answer, shots: str) -> dict:
    """An arm's part of a record. The gold enters here, for the first time, and only to be compared."""
    check_no_gold(question, answer.saw, shots, answer.handed)
    extracted = task.extract(answer.text)
    return {
        "text": answer.text, "extracted": extracted, "correct": task.correct(extracted, question.gold),
        "saw": answer.saw, "context_aware": answer.context_aware, "prompt_tokens": answer.prompt_tokens,
        "soft_tokens": answer.soft_tokens, "new_tokens": answer.new_tokens, "soft_from": answer.soft_from,
        "handed": list(answer.handed), **task.grades(extracted, question.gold),
    }  # fmt: skip
