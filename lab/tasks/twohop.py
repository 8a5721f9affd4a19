"""Task `twohop`: what a country has where somebody lives. The world of real models, in which the truth is known.

Two facts are needed, and no model has both: where a person lives only the source has learned, what a country has only
the target. The cells have the names of `minigsm`'s, so that every table, claim and figure reads them:

    plain/short                    what a country has: the target alone can answer
    lore/short/seen, /held_out     where a person lives: the source alone can answer
    lore/long/seen                 two hops, about people of the translator's training, by an attribute that it was
                                   never asked of that person: what was learned by heart of a name may answer
    lore/long/held_out/known_way   two hops, about people of whom the translator was never trained on anything: a fact
                                   has to be read from the source's states
    lore/long/held_out/new_fact    the same, and about something of that country of which the translator was never
                                   trained on anybody: only the target's own knowledge has the answer
    lore/long/held_out/new_way     the same as `known_way`, about any fact, in words that neither the source nor the
                                   translator was trained with

A translator could learn by heart what a country has, and write the answer itself; that is why some facts are kept from
it. Each of a country's attributes has twenty values, each of them in three countries: chance is 5 %.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from math import prod

from lab.errors import LabError
from lab.tasks.contract import Question, Task, first_of, groups_of, question_id
from lab.tasks.minigsm import model_cells
from lab.tasks.normalised import normalised_text
from lab.tasks.people import BLOCK, VALUES, Country, Person, world
from lab.tasks.sayings import ATTRIBUTE_NAMES, COUNTRY, HOME, LIVES, NEW_WAYS, TWO_HOP
from lab.tasks.scorers import SCORERS

NEW_FACT = "lore/long/held_out/new_fact"  # the cell of facts that are kept from the translator
TRAINING_CELLS = {"plain/short": 0.05, "lore/short/seen": 0.2, "lore/long/seen": 0.75}
SEEN = BLOCK  # so many trained people, the first ones, are asked about in test: there have to be as many
FACTS = {"exemplars": 8, "dev": 30, "test": 52}  # facts about countries that each split asks, of 300; the rest: train
HOMES = {"dev": 40, "test": 80}  # trained people whose home each split asks
NEW = BLOCK  # people of the test split who are asked about in a new way
EXEMPLARS = FACTS["exemplars"]


def _asked(text: str, gold: str, cell: str, word: str = "") -> Question:
    return Question(question_id(text), text, f"#### {gold}", gold, cell, word)


def two_hop(person: Person, attribute: str, way: str, called: int, cell: str) -> Question:
    """What the country has where `person` lives. `way`: a template; `called`: which of the attribute's names."""
    text = way.format(p=person.name, a=ATTRIBUTE_NAMES[attribute][called])
    return _asked(text, person.home.has[attribute], cell, person.name)


def one_hop(person: Person, way: str, cell: str) -> Question:
    """Where `person` lives."""
    return _asked(way.format(p=person.name), person.home.name, cell, person.name)


def of_country(country: Country, attribute: str, way: str, called: int) -> Question:
    """What `country` has."""
    text = way.format(c=country.name, a=ATTRIBUTE_NAMES[attribute][called])
    return _asked(text, country.has[attribute], "plain/short")


@cache
def _facts() -> dict[str, list[tuple[Country, str]]]:
    """Country and attribute of every fact about a country, each in one split."""
    facts = [(country, attribute) for country in world().countries for attribute in VALUES]
    random.Random("two-hop facts").shuffle(facts)
    found, start = {}, 0
    for split, size in FACTS.items():
        found[split], start = facts[start : start + size], start + size
    return found | {"train": facts[start:]}


@cache
def _trained_facts() -> frozenset[tuple[str, str]]:
    """Country's name and attribute of every fact that a translator may be trained to answer, in one hop or two."""
    return frozenset((country.name, attribute) for country, attribute in _facts()["train"])


def _trained_attributes(person: Person) -> list[str]:
    """What training may ask of a trained person: no attribute that dev or test asks, and no fact that is kept back."""
    return [attribute for attribute in person.asked[2:] if (person.home.name, attribute) in _trained_facts()]


@cache
def _asked_home() -> tuple[Person, ...]:
    """Trained people whose home dev and test ask, so that training does not; it asks something else of each."""
    some = [person for person in world().of("train", SEEN) if _trained_attributes(person)]
    return tuple(some[: sum(HOMES.values())])


