"""What is committed is what the preserved records say now: the paper's files, the README's figures, every table.

Everything that is preserved is read for it, so that is slow, and done once for all of them.
"""

import json
import re

import measured
import pytest
from preserved_tables import preserved

from lab.figures import told
from lab.paper.building import PAPER, contents
from lab.paper.world_figures import README, plates
from lab.places import ROOT

pytestmark = pytest.mark.slow


def test_the_files_of_the_paper():
    for name, text in contents(preserved(), PAPER / "sentences.yaml").items():
        assert (PAPER / name).read_text("utf-8") == text, f"{name} is not up to date: run `python -m lab paper`"


def test_the_figures_of_the_readme():
    """Each picture's JSON, with its numbers and the hashes of what they came from, as it would be written now."""
    page = (ROOT / "README.md").read_text("utf-8")
    shown = set(re.findall(r"figures/(\w+/\w+)\.svg", page)) - {"demo/accuracy_by_group"}
    assert shown == {f"{world}/{name}" for world, names in README.items() for name in names}
    for world, names in README.items():
        made = plates(preserved(), world)
        for name in names:
            kept = json.loads((ROOT / "figures" / world / f"{name}.json").read_text("utf-8"))
            assert kept == json.loads(json.dumps(told(made[name]))), "run `python -m lab paper --figures figures`"
            assert (ROOT / "figures" / world / f"{name}.svg").is_file()


@pytest.mark.parametrize("path", measured.PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tables_of_a_page(path):
    text = path.read_text("utf-8")
    assert measured.page(text, measured.read()) == text, "run `python benchmarks/measured.py`"
    assert "<!-- measured: " in text
