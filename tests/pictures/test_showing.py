"""A figure is there twice: interactive, and as a picture that an exported notebook shows. Progress is one line."""

import base64
import json
import struct

import nbformat
import plotly.graph_objects as go
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

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
    data, about = bundle(FIGURE)
    if painter.failure:
        pytest.skip("no Chromium to draw with")
    assert data[PLOTLY]["data"][0]["type"] == "scatter" and data["text/plain"] == "[figure: Loss <b> by step]"
    assert about == {"image/png": {"width": 300, "height": 200, "alt": "Loss <b> by step"}}
    picture = base64.b64decode(data["image/png"])
    assert struct.unpack(">II", picture[16:24]) == (600, 400)  # sharp on a page that shows it at 300 x 200
    assert capsys.readouterr().out == ""


def test_without_chromium_figures_stay_interactive_and_it_is_said_once(painter, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    for _ in range(3):
        data, _ = bundle(FIGURE)
        assert PLOTLY in data and "image/png" not in data
    said = capsys.readouterr().out
    assert said.count("figures are interactive only") == 1 and "/nowhere" in said


def test_a_chromium_that_does_not_start_or_hangs_is_given_up(painter, monkeypatch, capsys, tmp_path):
    hanging = tmp_path / "chromium"
    hanging.write_text("#!/bin/sh\nexec sleep 5\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(hanging))
    monkeypatch.setattr(showing, "PATIENCE", 1)
    assert "image/png" not in bundle(FIGURE)[0] and "no picture could be drawn" in capsys.readouterr().out


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


def test_an_exported_notebook_shows_the_picture(executed):
    if "image/png" not in executed.cells[0].outputs[-1].data:
        pytest.skip("no Chromium to draw with")
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert page.count('src="data:image/png;base64,iVBOR') == 1
    assert "<img src=x" not in page.replace(json.dumps("<img src=x"), "")


def test_progress_leaves_one_line(executed):
    (output,) = executed.cells[1].outputs
    assert list(output.data) == ["text/plain"]
    assert output.data["text/plain"].startswith("last: 100%|██████████| 5/5 [") and "\n" not in str(output.data)
