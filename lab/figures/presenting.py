"""Plates in a notebook: each with its caption, or the sentence that says why it is not there."""

from __future__ import annotations

from collections.abc import Mapping

from lab.figures.material import Missing
from lab.figures.plate import Plate
from lab.pictures import show


def present(made: Mapping[str, Plate | Missing], *names: str) -> None:
    """Show the figures of these names, as far as they were asked for: the interactive one, then its caption."""
    for name in names:
        plate = made.get(name)
        if isinstance(plate, Plate):
            show(plate.figure, plate.title)
            print(plate.caption)
        elif plate is not None:
            print(f"{name} was not made: it needs {plate}")
