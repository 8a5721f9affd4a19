"""The two-hop world: names say nothing, held-out people stay out, every fact is asked, and ignorance cannot pay."""

import random
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from scipy.stats import chisquare

from lab.answers.checks import check_hints, check_questions, check_splits
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.tasks import INVALID, load_task, normalised_text
from lab.tasks.people import BLOCK, COUNTRIES, PEOPLE, VALUES, name_parts, stranger, world
from lab.tasks.sayings import ATTRIBUTE_NAMES, COUNTRY, HAS, HOME, LIVES, NEW_WAYS, TWO_HOP
from lab.tasks.twohop import SEEN, TRAINING_CELLS, TwoHop, asked_about, constant_guesses, one_hop, two_hop

TASK, WORLD = TwoHop(), world()
BY_CELL = {
    "plain/short": 52, "lore/short/seen": 80, "lore/short/held_out": 80, "lore/long/seen": 300,
    "lore/long/held_out/known_way": 630, "lore/long/held_out/new_fact": 270, "lore/long/held_out/new_way": 300,
}  # fmt: skip


def people_of(questions):
    return {name for question in questions for name in asked_about(question.question)[0] if name in WORLD.by_name}


def test_the_world_is_a_function_of_its_seed():
    code = "from lab.tasks.people import world; from lab.tasks.twohop import TwoHop as T; w = world(); print(hash(0), "
    code += "[(p.name, p.home.name, p.asked) for p in w.people[::500]], [q.id for q in T().test()[::200]])"
    run = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)]
    assert run[0] == run[1] and WORLD.people[500].name in run[0]
    assert world(2) == world.__wrapped__(2) and world(2).people[:9] != WORLD.people[:9]


