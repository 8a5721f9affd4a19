"""Macros of pretrained models: what soft tokens tell of GSM8K, in nats, and the two-hop world of made-up people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.evidence import LATENT, Run, information, proportion
from lab.paper.findings import Findings
from lab.paper.latex import decimal, ends, percent, whole
from lab.paper.macros import Macros
from lab.paper.reading import World, read_json
from lab.paper.world_macros import seeds_text
from lab.paper.worlds import WORLDS
from lab.tasks import groups_of
from lab.tasks.people import PEOPLE
from lab.tasks.twohop import NEW_FACT, clusters_of

ARMS = {"Latent": LATENT, "Shuffled": "latent_shuffled", "Constant": "latent_constant",
        "TextTuned": "text_tuned"}  # fmt: skip
TOLD = ("Questions", "Seeds", "SoftTokens", "Recovered", "RecoveredCi", "BitsToken", *ARMS)
TOLD_SOURCES = {"TargetSource": "latent_target_source", "RandomSource": "latent_random_source"}
HELD_OUT, KNOWN = "lore/long/held_out", "lore/long/seen"
HOPS = {"HeldOut": (LATENT, HELD_OUT), "NewFact": (LATENT, NEW_FACT),
        "Shuffled": ("latent_shuffled", HELD_OUT), "Target": ("target", HELD_OUT),
        "Constant": ("latent_constant", HELD_OUT), "RandomSource": ("latent_random_source", HELD_OUT),
        "NoFacts": ("latent_no_lore_source", HELD_OUT), "TargetSource": ("latent_target_source", HELD_OUT)}  # fmt: skip


OVER_PEOPLE = ("FewPeople", "FewHeldOut", "FewKnown", "AllPeople", "AllHeldOut")
MOVED = ("Moved", "MovedFollow", "MovedBefore", "Others", "OthersRight", "OthersBefore")


def give_real(macros: Macros, findings: Findings) -> None:
    """`\\ToldRecovered` and the like on GSM8K; `\\HopHeldOut` and the like on two hops."""
    macros.give(TOLD, findings.told and _told(findings.told), "Told")
    macros.give([*TOLD_SOURCES, "SourcesSeeds"], findings.gsm8k and _told_from(findings.gsm8k), "Told")
    retrained = [name for name, (arm, _) in HOPS.items() if arm in dict(WORLDS["twohop"].controls)]
    names = ["Questions", "Seeds", *(f"{name}{what}" for name in HOPS for what in ("", "Ci")),
             *(f"{name}Seeds" for name in retrained)]  # fmt: skip
    macros.give(names, findings.twohop and _hops(findings.twohop), "Hop")
    macros.give(OVER_PEOPLE, findings.twohop and _over_people(findings.twohop), "Hop")
    macros.give(MOVED, findings.twohop and _moved(findings.twohop), "Hop")


def _told(found: Mapping) -> dict[str, str]:
    shown = {name: decimal(found["arms"][arm]["nats"], 3) for name, arm in ARMS.items() if arm in found["arms"]}
    shown |= {"Questions": whole(found["n"]), "Seeds": seeds_text(found["seeds"]),
              "SoftTokens": whole(found["soft_tokens"])}  # fmt: skip
    if told := found["recovered"].get(LATENT):
        shown |= {"Recovered": percent(told["value"], 0), "RecoveredCi": ends(told["low"], told["high"], 0, 100)}
    if bits := found["bits_per_soft_token"]:
        shown["BitsToken"] = decimal(bits["value"], 2)
    return shown


def _told_from(world: World) -> dict[str, str]:
    """What gold solutions cost behind soft tokens from other sources, nats per token."""
    found = {name: runs for name, arm in TOLD_SOURCES.items() if (runs := world.controls.get(arm))}
    nats = {name: information([run.records for run in runs])["arms"][LATENT]["nats"] for name, runs in found.items()}
    seeds = {"SourcesSeeds": seeds_text(min(map(len, found.values())))} if found else {}
    return {name: decimal(value, 3) for name, value in nats.items()} | seeds


def _hops(world: World) -> dict[str, str]:
    shown = {"Seeds": seeds_text(len(world.main))}
    for name, (arm, group) in HOPS.items():
        runs = world.main
        if arm in world.controls and not all(arm in run.arms for run in runs):  # a run of its own
            runs, arm = world.controls[arm], LATENT
            shown[f"{name}Seeds"] = seeds_text(len(runs))
        if found := _right(runs, arm, group):
            shown |= {name: percent(found["accuracy"]), f"{name}Ci": ends(found["low"], found["high"], factor=100)}
            shown |= {"Questions": whole(found["n"])} if group == HELD_OUT else {}
    return shown


def _right(runs: Sequence[Run], arm: str, group: str) -> dict | None:
    """The share of right answers to the questions of a group; None where there are none, or no such arm."""
    asked = [row for row in runs[0].records if group in groups_of(row["cell"])]
    if not asked or any(arm not in run.arms for run in runs):
        return None
    right = [run.right(arm) for run in runs]
    return proportion([[float(one[row["id"]]) for row in asked] for one in right], clusters_of(group, asked))


def _over_people(world: World) -> dict[str, str]:
    """Held-out people right, and another attribute of trained ones, with the fewest and with all people; {} where
    every translator was trained on as many."""
    recipes = {runs[0].settings["people"] or PEOPLE["train"]: runs for runs in world.widest("people").recipes()}
    few, most = min(recipes), max(recipes)
    if few == most:
        return {}
    asked = {"FewHeldOut": (few, HELD_OUT), "FewKnown": (few, KNOWN), "AllHeldOut": (most, HELD_OUT)}
    shown = {
        name: percent(_right(recipes[people], LATENT, group)["accuracy"]) for name, (people, group) in asked.items()
    }
    return shown | {"FewPeople": whole(few), "AllPeople": whole(most)}


def _moved(world: World) -> dict[str, str]:
    """Answers about people who were moved in the source alone, and about others; {} where that was not tried."""
    places = {path.parent for build in (world.evidence, *world.rebuilt) for path in (run.path for run in build.runs)}
    found = [read_json(place / "evidence.json") for place in sorted(places) if (place / "evidence.json").is_file()]
    counts = [one["counterfactual"]["counts"] for one in found if one.get("counterfactual")]
    if not counts:
        return {}
    moved, others = counts[0]["edited words"], counts[0]["other words"]
    before, after = "source before: answers of the world", "source after: answers of the world"
    shown = {
        "Moved": moved["n"], "MovedFollow": moved[f"{after} after"], "MovedBefore": moved[f"{before} after"],
        "Others": others["n"], "OthersRight": others[f"{after} before"], "OthersBefore": others[f"{before} before"],
    }  # fmt: skip
    return {name: whole(number) for name, number in shown.items()}
