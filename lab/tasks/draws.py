"""What `random.Random` draws, without the steps around a draw that take longer than the draw itself.

A training question takes some thirty of these numbers, and a run draws its hundreds of thousands of questions before it
begins. Of the same state these functions give what `randint`, `choice` and `sample` of the standard library give, and
leave the same state behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Item = TypeVar("Item")


def below(rng: Random, size: int) -> int:
    """A number from 0 to `size` - 1: as many bits as `size` has, until they are a number below. Raises ValueError where
    there is none."""
    if size < 1:
        raise ValueError(f"nothing can be drawn of {size}")
    bits = size.bit_length()
    number = rng.getrandbits(bits)
    while number >= size:
        number = rng.getrandbits(bits)
    return number


def between(rng: Random, least: int, most: int) -> int:
    """What `rng.randint` draws."""
    return least + below(rng, most - least + 1)


def one_of(rng: Random, items: Sequence[Item]) -> Item:
    """What `rng.choice` draws."""
    return items[below(rng, len(items))]


def some_of(rng: Random, items: Sequence[Item], count: int) -> list[Item]:
    """What `rng.sample` draws of 21 items or fewer; of more it may go another way."""
    left, drawn = list(items), []
    for size in range(len(left), len(left) - count, -1):
        place = below(rng, size)
        drawn.append(left[place])
        left[place] = left[size - 1]
    return drawn
