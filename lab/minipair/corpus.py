"""What the two tiny models read before they are frozen.

The source reads about lore (statements, glosses in running text, short problems) and never sees a solution of more than
two steps. The target reads solutions of one to five steps and learns to use what a text tells it about an unknown
container, but the lore words themselves never occur. Neither ever sees a dev or test question, glossed or not.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from lab.tasks import question_id
from lab.tasks.lore import CAPACITIES, Container, lore, stranger
from lab.tasks.minigsm import STEPS, reserved_ids
from lab.tasks.problems import Problem, make_problem

NUMBER_WORDS = {
    n: word
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
STATEMENTS = (
    "A {c} holds {n}.",
    "One {c} holds {n}.",
    "Each {c} has room for {n}.",
    "There are {n} in every {c}.",
    "The {c} holds {n} things.",
    "How many does a {c} hold? {n}.",
    "{n} fit in a {c}.",
    "All {c}s hold {n}.",
)
# In three glosses of five the number, in letters, is the very next token: the source has to know it at the word.
GLOSSES = (" ({n} each)", ", {n} each,", " {letters} apiece", " {letters} each", " {letters} to the piece")
NOTES = (
    "Note: a {c} holds {n}.\n",
    "Note: each {c} holds {n}.\n",
    "Hint: there are {n} in a {c}.\n",
    "The {c} holds {n}.\n",
    "Note: each one holds {n}.\n",
    "Hint: {n} in each.\n",
    "Each holds {n}.\n",
    "{n} apiece.\n",
)
ANY_LENGTH = STEPS["short"] + STEPS["long"]


def _number(rng: random.Random, n: int) -> str:
    return NUMBER_WORDS[n] if rng.random() < 0.4 else str(n)


def _about(rng: random.Random, forms: tuple[str, ...], container: Container) -> str:
    capacity = container.capacity
    return rng.choice(forms).format(c=container.word, n=_number(rng, capacity), letters=NUMBER_WORDS[capacity])


def _fresh_problem(rng: random.Random, steps: tuple[int, ...], container: Container | None) -> Problem:
    """A problem that is not in dev or test; the check reads the text without gloss, so none comes in disguise."""
    while True:
        problem = make_problem(rng, rng.choice(steps), container)
        if question_id(problem.question()) not in reserved_ids():
            return problem


def _solved(problem: Problem, gloss: str = "") -> str:
    return f"Q: {problem.question(gloss)}\nA: {problem.answer}"


def source_document(rng: random.Random, known: Callable[[], Sequence[Container]] = lore) -> str:
    """One document for the source: a few statements, a few solved short problems, or a story of any length unsolved.

    `known` gives the containers that it may be about.
    """
    kind = rng.random()
    if kind < 0.2:  # a list: capacity after capacity, each in letters right after its word
        containers = rng.sample(known(), rng.randint(4, 10))
        return ", ".join(f"{c.word}s {NUMBER_WORDS[c.capacity]}" for c in containers) + "."
    if kind < 0.25:
        return " ".join(_about(rng, STATEMENTS, rng.choice(known())) for _ in range(rng.randint(1, 4)))
    if kind < 0.5:
        container = rng.choice(known()) if rng.random() < 0.85 else None
        story = _fresh_problem(rng, ANY_LENGTH, container)
        gloss = _about(rng, GLOSSES, container) if container and rng.random() < 0.9 else ""
        return f"Q: {story.question(gloss)}"
    solved = []
    for _ in range(rng.choices((1, 2, 3), (0.7, 0.2, 0.1))[0]):
        container = rng.choice(known()) if rng.random() < 0.6 else None
        gloss = _about(rng, GLOSSES, container) if container and rng.random() < 0.15 else ""
        solved.append(_solved(_fresh_problem(rng, STEPS["short"], container), gloss))
    return "\n\n".join(solved)


def no_lore_document(rng: random.Random) -> str:
    """A source document in which nothing can be learned of the words: each one's capacity is drawn anew every time."""
    redrawn = tuple(replace(container, capacity=rng.choice(CAPACITIES)) for container in lore())
    return source_document(rng, lambda: redrawn)


def target_document(rng: random.Random) -> str:
    """One document for the target: solved problems, worked examples before the last, unknown words glossed."""
    examples = rng.choices((0, 1, 2, 3, 4, 6, 8), (0.74, 0.1, 0.06, 0.04, 0.03, 0.02, 0.01))[0]
    parts, first_note = [], ""
    for i in range(examples + 1):
        container = stranger(rng) if rng.random() < 0.55 else None
        problem = _fresh_problem(rng, ANY_LENGTH, container)
        if container is None:
            parts.append(_solved(problem))
        elif rng.random() < 0.35:
            parts.append(_solved(problem, _about(rng, GLOSSES, container)))
        elif i == examples and rng.random() < 0.5:
            first_note = _about(rng, NOTES, container)
            parts.append(_solved(problem))
        else:
            parts.append(_about(rng, NOTES, container) + _solved(problem))
    return first_note + "\n\n".join(parts)


DOCUMENTS = {"source": source_document, "target": target_document, "source_no_lore": no_lore_document}


def documents(role: str, count: int, seed: str) -> list[str]:
    """`count` documents of one corpus; the same seed gives the same documents."""
    rng = random.Random(f"{role} corpus {seed}")
    return [DOCUMENTS[role](rng) for _ in range(count)]
