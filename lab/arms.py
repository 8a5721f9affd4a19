"""Arms: the ways to get an answer, and their evaluation side by side on the same questions.

source, target: each model alone, from text. latent: the target with soft tokens translated from the source's states.
Two controls: latent_shuffled gets the soft tokens of *another* question of the same cell; latent_constant gets a
learned prompt that knows nothing of the question. All share instruction, shots, question text, limit and scorer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from lab.errors import LabError
from lab.generation import PURE, AnswerCache, Generation, Hygiene, answer_key, fingerprint, generate, generate_from_text
from lab.inputs import build_inputs
from lab.layout import SOFT, TEXT, Layout
from lab.models import positions
from lab.tasks import Question, Task, question_id, shots_text, source_text

if TYPE_CHECKING:
    from lab.config import RunConfig
    from lab.inputs import TargetInputs
    from lab.models import FrozenModel, Pair
    from lab.records import RunDirectory
    from lab.translators import TranslatorOutput

ARMS = ("source", "target", "latent", "latent_shuffled", "latent_constant")
SHUFFLE_SEED = 20  # fixed, so that two runs shuffle alike
REPLAY_QUESTIONS = 3
REPLAY_TOKENS = 24


@dataclass(frozen=True)
class Answer:
    """What one arm said to one question, and all that it was shown (`saw`, with a mark where soft tokens stand)."""

    text: str
    new_tokens: int
    saw: str
    context_aware: bool
    prompt_tokens: int
    soft_tokens: int


@dataclass(frozen=True)
class Prompts:
    """The questions of an evaluation and what every arm shares: instruction, shots, batch size and token limit."""

    questions: Sequence[Question]
    instruction: str
    shots: str
    batch_size: int
    max_new_tokens: int
    hygiene: Hygiene = PURE
    progress: bool = True

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


def text_arm(label: str, model: FrozenModel, prompts: Prompts, cache: AnswerCache) -> list[Answer]:
    """A model alone, from text, in the order of the questions; what the cache knows is not generated again."""
    weights = fingerprint(model)
    contexts = [prompts.context(index) for index in range(len(prompts.questions))]
    saw = [TEXT.visible_text(**context) for context in contexts]
    keys = [answer_key(model.name, weights, text, prompts.max_new_tokens, prompts.hygiene) for text in saw]
    missing = [index for index, key in enumerate(keys) if cache.get(key) is None]
    for batch in prompts.batches(missing, label):
        inputs = build_inputs(model, TEXT, None, [contexts[index] for index in batch], None)
        check_token_counts(model, TEXT, inputs, [contexts[index] for index in batch], [0] * len(batch))
        answers = generate(model, inputs, prompts.max_new_tokens, prompts.hygiene)
        cache.put({keys[index]: answer for index, answer in zip(batch, answers, strict=True)})
    lengths = [count_tokens(model, TEXT, context) for context in contexts]
    return [
        _answer(cache.get(key), text, True, length, 0) for key, text, length in zip(keys, saw, lengths, strict=True)
    ]


def source_arm(pair: Pair, prompts: Prompts, cache: AnswerCache) -> list[Answer]:
    """The source alone."""
    return text_arm("source", pair.source, prompts, cache)


def target_arm(pair: Pair, prompts: Prompts, cache: AnswerCache) -> list[Answer]:
    """The target alone."""
    return text_arm("target", pair.target, prompts, cache)


def latent_arm(
    label: str, pair: Pair, translator, layout: Layout, source_layers, prompts: Prompts, donors: Sequence[int]
) -> list[Answer]:
    """The target with soft tokens. Question i gets those of question `donors[i]`: its own or another's."""
    answers: list[Answer | None] = [None] * len(prompts.questions)
    for batch in prompts.batches(range(len(prompts.questions)), label):
        contexts = [prompts.context(index) for index in batch]
        output = soft_tokens(pair, translator, source_layers, [prompts.questions[donors[index]] for index in batch])
        soft, counts = output.soft_tokens, output.counts()
        inputs = build_inputs(pair.target, layout, soft, contexts, None, output.mask)
        check_token_counts(pair.target, layout, inputs, contexts, counts)
        generations = generate(pair.target, inputs, prompts.max_new_tokens, prompts.hygiene)
        for index, context, generation, count in zip(batch, contexts, generations, counts, strict=True):
            saw = layout.visible_text(**context, soft_tokens=count)
            tokens = count_tokens(pair.target, layout, context)
            answers[index] = _answer(generation, saw, layout.context_aware, tokens, count)
    return answers


@torch.no_grad()
def soft_tokens(pair: Pair, translator, source_layers, questions: Sequence[Question]) -> TranslatorOutput:
    """What the translator writes for what the source reads of each question: soft tokens [B, K, d_target]."""
    texts = [source_text(question.question, question.evidence) for question in questions]
    return translator(pair.source.source_states(texts, source_layers))


def _answer(generation: Generation, saw: str, context_aware: bool, prompt_tokens: int, soft: int) -> Answer:
    return Answer(generation.text, generation.new_tokens, saw, context_aware, prompt_tokens, soft)


