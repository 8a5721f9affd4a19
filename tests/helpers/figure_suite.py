"""A suite of made-up runs of which nearly every figure can be made, and costs as the benchmark leaves them."""

import json
from pathlib import Path

from synthetic_runs import ACCURACY, make_run

from lab.clock import Clock, part

ARMS = ACCURACY | {"text_tuned": 0.8}
NATS = {"target": 2.9, "latent": 2.1, "latent_shuffled": 2.75, "latent_constant": 2.8, "text_tuned": 1.6}
FIXES = {"contrast_weight": 0.1, "kl_weight": 0.05, "kl_tokens": 8}
STEADY, FALLING = (0.2, 0.6, 0.7, 0.69), (0.2, 0.8, 0.5, 0.4)


def figure_suite(folder: Path) -> Path:
    """Main recipe `main` (K = 8), and beside it others that differ in one thing each, two seeds each."""
    for seed in (1, 2):

        def run(name, latent, nats, looks=(), seed=seed, **settings):
            told = {**NATS, "latent": nats}
            make_run(folder, f"{name}-{seed}", seed, ARMS | {"latent": latent}, looks, told, **settings)

        run("a-main", 0.7, 2.2, [value + seed / 100 for value in STEADY], soft_tokens=8, **FIXES)
        run("k4", 0.5, 2.5, soft_tokens=4, **FIXES)
        run("last", 0.4, 2.6, soft_tokens=8, source_layers="last", **FIXES)
        run("nofix", 0.6, 2.4, FALLING, soft_tokens=8)
        run("plus4", 0.8, 1.9, soft_tokens=4, layout="soft_plus_text", **FIXES)
        run("plus8", 0.85, 1.8, soft_tokens=8, layout="soft_plus_text", **FIXES)
        for people in (300, 3000):
            make_run(folder, f"people{people}-{seed}", seed, ARMS, task="twohop", people=people)
    write_time(folder / "a-main-1")
    write_costs(folder / "costs")
    return folder


def write_time(run: Path) -> None:
    clock = Clock()
    with clock.running(), part("evaluation"), part("source"):
        pass
    (run / "summary.json").write_text(json.dumps({"time_and_memory": clock.record()}))


def write_costs(folder: Path) -> None:
    em = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 90, "clusters": 90, "seeds": 1, "per_seed": [0.5]}
    spread = {"median": 0.02, "low": 0.01, "high": 0.04, "n": 9}
    cost = {name: spread for name in ("seconds", "seconds_to_first_token", "kv_bytes")}
    arms = {arm: {"em": em, "cost": cost} for arm in ("source", "target", "latent")} | {
        "latent_int8": {"em": em, "cost": None}
    }
    folder.mkdir()
    (folder / "inference_aggregate.json").write_text(json.dumps({
        "run": "costs", "config_hash": "0", "device": "cpu", "n": 90, "timed": 9, "arms": arms,
        "sizes": {"text_bytes": 120.0}, "wire": {"int8": {"bytes": 800.0, "em": em}},
    }))  # fmt: skip
