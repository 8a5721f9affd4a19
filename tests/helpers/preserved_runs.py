"""Preserved runs in which everything was run: answers drawn at random, measurements as notebooks leave them."""

import json
import shutil
from pathlib import Path

from synthetic_runs import edit_records, make_run

from lab.batch import JOBS, all_parameters
from lab.config import RunConfig
from lab.evidence.summary import ARM_ORDER

RIGHT = {"source": 0.4, "target": 0.45, "latent": 0.9, "text_hint": 0.97, "cascade": 0.45, "latent_int8": 0.9,
         "latent_int4": 0.89, "latent_bf16": 0.9}  # fmt: skip
NOT_HERE = {"oracle", "same_bytes", "text_tuned"}
ARMS = {arm: RIGHT.get(arm, 0.05) for arm in ARM_ORDER if arm not in NOT_HERE}
FEW = {"source": 0.4, "target": 0.45, "latent": 0.8, "latent_shuffled": 0.05}
NATS = {"latent": 1.1, "latent_shuffled": 1.39, "latent_constant": 1.41, "text_tuned": 0.93, "target": 1.7}
REAL = {"source": 0.02, "target": 0.03, "latent": 0.03, "latent_shuffled": 0.01, "latent_constant": 0.01,
        "text_tuned": 0.04}  # fmt: skip
LOOKS = (0.3, 0.5, 0.7, 0.72, 0.71)
SUITE = {"kl": {"kl_weight": 1.0}, "k8": {"soft_tokens": 8}, "decode": {"decode_weight": 0.1},
         "aligned": {"prompt_alignment_weight": 0.001}, "contrast": {"contrast_weight": 0.1}}  # fmt: skip
MODELS = {"source": "mini/source", "target": "mini/target"}


def recipe_of(job: str) -> dict:
    """The settings of a job file below papermill_jobs, for a run that does the same."""
    _, parameters = all_parameters(JOBS / job)
    settings = RunConfig.from_notebook(parameters).parameters()
    return {name: value for name, value in settings.items() if name not in ("name", "seed")}


MINI, GSM8K, TWO_HOPS = map(recipe_of, ("mini_soft_only.yaml", "real/gsm8k.yaml", "real/twohop.yaml"))


def main_runs(folder: Path, seeds=(1, 2, 3)) -> Path:
    """The main recipe of the embedded world under a few seeds, with every arm."""
    for seed in seeds:
        make_run(folder / "evidence", f"seed_{seed}", seed, ARMS, LOOKS, **MINI | {"steps": 10000})
    return folder / "evidence"


def everything(folder: Path) -> Path:
    """Main runs and measurements beside them, a suite of ablations, GSM8K in nats, two hops."""
    evidence = main_runs(folder)
    edit_records(evidence / "seed_1", hostile)
    write(evidence / "evidence.json", {"runs": [{"models": MODELS}], "probe": probe(), "counterfactual": edited()})
    write(folder / "look" / "diagnostics.json", {"models": MODELS, **look()})
    write(folder / "costs" / "inference_aggregate.json", {"models": MODELS, **costs()})
    for seed in (1, 2):
        short = MINI | {"steps": 1200}
        make_run(folder, f"base-seed{seed}", seed, FEW, LOOKS, **short)
        for name, changed in SUITE.items():
            make_run(folder, f"{name}-seed{seed}", seed, FEW, LOOKS, **short | changed)
        for tokens in (32, 16):
            make_run(folder, f"gsm8k_{tokens}-seed{seed}", seed, REAL, nats=NATS, **GSM8K | {"soft_tokens": tokens})
        make_run(folder, f"twohop-seed{seed}", seed, FEW, LOOKS, **TWO_HOPS)
    return folder


HOSTILE = (
    "\\end{document} 100% & $x_1^2$ #1 ~{} \u202eabc é € \\input{/etc/passwd} ``'' -- |<> \" "
    "£÷≤≥≠°¢½¼¾…–—×−· ‘’“” ÀÿßÐŁ "
)


def hostile(rows: list[dict]) -> None:
    """What a model may write: each latent answer begins with what would end, load or break a LaTeX file."""
    for row in rows:
        row["arms"]["latent"]["text"] = HOSTILE + row["arms"]["latent"]["text"]


def write(path: Path, found: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), "utf-8")


def probe() -> list[dict]:
    cells = {"lore/long/held_out": 0.8, "lore/long/seen": 1.0}
    accuracies = (("capacity", "word", 0.9), ("capacity", "last", 0.5), ("answer", "last", 0.1))
    return [
        {"quantity": quantity, "position": position, "layer": 1, "n": 240, "accuracy": accuracy, "constant": 0.06,
         "shuffled": 0.07, "cells": cells}
        for quantity, position, accuracy in accuracies
    ]  # fmt: skip


def edited() -> dict:
    after, before = {"as_before": False, "as_after": True}, {"as_before": True, "as_after": False}
    one = {"latent": {"before": before, "after": after}, "source": {"before": before, "after": after}}
    other = {"latent": {"before": before, "after": before}, "source": {"before": before, "after": before}}
    return {"rows": [{"edited": True, **one}] * 12 + [{"edited": False, **other}] * 12}


def look() -> dict:
    words = ["\\end{document}", "50 % & more_", "#$^~", "{", "\u202e", "ünï"]
    return {
        "left_out": left_out(),
        "questions": 32, "size": {"mean": 1.02, "spread": 0.1}, "similarity": {"within": 0.3, "between": 0.4},
        "first_token": {"same_top1": 0.9, "shared_top5": 0.8, "entropy_bridged": [0.3], "entropy_text": [0.2]},
        "example": {
            "nearest_tokens": [[[word, 0.2], ["x", 0.1]] for word in words],
            "attention": {"tokens": ["many", "\\input{x}"], "weights": [[0.2, 0.8], [0.4, 0.6]]},
        },
    }  # fmt: skip


def left_out() -> dict:
    """Three soft tokens: one is missed, one in the gold text's wording alone, one not at all."""
    places = [(0.3, 0.001, 0.5, 0.001), (0.1, 0.001, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)]

    def one(effect: float, p: float) -> dict:
        return {"effect": effect, "low": effect - 0.05, "high": effect + 0.05, "p": p, "p_holm": p, "seeds": 1}

    rows = [{"place": place, "n": 32, "told": one(told, told_p), "right": one(right, right_p)}
            for place, (told, told_p, right, right_p) in enumerate(places, start=1)]  # fmt: skip
    return {"questions": 32, "nats": 0.02, "places": rows, "sum": one(0.4, 0.001), "all": one(0.9, 0.001),
            "all_right": one(0.8, 0.001)}  # fmt: skip


def costs() -> dict:
    names = ("seconds", "seconds_to_first_token", "source_seconds", "tokens_per_second", "kv_bytes")
    cost = {name: {"median": 0.01, "low": 0.01, "high": 0.02, "n": 9} for name in names}
    em = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 360}
    arms = {arm: {"cost": cost, "em": em}
            for arm in ("source", "target", "latent", "latent_int8", "latent_int4", "cascade")}  # fmt: skip
    wire = {"bf16": {"bytes": 6144.0}, "int8": {"bytes": 3104.0}, "int4": {"bytes": 1728.0}}
    return {"n": 360, "timed": 9, "arms": arms, "wire": wire, "sizes": {"text_bytes": 143.2}}


def paper_folder(paper: Path, into: Path) -> Path:
    """The hand-written files of the paper, in a folder of their own."""
    into.mkdir(parents=True)
    for name in ("paper.tex", "preamble.tex", "references.bib", "sentences.yaml"):
        shutil.copy(paper / name, into / name)
    return into
