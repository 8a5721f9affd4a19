"""Tables that a terminal and a page share. Whatever a model or a file wrote is escaped on a page."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.pictures.numbers import format_p, number
from lab.pictures.theme import TABLE_STYLE

if TYPE_CHECKING:
    import pandas

# A picture of an exported notebook that is wider than its page shrinks: nbconvert sees to that for all but an SVG.
PICTURES_FIT = "<style>.jp-RenderedSVG img{max-width:100%;height:auto}</style>"
FOOT = "<style>.lab-table.lab-table tfoot td{border-top:1.5px solid var(--ink)}</style>"
NUMBERS = re.compile(r"[-+<>\d.,:/%±·()\[\] ]*\d[-+<>\d.,:/%±·()\[\] ]*")


def printable(text: object) -> str:
    """A name out of a file must not steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of text, formatted once: `str` is the table for a terminal, and a notebook shows it as a page does.

    A column of numbers stands right. `foot`: a row below the others. `empty`: what stands there without any row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    foot: Sequence[str] = ()
    empty: str = "no rows"

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """The texts of a column."""
        return [row[list(self.columns).index(name)] for row in self.rows]

    def _stands_right(self) -> list[bool]:
        columns = [[row[place] for row in self.rows if row[place]] for place in range(len(self.columns))]
        return [bool(texts) and all(map(NUMBERS.fullmatch, texts)) for texts in columns]

    def __repr__(self) -> str:
        if not self.rows:
            return self.empty
        lines = [[printable(text) for text in line] for line in (self.columns, *self.rows, self.foot) if line]
        widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
        right = self._stands_right()
        shown = [
            "  ".join(
                text.rjust(width) if to_right else text.ljust(width)
                for text, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        last = len(self.rows) + 1
        return "\n".join([shown[0], rule, *shown[1:last], *([rule, *shown[last:]] if self.foot else [])])

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p><i>{html.escape(self.empty)}</i></p>"
        kinds = [' class="number"' if right else "" for right in self._stands_right()]

        def line(texts: Sequence[str], tag: str) -> str:
            cells = zip(texts, kinds, strict=True)
            return "<tr>" + "".join(f"<{tag}{kind}>{html.escape(text)}</{tag}>" for text, kind in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        foot = f"<tfoot>{line(self.foot, 'td')}</tfoot>" if self.foot else ""
        return (
            f'{PICTURES_FIT}{TABLE_STYLE}{FOOT}<table class="lab-table"><thead>{line(self.columns, "th")}</thead>'
            f"<tbody>{body}</tbody>{foot}</table>"
        )


def table(
    rows: Sequence[Mapping], columns: Sequence[str] | None = None, empty: str = "rows not here", digits: int = 2
) -> Table:
    """Rows with the same keys (all of them, or `columns`); a float under `p` or `p (...)` is written as a p value."""
    columns = list(rows[0]) if columns is None and rows else list(columns or [])

    def cell(name: str, value: object) -> str:
        is_p = isinstance(value, float) and re.fullmatch(r"p\b.*", str(name))
        return format_p(value) if is_p else number(value, digits)

    return Table([str(name) for name in columns], [[cell(n, row.get(n)) for n in columns] for row in rows], (), empty)


def frame_table(frame: "pandas.DataFrame", empty: str = "no rows", digits: int = 3) -> Table:
    """A data frame, its index as a column where it says something; whole, where a notebook's own view cuts texts."""
    numbered = list(frame.index.names) == [None]
    plain = numbered and list(frame.index) == list(range(len(frame)))
    whole = frame if plain else (frame.rename_axis("") if numbered else frame).reset_index()
    return table(whole.to_dict("records"), list(whole.columns), empty, digits)
