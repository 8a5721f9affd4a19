"""Macros of pretrained models: what soft tokens tell of GSM8K, in nats, and the two-hop world of made-up people."""

from __future__ import annotations

from collections.abc import Mapping

from lab.evidence import LATENT, proportion
from lab.paper.findings import Findings
from lab.paper.latex import decimal, ends, percent, whole
from lab.paper.macros import Macros
from lab.paper.reading import World
from lab.paper.world_macros import seeds_text
from lab.paper.worlds import WORLDS
from lab.tasks import groups_of
from lab.tasks.twohop import NEW_FACT, clusters_of

ARMS = {"Latent": LATENT, "Shuffled": "latent_shuffled", "Constant": "latent_constant",
        "TextTuned": "text_tuned"}  # fmt: skip
TOLD = ("Questions", "Seeds", "SoftTokens", "Recovered", "RecoveredCi", "BitsToken", *ARMS)
HELD_OUT = "lore/long/held_out"
HOPS = {"HeldOut": (LATENT, HELD_OUT), "NewFact": (LATENT, NEW_FACT),
        "Shuffled": ("latent_shuffled", HELD_OUT), "Target": ("target", HELD_OUT),
        "Constant": ("latent_constant", HELD_OUT), "RandomSource": ("latent_random_source", HELD_OUT),
        "NoFacts": ("latent_no_lore_source", HELD_OUT), "TargetSource": ("latent_target_source", HELD_OUT)}  # fmt: skip


def give_real(macros: Macros, findings: Findings) -> None:
    """`\\ToldRecovered` and the like on GSM8K; `\\HopHeldOut` and the like on two hops."""
    macros.give(TOLD, findings.told and _told(findings.told), "Told")
    retrained = [name for name, (arm, _) in HOPS.items() if arm in dict(WORLDS["twohop"].controls)]
    names = ["Questions", "Seeds", *(f"{name}{what}" for name in HOPS for what in ("", "Ci")),
             *(f"{name}Seeds" for name in retrained)]  # fmt: skip
    macros.give(names, findings.twohop and _hops(findings.twohop), "Hop")


def _told(found: Mapping) -> dict[str, str]:
    shown = {name: decimal(found["arms"][arm]["nats"], 3) for name, arm in ARMS.items() if arm in found["arms"]}
    shown |= {"Questions": whole(found["n"]), "Seeds": seeds_text(found["seeds"]),
              "SoftTokens": whole(found["soft_tokens"])}  # fmt: skip
    if told := found["recovered"].get(LATENT):
        shown |= {"Recovered": percent(told["value"], 0), "RecoveredCi": ends(told["low"], told["high"], 0, 100)}
    if bits := found["bits_per_soft_token"]:
        shown["BitsToken"] = decimal(bits["value"], 2)
    return shown


def _hops(world: World) -> dict[str, str]:
    shown = {"Seeds": seeds_text(len(world.main))}
    for name, (arm, group) in HOPS.items():
        runs = world.main
        if arm in world.controls and not all(arm in run.arms for run in runs):  # a run of its own
            runs, arm = world.controls[arm], LATENT
            shown[f"{name}Seeds"] = seeds_text(len(runs))
        asked = [row for row in runs[0].records if group in groups_of(row["cell"])]
        if asked and all(arm in run.arms for run in runs):
            right = [run.right(arm) for run in runs]
            values = [[float(one[row["id"]]) for row in asked] for one in right]
            found = proportion(values, clusters_of(group, asked))
            shown |= {name: percent(found["accuracy"]), f"{name}Ci": ends(found["low"], found["high"], factor=100)}
            shown |= {"Questions": whole(len(asked))} if group == HELD_OUT else {}
    return shown
