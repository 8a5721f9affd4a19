"""How fast the sample browser is on many large files, measured in a real JupyterLab in a real Chromium.

    python benchmarks/browse.py --files 140 --folder /tmp/browse140     # 0.3 GB
    python benchmarks/browse.py --files 1400 --folder /tmp/browse1400   # 3 GB, so choose the folder

Makes the files first where they are not there: 200 rows of the older wide format, 2.3 MB each, ten steps to a run.
Prints JSON: milliseconds until the next picture is painted (median, 95th percentile and worst), the kernel's memory.
"""

import argparse
import json
import math
import random
import shutil
import statistics
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from jupyter_page import IDLE, jupyter, open_notebook, page, settle  # noqa: E402

ROWS, FILE_BYTES = 200, 2_300_000
FIELDS = ("source", "target", "bridged")


def words(rng: random.Random, count: int) -> str:
    some = "the ducks lay eggs every day and Janet sells them at a market for two dollars each so she makes".split()
    return " ".join(rng.choice(some) for _ in range(count))


def make_files(folder: Path, files: int, steps: int) -> None:
    """`files` step files below `folder`, `steps` to a run. Questions and prompts are the same everywhere."""
    rng = random.Random(7)
    shots = "".join(f"Q: {words(rng, 45)}?\nA: {words(rng, 40)}.\n#### {shot}\n\n" for shot in range(8))
    rows = []
    for index in range(ROWS):
        prompt = f"Answer step by step.\n\n{shots}Q: {words(rng, 50)}, case {index}?\nA: Let's think step by step.\n\n"
        answers = {}
        for answer in (index, index + 1, "[invalid]"):
            ending = f"#### {answer}" if answer != "[invalid]" else "So she does."
            lines = "\n".join(f"{words(rng, 12)}: {i} + {index} = {i + index}." for i in range(4))
            answers[answer] = json.dumps(f"{lines}\n{ending}\n\nQ: {words(rng, 90)}?")
        head = {"index": index, "question": prompt, "gold_full_text": f"{prompt}{words(rng, 40)}\n#### {index}"}
        rows.append((json.dumps(head)[1:-1], index, answers))
    size = sum(len(head) + 3 * len(answers[index]) + 200 for head, index, answers in rows)
    padding = json.dumps("x " * max(0, (FILE_BYTES - size) // ROWS // 2))
    for number in range(files):
        run, place = divmod(number, steps)
        step = "final" if place == steps - 1 else 250 * place
        path = folder / f"run_{run:04d}" / f"eval_samples_step_{step}.jsonl"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for head, gold, answers in rows:
            line = [f'{{"eval_step": "{step}", {head}, "gold_extracted": "{gold}", "padding": {padding}']
            for field in FIELDS:
                said = rng.choices((gold, gold + 1, "[invalid]"), weights=(70, 25, 5))[0]
                line.append(f'"{field}_full": {answers[said]}, "{field}_extracted": "{said}"')
            lines.append(", ".join(line) + "}\n")
        path.write_text("".join(lines), encoding="utf-8")


# Does something, waits until it is shown and the picture after it is painted; milliseconds. A move is shown when the
# next question is; anything else when the kernel has answered it.
MEASURE = """async ([act, move]) => {
  const root = document.querySelector('.lab-browser');
  const {asked, sample} = root.dataset, start = performance.now();
  let number = null;
  const shown = () => {
    number ??= root.dataset.asked !== asked ? Number(root.dataset.asked) : null;
    return number !== null && (move ? root.dataset.sample !== sample : Number(root.dataset.done) >= number);
  };
  new Function('root', act)(root);
  await new Promise((done) => {
    const look = () => shown() ? done() : 0;
    new MutationObserver(look).observe(root, {attributes: true});
    look();
  });
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""
PRESS = "root.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true}))"
CLICK = "root.querySelector('%s').click()"
SEARCH = "const s = root.querySelector('.search'); s.value = '%s'; s.dispatchEvent(new Event('input', {bubbles: true}))"
CHANGE = "const s = root.querySelector('%s'); s.selectedIndex = %d; s.dispatchEvent(new Event('change'))"
# From the cell's start to its first picture.
FIRST = """async () => {
  const start = performance.now();
  window.jupyterapp.commands.execute('notebook:run-cell');
  while (!document.querySelector('.lab-browser')?.dataset.sample) await new Promise((done) => setTimeout(done, 5));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered)), "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1]),
        "worst": round(ordered[-1]), "n": len(ordered),
    }  # fmt: skip


