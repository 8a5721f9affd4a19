"""Light theme, dark theme, paper: what is drawn can be read on each. And every interval says which one it is."""

import re
from pathlib import Path

import pytest

import lab
from lab.evidence.summary import summarise
from lab.pictures import theme
from lab.pictures.arm_tables import arms_table, rivals_table
from lab.pictures.cards import sample_cards
from lab.pictures.cost_figures import time_figure, wire_figure
from lab.pictures.evidence_figures import arms_figure
from lab.pictures.figures import COLOURS, LATENT_COLOUR, accuracy_figure, flips_figure, training_curve, write_figure
from lab.pictures.intervals import CLUSTERED, INTERVALS, WILSON
from lab.pictures.tables import Table
from lab.pictures.theme import CLEAR, FAINT_INK, GRID, INK, PAPER, PAPER_INK, QUIET_INK, on_paper
from lab.pictures.verdicts import claims_figure

LIGHT, DARK = "#FFFFFF", "#111111"  # JupyterLab's grounds
ROOM = Path(lab.__file__).parent
DRAWING = [*(ROOM / "pictures").glob("*.py"), *(ROOM / "figures").glob("*.py"), ROOM / "audit" / "figures.py"]
ROWS = [
    {"arm": arm, "accuracy": 0.5, "low": 0.4, "high": 0.6, "per_seed": [0.5, 0.5], "context_aware": True,
     "versus": {"all": {"effect": 0.1, "low": 0.0, "high": 0.2, "p_holm": 0.5}}}
    for arm in ("oracle", "latent")
]  # fmt: skip


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """As the web's accessibility guidelines define it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def record(number: int) -> dict:
    arms = {arm: {"text": "#### 1", "extracted": "1", "correct": number % 2 == 0} for arm in ("source", "latent")}
    return {"id": f"q{number}", "question": "?", "gold": "1", "cell": "plain", "word": "", "arms": arms}


@pytest.fixture
def summary():
    return summarise([record(number) for number in range(10)])


def figures(summary):
    losses = [{"step": step, "loss": 1 / step} for step in range(1, 20)]
    flips = {"names": ["a", "b"], "counts": [[None, 1], [2, None]]}
    return [accuracy_figure(summary), training_curve(losses), arms_figure(ROWS), flips_figure(flips)]


@pytest.mark.parametrize("ink", [INK, QUIET_INK, FAINT_INK])
def test_text_is_read_on_both_grounds(ink):
    assert min(contrast(ink, LIGHT), contrast(ink, DARK)) >= 4
    assert contrast(PAPER[ink], LIGHT) >= 4.5


def test_what_carries_a_result_is_seen_on_both_grounds():
    for colour in (COLOURS["target"], LATENT_COLOUR, COLOURS["oracle"]):
        assert min(contrast(colour, LIGHT), contrast(colour, DARK)) >= 3


def test_a_figure_has_no_ground_of_its_own_on_the_screen_and_white_on_paper(summary):
    for figure in figures(summary):
        assert (figure.layout.paper_bgcolor, figure.layout.plot_bgcolor) == (CLEAR, CLEAR)
        assert figure.layout.font.color == INK
        assert figure.to_json().count(PAPER_INK) == 1  # of the label over a point, which is white
        before, printed = figure.to_json(), on_paper(figure)
        assert (printed.layout.paper_bgcolor, printed.layout.font.color) == ("white", PAPER_INK)
        assert not any(colour in printed.to_json() for colour in (INK, QUIET_INK, FAINT_INK, GRID, CLEAR))
        assert figure.to_json() == before  # the figure on the screen stays as it is


def test_what_is_written_to_a_file_is_on_paper(summary, tmp_path):
    write_figure(accuracy_figure(summary), tmp_path / "figure.html")
    page = (tmp_path / "figure.html").read_text("utf-8")
    assert '"paper_bgcolor":"white"' in page and PAPER_INK in page and INK not in page


def test_nobody_paints_a_ground():
    """A white ground or dark ink that is written out would be a slab, or gone, in a dark JupyterLab."""
    for path in DRAWING:
        if path.name == "theme.py":
            continue
        code = path.read_text("utf-8").replace('HOVER = {"bgcolor": "white"', "")  # a label over the figure
        assert not re.search(r'"white"|"#fff"|#22262[Bb]', code), path.name


PAGES = [sample_cards([record(0)]), Table(["a"], [["1"]])._repr_html_()]


@pytest.mark.parametrize("page", PAGES, ids=["cards", "tables"])
def test_cards_and_tables_follow_the_theme(page):
    style = page[: page.rindex("</style>")]
    fixed = re.sub(r"--\w+:[^;}]*", "", style)  # the variables, and their values outside JupyterLab
    assert "#" not in fixed and "var(--jp-layout-color1" in style and "var(--jp-ui-font-color1" in style


def test_dark_verdicts_can_be_read():
    dark = "#212121"  # JupyterLab's ground of a card
    for colour in re.findall(r"#[0-9a-f]{6}", theme._DARK):
        assert contrast(colour, dark) >= 4.5


def test_every_interval_says_which_it_is(summary):
    assert WILSON in str(arms_table(summary)).split("\n")[0]
    assert "Wilson" in " ".join(note.text for note in accuracy_figure(summary).layout.annotations)
    head = str(rivals_table(ROWS)).split("\n")[0]
    assert head.count(CLUSTERED) == 2 and WILSON not in head and "95 % interval" not in head
    assert any(CLUSTERED in column for column in rivals_table(ROWS).columns)
    assert "95 % intervals by word" in arms_figure(ROWS).layout.xaxis.title.text
    assert all(word in INTERVALS for word in ("Wilson", "Paired", "By word"))


def reach(figure):
    """Of each dot with a bar: where the bar begins, the dot, where the bar ends."""
    for trace in figure.data:
        for dots, bar in ((trace.x, trace.error_x), (trace.y, trace.error_y)) if trace.type == "scatter" else ():
            if bar.array is not None:
                yield dots[0] - bar.arrayminus[0], dots[0], dots[0] + bar.array[0]


def test_a_bar_reaches_from_the_low_end_to_the_high_one(summary):
    """Each interval here is far longer below its dot than above it."""
    part = {"accuracy": 0.9, "low": 0.6, "high": 0.92}
    clocked = {"median": 0.9, "low": 0.6, "high": 0.92}
    effect = {"effect": 0.9, "low": 0.6, "high": 0.92}
    claim = effect | {"key": "k", "sentence": "s", "verdict": "supported", "unit": "accuracy", "p_holm": 0.01,
                      "comparisons": [effect | {"detail": {}}]}  # fmt: skip
    costs = {
        "seconds_by_length": {}, "sizes": {"text_bytes": 9}, "wire": {"int4": {"bytes": 7, "em": part}},
        "arms": {"latent": {"cost": {"seconds": clocked, "seconds_to_first_token": clocked}}},
    }  # fmt: skip
    for entry in summary["arms"].values():
        entry |= {"accuracy": 0.9, "ci95": [0.6, 0.92], "cells": {}}
    in_per_cent = (arms_figure([ROWS[1] | part]), accuracy_figure(summary), wire_figure(costs),
                   claims_figure({"claims": [claim], "n": 9}))  # fmt: skip
    for figure, ends in [(time_figure(costs), (0.6, 0.9, 0.92)), *((figure, (60, 90, 92)) for figure in in_per_cent)]:
        found = list(reach(figure))
        assert found and all(bar == pytest.approx(ends) for bar in found)
