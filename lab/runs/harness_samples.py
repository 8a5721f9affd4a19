"""Samples of lm-evaluation-harness, as `--log_samples` writes them: one row per document and filter.

A row holds `doc`, `target`, `arguments` (what the model read), `resps`, `filtered_resps`, `filter` and a value per
metric (`save_results_samples` in its `loggers/evaluation_tracker.py`). Older versions have neither `filter` nor
`metrics`, and arguments as a list.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lab.runs.foreign import HARNESS, Samples, foreign_answer, origin_of
from lab.runs.legacy import bare_question
from lab.runs.packed import plain_name
from lab.runs.rows import Problem, json_row, name_repeated
from lab.tasks import INVALID, final_answer, question_id

# where a task's documents keep the question, the first that is there; else it is sought in the prompt
QUESTIONS = ("question", "problem", "query", "goal", "sentence", "input")
# metrics that say right or wrong, the usual ones; of others, those whose every value is 0 or 1
USUAL = ("exact_match", "acc", "acc_norm", "em")
_ROW = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
        "prompt_hash", "target_hash")  # fmt: skip


def is_harness_row(row: Mapping) -> bool:
    return "doc" in row and "resps" in row and "arms" not in row


def read_harness(path: Path, lines: Iterable[bytes], damage: str | None) -> Samples:
    """A file of samples. Arms are named by filter, and by metric where several say right or wrong."""
    origin = origin_of(path)
    task, time = (origin.task, origin.time) if origin else (path.name.split(".")[0], "")
    samples = Samples(path, tool=HARNESS, model=_model(path), task=task, time=time)
    rows = []
    for number, raw in enumerate(lines, start=1):
        samples.lines = number
        try:
            row = json_row(raw, notes := [], constant=lambda _: None)
            rows.append((number, _checked(row)))
        except Problem as problem:
            samples.problems.append((number, str(problem)))
            continue
        samples.warnings += [(number, note) for note in notes]
    if damage:
        samples.warnings.append((samples.lines, f"{damage}: lines may be missing after this one"))
    _collect(samples, rows)
    return samples


def _checked(row: dict) -> dict:
    if not is_harness_row(row):
        raise Problem("no sample of lm-evaluation-harness: no 'doc' or no 'resps'")
    if not isinstance(row["resps"], list) or not row["resps"]:
        raise Problem("'resps' is not a list with a response")
    if _question(row) is None:
        raise Problem("no question: neither in 'doc' nor in 'arguments'")
    return row


def _collect(samples: Samples, rows: Sequence[tuple[int, dict]]) -> None:
    """Rows of one document become one record, with an arm for each filter and metric."""
    metrics = _metrics([row for _, row in rows])
    records: dict[str, dict] = {}
    numbers = []
    for number, row in rows:
        question = _question(row)
        key = json.dumps([row.get("doc_id"), question])
        if key not in records:
            records[key] = {
                "id": question_id(question), "question": question, "gold": _gold(row), "cell": samples.task,
                "word": "", "arms": {}, "gold_text": str(row.get("target")),
            }  # fmt: skip
            numbers.append(number)
        rules = {_rule(row, metric, metrics): metric for metric in metrics if metric in row}
        if not rules:
            held = ", ".join(name for name in row if name not in _ROW) or "none at all"
            samples.problems.append((number, f"no score that is right or wrong; it has {held}"))
        elif rules.keys() & records[key]["arms"].keys():
            samples.problems.append((number, "the same document and filter as before"))
        else:
            arms = {rule: _answer(row, metric, records[key]["gold"]) for rule, metric in rules.items()}
            records[key]["arms"] |= arms
            if isinstance(row["resps"][0], list) and len(row["resps"][0]) > 1 and not _choices(row):
                samples.warnings.append((number, f"{len(row['resps'][0])} responses to one prompt, the first is shown"))
    kept = [(number, record) for number, record in zip(numbers, records.values(), strict=True) if record["arms"]]
    samples.records = [record for _, record in kept]
    for number, record in kept:
        samples.places.setdefault(record["id"], number)
    name_repeated(samples, [number for number, _ in kept])


def _metrics(rows: Sequence[Mapping]) -> list[str]:
    """The metrics that say right or wrong on every row that has them; the usual ones if any of them does."""
    values: dict[str, set] = {}
    for row in rows:
        for name, value in row.items():
            if name not in _ROW and value is not None:
                values.setdefault(name, set()).add(_binary(value))
    binary = [name for name, found in values.items() if None not in found]
    return [name for name in binary if name in USUAL] or binary


def _binary(value: object) -> bool | None:
    """Right or wrong, None for anything between; numpy's truth values come as text."""
    known = {0: False, 1: True, "False": False, "True": True}
    return known.get(value) if isinstance(value, int | float | str) else None


