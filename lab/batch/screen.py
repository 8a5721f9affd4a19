"""What a person sees of the runs that are executed here: in a terminal a live table, elsewhere a line as each ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.batch.status import CONTROLS, WAITING, RunStatus, status_of
from lab.batch.submission import Submission
from lab.batch.tables import HEAD, row

SECONDS, SECONDS_WITHOUT_A_TERMINAL = 1.0, 60.0
TAIL = 4096  # bytes of an output in which its last line is looked for
ORDER = ("running", "failed", "dead", "interrupted", WAITING, "finished")  # what a person looks for first


def last_line(output: Path) -> str:
    """The last line that a run wrote, of a bar what it shows now; empty where there is none."""
    try:
        with open(output, "rb") as file:
            file.seek(max(0, output.stat().st_size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    return "".join(letter for letter in lines[-1] if letter.isprintable()) if lines else ""


def says(run: Path, output: Path) -> str:
    """The last line of whatever was written last: a run's log, its controls', its output."""
    logs = (run / name / "train.log" for name in ("", *CONTROLS))
    files = [file for file in (*logs, output) if file.is_file()]
    return last_line(max(files, key=lambda file: file.stat().st_mtime)) if files else ""


class Screen:
    """The runs of a submission, looked at again and again; what is finished is looked at once."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self._finished: dict[Path, RunStatus] = {}

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of `HEAD` and what a run says, those that run first."""
        found = [(self._look(run), self.submission.output(i)) for i, run in enumerate(self.submission.runs)]
        found.sort(key=lambda one: ORDER.index(one[0].state) if one[0].state in ORDER else 0)
        return [(*row(run), "" if run.state in ("finished", WAITING) else says(run.path, out)) for run, out in found]

    def _look(self, run: Path) -> RunStatus:
        if run not in self._finished:
            if (found := status_of(run)).state != "finished":
                return found
            self._finished[run] = found
        return self._finished[run]


@contextmanager
def shown(submission: Submission) -> Iterator[Callable[[str], None]]:
    """Inside, the screen follows the runs; yields what writes a line that stays."""
    screen = Screen(submission)
    if not sys.stderr.isatty():
        with _every(SECONDS_WITHOUT_A_TERMINAL, lambda: _lines(screen)):
            yield lambda text: print(text, file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(_table(screen), console=Console(stderr=True), auto_refresh=False) as live:
        with _every(SECONDS, lambda: live.update(_table(screen), refresh=True)):
            yield lambda text: live.console.print(text, markup=False, highlight=False)
        live.update(_table(screen), refresh=True)


def _table(screen: Screen):
    from rich.table import Table
    from rich.text import Text

    rows = screen.rows()
    table = Table(box=None, title=f"{sum(cells[1] == 'finished' for cells in rows)} of {len(rows)} runs finished")
    for name in (*HEAD, "says"):
        table.add_column(name, no_wrap=True, justify="right" if name in HEAD[2:] else "left")
    for cells in rows:
        table.add_row(*map(Text, cells))  # as it is: what a run says is no markup
    return table


def _lines(screen: Screen) -> None:
    for cells in screen.rows():
        if cells[1] == "running":
            print("  ".join(cell for cell in cells if cell), file=sys.stderr, flush=True)


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Inside, `act` is done again and again, in a thread of its own."""
    over = threading.Event()

    def go() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
