"""The list of planted defects, and the table that is made of it: `python tests/helpers/defects.py` writes it anew."""

from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[1] / "planted"
TABLE = FOLDER / "README.md"
RUN_TIME, TEST, NOBODY = "run time", "test", "nobody"
HEAD = """# Planted defects

Mistakes of a researcher or a refactoring, planted in the code that runs or in a file that it wrote, each beside the
same path without it. `defects.yaml` is the list, with where each is planted; `test_<family>.py` plants those that a run
has to refuse, `test_by_tests.py` those that only a test can find. This table is made of the list
(`python tests/helpers/defects.py`), and `make test-slow` holds every line of it: what stands here as stopped is
stopped, and what stands here as stopped by nobody is not.

"""


@dataclass(frozen=True)
class Defect:
    """One line of the list. `old`, `new`: the change in `function`, where a test must find it."""

    key: str
    family: str
    wrong: str
    planted: str
    stopped: str
    by: str
    why: str = ""
    yet: str = ""
    function: str = ""
    old: str = ""
    new: str = ""

    @property
    def caught(self) -> str:
        return NOBODY if self.yet else self.stopped


DEFECTS = [Defect(**row) for row in yaml.safe_load((FOLDER / "defects.yaml").read_text(encoding="utf-8"))]


def table() -> str:
    """Markdown: how many are caught by what, then every defect."""
    counts = {kind: sum(defect.caught == kind for defect in DEFECTS) for kind in (RUN_TIME, TEST, NOBODY)}
    told = f"{counts[RUN_TIME]} are stopped at run time, {counts[TEST]} by a test, {counts[NOBODY]} by nobody"
    lines = [f"{len(DEFECTS)} defects: {told}.", ""]
    lines += ["| Family | Defect | Caught by | What stops it |", "|---|---|---|---|"]
    for defect in DEFECTS:
        by = defect.by.removeprefix("tests/") if defect.stopped == TEST else defect.by
        by = f"`{by}`: {defect.why}" if defect.stopped == TEST else by
        cells = (defect.family, defect.wrong, defect.caught, f"({by})" if defect.yet else by)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"{TABLE}: {len(DEFECTS)} defects")
