"""The table of costs: what each arm reads, caches and waits for, and how fast a full-size pair trains."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from lab.evidence import cache_bytes_per_token
from lab.paper.arm_names import GROUPS, NAMES
from lab.paper.cost_macros import CASES, COSTS
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, Tabular, code, decimal
from lab.paper.reading import World

SHOWN = {"source", "target", "token_budget", "cascade", "text_hint", "latent", "latent_int8", "latent_int4"}
WIRED = {"latent": "bf16", "latent_int8": "int8", "latent_int4": "int4"}
JOB = "papermill_jobs/inference_metrics.yaml"
SHORT = {"batch 10, 8 worked examples": "batch 10, eight examples"}
SPEED_CASES = (*CASES.values(), *SHORT)


def efficiency(findings: Findings) -> str:
    """Two blocks. Tokens and cache come from the records, wire and seconds from notebook 04, speed from a benchmark."""
    head = ["", "read", "written", "KiB", "wire, B", "first, ms", "whole, ms"]
    table = Tabular("lrrrrrr", head)
    world = findings.embedded
    if world is None:
        table.rows.append(table.spanning(NOT_RUN_CELL))
    else:
        costs = world.beside_main(COSTS) or world.measured(COSTS) or {}
        arms = [arm for group in GROUPS for arm in group if arm in SHOWN and arm in world.main[0].arms]
        table.rows += [_arm(world, arm, costs) for arm in arms]
        if not costs:
            table.rows.append(table.spanning(rf"wire and seconds \notrun{{}}: {code(JOB)}"))
    speed = findings.preserved.benchmark("speed_h100.json")
    table.rows += [None, table.spanning(r"\emph{full size, random weights: training, one \SpeedMachine}")]
    table.rows.append([r"\emph{seconds a step}", "fast", "plain", "GiB", "plain", "s/quest.", "again"])
    for case in SPEED_CASES if speed else ():
        table.rows.append(_case(case, speed["full"]["cases"][case]))
    if not speed:
        table.rows.append(table.spanning(NOT_RUN_CELL))
    return table.text()


def _arm(world: World, arm: str, costs: Mapping) -> list[str]:
    rows = [row["arms"][arm] for run in world.main for row in run.records]
    read = fmean(row["prompt_tokens"] + row["soft_tokens"] for row in rows)
    written = fmean(row["new_tokens"] for row in rows)
    size = cache_bytes_per_token(world.main[0]) if arm != "source" else None  # the source's cache is its own
    cache = decimal(read * size / 1024) if size else ""
    wire = costs.get("wire", {}).get(WIRED.get(arm, ""))
    cost = costs.get("arms", {}).get(arm, {}).get("cost")
    sent = decimal(wire["bytes"], 0) if wire else ""
    seconds = [decimal(1000 * cost[name]["median"]) for name in ("seconds_to_first_token", "seconds")] if cost else None
    return [NAMES[arm], decimal(read), decimal(written), cache, sent, *(seconds or ["", ""])]


def _case(name: str, found: Mapping) -> list[str]:
    fast, plain = found["fast"], found["plain"]
    cells = [decimal(one["step_s"], 3) for one in (fast, plain)]
    cells += [decimal(one["training_peak_gib"]) for one in (fast, plain)]
    cells += [decimal(fast[key], 2) for key in ("s_per_sample_first", "s_per_sample_again")]
    return [SHORT.get(name, name), *cells]
