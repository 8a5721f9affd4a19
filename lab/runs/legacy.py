"""Rows of any age as records of today's format, and back into the older wide format.

`read_step` reads one file (`find_runs` finds them). Rows of the older wide format (one column per arm) come as
records of today's, so that the same statistics, tables and browser serve both. Reading is tolerant and tells: each
line of a file is either a record or a problem with its line number, never nothing.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.runs.logs import FINAL, LogFacts, read_tolerantly
from lab.runs.records import write_jsonl
from lab.runs.runfiles import RunFiles, StepFile, facts_beside, find_runs, step_of
from lab.tasks import question_id
from lab.tasks import INVALID, final_answer

__all__ = [
    "WIDE_COLUMNS", "RunFiles", "StepFile", "StepRows", "bare_question", "find_runs", "read_step", "to_wide",
    "write_wide",
]  # fmt: skip

_SURROGATE = re.compile("[\ud800-\udfff]")
WIDE_ARMS = {"source": "source", "target": "target", "latent": "bridged"}  # arm -> its prefix in the wide format
WIDE_COLUMNS = ("eval_step", "index", "question", "gold_full_text", "gold_extracted") + tuple(
    f"{prefix}_{part}" for prefix in WIDE_ARMS.values() for part in ("full", "extracted")
)
FACTS = ("text", "extracted", "correct", "saw", "context_aware", "prompt_tokens", "soft_tokens", "new_tokens")


@dataclass
class StepRows:
    """One file, read. ``len(records) + len(problems) == lines``.

    `records`: today's format, facts that a row does not hold are None. A wide row also keeps its `prompt` (what
    source and target read, instruction and shots included), `gold_text` (the gold solution) and `index`.
    `problems`: (line number, reason) of lines that are no record. `warnings`: (line number, what to know) of records
    that were read although something is missing or odd.
    """

    path: Path
    records: list[dict] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    lines: int = 0

    def report(self, limit: int = 10) -> list[str]:
        """`file:line: reason` of the first problems and warnings, equal warnings told once with their count."""
        told = [f"{self.path}:{line}: {reason}" for line, reason in self.problems[:limit]]
        if len(self.problems) > limit:
            told.append(f"{self.path}: {len(self.problems) - limit} more lines could not be read")
        counts, first = Counter(text for _, text in self.warnings), {}
        for line, text in self.warnings:
            first.setdefault(text, line)
        for text, count in counts.most_common(limit):
            told.append(f"{self.path}:{first[text]}: {text}" + (f" ({count} lines)" if count > 1 else ""))
        return told


def read_step(path: str | Path) -> StepRows:
    """One JSONL file (plain or gzipped; UTF-8, UTF-16 or, line by line, Windows-1252) as records of today's format.

    Each line is a record or a problem with its number. What a wide row does not say but the log beside it does (which
    text the latent arm saw, how many soft tokens) is taken from there. Raises LabError if the file cannot be opened.
    """
    path = Path(path)
    try:
        data, damage = read_tolerantly(path)
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror}); give an eval_samples file.") from error
    rows = StepRows(path)
    step, facts = step_of(path.name), None
    for number, raw in enumerate(_lines(data), start=1):
        rows.lines = number
        try:
            row = _row(raw, notes := [])
            if "arms" in row:
                record = _new_record(row, notes)
            else:
                facts = facts or facts_beside(path)
                record = _wide_record(row, facts, step, notes)
        except _Problem as problem:
            rows.problems.append((number, str(problem)))
            continue
        rows.records.append(record)
        rows.warnings += [(number, note) for note in notes]
    if damage:
        rows.warnings.append((rows.lines, f"{damage}: lines may be missing after this one"))
    _name_repeated(rows)
    return rows


class _Problem(Exception):
    """Why a line is no record."""


def _lines(data: bytes) -> Iterable[bytes]:
    """Lines end in \\n alone: texts may hold other separators. An empty rest after the last one is no line."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _row(raw: bytes, notes: list[str]) -> dict:
    if not raw.strip():
        raise _Problem("an empty line")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
        notes.append("not UTF-8, read as Windows-1252")
    try:
        row = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        # the message quotes no text of the file
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise _Problem(f"not valid JSON ({reason})") from None
    if not isinstance(row, dict):
        raise _Problem(f"a {type(row).__name__} where a JSON object belongs")
    if "\\u" in text and _has_surrogates(row):
        row = _without_surrogates(row)
        notes.append("half a surrogate pair, replaced by U+FFFD")
    return row


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _has_surrogates(row: dict) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return True
    return False


