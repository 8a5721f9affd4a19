"""The measure of a figure that goes into a paper: one column, or both, with text that can still be read there.

A figure has one definition, for the screen and for print. It is drawn in pixels, `COLUMN` of them for the width of a
column; printed at that width, `TEXT` pixels are 7.4 points.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from lab.pictures.figures import FONT, HOVER
from lab.pictures.theme import CLEAR, GRID, INK

COLUMN, PAGE = 430, 900  # pixels
COLUMN_INCHES, PAGE_INCHES = 3.3, 6.9
TEXT = 14  # pixels, of all text
LEGEND_ROW = 21  # pixels


def page_inches(figure: go.Figure) -> float:
    """How wide a figure is in print."""
    return PAGE_INCHES if figure.layout.width > COLUMN else COLUMN_INCHES


def column(
    figure: go.Figure, height: int, width: int = COLUMN, left: int = 62, right: int = 14, top: int = 12,
    bottom: int = 50, legend_rows: int = 0,
) -> go.Figure:  # fmt: skip
    """The house style at the width of a column: no title, a caption has it. `height` is the plot's alone, to which
    margins and the rows of a legend above it are added."""
    over = top + LEGEND_ROW * legend_rows
    figure.update_layout(
        width=width, height=height + over + bottom, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, hoverlabel=HOVER,
        font={"family": FONT, "size": TEXT, "color": INK}, margin={"l": left, "r": right, "t": over, "b": bottom},
        showlegend=bool(legend_rows), barcornerradius=0,
        legend={"orientation": "h", "x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top",
                "bgcolor": CLEAR, "itemsizing": "trace", "font": {"size": TEXT}, "traceorder": "normal"},
    )  # fmt: skip
    quiet = {"gridcolor": GRID, "zeroline": False, "tickfont": {"size": TEXT}, "title": {"font": {"size": TEXT}},
             "automargin": False, "linecolor": GRID, "showline": True}  # fmt: skip
    figure.update_xaxes(title_standoff=8, **quiet)
    figure.update_yaxes(title_standoff=4, **quiet)
    return figure.update_annotations(font_size=TEXT)


def lines_of(text: str, width: int) -> str:
    """Text in lines of at most so many letters; what is given is plain, what comes back is plotly's markup."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width)) or "\u00a0"


def mark(figure: go.Figure, x: Sequence, y: Sequence, text: Sequence[str], place: str, **where) -> None:
    """Words at points, which do not move the axes' ends nor hide under the frame."""
    figure.add_scatter(
        x=list(x), y=list(y), text=list(text), mode="text", textposition=place, cliponaxis=False, showlegend=False,
        textfont={"size": TEXT, "color": INK}, hoverinfo="skip", **where,
    )  # fmt: skip