@cache
def _evaluation_split(split: str) -> tuple[Question, ...]:
    """The fixed questions of `dev` or `test`; no person is asked about twice in a cell."""
    rng, people, trained = random.Random(f"two-hop {split}"), world().of(split), world().of("train", SEEN)
    which, first = (0, 0) if split == "test" else (1, HOMES["test"])  # attribute and people that the other does not ask

    def ask(person: Person, ways: Sequence[str], cell: str, which: int = 0) -> Question:
        return two_hop(person, person.asked[which], rng.choice(ways), rng.randrange(2), cell)

    questions = [of_country(*fact, rng.choice(COUNTRY), rng.randrange(2)) for fact in _facts()[split]]
    at_home = {"seen": _asked_home()[first : first + HOMES[split]], "held_out": people[: HOMES[split]]}
    for cell, some in at_home.items():
        questions += [one_hop(person, rng.choice(HOME), f"lore/short/{cell}") for person in some]
    questions += [ask(person, TWO_HOP, "lore/long/seen", which) for person in trained]
    new = people[-NEW:] if split == "test" else ()
    for person in people[: len(people) - len(new)]:
        known = (person.home.name, person.asked[0]) in _trained_facts()
        questions.append(ask(person, TWO_HOP, f"lore/long/held_out/{'known_way' if known else 'new_fact'}"))
    questions += [ask(person, NEW_WAYS, "lore/long/held_out/new_way") for person in new]
    rng.shuffle(questions)
    return tuple(questions)


def _parts(number: int, sizes: Sequence[int]) -> list[int]:
    """`number` as one place of each of several ranges."""
    found = []
    for size in sizes:
        number, place = divmod(number, size)
        found.append(place)
    return found


def _training_questions(people: int, seed: int) -> Iterator[Question]:
    """All different two-hop questions about the first `people`, and among them the other kinds in the mixture of
    `TRAINING_CELLS`: a kind that is used up begins again, so that more people change the people and nothing else."""
    rng, trained, facts = random.Random(f"two-hop train {seed}"), world().of("train", people), _facts()["train"]
    elsewhere = {person.name for person in _asked_home()}
    at_home = [person for person in trained if person.name not in elsewhere]
    asked = [(person, attribute) for person in trained for attribute in _trained_attributes(person)]
    sizes = {
        "plain/short": (len(facts), len(COUNTRY), 2),
        "lore/short/seen": (len(at_home), len(HOME)),
        "lore/long/seen": (len(asked), len(TWO_HOP), 2),
    }
    left: dict[str, list[int]] = {cell: [] for cell in sizes}

    def begin(cell: str) -> None:
        left[cell] = list(range(prod(sizes[cell])))
        rng.shuffle(left[cell])

    begin("lore/long/seen")
    while left["lore/long/seen"]:
        cell = rng.choices(list(left), [TRAINING_CELLS[cell] for cell in left])[0]
        if not left[cell]:
            begin(cell)
        place = _parts(left[cell].pop(), sizes[cell])
        if cell == "plain/short":
            yield of_country(*facts[place[0]], COUNTRY[place[1]], place[2])
        elif cell == "lore/short/seen":
            yield one_hop(at_home[place[0]], HOME[place[1]], cell)
        else:
            yield two_hop(*asked[place[0]], TWO_HOP[place[1]], place[2], cell)


class _Drawn:
    """The training questions of one seed, drawn once: a run asks for them again for its checks and its controls."""

    def __init__(self, people: int, seed: int) -> None:
        self.questions: list[Question] = []
        self.more = _training_questions(people, seed)

    def first(self, count: int) -> list[Question]:
        """The first `count` (0: all)."""
        self.questions += islice(self.more, max(0, count - len(self.questions)) if count else None)
        return self.questions[: count or None]


_drawn = lru_cache(maxsize=1)(_Drawn)


_WORD = re.compile(r"[a-z]+")


@cache
def _attribute_names() -> dict[str, str]:
    return {normalised_text(name): attribute for attribute, names in ATTRIBUTE_NAMES.items() for name in names}


@cache
def _subjects() -> dict[str, str]:
    """Normalised name -> name, of every person and every country."""
    known = world()
    return {normalised_text(name): name for name in (*known.by_name, *(country.name for country in known.countries))}


