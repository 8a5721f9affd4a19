"""Arms of text: each model alone, and what a text of limited size, another model or an oracle could hand over.

Each arm is a function from a question to what is shown of it; one class asks them all, so that instruction, exemplars
and cache are the same. Where text wins over soft tokens, these arms are what shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.answers.common import Answer, answer_of
from lab.answers.cutting import cut_bytes, cut_text
from lab.answers.evaluation import Evaluation
from lab.answers.generation import AnswerCache, Asked, Generation
from lab.answers.model_checks import check_token_counts
from lab.config import TEXT, Layout
from lab.errors import LabError
from lab.models import build_inputs, count_tokens, fingerprint

if TYPE_CHECKING:
    from lab.models import FrozenModel, TargetInputs
    from lab.tasks import Question

CUT = Layout("cut", "{question}")  # a prompt that was cut as a whole
# Where a cascade may put the source's answer; which one is chosen on dev.
CASCADE_PROMPTS = {
    "note": ("Note: {text}\n", ""),
    "aside": ("", " ({text})"),
    "hint": ("", "\nHint: {text}"),
    "example": ("Q: {question}\nA: {text}\n\n", ""),
}


@dataclass(frozen=True)
class Shown:
    """What a text arm is shown of one question: a layout, what fills it, and the texts handed over."""

    layout: Layout
    context: dict[str, str]
    handed: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.layout.visible_text(**self.context)


class TextArm:
    """A model asked with text (see `lab.answers.together.Arm`); what the cache knows is not asked again."""

    def __init__(
        self, name: str, model: FrozenModel, evaluation: Evaluation, cache: AnswerCache,
        shown: Sequence[Shown] | None = None,
    ) -> None:  # fmt: skip
        """`shown` None: the plain prompt."""
        if shown is None:
            shown = [Shown(TEXT, evaluation.context(question)) for question in evaluation.questions]
        self.name, self.model, self.evaluation, self.cache = name, model, evaluation, cache
        self.shown = [replace(item, layout=model.reads(item.layout)) for item in shown]
        self.given: dict[int, object] = {}  # the text says it all
        weights = fingerprint(model)
        self.asked = [Asked(model.name, weights, item.text, evaluation.decoding) for item in self.shown]
        # A chosen answer takes a pass or two: it is not kept, and a key would have to hold its options.
        self.kept = not evaluation.task.chooses
        self.known = [cache.get(item) if self.kept else None for item in self.asked]

    def missing(self) -> list[int]:
        return [index for index, answer in enumerate(self.known) if answer is None]

    def length(self, index: int) -> int:
        return count_tokens(self.model, self.shown[index].layout, self.shown[index].context)

    def inputs(self, indices: Sequence[int]) -> TargetInputs:
        layout, contexts = self.shown[indices[0]].layout, [self.shown[index].context for index in indices]
        inputs = build_inputs(self.model, layout, None, contexts, None)
        check_token_counts(self.model, layout, inputs, contexts, [0] * len(contexts))
        return inputs

    def take(self, said: Mapping[int, Generation]) -> None:
        for index, answer in said.items():
            self.known[index] = answer
        if self.kept:
            self.cache.put({self.asked[index]: answer for index, answer in said.items()})

    def answers(self) -> list[Answer]:
        return [
            answer_of(question, answer, self.model, item.layout, item.context, handed=item.handed)
            for question, answer, item in zip(self.evaluation.questions, self.known, self.shown, strict=True)
        ]


def with_evidence(context: dict[str, str], question: Question) -> dict[str, str]:
    """The context of the source's own prompt: what the source alone may read stands before the question."""
    return context | {"shots": context["shots"] + question.evidence}


def source_shown(evaluation: Evaluation) -> list[Shown]:
    """What the source answers from: all that it reads when its states are translated, its own evidence among it."""
    return [
        Shown(TEXT, with_evidence(evaluation.context(question), question),
              (question.evidence,) * bool(question.evidence))
        for question in evaluation.questions
    ]  # fmt: skip


def token_budget(evaluation: Evaluation, tokens: int) -> list[Shown]:
    """The whole prompt cut to its last `tokens` target tokens: where it ends, the answer begins."""
    shown = []
    for question in evaluation.questions:
        whole = TEXT.visible_text(**evaluation.context(question))
        piece = cut_text(evaluation.pair.target, whole, tokens, keep="end")
        shown.append(Shown(CUT, {"instruction": "", "shots": "", "question": piece}, (piece,)))
    return shown


def token_budget_question(evaluation: Evaluation, tokens: int) -> list[Shown]:
    """The question cut to its first `tokens` target tokens, in the prompt that every text arm has."""
    shown = []
    for question in evaluation.questions:
        piece = cut_text(evaluation.pair.target, question.question, tokens)
        shown.append(Shown(TEXT, evaluation.context(question) | {"question": piece}, (piece,)))
    return shown


def cascade(evaluation: Evaluation, answers: Sequence[Answer]) -> list[Shown]:
    """The source's whole text answer, handed to the target with the question."""
    return [
        handing(evaluation.context(question), question.question, answer.text.strip(), evaluation.cascade_prompt)
        for question, answer in zip(evaluation.questions, answers, strict=True)
    ]


def same_bytes(evaluation: Evaluation, answers: Sequence[Answer], size: int) -> list[Shown]:
    """What `size` bytes buy as text: the question first, then the source's answer with what is left."""
    shown = []
    for whole, answer in zip(evaluation.questions, answers, strict=True):
        question = cut_bytes(whole.question, size)
        text = cut_bytes(answer.text.strip(), size - len(question.encode("utf-8")))
        item = handing(evaluation.context(whole), question, text, evaluation.cascade_prompt)
        handed = (text,) if question == whole.question else (question, text)
        shown.append(Shown(item.layout, item.context, handed))
    return shown


def handing(context: dict[str, str], question: str, text: str, prompt: str) -> Shown:
    """The plain prompt with `text` where the cascade's `prompt` puts it."""
    if prompt not in CASCADE_PROMPTS:
        raise LabError(f"cascade prompt {prompt!r} is not known; choose one of {', '.join(CASCADE_PROMPTS)}.")
    before, after = (part.format(text=text, question=question) for part in CASCADE_PROMPTS[prompt])
    return Shown(TEXT, context | {"shots": context["shots"] + before, "question": question + after}, (text,))


def text_hint(evaluation: Evaluation) -> list[Shown]:
    """An oracle of text transfer: the fact that the source knows, as one line of plain text before the question."""
    hint = getattr(evaluation.task, "hint", None)
    if hint is None:
        raise LabError(f"arm 'text_hint': task {evaluation.task.name!r} has no gold gloss to give; leave the arm out.")
    shown = []
    for question in evaluation.questions:
        context, text = evaluation.context(question), hint(question)
        shown.append(Shown(TEXT, context | {"shots": context["shots"] + text}, (text,)))
    return shown
