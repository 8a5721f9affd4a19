"""Texts tokenised by another thread: the same tokens, earlier; and what is remembered holds under two threads."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from sums_task import Sums
from tiny_training import config, fresh, weights_of

import lab.models.frozen as frozen
import lab.training.texts as texts
from lab.models import build_inputs
from lab.training.loop import train
from lab.training.objective import Batch
from lab.training.texts import TextsAhead
from lab.translators import Bridge, build_translator

QUESTIONS = Sums().train(12, 1)
LAYOUTS = ({"layout": "soft_only"}, {"layout": "soft_plus_text"}, {"injection": "adapter"})


@pytest.fixture
def bridge(tiny_pair, monkeypatch):
    for model in (tiny_pair.source, tiny_pair.target):
        monkeypatch.setattr(model, "_known_tokens", {})
    return Bridge(tiny_pair.source, build_translator(config().translator, tiny_pair, "all"))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_step_finds_all_its_tokens(tiny_pair, bridge, layout):
    batch, target, layout = Batch(QUESTIONS[:4], {}), tiny_pair.target, config(**layout).layout.at(1)
    ahead = TextsAhead(bridge, target)
    ahead.tokenise(batch, batch, layout)
    ahead._thread.shutdown(wait=True)
    for model in (tiny_pair.source, target):
        known = model._known_tokens
        assert known == {text: model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in known} != {}
    known = [dict(model._known_tokens) for model in (tiny_pair.source, target)]
    bridge.read(batch.questions)
    soft = torch.zeros(4, 2, target.embedding_size)
    build_inputs(target, target.reads(layout), soft, batch.contexts, batch.answers)
    assert known == [model._known_tokens for model in (tiny_pair.source, target)]


@pytest.fixture
def trained(tiny_pair, bridge, tmp_path, monkeypatch):
    """Digests of a training that knows no text when it begins: (without the thread, then with it)."""

    def run(name):
        for model in (tiny_pair.source, tiny_pair.target):
            monkeypatch.setattr(model, "_known_tokens", {})
        return weights_of(train(config(), tiny_pair, Sums(), fresh(tmp_path / name, config())).translator)

    make, alone = TextsAhead.__init__, run("alone")

    def wanted(self, *given):
        make(self, *given)
        self.wanted = True

    monkeypatch.setattr(TextsAhead, "__init__", wanted)
    return alone, run


def test_training_beside_the_thread_ends_in_the_same_bits(trained, monkeypatch):
    """Also where that thread fails at every text."""
    alone, run = trained
    assert run("beside") == alone
    asked = []

    def fails(*given):
        asked.append(given)
        raise ValueError("no tokens here")

    monkeypatch.setattr(texts, "tokenise", fails)
    assert run("failed") == alone and asked


def test_wrong_tokens_of_the_thread_would_show(trained, monkeypatch):
    alone, run = trained

    def wrong(target, layout, contexts, answers):
        target._known_tokens.update({f" {answer}": [5] for answer in answers})

    monkeypatch.setattr(texts, "tokenise", wrong)
    monkeypatch.setattr(TextsAhead, "tokenise", TextsAhead._tokenise)  # at once, so that no step is before it
    assert run("wrong") != alone


def test_no_work_piles_up(tiny_pair, bridge, monkeypatch):
    begun, go_on = [], Event()

    def slow(*given):
        begun.append(given)
        go_on.wait(60)

    monkeypatch.setattr(texts, "tokenise", slow)
    batch, ahead = Batch(QUESTIONS[:2], {}), TextsAhead(bridge, tiny_pair.target)
    for _ in range(20):
        ahead.tokenise(batch, batch, config().layout.at(1))
    go_on.set()
    ahead._thread.shutdown(wait=True)
    assert len(begun) == 1


def test_what_is_remembered_holds_under_two_threads(tiny_pair, bridge, monkeypatch):
    """The limit is passed again and again, in both."""
    monkeypatch.setattr(frozen, "KNOWN_TEXTS", 5)
    lines = [[f"{word} {number}" for word in ("a", "bc", "def")] for number in range(200)]
    expected = [
        [tiny_pair.source.tokenizer(text, add_special_tokens=False)["input_ids"] for text in line] for line in lines
    ]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(tiny_pair.source.tokens, lines * 3))
    assert found == expected * 3
    assert len(tiny_pair.source._known_tokens) <= 5 + 3 * 4
