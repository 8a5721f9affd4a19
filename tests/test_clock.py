"""Laws of the clock: the parts are the whole, nothing is counted twice, and where no clock runs nothing happens."""

import ast
import json
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_time import Late, Ticking

import lab
from lab import clock as clocks
from lab.clock import OTHER, PARTS, RESIDENT, UNREAD, Clock, DeviceMeter, HostMeter, part, running_clock

LAB = Path(lab.__file__).parent


def seconds_of(clock) -> dict[str, float]:
    return {name: spent["seconds"] for name, spent in clock.record()["parts"].items()}


def work(tree) -> int:
    """Open parts as a tree of names has them; how many there were."""
    return sum(1 + inside(name, inner) for name, inner in tree)


def inside(name, tree) -> int:
    with part(name):
        return work(tree)


trees = st.recursive(
    st.just([]), lambda inner: st.lists(st.tuples(st.sampled_from(["source", "translator", "evaluation"]), inner)),
    max_leaves=20,
)  # fmt: skip


@given(trees)
def test_the_parts_are_the_whole(tree):
    """However they nest: every second between the first border and the last belongs to one part."""
    clock = Clock(meter=Ticking())
    with clock.running():
        count = work(tree)
    record = clock.record()
    assert sum(seconds_of(clock).values()) == record["seconds"] == clock.meter.now - 1 == 2 * count + 1
    assert sum(spent["times"] for spent in record["parts"].values()) == count


def test_a_part_inside_another_is_taken_off_it():
    clock = Clock(meter=Late())
    with clock.running():
        clock.meter.work(1.0)
        with part("evaluation"):
            clock.meter.work(2.0)
            with part("source"):
                clock.meter.work(4.0)
            clock.meter.work(8.0)
        with part("source"):
            clock.meter.work(16.0)
    assert seconds_of(clock) == {"source": 16, "evaluation": 10, "evaluation: source": 4, OTHER: 1}
    assert clock.record()["seconds"] == 31


def test_nobody_waits_for_a_device_but_who_asks_for_the_sums():
    clock = Clock(meter=Late())
    with clock.running():
        for _ in range(UNREAD):
            with part("source"):
                clock.meter.work(1.0)
        assert clock.meter.waits == 0
        assert clock.record()["seconds"] == UNREAD and clock.meter.waits == 1
        with part("source"):  # and it goes on
            clock.meter.work(1.0)
    assert seconds_of(clock)["source"] == UNREAD + 1


def test_what_a_device_has_reached_is_not_kept():
    clock = Clock(meter=Ticking())
    with clock.running():
        for _ in range(3 * UNREAD):
            with part("source"):
                pass
    assert len(clock._unread) < UNREAD


def test_the_peak_of_a_part_is_of_its_own_moments():
    """Ticking holds more with every border: a part's most is what it held at its end, and no other part's."""
    clock = Clock(meter=Ticking())
    with clock.running():  # the first look at memory is thrown away: it tells of what came before
        with part("load"):
            pass
        with part("source"):
            pass
    peaks = {name: spent["peak_bytes"] for name, spent in clock.record()["parts"].items()}
    assert peaks == {"load": 3, "source": 5, OTHER: 6}


def test_a_clock_that_stands_counts_nothing():
    clock = Clock(meter=Ticking())
    with clock.running():
        pass
    before = clock.record()
    with part("source"):
        clock.meter.mark()
    assert clock.record() == before and running_clock() is None


def test_an_exception_leaves_the_clock_sound():
    clock = Clock(meter=Ticking())
    with pytest.raises(KeyboardInterrupt), clock.running(), part("evaluation"), part("source"):
        raise KeyboardInterrupt
    assert running_clock() is None
    with clock.running(), part("translator"):
        assert running_clock() is clock
    record = clock.record()
    assert set(record["parts"]) == {"evaluation", "evaluation: source", "translator", OTHER}
    assert math.fsum(seconds_of(clock).values()) == record["seconds"]


@pytest.mark.parametrize("same", [True, False])
def test_no_time_is_in_two_clocks(same):
    outer = Clock(meter=Late())
    inner = outer if same else Clock(meter=outer.meter)
    with outer.running(), part("evaluation"):
        outer.meter.work(1.0)
        with inner.running(), part("source"):
            outer.meter.work(2.0)
        outer.meter.work(4.0)
    if same:
        assert seconds_of(outer)["evaluation"] == 5 and seconds_of(outer)["evaluation: source"] == 2
    else:
        assert (outer.record()["seconds"], inner.record()["seconds"]) == (5, 2)


