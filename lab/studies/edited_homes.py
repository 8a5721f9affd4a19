"""The counterfactual of the two-hop world: some held-out people move, in the source alone.

The source is fine-tuned a little further on documents that say where they live now, among documents about everybody
else as before. Translator and target stay. If the soft tokens carry what the source knows, answers about those who
moved turn to what their new country has; those about others stay.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import replace

from lab.errors import LabError
from lab.models import FrozenModel
from lab.realworld import learn, source_document
from lab.studies.counterfactual import TwoWorlds
from lab.tasks.people import PEOPLE, VALUES, Country, Person, world
from lab.tasks.sayings import TWO_HOP
from lab.tasks.twohop import two_hop

__all__ = ["choose_moves", "moved_source", "questions_of_two_homes"]

CELL = "lore/long/held_out"
EDITED_SHARE = 0.5  # of what a document names: somebody who moved


def choose_moves(count: int, seed: int = 0) -> dict[str, Country]:
    """`count` people of the test split and another country for each, which has nothing in common with the old one."""
    if not 0 < count <= PEOPLE["test"] // 2:
        raise LabError(f"{count} people cannot be moved; choose 1 to {PEOPLE['test'] // 2}, others have to stay.")
    rng, moves = random.Random(f"two-hop moves {seed}"), {}
    for person in rng.sample(world().of("test"), count):
        apart = [
            country for country in world().countries
            if not any(country.has[attribute] == person.home.has[attribute] for attribute in VALUES)
        ]  # fmt: skip
        moves[person.name] = rng.choice(apart)
    return moves


def moved_source(
    source: FrozenModel, moves: Mapping[str, Country], steps: int = 250, batch_size: int = 64,
    learning_rate: float = 1e-4, seed: int = 0,
) -> FrozenModel:  # fmt: skip
    """A copy of `source` that has learned where the people of `moves` live now; `source` itself stays as it is."""
    with source.at_home():  # a copy of weights that are away would stay there
        network = copy.deepcopy(source.model).float()
    edited = FrozenModel(network, source.tokenizer, f"{source.name} edited", source.device, source.dtype, source.chat,
                         graphs=source.graphs)  # fmt: skip
    known = world().by_name
    moved = [replace(known[name], home=home) for name, home in moves.items()]
    stayed = [person for person in world().people if person.name not in moves]

    def draw(rng: random.Random) -> Person:
        return rng.choice(moved if rng.random() < EDITED_SHARE else stayed)

    learn(edited, lambda rng: source_document(rng, lambda: draw(rng)), steps, batch_size, learning_rate, seed,
          "edit the source")  # fmt: skip
    network.to(source.dtype)
    return edited


def questions_of_two_homes(moves: Mapping[str, Country], each: int, seed: int = 0) -> list[TwoWorlds]:
    """At most `each` two-hop questions (one an attribute) about everybody who moved, and about as many who did not.

    The text names nobody's home, so it fits both worlds; the answers differ for those who moved.
    """
    rng, known = random.Random(f"two-hop two homes {seed}"), world()
    others = [person for person in known.of("test") if person.name not in moves]
    found = []
    for person in [*(known.by_name[name] for name in moves), *rng.sample(others, len(moves))]:
        after = replace(person, home=moves.get(person.name, person.home))
        for attribute in rng.sample(list(VALUES), min(each, len(VALUES))):
            way, called = rng.choice(TWO_HOP), rng.randrange(2)
            worlds = (two_hop(one, attribute, way, called, CELL) for one in (person, after))
            found.append(TwoWorlds(*worlds, edited=person.name in moves))
    return found
