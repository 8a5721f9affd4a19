"""Tables of times and sizes, computed from the JSON files beside this one that the benchmarks wrote.

`graphs` of since_h100.json, and which rows fitted in `whole`, were read off the output of `speed.py` and of a program
around it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from preserved_tables import spaced

HERE = Path(__file__).resolve().parent


def record(name: str) -> dict | list:
    """A file of results."""
    return json.loads((HERE / name).read_text("utf-8"))


def lines_of(name: str) -> list[dict]:
    """A file with one JSON object a line, in the order in which they were measured."""
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines() if line.strip()]


def full_size() -> tuple[list[str], list[list[str]]]:
    """Speed and memory of a full-size pair, a column for each case that is measured."""
    cases = _full_size()["cases"]
    rows = [[name, *(cell(case["fast"], case["plain"]) for case in cases.values())] for name, cell in FULL_SIZE.items()]
    return ["", *cases], rows


def full_size_limits() -> dict[str, str]:
    """What the card gave in that run, for the sentence above the table."""
    limits = _full_size()["limits"]
    return {"tflops": f"{limits['matmul_flops'] / 1e12:.0f}", "copied": f"{limits['copy_bytes'] / 1e12:.2f}"}


def _full_size() -> dict:
    return record("speed_h100.json")["full"]


def _step(found: Mapping) -> str:
    return f"{found['step_s']:.3f} ({found['step_least_s']:.3f})"


FULL_SIZE = {
    "seconds per step, median (least), fast": lambda fast, plain: _step(fast),
    "plain": lambda fast, plain: _step(plain),
    "mean of the steps with all that was captured on the way, fast": lambda fast, plain: f"{fast['step_mean_s']:.3f}",
    "peak in training, GiB, fast · plain":
        lambda fast, plain: f"{fast['training_peak_gib']:.1f} · {plain['training_peak_gib']:.1f}",
    "evaluation of 36 questions, four arms, 256 tokens each, seconds a question, fast · plain":
        lambda fast, plain: f"{fast['s_per_sample_first']:.2f} · {plain['s_per_sample_first']:.2f}",
    "the same again, source and target known, fast · plain":
        lambda fast, plain: f"{fast['s_per_sample_again']:.2f} · {plain['s_per_sample_again']:.2f}",
    "share of a plain matrix product, on real tokens, fast":
        lambda fast, plain: f"{100 * fast['share_of_matmul']:.0f} %",
}  # fmt: skip


def since() -> tuple[list[str], list[list[str]]]:
    """Cases that were timed after the table above, by the fast path alone."""
    rows = []
    for found in map(record, SINCE):
        for one in found["cases"]:
            fast, left = one["fast"], "yes" if one["left"] else "no"
            rows.append([
                f"{one['pair']}, {one['case']}", found["device"].split()[1], left, _step(fast),
                f"{fast['step_mean_s']:.3f}", f"{100 * fast['share_of_matmul']:.0f} %",
                f"{fast['training_peak_gib']:.1f}",
                " · ".join(f"{fast[key]:.2f}" for key in EVALUATED if key in fast),
            ])  # fmt: skip
    columns = [
        "pair, case", "card", "rows at the left", "seconds per step, median (least)", "mean",
        "share of a matrix product", "peak, GiB", "evaluation, seconds a question, first · again (· anew)",
    ]  # fmt: skip
    return columns, rows


def since_numbers() -> dict[str, str]:
    """A whole training, what of an evaluation's time is decoding, and what graphs keep, for the sentence above."""
    h100, h200 = map(record, SINCE)
    cases, others = (
        {one["case"]: one["fast"] for one in found["cases"] if one["pair"] == "full" and one["left"]}
        for found in (h100, h200)
    )
    first, whole, waiting = cases["batch 2"], h100["whole"], h100["waiting"]
    shares = {f"{name}_decoding": f"{first[f'evaluation_{name}_parts_s']['generation']:.1f} of "
                                  f"{first[f'evaluation_{name}_s']:.1f}" for name in ("first", "again")}  # fmt: skip

    def both(case: str, key: str) -> str:
        return " and ".join(f"{fast[case][key]:.3f}" for fast in (cases, others))

    return shares | {
        "whole_peak": f"{whole['peak_gib']:.0f}",
        "whole_s": " and ".join(f"{found['whole']['seconds']:.0f}" for found in (h100, h200)),
        "steps": spaced(whole["steps"]), "looks": str(whole["evaluations"]),
        "tried": " and ".join(map(str, whole["rows_tried"])), "fitted": str(whole["rows_that_fitted"]),
        "two": both("batch 2", "step_s"), "two_mean": both("batch 2", "step_mean_s"), "ten": both("batch 10", "step_s"),
        "eight": both(EIGHT, "step_s"), "eight_mean": both(EIGHT, "step_mean_s"),
        "waited": " · ".join(f"{waiting[case]['step_s']:.3f}" for case in COMPARED),
        "waited_whole": f"{waiting['whole']['seconds']:.0f}",
        "now": " · ".join(f"{cases[case]['step_s']:.3f}" for case in COMPARED),
        "anew": " · ".join(f"{cases[case][EVALUATED[-1]]:.3f}" for case in KEPT[:-1]),
        "slow_source": f"{first['evaluation_anew_parts_s']['source']:.1f}",
        "source": f"{cases['batch 10']['evaluation_anew_parts_s']['source']:.1f}",
        **_share_of_batch_32(h100),
        "pools": str(h100["graphs"]["before"]["pools_gib"]),
        "reserved": " · ".join(f"{cases[case]['reserved_gib']:.1f}" for case in KEPT),
        "captured": " · ".join(str(cases[case]["graphs"]) for case in KEPT),
    }  # fmt: skip


