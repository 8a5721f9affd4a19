"""The seal of a file of records: what fixed its evaluation, and a digest of every row, stored beside it.

`eval_samples_step_final.jsonl` has `eval_samples_step_final.seal.json`. A row that was dropped, repeated under another
id, altered, or answered with more tokens than the limit is found by name when the file is read, without the models.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lab.errors import LabError
from lab.runs.directory import RunDirectory
from lab.runs.packed import lying, plain_name, unpack
from lab.runs.records import write_text
from lab.tasks import Question, normalised_text

VERSION = 1


def pack_tokens(ids: Sequence[int]) -> str:
    """Token ids as a short text: base64 of little-endian integers of two or four bytes, which the prefix says."""
    width = 2 if max(ids, default=0) < 2**16 else 4
    return f"u{width}:" + base64.b64encode(np.asarray(ids, dtype=f"<u{width}").tobytes()).decode("ascii")


def unpack_tokens(text: str) -> list[int]:
    """The ids that `pack_tokens` packed. Raises LabError for any other text."""
    kind, _, data = text.partition(":")
    try:
        return np.frombuffer(base64.b64decode(data, validate=True), dtype={"u2": "<u2", "u4": "<u4"}[kind]).tolist()
    except (KeyError, ValueError) as error:
        raise LabError(f"tokens {text[:20]!r} are not what `pack_tokens` writes ({error}).") from None


def questions_hash(questions: Sequence[Question]) -> str:
    """16 hex digits of the questions by their normalised text, gold and what may be chosen, in their order: ids may not
    stand for them."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(json.dumps([normalised_text(question.question), question.gold, *question.choices]).encode())
    return digest.hexdigest()[:16]


def row_digest(row: Mapping) -> str:
    """16 hex digits of a record as it was written."""
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()[:16]


def seal_path(records: str | Path) -> Path:
    """Where the seal of a file of records, packed or not, is written."""
    path = Path(records)
    return path.with_name(plain_name(path).removesuffix(".jsonl") + ".seal.json")


def write_sealed(run: RunDirectory, step: int | str, rows: Sequence[Mapping], evaluation: Mapping) -> Path:
    """Write the records of a step and their seal; the manifest says that they have one. Returns the records' path.

    Raises LabError if these are not the rows of all the questions that were evaluated.
    """
    asked = [
        Question(row["id"], row["question"], "", row["gold"], "", choices=tuple(row.get("choices", ()))) for row in rows
    ]
    if (len(rows), questions_hash(asked)) != (evaluation["n"], evaluation["questions"]):
        raise LabError(
            f"{run.path}: {len(rows)} records of an evaluation of {evaluation['n']} questions are to be written; rows "
            "were dropped or changed after it."
        )
    path = run.write_records(step, rows)
    write_seal(path, rows, evaluation)
    run.note(sealed=sorted({*run.manifest().get("sealed", []), str(step)}))
    return path


def write_seal(records: str | Path, rows: Sequence[Mapping], evaluation: Mapping) -> Path:
    """Write the seal of `rows`, which were just written to `records`; `evaluation`: see `Evaluation.seal`."""
    content = {"version": VERSION, "evaluation": evaluation, "rows": {row["id"]: row_digest(row) for row in rows}}
    path = seal_path(records)
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def read_seal(records: str | Path) -> dict | None:
    """The seal beside a file of records; None if it never had one. Raises LabError for one that cannot be read, or that
    was taken away."""
    path = seal_path(records)
    file = lying(path)
    if file is None:
        step = path.name.removeprefix("eval_samples_step_").removesuffix(".seal.json")
        if step in RunDirectory(path.parent).manifest().get("sealed", []):
            raise LabError(f"{path} is missing, though its run wrote one; restore it, or evaluate again.")
        return None
    reason = "its layout is another"
    try:
        seal = json.loads(unpack(file))
        if seal["version"] == VERSION and isinstance(seal["evaluation"], dict) and isinstance(seal["rows"], dict):
            return seal
    except (KeyError, TypeError):
        pass
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)
    raise LabError(
        f"{path} is no seal that this version reads ({reason}); restore it from where the records were copied."
    )


def broken_seal(rows: Sequence[Mapping], seal: Mapping) -> list[str]:
    """What `rows` and their seal disagree on, one sentence each; none where the file is as it was written."""
    found, digests, seen = [], seal["rows"], set()
    limit = seal["evaluation"]["decoding"]["max_new_tokens"]
    texts: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        key = row.get("id")
        if key in seen:
            found.append(f"question {key} stands twice, again in row {number}")
        elif key not in digests:
            twin = texts.get(normalised_text(str(row.get("question", ""))))
            found.append(f"row {number}, question {key}, was not in this evaluation"
                         + (f"; it repeats question {twin}" if twin else ""))  # fmt: skip
        elif row_digest(row) != digests[key]:
            found.append(f"question {key}: the row was altered after it was written")
        seen.add(key)
        texts.setdefault(normalised_text(str(row.get("question", ""))), key)
        found += [
            f"question {key}: arm {arm} answered with {answer.get('new_tokens')} tokens, the limit is {limit}"
            for arm, answer in (row.get("arms") or {}).items()
            if isinstance(answer.get("new_tokens"), int) and answer["new_tokens"] > limit
        ]
    if dropped := [key for key in digests if key not in seen]:
        found.append(f"{len(dropped)} rows were dropped, first question {dropped[0]}")
    if not found and [row["id"] for row in rows] != list(digests):
        found.append("the rows stand in another order than they were written in")
    return found
