"""Mutation testing: how many small changes of what the numbers rest on do the fast tests notice?

    pip install --no-deps -r requirements-mutation.lock
    python benchmarks/mutation.py --mutants 300 --seed 1 --minutes 60 --workers 2
    python benchmarks/mutation.py --again benchmarks/mutation.json

Draws mutants of scoring, checks, arms, statistics and claims, runs for each the fast tests of its module until the
first failure, and writes `benchmarks/mutation.json` and `.md`. A mutant whose tests fail, or take three times as long
as without it, is killed. Survivors are listed with a reason, where `benchmarks/survivors.yaml` has one.
The tests run in copies of the working tree; nothing in it is changed. `--again` runs the survivors of an earlier
result with the tests of today; how many were noticed at first stays beside what is noticed now.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import yaml
from mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
ANSWERS = ("tests/answers", "tests/studies/test_controls.py")
CLAIMS = tuple(f"tests/evidence/test_{what}.py" for what in ("comparisons", "hypotheses", "judged", "claims"))
TESTS = {  # module -> the tests that know it, those that fail soonest first
    "lab/tasks/scoring.py": ("tests/tasks/test_scoring.py", "tests/evidence/test_answer_forms.py", "tests/tasks"),
    "lab/tasks/numbers.py": ("tests/tasks/test_scoring.py", "tests/evidence/test_answer_forms.py", "tests/tasks"),
    "lab/tasks/splits.py": ("tests/tasks", "tests/studies/test_controls.py"),
    "lab/answers/checks.py": ("tests/answers/test_checks.py", *ANSWERS),
    "lab/answers/model_checks.py": ANSWERS,
    "lab/answers/arms.py": ANSWERS,
    "lab/answers/evaluation.py": ANSWERS,
    "lab/answers/generation.py": ("tests/answers/test_generation.py", *ANSWERS),
    "lab/answers/latent.py": ANSWERS,
    "lab/answers/text.py": ANSWERS,
    "lab/answers/wire.py": ("tests/answers/test_wire.py", *ANSWERS),
    "lab/runs/seals.py": ("tests/runs/test_seals.py", "tests/evidence/test_verify.py"),
    "lab/evidence/stats.py": ("tests/evidence/test_stats.py", "tests/evidence/test_calibration.py", *CLAIMS),
    "lab/evidence/crossed.py": ("tests/evidence/test_stats.py", "tests/evidence/test_calibration.py", *CLAIMS),
    "lab/evidence/summary.py": ("tests/evidence/test_summary.py", "tests/evidence/test_read.py"),
    "lab/evidence/read.py": ("tests/evidence/test_read.py", "tests/evidence/test_verify.py", *CLAIMS),
    "lab/evidence/comparisons.py": CLAIMS,
    "lab/evidence/hypotheses.py": CLAIMS,
    "lab/evidence/claims.py": CLAIMS,
    "lab/evidence/verdicts.py": CLAIMS,
}
PATIENCE, LEAST = 3.0, 30.0  # times the time without a mutant, and seconds, before a mutant counts as endless
SURVIVED, KILLED, ENDLESS = "survived", "killed", "endless"


class FirstFailure:
    """A pytest plugin that writes down which test noticed."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.place.exists():
            self.place.write_text(report.nodeid)


