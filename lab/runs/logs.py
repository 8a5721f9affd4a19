"""Facts of a run from its logs: settings, evaluations, loss, how it ended. Old formats, new ones, packed ones.

A log is written by several processes at once and by the models themselves (sample outputs), so it is searched for
known lines and never trusted to be complete. Bytes that are not UTF-8 become U+FFFD.
"""

import ast
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.runs.packed import unpack_tolerantly

FINAL = "final"
_ACCURACY = re.compile(r"(Source|Target|Bridged)(?:-alone)? acc: (\d*\.?\d+)")
_EVALUATION = re.compile(r"\[(?:Eval\] Step (\d{1,9})|(Final) Eval\])([^\n]*)")
_ARM = re.compile(r"^\[Eval\] (source|target|latent): (\d{1,9})/(\d{1,9}) = ", re.M)
_STEP = re.compile(
    r"^Step (\d{1,9})/(\d{1,9}) \| Loss(?: \(avg over last \d+\):)? (\d+\.?\d*(?:e[+-]?\d+)?|nan|inf)", re.M
)
_STOPPED = re.compile(r"\[Early Stop\] Stopping early at step (\d{1,9})|^Stopped early at step (\d{1,9})", re.M)
_CAPPED = re.compile(r"capp(?:ed|ing)\b([^\n]*)", re.I)  # with the rest of its line: no line is searched twice
_TO = re.compile(r"\bto (\d[\d,]{0,9})", re.I)
_EXPERIMENT = re.compile(r"^Experiment:(.*)$", re.M)
_ARM_OF = {"Source": "source", "Target": "target", "Bridged": "latent"}


@dataclass(frozen=True)
class LogFacts:
    """What a log says. Accuracies are fractions as logged (three digits); what it does not say is None or empty."""

    config: dict = field(default_factory=dict)  # the lines below `==== Config ====`, values as Python literals
    evaluations: dict = field(default_factory=dict)  # step (int or "final") -> {"source", "target", "latent"}
    losses: tuple = ()  # (step, loss), in the log's order
    steps_planned: int | None = None
    stopped_at: int | None = None  # the step at which the run says that it stopped early
    soft_tokens: int | None = None  # really used: a configured -1 is resolved by the line that says the cap
    damage: str | None = None  # what was wrong with the file itself
    experiments: dict = field(default_factory=dict)  # of a sweep's summary: name -> {"target", "latent"}

    @property
    def last_step(self) -> int | None:
        """The last training step or evaluation that the log mentions."""
        seen = [step for step, _ in self.losses] + [step for step in self.evaluations if step != FINAL]
        return max(seen, default=None)


def read_tolerantly(path: Path) -> tuple[bytes, str | None]:
    """The bytes of a file, packed or not, and what was wrong with it: as much as can be had of a torn archive.

    UTF-16, which some shells write on Windows, comes as UTF-8.
    """
    data, damage = unpack_tolerantly(Path(path))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\0" in data[:64]:  # without zeros it is damage, not UTF-16
        data = data.decode("utf-16", "replace").encode("utf-8")
    return data, damage


def read_log(path: str | Path) -> LogFacts:
    """The facts of one train.log or summary.log, packed or not. Never fails on content; OSError where there is no file."""
    data, damage = read_tolerantly(Path(path))
    return replace(parse_log(_text(data)), damage=damage)


def log_text(path: str | Path) -> str:
    """A log as text with \\n line ends."""
    data, _ = read_tolerantly(Path(path))
    return _text(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def parse_log(text: str) -> LogFacts:
    """The facts in the text of a log."""
    evaluations = {}
    for match in _EVALUATION.finditer(text):
        arms = {_ARM_OF[name]: float(value) for name, value in _ACCURACY.findall(match[3])}
        if arms:
            evaluations[FINAL if match[2] else int(match[1])] = arms
    if arms := {arm: int(right) / int(n) for arm, right, n in _ARM.findall(text) if int(n)}:
        evaluations[FINAL] = arms
    steps = [(int(step), int(planned), float(loss)) for step, planned, loss in _STEP.findall(text)]
    config = _config(text)
    stopped = [int(old or new) for old, new in _STOPPED.findall(text)]
    planned = config.get("train_steps")
    experiments = _experiments(text)
    if experiments:
        evaluations.pop(FINAL, None)  # a sweep's summary has a final evaluation per experiment
    return LogFacts(
        config=config,
        evaluations=evaluations,
        losses=tuple((step, loss) for step, _, loss in steps),
        steps_planned=planned if isinstance(planned, int) else steps[-1][1] if steps else None,
        stopped_at=stopped[-1] if stopped else None,
        soft_tokens=_soft_tokens(config, text),
        experiments=experiments,
    )


def _config(text: str) -> dict:
    _, found, rest = text.partition("==== Config ====\n")
    config = {}
    for line in rest.split("\n") if found else ():
        name, colon, value = line.partition(":")
        if not colon or not name.isidentifier():
            break
        try:
            config[name] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            config[name] = value.strip()
    return config


def _soft_tokens(config: dict, text: str) -> int | None:
    count = config.get("soft_tokens")
    if isinstance(count, int) and count >= 0:
        return count
    found = next((to for line in _CAPPED.findall(text) if (to := _TO.search(line))), None)
    return int(found[1].replace(",", "")) if found else None


def _experiments(text: str) -> dict:
    found = {}
    starts = [*_EXPERIMENT.finditer(text)]
    for match, after in zip(starts, [*starts[1:], None], strict=False):
        section = text[match.end() : after.start() if after else len(text)]
        arms = {_ARM_OF[name]: float(value) for name, value in _ACCURACY.findall(section)}
        if arms:
            found[match[1].strip()] = arms
    return found
