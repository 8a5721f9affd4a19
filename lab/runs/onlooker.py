"""A run as seen by the ranks that do not write it: they read what the first one wrote."""

from collections.abc import Iterable
from pathlib import Path

from lab.runs.directory import RunDirectory


class Onlooker(RunDirectory):
    """A run directory whose writing does nothing, so that what trains and evaluates need not ask which rank it is on."""

    def note(self, **facts) -> None:
        pass

    def write_metrics(self, rows: Iterable[dict]) -> None:
        pass

    def cut_metrics(self, length: int) -> bool:
        return False

    def write_records(self, step: int | str, rows: Iterable[dict]) -> Path:
        return self.path / f"eval_samples_step_{step}.jsonl"

    def write_summary(self, summary: dict) -> None:
        pass

    def finish(self, status: str = "finished") -> None:
        pass

    def _append(self, name: str, text: str) -> None:
        """What `log` and `metric` write."""