class Worker:
    """A copy of the working tree, and the fork that runs tests in it. Python, torch and the rest are loaded once."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.place, self.pid = folder / "tree", folder / "failed", 0
        files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                               capture_output=True, text=True, check=True).stdout  # fmt: skip
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.tree / name)

    def start(self, tests: list[str], mutant: Mutant | None) -> None:
        self.place.unlink(missing_ok=True)
        if mutant:
            text = (ROOT / mutant.path).read_text(encoding="utf-8")
            (self.tree / mutant.path).write_text(mutant.source(text), encoding="utf-8")
        self.mutant, self.began = mutant, time.monotonic()
        self.pid = os.fork()
        if not self.pid:
            os._exit(self._run(tests))

    def _run(self, tests: list[str]) -> int:
        os.setsid()  # what the tests start ends with them
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(quiet, stream)
        os.chdir(self.tree)
        sys.path.insert(0, str(self.tree))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(self.tree), os.environ.get("PYTHONPATH", "")])
        import pytest

        given = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "--rootdir", str(self.tree)]
        return int(pytest.main([*given, *tests], plugins=[FirstFailure(self.place)]))

    def poll(self, limit: float) -> tuple[str, float, str] | None:
        """(what became of it, seconds, the test that noticed), None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        seconds = time.monotonic() - self.began
        if not pid and seconds < limit:
            return None
        if not pid:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        found = ENDLESS if not pid else SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED
        if self.mutant:
            shutil.copyfile(ROOT / self.mutant.path, self.tree / self.mutant.path)
        self.pid = 0
        return found, seconds, self.place.read_text() if self.place.exists() else ""


def tests_of(path: str) -> list[str]:
    """The test files of a module, each once, folders opened."""
    given = [ROOT / name for name in TESTS[path]]
    opened = [file for place in given for file in (sorted(place.glob("test_*.py")) if place.is_dir() else [place])]
    return [str(file.relative_to(ROOT)) for file in dict.fromkeys(opened)]


def times_without(workers: list[Worker], mutants: list[Mutant]) -> dict[str, float]:
    """Seconds of each test file on the sound code, which has to pass; as many at a time as mutants will be."""
    waiting = list(dict.fromkeys(file for mutant in mutants for file in tests_of(mutant.path)))
    seconds, running = {}, {}
    while waiting or running:
        for worker in workers:
            if worker not in running and waiting:
                running[worker] = waiting.pop()
                worker.start([running[worker]], None)
            elif worker in running and (found := worker.poll(3600)) is not None:
                file, (outcome, took, failed) = running.pop(worker), found
                if outcome != SURVIVED:
                    sys.exit(f"error: without any mutant {failed or file} fails; mend it first")
                print(f"{file}: {took:.0f} s without a mutant", flush=True)
                seconds[file] = took
        time.sleep(0.05)
    return seconds


def run(mutants: list[Mutant], workers: list[Worker], minutes: float) -> list[dict]:
    """What became of each, in their order, as far as the time reaches."""
    began, known, rows, waiting = time.monotonic(), times_without(workers, mutants), [], list(mutants)
    while waiting or any(worker.pid for worker in workers):
        for worker in workers:
            if worker.pid:
                usual = sum(known[file] for file in tests_of(worker.mutant.path))
                if (found := worker.poll(max(LEAST, PATIENCE * usual))) is not None:
                    outcome, seconds, test = found
                    rows.append(worker.mutant.told() | {"outcome": outcome, "seconds": round(seconds, 1), "by": test})
                    print(f"{len(rows)}/{len(mutants)} {outcome} {rows[-1]['where']} in {seconds:.0f} s", flush=True)
            elif waiting and time.monotonic() - began < 60 * minutes:
                mutant = waiting.pop(0)
                worker.start(tests_of(mutant.path), mutant)
            elif waiting:
                waiting.clear()
        time.sleep(0.05)
    order = {mutant.key: number for number, mutant in enumerate(mutants)}
    return sorted(rows, key=lambda row: order[row["key"]])


