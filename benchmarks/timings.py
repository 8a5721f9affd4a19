"""Tables and rows of times and sizes, computed from the JSON files beside this one that the benchmarks wrote.

`graphs` of since_h100.json, and which rows fitted in `whole`, were read off the output of `speed.py` and of a program
around it.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from preserved_tables import spaced
from scipy.stats import ttest_rel

HERE = Path(__file__).resolve().parent
COUNTS = {2: "two", 4: "four", 8: "eight"}


def lines_of(name: str) -> list[dict]:
    """A file with one JSON object a line, in the order in which they were measured."""
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines() if line.strip()]


def scaling() -> dict[str, str]:
    """One GPU beside the most that were measured, at the same work per GPU and at the same total work: the last session
    that has all three, and the efficiency of those before it."""
    lines, told = lines_of("scaling_h100.json"), []
    for session in _sessions([row for row in lines if row.get("source_leaves", True)]):
        batch = next((size for count, size in session if count == 1), 0)
        many = max((count for count, size in session if count > 1 and size == count * batch), default=0)
        if (many, batch) in session:
            told.append((many, *(session[key] for key in ((1, batch), (many, many * batch), (many, batch)))))
    many = max(found[0] for found in told)
    *before, (_, alone, same_each, same_all) = [found for found in told if found[0] == many]
    rows, word = [alone, same_each, same_all], COUNTS.get(many, str(many))
    first, second, third = (f"{row['step_mean_s']:.3f} ({row['step_s']:.3f})" for row in rows)
    steps = min(row["steps"] for row in (alone, same_each))
    if same_all["steps"] != steps:
        third = f"{third}, of {same_all['steps']} steps"
    faster = [alone[name] / same_all[name] for name in ("step_mean_s", "step_s")]
    shares = sorted(100 * row["share_of_sums"] for row in (same_each, same_all))
    earlier = "; ".join(" and ".join(_shares(*found[1:3])) for found in before)
    earlier = f"; sessions before: {earlier}" * bool(before)
    beside = f" In this session {alone['beside']}." if "beside" in alone else ""
    size = alone["batch_size"]
    apart = 1000 * (same_each["step_s"] - alone["step_s"])
    return {
        "what": f"full-size training on {word} GPUs, 64 soft tokens, seconds a step, mean (median)",
        "found": (
            f"of the later half of {steps} steps: one GPU at batch {size} {first}, {word} at batch {many * size} "
            f"{second}, {word} at batch {size} {third}. So at the same work per GPU the efficiency is "
            f"{_efficiency(alone, same_each)} (the goal is {EFFICIENT} %{earlier}); the same total work goes "
            f"{faster[0]:.2f} ({faster[1]:.2f}) times as fast, an efficiency of {100 * faster[0] / many:.0f} % "
            f"({100 * faster[1] / many:.0f} %).{beside} A mean has the steps in it whose shapes were captured, and the "
            "reading of the source, whose layers come from the host; ranks agree on shapes. Summing "
            f"{alone['translator_parameters'] / 1e6:.0f} M gradients takes {1000 * same_each['sum_s']:.1f} ms, "
            f"{shares[0]:.1f} to {shares[-1]:.1f} % of a mean step. The medians at the same work per GPU are "
            f"{apart:.0f} "
            f"ms apart; {same_each['peak_gib']:.1f} GiB a GPU against {alone['peak_gib']:.1f}. "
            f"{_with_the_source()}{_on_h200()}"
        ),
        "n": str(steps - steps // 2),
    }  # fmt: skip


EFFICIENT = 95  # per cent at the same work per GPU: the goal


def _with_the_source() -> str:
    """The same work per GPU where each keeps the source, in the last session that was measured so."""
    session = _sessions([row for row in lines_of("scaling_h100.json") if not row.get("source_leaves", True)])[-1]
    many, batch = max(count for count, _ in session), next(size for count, size in session if count == 1)
    alone, same_each = session[1, batch], session[many, many * batch]
    one, other = (f"{row['step_mean_s']:.3f} ({row['step_s']:.3f})" for row in (alone, same_each))
    return (
        f"With the source kept on each of {COUNTS.get(many, many)} (`--source-stays`, {same_each['peak_gib']:.0f} "
        f"GiB): {one} and {other}, {_efficiency(alone, same_each)}. "
    )


def _on_h200() -> str:
    """The same work per GPU on other cards, where each parameter's gradient was summed by itself as well."""
    alone, same_each = sorted(lines_of("scaling_h200.json"), key=lambda row: row["processes"])
    many = same_each["processes"]
    one, two = (f"{row['step_mean_s']:.3f} ({row['step_s']:.3f})" for row in (alone, same_each))
    return (
        f"On {COUNTS.get(many, many)} H200 before, of {alone['steps']} steps, the one alone beside a training on the "
        f"other card: {one} and {two}, {_efficiency(alone, same_each)}"
    )


