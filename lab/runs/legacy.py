"""Rows of this workbench and of the older scripts as records of today's format, and back into the older wide one.

Rows of the older wide format (one column per arm) come as records of today's, so that the same statistics, tables and
browser serve both. Reading is tolerant and tells: each line of a file is either a record or a problem with its line
number, never nothing.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.runs.logs import FINAL, LogFacts
from lab.runs.records import write_jsonl
from lab.runs.rows import FACTS, Problem, StepRows, json_row, name_repeated, text_of
from lab.runs.runfiles import facts_beside, step_of
from lab.tasks import INVALID, final_answer, question_id

WIDE_ARMS = {"source": "source", "target": "target", "latent": "bridged"}  # arm -> its prefix in the wide format
WIDE_COLUMNS = ("eval_step", "index", "question", "gold_full_text", "gold_extracted") + tuple(
    f"{prefix}_{part}" for prefix in WIDE_ARMS.values() for part in ("full", "extracted")
)


def read_rows(path: Path, lines: Iterable[bytes], damage: str | None) -> StepRows:
    """The lines of one JSONL file (UTF-8, UTF-16 or, line by line, Windows-1252), new rows and wide ones mixed.

    What a wide row does not say but the log beside it does (which text the latent arm saw, how many soft tokens) is
    taken from there. `damage`: what was wrong with the file itself.
    """
    rows, numbers = StepRows(path), []
    step, facts = step_of(path.name), None
    for number, raw in enumerate(lines, start=1):
        rows.lines = number
        try:
            row = json_row(raw, notes := [])
            if "arms" in row:
                record = _new_record(row, notes)
            else:
                facts = facts or facts_beside(path)
                record = _wide_record(row, facts, step, notes)
        except Problem as problem:
            rows.problems.append((number, str(problem)))
            continue
        rows.records.append(record)
        numbers.append(number)
        rows.warnings += [(number, note) for note in notes]
    if damage:
        rows.warnings.append((rows.lines, f"{damage}: lines may be missing after this one"))
    name_repeated(rows, numbers)
    return rows


# --- today's format ---------------------------------------------------------------------------------------------------


def _new_record(row: dict, notes: list[str]) -> dict:
    question, gold = text_of(row, "question"), text_of(row, "gold")
    if not question:
        raise Problem("no 'question'")
    if gold is None:
        raise Problem("no 'gold'")
    if not isinstance(row["arms"], dict) or not row["arms"]:
        raise Problem("'arms' is not an object with at least one arm")
    record = {"id": text_of(row, "id"), "question": question, "gold": gold}
    if not record["id"]:
        record["id"] = question_id(question)
        notes.append("no 'id', made from the question")
    for key in ("cell", "word"):
        record[key] = text_of(row, key)
        if record[key] is None:
            record[key] = ""
            notes.append(f"no '{key}'")
    record["arms"] = {}
    for arm, answer in row["arms"].items():
        if not isinstance(answer, dict):
            raise Problem(f"arm '{arm}' is a {type(answer).__name__}, not an object")
        if not isinstance(answer.get("correct"), bool):
            raise Problem(f"arm '{arm}' has no true or false 'correct'")
        for key in ("text", "extracted", "saw"):
            text_of(answer, key)
        for key in ("prompt_tokens", "soft_tokens", "new_tokens"):
            if answer.get(key) is not None and type(answer[key]) is not int:
                raise Problem(f"arm '{arm}': '{key}' is a {type(answer[key]).__name__}, not a whole number")
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
    prompt = text_of(row, "question")
    if not prompt or not prompt.strip():
        raise Problem("no 'question'")
    gold_full, gold = text_of(row, "gold_full_text"), text_of(row, "gold_extracted")
    gold_text = gold_full[len(prompt) :] if gold_full is not None and gold_full.startswith(prompt) else gold_full
    if gold is None:
        gold = final_answer(gold_text or "")
        if gold == INVALID:
            raise Problem("no 'gold_extracted'")
        notes.append("no 'gold_extracted', read from 'gold_full_text'")
    index = row.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        if index is not None:
            raise Problem(f"'index' is a {type(index).__name__}, not a whole number")
        notes.append("no 'index'")
    said = row.get("eval_step")
    if said is not None and (isinstance(said, bool) or not isinstance(said, str | int)):
        raise Problem(f"'eval_step' is a {type(said).__name__}, neither a text nor a whole number")
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
        raise Problem("no answers: neither source nor target nor bridged columns")
    dataset = facts.config.get("dataset")
    question = bare_question(prompt)
    return {
        "id": question_id(question), "question": question, "gold": gold,
        "cell": dataset if isinstance(dataset, str) else "", "word": "", "arms": arms,
        "prompt": prompt, "gold_text": gold_text, "index": index, "eval_step": said,
    }  # fmt: skip


def _wide_answer(row: dict, prefix: str, gold: str, notes: list[str]) -> dict:
    """The verdict is the one the run recorded: equal texts. `[invalid]` is never right, not even against itself."""
    text, extracted = text_of(row, f"{prefix}_full"), text_of(row, f"{prefix}_extracted")
    if text is None:
        notes.append(f"no '{prefix}_full'")
    if extracted is None:
        if text is None:
            raise Problem(f"'{prefix}_full' and '{prefix}_extracted' are both null")
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
