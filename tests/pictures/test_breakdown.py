"""The picture of time and memory draws every part, of the run and of its control, and says what it cannot know."""

import pytest

from lab.clock import Clock, part
from lab.pictures.breakdown import CONTROL, NOT_TOLD, WORK, breakdown_figure, breakdown_table
from lab.pictures.theme import CLEAR, INK, on_paper

MIB = 2**20


def record(memory="device", **parts):
    """Part -> seconds; each was entered twice and held as many MiB as it took seconds."""
    rows = {
        name.replace("__", ": "): {
            "seconds": seconds, "times": 2, "peak_bytes": None if memory is None else int(seconds * MIB)
        }
        for name, seconds in parts.items()
    }  # fmt: skip
    return {"device": "cuda", "memory": memory, "sessions": ["a"], "seconds": sum(parts.values()), "parts": rows}


SPENT = record(load=4.0, source=8.0, made_up=1.0, evaluation=2.0, evaluation__source=16.0, other=1.0)
BESIDE = SPENT | {CONTROL: record(translator=2.0, other=6.0)}


def bars(figure, axis):
    return [trace for trace in figure.data if trace.type == "bar" and (trace.xaxis or "x") == axis and trace.y[0]]


def test_every_part_is_drawn_with_its_seconds():
    figure = breakdown_figure(BESIDE)
    for axis, spent in (("x", SPENT), ("x3", BESIDE[CONTROL])):
        drawn = {trace.name: (trace.x[0], trace.y[0]) for trace in bars(figure, axis)}
        assert drawn == {
            name: (spent["seconds"], name.split(":")[0]) for name, spent in spent["parts"].items()
        }  # fmt: skip


def test_a_row_has_the_most_memory_of_what_is_in_it():
    (peaks,) = bars(breakdown_figure(SPENT), "x2")
    assert dict(zip(peaks.y, peaks.x, strict=True)) == {"load": 4, "source": 8, "made_up": 1, "evaluation": 16,
                                                        "other": 1}  # fmt: skip


def test_a_colour_is_a_kind_of_work():
    shown = {trace.name: trace.marker.color for trace in bars(breakdown_figure(SPENT), "x")}
    assert shown["source"] == shown["evaluation: source"] == WORK["source"] != shown["evaluation"] == shown["load"]


def test_shares_are_of_the_whole_and_stand_at_the_bars():
    (texts,) = [trace for trace in breakdown_figure(SPENT).data if trace.type == "scatter" and trace.xaxis == "x"]
    assert dict(zip(texts.y, (text.strip() for text in texts.text), strict=True)) == {
        "load": "12.5 %", "source": "25.0 %", "made_up": "3.1 %", "evaluation": "56.2 %", "other": "3.1 %",
    }  # fmt: skip
    assert dict(zip(texts.y, texts.x, strict=True))["evaluation"] == 18


@pytest.mark.parametrize("memory, said", [("device", "allocated"), ("resident", "resident"), (None, "not told")])
def test_it_says_of_which_memory(memory, said):
    figure = breakdown_figure(record(memory, load=1.0))
    assert said in figure.layout.annotations[1].text


def test_the_table_has_every_part_and_the_whole():
    shown = breakdown_table(BESIDE)
    assert shown.column("part") == [*SPENT["parts"], "translator"]
    assert shown.column("seconds")[:2] == ["4", "8"] and shown.column("control, s")[-1] == "2"
    assert shown.column("most memory, MiB")[4] == "16" and shown.foot == ["whole", "32", "100.0", "", "16", "8", "6"]
    assert len(breakdown_table(SPENT).columns) == len(breakdown_table(SPENT).foot) == 5
    assert set(breakdown_table(record(None, load=1.0)).column("most memory, MiB")) == {""}


def test_a_run_without_a_record_is_one_sentence():
    assert NOT_TOLD in breakdown_figure({}).layout.title.text and not breakdown_figure({}).data
    assert str(breakdown_table({})) == NOT_TOLD


def test_it_can_be_read_on_both_grounds():
    figure = breakdown_figure(BESIDE)
    assert figure.layout.paper_bgcolor == CLEAR and INK not in on_paper(figure).to_json()


def test_it_draws_what_a_clock_records():
    clock = Clock()
    with clock.running(), part("evaluation"), part("source"):
        pass
    assert {trace.name for trace in bars(breakdown_figure(clock.record()), "x")} == set(clock.record()["parts"])