def _without_surrogates(value):
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value


def _text(row: Mapping, key: str) -> str | None:
    """A text of a row, None where it is missing or null. Another type is a problem."""
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise _Problem(f"'{key}' is a {type(value).__name__}, not a text")
    return value


# --- today's format ---------------------------------------------------------------------------------------------------


def _new_record(row: dict, notes: list[str]) -> dict:
    question, gold = _text(row, "question"), _text(row, "gold")
    if not question:
        raise _Problem("no 'question'")
    if gold is None:
        raise _Problem("no 'gold'")
    if not isinstance(row["arms"], dict) or not row["arms"]:
        raise _Problem("'arms' is not an object with at least one arm")
    record = {"id": _text(row, "id"), "question": question, "gold": gold}
    if not record["id"]:
        record["id"] = question_id(question)
        notes.append("no 'id', made from the question")
    for key in ("cell", "word"):
        record[key] = _text(row, key)
        if record[key] is None:
            record[key] = ""
            notes.append(f"no '{key}'")
    record["arms"] = {}
    for arm, answer in row["arms"].items():
        if not isinstance(answer, dict):
            raise _Problem(f"arm '{arm}' is a {type(answer).__name__}, not an object")
        if not isinstance(answer.get("correct"), bool):
            raise _Problem(f"arm '{arm}' has no true or false 'correct'")
        for key in ("text", "extracted", "saw"):
            _text(answer, key)
        for key in ("prompt_tokens", "soft_tokens", "new_tokens"):
            if answer.get(key) is not None and type(answer[key]) is not int:
                raise _Problem(f"arm '{arm}': '{key}' is a {type(answer[key]).__name__}, not a whole number")
        if missing := [key for key in ("text", "extracted", "saw") if answer.get(key) is None]:
            notes.append(f"arm '{arm}' lacks {', '.join(missing)}")
        record["arms"][arm] = dict.fromkeys(FACTS) | answer
    return {**{key: value for key, value in row.items() if key not in record}, **record}


# --- the older wide format --------------------------------------------------------------------------------------------


def bare_question(prompt: str) -> str:
    """The question itself in a prompt with instruction, worked examples and a cue; the prompt where none is found.

    >>> bare_question("Answer.\\n\\nQ: 1+1?\\nA: 2\\n\\nQ: 2+2?\\nA: Let's think step by step.\\n\\nAnswer:")
    '2+2?'
    """
    for opening, closing in (("Q:", r"\nA:"), ("Question:", r"\nAnswer:"), ("Problem:", r"\n(?:Solution|Answer):")):
        starts = [*re.finditer(rf"(?:^|\n){opening}", prompt)]
        if starts:
            found = re.split(closing, prompt[starts[-1].end() :], maxsplit=1)[0].strip()
            if found:
                return found
    return prompt.strip()


def _wide_record(row: dict, facts: LogFacts, step: int | str | None, notes: list[str]) -> dict:
    prompt = _text(row, "question")
    if not prompt or not prompt.strip():
        raise _Problem("no 'question'")
    gold_full, gold = _text(row, "gold_full_text"), _text(row, "gold_extracted")
    gold_text = gold_full[len(prompt) :] if gold_full is not None and gold_full.startswith(prompt) else gold_full
    if gold is None:
        gold = final_answer(gold_text or "")
        if gold == INVALID:
            raise _Problem("no 'gold_extracted'")
        notes.append("no 'gold_extracted', read from 'gold_full_text'")
    index = row.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        if index is not None:
            raise _Problem(f"'index' is a {type(index).__name__}, not a whole number")
        notes.append("no 'index'")
    said = row.get("eval_step")
    if said is not None and (isinstance(said, bool) or not isinstance(said, str | int)):
        raise _Problem(f"'eval_step' is a {type(said).__name__}, neither a text nor a whole number")
    if said is None:
        notes.append("no 'eval_step'")
    elif step is not None and str(said) != str(step):
        notes.append(f"eval_step says {said!r}, the file's name {step!r}")
    arms = {}
    for arm, prefix in WIDE_ARMS.items():
        if f"{prefix}_full" in row or f"{prefix}_extracted" in row:
            arms[arm] = _wide_answer(row, prefix, gold, notes) | _wide_saw(arm, prompt, facts)
        else:
            notes.append(f"no '{prefix}_full' and no '{prefix}_extracted'")
    if not arms:
        raise _Problem("no answers: neither source nor target nor bridged columns")
    dataset = facts.config.get("dataset")
    question = bare_question(prompt)
    return {
        "id": question_id(question), "question": question, "gold": gold,
        "cell": dataset if isinstance(dataset, str) else "", "word": "", "arms": arms,
        "prompt": prompt, "gold_text": gold_text, "index": index, "eval_step": said,
    }  # fmt: skip


