"""Laws of the two-hop counterfactual: who moved has nothing in common with before, who stayed has everything."""

import pytest
import torch

from lab.answers.generation import AnswerCache
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.realworld.corpus import source_document
from lab.studies.edited_homes import choose_moves, moved_source, questions_of_two_homes
from lab.studies.measured import Candidate
from lab.studies.probe import quantity
from lab.studies.trial import probe_source, run_counterfactual
from lab.tasks.people import VALUES, world
from lab.tasks.twohop import TwoHop
from lab.translators import build_translator
from lab.translators.bridge import Bridge


def test_moves_are_of_held_out_people_to_a_country_with_nothing_in_common():
    moves = choose_moves(60)
    assert moves == choose_moves(60) != choose_moves(60, seed=1) and len(moves) == 60
    for name, home in moves.items():
        person = world().by_name[name]
        assert person.split == "test" and all(home.has[a] != person.home.has[a] for a in VALUES)
    for count in (0, 601):
        with pytest.raises(LabError, match="choose 1 to 600"):
            choose_moves(count)


def test_questions_fit_both_worlds():
    moves = choose_moves(6)
    found = questions_of_two_homes(moves, 5)
    assert len({item.before.id for item in found}) == len(found) == 60 and sum(item.edited for item in found) == 30
    for item in found:
        person = world().by_name[item.before.word]
        assert item.before.question == item.after.question and person.split == "test"
        assert (item.before.gold != item.after.gold) == item.edited == (person.name in moves)
        assert item.before.gold in person.home.has.values()
        assert item.after.gold in moves.get(person.name, person.home).has.values()
    assert len(questions_of_two_homes(moves, 2)) == 24


def test_the_source_is_told_the_new_homes_in_a_copy(tiny_pair, monkeypatch):
    told = []

    def heard(rng, draw):
        told.append(draw())
        return source_document(rng, draw)

    monkeypatch.setattr("lab.studies.edited_homes.source_document", heard)
    before = [weight.clone() for weight in tiny_pair.source.model.parameters()]
    moves = choose_moves(3)
    edited = moved_source(tiny_pair.source, moves, steps=20, batch_size=4, learning_rate=1e-3)
    after = list(tiny_pair.source.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, edited.model.parameters(), strict=True))
    assert not any(weight.requires_grad for weight in edited.model.parameters())
    assert edited.dtype == tiny_pair.source.dtype and edited.name.endswith(" edited")
    for person in told:
        assert person.home == moves.get(person.name, world().by_name[person.name].home)
    share = sum(person.name in moves for person in told) / len(told)
    assert 0.3 < share < 0.7


def test_the_counterfactual_runs_for_the_task(tiny_pair, monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})
    config = RunConfig.from_parameters(task="twohop", soft_tokens=2, width=16, depth=1, heads=2, max_new_tokens=6)
    bridge = Bridge(tiny_pair.source, build_translator(config.translator, tiny_pair, "all"))
    rows, counts = run_counterfactual(Candidate(config, bridge), tiny_pair, TwoHop(), words=2, steps=2, each=2)
    assert [entry["n"] for entry in counts.values()] == [4, 4] and len(rows) == 8
    assert run_counterfactual(Candidate(config, bridge), tiny_pair, TwoHop(), words=0, steps=2, each=2) == ([], {})


def test_the_probe_reads_homes_and_answers(tiny_pair):
    for question in TwoHop().test()[:200]:
        home = quantity(question, "home")
        assert home == (world().by_name[question.word].home.name if question.word else None)
        assert quantity(question, "answer") == question.gold

    class Few(TwoHop):
        def test(self):
            return super().test()[:30]

    rows = probe_source(tiny_pair, Few(), "last", 60)
    assert {(row["quantity"], row["position"]) for row in rows} == {
        (name, place) for name in ("home", "answer") for place in ("word", "last", "mean")
    }
    assert all(0 <= row["accuracy"] <= 1 and row["layer"] == 3 for row in rows)
    assert probe_source(tiny_pair, TwoHop(), "last", 0) == []
