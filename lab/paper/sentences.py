"""Sentences that switch: for each key one wording per state of what it rests on; the words are `paper/sentences.yaml`.

A claim's states are its verdicts. What is no claim but hangs on runs is `run` or `not run`. The scenario has its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.evidence import ALPHA, FAMILIES, INCONCLUSIVE, NOT_RUN, REFUTED, SUPPORTED
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, camel
from lab.paper.macros import Macros

VERDICTS = (SUPPORTED, REFUTED, INCONCLUSIVE, NOT_RUN)
SCENARIOS = ("best", "good", "problem", "undecided", NOT_RUN)
RUN = "run"
# Ablations: those that are not run are named in one sentence, `left_out`, instead of one each.
PIECES = ("answer_supervision", "kl_slice", "prompt_alignment", "decode_loss", "adapters", "direction_matters",
          "fixes_prevent_collapse", "compression_quality", "bottleneck_size")  # fmt: skip
TEXT_BETTER, LATENT_BETTER, OPEN = "text is better", "latent is better", "open"
SOME, NONE = "some", "none"
NOTHING = r"\unskip"  # takes back the space before it, so that a sentence left out leaves no gap
# Key -> a macro that has a number exactly where the sentence's runs are there.
RESTS_ON = {
    "embedded_world": "RightLatent", "retrained_controls": "LessLatentConstant", "several_seeds": "EmbSeeds",
    "wire_formats": "LessLatentIntFour", "probe": "ProbeFactAtWord", "edited_facts": "EditFollow",
    "look_at_soft_tokens": "LookWithin", "clocked_costs": "CostFirstLatent", "full_size_speed": "SpeedStepTwo",
    "told_gsm8k": "ToldRecovered", "told_sources": "ToldTargetSource",
    "two_hops": "HopHeldOut", "hop_controls": "HopConstant",
    "hop_sources": "HopRandomSource", "hop_people": "HopFewHeldOut", "hop_moved": "HopMovedFollow",
    "archive": "AuditFinalLess",
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
    own = {"scenario": SCENARIOS, "text_bound": (TEXT_BETTER, LATENT_BETTER, OPEN, NOT_RUN), "left_out": (SOME, NONE)}
    return own | claims | dict.fromkeys(RESTS_ON, (RUN, NOT_RUN))


def states(findings: Findings, macros: Mapping[str, str]) -> dict[str, str]:
    """Key -> the state it is in."""
    found = dict.fromkeys(expected_states(), NOT_RUN)
    for judged in (findings.documents, findings.likelihood):
        found |= {row["key"]: row["verdict"] for row in (judged["claims"] if judged else ())}
    if findings.documents:
        found |= {"scenario": findings.documents["scenario"]["name"], "text_bound": text_bound(findings.documents)}
    found |= {key: RUN for key, macro in RESTS_ON.items() if macros[macro] != NOT_RUN_CELL}
    if findings.embedded and len(findings.embedded.main) < 2:
        found["several_seeds"] = NOT_RUN
    found["left_out"] = SOME if any(found[key] == NOT_RUN for key in PIECES) else NONE
    return found


def text_bound(judged: Mapping) -> str:
    """Where latent stands to the gold gloss as text, after the correction of the table of arms."""
    row = next((one for one in judged["arms"] if one["arm"] == "text_hint"), None)
    if row is None:
        return NOT_RUN
    versus = row["versus"]["all"]
    if versus["p_holm"] > ALPHA:
        return OPEN
    return LATENT_BETTER if versus["effect"] > 0 else TEXT_BETTER


def joined(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def give_sentences(macros: Macros, findings: Findings, path: Path) -> None:
    """`\\SayEnrichment` and the like; `\\LeftOut`, the ablations that are not run."""
    words, now = read_sentences(path), states(findings, macros)
    left_out = [key for key in PIECES if now[key] == NOT_RUN]
    macros.give(["LeftOut"], {"LeftOut": joined([words[key][NOT_RUN] for key in left_out])})
    texts = {key: "" if key in left_out else words[key][now[key]] for key in words}
    said = {camel(key): text or NOTHING for key, text in texts.items()}
    macros.give(said, said, "Say")
