"""Macros of the claims: effect and corrected p of each, and how many have which verdict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from lab.evidence import ALPHA, DIGITS, FAMILIES, INCONCLUSIVE, NOT_RUN, REFUTED, SUPPORTED
from lab.paper.findings import Findings
from lab.paper.latex import PLUS, camel, decimal, ends, p_text, signed, whole
from lab.paper.macros import Macros

OF_A_CLAIM = ("Effect", "Size", "EffectCi", "HolmP")  # Size: the effect without its sign
SIZES = ("MoreTokensMany", "MoreTokensFew")
COUNTS = {"Supported": SUPPORTED, "Refuted": REFUTED, "Inconclusive": INCONCLUSIVE, "NotRun": NOT_RUN}


def give_claims(macros: Macros, findings: Findings) -> None:
    """`\\EffectEnrichment` and the like; `\\DocumentsSupported` and the like by family."""
    macros.give(
        ["Confidence", "AlphaLevel"],
        {"Confidence": whole(100 * (1 - ALPHA)), "AlphaLevel": decimal(ALPHA, 2).lstrip("0")},
    )
    for family, judged in (("documents", findings.documents), ("likelihood", findings.likelihood)):
        claims = {claim.key: None for claim in FAMILIES[family]} | {
            row["key"]: row for row in (judged["claims"] if judged else ())
        }
        for key, row in claims.items():
            macros.give([f"{what}{camel(key)}" for what in OF_A_CLAIM], row and _claim(key, row))
        if family == "likelihood":
            macros.give(SIZES, _sizes(claims["more_tokens_tell_more"]))
        counted = Counter(row["verdict"] if row else NOT_RUN for row in claims.values())
        found = {name: whole(counted[verdict]) for name, verdict in COUNTS.items()} | {"Declared": whole(len(claims))}
        macros.give(("Declared", *COUNTS), found, camel(family))


def _sizes(row: Mapping | None) -> dict[str, str]:
    """Which numbers of soft tokens were compared, from the comparison's label."""
    if row is None or row["verdict"] == NOT_RUN:
        return {}
    sizes = re.findall(r"=(\d+)", row["comparisons"][0]["label"])
    return {name: whole(int(size)) for name, size in zip(SIZES, sizes, strict=True)}


def effect_parts(row: Mapping) -> tuple[str, str]:
    """(effect, interval) in the claim's unit: points where it is an accuracy."""
    factor, digits = (100, 1) if row["unit"] == "accuracy" else (1, DIGITS.get(row["unit"], 1))
    return signed(factor * row["effect"], digits), ends(row["low"], row["high"], digits, factor)


def _claim(key: str, row: Mapping) -> dict[str, str]:
    if row["verdict"] == NOT_RUN:
        return {}
    effect, interval = effect_parts(row)
    size, _ = effect_parts({**row, "effect": abs(row["effect"])})
    found = {"Effect": effect, "Size": size.removeprefix(PLUS), "EffectCi": interval,
             "HolmP": p_text(row["p_holm"])}  # fmt: skip
    return {f"{what}{camel(key)}": text for what, text in found.items()}
