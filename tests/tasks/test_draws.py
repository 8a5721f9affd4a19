"""The quick draws are those of the standard library: the same numbers, and the same state after them."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lab.tasks.draws import below, between, one_of, some_of

SEEDS = st.integers(0, 2**64)


def same(seed, ours, theirs):
    one, other = random.Random(seed), random.Random(seed)
    assert [ours(one) for _ in range(5)] == [theirs(other) for _ in range(5)]
    assert one.getstate() == other.getstate()


@given(SEEDS, st.integers(-300, 300), st.integers(0, 2**40))
def test_a_number_is_that_of_randint(seed, least, more):
    same(seed, lambda rng: between(rng, least, least + more), lambda rng: rng.randint(least, least + more))
    same(seed, lambda rng: below(rng, more + 1), lambda rng: rng.randrange(more + 1))


@given(SEEDS, st.integers(1, 300))
def test_an_item_is_that_of_choice(seed, size):
    same(seed, lambda rng: one_of(rng, range(size)), lambda rng: rng.choice(range(size)))


@given(SEEDS, st.integers(0, 21), st.data())
def test_some_items_are_those_of_sample(seed, size, data):
    count = data.draw(st.integers(0, size))
    same(seed, lambda rng: some_of(rng, range(size), count), lambda rng: rng.sample(range(size), count))
