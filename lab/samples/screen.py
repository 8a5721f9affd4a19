"""What the page shows, as plain dicts of texts and numbers; the page adds the form and nothing else.

In blind mode they hold no arm's name, no verdict, nothing that would tell the arms apart but their texts.
"""

import math

import numpy as np

from lab.pictures import INTERVALS, PAIRED, WILSON, format_p
from lab.samples.answers import clean, fold_saw, pieces, scorers_disagree, verdicts
from lab.samples.comparison import FILTERS, SHUFFLED, SORTINGS, Side, percent
from lab.samples.desk import Desk
from lab.samples.sheets import RIGHT, UNKNOWN, WRONG, nats_of
from lab.samples.tags import CHOICES
from lab.tasks import groups_of

LISTED, LEAP = 60, 20  # questions of the list that are sent at a time, and by how many they move on
NAMED = 8  # ids named in a notice
LONGEST = 20_000  # characters of a question or a prompt that are shown
MARKS = {RIGHT: "right", WRONG: "wrong", UNKNOWN: "unknown"}


def header(desk: Desk) -> dict:
    """The paired result of the selection, always there; without names and verdicts in blind mode."""
    selection = desk.selection
    if selection.blind:
        return {"blind": True, "n": len(selection)}
    result = desk.comparison.result(selection.mask)
    label_a, label_b = desk.labels
    found = {"blind": False, "n": len(selection), "of": len(desk.comparison), "exploratory": selection.exploratory,
             "a": label_a, "b": label_b, "run": clean(desk.library.runs[desk.a.run].name)}  # fmt: skip
    if result is None:
        return found
    low, high = result["ci95"]
    return found | {
        "sides": [
            {"name": name, "right": result[side]["right"], "accuracy": percent(result[side]["accuracy"]),
             "ci95": f"{percent(result[side]['ci95'][0])} to {percent(result[side]['ci95'][1])}"}
            for side, name in (("a", label_a), ("b", label_b))
        ],
        "kinds": {"arm": WILSON, "pair": PAIRED, "about": INTERVALS},
        "only_a": result["only_a"], "only_b": result["only_b"],
        "difference": f"{100 * result['difference']:+.1f}".replace("-", "−"),
        "difference_ci95": f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−"),
        "p": format_p(result["p"]),
        "arms": [
            {"name": arm, "right": right, "scored": scored}
            for arm, (right, scored) in desk.comparison.accuracies(selection.mask).items()
        ],
    }  # fmt: skip


def choices(desk: Desk) -> dict:
    """What the menus of both sides offer. Apart from `controls`, because it may be long and seldom changes."""
    sides = {} if desk.selection.blind else {"a": desk.a, "b": desk.b}
    return {
        "runs": [clean(run.name) for run in desk.library.runs] if sides else [],
        "steps": {name: [str(step) for step in desk.library.steps(side.run)] for name, side in sides.items()},
        "arms": {name: desk.sheet_of(side).arms for name, side in sides.items()},
    }


def controls(desk: Desk) -> dict:
    """The sides, filters and flip matrix as they are set."""
    label_a, label_b = desk.labels
    comparison, selection = desk.comparison, desk.selection
    cells = sorted({group for cell in set(comparison.cells) for group in groups_of(cell)})
    counts = comparison.matrix(selection.unflipped)
    found = {
        "blind": selection.blind,
        "cells": cells, "cell": selection.cell, "words": selection.words, "tag": selection.tag,
        "tags": sorted({*CHOICES, *(tag for tags in desk.tags.tagged().values() for tag in tags)}),
        "exploratory": selection.exploratory,
    }  # fmt: skip
    if selection.blind:
        return found
    return found | {
        "sides": {
            name: {"run": str(side.run), "step": str(side.step), "arm": side.arm}
            for name, side in (("a", desk.a), ("b", desk.b))
        },
        "matrix": {"a": label_a, "b": label_b, "counts": counts, "chosen": selection.flip},
        "filters": [
            {"name": name, "label": text.format(a=label_a), "on": name in selection.filters,
             "about": _about(name, desk), "count": int(comparison.filtered(name).sum())}
            for name, text in FILTERS.items()
        ],
        "notices": notices(desk),
        # offered where it can sort anything
        "sorting": selection.sorting,
        "sortings": {} if np.isnan(comparison.told).all() else {"": "flips first"} | {
            by: text.format(a=label_a, b=label_b) for by, text in SORTINGS.items()
        },
    }  # fmt: skip


