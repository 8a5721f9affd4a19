"""A plate as files: a page that stands alone, PDF and SVG for print, its numbers as CSV, and where they came from."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go

from lab.figures.material import Missing
from lab.figures.plate import Plate
from lab.pictures import PAGE_STYLE, NoPicture, on_paper, page_inches, painter
from lab.runs import write_bytes, write_text

ENDINGS = ("html", "pdf", "svg", "csv", "json")
PIXELS = 96  # of a browser's inch


def write_plate(plate: Plate, folder: str | Path) -> list[Path]:
    """Write `<name>.html`, `.csv`, `.json`, then `.pdf` and `.svg`; returns their paths.

    Each is written beside its place and renamed. The pdf is as wide as it is meant to be printed. Raises NoPicture
    where pictures cannot be drawn; what needs no Chromium is there by then.
    """
    paths = {ending: Path(folder) / f"{plate.name}.{ending}" for ending in ENDINGS}
    printed = on_paper(plate.figure)
    for place, trace in enumerate(printed.data):
        trace.uid = f"{place:06x}"  # else one by chance, which an SVG names
    write_text(paths["csv"], as_csv(plate.rows))
    write_text(paths["json"], json.dumps(told(plate), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(paths["html"], page(plate, printed))
    drawn = painter().paint(printed, scale=page_inches(printed) * PIXELS / printed.layout.width)
    write_bytes(paths["svg"], steady(drawn["svg"], plate.name))
    write_bytes(paths["pdf"], drawn["pdf"])
    return list(paths.values())


def write_figures(made: Mapping[str, Plate | Missing], folder: str | Path) -> Iterator[list[Path]]:
    """Write every plate; yields the paths of each. Raises NoPicture, after all else is written, where pictures cannot
    be drawn."""
    failure = None
    for plate in made.values():
        if isinstance(plate, Plate):
            try:
                yield write_plate(plate, folder)
            except NoPicture as error:
                failure = error
    if failure:
        raise failure


def told(plate: Plate) -> dict:
    """What the JSON says: caption, the runs with their hashes, the numbers shown."""
    return {
        "figure": plate.name,
        "title": plate.title,
        "caption": plate.caption,
        "inches": page_inches(plate.figure),
        "runs": [source.told() for source in plate.sources],
        "rows": list(plate.rows),
    }


def as_csv(rows: Sequence[dict]) -> str:
    """Rows as CSV, floats whole, nothing as an empty cell."""
    text, names = io.StringIO(), list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def page(plate: Plate, figure: go.Figure) -> str:
    """A page that needs no network: the interactive figure, its caption, its runs."""
    # an id by the name, so that the same numbers make the same page
    drawn = figure.to_html(full_html=False, include_plotlyjs=True, include_mathjax=False, div_id=plate.name,
                           config={"displayModeBar": False})  # fmt: skip
    runs = "".join(
        f"<dt>{html.escape(source.run)}</dt><dd>config {html.escape(source.config_hash or '-')}"
        + "".join(f"<br>{html.escape(name)}: {digest}" for name, digest in source.told()["files"].items())
        + "</dd>"
        for source in plate.sources
    )
    title = html.escape(plate.title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{PAGE_STYLE}</head>\n'
        f'<body class="lab-page"><h2>{title}</h2>\n{drawn}\n<p>{html.escape(plate.caption)}</p>\n'
        f"<details><summary>Runs</summary><dl>{runs}</dl></details></body></html>\n"
    )


def steady(svg: bytes, name: str) -> bytes:
    """An SVG whose ids hang on the figure's name instead of on chance: the same numbers make the same file."""
    if not (found := re.search(rb'id="(?:top)?defs-([0-9a-f]{6})"', svg)):
        return svg
    return svg.replace(found[1], hashlib.sha256(name.encode()).hexdigest()[:6].encode())
