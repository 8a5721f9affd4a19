"""What the page shows, as plain dicts of texts and numbers; the page adds the form and nothing else.

In blind mode they hold no arm's name, no verdict, nothing that would tell the arms apart but their texts.
"""

from lab.samples.answers import clean, fold_saw, pieces, scorers_disagree, verdicts
from lab.samples.comparison import FILTERS, Side
from lab.samples.desk import SHUFFLED, Desk, percent
from lab.samples.sheets import RIGHT, UNKNOWN, WRONG
from lab.samples.tags import CHOICES
from lab.tables import format_p
from lab.tasks import groups_of

LISTED = 60  # questions of the list that are sent at a time
NAMED = 8  # ids named in a notice
LONGEST = 20_000  # characters of a question or a prompt that are shown
MARKS = {RIGHT: "right", WRONG: "wrong", UNKNOWN: "unknown"}


def header(desk: Desk) -> dict:
    """The paired result of the selection, always there; without names and verdicts in blind mode."""
    if desk.blind:
        return {"blind": True, "n": len(desk.order)}
    result = desk.comparison.result(desk.mask)
    label_a, label_b = desk.labels
    found = {"blind": False, "n": len(desk.order), "of": len(desk.comparison), "exploratory": desk.exploratory,
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
        "only_a": result["only_a"], "only_b": result["only_b"],
        "difference": f"{100 * result['difference']:+.1f}".replace("-", "−"),
        "difference_ci95": f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−"),
        "p": format_p(result["p"]),
        "arms": [
            {"name": arm, "right": right, "scored": scored}
            for arm, (right, scored) in desk.comparison.accuracies(desk.mask).items()
        ],
    }  # fmt: skip


def choices(desk: Desk) -> dict:
    """What the menus of both sides offer. Apart from `controls`, because it may be long and seldom changes."""
    sides = {} if desk.blind else {"a": desk.a, "b": desk.b}
    return {
        "runs": [clean(run.name) for run in desk.library.runs] if sides else [],
        "steps": {name: [str(step) for step in desk.library.steps(side.run)] for name, side in sides.items()},
        "arms": {name: desk.sheet_of(side).arms for name, side in sides.items()},
    }


def controls(desk: Desk) -> dict:
    """The sides, filters and flip matrix as they are set."""
    label_a, label_b = desk.labels
    comparison = desk.comparison
    cells = sorted({group for cell in set(comparison.cells) for group in groups_of(cell)})
    counts = comparison.matrix(desk.unflipped)
    found = {
        "blind": desk.blind,
        "cells": cells, "cell": desk.cell, "words": desk.words, "tag": desk.tag,
        "tags": sorted({*CHOICES, *(tag for tags in desk.tags.tagged().values() for tag in tags)}),
        "exploratory": desk.exploratory,
    }  # fmt: skip
    if desk.blind:
        return found
    return found | {
        "sides": {
            name: {"run": str(side.run), "step": str(side.step), "arm": side.arm}
            for name, side in (("a", desk.a), ("b", desk.b))
        },
        "matrix": {"a": label_a, "b": label_b, "counts": counts, "chosen": desk.flip},
        "filters": [
            {"name": name, "label": text.format(a=label_a), "on": name in desk.filters,
             "count": int(comparison.filtered(name).sum())}
            for name, text in FILTERS.items()
        ],
        "notices": notices(desk),
    }  # fmt: skip


def notices(desk: Desk) -> list[str]:
    """What is not compared, and what could not be read, by name."""
    found = []
    for reason, keys in desk.comparison.left_out().items():
        more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
        found.append(f"{len(keys)} {reason}: {', '.join(keys[:NAMED])}{more}")
    for side in dict.fromkeys((desk.a, desk.b)):
        found += desk.sheet_of(side).report
    return list(dict.fromkeys(found))


