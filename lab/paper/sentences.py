"""Sentences that switch: for each key one wording per state of what it rests on; the words are `paper/sentences.yaml`.

A claim's states are its verdicts. What is no claim but hangs on runs is `run` or `not run`. The scenario has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.evidence import FAMILIES, INCONCLUSIVE, NOT_RUN, REFUTED, SUPPORTED
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, camel
from lab.paper.macros import Macros

VERDICTS = (SUPPORTED, REFUTED, INCONCLUSIVE, NOT_RUN)
SCENARIOS = ("best", "good", "problem", "undecided", NOT_RUN)
RUN = "run"
# Key -> a macro that has a number exactly where the sentence's runs are there.
RESTS_ON = {
    "embedded_world": "RightLatent", "retrained_controls": "LessLatentConstant", "several_seeds": "EmbSeeds",
    "wire_formats": "LessLatentIntFour", "probe": "ProbeFactAtWord", "edited_facts": "EditFollow",
    "look_at_soft_tokens": "LookWithin", "clocked_costs": "CostFirstLatent", "full_size_speed": "SpeedStepTwo",
    "told_gsm8k": "ToldRecovered", "two_hops": "HopHeldOut", "archive": "AuditFinalLess",
}  # fmt: skip


def read_sentences(path: Path) -> dict[str, dict[str, str]]:
    """Key -> state -> LaTeX. Raises LabError where a state has no wording, or a key is not known."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    expected = expected_states()
    for key in sorted(set(found) ^ set(expected)):
        raise LabError(f"{path.name}: {key!r} is {'not known' if key in found else 'missing'}.")
    for key, states in expected.items():
        if set(found[key]) != set(states):
            raise LabError(f"{path.name}: {key} needs a wording for each of {', '.join(states)}, and no other.")
    return {key: {state: " ".join(text.split()) for state, text in of.items()} for key, of in found.items()}


def expected_states() -> dict[str, tuple[str, ...]]:
    claims = {claim.key: VERDICTS for family in FAMILIES.values() for claim in family}
    return {"scenario": SCENARIOS} | claims | dict.fromkeys(RESTS_ON, (RUN, NOT_RUN))


def states(findings: Findings, macros: Mapping[str, str]) -> dict[str, str]:
    """Key -> the state it is in."""
    found = dict.fromkeys(expected_states(), NOT_RUN)
    for judged in (findings.documents, findings.likelihood):
        found |= {row["key"]: row["verdict"] for row in (judged["claims"] if judged else ())}
    if findings.documents:
        found["scenario"] = findings.documents["scenario"]["name"]
    found |= {key: RUN for key, macro in RESTS_ON.items() if macros[macro] != NOT_RUN_CELL}
    if findings.embedded and len(findings.embedded.main) < 2:
        found["several_seeds"] = NOT_RUN
    return found


def give_sentences(macros: Macros, findings: Findings, path: Path) -> None:
    """`\\SayEnrichment` and the like."""
    words, now = read_sentences(path), states(findings, macros)
    macros.give([camel(key) for key in words], {camel(key): words[key][now[key]] for key in words}, "Say")
