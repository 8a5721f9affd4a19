"""Macros: the numbers of the paper by name. A name without a value yet prints a visible *not run*."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lab.errors import LabError
from lab.paper.latex import NOT_RUN_CELL

HEAD = """% Written by `python -m lab paper` from preserved records and checked files; not by hand.
% A macro whose runs are not preserved yet prints \\notrun{}.
"""


class Macros(Mapping[str, str]):
    """Name -> LaTeX. Each name is given once; letters only, as TeX has it."""

    def __init__(self) -> None:
        self._text: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._text[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._text)

    def __len__(self) -> int:
        return len(self._text)

    def give(self, names: Iterable[str], found: Mapping[str, str] | None, prefix: str = "") -> None:
        """`names`, each with its text in `found`; those that are not found, or all where that is None, are not run.

        Raises LabError for a name that is taken or no name, and for a text under a name that was not announced.
        """
        names, found = list(names), found or {}
        if strange := sorted(set(found) - set(names)):
            raise LabError(f"macros: {strange[0]} was not announced, so a paper without its runs would not compile.")
        for name in names:
            whole = prefix + name
            if not whole.isalpha() or not whole.isascii() or whole in self._text:
                raise LabError(f"macros: {whole!r} is taken, or holds more than letters.")
            self._text[whole] = found.get(name, NOT_RUN_CELL)

    def text(self, used: Iterable[str]) -> str:
        """The file, a line for each that is used, in the order given."""
        lines = (rf"\newcommand{{\{name}}}{{{self[name]}}}" for name in self if name in set(used))
        return HEAD + "".join(line + "\n" for line in lines)


def used_in(text: str) -> set[str]:
    """The names of LaTeX commands that occur in a text."""
    return set(re.findall(r"\\([A-Za-z]+)", text))
