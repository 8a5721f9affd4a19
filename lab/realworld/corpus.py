"""What the two pretrained models read before they are frozen.

The source reads where people live: in statements, in lists, as glosses behind their names in questions that nobody
answers, and as short answers. It never reads what a country has. The target reads what countries have, and learns to
use a text that says where somebody lives; but those people are strangers, whom the world does not know, each with a
home drawn anew. Nobody of the world ever occurs there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from lab.errors import LabError
from lab.tasks.people import VALUES, Country, Person, stranger, world
from lab.tasks.sayings import ATTRIBUTE_NAMES, COUNTRY, GLOSSES, HAS, HOME, LIVES, NEW_WAYS, TWO_HOP

# What may stand before a question, or behind it: a sentence, or the bare name of a country, as another model says it.
BEFORE = ("{said}\n", "Note: {said}\n", "Hint: {said}\n", "Note: {c}\n", "Note: #### {c}\n", "{c}\n")
BEHIND = (" ({c})", " (#### {c})", "\nHint: {c}", "\nHint: #### {c}", "\nHint: {said}")
EXAMPLE = "Q: {question}\nA: #### {c}\n\n"


class Document(NamedTuple):
    """A text of which the model reads the first part and learns the second, with the end of the text."""

    read: str
    learned: str


def _lives(rng: random.Random, person: Person) -> str:
    return rng.choice(LIVES).format(p=person.name, c=person.home.name)


def _named(rng: random.Random, attribute: str) -> str:
    return rng.choice(ATTRIBUTE_NAMES[attribute])


def _two_hop(rng: random.Random, name: str, attribute: str, ways: Sequence[str]) -> str:
    return rng.choice(ways).format(p=name, a=_named(rng, attribute))


def source_document(rng: random.Random, draw: Callable[[], Person] | None = None) -> Document:
    """One document for the source. `draw` gives somebody whom it may be about; None: anybody of the world."""
    draw, kind = draw or (lambda: rng.choice(world().people)), rng.random()
    if kind < 0.25:  # a list: each home right behind the name, so that it has to be known there
        some = [draw() for _ in range(rng.randint(2, 5))]
        return Document("", ", ".join(f"{person.name} {person.home.name}" for person in some) + ".")
    if kind < 0.45:
        return Document("", " ".join(_lives(rng, draw()) for _ in range(rng.randint(1, 3))))
    person = draw()
    if kind < 0.75:  # questions of the kinds that will be asked, a home behind the name, and no answer
        name = person.name + rng.choice(GLOSSES).format(c=person.home.name)
        two_hop = rng.random() < 0.7
        asked = _two_hop(rng, name, rng.choice(list(VALUES)), TWO_HOP) if two_hop else rng.choice(HOME).format(p=name)
        return Document("Q:", f" {asked}")
    return Document(f"Q: {rng.choice(HOME).format(p=person.name)}\nA:", f" #### {person.home.name}")


def no_facts_document(rng: random.Random) -> Document:
    """A source document from which no home can be learned: each one is drawn anew every time."""
    known = world()
    return source_document(rng, lambda: replace(rng.choice(known.people), home=rng.choice(known.countries)))


def target_document(rng: random.Random) -> Document:
    """One document for the target: a fact about a country, or a question about a stranger whose home is told."""
    kind, known = rng.random(), world()
    country, attribute = rng.choice(known.countries), rng.choice(list(VALUES))
    if kind < 0.2:
        return Document("", _has(rng, country, attribute))
    if kind < 0.45:
        asked = rng.choice(COUNTRY).format(c=country.name, a=_named(rng, attribute))
        return Document(f"Q: {asked}\nA:", f" #### {country.has[attribute]}")
    person = stranger(rng, known)
    if kind < 0.55:
        asked, answer = rng.choice(HOME).format(p=person.name), person.home.name
    else:
        asked = _two_hop(rng, person.name, attribute, TWO_HOP + NEW_WAYS)
        answer = person.home.has[attribute]
    return Document(_told(rng, person, asked), f" #### {answer}")


def _has(rng: random.Random, country: Country, attribute: str) -> str:
    return rng.choice(HAS).format(a=_named(rng, attribute), c=country.name, v=country.has[attribute])


def _told(rng: random.Random, person: Person, asked: str) -> str:
    """A question about `person` up to its answer, with what says where that person lives, and others perhaps do."""
    said, home, place = _lives(rng, person), person.home.name, rng.random()
    if place < 0.55:
        before = rng.choice(BEFORE).format(said=said, c=home)
        if person.name in before and rng.random() < 0.5:  # among others: whose home it is has to be read
            lines = [before, *(_lives(rng, stranger(rng, world())) + "\n" for _ in range(rng.randint(1, 3)))]
            rng.shuffle(lines)
            before = "".join(lines)
        return f"{before}Q: {asked}\nA:"
    if place < 0.75:
        return f"Q: {asked}{rng.choice(BEHIND).format(said=said, c=home)}\nA:"
    if place < 0.9:
        glossed = person.name + rng.choice(GLOSSES).format(c=home)
        return f"Q: {asked.replace(person.name, glossed)}\nA:"
    return EXAMPLE.format(question=rng.choice(HOME).format(p=person.name), c=home) + f"Q: {asked}\nA:"


DOCUMENTS: dict[str, Callable[[random.Random], Document]] = {
    "source": source_document, "target": target_document, "source_no_facts": no_facts_document,
}  # fmt: skip


def documents(role: str, count: int, seed: int = 0) -> list[Document]:
    """`count` documents of one corpus; the same seed gives the same ones. Raises LabError for another role."""
    if role not in DOCUMENTS:
        raise LabError(f"role {role!r} is not known; choose one of {', '.join(DOCUMENTS)}.")
    rng = random.Random(f"two-hop {role} corpus {seed}")
    return [DOCUMENTS[role](rng) for _ in range(count)]
