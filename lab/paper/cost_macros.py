"""Macros of costs: what is cached, sent and waited for on the embedded pair, and the speed of a full-size pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from lab.audit import MODELS, QUESTION_TOKENS, kv_bytes_per_token
from lab.evidence import Run, cache_bytes_per_token
from lab.paper.findings import Findings
from lab.paper.latex import decimal, whole
from lab.paper.macros import Macros
from lab.samples import latex_text

CACHED = ("TokensText", "TokensSoft", "KibText", "KibSoft")
CLOCKED = ("WireText", "WireBf", "WireInt", "WireIntLow", "FirstTarget", "FirstLatent", "SourcePass", "SecondsTarget",
           "SecondsLatent", "Timed")  # fmt: skip
SPEED = ("Machine", "StepTwo", "StepTwoPlain", "StepTen", "StepTenPlain", "PeakTwo", "PeakTen")
CASES = {"Two": "batch 2", "Ten": "batch 10"}
FULL = ("QuestionTokens", "QuestionMedian", "KibToken", "KibTokenReported", "MibReported", "MibOwn", "TokensSaved",
        "WireKib", "SoftTokens", "Ratio")  # fmt: skip
COSTS = "inference_aggregate.json"  # what notebook 04 leaves
REPORTED_TOKENS = 86  # the row of the documents that the paper takes up


def give_costs(macros: Macros, findings: Findings) -> None:
    """`\\CacheTokensText`, `\\CostFirstLatent`, `\\SpeedStepTwo`, `\\FullKibToken` and the like."""
    world, speed = findings.embedded, findings.preserved.benchmark("speed_h100.json")
    measured = world and (world.beside_main(COSTS) or world.measured(COSTS))
    macros.give(CACHED, world and cached(world.main), "Cache")
    macros.give(CLOCKED, measured and _clocked(measured), "Cost")
    macros.give(SPEED, speed and _speed(speed["full"]), "Speed")
    macros.give(FULL, _full(), "Full")


def cached(runs: Sequence[Run]) -> dict[str, str]:
    """Tokens and bytes that the target holds before it answers, of the question as text and as soft tokens."""
    rows = [row["arms"] for run in runs for row in run.records]
    text = fmean(arms["target"]["prompt_tokens"] for arms in rows)
    soft = fmean(arms["latent"]["prompt_tokens"] + arms["latent"]["soft_tokens"] for arms in rows)
    found = {"TokensText": decimal(text), "TokensSoft": decimal(soft)}
    if size := cache_bytes_per_token(runs[0]):
        found |= {"KibText": decimal(text * size / 1024), "KibSoft": decimal(soft * size / 1024)}
    return found


def _clocked(found: Mapping) -> dict[str, str]:
    """Bytes on the wire and medians of seconds, as notebook 04 wrote them."""
    wire, arms = found.get("wire", {}), found["arms"]
    shown = {name: whole(wire[key]["bytes"]) for name, key in
             (("WireBf", "bf16"), ("WireInt", "int8"), ("WireIntLow", "int4")) if key in wire}  # fmt: skip
    if size := found.get("sizes", {}).get("text_bytes"):
        shown["WireText"] = whole(size)
    for arm in ("target", "latent"):
        if cost := arms.get(arm, {}).get("cost"):
            shown |= {f"First{arm.title()}": decimal(1000 * cost["seconds_to_first_token"]["median"]),
                      f"Seconds{arm.title()}": decimal(1000 * cost["seconds"]["median"])}  # fmt: skip
            if arm == "latent":
                shown["SourcePass"] = decimal(1000 * cost["source_seconds"]["median"])
    if found.get("timed"):
        shown["Timed"] = whole(found["timed"])
    return shown


def _speed(found: Mapping) -> dict[str, str]:
    """Seconds a step and GiB at the peak of a full-size pair with random weights."""
    shown = {"Machine": latex_text(found["device"])}
    for name, case in CASES.items():
        fast, plain = found["cases"][case]["fast"], found["cases"][case]["plain"]
        shown |= {f"Step{name}": decimal(fast["step_s"], 3), f"Step{name}Plain": decimal(plain["step_s"], 3),
                  f"Peak{name}": decimal(fast["training_peak_gib"])}  # fmt: skip
    return shown


def _full() -> dict[str, str]:
    """Arithmetic for Llama-3.1-8B: cache a token, what the documents counted, and soft tokens against the question."""
    model, soft = "Llama-3.1-8B", 64
    shape, tokens = MODELS[model], QUESTION_TOKENS[model]
    own, whole_heads = kv_bytes_per_token(model), kv_bytes_per_token(model, shape["heads"])
    return {
        "QuestionTokens": decimal(tokens["mean"]), "QuestionMedian": whole(tokens["median"]),
        "KibToken": whole(own / 1024), "KibTokenReported": whole(whole_heads / 1024),
        "MibReported": whole(REPORTED_TOKENS * whole_heads / 2**20),
        "MibOwn": decimal(REPORTED_TOKENS * own / 2**20, 2),
        "TokensSaved": whole(REPORTED_TOKENS), "WireKib": whole(soft * shape["width"] * 2 / 1024),
        "SoftTokens": whole(soft), "Ratio": decimal(tokens["mean"] / soft, 2),
    }  # fmt: skip