def report(result: dict, reasons: dict[str, str]) -> str:
    """The result as Markdown: by module, then the survivors."""
    rows, lines = result["mutants"], ["# Mutation testing", ""]
    killed = sum(row["outcome"] != SURVIVED for row in rows)
    first = killed - sum(row.get("at_first") == SURVIVED for row in rows if row["outcome"] != SURVIVED)
    since = f" With the tests that its survivors led to: {killed}." if killed > first else ""
    lines += [
        f"{first} of {len(rows)} mutants killed ({100 * first / max(len(rows), 1):.1f} %); {result['asked']} drawn "
        f"with seed {result['seed']} out of {result['all']}. {result['minutes']:.0f} minutes, {result['workers']} at a "
        f"time, commit {result['commit'][:10]}: `{result['command']}`.{since}", "",
        "| Module | mutants | killed | endless | survived |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for path in sorted({row["where"].partition(":")[0] for row in rows}):
        found = Counter(row["outcome"] for row in rows if row["where"].startswith(path + ":"))
        counts = [sum(found.values()), found[KILLED], found[ENDLESS], found[SURVIVED]]
        lines.append(f"| `{path}` | " + " | ".join(map(str, counts)) + " |")
    lines += ["", "| Survivor | before | after | Why it may live |", "|---|---|---|---|"]
    for row in rows:
        if row["outcome"] == SURVIVED:
            before, after = (f"`` {row[side].replace('|', chr(92) + '|')[:120]} ``" for side in ("before", "after"))
            where = f"`{row['where']}` {row['function']} (`{row['key']}`)"
            lines.append(f"| {where} | {before} | {after} | {reasons.get(row['key'], '')} |")
    return "\n".join(lines) + "\n"


def draw(every: list[Mutant], texts: dict[str, str], count: int, seed: int) -> list[Mutant]:
    """`count` of the mutants that are another program, in a random order that the seed fixes."""
    order = list(every)
    random.Random(seed).shuffle(order)
    return list(islice((one for one in order if one.is_another_program(texts[one.path])), count))


def survivors(earlier: dict, every: list[Mutant], reasons: dict[str, str]) -> list[Mutant]:
    """The mutants that lived in an earlier result without a reason, where their code still stands."""
    keys = {row["key"] for row in earlier["mutants"] if row["outcome"] == SURVIVED} - set(reasons)
    return [mutant for mutant in every if mutant.key in keys]


def tried_again(earlier: dict, rows: list[dict]) -> dict:
    """The earlier result with what became of its survivors now; `at_first` says that they had lived."""
    now = {row["key"]: row | {"at_first": SURVIVED} for row in rows}
    return earlier | {"mutants": [now.get(row["key"], row) for row in earlier["mutants"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60, help="no further mutant is begun after so long")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--again", type=Path, help="the .json of an earlier result, whose survivors are run again")
    parser.add_argument("--out", type=Path, default=FOLDER / "mutation", help="written with .json and .md")
    given, began = parser.parse_args(), time.monotonic()
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.dont_write_bytecode = True  # a mutant written within the second of the last one must not meet its bytecode
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() not in (ROOT, FOLDER)]
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import statsmodels.stats.api  # noqa: F401
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)  # a fork has no other threads than its own
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in TESTS}
    every = [mutant for path, text in texts.items() for mutant in mutants_of(path, text)]
    known = FOLDER / "survivors.yaml"
    reasons = yaml.safe_load(known.read_text(encoding="utf-8")) or {} if known.exists() else {}
    earlier = json.loads(given.again.read_text(encoding="utf-8")) if given.again else None
    drawn = survivors(earlier, every, reasons) if earlier else draw(every, texts, given.mutants, given.seed)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        workers = [Worker(Path(folder) / str(number)) for number in range(given.workers)]
        rows = run(drawn, workers, given.minutes)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    result = earlier and tried_again(earlier, rows) or {
        "command": f"python benchmarks/mutation.py --mutants {given.mutants} --seed {given.seed}", "seed": given.seed,
        "asked": len(drawn), "all": len(every), "workers": given.workers, "commit": commit,
        "minutes": (time.monotonic() - began) / 60, "mutants": rows,
    }  # fmt: skip
    given.out.with_suffix(".json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(report(result, reasons), encoding="utf-8")
    print(report(result, reasons))


if __name__ == "__main__":
    main()
