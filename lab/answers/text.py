"""Arms of text: each model alone, and what a text of limited size, another model or an oracle could hand over.

Each arm is a function from a question to what is shown of it; one loop generates them all, so that instruction,
exemplars, limit and cache are the same. Where text wins over soft tokens, these arms are what shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.answers.common import Answer, Prompts, answer_of, check_token_counts
from lab.answers.generation import AnswerCache, answer_key, fingerprint, generate
from lab.config import TEXT, Layout
from lab.errors import LabError
from lab.models import build_inputs

if TYPE_CHECKING:
    from lab.models import FrozenModel, Pair
    from lab.tasks import Question, Task

CUT = Layout("cut", "{question}")  # a prompt that was cut as a whole
# Where a cascade may put the source's answer; which one is chosen on dev.
CASCADE_PROMPTS = {
    "note": ("Note: {text}\n", ""),
    "aside": ("", " ({text})"),
    "hint": ("", "\nHint: {text}"),
    "example": ("Q: {question}\nA: {text}\n\n", ""),
}
DEFAULT_CASCADE = "note"


@dataclass(frozen=True)
class Shown:
    """What a text arm is shown of one question: a layout, what fills it, and the texts handed over."""

    layout: Layout
    context: dict[str, str]
    handed: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.layout.visible_text(**self.context)


def text_arm(
    label: str, model: FrozenModel, prompts: Prompts, cache: AnswerCache, shown: Sequence[Shown] | None = None
) -> list[Answer]:
    """A model from text, in the order of the questions; what the cache knows is not generated again.

    `shown` None: the plain prompt.
    """
    weights = fingerprint(model)
    if shown is None:
        shown = [Shown(TEXT, prompts.context(index)) for index in range(len(prompts.questions))]
    told = (prompts.max_new_tokens, prompts.hygiene, prompts.ends)
    keys = [answer_key(model.name, weights, item.text, *told) for item in shown]
    missing = [index for index, key in enumerate(keys) if cache.get(key) is None]
    for batch in prompts.batches(missing, label):
        layout, contexts = shown[batch[0]].layout, [shown[index].context for index in batch]
        inputs = build_inputs(model, layout, None, contexts, None)
        check_token_counts(model, layout, inputs, contexts, [0] * len(batch))
        answers = generate(model, inputs, *told)
        cache.put({keys[index]: answer for index, answer in zip(batch, answers, strict=True)})
    return [
        answer_of(question, cache.get(key), model, item.layout, item.context, handed=item.handed)
        for question, key, item in zip(prompts.questions, keys, shown, strict=True)
    ]


def with_evidence(context: dict[str, str], question: Question) -> dict[str, str]:
    """The context of the source's own prompt: what the source alone may read stands before the question."""
    return context | {"shots": context["shots"] + question.evidence}


def source_shown(prompts: Prompts) -> list[Shown]:
    """What the source answers from: all that it reads when its states are translated, its own evidence among it."""
    return [
        Shown(TEXT, with_evidence(prompts.context(index), question), (question.evidence,) * bool(question.evidence))
        for index, question in enumerate(prompts.questions)
    ]


def cut_text(model: FrozenModel, text: str, tokens: int, keep: str = "start") -> str:
    """The longest start (or end, with keep="end") of `text` that takes at most `tokens` tokens of `model`.

    Cut between tokens; where a cut text is tokenised anew into more tokens, one token less is kept.
    """
    if keep not in ("start", "end"):
        raise LabError(f"keep={keep!r} is not known; choose start or end.")
    spans = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for kept in range(min(tokens, len(spans)), 0, -1):
        piece = text[: spans[kept - 1][1]] if keep == "start" else text[spans[len(spans) - kept][0] :]
        if len(model.tokens([piece])[0]) <= tokens:
            return piece
    return ""


def cut_bytes(text: str, size: int) -> str:
    """The longest start of `text` that takes at most `size` bytes of UTF-8."""
    return text.encode("utf-8")[: max(size, 0)].decode("utf-8", errors="ignore")


def token_budget(pair: Pair, prompts: Prompts, tokens: int) -> list[Shown]:
    """The whole prompt cut to its last `tokens` target tokens: where it ends, the answer begins."""
    shown = []
    for index in range(len(prompts.questions)):
        piece = cut_text(pair.target, TEXT.visible_text(**prompts.context(index)), tokens, keep="end")
        shown.append(Shown(CUT, {"instruction": "", "shots": "", "question": piece}, (piece,)))
    return shown


def token_budget_question(pair: Pair, prompts: Prompts, tokens: int) -> list[Shown]:
    """The question cut to its first `tokens` target tokens, in the prompt that every text arm has."""
    shown = []
    for index, question in enumerate(prompts.questions):
        piece = cut_text(pair.target, question.question, tokens)
        shown.append(Shown(TEXT, prompts.context(index) | {"question": piece}, (piece,)))
    return shown


def cascade(prompts: Prompts, answers: Sequence[Answer], prompt: str) -> list[Shown]:
    """The source's whole text answer, handed to the target with the question."""
    return [
        _with_text(prompts.context(index), prompts.context(index)["question"], answer.text.strip(), prompt)
        for index, answer in enumerate(answers)
    ]


def same_bytes(prompts: Prompts, answers: Sequence[Answer], prompt: str, size: int) -> list[Shown]:
    """What `size` bytes buy as text: the question first, then the source's answer with what is left."""
    shown = []
    for index, answer in enumerate(answers):
        context = prompts.context(index)
        question = cut_bytes(context["question"], size)
        text = cut_bytes(answer.text.strip(), size - len(question.encode("utf-8")))
        item = _with_text(context, question, text, prompt)
        whole = question == context["question"]
        shown.append(Shown(item.layout, item.context, (text,) if whole else (question, text)))
    return shown


def _with_text(context: dict[str, str], question: str, text: str, prompt: str) -> Shown:
    if prompt not in CASCADE_PROMPTS:
        raise LabError(f"cascade prompt {prompt!r} is not known; choose one of {', '.join(CASCADE_PROMPTS)}.")
    before, after = (part.format(text=text, question=question) for part in CASCADE_PROMPTS[prompt])
    return Shown(TEXT, context | {"shots": context["shots"] + before, "question": question + after}, (text,))


def text_hint(task: Task, prompts: Prompts) -> list[Shown]:
    """An oracle of text transfer: the fact that the source knows, as one line of plain text before the question."""
    hint = getattr(task, "hint", None)
    if hint is None:
        raise LabError(f"arm 'text_hint': task {task.name!r} has no gold gloss to give; leave the arm out.")
    shown = []
    for index, question in enumerate(prompts.questions):
        context, text = prompts.context(index), hint(question)
        shown.append(Shown(TEXT, context | {"shots": context["shots"] + text}, (text,)))
    return shown