def derangement(cells: Sequence[str], seed: int) -> list[int]:
    """For each question another one of the same cell (its index), never itself.

    Within a cell it is a permutation. A question alone in its cell takes one of the nearest enclosing group
    ("lore/long" for "lore/long/held_out"). Raises LabError if there is only one question at all.
    """
    rng, donors = random.Random(seed), [-1] * len(cells)
    groups: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        groups.setdefault(cell, []).append(index)
    for cell, members in sorted(groups.items()):
        if len(members) > 1:
            rng.shuffle(members)
            for index, donor in zip(members, members[1:] + members[:1], strict=True):
                donors[index] = donor
            continue
        parent, others = cell, []
        while not others and parent:
            parent = parent.rpartition("/")[0]
            others = [
                i for i, other in enumerate(cells) if i != members[0] and (not parent or other.startswith(parent + "/"))
            ]
        if not others:
            raise LabError(f"latent_shuffled needs two questions at least; the only one is of cell {cell!r}.")
        donors[members[0]] = rng.choice(others)
    return donors


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
        raise LabError("evaluation inputs carry labels; build them with answers=None.")
    real = inputs.attention_mask.sum(dim=1).tolist()
    for count, context, added in zip(real, contexts, soft, strict=True):
        expected = count_tokens(model, layout, context) + (0 if layout.adapter else added)
        if count != expected:
            raise LabError(
                f"layout {layout.name}: {count} tokens enter {model.name} but its visible text explains {expected}; "
                f"something unseen was added for the question {context['question'][:60]!r}."
            )


def check_no_gold(question: Question, seen_text: str, shots: str = "") -> None:
    """Raise LabError if what an arm saw holds the gold solution, once question and shots themselves are taken away.

    They go first because a question may well mention the number that answers it.
    """
    rest = seen_text.replace(shots, "\0", 1) if shots else seen_text
    rest = rest.replace(question.question, "\0", 1)
    if question.answer.strip() in rest or f"#### {question.gold}" in rest:
        raise LabError(f"question {question.id}: the gold answer stands in what an arm saw; mend its layout.")


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


def check_complete(records: list[dict], ids: Sequence[str], arms: Sequence[str]) -> None:
    """Raise LabError unless every id occurs once, in order, and every record has every arm."""
    if [record["id"] for record in records] != list(ids) or len(set(ids)) != len(ids):
        raise LabError("records and questions differ in their ids, or an id occurs twice; evaluate distinct questions.")
    for record in records:
        if missing := set(arms) - set(record["arms"]):
            raise LabError(f"record {record['id']} lacks the arms {sorted(missing)}; evaluate all arms together.")


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


def _chosen_arms(arms: Sequence[str] | None, translator, constant) -> tuple[str, ...]:
    needs = {"latent": translator, "latent_shuffled": translator, "latent_constant": constant}
    if arms is None:
        return tuple(arm for arm in ARMS if arm not in needs or needs[arm] is not None)
    for arm in arms:
        if arm not in ARMS:
            raise LabError(f"arm {arm!r} is not known; choose from {', '.join(ARMS)}.")
        if arm in needs and needs[arm] is None:
            given = "constant=" if arm == "latent_constant" else "translator="
            raise LabError(f"arm {arm!r} needs {given}; pass it, or leave the arm out.")
    return tuple(arms)


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
) -> list[dict]:
    """Every arm's answer to every question: one record per question, in the order of `questions`.

    `arms` None: all that can be had (latent arms with a translator, latent_constant with a ConstantPrompt).
    `cache_dir`: where answers of source and target are kept between processes. `run`: gets a line per arm in its log.
    Raises LabError for repeated questions, an exemplar among them, a leak of the gold, or inputs built wrongly.
    """
    arms = _chosen_arms(arms, translator, constant)
    exemplars = task.exemplars(config.task.shots) if config.task.shots else []
    ids = [question.id for question in questions]
    if not ids or len(set(ids)) != len(ids):
        raise LabError(f"{len(ids)} questions with {len(set(ids))} different ids; give one or more, each once.")
    if shown := {question_id(exemplar.question) for exemplar in exemplars} & set(ids):
        raise LabError(f"question {min(shown)} is also an exemplar, whose answer every arm sees; leave it out.")
    evaluation = config.evaluation
    prompts = Prompts(questions, task.instruction, shots_text(exemplars), evaluation.eval_batch_size,
                      evaluation.max_new_tokens, Hygiene(evaluation.repetition_penalty, evaluation.no_repeat_ngram),
                      progress)  # fmt: skip
    layout, layers, cache = config.layout.at(), config.pair.source_layers, AnswerCache(cache_dir)
    own = list(range(len(questions)))
    replay_check(pair.target, [prompts.context(index) for index in own[:REPLAY_QUESTIONS]])
    found: dict[str, list[Answer]] = {}
    with _evaluating(translator, constant):
        for arm in arms:
            if arm in ("source", "target"):
                found[arm] = (source_arm if arm == "source" else target_arm)(pair, prompts, cache)
            else:
                donors = derangement([q.cell for q in questions], SHUFFLE_SEED) if arm == "latent_shuffled" else own
                module = constant if arm == "latent_constant" else translator
                found[arm] = latent_arm(arm, pair, module, layout, layers, prompts, donors)
    records = [
        {"id": question.id, "question": question.question, "gold": question.gold, "cell": question.cell,
         "word": question.word,
         "arms": {arm: _scored(task, question, found[arm][index], prompts.shots) for arm in arms}}
        for index, question in enumerate(questions)
    ]  # fmt: skip
    check_complete(records, ids, arms)
    if run is not None:
        for arm in arms:
            right = sum(record["arms"][arm]["correct"] for record in records)
            run.log(f"[Eval] {arm}: {right}/{len(records)} = {right / len(records):.3f}")
    return records


def _scored(task: Task, question: Question, answer: Answer, shots: str) -> dict:
    """An arm's part of a record. The gold enters here, for the first time, and only to be compared."""
    check_no_gold(question, answer.saw, shots)
    extracted = task.extract(answer.text)
    return {
        "text": answer.text, "extracted": extracted, "correct": task.correct(extracted, question.gold),
        "saw": answer.saw, "context_aware": answer.context_aware, "prompt_tokens": answer.prompt_tokens,
        "soft_tokens": answer.soft_tokens, "new_tokens": answer.new_tokens,
    }  # fmt: skip
