"""An evaluation that runs out of a GPU's memory goes on with half as many questions at a time."""

import weakref

import pytest
import torch
from evaluations import alike, evaluated
from planted_world import CONFIG, QUESTIONS, Sums

import lab.answers.together as together
from lab.answers.choosing import respond
from lab.answers.generation import AnswerCache
from lab.answers.memory import Halving
from lab.errors import LabError

ARMS = ("source", "target", "token_budget")


@pytest.fixture
def room(tiny_pair, monkeypatch):
    """Let the models hold so many rows and no more; the batches that were tried, and fitted."""
    tried, fitted = [], []

    def install(most):
        def answered(evaluation, model, inputs, questions):
            tried.append(len(questions))
            if len(questions) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            fitted.append(len(questions))
            return respond(evaluation, model, inputs, questions)

        monkeypatch.setattr(together, "respond", answered)
        return tried, fitted

    monkeypatch.setattr(AnswerCache, "_memory", {})
    monkeypatch.setattr(tiny_pair, "fitted", {})
    return install


def test_it_halves_its_batches_and_ends_in_the_same_records(tiny_pair, room, monkeypatch, capsys):
    config = CONFIG.replace(eval_batch_size=8)
    whole = evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS)
    monkeypatch.setattr(AnswerCache, "_memory", {})
    tried, fitted = room(2)
    halved = evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS)
    assert halved == alike(whole) and max(fitted) == 2 and sum(fitted) >= 3 * len(QUESTIONS)
    assert sum(size > 2 for size in tried) == 2 * 2  # 8, then 4, once for each model: what fitted is remembered
    out = capsys.readouterr().out
    assert "source: out of memory with 8 questions at a time, going on with 4" in out


def test_captured_graphs_make_room_before_a_batch_is_halved(tiny_pair, room, monkeypatch, capsys):
    """Once for each model that is asked: what is captured meanwhile belongs to this evaluation."""
    config = CONFIG.replace(eval_batch_size=8)
    whole = evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS)
    monkeypatch.setattr(AnswerCache, "_memory", {})
    tried, fitted = room(4)
    captured = tiny_pair.target.captured
    graph = captured.known["a shape"] = Sums()
    found, respond_ = weakref.ref(graph), together.respond
    del graph

    def answered(*given):
        captured.known.setdefault("another shape", 1)  # as decoding does
        return respond_(*given)

    monkeypatch.setattr(together, "respond", answered)
    monkeypatch.setattr(captured, "_pool", "a pool")
    assert evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS) == alike(whole)
    assert tried[:3] == [8, 8, 4] and max(fitted) == 4
    assert found() is None and captured._pool is None
    captured.known.clear()
    assert "8 questions at a time, trying once more without graphs" in capsys.readouterr().out


def test_the_next_evaluation_begins_with_what_fitted_and_leaves_the_graphs(tiny_pair, room, monkeypatch):
    config = CONFIG.replace(eval_batch_size=8)
    tried, _ = room(4)
    first = evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS)
    monkeypatch.setattr(AnswerCache, "_memory", {})
    monkeypatch.setitem(tiny_pair.target.captured.known, "a shape", Sums())
    tried.clear()
    assert evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS) == first
    assert max(tried) == 4 and "a shape" in tiny_pair.target.captured.known


def test_where_not_one_question_fits_it_says_so(tiny_pair, room):
    room(0)
    with pytest.raises(
        LabError, match="source: the GPU's memory holds not one question at a time; lower max_new_tokens"
    ):
        evaluated(CONFIG, tiny_pair, Sums(), QUESTIONS, ARMS)


def test_every_row_is_done_once_whatever_fits():
    for most in (1, 2, 3, 5, 100):
        done = []

        def work(rows, most=most, done=done):
            if len(rows) > most:
                raise torch.OutOfMemoryError
            done += rows
            return len(rows)

        halving = Halving(work, "all")
        assert sum(sum(halving(list(range(start, start + 7)))) for start in (0, 7)) == 14
        assert done == list(range(14))


def test_another_error_is_not_taken_for_lack_of_memory():
    def work(rows):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        list(Halving(work, "all")([1, 2]))
