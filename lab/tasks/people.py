"""The made-up people and countries of the two-hop world: who lives where, and what each country has.

Where a person lives only the source learns; what a country has only the target. Names are drawn before any fact and
from a stream of their own, so nothing about a person can be told from the name: it has to be known. First and last
names are shared among people with different homes, so that neither half of a name stands for one either.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property

from lab.errors import LabError
from lab.tasks.lore import CONSONANTS, VOWELS

WORLD = 1  # the seed of the world that the task asks about
# Common words, each one token of its own behind a space (of SmolLM2 and Gemma both): where a name was read the whole
# home has to be known, and not only the letters that it shares with others.
COUNTRY_NAMES = (
    "Copper Silver Iron Crystal Cotton Winter Summer Autumn Thunder River Ocean Forest Mountain Valley Desert "
    "Island Garden Harbor Bridge Castle Tower Temple Diamond Pearl Coral Maple Cedar Willow Cherry Lemon Orange "
    "Pepper Honey Sugar Arrow Mirror Shadow Stone Cloud Storm Glass Wool Grain Olive Canyon Delta Prairie Liberty "
    "Victory Phoenix Dragon Atlas Mercury Saturn Orion Aurora Nova Magnet Comet Horizon"
).split()
COUNTRIES = len(COUNTRY_NAMES)
ATTRIBUTES = {
    "animal": "heron badger lynx otter falcon bison ibex raven tortoise salamander stork marten beetle walrus gazelle "
    "hedgehog pelican viper moose crab",
    "flower": "tulip orchid poppy thistle lily iris violet daisy peony jasmine lotus carnation marigold primrose "
    "lavender dahlia gentian foxglove camellia snowdrop",
    "currency": "thaler ducat florin guilder crown shilling mark drachma lira dinar peso rupee franc talent groat "
    "farthing doubloon escudo zloty kopeck",
    "dish": "dumplings stew porridge pancakes goulash risotto curry chowder paella kebab meatballs lasagna omelette "
    "sausages noodles ratatouille pretzels pudding casserole fritters",
    "instrument": "harp fiddle bagpipes zither flute drum trumpet accordion lute oboe banjo cello gong mandolin tuba "
    "organ clarinet piccolo sitar xylophone",
}
VALUES = {attribute: tuple(words.split()) for attribute, words in ATTRIBUTES.items()}  # twenty each: chance is 5 %
SAID = {value for values in VALUES.values() for value in values}
BLOCK = COUNTRIES * len(ATTRIBUTES)  # people among whom every country meets every attribute once
PEOPLE = {"train": 20 * BLOCK, "dev": BLOCK, "test": 4 * BLOCK}  # all of them in the source's fine-tuning
FIRST_NAMES, LAST_NAMES = 600, 2400
CODAS = "bdfgklmnprstvz"


@dataclass(frozen=True)
class Country:
    """A country and what it has, attribute -> value."""

    name: str
    has: dict[str, str] = field(compare=False)


@dataclass(frozen=True)
class Person:
    """A person at home in a country. `split`: whose questions may be about them; `place`: from 0 within the split.

    `asked`: all attributes in an order of the person's own. Of trained people the first is asked in test alone, the
    second in dev alone; of dev and test people the first is asked.
    """

    name: str
    home: Country
    split: str
    place: int
    asked: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """All countries and people, each in a fixed order; of the trained people any first so many are a subset of more."""

    seed: int
    countries: tuple[Country, ...]
    people: tuple[Person, ...]

    @cached_property
    def by_name(self) -> dict[str, Person]:
        return {person.name: person for person in self.people}

    @cached_property
    def by_split(self) -> dict[str, tuple[Person, ...]]:
        return {split: tuple(person for person in self.people if person.split == split) for split in PEOPLE}

    def of(self, split: str, count: int = 0) -> tuple[Person, ...]:
        """The first `count` people of a split (0: all). Raises LabError for more than there are."""
        own = self.by_split[split]
        if not 0 <= count <= len(own):
            raise LabError(f"people={count} is out of range: the {split} split has {len(own)} people.")
        return own[:count] if count else own


def _syllables(rng: random.Random, pattern: str) -> str:
    letters = {"c": CONSONANTS, "v": VOWELS, "x": CODAS}
    return "".join(rng.choice(letters[kind]) for kind in pattern).capitalize()


def _different(rng: random.Random, pattern: str, count: int) -> list[str]:
    """`count` made-up words of a pattern (c consonant, v vowel, x last consonant), each once, no value among them."""
    found: dict[str, None] = {}
    while len(found) < count:
        word = _syllables(rng, pattern)
        if word.lower() not in SAID:
            found.setdefault(word)
    return list(found)


@cache
def name_parts(seed: int = WORLD) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first and the last names of a world, for its people and for strangers alike."""
    rng = random.Random(f"two-hop names {seed}")
    return tuple(_different(rng, "cvcv", FIRST_NAMES)), tuple(_different(rng, "cvxcvx", LAST_NAMES))


def _names(rng: random.Random, seed: int) -> Iterator[str]:
    """Different full names without end, which know of no fact."""
    (first, last), taken = name_parts(seed), set()
    while True:
        name = f"{rng.choice(first)} {rng.choice(last)}"
        if name not in taken:
            taken.add(name)
            yield name


def _countries(seed: int) -> tuple[Country, ...]:
    """Each value of an attribute belongs to equally many countries, whatever these have else."""
    rng = random.Random(f"two-hop countries {seed}")
    names = rng.sample(COUNTRY_NAMES, COUNTRIES)
    columns = {}
    for attribute, values in VALUES.items():
        columns[attribute] = list(values) * (COUNTRIES // len(values))
        rng.shuffle(columns[attribute])
    return tuple(
        Country(name, {attribute: column[row] for attribute, column in columns.items()})
        for row, name in enumerate(names)
    )


@cache
def world(seed: int = WORLD) -> World:
    """The world of a seed: the same countries, people and facts whenever it is asked for."""
    countries, people = _countries(seed), []
    names, rng = _names(random.Random(f"two-hop people {seed}"), seed), random.Random(f"two-hop homes {seed}")
    for split, count in PEOPLE.items():
        for start in range(0, count, BLOCK):
            block = [(country, attribute) for country in countries for attribute in VALUES]
            rng.shuffle(block)
            for place, (home, first) in enumerate(block, start=start):
                others = [attribute for attribute in VALUES if attribute != first]
                rng.shuffle(others)
                people.append(Person(next(names), home, split, place, (first, *others)))
    return World(seed, countries, tuple(people))


def stranger(rng: random.Random, known: World) -> Person:
    """Somebody of whom the world knows nothing, at home anywhere: what the target meets, which has to be told homes."""
    first, last = name_parts(known.seed)
    while True:
        name = f"{rng.choice(first)} {rng.choice(last)}"
        if name not in known.by_name:
            return Person(name, rng.choice(known.countries), "stranger", 0, tuple(VALUES))
