"""The PDF itself: it builds, with every reference, nothing sticking out, and its fonts within. Needs LaTeX."""

import os
import re
import shutil
import subprocess

import pytest
from preserved_runs import everything, paper_folder

from lab.paper.building import PAPER, build_paper
from lab.runs import PRESERVED

WIDEST = 10.0  # points by which a box may stick out
MOST_PAGES = 10
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1764115200", "FORCE_SOURCE_DATE": "1"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("latexmk"),
        reason="no latexmk: apt-get install texlive-latex-recommended texlive-fonts-recommended latexmk",
    ),
]


def typeset(runs, into):
    """The log and the PDF of a paper made from `runs` in a folder of its own."""
    paper = paper_folder(PAPER, into / "paper")
    build_paper(runs, paper)
    done = subprocess.run(
        ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-outdir=build", "paper.tex"],
        cwd=paper, capture_output=True, text=True, errors="replace", env=ENVIRONMENT, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return (paper / "build" / "paper.log").read_text("latin-1"), paper / "build" / "paper.pdf"


def preserved(folder):
    return PRESERVED


@pytest.mark.parametrize("runs", [preserved, everything], ids=["as preserved", "everything run"])
def test_the_paper_is_sound(runs, tmp_path):
    log, pdf = typeset(runs(tmp_path / "runs"), tmp_path)
    assert "undefined" not in log and "multiply defined" not in log
    assert not [width for width in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", log) if float(width) > WIDEST]
    assert int(re.search(r"Output written on \S+ \((\d+) pages", log)[1]) <= MOST_PAGES
    if shutil.which("pdffonts"):
        listed = subprocess.run(["pdffonts", str(pdf)], capture_output=True, text=True, check=True).stdout.splitlines()
        fonts = [line.split() for line in listed[2:]]
        assert fonts and all(font[-5] == "yes" for font in fonts), listed  # the column "emb"
        assert not [line for line in listed if "Type 3" in line]  # a font of pixels blurs


def test_the_same_records_make_the_same_bytes(tmp_path):
    (_, one), (_, other) = (typeset(PRESERVED, tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
