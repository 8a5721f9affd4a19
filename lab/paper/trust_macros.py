"""Macros of how far the verdicts themselves can be trusted: simulated worlds, and altered code that was noticed."""

from __future__ import annotations

from collections.abc import Mapping

from lab.paper.findings import Findings
from lab.paper.latex import percent, whole
from lab.paper.macros import Macros

CALIBRATED = ("CoverLeast", "CoverMost", "CoverWorlds", "Drawn", "FamilyMost")
MUTATED = ("Mutants", "Noticed")


def give_trust(macros: Macros, findings: Findings) -> None:
    """`\\TrustCoverLeast`, `\\TrustNoticed` and the like."""
    calibrated, mutated = map(findings.preserved.benchmark, ("calibration.json", "mutation.json"))
    macros.give(CALIBRATED, calibrated and _calibrated(calibrated), "Trust")
    macros.give(MUTATED, mutated and _mutated(mutated), "Trust")


def _calibrated(found: Mapping) -> dict[str, str]:
    """How often intervals held the truth in worlds drawn at random, and claims were wrong where nothing is true."""
    shares = [row["share"] for row in found["coverage"]]
    null = [row for row in found["family"] if row["truth"] == "no effect"]
    return {
        "CoverLeast": percent(min(shares)), "CoverMost": percent(max(shares)), "CoverWorlds": whole(len(shares)),
        "Drawn": whole(min(row["of"] for row in found["coverage"])),
        "FamilyMost": percent(max(row["share"] for row in null)),
    }  # fmt: skip


def _mutated(found: Mapping) -> dict[str, str]:
    killed = sum(row["outcome"] == "killed" for row in found["mutants"])
    return {"Mutants": whole(len(found["mutants"])), "Noticed": whole(killed)}
