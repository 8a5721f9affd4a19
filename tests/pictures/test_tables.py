"""Tables: one formatting for a terminal and a page, and nothing a model wrote reaches a page unescaped."""

import pandas
import pytest
from drawn_records import Tags, record
from payloads import PAYLOADS

from lab.evidence.summary import summarise
from lab.pictures.arm_tables import arms_table
from lab.pictures.numbers import format_p, number
from lab.pictures.tables import Table, frame_table, table


@pytest.fixture
def summary():
    return summarise([record(i) for i in range(40)])


@pytest.mark.parametrize("p, text", [(0.00001, "< .001"), (0.0312, ".031"), (1.0, "1"), (None, "")])
def test_p_values_are_short(p, text):
    assert format_p(p) == text


@pytest.mark.parametrize(
    "value, text",
    [(1.0, "1"), (1.50, "1.5"), (1234.567, "1,234.57"), (0.0, "0"), (1.552082e-64, "< 0.01"), (-0.001, "0"),
     (True, "yes"), (None, ""), (7, "7"), ("a", "a"), (float("nan"), "nan")],
)  # fmt: skip
def test_no_number_is_written_as_a_machine_writes_it(value, text):
    assert number(value) == text


def test_a_terminal_and_a_page_show_the_same_texts(summary):
    shown = arms_table(summary)
    assert shown.column("arm") == ["source", "target", "oracle", "latent", "latent_shuffled", "latent_constant"]
    accuracy = summary["arms"]["latent"]["accuracy"]
    assert shown.column("accuracy")[3] == f"{100 * accuracy:.1f}"
    assert shown.column("p vs latent")[1] == format_p(summary["tests"]["latent_vs_target"]["p"])
    page = Tags()
    page.feed(shown._repr_html_())
    for text in (*shown.columns, *(text for row in shown.rows for text in row), *shown.foot):
        assert text in page.text and text in str(shown)


def test_the_terminal_table_is_aligned(summary):
    lines = str(arms_table(summary)).split("\n")
    assert lines[0].split()[0] == "arm" and lines[0].endswith("p vs latent") and "95 % (Wilson)" in lines[0]
    assert len(lines) == 6 + 4 and max(map(len, lines)) <= 120
    assert lines[-1].split() == ["n", "40", "10", "10", "10", "10"]
    end = lines[0].index("accuracy") + len("accuracy")
    assert all(line[end - 1].isdigit() for line in lines[2:8])
    summary["arms"]["\x1b[31mred"] = summary["arms"].pop("source")
    assert "\x1b" not in str(arms_table(summary))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_page_escapes_every_text(payload):
    page = Tags()
    for shown in (Table([payload, "n"], [[payload, "1"]], [payload, ""]), Table([], [], (), payload)):
        page.feed(shown._repr_html_())
    assert page.tags == {"style", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "p", "i"}
    assert page.text.count(payload) >= 4


def test_numbers_stand_right_and_texts_left():
    shown = Table(["name", "value", "why"], [["a", "+1.5 [0.2, 3.0]", "x 1"], ["b", "< .001", ""]])
    assert shown._stands_right() == [False, True, False]
    assert str(shown).split("\n")[2:] == ["a     +1.5 [0.2, 3.0]  x 1", "b              < .001"]
    assert shown._repr_html_().count('class="number"') == 3


def test_rows_and_frames_become_tables():
    rows = [{"run": "a", "p (Holm)": 1.552082e-64, "right": 0.25}, {"run": "b", "p (Holm)": None, "right": 1.0}]
    assert table(rows).rows == [["a", "< .001", "0.25"], ["b", "", "1"]]
    assert table(rows, ["right"]).columns == ["right"] and str(table([])) == "rows not here"
    frame = pandas.DataFrame({"x": ["1.0 [0, 2]"]}, index=["strict"])
    assert frame_table(frame).rows == [["strict", "1.0 [0, 2]"]] and frame_table(frame).columns == ["", "x"]
    assert frame_table(pandas.DataFrame({"x": [1]})).rows == [["1"]]
    assert str(frame_table(pandas.DataFrame({"x": []}), "none differs")) == "none differs"