def _share_of_batch_32(found: Mapping) -> dict[str, str]:
    """Of a matrix product, by the median step of the longer and of the shorter training, and by the mean step."""
    one = next(case for case in found["cases"] if case["case"] == "batch 32" and case["left"])
    fast, before = one["fast"], one["before"]
    mean = fast["share_of_matmul"] * fast["step_s"] / fast["step_mean_s"]
    return {"share": f"{100 * fast['share_of_matmul']:.1f}", "share_steps": str(one["steps"]),
            "share_of_mean": f"{100 * mean:.0f}", "share_before": f"{100 * before['fast']['share_of_matmul']:.1f}",
            "share_steps_before": str(before["steps"])}  # fmt: skip


EVALUATED = ("s_per_sample_first", "s_per_sample_again", "s_per_sample_anew")
EIGHT = "batch 10, 8 worked examples"
KEPT = ("batch 2", "batch 10", "batch 32", EIGHT)
COMPARED = ("batch 2", "batch 10", EIGHT)  # of one session, before a step was given ahead and since
SINCE = ("since_h100.json", "since_h200.json")


COSTED = ("source", "target", "latent", "token_budget", "cascade")


def costs() -> tuple[list[str], list[list[str]]]:
    """What an answer costs at full size, arm by arm, for each number of soft tokens that was measured."""
    rows = []
    for count, found in _costs().items():
        for arm in COSTED:
            own = found["arms"][arm]
            cost = {name: value["median"] for name, value in own["cost"].items()}
            rows.append([
                str(count), f"`{arm}`", f"{own['prompt_tokens']:.0f} + {own['soft_tokens']:.0f}",
                f"{cost['kv_bytes'] / 1e6:.1f}", f"{1e3 * cost['seconds_to_first_token']:.0f}",
                f"{1e3 * cost['source_seconds']:.0f}", f"{cost['seconds']:.2f}", f"{own['peak_bytes'] / 2**30:.1f}",
            ])  # fmt: skip
    return ["soft tokens", "arm", "tokens before the answer, text + soft", "KV cache, MB", "first token, ms",
            "source's part, ms", "end to end, s", "peak, GiB"], rows  # fmt: skip


def costs_numbers() -> dict[str, str]:
    """How many questions and new tokens, for the sentence above the table."""
    most, found = max(_costs().items())
    kept = {
        f"{arm}_mb": f"{found['arms'][arm]['cost']['kv_bytes']['median'] / 1e6:.1f}" for arm in ("latent", "target")
    }
    return kept | {"n": str(found["timed"]), "most": str(most),
                   "new_tokens": f"{found['arms']['target']['new_tokens']:.0f}"}  # fmt: skip


def _costs() -> dict[int, dict]:
    folders = sorted((HERE / "full_size_costs").glob("soft_tokens_*"), key=lambda path: int(path.name.split("_")[-1]))
    return {int(path.name.split("_")[-1]): json.loads((path / "inference_aggregate.json").read_text("utf-8"))
            for path in folders}  # fmt: skip


def gpu_time() -> tuple[list[str], list[list[str]]]:
    """Where a GPU's time goes in a step, by kind of kernel, in milliseconds."""
    rows = []
    for one in record(PROFILED):
        found, steps, kinds = one["training"], one["training"]["steps"], one["training"]["by_kind_s"]
        shown = [f"{1000 * seconds / steps:.1f}" for seconds in (found["wall_s"], *(kinds[kind] for kind in GPU_KINDS))]
        rows.append([one["case"], *shown, f"{100 * found['idle']:.0f} %"])
    return ["case", "ms a step, profiled", *GPU_KINDS, "no kernel runs"], rows


def gpu_time_numbers() -> dict[str, str]:
    """How long the source's weights take to come, which the steps that were profiled share."""
    found = [one["training"] for one in record(PROFILED) if one["case"] in FULL_CASES]
    coming = [seconds for one in found for name, seconds, _ in one["kernels"] if name.startswith(COMING)]
    (steps,) = {one["steps"] for one in found}
    return {"coming": " and ".join(f"{seconds:.2f}" for seconds in coming), "steps": str(steps),
            "passes": ", ".join(f"{passes(case)} at {case}" for case in LAYERS)}  # fmt: skip


def passes(case: str) -> int:
    """Through the target in the steps of a case that was profiled, by the launches of its attention's backward pass."""
    kernels = next(one["training"]["kernels"] for one in record(PROFILED) if one["case"] == case)
    launched = next(count for name, _, count in kernels if BACK in name)
    if launched % LAYERS[case]:
        raise ValueError(f"{launched} launches are no whole passes through {LAYERS[case]} layers")
    return launched // LAYERS[case]


PROFILED = "gpu_time_h100.json"
GPU_KINDS = ("matrix products", "attention", "copies", "everything else")
FULL_CASES = ("batch 10", EIGHT)
COMING = "Memcpy HtoD"  # from the host to the device
LAYERS = {"batch 10": 32, "small, batch 64": 18}  # of the target, where its attention's backward kernel is named
BACK = "flash_bwd"


TABLES = {"full_size": full_size, "since": since, "costs": costs, "gpu_time": gpu_time}
NUMBERS = {"full_size": full_size_limits, "costs": costs_numbers, "gpu_time": gpu_time_numbers, "since": since_numbers}