@lru_cache(maxsize=1 << 20)  # what is drawn for training is checked, and drawn again for the controls
def asked_about(text: str) -> tuple[tuple[str, ...], str]:
    """(the people and countries that a text names, the attribute that it asks for or "")."""
    plain = f" {normalised_text(text)} "
    words, subjects = _WORD.findall(plain), _subjects()
    pairs = [f"{one} {other}" for one, other in zip(words, words[1:], strict=False)]
    named = {subjects[part] for part in (*words, *pairs) if part in subjects}
    attributes = [attribute for name, attribute in _attribute_names().items() if f" {name} " in plain]
    return tuple(sorted(named)), attributes[0] if attributes else ""


class TwoHop(Task):
    """`people`: how many people the translator is trained on, the first so many of them (0: all 6 000)."""

    name = "twohop"
    takes = ("people",)
    instruction = ""
    max_new_tokens = 16
    most_shots = EXEMPLARS

    extract = staticmethod(SCORERS["exact"].extract)
    answer_end = staticmethod(SCORERS["exact"].answer_end)
    correct = staticmethod(SCORERS["exact"].correct)

    def __init__(self, people: int = 0) -> None:
        if people and people < SEEN:
            raise LabError(
                f"people={people} is too few: test asks about the first {SEEN}; give at least as many, or 0 for all."
            )
        world().of("train", people)
        self.people = people

    def train(self, count: int, seed: int) -> list[Question]:
        """`count` different questions (0, or more than there are: all), none about a person of dev or test, and none
        that dev or test asks in other words."""
        return _drawn(self.people, seed).first(count)

    def dev(self) -> list[Question]:
        return list(_evaluation_split("dev"))

    def test(self) -> list[Question]:
        """The same whatever `people` is."""
        return list(_evaluation_split("test"))

    def exemplars(self, shots: int) -> list[Question]:
        """The first of `EXEMPLARS` fixed questions about countries: worked examples that tell of nobody."""
        return first_of([of_country(*fact, COUNTRY[0], 0) for fact in _facts()["exemplars"]], shots, self.name)

    def content(self, question: Question) -> str:
        """Whom a question is about and what it asks of them, in whatever words."""
        named, attribute = asked_about(question.question)
        return f"{attribute or 'home'} of {' and '.join(named)}" if named else normalised_text(question.question)

    def hint(self, question: Question) -> str:
        """Where the person of a two-hop question lives, as a line of text; nothing where that would be the answer."""
        person = world().by_name.get(question.word)
        return f"{LIVES[0].format(p=person.name, c=person.home.name)}\n" if person and _is_two_hop(question) else ""

    def sound_hint(self, question: Question, text: str) -> bool:
        """The home of the person that a two-hop question names, and nothing else; nothing for other questions."""
        named, attribute = asked_about(question.question)
        people = [world().by_name[name] for name in named if name in world().by_name]
        told = [f"{person.name} lives in {person.home.name}.\n" for person in people if attribute]
        return text in (told or [""])


def _is_two_hop(question: Question) -> bool:
    return "long" in question.cell.split("/")


def constant_guesses(questions: Sequence[Question]) -> dict[str, float]:
    """Per cell, the accuracy of the best constant guess: for each attribute, or for homes, always the same answer."""
    guesses = {}
    for cell in model_cells(questions):
        golds: dict[str, Counter] = {}
        for question in questions:
            if cell in groups_of(question.cell):
                golds.setdefault(asked_about(question.question)[1], Counter())[question.gold] += 1
        best = sum(counts.most_common(1)[0][1] for counts in golds.values())
        guesses[cell] = best / sum(counts.total() for counts in golds.values())
    return guesses


def clusters_of(group: str, rows: Sequence[Mapping]) -> list[str]:
    """What makes questions of records no independent ones: the person asked about (`word`); where the target's
    knowledge of a few facts has to answer (`NEW_FACT`), the fact, which several people are asked about."""
    return [fact_of(row) if group == NEW_FACT else row["word"] for row in rows]


def fact_of(row: Mapping) -> str:
    """Which fact about a country a two-hop question rests on: its country and what is asked for."""
    return f"{world().by_name[row['word']].home.name} {asked_about(row['question'])[1]}"
