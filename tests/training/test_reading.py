"""Reading the source ahead: the states that each step would have read by itself, in fewer passes."""

from contextlib import nullcontext

import pytest
import torch
from sums_task import Sums
from tiny_training import choosing, config, fresh, weights_of

import lab.training.reading as reading
from lab.training.batches import Batches
from lab.training.loop import train
from lab.training.reading import ReadAhead
from lab.translators import Bridge, build_translator

QUESTIONS = Sums().train(10, 1)


def reader(pair, window, size=4, translator="resampler", **found):
    bridge = Bridge(pair.source, build_translator(config(translator=translator).translator, pair, "all"))
    batches = Batches([len(question.question) for question in QUESTIONS], size, seed=1)
    made = ReadAhead(bridge, batches, QUESTIONS, steps=7)
    made.window = window
    return made


@pytest.fixture
def passes(tiny_pair):
    """The rows of every pass of the source."""
    rows = []
    hook = tiny_pair.source.base.register_forward_pre_hook(
        lambda _, __, named: rows.append(len(named["input_ids"])), with_kwargs=True
    )
    yield rows
    hook.remove()


def test_each_step_gets_what_it_would_have_read(tiny_pair, passes):
    ahead = reader(tiny_pair, window=3)
    for step in range(7):
        found = ahead.at(step)
        alone = ahead.bridge.read([QUESTIONS[index] for index in ahead.batches.indices(step)])
        assert torch.equal(found.ids, alone.ids) and torch.equal(found.mask, alone.mask)
        torch.testing.assert_close(found.states, alone.states, rtol=1e-4, atol=1e-5)
    assert len(passes) == 3 + 7  # three windows, and one pass of our own at every step


def test_what_a_pass_holds_is_bounded(tiny_pair, passes, monkeypatch):
    whole = reader(tiny_pair, window=2).at(0)
    assert len(passes) == 1
    monkeypatch.setattr(reading, "MOST_ROWS", 3)
    torch.testing.assert_close(reader(tiny_pair, window=2).at(0).states, whole.states, rtol=1e-4, atol=1e-5)
    assert max(passes[1:]) == 3
    monkeypatch.setattr(reading, "IN_A_PASS", 1)
    del passes[:]
    reader(tiny_pair, window=2).at(0)
    assert set(passes) == {1}


def test_states_put_into_the_hosts_room_are_those_that_were_read(tiny_pair, monkeypatch):
    """Where the source leaves the device: in several passes, and window after window in the same room."""
    expected = [reader(tiny_pair, window=3).at(step) for step in range(7)]
    monkeypatch.setattr(reading, "MOST_ROWS", 3)
    monkeypatch.setattr(type(tiny_pair.source), "at_home", lambda self: nullcontext())
    monkeypatch.setattr(tiny_pair.source, "residence", object())
    ahead = reader(tiny_pair, window=3)
    rooms = set()
    for step in range(7):
        found = ahead.at(step)
        rooms.add(ahead._room.states.data_ptr())
        assert torch.equal(found.ids, expected[step].ids)
        torch.testing.assert_close(found.states, expected[step].states, rtol=1e-4, atol=1e-5)
    assert len(rooms) == 1


def test_a_room_that_is_too_small_grows_and_keeps_what_it_holds():
    room, states = reading._Room(), torch.randn(9, 2, 4)
    room.put(states[:4], 0, expected=5)
    small = room.states
    assert len(small) == 5
    room.put(states[4:], 4, expected=5)
    assert room.states is not small and torch.equal(room.states[:9], states)
    assert torch.equal(room.brought([(6, 2), (0, 3)], torch.device("cpu")), torch.cat([states[6:8], states[:3]]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="brings states to a GPU")
def test_a_room_is_not_written_anew_before_a_gpu_has_brought_what_was_in_it():
    """The device is far behind with all that it is given, the bringing among it."""
    room, first = (
        reading._Room(),
        torch.randint(1000, (4096, 4, 64), device="cuda").float(),
    )  # a round is added to them exactly
    room.put(first, 0, expected=4096)
    for round_ in range(20):
        torch.cuda._sleep(10**7)
        found = room.brought([(4000, 96), (0, 2000)], first.device)
        doubled = found * 2
        del found  # its memory may be used again, but not before it was read
        room.put(first + round_ + 1, 0, expected=4096)
        expected = torch.cat([first[4000:], first[:2000]]) + round_
        assert torch.equal(doubled, 2 * expected)


def test_a_window_begun_in_its_middle_is_read_in_the_same_batches(tiny_pair):
    first = reader(tiny_pair, window=3)
    for step in range(4):
        first.at(step)
    assert torch.equal(first.at(4).states, reader(tiny_pair, window=3).at(4).states)


def test_without_a_gpu_or_without_a_source_nothing_is_read_ahead(tiny_pair, passes):
    made = ReadAhead(reader(tiny_pair, 1).bridge, reader(tiny_pair, 1).batches, QUESTIONS, 7)
    assert made.window == 1
    constant = reader(tiny_pair, window=1, translator="constant")
    constant.at(0)
    assert constant._steps_of_a_window() == 1 and not passes


@pytest.mark.parametrize("bytes_", [10**4, 10**6, 10**7])
def test_a_window_holds_as_much_as_there_is_room_for(tiny_pair, monkeypatch, bytes_):
    ahead = reader(tiny_pair, 1)
    held = sum(ahead.bridge.read([question]).states.nbytes for question in QUESTIONS) / 10 * 4  # of a step
    monkeypatch.setattr(reading, "ON_DEVICE", bytes_)
    monkeypatch.setattr(tiny_pair.source, "device", torch.device("cuda"))
    assert ahead._steps_of_a_window() == pytest.approx(max(1, min(bytes_ // held, 1024 // 4)), abs=1)
    monkeypatch.setattr(reading, "MOST_ROWS", 8)  # one full pass
    assert ahead._steps_of_a_window() <= 2


def test_training_is_the_same(tiny_pair, tmp_path, monkeypatch):
    def run(name):
        made = fresh(tmp_path / name, config(dropout=0.0))
        result = train(config(dropout=0.0), tiny_pair, Sums(), made, choosing(lambda *_: {"accuracy": 1.0, "n": 2}))
        return [row["loss"] for row in made.metrics() if row["kind"] == "step"], weights_of(result.translator)

    plain, again = run("plain"), run("again")
    assert plain == again
    monkeypatch.setattr(ReadAhead, "_steps_of_a_window", lambda self: 4)
    ahead, _ = run("ahead")
    assert ahead == pytest.approx(plain[0], rel=1e-4)
