"""The made-up container words of MiniGSM, and how many things each one holds.

Only the source model learns these facts. Half of the world's point is the split: `held_out` words are never used while
a translator is trained, and two capacities occur among held-out words alone, so that a translator which merely
memorised "this cluster of states means twelve" fails on them.
"""

import random
from dataclasses import dataclass
from functools import cache

CAPACITIES = tuple(range(3, 21))  # eighteen, so that the best constant guess is right one time in eighteen
UNSEEN_CAPACITIES = (9, 14)  # never the capacity of a word in translator training
SEEN_WORDS_PER_CAPACITY = 12
HELD_OUT_WORDS_PER_CAPACITY = 4

CONSONANTS, VOWELS = "bdfgklmnprtvz", "aeiou"
CODAS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "v", "x", "z")


@dataclass(frozen=True)
class Container:
    """One container word: a `mitex` holds `capacity` things. `split` is seen, held_out or named (not lore at all)."""

    word: str
    capacity: int
    split: str


def made_up_word(rng: random.Random) -> str:
    """A pronounceable five-letter word (CVCVC) that is no English container."""
    first, second, third, fourth = (rng.choice(letters) for letters in (CONSONANTS, VOWELS, CONSONANTS, VOWELS))
    return first + second + third + fourth + rng.choice(CODAS)


@cache
def lore() -> tuple[Container, ...]:
    """All containers of the world, in a fixed order: 192 seen words over 16 capacities, 72 held out over all 18."""
    rng, words, containers = random.Random("minigsm lore 1"), set(), []
    for capacity in CAPACITIES:
        seen = 0 if capacity in UNSEEN_CAPACITIES else SEEN_WORDS_PER_CAPACITY
        for split in ["seen"] * seen + ["held_out"] * HELD_OUT_WORDS_PER_CAPACITY:
            word = made_up_word(rng)
            while word in words:
                word = made_up_word(rng)
            words.add(word)
            containers.append(Container(word, capacity, split))
    return tuple(containers)


@cache
def lore_by_word() -> dict[str, Container]:
    return {container.word: container for container in lore()}


@cache
def words_of(split: str) -> tuple[Container, ...]:
    """The containers of one split, `seen` or `held_out`."""
    return tuple(container for container in lore() if container.split == split)


def stranger(rng: random.Random) -> Container:
    """A container with a made-up name that is not lore: what a model meets that has to read the capacity from text."""
    word = made_up_word(rng)
    while word in lore_by_word():
        word = made_up_word(rng)
    return Container(word, rng.choice(CAPACITIES), "named")
