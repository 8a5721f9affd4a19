"""`python -m lab summarize PATH`: what the rows of any run say, beside what its log says. One file at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.evidence import mcnemar
from lab.pictures.foreign_tables import arms_of, arms_side_by_side
from lab.pictures.numbers import format_p
from lab.pictures.tables import printable
from lab.runs import FINAL, RunFiles, StepRows, find_runs, read_step
from lab.tasks import INVALID

COLUMNS = {"source": "source_acc", "target": "target_acc", "latent": "bridged_acc"}
LOG_DIGITS = 0.0006  # a log gives three digits: what differs by less is the same number


def summarize(path: str | Path | Sequence[str | Path], reports: list[str] | None = None) -> list[dict]:
    """One object per run and step at `path` (see `find_runs`), from the rows and from the log.

    ``{"run", "step", "n", "source_acc", "target_acc", "bridged_acc", "bridged_invalid", "mcnemar_p_vs_target",
    "discordant", "log", "differs", "unread", "repeated", "status", "failed"}``: accuracies are fractions; `bridged` is
    the latent arm; `discordant` is [only bridged right, only target right]; `log` holds the accuracies that the log
    gives for the step, or null; `differs` names those that rows and log give differently; `unread` counts lines that
    are no record, `repeated` rows of a question that came before (left out); `failed` says of which files nothing
    could be read. Where only a log is there, the fields of the rows are null. Samples of other tools also have `tools`
    and `arms` (see `arms_of`). `reports` takes a `file:line: reason` for what could not be read. Raises LabError where
    there is nothing to open.
    """
    return list(_objects(path, [] if reports is None else reports))


def _objects(path: str | Path | Sequence[str | Path], reports: list[str]) -> Iterator[dict]:
    single = isinstance(path, str | Path) and Path(path).is_file()
    for run in find_runs(path):
        reports += [f"{run.path}: {reason}" for reason in run.ignored]
        if run.log.damage:
            reports.append(f"{run.log_path}: {run.log.damage}: evaluations may be missing")
        files = {file.step: file for file in run.steps}
        logged = {} if single and files else run.log.evaluations
        for step in sorted(files.keys() | logged.keys(), key=_order):
            rows, failed = None, []
            if step in files:
                try:
                    rows = read_step(files[step])
                except LabError as error:  # one file that cannot be opened is no reason to lose the others
                    reports.append(str(error))
                    failed = [str(error)]
                else:
                    reports += rows.report()
                    failed = rows.failed + _empty(files[step].path, rows)
            yield _object(run, step, rows, run.log.evaluations.get(step)) | {"failed": failed}
        if not single or not files:
            for name, arms in run.log.experiments.items():
                found = {"run": f"{run.name}/{name}", "status": "finished", "failed": []}
                yield _object(run, FINAL, None, arms) | found


def _empty(path: Path, rows: StepRows) -> list[str]:
    """The files of which not one sample could be read."""
    files = [(part.path, part) for part in rows.parts] or [(path, rows)]
    return [f"{path}: no sample in it could be read" for path, part in files if not part.records]


def _order(step: int | str) -> tuple:
    return (isinstance(step, str), step == FINAL, step if isinstance(step, int) else 0, str(step))


def _object(run: RunFiles, step: int | str, rows: StepRows | None, logged: Mapping | None) -> dict:
    found = _of_rows(rows) if rows else {}
    log = {name: logged.get(arm) for arm, name in COLUMNS.items()} if logged else None
    keys = ("n", *COLUMNS.values(), "bridged_invalid", "mcnemar_p_vs_target", "discordant")
    both = [name for name in COLUMNS.values() if log and None not in (log[name], found.get(name))]
    return {
        "run": run.name,
        "step": step,
        **{key: found.get(key) for key in keys},
        "log": log,
        "differs": [name for name in both if abs(log[name] - found[name]) > LOG_DIGITS],
        "unread": len(rows.problems) if rows else None,
        "repeated": found.get("repeated"),
        "status": run.status,
        **_of_other_tools(run, rows),
    }


def _of_other_tools(run: RunFiles, rows: StepRows | None) -> dict:
    """The arms of files that other tools wrote, whatever they are called; empty for a run of this workbench."""
    parts = rows.parts if rows else []
    if not run.tools and not parts:
        return {}
    return {"tools": list(dict.fromkeys(part.tool for part in parts)) or list(run.tools), "arms": arms_of(rows)}


def _of_rows(rows: StepRows) -> dict:
    """Counts of one file. An arm's accuracy is over the questions that it answered; the test pairs those of both."""
    records = {}
    for record in rows.records:
        records.setdefault(record["id"], record)
    found = {"n": len(records), "repeated": len(rows.records) - len(records)}
    right = {
        arm: {key: record["arms"][arm]["correct"] for key, record in records.items() if arm in record["arms"]}
        for arm in COLUMNS
    }
    for arm, name in COLUMNS.items():
        found[name] = sum(right[arm].values()) / len(right[arm]) if right[arm] else None
    if right["latent"]:
        found["bridged_invalid"] = sum(
            records[key]["arms"]["latent"]["extracted"] == INVALID for key in right["latent"]
        )
    if shared := right["latent"].keys() & right["target"].keys():
        test = mcnemar(*({key: right[arm][key] for key in sorted(shared)} for arm in ("latent", "target")))
        found |= {"mcnemar_p_vs_target": test["p"], "discordant": [test["only_a"], test["only_b"]]}
    return found


def summaries_text(objects: Sequence[Mapping]) -> str:
    """The objects as tables for a terminal, one per run, in per cent. Where the log differs, its value follows."""
    blocks, runs = [], {}
    for entry in objects:
        runs.setdefault((entry["run"], entry["status"]), []).append(entry)
    head = ["step", "n", "source", "target", "bridged", "invalid", "p vs target", "discordant", "unread"]
    for (run, status), entries in runs.items():
        blocks += [arms_side_by_side(entry) for entry in entries if "arms" in entry]
        entries = [entry for entry in entries if "arms" not in entry]
        if not entries:
            continue
        lines = [head, *map(_line, entries)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        table = ["  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in lines]
        blocks.append("\n".join([f"{printable(run)} ({status.replace('_', ' ')})", *(f"  {line}" for line in table)]))
    return "\n\n".join(blocks)


def _line(entry: Mapping) -> list[str]:
    def accuracy(name: str) -> str:
        value, logged = entry[name], (entry["log"] or {}).get(name)
        if value is None:
            return "" if logged is None else f"log {100 * logged:.1f}"
        return f"{100 * value:.1f}" + (f" (log {100 * logged:.1f})" if name in entry["differs"] else "")

    def count(name: str) -> str:
        return "" if entry[name] is None else str(entry[name])

    discordant = " / ".join(map(str, entry["discordant"])) if entry["discordant"] else ""
    return [
        printable(entry["step"]), count("n"), *map(accuracy, COLUMNS.values()), count("bridged_invalid"),
        format_p(entry["mcnemar_p_vs_target"]), discordant, count("unread"),
    ]  # fmt: skip
