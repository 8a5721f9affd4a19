"""The costs of a trained bridge: one row per question, and their aggregate, as two files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median, quantiles

from lab.answers import WIRES, Evaluation, evaluate
from lab.costs.benchmark import TIMED_ARMS, check_generated, question_costs, seconds_by_length, sizes
from lab.errors import LabError
from lab.evidence import paired_difference, proportion
from lab.runs import write_jsonl, write_text
from lab.tasks import Question

__all__ = ["aggregate", "inference_rows", "time_by_length", "write_inference"]

ARMS = ("source", "target", "latent", *(f"latent_{name}" for name in WIRES), "cascade", "token_budget")
WARM_UP = 3  # questions timed and thrown away: the first passes pay for allocation and compilation


def inference_rows(evaluation: Evaluation, timed: int) -> list[dict]:
    """One row per question: sizes, and per arm exact match, F1, tokens and costs.

    The first `timed` questions are also answered one at a time, with a clock; of the others `cost` is None. Answers
    come from `evaluate`, so the accuracy beside a cost is the one that every table shows.
    """
    check_generated(evaluation)
    records = evaluate(evaluation, ARMS)
    for question in evaluation.questions[: WARM_UP if timed else 0]:
        question_costs(evaluation, question)
    rows = []
    for number, (question, record) in enumerate(zip(evaluation.questions, records, strict=True)):
        costs = question_costs(evaluation, question) if number < timed else {}
        rows.append({
            "id": question.id,
            "cell": question.cell,
            "word": question.word,
            "sizes": sizes(evaluation, question),
            "arms": {arm: _arm_row(answer, costs.get(arm)) for arm, answer in record["arms"].items()},
        })  # fmt: skip
    return rows


def _arm_row(answer: Mapping, cost: Mapping | None) -> dict:
    """What a row of costs takes over from an arm's part of a record."""
    kept = ("context_aware", "prompt_tokens", "soft_tokens", "new_tokens")
    return {
        "em": answer["correct"],
        "f1": answer.get("f1", float(answer["correct"])),
        **{name: answer[name] for name in kept},
        "cost": cost,
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Median with the middle nine tenths of these values: times have a tail, a mean would tell of the machine."""
    ends = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [values[0]] * 19
    return {"median": median(values), "low": ends[0], "high": ends[-1], "n": len(values)}


def aggregate(rows: Sequence[Mapping], by_length: Mapping | None = None) -> dict:
    """Means and intervals over the rows of `inference_rows`; accuracy intervals know the clusters of a shared word.

    `wire`: bytes per format, its accuracy, and the difference to bf16 with its interval. `by_length`: what
    `seconds_by_length` gave.
    """
    if not rows:
        raise LabError("aggregate: there are no rows; give what `inference_rows` returns.")
    clusters = [row["word"] for row in rows]
    right = {arm: [row["arms"][arm]["em"] for row in rows] for arm in rows[0]["arms"]}
    arms = {}
    for arm, flags in right.items():
        costs = [row["arms"][arm]["cost"] for row in rows if row["arms"][arm]["cost"]]
        peaks = [cost["peak_bytes"] for cost in costs if cost["peak_bytes"] is not None]
        names = ("seconds", "seconds_to_first_token", "source_seconds", "tokens_per_second", "kv_bytes")
        arms[arm] = {
            "em": proportion(flags, clusters),
            "f1": fmean(row["arms"][arm]["f1"] for row in rows),
            "context_aware": rows[0]["arms"][arm]["context_aware"],
            **{
                name: fmean(row["arms"][arm][name] for row in rows)
                for name in ("prompt_tokens", "soft_tokens", "new_tokens")
            },
            "cost": {name: _spread([cost[name] for cost in costs]) for name in names} if costs else None,
            "peak_bytes": max(peaks) if peaks else None,
        }
    own = [row["sizes"] for row in rows]
    known = [name for name, value in own[0].items() if isinstance(value, (int, float))]
    wire = {
        name: {
            "bytes": fmean(size["wire_bytes"][name] for size in own),
            "em": arms[f"latent_{name}"]["em"],
            "difference_to_bf16": paired_difference(right[f"latent_{name}"], right["latent_bf16"], clusters),
        }
        for name in WIRES
        if f"latent_{name}" in right
    }
    return {
        "n": len(rows),
        "timed": sum(bool(row["arms"][TIMED_ARMS[0]]["cost"]) for row in rows),
        "arms": arms,
        "sizes": {name: fmean(size[name] for size in own) for name in known},
        "why_no_compression": own[0].get("why_no_compression", ""),
        "wire": wire,
        "seconds_by_length": {
            arm: {str(length): _spread(values) for length, values in lengths.items() if values}
            for arm, lengths in (by_length or {}).items()
        },
    }


def time_by_length(evaluation: Evaluation, questions: Sequence[Question], lengths: Sequence[int]) -> dict:
    """`seconds_by_length` of some of the evaluation's questions, after a warm-up."""
    if questions:
        seconds_by_length(evaluation, questions[:1], lengths)
    return seconds_by_length(evaluation, questions, lengths)


def write_inference(folder: str | Path, rows: Sequence[Mapping], summary: Mapping, about: Mapping) -> tuple[Path, Path]:
    """`inference_per_sample.jsonl` and `inference_aggregate.json` in `folder`; returns both paths. `about` says which
    run was measured, and on what."""
    samples, totals = Path(folder) / "inference_per_sample.jsonl", Path(folder) / "inference_aggregate.json"
    write_jsonl(samples, rows)
    write_text(totals, json.dumps({**about, **summary}, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return samples, totals
