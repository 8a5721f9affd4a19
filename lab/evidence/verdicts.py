"""Verdicts: what the records say of each claim, corrected for the whole family of them.

A verdict needs more than a p-value: *supported* where the effect has the stated direction and survives the correction;
*refuted* where it is credibly below the smallest effect worth a sentence (one point), or on the other side; else
*inconclusive*; *not run* where arms or runs are missing, or where the claim cannot be made.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.evidence.claims import BOTH_HELD_OUT, CLAIMS, FAMILIES, Claim
from lab.evidence.comparisons import DIGITS, Comparison, NotRun, compare_arms, need_arms
from lab.evidence.crossed import proportion
from lab.evidence.hypotheses import Collapse, Direction, Setting
from lab.evidence.read import ALL, Evidence, read_evidence, rows_of
from lab.evidence.stats import ALPHA, holm
from lab.evidence.summary import LATENT, ORACLE, ordered_arms

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_RUN = "supported", "refuted", "inconclusive", "not run"


def judge(evidence: Evidence, alpha: float = ALPHA, claims: Sequence[Claim] = CLAIMS) -> dict:
    """Every claim's verdict on these runs, Holm-corrected over all of `claims`, those not run included.

    Returns {"alpha", "family", "tested", "main" (run names), "seeds", "layout", "n", "scenario", "unfinished",
    "command" (that judges them again), "arms" (see `arm_rows`), "claims": [{"key", "sentence", "reported", "needs",
    "verdict", "refused", "reason", "p", "p_holm", "effect", "low", "high", "unit", "margin", "n", "clusters", "seeds",
    "detectable" (the least effect that is found with a power of 80 % at the strictest step of Holm, or None),
    "comparisons": [...]}], "runs" (each with task, models and config hash)}. A claim of several comparisons shows the
    weakest one's effect.
    """
    given = {claim.key for claim in claims}
    for name, family in FAMILIES.items():
        declared = {claim.key for claim in family}
        if given & declared and not declared <= given:
            raise LabError(
                f"claims: {len(given & declared)} of the family of {len(family)} were given, so the correction would "
                f"count fewer; judge all that were declared as {name}, and show the ones you want."
            )
    of = next((name for name, family in FAMILIES.items() if given == {claim.key for claim in family}), "")
    found: dict[str, list[Comparison]] = {}
    reasons: dict[str, NotRun] = {}
    for claim in claims:
        try:
            found[claim.key] = claim.test.compare(evidence)
        except NotRun as reason:
            reasons[claim.key] = reason
    # For: all comparisons together. Against: any of them, paid for by their number. Both directions are tested.
    sides = {
        key: (max(c.p_greater for c in cs), min(1.0, len(cs) * min(c.p_less for c in cs))) for key, cs in found.items()
    }
    p_values = {key: min(1.0, 2 * min(side)) for key, side in sides.items()}
    corrected = holm(p_values, family=len(claims))
    rows = []
    for claim in claims:
        row = {"key": claim.key, "sentence": claim.sentence, "reported": claim.reported, "needs": claim.needs}
        if claim.key in reasons:
            reason = reasons[claim.key]
            rows.append(row | {"verdict": NOT_RUN, "refused": reason.refused, "reason": str(reason), "p": None,
                               "p_holm": None, "comparisons": []})  # fmt: skip
            continue
        comparisons = found[claim.key]
        lone = isinstance(claim.test, (Setting, Collapse, Direction)) and comparisons[0].seeds < 2
        good, bad = sides[claim.key]
        verdict = INCONCLUSIVE if lone or corrected[claim.key] > alpha else SUPPORTED if good <= bad else REFUTED
        decisive = min(comparisons, key=lambda c: c.p_less) if verdict == REFUTED else max(
            comparisons, key=lambda c: (c.p_greater, -c.effect))  # fmt: skip
        detectable = decisive.detectable(alpha / len(claims))
        reason = _reason(verdict, decisive, lone, detectable) + _beside(claim, evidence)
        rows.append(row | {
            "verdict": verdict, "refused": False, "reason": reason, "detectable": detectable,
            "p": p_values[claim.key], "p_holm": corrected[claim.key],
            **{name: getattr(decisive, name) for name in ("effect", "low", "high", "unit", "margin", "n", "clusters",
                                                            "seeds")},
            "comparisons": [vars(c) for c in comparisons],
        })  # fmt: skip
    main = evidence.main
    return {
        "alpha": alpha, "family": len(claims), "tested": len(found), "main": [run.name for run in main],
        "seeds": [run.seed for run in main], "layout": main[0].settings["layout"], "n": len(main[0].records),
        "scenario": scenario(evidence, alpha), "unfinished": [path.name for path in evidence.unfinished],
        "command": command(evidence, alpha, of), "arms": arm_rows(evidence), "claims": rows,
        "runs": [run.about() for run in evidence.runs],
    }  # fmt: skip


def command(evidence: Evidence, alpha: float = ALPHA, family: str = "documents") -> str:
    """What to type for the same verdicts."""
    runs = evidence.given or [run.name for run in evidence.runs]
    given = ["--alpha", str(alpha)] * (alpha != ALPHA) + ["--family", family] * (family in list(FAMILIES)[1:])
    return shlex.join(["python", "-m", "lab", "claims", *runs, *given])


def _reason(verdict: str, decisive: Comparison, lone: bool, detectable: float | None) -> str:
    if lone:
        return "one seed on each side: two seeds of one recipe differ as well; run at least two"
    if verdict == SUPPORTED:
        return f"weakest: {decisive.label}" + (" (one training seed)" if decisive.seeds < 2 else "")
    if verdict == REFUTED:
        worse = "the other way round" if decisive.high < 0 else "below what is worth a sentence"
        return f"{decisive.label} is {worse}"
    return f"undecided: {decisive.label} ({could_show(decisive.unit, decisive.margin, detectable)})"


def could_show(unit: str, margin: float, detectable: float | None) -> str:
    """What the rows could have shown, `80 % power for 9.5 points or more`; None: not even the largest effect.

    A claim that something falls by less than a margin could not be shown if even a steady run would miss it.
    """
    if detectable is None or (unit == "accuracy" and detectable > 1) or margin < 0 < detectable:
        return "no power for any effect"
    shown = f"{100 * detectable:.1f} points" if unit == "accuracy" else f"{detectable:.{DIGITS.get(unit, 1)}f} {unit}"
    return f"80 % power for {shown} or more"


def _beside(claim: Claim, evidence: Evidence) -> str:
    """Where latent stands to the arm that bounds the claim: `; latent - text_hint -6.6 points`."""
    if not claim.beside or any(claim.beside not in run.arms for run in evidence.main):
        return ""
    found = compare_arms(evidence.main, LATENT, claim.beside)
    return f"; {found.label} {100 * found.effect:+.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}] points"


def arm_rows(evidence: Evidence) -> list[dict]:
    """Every arm of the main recipe: accuracy over all seeds, and latent - arm overall and where both skills are needed.

    Per arm {"arm", "accuracy", "low", "high", "n", "clusters", "seeds", "per_seed", "context_aware", "versus": {place:
    {"effect", "low", "high", "p", "p_holm"}}, "same_as"}; Holm over all comparisons of this table. "same_as" names the
    arm before it whose every text it repeats, or is "".
    """
    runs = evidence.main
    arms = ordered_arms(set.intersection(*(run.arms for run in runs)))
    every = rows_of(runs)
    places = {"all": (ALL,)} | ({"both_held_out": BOTH_HELD_OUT} if rows_of(runs, BOTH_HELD_OUT).records else {})
    rows, p_values, seen = [], {}, {}
    for arm in arms:
        aware = None if arm == ORACLE else any(row["arms"].get(arm, {}).get("context_aware") for row in runs[0].records)
        versus = {}
        for place, groups in places.items() if LATENT in arms and arm != LATENT else ():
            try:
                found = compare_arms(runs, LATENT, arm, groups)
            except NotRun:  # one word: nothing to compare
                continue
            versus[place] = {"effect": found.effect, "low": found.low, "high": found.high, "p": found.p}
            p_values[f"{arm} {place}"] = found.p
        accuracy = proportion(every.values(runs, arm), every.clusters)
        texts = tuple(row["arms"].get(arm, {}).get("text", arm) for run in runs for row in run.records)
        same_as = seen.setdefault(texts, arm)
        rows.append({"arm": arm, **accuracy, "context_aware": aware, "versus": versus,
                     "same_as": same_as if same_as != arm else ""})  # fmt: skip
    corrected = holm(p_values)
    for row in rows:
        for place, found in row["versus"].items():
            found["p_holm"] = corrected[f"{row['arm']} {place}"]
    return rows


def scenario(evidence: Evidence, alpha: float = ALPHA) -> dict:
    """Which story the main recipe tells: best (latent above source and target), good (above target), problem (below
    source), or undecided; each comparison tested, Holm over the two. {"name", "sentence", "comparisons"}."""
    runs = evidence.main
    try:
        need_arms(runs, ("source", "target", "latent"))
        source, target = (compare_arms(runs, "latent", arm) for arm in ("source", "target"))
    except NotRun as reason:
        return {"name": NOT_RUN, "sentence": f"{reason}.", "comparisons": []}
    p = holm({c.label: c.p for c in (source, target)})
    above_source, above_target = (c.effect > 0 and p[c.label] <= alpha for c in (source, target))
    below_source = source.effect < 0 and p[source.label] <= alpha
    name, sentence = (
        ("best", "latent is above source and target") if above_source and above_target
        else ("problem", "latent is below the source") if below_source
        else ("good", "latent is above the target") if above_target
        else ("undecided", "latent is neither above the target nor below the source, as far as these rows tell")
    )  # fmt: skip
    return {"name": name, "sentence": sentence, "comparisons": [vars(source), vars(target)]}


def judge_runs(paths: Sequence[str | Path], alpha: float = ALPHA, family: str = "documents") -> dict:
    """`judge` for run directories (or folders of them); the first one's recipe is the main one. `family`: which claims,
    one of `FAMILIES`."""
    if not paths:
        raise LabError("claims: no run was given; name at least one run directory.")
    if family not in FAMILIES:
        raise LabError(f"claims: family {family!r} is not known; choose one of {', '.join(FAMILIES)}.")
    return judge(read_evidence(paths), alpha, FAMILIES[family])


def claims_json(judged: Mapping) -> str:
    """All of it, to be read by a program: floats as they are, no NaN."""
    return json.dumps(judged, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
