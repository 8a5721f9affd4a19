"""Reported numbers against raw rows: what was reported, what the rows or the log give, the difference, a verdict."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from lab.audit.archive import Archive, either, find_folder
from lab.audit.costs import QUESTION_TOKENS, kv_bytes_per_token
from lab.audit.reported import CLAIMS, REPORTED, Reported
from lab.audit.tables import paired_table
from lab.pictures import COLUMNS
from lab.runs import log_text, write_text

AGREES, DIFFERS, ABSENT = "agrees", "differs", "rows not here"
UNCHECKABLE = "nothing to check it by"
# Largest difference that is rounding: half of the last digit given, more where the document says "about".
ROUNDING = {"%": 0.051, "points": 0.051, "n": 0, "tokens": 0, "x": 0.051, "MiB": 0.5, "M": 0.51, "GPU h": 0.5}


# How each kind of number is recomputed: (value or None, basis).


def _accuracy(archive: Archive, short: str, step, arm: str):
    value, basis = either(archive.step(short, step), COLUMNS[arm])
    return (None if value is None else 100 * value), basis


def _invalid(archive: Archive, short: str, step, arm: str):
    entry = archive.step(short, step)
    value = entry["bridged_invalid"] if entry and arm == "latent" else None
    return value, "rows" if value is not None else ""


def _gap(archive: Archive, short: str, step):
    (latent, basis), (target, _) = (_accuracy(archive, short, step, arm) for arm in ("latent", "target"))
    return (None, "") if None in (latent, target) else (latent - target, basis)


def _config(archive: Archive, short: str, key: str):
    run = archive.run(short)
    value = run.log.config.get(key) if run else None
    return value, "log" if value is not None else ""


def _soft_tokens(archive: Archive, short: str):
    run = archive.run(short)
    return (run.log.soft_tokens, "log") if run and run.log.soft_tokens is not None else (None, "")


def _log_number(archive: Archive, short: str, pattern: str):
    run = archive.run(short)
    found = re.search(pattern, log_text(run.log_path)) if run and run.log_path else None
    return (float(found[1]), "log") if found else (None, "")


def _sweep_hours(archive: Archive, gpus: int):
    """Hours from the first start to the last end in a sweep's summary.log, times its GPUs."""
    run = archive.run("sweep")
    text = log_text(run.summary_path) if run and run.summary_path else ""
    times = [datetime.strptime(f"{a} {b}", "%b %d %H:%M:%S %Y") for a, b in re.findall(
        r"^(?:Start|End): \w+ (\w+ +\d+ [\d:]+) \w+ (\d+)", text, re.M)]  # fmt: skip
    return (gpus * (max(times) - min(times)).total_seconds() / 3600, "log") if times else (None, "")


def _quotient(archive: Archive, above: float, below: float):
    return above / below, "arithmetic"


def _compression(archive: Archive, soft_tokens: int):
    """Tokens of the mean question, as the target counts them, per soft token."""
    return QUESTION_TOKENS["Llama-3.1-8B"]["mean"] / soft_tokens, "tokenizer"


def _kv(archive: Archive, tokens: int):
    return tokens * kv_bytes_per_token("Llama-3.1-8B") / 2**20, "config"


def _none(archive: Archive):
    return None, ""


MEASURES = {
    "accuracy": _accuracy, "invalid": _invalid, "gap": _gap, "config": _config, "soft_tokens": _soft_tokens,
    "log_number": _log_number, "sweep_hours": _sweep_hours, "quotient": _quotient, "compression": _compression,
    "kv": _kv, "none": _none,
}  # fmt: skip


def verdicts(archive: Archive, documents: str | Path = "", reported: Iterable[Reported] = REPORTED) -> list[dict]:
    """One row per reported number.

    ``{"place", "what", "reported", "unit", "recomputed", "basis", "difference", "verdict", "reread", "note",
    "quote_found"}``. `basis` is rows, log, config, tokenizer or arithmetic; `verdict` is "agrees", "differs", "rows
    not here" or "nothing to check it by"; `quote_found` is whether the quote stands in its line of the document
    (None where `documents` does not hold it).
    """
    folder, rows = find_folder(documents), []
    for item in reported:
        value, basis = MEASURES[item.measure[0]](archive, *item.measure[1:])
        if value is None:
            verdict = UNCHECKABLE if item.measure[0] == "none" else ABSENT
        else:
            verdict = AGREES if abs(value - item.value) <= ROUNDING[item.unit] + 1e-9 else DIFFERS
        rows.append(
            {
                "place": item.place,
                "what": item.what,
                "reported": item.value,
                "unit": item.unit,
                "recomputed": None if value is None else round(value, 2),
                "basis": basis or None,
                "difference": None if value is None else round(value - item.value, 2),
                "verdict": verdict,
                "reread": item.reread,
                "note": item.note,
                "quote_found": _quote_found(item, folder),
            }
        )
    return rows


def _quote_found(item: Reported, folder: Path | None) -> bool | None:
    try:
        lines = (folder / item.document).read_text("utf-8").split("\n") if folder else None
    except (OSError, ValueError):
        return None
    return None if lines is None else item.line <= len(lines) and _plain(item.quote) in _plain(lines[item.line - 1])


def _plain(text: str) -> str:
    """Text without the difference of typographic spaces and dashes."""
    return re.sub("[\u2010-\u2015\u2212]", "-", " ".join(text.split()))


def verdict_counts(rows: Sequence[Mapping]) -> list[dict]:
    """How many numbers of each document agree, differ, or cannot be checked here; how many quotes were found in it."""
    order = (AGREES, DIFFERS, ABSENT, UNCHECKABLE)
    documents = list(dict.fromkeys(row["place"].split(":")[0] for row in rows))
    counts = Counter((row["place"].split(":")[0], row["verdict"]) for row in rows)
    found = Counter(row["place"].split(":")[0] for row in rows if row["quote_found"])
    return [
        {"document": name} | {verdict: counts[name, verdict] for verdict in order} | {"quotes found": found[name]}
        for name in documents
    ]


def claims_table() -> list[dict]:
    """What the documents claim, whether it stands, and why."""
    return [{"place": c.place, "claim": c.claim, "verdict": c.verdict, "why": c.why} for c in CLAIMS]


def write_audit(folder: str | Path, rows: Sequence[Mapping], archive: Archive) -> Path:
    """Write `audit.json`: all verdicts, the paired tests, the claims, and what could not be read; returns its path."""
    path = Path(folder) / "audit.json"
    audit = {"runs": [run.name for run in archive.runs], "counts": verdict_counts(rows), "verdicts": list(rows),
             "paired": paired_table(archive), "claims": claims_table(), "reports": archive.reports}  # fmt: skip
    write_text(path, json.dumps(audit, indent=2, ensure_ascii=False) + "\n")
    return path
