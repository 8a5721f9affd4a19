"""The first hour of a stranger: `make lab`, the notebooks 00, 04 and 05 as they are, and an export to send to somebody.

Trains for a moment only; `LAB_FIRST_HOUR=full` leaves the notebooks as they are. `LAB_SCREENSHOTS=FOLDER` keeps what
was seen: JupyterLab and the exported pages, 900 and 1500 pixels wide, light and dark.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from jupyter_page import ROOT, chromium, jupyter, open_notebook, page, run_all  # noqa: E402

pytestmark = pytest.mark.slow
FULL = os.environ.get("LAB_FIRST_HOUR") == "full"
QUICK = {
    "00_start_here": {"steps": 3, "warmup_steps": 1, "batch_size": 4, "dev_questions": 8, "test_questions": 24},
    "04_inference_metrics": {"test_questions": 12, "timed_questions": 3, "length_questions": 1},
    "05_browse_samples": {},
}
FIGURES = {"00_start_here": 2, "04_inference_metrics": 4, "05_browse_samples": 1}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A clone as a stranger has it, without runs."""
    if chromium() is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or `python -m playwright install chromium`")
    made = tmp_path_factory.mktemp("clone")
    for name in ("lab", "notebooks", "papermill_jobs"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name, values in QUICK.items() if not FULL else ():
        set_parameters(made / "notebooks" / f"{name}.ipynb", values)
    return made


def set_parameters(path: Path, values: dict) -> None:
    """Write other values into the parameters cell, as a person does who is in a hurry."""
    notebook = json.loads(path.read_text("utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    own = [line.split(" ", 1)[0].rstrip(":") for line in cell["source"]]
    for name, value in values.items():
        cell["source"][own.index(name)] = f"{name} = {value!r}\n"
    path.write_text(json.dumps(notebook), "utf-8")


def run_notebook(tab, address: str, name: str) -> str:
    """Open a notebook, run all its cells, save it; what its outputs say. Fails on a cell's error."""
    open_notebook(tab, address, f"notebooks/{name}.ipynb")
    run_all(tab)
    tab.wait_for_timeout(1500)
    errors = tab.locator('.jp-OutputArea-output[data-mime-type*="error"]')
    assert errors.count() == 0, errors.first.inner_text()
    tab.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    assert tab.locator(".js-plotly-plot").count() == FIGURES[name]  # the interactive ones, not their pictures
    return tab.locator(".jp-Notebook").inner_text()


def export(repository: Path, name: str, theme: str) -> Path:
    """The saved notebook as a page, as `jupyter nbconvert` makes it."""
    made = repository / f"{name}-{theme}.html"
    words = ["nbconvert", "--to", "html", "--theme", theme, "--output", str(made), f"notebooks/{name}.ipynb"]
    done = subprocess.run([sys.executable, "-m", *words], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    return made


def keep(tab, name: str) -> None:
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def look_at_lab(tab, name: str) -> None:
    """The notebook at both widths in both themes; nothing is wider than the page."""
    for theme, title in THEMES.items():
        tab.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", title)
        for width in (900, 1500):
            tab.set_viewport_size({"width": width, "height": 5200})
            tab.wait_for_timeout(2000)
            keep(tab, f"lab-{name}-{width}-{theme}")


def look_at_export(tab, repository: Path, name: str) -> None:
    for theme in THEMES:
        tab.goto(export(repository, name, theme).as_uri(), wait_until="domcontentloaded")
        pictures = tab.locator('img[src^="data:image/svg+xml;base64,"]')
        assert pictures.count() == FIGURES[name]
        for width in (900, 1500):
            tab.set_viewport_size({"width": width, "height": 1000})
            tab.wait_for_timeout(500)
            assert all(0 < box["width"] <= width for box in map(lambda one: one.bounding_box(), pictures.all()))
            keep(tab, f"export-{name}-{width}-{theme}")


def test_the_first_hour(repository):
    with jupyter(repository, repository=repository) as address, page(height=5200) as tab:
        said = run_notebook(tab, address, "00_start_here")
        assert "runs/demo/summary.json" in said and f"relative paths start at {repository}" in said
        assert (repository / "runs" / "demo" / "summary.json").is_file()
        look_at_lab(tab, "00_start_here")
        if not FULL:
            again = run_notebook(tab, address, "00_start_here")
            assert "runs/demo is there already and stays as it is; this result goes to runs/demo-2" in again
            assert (repository / "runs" / "demo-2" / "summary.json").is_file()
        for name in ("04_inference_metrics", "05_browse_samples"):
            run_notebook(tab, address, name)
            look_at_lab(tab, name)
        assert (repository / "runs" / "inference_metrics" / "inference_aggregate.json").is_file()
        assert not (repository / "notebooks" / "runs").exists()
    with page() as tab:
        for name in FIGURES:
            look_at_export(tab, repository, name)
