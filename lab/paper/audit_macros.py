"""Macros of the audit: what earlier documents reported, and what their archived rows give (`benchmarks/audit.json`)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.audit import DIFFERS
from lab.errors import LabError
from lab.paper.findings import Findings
from lab.paper.latex import decimal, ends, p_text, signed, whole
from lab.paper.macros import Macros

AUDIT = "audit.json"  # what notebook 08 leaves
COUNTED = {"Agrees": "agrees", "Differs": DIFFERS, "Absent": "rows not here", "Nothing": "nothing to check it by"}
# Macro -> the number that a document reports, by its place and what it is of, and whether as reported or recomputed.
REPORTED = {
    "Peak": ("REPORT.md:50", "sweep: latent at 1000", "reported"),
    "PeakTarget": ("SUCCESSFUL_EXPERIMENT.md:38", "sweep: target at 1000", "reported"),
    "PhaseOneFirst": ("REPORT.md:100", "all_fix: latent at 250", "reported"),
    "PhaseOneFirstRows": ("REPORT.md:100", "all_fix: latent at 250", "reread"),
    "PhaseOneFinal": ("REPORT.md:101", "all_fix: latent at final", "reported"),
    "KlFinal": ("REPORT.md:129", "kl: latent at final", "reported"),
    "KlPromptFinal": ("REPORT.md:140", "kl_prompt: latent at final", "reported"),
    "SoftTokensClaimed": ("EXPERIMENTS_SUMMARY.md:28", "all_fix: soft tokens", "reported"),
    "SoftTokensLogged": ("EXPERIMENTS_SUMMARY.md:28", "all_fix: soft tokens", "reread"),
    "SoftOnly": ("REPORT.md:179", "swap_soft: latent at peak", "reported"),
    "SoftOnlyFirst": ("README.md:87", "swap_soft_first: latent at peak", "reported"),
    "PushFinal": ("REPORT.md:248", "128: latent at final", "reported"),
    "PushFinalRows": ("REPORT.md:248", "128: latent at final", "recomputed"),
}
PAIRED = {"Best": ("128", 1250), "Final": ("128", "final"), "Hybrid": ("hybrid", "final")}
OF_A_PAIR = ("Latent", "Target", "Questions", "Less", "LessCi", "P", "Either")


def give_audit(macros: Macros, findings: Findings) -> None:
    """`\\AuditPeak` and the like; `\\AuditFinalLess` (latent minus target) and the like of paired evaluations."""
    audit = findings.preserved.benchmark(AUDIT)
    macros.give(("Numbers", *COUNTED), audit and _counts(audit), "Audit")
    macros.give(REPORTED, audit and _reported(audit), "Audit")
    for name, (run, step) in PAIRED.items():
        rows = audit["paired"] if audit else ()
        row = next((one for one in rows if (one["run"], one["step"]) == (run, step)), None)
        macros.give([f"{name}{what}" for what in OF_A_PAIR], row and _paired(name, row), "Audit")


def _counts(audit: Mapping) -> dict[str, str]:
    of = [row["verdict"] for row in audit["verdicts"]]
    return {"Numbers": whole(len(of))} | {name: whole(of.count(verdict)) for name, verdict in COUNTED.items()}


def _reported(audit: Mapping) -> dict[str, str]:
    found = {}
    for name, (place, what, which) in REPORTED.items():
        row = next((one for one in audit["verdicts"] if (one["place"], one["what"]) == (place, what)), None)
        if row is None:
            raise LabError(f"{AUDIT} has no number {what!r} at {place}; write it again with notebook 08.")
        if row[which] is not None:
            found[name] = decimal(row[which], 0 if row["unit"] in ("tokens", "n") else 1)
    return found


def _paired(name: str, row: Mapping) -> dict[str, str]:
    """The table of notebook 08 has its numbers as text: `-7.0 [-12.7, -1.3]`, `.024`."""
    less, low, high = map(float, re.findall(r"[-+]?[\d.]+", row["difference, points"]))
    p = row["p (exact McNemar)"]
    found = {
        "Latent": row["latent"], "Target": row["target"], "Questions": row["n"],
        "Either": row["source or target right"],
    }  # fmt: skip
    shown = {what: whole(value) for what, value in found.items()} | {
        "Less": signed(less),
        "LessCi": ends(low, high),
        "P": p_text(0 if p.startswith("<") else float(p)),
    }
    return {f"{name}{what}": text for what, text in shown.items()}
