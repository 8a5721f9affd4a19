"""A real JupyterLab with a real Chromium, for the tests and benchmarks of what people see."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def chromium() -> str | None:
    """The system's Chromium or Chrome, else the one that Playwright has downloaded, else None."""
    from playwright.sync_api import sync_playwright

    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def jupyter(folder: Path, repository: Path = ROOT, theme: str = "JupyterLab Light") -> Iterator[str]:
    """JupyterLab serving `folder`, its settings kept below it; gives the address. Kernels import the package of
    `repository`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder / ".jupyter-home"
    settings = home / "lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    # the news pop-up covers a corner
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home / "data"), "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "lab/user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "lab/workspaces"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(repository), os.environ.get("PYTHONPATH", "")])),
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0",
               "--IdentityProvider.token=", "--ServerApp.allow_root=True", "--expose-app-in-browser",
               f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with open(folder / ".jupyter.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).read()
                break
            except (urllib.error.URLError, OSError):
                if server.poll() is not None:
                    raise RuntimeError((folder / ".jupyter.log").read_text()[-2000:]) from None
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


@contextmanager
def page(width: int = 1500, height: int = 2200):
    """A Chromium page, tall enough that the notebook's outputs are all on the screen."""
    from playwright.sync_api import sync_playwright

    where = chromium()  # asks Playwright, which runs once at a time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where, args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": width, "height": height}).new_page()
        tab.set_default_timeout(60_000)
        yield tab
        browser.close()


# The cells get the room: the file browser is folded away.
RESTORED = """async () => {
  await window.jupyterapp.restored;
  await window.jupyterapp.commands.execute('application:toggle-left-area');
}"""
NOTEBOOK = "05_browse_samples.ipynb"
IDLE = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
ANSWERED = """() => {
  const asked = document.querySelector('.lab-browser')?.dataset;
  return asked && (asked.asked === undefined || asked.asked === asked.done);
}"""


def open_notebook(tab, address: str, notebook: str) -> None:
    """Open a notebook and wait for its kernel."""
    tab.goto(f"{address}/lab/tree/{notebook}?reset")
    tab.wait_for_selector(".jp-Notebook")
    tab.evaluate(RESTORED)
    tab.wait_for_function(IDLE)


def run_all(tab) -> None:
    """Run all cells, as the menu does; returns when the last one has run."""
    tab.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")


def copy_browser_notebook(folder: Path, records: str) -> None:
    """The browser's notebook in `folder`: it opens `records` and writes below `runs`, both in that folder."""
    notebook = json.loads((ROOT / "notebooks" / NOTEBOOK).read_text("utf-8"))
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            own = {'records = "runs"': f"records = {str(folder / records)!r}",
                   'runs = "runs"': f"runs = {str(folder / 'runs')!r}"}  # fmt: skip
            for default, here in own.items():
                cell["source"] = "".join(cell["source"]).replace(f"\n{default}", f"\n{here}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTEBOOK).write_text(json.dumps(notebook), "utf-8")


def open_browser(tab, address: str) -> None:
    """Run the browser's notebook and wait until all that it reads by itself is read. Fails on a cell's error."""
    open_notebook(tab, address, NOTEBOOK)
    run_all(tab)
    tab.wait_for_selector(".lab-browser")
    settle(tab)
    errors = tab.locator('[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type*="error"]')
    assert errors.count() == 0, errors.first.inner_text()
    tab.wait_for_timeout(1500)  # the other steps are read meanwhile
    settle(tab)


def settle(tab) -> None:
    """Wait until the browser component has an answer to everything that was asked."""
    tab.wait_for_function(ANSWERED)
