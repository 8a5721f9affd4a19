"""Makes figures/browser.png: the sample browser in JupyterLab, on the records of a run.

    make demo
    python figures/browser.py runs/demo

Shown is the run's last step, nothing filtered, at the first question that the latent arm answers and the target does
not. Needs Playwright and a Chromium, as the browser's tests do.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from jupyter_page import copy_browser_notebook, jupyter, open_browser, page, settle  # noqa: E402

WIDTH, HEIGHT = 1720, 1500  # of the page; the browser fills what JupyterLab leaves it


def take(run: Path, picture: Path) -> None:
    """Open the step files of `run` and write what the browser shows to `picture`."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        copy_browser_notebook(site, "records")
        records = site / "records" / run.resolve().name
        records.mkdir(parents=True)
        for file in run.glob("eval_samples_step_*"):
            shutil.copy(file, records)
        with jupyter(site) as address, page(WIDTH, HEIGHT) as tab:
            open_browser(tab, address)
            tab.locator(".lb-item", has_text="✗✓").first.click()  # wrong in target, right in latent
            settle(tab)
            tab.mouse.move(0, 0)
            tab.locator(".lab-browser").screenshot(path=picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder, with eval_samples files")
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "browser.png")
    given = parser.parse_args()
    take(given.run, given.out)
    print(given.out)
