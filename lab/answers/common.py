"""What all arms share: the prompts, an answer with all that it was shown, and the checks that need a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lab.answers.generation import PURE, AnswerEnd, Generation, Hygiene, generate, generate_from_text
from lab.config import SOFT, TEXT, Layout
from lab.errors import LabError
from lab.models import build_inputs, positions
from lab.progress import tqdm
from lab.tasks import Question, answer_end

if TYPE_CHECKING:
    from lab.models import FrozenModel, TargetInputs

REPLAY_TOKENS = 24


@dataclass(frozen=True)
class Answer:
    """What one arm said to the question `id`, and all that it was shown (`saw`, with a mark where soft tokens stand).

    `handed`: texts in `saw` that are neither instruction, exemplars nor the whole question (a hint, the source's
    answer, a cut question). `soft_from`: the question whose source states became the soft tokens, "" if none did.
    """

    id: str
    text: str
    new_tokens: int
    saw: str
    context_aware: bool
    prompt_tokens: int
    soft_tokens: int = 0
    soft_from: str = ""
    handed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompts:
    """The questions of an evaluation and what every arm shares: instruction, shots, batch size, token limit, and
    where an answer ends."""

    questions: Sequence[Question]
    instruction: str
    shots: str
    batch_size: int
    max_new_tokens: int
    hygiene: Hygiene = PURE
    progress: bool = True
    ends: AnswerEnd = answer_end

    def context(self, index: int) -> dict[str, str]:
        """The placeholders of a layout for one question. The gold answer is not among them."""
        return {"instruction": self.instruction, "shots": self.shots, "question": self.questions[index].question}

    def batches(self, indices: Iterable[int], label: str) -> Iterator[list[int]]:
        """Indices in batches of similar length, the longest first (what does not fit in memory fails at once)."""
        order = sorted(indices, key=lambda index: (-len(self.questions[index].question), index))
        with tqdm(total=len(order), desc=label, unit="q", disable=not self.progress, leave=False) as bar:
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                yield batch
                bar.update(len(batch))


def answer_of(
    question: Question, generation: Generation, model: FrozenModel, layout: Layout, context: dict[str, str],
    soft_tokens: int = 0, soft_from: str = "", handed: tuple[str, ...] = (),
) -> Answer:  # fmt: skip
    """A generation with what it was shown, told from the layout that was filled."""
    return Answer(
        question.id, generation.text, generation.new_tokens, layout.visible_text(**context, soft_tokens=soft_tokens),
        layout.context_aware, count_tokens(model, layout, context), soft_tokens, soft_from, handed,
    )  # fmt: skip


def count_tokens(model: FrozenModel, layout: Layout, context: dict[str, str]) -> int:
    """Text tokens that the layout takes for a context, with the beginning-of-text token; counted from the text."""
    tokens = int(model.tokenizer.bos_token_id is not None)
    for position, part in enumerate(layout.segments(**context)):
        if part is not SOFT:
            tokens += len(model.tokens([part], continued=position > 0)[0])
    return tokens


def check_token_counts(
    model, layout: Layout, inputs: TargetInputs, contexts: list[dict[str, str]], soft: Sequence[int]
) -> None:
    """Raise LabError if the inputs of an evaluation hold labels, or a token that the visible text does not explain.

    `soft`: how many soft tokens each row has (an adapter's take no place).
    """
    if inputs.labels is not None:
        raise LabError("evaluation inputs carry labels, so gold text; build them with answers=None.")
    real = inputs.attention_mask.sum(dim=1).tolist()
    for count, context, added in zip(real, contexts, soft, strict=True):
        expected = count_tokens(model, layout, context) + (0 if layout.adapter else added)
        if count != expected:
            raise LabError(
                f"layout {layout.name}: {count} tokens enter {model.name} but its visible text explains {expected}; "
                f"something unseen, such as gold text, was added for the question {context['question'][:60]!r}."
            )


def replay_check(model: FrozenModel, contexts: list[dict[str, str]], max_new_tokens: int = REPLAY_TOKENS) -> None:
    """Raise LabError unless embeddings through `build_inputs` are those of the same text's token ids, and answer alike.

    What enters has to be equal bit by bit. What comes out as well in float32; in half precision kernels may round
    differently from call to call, so there the answers are not compared.
    """
    texts = [TEXT.visible_text(**context) for context in contexts]
    inputs = build_inputs(model, TEXT, None, contexts, None)
    ids, mask = model.encode(texts, bos=True, side="left")
    same = torch.equal(inputs.attention_mask, mask) and torch.equal(inputs.embeds, model.embed(ids))
    if not same or not torch.equal(inputs.position_ids, positions(mask)):
        raise LabError(
            f"replay check of {model.name}: what enters for the question {contexts[0]['question'][:60]!r} and those "
            "beside it are not the embeddings of their text; its inputs are built wrongly."
        )
    if model.dtype != torch.float32:
        return
    through_embeddings = generate(model, inputs, max_new_tokens)
    through_ids = generate_from_text(model, texts, max_new_tokens)
    for one, other, context in zip(through_embeddings, through_ids, contexts, strict=True):
        if one != other:
            raise LabError(
                f"replay check of {model.name}: embeddings give {one.text[:60]!r}, token ids give {other.text[:60]!r} "
                f"for the question {context['question'][:60]!r}; its inputs are built wrongly."
            )