def _about(name: str, desk: Desk) -> str:
    """What a filter asks, where its label does not say all of it."""
    others = ", ".join(desk.comparison.rivals())
    return {"only": f"right, and wrong in {others}", "all_wrong": f"wrong, and so in {others}"}.get(name, "")


def notices(desk: Desk) -> list[str]:
    """What is not compared, and what could not be read, by name."""
    found = []
    label_a, label_b = desk.labels
    told = {
        "only in a": f"only in the file of {label_a}", "only in b": f"only in the file of {label_b}",
        "not scored": "without a scored answer on both sides",
        "twice in a": f"more than once in the file of {label_a} (the first counts)",
        "twice in b": f"more than once in the file of {label_b} (the first counts)",
    }  # fmt: skip
    for reason, keys in desk.comparison.left_out().items():
        more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
        names = ", ".join(_question_name(desk, key) for key in keys[:NAMED])
        found.append(f"{len(keys)} {told[reason]}: {names}{more}")
    for side in dict.fromkeys((desk.a, desk.b)):
        found += desk.sheet_of(side).report
    return list(dict.fromkeys(found))


def _question_name(desk: Desk, key: str) -> str:
    """Its id and how it begins: a question that is not compared cannot be looked at here."""
    for sheet in (desk.comparison.a, desk.comparison.b):
        if (row := sheet.verdicts.place.get(key)) is not None:
            return f"{key} “{clean(sheet.records[row].get('question'))[:50]}…”"
    return key


