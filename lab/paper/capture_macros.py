"""Macros of what soft tokens capture: the probe of the source, facts edited in it, a look at the soft tokens, and what
is lost without each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from lab.evidence import ALPHA
from lab.paper.findings import Findings
from lab.paper.latex import decimal, ends, percent, whole
from lab.paper.macros import Macros
from lab.samples import clean, latex_text

PROBE = ("FactAtWord", "FactAtLast", "FactConstant", "FactShuffled", "FactHeldOut", "AnswerBest", "Questions")
EDITED = ("Edited", "Follow", "FollowBefore", "Other", "OtherStay", "OtherBefore")
LOOK = ("Questions", "Size", "Within", "Between", "SameFirst", "SharedFive", "EntropySoft", "EntropyText", "Words",
        "Cosine", "AttendedToken", "AttendedShare")  # fmt: skip
WITHOUT = ("Questions", "Places", "Matter", "RightMatter", "Most", "MostCi", "MostPlace", "MostPoints", "MostPointsCi",
           "Sum", "SumCi", "All", "AllCi")  # fmt: skip
NEAREST_SHOWN = 6


def give_captured(macros: Macros, findings: Findings) -> None:
    """`\\ProbeFactAtWord`, `\\EditFollow`, `\\LookWithin`, `\\WithoutMost` and the like."""
    world = findings.embedded
    evidence = (world.beside_main("evidence.json") if world else None) or {}
    look = (world.beside_main("diagnostics.json") or world.measured("diagnostics.json")) if world else None
    macros.give(PROBE, _probe(evidence.get("probe")), "Probe")
    macros.give(EDITED, _edited((evidence.get("counterfactual") or {}).get("rows")), "Edit")
    macros.give(LOOK, look and _look(look), "Look")
    macros.give(WITHOUT, look and _without(look.get("left_out") or {}), "Without")


def _probe(rows: Sequence[Mapping] | None) -> dict[str, str] | None:
    """The linear probe's best layer: for the fact where its word is read and at the end, for the answer anywhere."""
    if not rows:
        return None

    def best(quantity: str, position: str) -> Mapping | None:
        fitting = [row for row in rows if row["quantity"] == quantity and row["position"] in (position, "mean")]
        exact = [row for row in fitting if row["position"] == position] or fitting
        return max(exact, key=lambda row: row["accuracy"], default=None)

    word, last = best("capacity", "word"), best("capacity", "last")
    answer = max((row for row in rows if row["quantity"] == "answer"), key=lambda row: row["accuracy"], default=None)
    if word is None or last is None:
        return None
    held = [share for cell, share in word["cells"].items() if cell.endswith("held_out")]
    return {
        "FactAtWord": percent(word["accuracy"]), "FactAtLast": percent(last["accuracy"]),
        "FactConstant": percent(word["constant"]), "FactShuffled": percent(word["shuffled"]),
        "Questions": whole(word["n"]), **({"FactHeldOut": percent(fmean(held))} if held else {}),
        **({"AnswerBest": percent(answer["accuracy"])} if answer else {}),
    }  # fmt: skip


def _edited(rows: Sequence[Mapping] | None) -> dict[str, str] | None:
    """How often the answer goes with a fact that was changed in the source's text alone, over questions and seeds."""
    if not rows:
        return None
    edited, other = ([row for row in rows if row["edited"] is whether] for whether in (True, False))

    def count(group: Sequence[Mapping], arm: str, when: str, world: str) -> str:
        return whole(sum(row[arm][when][f"as_{world}"] for row in group))

    return {
        "Edited": whole(len(edited)), "Other": whole(len(other)),
        "Follow": count(edited, "latent", "after", "after"), "FollowBefore": count(edited, "latent", "before", "after"),
        "OtherStay": count(other, "latent", "after", "before"),
        "OtherBefore": count(other, "latent", "before", "before"),
    }  # fmt: skip


def _look(found: Mapping) -> dict[str, str]:
    """Size, collapse, first prediction, nearest words and attention, as notebook 09 wrote them."""
    similar, first, example = found["similarity"], found["first_token"], found["example"]
    nearest = [words[0] for words in example["nearest_tokens"]]
    shown = {
        "Questions": whole(found["questions"]), "Size": decimal(found["size"]["mean"], 2),
        "SameFirst": percent(first["same_top1"]), "SharedFive": percent(first["shared_top5"]),
        "EntropySoft": decimal(fmean(first["entropy_bridged"]), 2),
        "EntropyText": decimal(fmean(first["entropy_text"]), 2),
        "Words": ", ".join(rf"\texttt{{{latex_text(clean(word).strip() or ' ')}}}"
                           for word, _ in nearest[:NEAREST_SHOWN]),
        "Cosine": decimal(fmean(value for _, value in nearest), 2),
        **{name: decimal(similar[key], 2) for name, key in (("Within", "within"), ("Between", "between"))
           if similar[key] is not None},
    }  # fmt: skip
    attention = example["attention"]
    if attention.get("weights"):
        per_token = [fmean(column) for column in zip(*attention["weights"], strict=True)]
        place = max(range(len(per_token)), key=per_token.__getitem__)
        shown |= {"AttendedToken": rf"\texttt{{{latex_text(clean(attention['tokens'][place]).strip() or ' ')}}}",
                  "AttendedShare": percent(per_token[place])}  # fmt: skip
    return shown


def _without(found: Mapping) -> dict[str, str]:
    """What the gold answers cost more without one soft token, in nats per token, as notebook 09 wrote it. `Matter` and
    `RightMatter`: for how many places the rise, or the loss of right answers, survives the correction over places."""
    rows = [row for row in found.get("places", ()) if row["told"]]
    if not rows:
        return {}
    most = max(rows, key=lambda row: row["told"]["effect"])
    shown = {
        "Questions": whole(found["questions"]), "Places": whole(len(found["places"])),
        "Matter": whole(sum(map(_is_missed, (row["told"] for row in rows)))),
        "Most": decimal(most["told"]["effect"], 3), "MostCi": _ends(most["told"], 3), "MostPlace": whole(most["place"]),
    }  # fmt: skip
    for name, key in (("Sum", "sum"), ("All", "all")):
        if found[key]:
            shown |= {name: decimal(found[key]["effect"], 3), f"{name}Ci": _ends(found[key], 3)}
    if found["all_right"]:
        shown["RightMatter"] = whole(sum(_is_missed(row["right"]) for row in found["places"] if row["right"]))
    if most["right"]:
        shown |= {"MostPoints": percent(most["right"]["effect"]), "MostPointsCi": _ends(most["right"], 1, 100)}
    return shown


def _is_missed(effect: Mapping) -> bool:
    return effect["p_holm"] <= ALPHA and effect["effect"] > 0


def _ends(effect: Mapping, digits: int, factor: float = 1) -> str:
    return ends(effect["low"], effect["high"], digits, factor)