def notebook(folder: Path, records: Path) -> None:
    """Two cells: the imports, then the browser."""
    import nbformat

    imports, view = "from lab.samples.browser import browse", f"browser = browse({str(records)!r})\nbrowser"
    cells = [nbformat.v4.new_code_cell(source) for source in (imports, view)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "browse.ipynb")


def kernel_memory() -> dict[str, float]:
    """MB of the kernel's process: now, and at its worst."""
    for process in psutil.Process().children(recursive=True):
        if "ipykernel_launcher" in " ".join(process.cmdline()):
            status = Path(f"/proc/{process.pid}/status").read_text()
            worst = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            return {"now": round(process.memory_info().rss / 1e6), "worst": round(worst * 1024 / 1e6)}
    return {}


def measure(folder: Path, files: int, steps: int) -> dict:
    records, site = folder / "records", folder / "site"
    make_files(records, files, steps)
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    notebook(site, records)
    size = sum(path.stat().st_size for path in records.rglob("*.jsonl"))
    found: dict = {"files": files, "steps_per_run": steps, "bytes": size}
    with jupyter(site) as address, page(height=1400) as tab:
        open_notebook(tab, address, "browse.ipynb")

        def timed(act: str) -> float:
            return tab.evaluate(MEASURE, [act, False])

        def move(key: str) -> float:
            return tab.evaluate(MEASURE, [PRESS % key, True])

        start = time.monotonic()
        tab.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
        tab.wait_for_function("() => document.querySelector('.jp-InputPrompt')?.textContent.includes('1')")
        tab.wait_for_function(IDLE)
        found["imports"] = round(1000 * (time.monotonic() - start))
        found["first_view"] = round(tab.evaluate(FIRST))
        presses = []
        for _ in range(10):
            tab.wait_for_timeout(400)  # long enough for the next step to be read meanwhile
            presses.append(move("j"))
        found["sample_while_reading"] = summary(presses)
        tab.wait_for_timeout(3000)
        settle(tab)
        presses = []
        for key in "j" * 120 + "k" * 80:
            tab.wait_for_timeout(200)  # as fast as one looks
            presses.append(move(key))
        found["sample"] = summary(presses)
        found["sample_in_a_row"] = summary([move(key) for key in "j" * 120 + "k" * 80])
        names = ("fixed", "broken", "only", "all_wrong", "invalid", "repeats", "copies", "disagree")
        found["filter"] = summary([timed(CLICK % f".filter-{name}") for name in names for _ in (1, 2)])
        cells = [f".lb-matrix .{name} button" for name in ("broken", "fixed")]
        found["flip_matrix"] = summary([timed(CLICK % cell) for cell in cells * 2])
        timed(PRESS % "Escape")
        found["search"] = summary([timed(SEARCH % text) for text in ("case 17", "market", "no such words", "")])
        if steps > 1:
            places = [round(part * (steps - 1)) for part in (0, 1 / 3, 2 / 3, 1)]
            found["step"] = summary([timed(CHANGE % (".a-step", place)) for place in places])
        if files > steps:
            runs = range(1, min(files // steps, 40))
            found["run"] = summary([timed(CHANGE % (".a-run", run)) for run in runs])
        settle(tab)
        found["filter_on_a_new_run"] = summary([timed(CLICK % ".filter-broken") for _ in (1, 2)])
        tab.wait_for_timeout(1000)
        settle(tab)
        found["kernel_MB"] = kernel_memory()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=140)
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made, and kept")
    parser.add_argument("--steps", type=int, default=10, help="step files to a run")
    given = parser.parse_args()
    print(json.dumps(measure(given.folder, given.files, given.steps), indent=1))
