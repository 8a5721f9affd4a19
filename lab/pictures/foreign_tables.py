"""Samples of other tools in a table: every arm with its interval, and the test against the first one."""

from __future__ import annotations

from collections.abc import Mapping

from lab.evidence import mcnemar, ordered_arms, wilson
from lab.pictures.intervals import PAIRED, WILSON
from lab.pictures.numbers import format_p
from lab.pictures.tables import printable
from lab.runs import StepRows
from lab.tasks import INVALID


def arms_of(rows: StepRows | None) -> dict[str, dict]:
    """``{arm: {"n", "accuracy", "ci95" (Wilson), "unscored", "invalid", "against"}}`` in reading order.

    An arm's accuracy is over the questions with a verdict; `unscored` counts the others that it answered. `against`:
    the paired result beside the first arm, on the questions where both have one (see `mcnemar`; null for the first arm
    itself, and where there is no such question).
    """
    right: dict[str, dict[str, bool]] = {}
    answers: dict[str, list[dict]] = {}
    for record in rows.records if rows else ():
        for arm, answer in record["arms"].items():
            answers.setdefault(arm, []).append(answer)
            if answer["correct"] is not None:
                right.setdefault(arm, {})[record["id"]] = answer["correct"]
    found: dict[str, dict] = {}
    for arm in ordered_arms(answers):
        own, first = right.get(arm, {}), right.get(next(iter(found), arm), {})
        shared = sorted(own.keys() & first.keys()) if found else []
        pairs = ({key: side[key] for key in shared} for side in (own, first))
        found[arm] = {
            "n": len(own),
            "accuracy": sum(own.values()) / len(own) if own else None,
            "ci95": list(wilson(sum(own.values()), len(own))) if own else None,
            "unscored": len(answers[arm]) - len(own),
            "invalid": sum(answer["extracted"] == INVALID for answer in answers[arm]),
            "against": mcnemar(*pairs) if shared else None,
        }
    return found


def arms_side_by_side(entry: Mapping) -> str:
    """An object of `summarize` with `arms` as a table for a terminal, in per cent and points."""
    name = f"{printable(entry['run'])} ({', '.join(entry['tools'])})"
    if not entry["arms"]:
        return f"{name}: no sample could be read"
    head = ["arm", "n", "right, %", WILSON, "invalid", "difference", PAIRED, "discordant", "p"]
    lines = [head, *(_line(arm, found) for arm, found in entry["arms"].items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    title = f"{name}, {entry['n']} questions"
    first = next(iter(entry["arms"]), "")
    note = f"difference: arm - {printable(first)}, in points, on the questions that both answered; exact McNemar"
    return "\n".join([title, *(f"  {line}" for line in table), *([f"  {note}"] if len(entry["arms"]) > 1 else [])])


def _line(arm: str, found: Mapping) -> list[str]:
    accuracy = f"{100 * found['accuracy']:.1f}" if found["n"] else ""
    interval = f"{100 * found['ci95'][0]:.1f} - {100 * found['ci95'][1]:.1f}" if found["n"] else ""
    line = [printable(arm), str(found["n"]), accuracy, interval, str(found["invalid"])]
    if (test := found["against"]) is None:
        return [*line, "", "", "", ""]
    low, high = test["ci95"]
    return [*line, f"{100 * test['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}",
            f"{test['only_a']} / {test['only_b']}", format_p(test["p"])]  # fmt: skip
