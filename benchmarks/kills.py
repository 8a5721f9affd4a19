"""Killing runs of the embedded pair: does each, resumed, end in the bytes of a run that nobody killed?

    python benchmarks/kills.py --kills 200 --workers 2

A run is everything from config to records: translator, constant prompt, test. It is killed by SIGKILL
- at a failpoint: before a file event (an open for writing, rename, link, truncation, deletion), which is also after the
  one before it; the failpoints are spread evenly over all events of a run;
- in the middle of a write: half a row is on the disk (of metrics.jsonl and train.log, which are appended to);
- at a random moment, by another process.
Every fourth is killed a second time, at a random moment of its resume. Then it is resumed to its end, and compared:
weights, optimiser and state of best and last, metrics.jsonl, records, seal, of the translator and of the control, byte
by byte, and the summary but for its times. The clock of the training stands still (`seconds` in metrics.jsonl are the
one thing that no two runs share). Prints a table; exits with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.truncate", "shutil.rmtree")
SETTINGS = dict(steps=4, warmup_steps=1, batch_size=2, eval_every=2, dev_questions=2, test_questions=2,
                max_new_tokens=3, width=16, heads=2, depth=1, dropout=0.1)  # fmt: skip
APPENDED = ("metrics.jsonl", "train.log")
CHECKPOINT = [f"checkpoints/{which}/{name}" for which in ("best", "last")
              for name in ("model.safetensors", "optimizer.safetensors", "state.json", "config.json")]  # fmt: skip
COMPARED = [f"{place}{name}" for place in ("", "control_constant/") for name in (*CHECKPOINT, "metrics.jsonl")]
COMPARED += ["eval_samples_step_final.jsonl", "eval_samples_step_final.seal.json", "config.yaml"]
LONGEST = 300  # seconds for one start of a run


def load() -> Callable[[Path], None]:
    """What runs a run to its end, the models in memory: (its folder, begun or not) -> None."""
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)  # a process with a pool of threads cannot be forked
    tqdm.monitor_interval = 0  # nor one with a thread
    from lab.answers.generation import AnswerCache
    from lab.config import RunConfig
    from lab.models import transfer
    from lab.studies import experiment, start, test_once, train_constant, train_translator
    from lab.training import loop

    config = RunConfig.from_parameters(name="run", device="cpu", **SETTINGS)
    pair = experiment.load_pair(config.pair)
    experiment.load_pair = lambda _: pair
    loop.time = transfer.time = SimpleNamespace(monotonic=lambda: 0.0)

    def run(folder: Path) -> None:
        begun = start(config.replace(name=folder.name), folder.parent, resume=folder.exists())
        trained = train_translator(begun)
        test_once(begun, trained.translator, train_constant(begun).translator)

    with tempfile.TemporaryDirectory() as home:  # what is imported late, imported once
        run(Path(home) / "run")
    AnswerCache._memory.clear()
    return run


@contextmanager
def failpoint(folder: Path, which: int | None, torn: bool) -> Iterator[list[tuple[str, str]]]:
    """Inside, the process is killed before file event number `which` in `folder` (None: never); yields those so far.

    `torn`: where that event opens a file to append to it, half a row is written first.
    """
    seen: list[tuple[str, str]] = []
    over = False

    def hook(event: str, args: tuple) -> None:
        nonlocal over
        if over or event not in EVENTS or (event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            return
        paths = [str(arg) for arg in args[:2] if isinstance(arg, (str, Path))]
        inside_a_deletion = event in ("os.remove", "os.rmdir") and args[1] != -1  # names relative to an open folder
        if not inside_a_deletion and not any(path.startswith(str(folder)) for path in paths):
            return
        if which is not None and len(seen) == which:
            over = True  # what follows is no event of the run
            if torn:
                file = os.open(paths[0], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                os.write(file, b'{"kind": "step", "step": 3, "lo')
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append((event, paths[0].removeprefix(str(folder)).lstrip("/")))

    sys.addaudithook(hook)  # for good: the process ends with its run
    yield seen


def in_a_process(work: Callable[[], None], output: Path, kill_after: float | None = None) -> int:
    """Do `work` in a fork of this process; kill it after so many seconds. The signal that ended it, 0 for none.

    Raises RuntimeError with its output where it failed by itself.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(file, 1)
            os.dup2(file, 2)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + (LONGEST if kill_after is None else kill_after)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            break
        time.sleep(0.002)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    if os.WEXITSTATUS(status):
        raise RuntimeError(output.read_text(errors="replace")[-2000:])
    return 0


