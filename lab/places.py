"""Where things lie: the repository, the models that come with the package, and what is made once for a user."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of the repository: notebooks, jobs and runs lie below it
MINI = PACKAGE / "pairs" / "mini"  # the embedded pair and its translator


def cache() -> Path:
    """Where that lies which can be made again at any time: $LAB_CACHE, else `lab` in the user's cache folder."""
    own, users = os.environ.get("LAB_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser() if own else Path(users or Path.home() / ".cache") / "lab"


def below_root(path: str | Path) -> str:
    """A path as it reads on every machine: from the repository's root where it lies below it, else as it is."""
    whole = Path(path).resolve()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else str(path)


def work_from_root() -> None:
    """Make the repository's root the working directory, and say so if it was another.

    A kernel starts where its notebook lies, a job at the root. A relative path in a notebook (runs, data, models) has
    to mean one place, and it is the one that the command line means. An absolute path is what it is.
    """
    if (ROOT / "notebooks").is_dir() and Path.cwd() != ROOT:  # a package without its repository has no root
        os.chdir(ROOT)
        print(f"relative paths start at {ROOT}")
