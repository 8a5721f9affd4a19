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
LEGEND_ROW, SYMBOL, EDGE = 21, 46, 6  # pixels


def page_inches(figure: go.Figure) -> float:
    """How wide a figure is in print."""
    return PAGE_INCHES if figure.layout.width > COLUMN else COLUMN_INCHES


def column(
    figure: go.Figure, height: int, width: int = COLUMN, left: int = 62, right: int = 14, top: int = 12,
    bottom: int = 50, legend: int = 0, legend_columns: int = 1,
) -> go.Figure:  # fmt: skip
    """The house style at the width of a column: no title, a caption has it. `height` is the plot's alone, to which
    margins and a legend of so many entries above it are added."""
    over = top + LEGEND_ROW * -(-legend // legend_columns)
    if legend_columns > 1:
        left = _inside(figure, left, width - right)
    figure.update_layout(
        width=width, height=height + over + bottom, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, hoverlabel=HOVER,
        font={"family": FONT, "size": TEXT, "color": INK}, margin={"l": left, "r": right, "t": over, "b": bottom},
        showlegend=bool(legend), barcornerradius=0,
        legend={"orientation": "h", "x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top",
                "bgcolor": CLEAR, "itemsizing": "trace", "font": {"size": TEXT}, "traceorder": "normal"},
    )  # fmt: skip
    if legend_columns > 1:
        wide = (width - left - right) // legend_columns - SYMBOL
        figure.update_layout(legend={"entrywidth": wide, "entrywidthmode": "pixels"})
    quiet = {"gridcolor": GRID, "zeroline": False, "tickfont": {"size": TEXT}, "title": {"font": {"size": TEXT}},
             "automargin": False, "linecolor": GRID, "showline": True}  # fmt: skip
    figure.update_xaxes(title_standoff=8, **quiet)
    figure.update_yaxes(title_standoff=4, **quiet)
    return figure.update_annotations(font_size=TEXT)


def _inside(figure: go.Figure, left: int, right: int) -> int:
    """Make room for labels inside the plot's ground instead of beside it, and return the margin that is left: plotly
    lets a legend be no wider than the ground."""
    room = (left - EDGE) / (right - EDGE)
    if not figure.layout.xaxis.domain:
        figure.update_xaxes(domain=[0, 1])
    figure.for_each_xaxis(lambda axis: axis.update(domain=[room + (1 - room) * end for end in axis.domain]))
    return EDGE


def lines_of(text: str, width: int, most: int | None = None) -> str:
    """Text in at most so many lines of so many letters; what is given is plain, what comes back is plotly's markup."""
    return (
        "<br>".join(html.escape(line) for line in textwrap.wrap(text, width, max_lines=most, placeholder="…"))
        or "\u00a0"
    )


def mark(figure: go.Figure, x: Sequence, y: Sequence, text: Sequence[str], place: str | Sequence[str], **where) -> None:
    """Words at points, which do not move the axes' ends nor hide under the frame."""
    figure.add_scatter(
        x=list(x), y=list(y), text=list(text), mode="text", textposition=place, cliponaxis=False, showlegend=False,
        textfont={"size": TEXT, "color": INK}, hoverinfo="skip", **where,
    )  # fmt: skip