def _sessions(lines: Sequence[Mapping]) -> list[dict[tuple[int, int], Mapping]]:
    """Lines by processes and batch size; where one comes again, a new session has begun."""
    found: list[dict[tuple[int, int], Mapping]] = [{}]
    for row in lines:
        key = (row["processes"], row["batch_size"])
        if key in found[-1]:
            found.append({})
        found[-1][key] = row
    return found


def _efficiency(alone: Mapping, same_each: Mapping) -> str:
    """Of several GPUs at the same work for each."""
    mean, median = _shares(alone, same_each)
    return f"{mean} by the mean, {median} by the median"


def _shares(alone: Mapping, same_each: Mapping) -> list[str]:
    return [f"{100 * alone[name] / same_each[name]:.0f} %" for name in ("step_mean_s", "step_s")]


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
    return json.loads((HERE / "speed_h100.json").read_text("utf-8"))["full"]


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
    for found in map(_since, SINCE):
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
    h100, h200 = (_since(name) for name in SINCE)
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


def _since(name: str) -> dict:
    return json.loads((HERE / name).read_text("utf-8"))


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
    for one in _profiled():
        found, steps, kinds = one["training"], one["training"]["steps"], one["training"]["by_kind_s"]
        shown = [f"{1000 * seconds / steps:.1f}" for seconds in (found["wall_s"], *(kinds[kind] for kind in GPU_KINDS))]
        rows.append([one["case"], *shown, f"{100 * found['idle']:.0f} %"])
    return ["case", "ms a step, profiled", *GPU_KINDS, "no kernel runs"], rows


def gpu_time_numbers() -> dict[str, str]:
    """How long the source's weights take to come, which the steps that were profiled share."""
    found = [one["training"] for one in _profiled() if one["case"] in FULL_CASES]
    coming = [seconds for one in found for name, seconds, _ in one["kernels"] if name.startswith(COMING)]
    (steps,) = {one["steps"] for one in found}
    return {"coming": " and ".join(f"{seconds:.2f}" for seconds in coming), "steps": str(steps)}


def _profiled() -> list[dict]:
    return json.loads((HERE / "gpu_time_h100.json").read_text("utf-8"))


GPU_KINDS = ("matrix products", "attention", "copies", "everything else")
FULL_CASES = ("batch 10", EIGHT)
COMING = "Memcpy HtoD"  # from the host to the device