def _wide_answer(row: dict, prefix: str, gold: str, notes: list[str]) -> dict:
    """The verdict is the one the run recorded: equal texts. `[invalid]` is never right, not even against itself."""
    text, extracted = _text(row, f"{prefix}_full"), _text(row, f"{prefix}_extracted")
    if text is None:
        notes.append(f"no '{prefix}_full'")
    if extracted is None:
        if text is None:
            raise _Problem(f"'{prefix}_full' and '{prefix}_extracted' are both null")
        extracted = final_answer(text)
        notes.append(f"no '{prefix}_extracted', read from '{prefix}_full'")
    correct = extracted.strip() == gold.strip() and extracted.strip() not in (INVALID, "")
    return dict.fromkeys(FACTS) | {"text": text, "extracted": extracted, "correct": correct}


def _wide_saw(arm: str, prompt: str, facts: LogFacts) -> dict:
    """What an arm read. Source and target read the prompt; for the latent arm the log's settings decide."""
    if arm != "latent":
        return {"saw": prompt, "context_aware": True, "soft_tokens": 0}
    count, mode = facts.soft_tokens, facts.config.get("eval_prompt_mode")
    soft = f"<soft×{'?' if count is None else count}>"
    if mode == "soft_plus_text":
        added = facts.config.get("soft_injection") == "adapter"
        soft = f"{soft[:-1]}, added to the embeddings of this text>" if added else soft
        return {"saw": soft + prompt, "context_aware": True, "soft_tokens": count}
    if mode == "soft_only":
        return {"saw": soft, "context_aware": False, "soft_tokens": count}
    return {"saw": None, "context_aware": None, "soft_tokens": count}


def _name_repeated(rows: StepRows) -> None:
    counts = Counter(record["id"] for record in rows.records)
    if len(counts) == len(rows.records):
        return
    unread = {line for line, _ in rows.problems}
    numbers = [line for line in range(1, rows.lines + 1) if line not in unread]
    for number, record in zip(numbers, rows.records, strict=True):
        if counts[record["id"]] > 1:
            rows.warnings.append((number, f"question {record['id']} occurs {counts[record['id']]} times"))


def to_wide(record: Mapping, step: int | str, index: int) -> dict:
    """One record as a row of the older format (WIDE_COLUMNS), for the tools that read it.

    There a verdict is the equality of two texts. Where an answer is right but spelt otherwise (18.0 for 18), the
    gold's spelling is written, so that those tools count what was counted here; the full text keeps the original.
    An arm that the record does not have is null. Controls have no column and are left out.
    """
    prompt = record.get("prompt") or (record["arms"].get("target") or {}).get("saw") or record["question"]
    gold_text = record.get("gold_text")
    wide = {
        "eval_step": str(record.get("eval_step") or step),
        "index": index if record.get("index") is None else record["index"],
        "question": prompt,
        "gold_full_text": f"{prompt} #### {record['gold']}" if gold_text is None else prompt + gold_text,
        "gold_extracted": record["gold"],
    }
    for arm, prefix in WIDE_ARMS.items():
        answer = record["arms"].get(arm) or {}
        wide[f"{prefix}_full"] = answer.get("text")
        wide[f"{prefix}_extracted"] = record["gold"] if answer.get("correct") else answer.get("extracted")
    return wide


def write_wide(path: str | Path, records: Iterable[Mapping], step: int | str = FINAL) -> None:
    """Write `records` as JSONL of the older wide format, atomically."""
    write_jsonl(path, (to_wide(record, step, index) for index, record in enumerate(records)))
