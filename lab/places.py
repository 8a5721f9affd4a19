"""Where things lie: the repository, and the models that come with the package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of the repository: notebooks, jobs and runs lie below it
MINI = PACKAGE / "pairs" / "mini"  # the embedded pair and its translator
