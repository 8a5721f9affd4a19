"""What preflight says beside what an H100 measured, and what it had said of sizes before they were measured.

    python benchmarks/preflight.py    # writes preflight.md from speed_h100.json and gsm8k_lengths.json: no GPU

`gsm8k_lengths.json` holds the lengths of GSM8K's questions through the tokenizers of both pairs, in the order of
training: characters, source tokens, answer tokens. Constants of time were fitted by least squares on the logarithm of
seconds to the rows of `FITTED`; the others are held out. Memory has no fitted constant, but its terms were written with
all of these rows in view.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from speed import CASES, FAST, PLAIN, PLAIN_STEPS

from lab.config import RunConfig
from lab.preflight import Work, gpus_named, memory, seconds
from lab.preflight.memory import GIB, Arms
from lab.preflight.shapes import Ways
from lab.preflight.workload import Asked, Row, Workload

HERE = Path(__file__).resolve().parent
PAGE = HERE / "preflight.md"
PAIRS = {"full": "mistral-llama", "small": "small"}
FITTED = {  # what is timed -> the rows (pair, case, path) that its constants were fitted to
    "a step": {("full", "batch 10", "fast"), ("full", "batch 10, 8 worked examples", "plain"),
               ("full", "batch 2", "plain"), ("small", "batch 64", "fast")},
    "evaluation": {("full", "batch 10", "fast"), ("full", "batch 2", "plain"), ("small", "batch 64", "fast")},
}  # fmt: skip
FITTED["again"] = FITTED["evaluation"]
FITTED["mean step"] = {("full", "batch 2", "fast")}
KEYS = {"training peak": "training_peak_gib", "evaluation peak": "evaluation_peak_gib", "a step": "step_s",
        "mean step": "step_mean_s", "evaluation": "evaluation_first_s", "again": "evaluation_again_s"}  # fmt: skip
SINCE = {"H100": "since_h100.json", "H200": "since_h200.json"}
WITHIN = {"GiB": 0.15, "s": 0.30}


@dataclass(frozen=True)
class Line:
    pair: str
    case: str
    path: str
    what: str
    predicted: float
    measured: float | None

    @property
    def unit(self) -> str:
        return "GiB" if "peak" in self.what else "s"

    @property
    def off(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def role(self) -> str:
        if self.unit == "GiB":
            return "counted"
        return "fitted" if (self.pair, self.case, self.path) in FITTED[self.what] else "held out"


@cache
def lengths() -> dict:
    return json.loads((HERE / "gsm8k_lengths.json").read_text())


def workload(pair: str, shots: int, rows: int) -> Workload:
    """The lengths of GSM8K as the two layouts of the benchmark have them."""
    known = lengths()[pair]
    source, target = (1 + known["instruction"][side] + (known["shots"][side] if shots else 0) for side in (0, 1))
    prompt = target + known["a"] + (known["q"] if shots else 0)
    training = [Row(characters, read, prompt, answer) for characters, read, answer in known["training"][:rows]]
    test = [Asked(source + own, target + other, prompt, 1 + own) for own, other in known["test"]]
    return Workload(training, test, test, target if shots else 0)


def predicted(pair: str, case: str, path: str) -> dict[str, float]:
    """By what is measured, as the path was when the records were made, where a beginning that is read once counted
    towards what a pass may have."""
    settings = CASES[pair][case] | (FAST[pair] if path == "fast" else PLAIN)
    steps = settings["steps"] if path == "fast" else min(settings["steps"], PLAIN_STEPS)
    settings |= {"pair": PAIRS[pair], "steps": steps}
    config = RunConfig.from_parameters(**settings)
    work = Work.of(
        "01_train", config.parameters() | {"control": False},
        workload(pair, config.task.shots, steps * config.training.batch_size),
    ).main  # fmt: skip
    ways = Ways.straightforward() if path == "plain" else replace(work.sizes.ways, shared_counts=True)
    work = replace(work, sizes=replace(work.sizes, ways=ways))
    (h100,) = gpus_named("H100")
    arms = Arms(work.workload.test, 1, 2, True, config.evaluation.eval_batch_size, config.evaluation.max_new_tokens)
    held = memory.evaluating(work.sizes, arms, work.captured)
    return {
        "training peak": sum(work.training_bytes().values()) / GIB,
        "evaluation peak": sum(held.values()) / GIB,
        "a step": work.step_s(h100),
        "mean step": work.seconds(h100) / steps,
        "evaluation": seconds.evaluation(work.sizes, h100, arms, True),
        "again": seconds.evaluation(work.sizes, h100, arms, False),
    }


@cache
def compared() -> tuple[Line, ...]:
    """Every row of the records, predicted and measured."""
    records = json.loads((HERE / "speed_h100.json").read_text())
    return tuple(
        Line(pair, case, path, what, value, measured[path][KEYS[what]])
        for pair in PAIRS
        for case, measured in records[pair]["cases"].items()
        for path in ("fast", "plain")
        for what, value in predicted(pair, case, path).items()
    )


@cache
def said() -> tuple[Line, ...]:
    """What was said of a size before it was measured, and what was found."""
    return tuple(
        Line(one["pair"], f"{one['case']}, {card}", "fast", what, value, one["fast"][KEYS[what]])
        for card, name in SINCE.items()
        for one in json.loads((HERE / name).read_text())["cases"]
        for what, value in one.get("said", {}).items()
    )


def page() -> str:
    lines = compared()
    outside = [line for line in lines if abs(line.off) > WITHIN[line.unit]]
    held = [line for line in lines if line.role == "held out"]
    fast = [line for line in held if line.path == "fast"]
    text = [
        "# Preflight against an H100\n",
        "Written by `python benchmarks/preflight.py` from [speed_h100.json](speed_h100.json), whose cases are described"
        " in [README.md](README.md). Memory is counted, no constant of it is fitted, but its terms were written with"
        " these rows in view: the sizes below are the ones that could prove it wrong. Constants of time were"
        " fitted to the rows so marked and tried on those held out; which rows to fit was chosen with all of them in"
        " view. Fast is what a run does; plain is what the benchmark makes of it. A mean step holds the first reading"
        " of the source, which the record leaves out with its first three steps. Since these records the host's part of"
        " a step is done while the GPU computes the one before, and nothing was fitted anew: in a later session a step"
        f" of the fast path took {_since_then()} s at batch 2, 10 and with worked examples (how far off is what is"
        " said).\n",
        f"Within 15 % in memory: {_share(lines, 'GiB')} rows. Within 30 % in time: {_share(held, 's')} held-out rows,"
        f" {_share(fast, 's')} of the fast path alone. Outside: "
        + ("; ".join(f"{line.pair}, {line.case}, {line.path}, {line.what}" for line in outside) or "none")
        + ".\n",
        "| Pair, case | Path | What | Predicted | Measured | Off | |\n| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    text += [
        f"| {line.pair}, {line.case} | {line.path} | {line.what}, {line.unit} | {_number(line.predicted)} | "
        f"{_number(line.measured)} | {100 * line.off:+.0f} % | {line.role} |"
        for line in lines
    ]
    told = said()
    text += [
        "\n## Said before it was measured\n",
        "Sizes of which preflight had said the numbers for an H100, written down on this page, before any of them was"
        " run; the fast path of one card, from [since_h100.json](since_h100.json) and"
        " [since_h200.json](since_h200.json). Nothing was fitted to them since. What ran on an H200 stands beside what"
        " was said of an H100; its peak in evaluation was not measured. Within 15 % in"
        f" memory: {_share(told, 'GiB')}; within 30 % in time: {_share(told, 's')}.\n",
        "| Pair, case | What | Said | Measured | Off |\n| --- | --- | ---: | ---: | ---: |",
    ]
    text += [
        f"| {line.pair}, {line.case} | {line.what}, {line.unit} | {_number(line.predicted)} | "
        f"{_number(line.measured)} | {100 * line.off:+.0f} % |"
        for line in told
    ]
    return "\n".join(text) + "\n"


def _since_then() -> str:
    """Seconds of the same steps in a later session, and how far off what is said is."""
    found = {one["case"]: one["fast"]["step_s"] for one in json.loads((HERE / SINCE["H100"]).read_text())["cases"]
             if one["pair"] == "full" and one["left"]}  # fmt: skip
    lines = [line for line in compared() if (line.pair, line.path, line.what) == ("full", "fast", "a step")]
    return " · ".join(
        f"{found[line.case]:.3f} ({100 * (line.predicted / found[line.case] - 1):+.0f} %)" for line in lines
    )


def _share(lines, unit: str) -> str:
    of_unit = [line for line in lines if line.unit == unit]
    return f"{sum(abs(line.off) <= WITHIN[unit] for line in of_unit)} of {len(of_unit)}"


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
