"""What each piece matters: every recipe of a suite against the main one, all in one table and one family of tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.config import SECTION_OF, short_name
from lab.evidence.comparisons import NotRun, effect_of, of_values
from lab.evidence.crossed import proportion
from lab.evidence.hypotheses import matched
from lab.evidence.likelier import likelier_in
from lab.evidence.likelihood import has_likelihoods, information
from lab.evidence.read import Evidence, Run, rows_of
from lab.evidence.stats import holm
from lab.evidence.summary import LATENT


def recipe_rows(evidence: Evidence) -> list[dict]:
    """One row per recipe, the main one first, of the latent arm on the test split.

    Each {"runs", "seeds", "n", "settings", "differs" {setting: [main, this]}, "accuracy" (see `proportion`),
    "information" (see `lab.evidence.information`), "effect" and "told": {"effect", "low", "high", "p", "p_holm",
    "seeds" (those that both have)} of this recipe minus the main one, in accuracy and in nats per token that the gold
    answers cost less; None where the two were asked other questions, share no seed, have another target or do not
    differ in a single answer, and for the main recipe itself}. Seed against seed; a lone seed is compared too, and
    "seeds" says so. Holm over all comparisons of the table.
    """
    main, rows = evidence.main, []
    for runs in evidence.recipes():
        if any(LATENT not in run.arms for run in runs):
            continue
        both = rows_of(runs)
        told = all(has_likelihoods(run.records) for run in runs)
        rows.append({
            "runs": [run.name for run in runs], "seeds": [run.seed for run in runs], "n": len(both.records),
            "settings": dict(runs[0].settings), "differs": differs(main[0], runs[0]),
            "accuracy": proportion(both.values(runs, LATENT), both.clusters),
            "information": information([run.records for run in runs]) if told else {},
            **(against(main, runs) if rows else {"effect": None, "told": None}),
        })  # fmt: skip
    _correct(rows)
    return rows


def neighbours(evidence: Evidence) -> list[dict]:
    """Every recipe against the one given before it that it differs least from, where the two differ within one section
    of the config alone (the loss, the translator, ...): what a suite changes, whichever of its recipes was given first.

    Each {"runs", "against" (lists of replicates), "section", "differs" {setting: [of that one, of this]}, "n",
    "effect", "told"} as in `recipe_rows`; a recipe with nothing to be paired with is left out. Holm over all
    comparisons that are given.
    """
    recipes, rows = [runs for runs in evidence.recipes() if all(LATENT in run.arms for run in runs)], []
    for number, runs in enumerate(recipes):
        near = [(len(changed), place) for place, other in enumerate(recipes[:number])
                if (changed := differs(other[0], runs[0])) and len(_sections(changed)) == 1]  # fmt: skip
        for _, place in sorted(near):
            other = recipes[place]
            found = against(other, runs)
            if found["effect"]:
                changed = differs(other[0], runs[0])
                rows.append({
                    "runs": runs, "against": other,
                    "section": _sections(changed).pop(), "differs": changed, "n": len(runs[0].records), **found,
                })  # fmt: skip
                break
    _correct(rows)
    return rows


def _sections(changed: Iterable[str]) -> set[str]:
    return {SECTION_OF.get(name, "") for name in changed}


def families(evidence: Evidence, field: str) -> list[list[list[Run]]]:
    """Recipes that differ in one setting alone, from its small values to its large ones; each a list of replicates.
    Families of one are left out."""
    found: dict[tuple, list[list[Run]]] = {}
    for runs in evidence.recipes():
        if all(LATENT in run.arms for run in runs):
            found.setdefault(runs[0].recipe(without=(field,)), []).append(runs)
    return [sorted(family, key=lambda runs: _size_of(runs[0].settings[field])) for family in found.values()
            if len(family) > 1]  # fmt: skip


def _size_of(value: object) -> tuple:
    """The place of a setting's value: numbers from small to large, before words and lists."""
    number = isinstance(value, int | float)
    return (not number, value if number else 0, str(value))


def _correct(rows: Sequence[dict]) -> None:
    """Write "p_holm" beside every p of a table's effects."""
    tests = {f"{place} {kind}": row[kind]["p"] for place, row in enumerate(rows) for kind in ("effect", "told")
             if row[kind]}  # fmt: skip
    for key, corrected in holm(tests).items():
        place, kind = key.split()
        rows[int(place)][kind]["p_holm"] = corrected


def differs(main: Run, other: Run) -> dict[str, list]:
    """The settings in which two recipes differ: name -> [of the main one, of the other]."""
    ours, theirs = dict(main.recipe()), dict(other.recipe())
    changed = [name for name in theirs if ours.get(name) != theirs[name]]
    return {name: [main.settings.get(name), other.settings.get(name)] for name in changed}


def against(main: Sequence[Run], runs: Sequence[Run]) -> dict:
    """ "effect" and "told" of `recipe_rows`; None where nothing can be paired."""
    try:
        theirs, ours = matched(runs, main)
    except NotRun:
        return {"effect": None, "told": None}
    asked = [{row["id"] for row in run.records} for run in (*theirs, *ours)]
    if any(ids != asked[0] for ids in asked):
        return {"effect": None, "told": None}
    rows, told = rows_of([*ours, *theirs]), None
    values = [rows.values(side, LATENT) for side in (theirs, ours)]
    if _target(main[0]) == _target(runs[0]) and all(has_likelihoods(run.records) for run in (*ours, *theirs)):
        told = effect_of(lambda: likelier_in("", theirs, ours))
    return {"effect": effect_of(lambda: of_values("", *values, rows.clusters)), "told": told}


def _target(run: Run) -> str:
    return short_name(run.about()["models"]["target"])


def curve(rows: Sequence[dict], field: str) -> list[tuple[str, dict]]:
    """(value of `field`, row) of the main recipe and of those that differ from it in this setting alone, from small to
    large; numbers before words and lists."""
    found = {repr(row["settings"][field]): row for row in rows if set(row["differs"]) <= {field}}
    return [
        (str(row["settings"][field]), row)
        for row in sorted(found.values(), key=lambda row: _size_of(row["settings"][field]))
    ]
