"""Macros of the embedded world: what it is and how every arm did there."""

from __future__ import annotations

from statistics import fmean

from tokenizers import Tokenizer

from lab.evidence import ARM_ORDER, BOTH_HELD_OUT, BOTH_SKILLS, LATENT, in_group, proportion, rows_of
from lab.paper.findings import Findings
from lab.paper.latex import camel, decimal, ends, percent, signed, whole
from lab.paper.macros import Macros
from lab.paper.reading import World, read_json
from lab.places import MINI

RECIPE = {"Steps": "steps", "SoftTokens": "soft_tokens"}
WORLD = (*RECIPE, "Questions", "Seeds", "QuestionTokens", "Compression", "HeldOutWords", "SeenWords", "BothHeldOut",
         "BothSkills")  # fmt: skip
MODELS = ("SourceMillions", "TargetMillions", "SourceLayers", "TargetLayers")
# What is said of an arm: its accuracy, and latent minus it on all questions and where both skills are needed, held out.
OF_AN_ARM = ("Right", "RightCi", "RightHeld", "Less", "LessCi", "LessHeld", "LessHeldCi")


def give_world(macros: Macros, findings: Findings) -> None:
    """`\\EmbQuestions` and the like; `\\RightLatent`, `\\LessTarget` (latent minus target) and the like by arm."""
    world = findings.embedded
    macros.give(MODELS, _models(), "Emb")
    macros.give(WORLD, world and _world(world), "Emb")
    for arm in ARM_ORDER:
        said = OF_AN_ARM[:3] if arm == LATENT else OF_AN_ARM  # nothing is said of latent minus itself
        names = [f"{what}{camel(arm)}" for what in said]
        macros.give(names, world and _arm(world, findings.documents, arm))


def _models() -> dict[str, str]:
    card = read_json(MINI / "card.json")
    size = {role: card["trained"][role]["parameters"] / 1e6 for role in ("source", "target")}
    layers = {one["role"]: one["layers"] for one in card["recipes"]}
    return {
        "SourceMillions": decimal(size["source"], 2), "TargetMillions": decimal(size["target"], 2),
        "SourceLayers": whole(layers["source"]), "TargetLayers": whole(layers["target"]),
    }  # fmt: skip


def seeds_text(count: int) -> str:
    return "one training seed" if count == 1 else f"{count} training seeds"


def question_tokens(world: World) -> float:
    """Tokens of the mean question, as the target's own tokenizer counts them."""
    coder = Tokenizer.from_file(str(MINI / "target" / "tokenizer.json"))
    texts = [row["question"] for row in world.main[0].records]
    return fmean(len(one.ids) for one in coder.encode_batch(texts, add_special_tokens=False))


def _world(world: World) -> dict[str, str]:
    run = world.main[0]
    tokens = question_tokens(world)
    held_out, seen = ({row["word"] for row in run.records if row["cell"].endswith(split)}
                      for split in ("/held_out", "/seen"))  # fmt: skip
    return {name: whole(run.settings[field]) for name, field in RECIPE.items()} | {
        "Questions": whole(len(run.records)), "Seeds": seeds_text(len(world.main)), "QuestionTokens": decimal(tokens),
        "Compression": decimal(tokens / run.settings["soft_tokens"]),
        "HeldOutWords": whole(len(held_out)), "SeenWords": whole(len(seen)),
        "BothHeldOut": whole(len(rows_of(world.main, BOTH_HELD_OUT).records)),
        "BothSkills": whole(sum(in_group(row["cell"], BOTH_SKILLS) for row in run.records)),
    }  # fmt: skip


def _arm(world: World, judged: dict, arm: str) -> dict[str, str]:
    row = next((one for one in judged["arms"] if one["arm"] == arm), None)
    if row is None:
        return {}
    rows = rows_of(world.main, BOTH_HELD_OUT)
    found = {"Right": percent(row["accuracy"]), "RightCi": ends(row["low"], row["high"], factor=100)}
    if rows.records:
        held = proportion(rows.values(world.main, arm), rows.clusters)
        found["RightHeld"] = percent(held["accuracy"])
    for place, name in (("all", "Less"), ("both_held_out", "LessHeld")):
        if versus := row["versus"].get(place):
            found |= {name: signed(100 * versus["effect"]),
                      f"{name}Ci": ends(versus["low"], versus["high"], factor=100)}  # fmt: skip
    return {f"{what}{camel(arm)}": text for what, text in found.items()}
