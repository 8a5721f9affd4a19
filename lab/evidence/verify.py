"""Is a run's folder what the run wrote? Records against their seal, their tokens, the task's rule, and the summary.

Reading records for a claim checks the seal as well; here everything is looked at and every finding is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import isclose
from pathlib import Path

from lab.config import RunConfig
from lab.errors import LabError
from lab.evidence.likelihood import information
from lab.evidence.summary import summarise
from lab.runs import SUMS, RunDirectory, broken_seal, check_sums, read_jsonl, read_seal, step_of, unpack_tokens
from lab.tasks import Task, judged, load_task

Decode = Callable[[str, Sequence[int]], str | None]  # (source or target, token ids) -> text; None: no tokenizer here
MOST = 8  # findings of one kind that are written out


def verify_run(folder: str | Path, decode: Decode | None = None) -> list[str]:
    """What is wrong with the run in `folder`, one sentence each; none where it is as it was written.

    `decode`: how the models' tokenizers read tokens; without it texts are held to the seal alone. Raises LabError if
    the folder holds no records that can be read at all.
    """
    folder = Path(folder)
    files = sorted(file for file in folder.glob("*") if step_of(file.name) is not None)
    if not files and (folder / SUMS).is_file():  # costs: no records, but what was preserved is held to its sums
        return check_sums(folder)
    if not files:
        raise LabError(f"{folder} holds no eval_samples_step_*.jsonl; give the folder of a run.")
    config = RunConfig.from_yaml(folder / "config.yaml")
    task, found = load_task(config.task), check_sums(folder) + _config_findings(folder, config)
    for file in files:
        rows = read_jsonl(file)
        said = _seal_findings(file, rows)
        said += _derived(rows, task, decode)
        if file.name.startswith("eval_samples_step_final"):
            said += _summary_findings(folder, rows)
        found += [f"{file.name}: {sentence}" for sentence in said]
    return found


def _seal_findings(file: Path, rows: Sequence[Mapping]) -> list[str]:
    try:
        seal = read_seal(file)
    except LabError as error:
        return [str(error)]
    return ["it is not sealed: nothing says what was evaluated"] if seal is None else broken_seal(rows, seal)


def _config_findings(folder: Path, config: RunConfig) -> list[str]:
    """Whether manifest and summary were made with the config that lies beside them."""
    found = []
    try:
        RunDirectory(folder).check_config()
    except LabError as error:
        found.append(str(error))
    for name in ("manifest.json", "summary.json"):
        said = _json(folder / name).get("config_hash")
        if said not in (None, config.hash()):
            found.append(f"{name} is of config {said}, config.yaml of {config.hash()}")
    return found


def _derived(rows: Sequence[Mapping], task: Task, decode: Decode | None) -> list[str]:
    """Answers whose text is not what their tokens say, or whose verdict is not what their text says."""
    texts, verdicts = [], []
    for row in rows:
        for arm, answer in row["arms"].items():
            where = f"question {row['id']}, arm {arm}"
            extracted, right = judged(task, row, answer)
            if (extracted, right) != (answer["extracted"], answer["correct"]):
                verdicts.append(f"{where}: the text reads {extracted!r}, the record says {answer['extracted']!r}, "
                                f"{'right' if answer['correct'] else 'wrong'}")  # fmt: skip
            if decode and "tokens" in answer and "options" not in answer:  # an option was given, not generated
                whole = decode("source" if arm == "source" else "target", unpack_tokens(answer["tokens"]))
                if whole is not None and whole[: task.answer_end(whole)] != answer["text"]:
                    texts.append(f"{where}: the text is not what its tokens say")
    return _few(verdicts) + _few(texts)


def _summary_findings(folder: Path, rows: Sequence[Mapping]) -> list[str]:
    """Accuracies and likelihoods of summary.json that the records do not give."""
    summary = _json(folder / "summary.json")
    said = summary.get("arms", {})
    if not said:
        return []
    try:
        given = summarise(rows)["arms"]
        told = "likelihood" not in summary or _equal(summary["likelihood"], information([rows]))
    except LabError as error:
        return [str(error)]
    untold = [] if told else ["summary.json says of the gold answers' likelihood what the records do not give"]
    return untold + [
        f"summary.json says {entry.get('accuracy')} of {entry.get('n')} for arm {arm}, the records give "
        + (f"{given[arm]['accuracy']} of {given[arm]['n']}" if arm in given else "no such arm")
        for arm, entry in said.items()
        if arm not in given or (entry.get("accuracy"), entry.get("n")) != (given[arm]["accuracy"], given[arm]["n"])
    ]


def _equal(said: object, given: object) -> bool:
    """Whether a file says what was computed anew, but for the last digits of numbers."""
    if isinstance(given, Mapping):
        return (
            isinstance(said, Mapping) and said.keys() == given.keys() and all(_equal(said[k], given[k]) for k in given)
        )
    if isinstance(given, Sequence) and not isinstance(given, str):
        return isinstance(said, Sequence) and len(said) == len(given) and all(map(_equal, said, given))
    if isinstance(given, float):
        return isinstance(said, int | float) and isclose(said, given, rel_tol=1e-6, abs_tol=1e-9)
    return said == given


def _few(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST
    return sentences[:MOST] + ([f"and {more} more of the kind"] if more > 0 else [])


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