def listing(desk: Desk) -> dict:
    """The questions around the one on the screen."""
    start = max(0, min(desk.place - LISTED // 2, len(desk.order) - LISTED))
    comparison, rows = desk.comparison, []
    for place in range(start, min(start + LISTED, len(desk.order))):
        at = desk.order[place]
        record = comparison.a.records[comparison.rows_a[at]]
        rows.append({
            "place": place, "question": clean(record.get("question"))[:90], "tags": desk.tags.of(record["id"]),
            **({} if desk.blind else {"a": bool(comparison.right_a[at]), "b": bool(comparison.right_b[at])}),
        })  # fmt: skip
    return {"total": len(desk.order), "place": desk.place, "rows": rows}


def sample(desk: Desk) -> dict:
    """The question on the screen with every answer, side a and b first."""
    if desk.row is None:
        return {"id": None}
    record = desk.comparison.a.records[desk.comparison.rows_a[desk.row]]
    columns, question = desk.columns(), clean(record.get("question"))
    reference = desk.reference(record["id"])
    return {
        "id": desk.key, "question": question[:LONGEST], "gold": clean(record.get("gold")),
        "cell": clean(record.get("cell")), "word": clean(record.get("word")),
        "tags": desk.tags.of(desk.key), "note": desk.tags.note_of(desk.key), "blind": desk.blind,
        "answers": [_shown(desk, side, place, question, reference) for place, side in enumerate(columns)],
    }  # fmt: skip


def _shown(desk: Desk, side: Side, place: int, question: str, reference: Side) -> dict:
    answer = desk.answer(side, desk.key)
    text, extracted = clean(answer.get("text")), clean(answer.get("extracted"))
    tags = desk.tags.of_answer(desk.key, desk.name(side))
    if desk.blind:
        return {"name": f"answer {place + 1}", "pieces": pieces(text, extracted), "tags": tags}
    gold = clean(desk.comparison.a.records[desk.comparison.rows_a[desk.row]].get("gold"))
    prefix, saw = fold_saw(clean(answer.get("saw")), question)
    other = None if side == reference else clean(desk.answer(reference, desk.key).get("text"))
    role = "b" if side == desk.b else "a" if side == desk.a else "control" if side.arm == SHUFFLED else ""
    correct = answer.get("correct")
    return {
        "name": desk.label(side, desk.b if side == desk.a else desk.a), "role": role, "there": bool(answer),
        "verdict": MARKS[correct if correct in (True, False) and correct is not None else UNKNOWN],
        "extracted": extracted, "tags": tags,
        "pieces": pieces(text, extracted, other),
        "scorers": [
            f"{name}: {'right' if verdict else 'wrong'}"
            for name, verdict in verdicts(text, gold, correct).items()
            if verdict is not None
        ]
        if scorers_disagree(text, gold, correct)
        else [],
        "prefix": prefix[:LONGEST], "saw": saw[:LONGEST],
        "tokens": {name: answer.get(name) for name in ("prompt_tokens", "soft_tokens", "new_tokens")
                   if isinstance(answer.get(name), int)},
        "context_aware": answer.get("context_aware"),
    }  # fmt: skip


def across(desk: Desk) -> dict:
    """The same question at every step of the run, and the table of flips between arms, steps or runs."""
    if desk.blind:
        return {"blind": True}
    steps = []
    for step in desk.steps_around():
        known = desk.library.verdicts(desk.a.run, step)
        row = None if known is None or desk.key is None else known.place.get(desk.key)
        steps.append({
            "step": str(step), "read": known is not None,
            "arms": {} if row is None else {
                arm: [MARKS[int(known.correct[arm][row])], known.extracted[arm][row]] for arm in known.correct
            },
        })  # fmt: skip
    return {
        "blind": False, "step": str(desk.a.step), "arm": desk.a.arm, "arms": desk.sheet_of(desk.a).arms,
        "steps": steps, "steps_left_out": len(desk.library.steps(desk.a.run)) - len(steps),
        "unread": len(desk.unread()), "flips": desk.flips_table(),
    }  # fmt: skip