def test_a_function_can_be_a_part():
    @part("source")
    def twice(number):
        """Doubles."""
        return 2 * number

    clock = Clock(meter=Ticking())
    assert twice(2) == 4
    with clock.running():
        assert [twice(3), twice(4)] == [6, 8]
    assert clock.record()["parts"]["source"]["times"] == 2 and twice.__doc__ == "Doubles."


def test_earlier_sessions_are_added_and_none_of_them_twice():
    first, second, third = (Clock(meter=Ticking()) for _ in range(3))
    second.session, third.session = "second", "third"
    with first.running(), part("source"):
        kept = json.loads(json.dumps(first.record()))
        with part("translator"):
            pass  # after the checkpoint: a kill loses it
    with second.running():
        second.go_on(kept)
        with part("source"):
            pass
        again = second.record()
        second.go_on(again)  # its own checkpoint, where a cell is run again
        second.go_on(kept)
    record = second.record()
    assert record["seconds"] == kept["seconds"] + 4 and record["parts"]["source"]["times"] == 2
    assert record["parts"]["source"]["seconds"] == kept["parts"]["source"]["seconds"] + 1
    assert record["sessions"] == [first.session, "second"] and "translator" not in str(record)
    third.go_on(again)
    assert third.record() == again | {"sessions": [first.session, "second", "third"]}
    third.go_on({})  # a checkpoint of before there was a clock
    assert third.record()["seconds"] == again["seconds"]


def test_peaks_of_another_kind_of_memory_are_left_out():
    first, second = Clock(meter=Ticking()), Clock(meter=Late())
    with first.running(), part("load"):
        pass
    second.session = "second"
    second.go_on(first.record())
    assert second.record()["parts"]["load"] == first.record()["parts"]["load"] | {"peak_bytes": None}


def test_the_time_is_that_of_the_wall():
    clock, before = Clock(), time.perf_counter()
    with clock.running():
        began = time.perf_counter()
        with part("source"):
            pass
        least = time.perf_counter() - began
    assert least <= clock.record()["seconds"] <= time.perf_counter() - before


@pytest.mark.skipif(HostMeter().memory is None, reason="this system does not tell the peak of one part")
def test_resident_memory_is_measured_anew_for_each_part():
    size, clock = 64 * 2**20, Clock()
    with clock.running():
        with part("load"):
            held = bytearray(size)
            held[::4096] = b"x" * len(held[::4096])
            del held
        with part("source"):
            pass
    parts = clock.record()["parts"]
    assert clock.record()["memory"] == RESIDENT
    assert parts["load"]["peak_bytes"] - parts["source"]["peak_bytes"] > size / 2


def test_where_memory_cannot_be_told_there_is_none(monkeypatch):
    monkeypatch.setattr(clocks, "most_resident", lambda: None)
    clock = Clock()
    with clock.running(), part("source"):
        pass
    record = clock.record()
    assert record["memory"] is None and {spent["peak_bytes"] for spent in record["parts"].values()} == {None}


class Card:
    """A GPU as `torch.cuda` shows it: time passes on it alone, and it counts the most that was allocated."""

    def __init__(self) -> None:
        self.now, self.peak, self.devices = 0.0, 0, set()
        card = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self, stream):
                card.devices.add(stream)
                self.at = card.now

            def query(self):
                return True

            def synchronize(self):
                pass

            def elapsed_time(self, end):
                return 1000 * (end.at - self.at)

        self.Event = Event

    def current_stream(self, device):
        return str(device)

    def memory_stats_as_nested_dict(self, device):
        return {"allocated_bytes": {"all": {"peak": self.peak}}}

    def reset_peak_memory_stats(self, device):
        self.peak = 0


def test_a_gpu_is_read_by_its_events_and_its_allocator(monkeypatch):
    card = Card()
    monkeypatch.setattr(DeviceMeter, "__init__", lambda self, device: vars(self).update(cuda=card, device=device))
    clock = Clock("cuda:1")
    with clock.running():
        for name, seconds, peak in (("source", 2.0, 7), ("translator", 0.5, 3)):
            with part(name):
                card.now, card.peak = card.now + seconds, peak
    record = clock.record()
    assert (record["device"], record["memory"], card.devices) == ("cuda:1", "device", {"cuda:1"})
    assert record["parts"]["source"] == {"seconds": 2.0, "times": 1, "peak_bytes": 7}
    assert record["parts"]["translator"] == {"seconds": 0.5, "times": 1, "peak_bytes": 3}


def test_every_part_that_is_named_is_on_the_list():
    named = set()
    for path in LAB.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "part":
                (name,) = node.args
                named.add(name.value)
    assert named == set(PARTS) - {OTHER}