def _rule(row: Mapping, metric: str, metrics: Sequence[str]) -> str:
    name = row.get("filter")
    parts = [name if isinstance(name, str) and name != "none" else "", metric if len(metrics) > 1 else ""]
    return " ".join(filter(None, parts))


# --- the question and its gold ----------------------------------------------------------------------------------------


def _arguments(row: Mapping) -> list[list]:
    """[what was read, what it was followed by] of each request; old files have lists, new ones numbered objects."""
    given = row.get("arguments")
    requests = list(given.values()) if isinstance(given, dict) else given if isinstance(given, list) else []
    found = [list(request.values()) if isinstance(request, dict) else request for request in requests]
    return [request for request in found if isinstance(request, list) and request]


def _prompt(row: Mapping) -> str | None:
    requests = _arguments(row)
    text = requests[0][0] if requests else None
    text = text[0] if isinstance(text, list) and text else text  # a chat, kept as JSON text in a list of one
    return text if isinstance(text, str) else None


def _question(row: Mapping) -> str | None:
    doc = row["doc"] if isinstance(row["doc"], dict) else {}
    told = (doc[name] for name in QUESTIONS if isinstance(doc.get(name), str) and doc[name].strip())
    found = next(told, None) or bare_question(_prompt(row) or "")
    return found.strip() or None


def _gold(row: Mapping) -> str:
    """The final answer in the target, the choice that it numbers, or the target itself."""
    target = str(row.get("target", "")).strip()
    choices = [choice for choice, _ in _choices(row)]
    if len(choices) > 1 and target.isascii() and target.isdigit() and int(target) < len(choices):
        return choices[int(target)]
    answer = final_answer(target)
    return target if answer == INVALID else answer


# --- the answer -------------------------------------------------------------------------------------------------------


def _answer(row: Mapping, metric: str, gold: str) -> dict:
    correct = _binary(row[metric])
    choices = _choices(row)
    if not choices:
        return foreign_answer(text=_first(row["resps"]), extracted=_first(row.get("filtered_resps")), correct=correct,
                              saw=_prompt(row))  # fmt: skip
    text = "\n".join(f"{chance:10.3f}  {choice}" for choice, chance in choices)
    likeliest = max(choices, key=lambda pair: pair[1] / (len(pair[0]) or 1 if metric == "acc_norm" else 1))[0]
    # what this reading cannot explain it does not claim
    extracted = likeliest if len(choices) > 1 and (likeliest == gold) == correct else None
    return foreign_answer(text=text, extracted=extracted, correct=correct, saw=_prompt(row))


def _first(value: object) -> str | None:
    """The first text in nested lists: of several responses to one prompt the first is shown."""
    while isinstance(value, list):
        value = value[0] if value else ""
    return value if value is None or isinstance(value, str) else str(value)


def _choices(row: Mapping) -> list[tuple[str, float]]:
    """(choice, its log-likelihood) of a task that compares them; empty where the model wrote a text."""
    found = []
    pairs = row.get("filtered_resps")
    for request, pair in zip(_arguments(row), pairs if isinstance(pairs, list) else [], strict=False):
        if not (isinstance(pair, list) and len(pair) == 2 and len(request) > 1 and isinstance(request[1], str)):
            return []
        try:
            chance = float(pair[0])
        except (TypeError, ValueError):
            return []
        if request[0] != "" and math.isfinite(chance):  # the choice alone, without the question, is no choice
            found.append((request, chance))
    endings = {request[1] for request, _ in found}
    # where only the beginnings differ they are the choices
    part = 0 if len(endings) == 1 and len(found) > 1 else 1
    return [(request[part].strip(), chance) for request, chance in found]


# --- the model --------------------------------------------------------------------------------------------------------


def _model(path: Path) -> str:
    """The model that the results of the same time name; the file's folder, which the harness names by the model."""
    stamp = plain_name(path).removesuffix(".jsonl").rpartition("_")[2]
    for beside in sorted(path.parent.glob(f"*_{stamp}.json")) if origin_of(path) else ():
        try:
            results = json.loads(beside.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        name = results.get("model_name") if isinstance(results, dict) else None
        if isinstance(name, str) and name:
            return name
        if described := _described(results):
            return described
    return path.parent.resolve().name


def _described(results: object) -> str:
    """A model without a name of its own, by its kind and arguments, as in `lab run=runs/first, arm=latent`."""
    config = results.get("config") if isinstance(results, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("model"), str):
        return ""
    given = config.get("model_args")
    told = ", ".join(f"{name}={value}" for name, value in given.items()) if isinstance(given, dict) else given or ""
    return f"{config['model']} {told}".strip()
