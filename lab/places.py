"""Where things lie: the repository, and the models that come with the package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of the repository: notebooks, jobs and runs lie below it
MINI = PACKAGE / "pairs" / "mini"  # the embedded pair and its translator


def below_root(path: str | Path) -> str:
    """A path as it reads on every machine: from the repository's root where it lies below it, else as it is."""
    whole = Path(path).resolve()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else str(path)