def left(folder: Path) -> dict[str, str]:
    """Hashes of everything that is compared."""
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in COMPARED}
    summary = json.loads((folder / "summary.json").read_text())
    del summary["time_and_memory"], summary["test_looks"], summary["run"]
    return found | {"summary.json": hashlib.sha256(json.dumps(summary).encode()).hexdigest()}


def kill_and_resume(run: Callable, folder: Path, kind: str, where: float, second: float | None) -> dict:
    """One case: (kind, whether the kill fell before the end, what differs)."""
    folder.parent.mkdir(parents=True)
    output = folder.parent / "output"

    def killed() -> None:
        with failpoint(folder, int(where), kind == "half a row"):
            run(folder)

    if kind == "random moment":
        signals = [in_a_process(lambda: run(folder), output, where)]
    else:
        signals = [in_a_process(killed, output)]
    if second is not None:
        signals.append(in_a_process(lambda: run(folder), output, second))
    if in_a_process(lambda: run(folder), output):
        raise RuntimeError("it never came to its end")
    return {"kills": sum(number == signal.SIGKILL for number in signals), "left": left(folder)}


def cases(
    kills: int, seed: int, events: list[tuple[str, str]], seconds: float
) -> list[tuple[str, float, float | None]]:
    """Half of them at failpoints, spread evenly; a quarter in the middle of a write, a quarter at random moments."""
    chosen = random.Random(seed)
    appends = [i for i, (event, path) in enumerate(events) if event == "open" and Path(path).name in APPENDED]
    torn, at_random = kills // 4, kills // 4
    spread = kills - torn - at_random
    found = [("failpoint", i * len(events) // spread) for i in range(spread)]
    found += [("half a row", chosen.choice(appends)) for _ in range(torn)]
    found += [("random moment", chosen.uniform(0, seconds)) for _ in range(at_random)]
    return [(*case, chosen.uniform(0, seconds) if i % 4 == 3 else None) for i, case in enumerate(found)]


def main(kills: int, seed: int, workers: int) -> int:
    began, run = time.monotonic(), load()
    home = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        (home / "whole").mkdir()
        seen, whole = home / "events.json", home / "whole" / "run"

        def count() -> None:
            with failpoint(whole, None, False) as events:
                run(whole)
            seen.write_text(json.dumps(events))

        started = time.monotonic()
        in_a_process(count, home / "output")
        seconds, events, expected = time.monotonic() - started, json.loads(seen.read_text()), left(whole)
        todo = list(enumerate(cases(kills, seed, events, seconds)))
        print(f"a run has {len(events)} file events and takes {seconds:.1f} s; {len(todo)} runs to kill", flush=True)
        running: dict[int, int] = {}
        done: dict[int, dict] = {}
        while todo or running:
            if todo and len(running) < workers:
                number, (kind, where, second) = todo.pop(0)
                child = os.fork()
                if not child:
                    try:
                        found = kill_and_resume(run, home / str(number) / "run", kind, where, second)
                        found["differ"] = [name for name, value in found.pop("left").items() if value != expected[name]]
                    except BaseException as error:
                        found = {"kills": 0, "differ": [f"{type(error).__name__}: {error}"]}
                    (home / f"{number}.json").write_text(json.dumps({"kind": kind, "where": where, **found}))
                    shutil.rmtree(home / str(number), ignore_errors=not found["differ"])
                    os._exit(0)
                running[child] = number
                continue
            child, _ = os.wait()
            number = running.pop(child)
            done[number] = found = json.loads((home / f"{number}.json").read_text())
            for what in found["differ"]:
                print(f"{found['kind']} at {found['where']}: {what}", flush=True)
            if len(done) % 10 == 0:
                print(f"{len(done)} of {len(todo) + len(running) + len(done)}", flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    count, differ = Counter(), Counter()
    for found in done.values():
        count[found["kind"]] += found["kills"]
        differ[found["kind"]] += bool(found["differ"])
    for kind in count:
        print(f"{kind:14} {count[kind]:4} kills, {differ[kind]} runs that ended otherwise")
    print(f"{sum(count.values())} kills of {len(done)} runs in {(time.monotonic() - began) / 60:.1f} min on "
          f"{workers} processes; {sum(differ.values())} ended in other bytes")  # fmt: skip
    return int(any(differ.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="runs to kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes at a time, each with one thread")
    given = parser.parse_args()
    sys.exit(main(given.kills, given.seed, given.workers))