def listing(desk: Desk) -> dict:
    """The questions around the one on the screen. It moves on in leaps, so that most moves leave it as it is."""
    selection, comparison, rows = desk.selection, desk.comparison, []
    start = max(0, min(selection.place // LEAP * LEAP - LEAP, len(selection) - LISTED))
    for place in range(start, min(start + LISTED, len(selection))):
        at, record = selection.order[place], selection.record(place)
        rows.append({
            "place": place, "question": clean(record.get("question"))[:90], "tags": desk.tags.of(record["id"]),
            **({} if selection.blind else {"a": bool(comparison.right_a[at]), "b": bool(comparison.right_b[at])}),
        })  # fmt: skip
    return {"total": len(selection), "rows": rows}


def sample(desk: Desk, place: int | None = None) -> dict:
    """The question at a place of the selection (None: the one looked at) with every answer, side b and a first."""
    place = desk.selection.place if place is None else place
    if not 0 <= place < len(desk.selection):
        return {"id": None}
    record = desk.selection.record(place)
    key, question = record["id"], clean(record.get("question"))
    shown = {
        "id": key, "question": question[:LONGEST], "gold": clean(record.get("gold")),
        "cell": clean(record.get("cell")), "word": clean(record.get("word")),
        "tags": desk.tags.of(key), "note": desk.tags.note_of(key), "blind": desk.selection.blind,
    }  # fmt: skip
    if desk.selection.blind:
        answers = [_unnamed(desk, side, number, key) for number, side in enumerate(desk.columns(key), start=1)]
        return shown | {"answers": answers}
    reference = desk.reference(key)
    answers = [_named(desk, side, record, reference) for side in desk.columns(key)]
    return shown | {"answers": answers, "steps": _at_steps(desk, key)}


def _unnamed(desk: Desk, side: Side, number: int, key: str) -> dict:
    answer = desk.answer(side, key)
    return {"name": f"answer {number}", "tags": desk.tags.of_answer(key, desk.name(side)),
            "pieces": pieces(clean(answer.get("text")), clean(answer.get("extracted")))}  # fmt: skip


def _named(desk: Desk, side: Side, record: dict, reference: Side) -> dict:
    key, answer = record["id"], desk.answer(side, record["id"])
    text, extracted, correct = clean(answer.get("text")), clean(answer.get("extracted")), answer.get("correct")
    other = None if side == reference else clean(desk.answer(reference, key).get("text"))
    role = "b" if side == desk.b else "a" if side == desk.a else "control" if side.arm == SHUFFLED else ""
    beside_a = (side.run, side.step) == (desk.a.run, desk.a.step)
    prefix, saw = fold_saw(clean(answer.get("saw")), clean(record.get("question")))
    return {
        "name": desk.label(side, desk.b if beside_a else desk.a), "role": role, "there": bool(answer),
        "verdict": MARKS[correct if correct in (True, False) and correct is not None else UNKNOWN],
        "extracted": extracted, "tags": desk.tags.of_answer(key, desk.name(side)),
        "pieces": pieces(text, extracted, other), "scorers": _scorers(text, clean(record.get("gold")), correct),
        "prefix": len(prefix), "saw": saw[:LONGEST], "donor": desk.donor(side, key),
        "tokens": {name: answer.get(name) for name in ("prompt_tokens", "soft_tokens", "new_tokens")
                   if isinstance(answer.get(name), int)},
        "context_aware": answer.get("context_aware"), "options": _options(record, answer), "gold": _cost(answer),
    }  # fmt: skip


def _cost(answer: dict) -> str:
    """What the gold answer costs in this arm, where that was measured."""
    nats = nats_of(answer.get("gold_nats"))
    return "" if math.isnan(nats) else f"gold answer: {nats / math.log(2):.1f} bits"


def _options(record: dict, answer: dict) -> list[str]:
    """Where one of given options was chosen: each with its log-likelihood in nats, the likeliest first."""
    names, nats = record.get("choices"), answer.get("options")
    if not isinstance(names, list) or not isinstance(nats, list) or len(names) != len(nats):
        return []
    known = [(value, clean(name)) for name, value in zip(names, nats, strict=True) if isinstance(value, (int, float))]
    return [f"{name[:40]} {value:.2f}" for value, name in sorted(known, reverse=True)]


def _scorers(text: str, gold: str, correct: bool | None) -> list[str]:
    """What each scorer says, where they disagree."""
    if not scorers_disagree(text, gold, correct):
        return []
    found = verdicts(text, gold, correct).items()
    return [f"{name}: {'right' if verdict else 'wrong'}" for name, verdict in found if verdict is not None]


def _at_steps(desk: Desk, key: str) -> list[dict]:
    """For each step of `across` the question's (mark, extracted answer) by arm; empty where there is none yet."""
    found = []
    for step in desk.across.steps(desk.a):
        known = desk.library.verdicts(desk.a.run, step)
        row = None if known is None else known.place.get(key)
        arms = {} if row is None else known.correct
        found.append({arm: [MARKS[int(arms[arm][row])], known.extracted[arm][row]] for arm in arms})
    return found


def prefix(desk: Desk, answer: int) -> dict:
    """The few-shot prefix of one answer on the screen, the same for most questions: sent when somebody unfolds it."""
    selection = desk.selection
    if selection.blind or desk.key is None or not 0 <= int(answer) < len(desk.columns()):
        return {}
    said = desk.answer(desk.columns()[int(answer)], desk.key)
    question = clean(selection.record(selection.place).get("question"))
    text = fold_saw(clean(said.get("saw")), question)[0]
    return {"id": desk.key, "answer": int(answer), "text": text[:LONGEST]}


def across(desk: Desk) -> dict:
    """The steps at which each question is shown, and the table of flips between arms, steps or runs."""
    if desk.selection.blind:
        return {"blind": True}
    run, steps = desk.a.run, desk.across.steps(desk.a)
    return {
        "blind": False, "step": str(desk.a.step), "arm": desk.a.arm, "arms": desk.sheet_of(desk.a).arms,
        "steps": [{"step": str(step), "read": desk.library.verdicts(run, step) is not None} for step in steps],
        "steps_left_out": len(desk.library.steps(run)) - len(steps),
        "unread": len(desk.across.unread(desk.a)), "flips": desk.flips_table(),
    }  # fmt: skip
