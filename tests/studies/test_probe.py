"""Laws of the probe and the counterfactual: a planted fact is found, edits change what they say and nothing else."""

import random

import pytest
import torch

from lab.answers.generation import AnswerCache
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.minipair.corpus import documents, no_lore_document, source_document
from lab.minipair.no_lore import no_lore_recipe
from lab.pictures.evidence_figures import follow_figure, probe_figure
from lab.studies.counterfactual import (
    choose_edits,
    edit_source,
    edited_lore,
    follow,
    follow_counts,
    two_world_questions,
)
from lab.studies.probe import POSITIONS, QUANTITIES, linear_readout, probe, quantity, read_states
from lab.tasks import source_text
from lab.tasks.lore import UNSEEN_CAPACITIES, lore, lore_by_word
from lab.tasks.minigsm import MiniGSM
from lab.translators import build_translator
from lab.translators.bridge import Bridge


def test_a_planted_label_is_read_and_a_shuffled_one_is_not():
    generator = torch.Generator().manual_seed(0)
    labels = [i % 4 for i in range(200)]
    features = torch.randn(200, 32, generator=generator) * 0.3
    features[range(200), labels] += 2
    train = [i < 120 for i in range(200)]
    right, said = linear_readout(features, labels, train)
    assert sum(right[120:]) / 80 > 0.97 and set(said) == {0, 1, 2, 3}
    random.Random(0).shuffle(labels)
    wrong, _ = linear_readout(features, labels, train)
    assert sum(wrong[120:]) / 80 < 0.5
    with pytest.raises(LabError, match="two different labels"):
        linear_readout(features, [1] * 200, train)


def test_the_rows_that_are_asked_do_not_shape_the_read_out():
    features = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    labels = [random.Random(row).randrange(4) for row in range(200)]
    train = [row < 120 for row in range(200)]
    _, said = linear_readout(features, labels, train)
    features[120:] = 50 * features[120:] + 9
    assert linear_readout(features, labels, train)[1][:120] == said[:120]


def test_quantities_are_those_of_the_gold_solution():
    for question in MiniGSM().test()[:50]:
        assert quantity(question, "answer") == int(question.gold)
        assert f"<<{quantity(question, 'first operand')}" in question.answer
        assert (quantity(question, "capacity") is None) == (question.word == "")


def test_states_are_read_where_the_word_stands(tiny_pair):
    question = next(question for question in MiniGSM().test() if question.word)
    states = read_states(tiny_pair.source, [question, question], "all")
    assert states.shape == (2, len(POSITIONS), 3, 32)
    whole = tiny_pair.source.source_states([source_text(question.question)], "all").states[0]
    torch.testing.assert_close(states[0, 1], whole[-1])
    torch.testing.assert_close(states[0, 2], whole.mean(dim=0))
    distance = (whole - states[0, 0]).abs().amax(dim=(1, 2))
    tokens = tiny_pair.source.tokens([source_text(question.question)])[0]
    upto = tiny_pair.source.tokenizer.decode(tokens[: distance.argmin().item() + 1 - (len(whole) - len(tokens))])
    assert distance.min() < 1e-5 and question.word in upto


def test_probe_rows(tiny_pair):
    task = MiniGSM()
    rows = probe(tiny_pair.source, task.train(30, 1), task.test()[:20], "last")
    assert len(rows) == len(QUANTITIES) * len(POSITIONS)
    assert all(0 <= row["accuracy"] <= 1 and row["layer"] == 3 for row in rows)
    assert probe_figure(rows).data


def test_edits_change_held_out_words_alone():
    edits = choose_edits(12)
    assert edits == choose_edits(12) != choose_edits(12, seed=1) and len(edits) == 12
    for word, capacity in edits.items():
        known = lore_by_word()[word]
        assert known.split == "held_out" and capacity != known.capacity and capacity not in UNSEEN_CAPACITIES
    changed = {container.word: container.capacity for container in edited_lore(edits)}
    assert {word for word, capacity in changed.items() if capacity != lore_by_word()[word].capacity} == set(edits)
    with pytest.raises(LabError, match="choose 1 to"):
        choose_edits(0)


def test_two_worlds_share_the_text_and_differ_in_the_answer():
    edits = choose_edits(4)
    found = two_world_questions(edits, 3)
    assert sum(item.edited for item in found) == 12 and len({item.before.id for item in found}) == len(found) == 24
    for item in found:
        assert item.before.question == item.after.question
        assert (item.before.gold != item.after.gold) == item.edited == (item.before.word in edits)


def test_the_source_is_edited_in_a_copy(tiny_pair, monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})
    before = [p.clone() for p in tiny_pair.source.model.parameters()]
    edits = choose_edits(2)
    losses = []
    edited = edit_source(tiny_pair.source, edits, steps=4, batch_size=4, learning_rate=1e-2,
                         progress=lambda step, loss: losses.append(loss))  # fmt: skip
    assert losses[-1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, tiny_pair.source.model.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, edited.model.parameters(), strict=True))
    assert not any(p.requires_grad for p in edited.model.parameters())
    config = RunConfig.from_parameters(layout="soft_only", soft_tokens=2, width=16, depth=1, heads=2, max_new_tokens=8)
    bridge = Bridge(tiny_pair.source, build_translator(config.translator, tiny_pair, "all"))
    rows = follow(config, tiny_pair, MiniGSM(), bridge, edited, two_world_questions(edits, 2), progress=False)
    counts = follow_counts(rows)
    assert [entry["n"] for entry in counts.values()] == [4, 4] and follow_figure(counts).data


def test_the_corpus_is_as_it_was_and_its_control_teaches_no_word():
    assert documents("source", 3, "x") == [
        source_document(rng) for rng in [random.Random("source corpus x")] for _ in range(3)
    ]
    held = {}
    for seed in range(300):
        text = no_lore_document(random.Random(seed))
        for container in lore():
            if f"A {container.word} holds " in text:
                held.setdefault(container.word, set()).add(text.split(f"A {container.word} holds ")[1].split(".")[0])
    assert no_lore_recipe(5).documents == 5 and no_lore_recipe().role == "source_no_lore"
    assert no_lore_recipe().hidden == 160