def effects() -> dict[str, str]:
    """Runs of the embedded pair that share a GPU, as their jobs are and in half precision."""
    h100 = json.loads((HERE / "effects_h100.json").read_text("utf-8"))
    before = json.loads((HERE / "effects_h200.json").read_text("utf-8"))
    plain, half = h100["measured"]
    profiled = {one["case"]: one["training"] for one in _profiled()}
    kinds = [profiled[name]["by_kind_s"] for name in EFFECTS_CASES]
    cases = [1000 * sum(own.values()) / profiled[name]["steps"] for name, own in zip(EFFECTS_CASES, kinds, strict=True)]
    rest = [100 * (own["copies"] + own["everything else"]) / sum(own.values()) for own in kinds]
    steps = plain["runs"] * plain["steps"]
    checks = [statistics.mean(one["parts_s"]["checks"] for one in found["each"]) for found in (plain, half)]
    right = [[one["dev_accuracy"][-1] for one in found["each"]] for found in (plain, half)]
    apart = ttest_rel(*reversed(right)).confidence_interval()
    seconds = [steps * each / 1000 for each in cases]
    shares = [100 * part / found["wall_s"] for part, found in zip(seconds, (plain, half), strict=True)]

    def both(values: Sequence[float], digits: int) -> str:
        return " and ".join(f"{value:.{digits}f}" for value in values)

    return {
        "what": f"{plain['runs']} runs of {spaced(plain['steps'])} steps of 256 on the embedded pair at once, "
                "everything in them",
        "found": f"{plain['wall_s']:.0f} s as the jobs are, in float32; {half['wall_s']:.0f} with `dtype` bfloat16 and "
                 f"`fused_kernels` (MPS, {h100['cores']} cores; {before['wall_s']:.0f} before, in float32 on an H200 "
                 f"whose host did other work; the goal is {EFFECTS_GOAL}). The kernels of a step take {both(cases, 1)} "
                 f"ms (the table below), so those of {spaced(steps)} steps {both(seconds, 0)} s, {both(shares, 0)} % "
                 f"of it; {both(rest, 0)} % of them are neither products nor attention but passes over memory and "
                 "the like, which compiled layers may lift (not tried). On the processor each run makes and checks its "
                 f"questions before its first step, for {both(checks, 0)} s. Right on dev in the end "
                 f"{both([100 * statistics.mean(each) for each in right], 1)} %, mean of the seeds; half precision "
                 f"minus float32 [{100 * apart.low:.1f}, {100 * apart.high:.1f}] points over seeds",
        "n": str(plain["runs"]),
    }  # fmt: skip


EFFECTS_GOAL = 144  # seconds
EFFECTS_CASES = ("effects", "effects, bfloat16")  # of gpu_time, in the order in which runs were measured


def decoding() -> dict[str, str]:
    """A token of the target at full size, and where its time goes."""
    found = json.loads((HERE / "decoding_h100.json").read_text("utf-8"))
    ms, kinds, rows = found["ms"], found["kinds"], str(found["rows"])
    (products, launched), (attention, _) = kinds["matrix products"], kinds["attention"]
    small = [kind for name, kind in kinds.items() if name not in ("matrix products", "attention")]
    spent, count = (sum(each[place] for each in small) for place in (0, 1))
    saved = {name: ms[rows] - found[f"{name}_ms"] for name in CHANGED}
    rate, most = found["linear_bytes_a_second"][rows] / 1e12, found["sum_bytes_a_second"] / 1e12
    alone = TOKENS_OF_AN_ANSWER * products / 1e3 / (int(rows) / 2)
    return {
        "what": f"a token of greedy decoding at full size, ms, {' · '.join(ms)} rows",
        "found": f"{' · '.join(f'{each:.1f}' for each in ms.values())}. Of {rows} rows {products:.1f} ms are matrix "
                 f"products ({launched} launches), {attention:.1f} attention over {found['slots']} slots (over "
                 f"{found['longer_slots']} a token takes {found['longer_ms']:.1f}), {spent:.1f} the {count} small "
                 f"kernels. Timed once each, where runs differ by as much: the rotation in one kernel saves "
                 f"{saved['one_rotation']:.1f}, queries, keys and values in one product {saved['one_product']:.1f}, "
                 f"all but the head compiled {saved['compiled']:.1f} ({found['compiled_s']:.0f} s to make), no "
                 f"attention at all {saved['without_attention']:.1f}. A linear layer reads its weights at {rate:.2f} "
                 f"TB/s, a plain sum reads {most:.2f}. Of the goal of .06 s a question, whose two latent arms say "
                 f"{TOKENS_OF_AN_ANSWER} tokens each, products alone are {alone:.3f}; less would take fewer bits, or "
                 "several tokens a step",
        "n": str(found["tokens"]),
    }  # fmt: skip


TOKENS_OF_AN_ANSWER = 256
CHANGED = ("one_rotation", "one_product", "compiled", "without_attention")


TABLES = {"full_size": full_size, "since": since, "costs": costs, "gpu_time": gpu_time}
NUMBERS = {"full_size": full_size_limits, "costs": costs_numbers, "gpu_time": gpu_time_numbers, "since": since_numbers}
FINDINGS = {"scaling": scaling, "decoding": decoding, "effects": effects}
