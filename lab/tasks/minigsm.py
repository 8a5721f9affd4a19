"""Task `minigsm`: a world where the truth is known.

Two skills are needed, and no model has both: *lore* (how many things a made-up container holds; only the source knows)
and *long arithmetic* (three to five steps; only the target can). A question's cell says which it asks for:
`plain/short`, `plain/long`, `lore/short/seen`, `lore/short/held_out`, `lore/long/seen`, `lore/long/held_out`.
A router between the models gets everything but `lore/long`, so only there can enrichment show.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice

from lab.tasks.contract import Question, Task, first_of, groups_of, question_id
from lab.tasks.lore import CAPACITIES, lore, lore_by_word, words_of
from lab.tasks.paraphrases import problem_content
from lab.tasks.problems import Problem, make_problem

EVALUATION_CELLS = {
    "plain/short": 263,
    "plain/long": 264,
    "lore/short/seen": 132,
    "lore/short/held_out": 132,
    "lore/long/seen": 264,
    "lore/long/held_out": 264,
}  # 1 319 questions, as in GSM8K's test split; two fifths need both skills
TRAINING_CELLS = {"plain/short": 0.05, "plain/long": 0.25, "lore/short/seen": 0.2, "lore/long/seen": 0.5}
STEPS = {"short": (1, 2), "long": (3, 4, 5)}
BOTH_SKILLS = "lore/long"
EXEMPLARS, EXEMPLAR_SEED = 64, 42


def problem_of_cell(rng: random.Random, cell: str, container=None) -> Problem:
    """A problem that belongs to `cell`; its container is drawn from the cell's split of the lore unless given."""
    knowledge, length, *split = cell.split("/")
    if knowledge == "lore" and container is None:
        container = rng.choice(words_of(split[0]))
    return make_problem(rng, rng.choice(STEPS[length]), container, held_out_templates=split == ["held_out"])


def as_question(problem: Problem, cell: str) -> Question:
    text = problem.question()
    word = problem.container.word if problem.container else ""
    return Question(question_id(text), text, problem.answer, str(problem.result), cell, word)


@cache
def _evaluation_split(split: str) -> tuple[Question, ...]:
    """The fixed 1 319 questions of `dev` or `test`; in every lore cell each word comes equally often, to within one."""
    rng = random.Random(f"minigsm {split} 1")
    taken = set() if split == "dev" else {question.id for question in _evaluation_split("dev")}
    questions = []
    for cell, size in EVALUATION_CELLS.items():
        words = list(words_of(cell.rpartition("/")[2]))
        rng.shuffle(words)
        for i in range(size):
            while True:
                question = as_question(problem_of_cell(rng, cell, words[i % len(words)] if words else None), cell)
                if question.id not in taken:
                    break
            taken.add(question.id)
            questions.append(question)
    rng.shuffle(questions)
    return tuple(questions)


@cache
def reserved_ids() -> frozenset[str]:
    """The ids of all dev and test questions: nothing that trains anything may use one of them."""
    return frozenset(question.id for split in ("dev", "test") for question in _evaluation_split(split))


def _contents(questions: Iterable[Question]) -> set[str]:
    return {problem_content(question.question) for question in questions}


@cache
def _evaluated() -> frozenset[str]:
    """What the dev and test questions say: nothing that trains a translator may say it, in these words or others."""
    return frozenset(_contents(_evaluation_split("dev")) | _contents(_evaluation_split("test")))


def _training_questions(seed: int, forbidden: Collection[str]) -> Iterator[Question]:
    """Different questions without end, in the mixture of `TRAINING_CELLS`, none with a content of `forbidden`."""
    rng, taken = random.Random(f"minigsm train {seed}"), set()
    cells, weights = list(TRAINING_CELLS), list(TRAINING_CELLS.values())
    while True:
        cell = rng.choices(cells, weights)[0]
        question = as_question(problem_of_cell(rng, cell), cell)
        if question.id not in taken and problem_content(question.question) not in forbidden:
            taken.add(question.id)
            yield question


@cache
def _exemplars() -> tuple[Question, ...]:
    drawn = _training_questions(EXEMPLAR_SEED, _evaluated())
    return tuple(islice((question for question in drawn if question.cell.startswith("plain")), EXEMPLARS))


class _Drawn:
    """The training questions of one seed, drawn once: a run asks for them again for its checks and its controls."""

    def __init__(self, seed: int) -> None:
        self.questions: list[Question] = []
        self.more = _training_questions(seed, _evaluated() | _contents(_exemplars()))

    def first(self, count: int) -> list[Question]:
        self.questions += islice(self.more, max(0, count - len(self.questions)))
        return self.questions[:count]


_drawn = lru_cache(maxsize=1)(_Drawn)


class MiniGSM(Task):
    """The embedded task. Training questions are generated as many as are asked for; dev and test are fixed."""

    name = "minigsm"
    instruction = ""
    max_new_tokens = 140
    most_shots = EXEMPLARS

    def train(self, count: int, seed: int) -> list[Question]:
        """`count` different questions with seen words and seen sentence templates only, none of another split, in
        whatever words."""
        return _drawn(seed).first(count)

    def dev(self) -> list[Question]:
        return list(_evaluation_split("dev"))

    def test(self) -> list[Question]:
        return list(_evaluation_split("test"))

    def exemplars(self, shots: int) -> list[Question]:
        """The first of `EXEMPLARS` fixed plain questions: worked examples that tell no lore."""
        return first_of(_exemplars(), shots, self.name)

    def content(self, question: Question) -> str:
        """What the problem says, in whatever paraphrase."""
        return problem_content(question.question)

    def hint(self, question: Question) -> str:
        """The gold gloss as a line of text, or nothing for a plain question."""
        if not question.word:
            return ""
        return f"Note: a {question.word} holds {lore_by_word()[question.word].capacity}.\n"

    def sound_hint(self, question: Question, text: str) -> bool:
        """The lore of the container that the question names, and nothing else; nothing where it names none."""
        named = [container for container in lore() if f"{container.word}s" in question.question]
        return text in ([f"Note: a {container.word} holds {container.capacity}.\n" for container in named] or [""])


def model_cells(questions: list[Question]) -> list[str]:
    """The cells of `questions` that matter to a model alone: `lore/long` counts, beside its seen and held-out halves.

    Which words are held out is a matter between translator and lore; a model knows all of them or none.
    """
    return sorted({group for question in questions for group in groups_of(question.cell) if "/" in group})


def constant_guesses(questions: list[Question]) -> dict[str, float]:
    """Per cell, the accuracy of the best constant guess: always the same answer, or always the same capacity.

    A model that lacks a skill can do as well as this by chance and habit, so it is the line that ignorance is held to.
    """
    guesses = {}
    for cell in model_cells(questions):
        rows = [question for question in questions if cell in groups_of(question.cell)]
        best = Counter(row.gold for row in rows).most_common(1)[0][1]
        if cell.startswith("lore"):
            capacities = Counter(lore_by_word()[row.word].capacity for row in rows)
            best = max(best, max(capacities[capacity] for capacity in CAPACITIES))
        guesses[cell] = best / len(rows)
    return guesses
