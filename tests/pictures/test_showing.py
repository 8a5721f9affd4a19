"""A figure is there twice: interactive, and as a picture that an exported notebook shows. Progress is one line."""

import base64
import re
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
import plotly.graph_objects as go
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, LatexExporter

from lab.pictures import showing
from lab.pictures.showing import PLOTLY, Painter, bundle

FIGURE = go.Figure(go.Scatter(x=[1, 2], y=[3, 4])).update_layout(
    width=300, height=200, title="<b>Loss</b> &lt;b&gt;<br>by step"
)


@pytest.fixture
def painter(monkeypatch):
    """A painter of this test's own."""
    made = Painter()
    monkeypatch.setattr(showing, "painter", lambda: made)
    yield made
    made.close()


def test_a_figure_is_interactive_and_a_picture(painter, capsys):
    data = bundle(FIGURE)
    if painter.failure:
        pytest.skip("no Chromium to draw with")
    assert data[PLOTLY]["data"][0]["type"] == "scatter" and data["text/plain"] == "[figure: Loss <b> by step]"
    svg = ElementTree.fromstring(data["image/svg+xml"])
    assert svg.tag.endswith("svg") and (svg.get("width"), svg.get("height")) == ("300", "200")
    assert base64.b64decode(data["application/pdf"]).startswith(b"%PDF")
    assert "image/png" not in data  # JupyterLab would show that one
    assert capsys.readouterr().out == ""


def test_without_chromium_figures_stay_interactive_and_it_is_said_once(painter, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    for _ in range(3):
        assert set(bundle(FIGURE)) == {PLOTLY, "text/plain"}
    said = capsys.readouterr().out
    assert said.count("figures are interactive only") == 1 and "/nowhere" in said


def test_a_chromium_that_hangs_is_given_up(painter, monkeypatch, capsys, tmp_path):
    hanging = tmp_path / "chromium"
    hanging.write_text("#!/bin/sh\nexec sleep 5\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(hanging))
    monkeypatch.setattr(showing, "PATIENCE", 1)
    assert set(bundle(FIGURE)) == {PLOTLY, "text/plain"} and "no picture could be drawn" in capsys.readouterr().out


CELLS = """
import plotly.graph_objects as go
from lab.pictures import show
show(go.Figure(go.Bar(x=["<img src=x onerror=alert(1)>"], y=[1])).update_layout(width=300, height=200, title="T"))
---
from lab.progress import tqdm
for _ in tqdm(range(3), desc="outer"):
    with tqdm(total=2, desc="inner", leave=False) as bar:
        bar.update(2)
with tqdm(total=5, desc="last", leave=False) as bar:
    bar.update(5)
"""


@pytest.fixture(scope="module")
def executed():
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.split("---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    return NotebookClient(notebook, kernel_name="python3", timeout=120).execute()


@pytest.fixture
def drawn(executed):
    if "image/svg+xml" not in executed.cells[0].outputs[-1].data:
        pytest.skip("no Chromium to draw with")
    return executed


def test_an_exported_page_shows_the_picture(drawn):
    page, _ = HTMLExporter().from_notebook_node(drawn)
    (picture,) = re.findall(r'<img[^>]*src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert b"<svg" in base64.b64decode(picture) and "<img src=x" not in page
    text, files = LatexExporter().from_notebook_node(drawn)
    (shown,) = re.findall(r"\\adjustimage\{.*\}\{([^{}]*\.pdf)\}", text)
    assert files["outputs"][shown].startswith(b"%PDF")


def test_progress_leaves_one_line(executed):
    (output,) = executed.cells[1].outputs
    assert list(output.data) == ["text/plain"]
    assert output.data["text/plain"].startswith("last: 100%|██████████| 5/5 [") and "\n" not in str(output.data)


@pytest.mark.slow
def test_a_process_ends_without_a_word():
    """Chromium ends before its folder is swept: else a kernel's last output is a traceback."""
    code = "import plotly.graph_objects as go; from lab.pictures.showing import bundle; bundle(go.Figure())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
