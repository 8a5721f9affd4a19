"""Progress: the usual bar in a terminal; in a notebook one line of text for each cell, rewritten in place.

A widget would be gone from the executed notebook and from its export, or stand there at 0 % for ever; a dozen bars
would push the result off the page.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from tqdm import std

from lab import ranks

KERNEL = os.getpid()  # a process that is forked from it cannot write into its notebook


def _cell() -> int | None:
    """The number of the cell that is running; None outside a notebook's kernel, and in what it forked."""
    if os.getpid() != KERNEL:
        return None
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell.execution_count if getattr(shell, "kernel", None) else None


class _Line:
    """The line of one cell: what was written last. All bars of the cell share it."""

    current: tuple[int, _Line] | None = None

    def __init__(self) -> None:
        from IPython.display import display

        self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def write(self, text: str) -> None:
        self.handle.update({"text/plain": text}, raw=True)

    @classmethod
    def of(cls, cell: int) -> _Line:
        if not cls.current or cls.current[0] != cell:
            cls.current = cell, cls()
        return cls.current[1]


class _Nowhere(io.TextIOBase):
    """Where the codes go that move a terminal's cursor."""

    def write(self, text: str) -> int:
        return len(text)


class tqdm(std.tqdm):  # noqa: N801
    """`tqdm.tqdm`, but for where it shows itself."""

    def __init__(self, *given, **named) -> None:
        if not ranks.is_first():
            named["disable"] = True
        if _cell() is not None:
            # a bar that is done stays until the next one writes
            named |= {"file": _Nowhere(), "ascii": False, "leave": True}
        super().__init__(*given, **named)

    def status_printer(self, file) -> Callable[[str], None]:
        cell = _cell()
        return super().status_printer(file) if cell is None else _Line.of(cell).write