def test_there_are_enough_people_and_each_is_one():
    assert len(WORLD.people) == len(WORLD.by_name) == sum(PEOPLE.values()) and PEOPLE["test"] >= 900
    assert len({country.name for country in WORLD.countries}) == COUNTRIES and len(VALUES) >= 3
    assert not {name.casefold() for name in WORLD.by_name} & {c.name.casefold() for c in WORLD.countries}
    for country in WORLD.countries:
        assert country.has.keys() == VALUES.keys() and all(country.has[a] in VALUES[a] for a in VALUES)
    for attribute, values in VALUES.items():
        shared = Counter(country.has[attribute] for country in WORLD.countries)
        assert shared == dict.fromkeys(values, COUNTRIES // 20)
    assert len({value for values in VALUES.values() for value in values}) == 100


@pytest.mark.parametrize("part", [0, 1])
def test_nothing_of_a_home_can_be_told_from_a_name(part):
    """Within halves of a name, and over its letters, homes are as chance has them; and the best guess for a held-out
    person by the trained people of the same name half is at chance."""
    by_letter = defaultdict(Counter)
    for person in WORLD.people:
        by_letter[person.name.split()[part][0]][person.home.name] += 1
    for homes in by_letter.values():
        assert chisquare([homes[country.name] for country in WORLD.countries]).pvalue > 1e-4
    known = defaultdict(Counter)
    for person in WORLD.of("train"):
        known[person.name.split()[part]][person.home.name] += 1
    asked = [person for person in WORLD.of("test") if person.name.split()[part] in known]
    right = sum(known[one.name.split()[part]].most_common(1)[0][0] == one.home.name for one in asked)
    assert len(asked) > 1000 and right / len(asked) < 3 / COUNTRIES


def test_both_halves_of_a_name_are_shared_by_people_of_different_homes():
    for part, names in enumerate(name_parts()):
        homes = defaultdict(set)
        for person in WORLD.people:
            homes[person.name.split()[part]].add(person.home.name)
        assert len(homes) > 0.9 * len(names) and sum(len(own) > 1 for own in homes.values()) > 0.8 * len(homes)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_evaluation_splits_have_the_promised_cells(split):
    questions = getattr(TASK, split)()
    cells = Counter(question.cell for question in questions)
    assert len({question.id for question in questions}) == len({q.question for q in questions}) == len(questions)
    assert cells == (BY_CELL if split == "test" else {
        "plain/short": 30, "lore/short/seen": 40, "lore/short/held_out": 40, "lore/long/seen": 300,
        "lore/long/held_out/known_way": 210, "lore/long/held_out/new_fact": 90,
    })  # fmt: skip
    for cell in cells.keys() - {"plain/short"}:
        names = [question.word for question in questions if question.cell == cell]
        assert len(set(names)) == len(names), "a person is one cluster"


def test_every_answer_is_what_the_world_says_and_stands_in_no_question():
    for question in TASK.test() + TASK.dev() + TASK.train(3000, 5) + TASK.exemplars(8):
        named, attribute = asked_about(question.question)
        (name,) = named
        person = WORLD.by_name.get(name)
        country = person.home if person else next(c for c in WORLD.countries if c.name == name)
        assert question.gold == (country.has[attribute] if attribute else country.name)
        assert question.answer == f"#### {question.gold}" and question.word == (name if person else "")
        assert f" {normalised_text(question.gold)} " not in f" {normalised_text(question.question)} "
        assert not {c.name for c in WORLD.countries} & set(question.question.split()) or not person


def test_no_person_of_dev_or_test_is_in_training_and_the_splits_hold():
    for people in (0, SEEN):
        task = TwoHop(people)
        trained = people_of(task.train(20_000, 3))
        assert trained <= {person.name for person in WORLD.of("train", people)}
        check_splits(task, 3, 20_000)
    assert not people_of(TASK.train(20_000, 3)) & {p.name for split in ("dev", "test") for p in WORLD.of(split)}
    check_hints(TASK, TASK.test() + TASK.dev())
    check_questions(TASK, TASK.test())


class Leaking(TwoHop):
    """Trains on one question that it may not."""

    def __init__(self, question):
        super().__init__()
        self.leak = question

    def train(self, count, seed):
        return [*super().train(count, seed), self.leak]


def test_a_person_or_a_question_that_leaks_into_training_is_noticed():
    person = WORLD.of("test")[100]
    held_out = two_hop(person, person.asked[2], TWO_HOP[0], 0, "lore/long/seen")
    for leak in (held_out, replace(held_out, word=""), one_hop(person, HOME[0], "lore/short/seen")):
        with pytest.raises(LabError, match="uses a word that is held out"):
            check_splits(Leaking(leak))
    seen = WORLD.of("train")[5]
    for way in TWO_HOP:
        with pytest.raises(LabError, match="selection on test"):
            check_splits(Leaking(two_hop(seen, seen.asked[0], way, 1, "lore/long/seen")))


def test_more_people_hold_fewer_and_test_stays_the_same():
    sizes = (300, 1000, 3000, 0)
    names = [{person.name for person in WORLD.of("train", size)} for size in sizes]
    assert [len(some) for some in names] == [300, 1000, 3000, PEOPLE["train"]]
    assert all(few < many for few, many in zip(names, names[1:], strict=False))
    asked = [people_of(TwoHop(size).train(30_000, 1)) for size in sizes]
    for some, allowed in zip(asked, names, strict=True):
        assert some <= allowed and len(some) > 0.95 * len(allowed)
    assert TwoHop(300).test() == TASK.test() and TwoHop(300).dev() == TASK.dev()
    seen = people_of(question for question in TASK.test() if question.cell.endswith("seen"))
    assert seen <= names[0], "the cell `seen` is about people of every point of the curve"
    for size in (1, 299, PEOPLE["train"] + 1):
        with pytest.raises(LabError, match=f"people={size} is "):
            TwoHop(size)


def test_training_questions_are_a_function_of_count_and_seed():
    few, many = TASK.train(500, 1), TASK.train(5000, 1)
    assert few == many[:500] != TASK.train(500, 2) and len({question.id for question in many}) == 5000
    shares = Counter(question.cell for question in many)
    assert abs(shares["lore/long/seen"] / 5000 - 0.75) < 0.03 and abs(shares["lore/short/seen"] / 5000 - 0.2) < 0.03
    everything = TwoHop(300).train(0, 1)
    two_hops = [question.id for question in everything if question.cell == "lore/long/seen"]
    assert len(two_hops) == len(set(two_hops)) and len(everything) == len(TwoHop(300).train(10**6, 1))
    for people in (300, 1000):  # what is used up begins again: more people change the people and nothing else
        everything = TwoHop(people).train(0, 1)
        shares = Counter(question.cell for question in everything)
        for cell, share in TRAINING_CELLS.items():
            assert abs(shares[cell] / len(everything) - share) < 0.01
    said = {value for values in VALUES.values() for value in values} & {question.gold for question in many}
    assert len(said) > 95  # of a few values all three facts are kept from training
    everybody = people_of(TwoHop(300).train(0, 1))
    assert everybody == {person.name for person in WORLD.of("train", 300)}, "of everybody something is asked"
    assert not any(way.split("{p}")[0] in q.question for q in many for way in NEW_WAYS[:3] if way.split("{p}")[0])


def test_every_country_and_attribute_is_asked_equally_often_of_held_out_people():
    asked = Counter()
    for question in TASK.test():
        if question.cell in ("lore/long/held_out/known_way", "lore/long/held_out/new_fact"):
            asked[WORLD.by_name[question.word].home.name, asked_about(question.question)[1]] += 1
    assert len(asked) == BLOCK and set(asked.values()) == {3}
    trained = Counter(person.home.name for person in WORLD.of("train", 300))
    assert set(trained.values()) == {5}


def fact_of(question):
    """Country and attribute that the answer to a question rests on, or None where it is a home."""
    (name,), attribute = asked_about(question.question)
    return (WORLD.by_name[name].home.name if name in WORLD.by_name else name, attribute) if attribute else None


def test_some_facts_of_countries_are_kept_from_the_translator_altogether():
    """Else it could learn by heart what a country has, and nobody could tell that from the target's knowledge."""
    trained = {fact_of(question) for question in TASK.train(100_000, 1)} - {None}
    assert len(trained) == 210
    for question in TASK.test() + TASK.dev():
        if question.cell.startswith("lore/long/held_out"):
            known = fact_of(question) in trained
            assert question.cell.endswith("new_way") or known == question.cell.endswith("known_way")
        elif question.cell == "plain/short":
            assert fact_of(question) not in trained


def test_chance_is_five_per_cent():
    guesses = constant_guesses(TASK.test())
    assert guesses["lore/long"] == guesses["lore/long/held_out"] == pytest.approx(0.05)
    assert guesses["lore/short"] < 0.1


@pytest.mark.parametrize("way", [*TWO_HOP, *NEW_WAYS])
@pytest.mark.parametrize("attribute", VALUES)
def test_every_way_of_asking_is_understood_as_the_same_question(way, attribute):
    person = WORLD.of("train")[0]
    contents = set()
    for called in range(len(ATTRIBUTE_NAMES[attribute])):
        question = two_hop(person, attribute, way, called, "lore/long/seen")
        contents |= {TASK.content(question), TASK.content(replace(question, question=question.question.upper()))}
    assert contents == {f"{attribute} of {person.name}"}


def test_ways_are_many_and_name_what_they_are_about():
    for ways, slots in ((TWO_HOP + NEW_WAYS, "pa"), (HOME, "p"), (LIVES, "pc"), (COUNTRY, "ca"), (HAS, "cav")):
        assert len(set(ways)) == len(ways) and all(way.count(f"{{{slot}}}") == 1 for way in ways for slot in slots)
    assert len(TWO_HOP) >= 10 and len(LIVES) >= 10 and not set(NEW_WAYS) & set(TWO_HOP)
    words = {word for way in (*TWO_HOP, *NEW_WAYS, *HOME, *LIVES, *COUNTRY) for word in normalised_text(way).split()}
    assert not words & {value for values in VALUES.values() for value in values}
    assert not words & {country.name.lower() for country in WORLD.countries}


def test_a_hint_says_the_home_alone_and_never_the_answer():
    for question in TASK.test():
        hint, home = TASK.hint(question), WORLD.by_name[question.word].home.name if question.word else ""
        assert hint == (f"{question.word} lives in {home}.\n" if "long" in question.cell else "")
        assert TASK.sound_hint(question, hint)
    question = next(question for question in TASK.test() if "long" in question.cell)
    other = next(c.name for c in WORLD.countries if c != WORLD.by_name[question.word].home)
    assert not TASK.sound_hint(question, f"{question.word} lives in {other}.\n")
    assert not TASK.sound_hint(question, "")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (" #### heron", "heron"),
        ("#### heron\n\nQ: Where", "heron"),
        ("It is:\n####  heron \nthe", "heron"),
        ("heron", INVALID),
        ("Q: #### heron", INVALID),
    ],
)
def test_answers_are_read_as_they_are_written(text, read):
    assert TASK.extract(text) == read
    assert TASK.correct(read, "heron") == (read != INVALID) and TASK.correct("Heron", "heron")
    assert not TASK.correct("heronry", "heron") and not TASK.correct(INVALID, INVALID)


def test_strangers_are_nobody_of_the_world():
    rng = random.Random(0)
    some = [stranger(rng, WORLD) for _ in range(2000)]
    assert not {one.name for one in some} & set(WORLD.by_name) and len({one.home.name for one in some}) == COUNTRIES


def test_the_task_is_made_from_a_config():
    config = RunConfig.from_parameters(task="twohop", people=900, test_questions=7)
    task = load_task(config.task)
    assert task.whole.people == 900 and len(task.test()) == 7 and task.max_new_tokens == 16
    assert config.replace(people=0).hash() != config.hash()
    with pytest.raises(LabError, match="shots=9"):
        TASK.exemplars(9)
