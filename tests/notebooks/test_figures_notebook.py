"""The figures' notebook runs from finished runs to files, and a page that is exported of it shows every figure."""

import base64
import re
import subprocess
import sys

import pytest
from figure_suite import figure_suite

from lab.figures import FIGURES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    suite, runs = figure_suite(tmp_path_factory.mktemp("suite")), tmp_path_factory.mktemp("runs")
    words = ["run", "papermill_jobs/figures.yaml", "--runs", runs, "-p", "name", "t", "-p", "figure_runs", f"[{suite}]"]
    done = subprocess.run([sys.executable, "-m", "lab", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return runs / "t"


def test_every_figure_is_written(executed):
    if not (executed / "flips.pdf").exists():
        pytest.skip("no Chromium to draw with")
    for name in FIGURES:
        assert {path.suffix for path in executed.glob(f"{name}.*")} == {".html", ".pdf", ".svg", ".csv", ".json"}


def test_an_exported_page_shows_them_all(executed):
    """With nothing but what is in the page."""
    words = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", executed / "notebook.ipynb"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (executed / "notebook.html").read_text("utf-8")
    if not (executed / "flips.pdf").exists():
        pytest.skip("no Chromium to draw with")
    pictures = re.findall(r'<img[^>]*src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert len(pictures) == len(FIGURES)
    assert all(b"<svg" in base64.b64decode(picture) for picture in pictures)
