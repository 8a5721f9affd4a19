"""Each model reads its own half: the source never what a country has, the target nobody of the world."""

import random
import re
from collections import Counter, defaultdict

import pytest

from lab.errors import LabError
from lab.realworld.corpus import documents, source_document
from lab.tasks import normalised_text
from lab.tasks.people import VALUES, world
from lab.tasks.sayings import ATTRIBUTE_NAMES, GLOSSES, NEW_WAYS
from lab.tasks.twohop import TwoHop, asked_about

WORLD = world()
COUNTRIES = {country.name: country for country in WORLD.countries}
NAME = re.compile(r"\b[A-Z][a-z]{3} [A-Z][a-z]{5}\b")
ANY_COUNTRY = re.compile(rf"\b(?:{'|'.join(COUNTRIES)})\b")


def whole(document):
    return document.read + document.learned


def test_a_corpus_is_a_function_of_its_seed():
    assert documents("source", 50, 3) == documents("source", 60, 3)[:50] != documents("source", 50, 4)
    with pytest.raises(LabError, match="role 'translator' is not known"):
        documents("translator", 1)


@pytest.mark.parametrize("role", ["source", "source_no_facts"])
def test_the_source_never_reads_what_a_country_has(role):
    values = {value for own in VALUES.values() for value in own}
    for document in documents(role, 5000):
        assert not values & set(normalised_text(whole(document)).split()), document


def test_the_target_reads_nobody_of_the_world():
    met = Counter()
    for document in documents("target", 20_000):
        names = NAME.findall(whole(document))
        assert not set(names) & set(WORLD.by_name), document
        met.update(names)
    assert len(met) > 5000, "strangers are many, so that no name can be learned"


def test_the_source_is_told_every_home_rightly_and_those_of_dev_and_test_as_often():
    told = defaultdict(Counter)
    for document in documents("source", 60_000):
        text = whole(document)
        people = [name for name in NAME.findall(text) if name in WORLD.by_name]
        homes = ANY_COUNTRY.findall(text)
        assert len(people) == len(homes) > 0, document
        for name, home in zip(people, homes, strict=True):
            told[name][home] += 1
    assert set(told) == set(WORLD.by_name)
    assert all(homes.keys() == {WORLD.by_name[name].home.name} for name, homes in told.items())
    often = {split: sum(sum(told[p.name].values()) for p in WORLD.of(split)) / len(WORLD.of(split))
             for split in ("train", "dev", "test")}  # fmt: skip
    assert max(often.values()) < 1.1 * min(often.values())


def test_without_the_facts_nobody_has_a_home_of_their_own():
    rng_free = documents("source_no_facts", 60_000)
    right = total = 0
    for document in rng_free:
        for name, home in zip(NAME.findall(whole(document)), ANY_COUNTRY.findall(whole(document)), strict=True):
            right += WORLD.by_name[name].home.name == home
            total += 1
    assert total > 100_000 and abs(right / total - 1 / len(COUNTRIES)) < 0.002


def test_a_home_is_often_the_very_next_word_behind_the_name():
    """Only then does the source have to know it where it reads the name."""
    behind = sum(any(name + gloss.format(c=WORLD.by_name[name].home.name) in whole(document)
                     for name in NAME.findall(whole(document)) if name in WORLD.by_name for gloss in (*GLOSSES, " {c}"))
                 for document in documents("source", 2000))  # fmt: skip
    assert behind > 800


def test_no_evaluation_question_is_in_a_corpus():
    """Glossed or not, and in no new way: the source has never met those; the target meets them about strangers."""
    asked = {question.question for split in ("dev", "test") for question in getattr(TwoHop(), split)()}
    two_hop = {text for text in asked if asked_about(text)[1] and NAME.search(text)}
    starts = [way.partition("{p}")[0].partition("{a}")[0] for way in NEW_WAYS]
    for role in ("source", "source_no_facts"):
        for document in documents(role, 20_000):
            for text in re.findall(r"Q: (.*)", whole(document)):
                assert text not in two_hop and not any(text.startswith(start) for start in starts)
    for document in documents("target", 20_000):
        for text in re.findall(r"Q: (.*)", whole(document)):
            assert text not in two_hop


def test_the_target_answers_by_the_home_that_it_is_told():
    told = 0
    for document in documents("target", 5000):
        if not document.learned.startswith(" ####"):
            continue
        *_, asked = document.read.split("Q: ")
        (attribute,) = {a for a, names in ATTRIBUTE_NAMES.items() if any(f" {n}" in asked for n in names)} or {""}
        answer, countries = document.learned.removeprefix(" #### "), ANY_COUNTRY.findall(document.read)
        right = [COUNTRIES[name].has[attribute] if attribute else name for name in countries]
        assert answer in right and (answer == right[0] or len(countries) > 1), document
        told += bool(NAME.search(document.read))
    assert told > 2000


def test_a_document_may_be_about_few():
    few = WORLD.people[:3]
    rng = random.Random(0)
    names = {name for _ in range(200) for name in NAME.findall(whole(source_document(rng, lambda: rng.choice(few))))}
    assert names == {person.name for person in few}
