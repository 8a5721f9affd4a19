"""Rows of times, a sentence each, computed from the JSON files beside this one that the benchmarks wrote."""

import statistics
from collections.abc import Mapping, Sequence

from preserved_tables import spaced
from scipy.stats import ttest_rel
from timings import PROFILED, SINCE, lines_of, passes, record

COUNTS = {2: "two", 4: "four", 8: "eight"}


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


def effects() -> dict[str, str]:
    """Runs of the embedded pair that share a GPU, as their jobs are and in half precision."""
    h100 = record("effects_h100.json")
    plain, half = h100["measured"]
    profiled = {one["case"]: one["training"] for one in record(PROFILED)}
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
                 f"`fused_kernels` (MPS, {h100['cores']} cores; the goal is {EFFECTS_GOAL}). {_before(h100)} "
                 f"The kernels of a step take {both(cases, 1)} ms (the table below), so those of {spaced(steps)} steps "
                 f"{both(seconds, 0)} s, {both(shares, 0)} % of the whole time; {both(rest, 0)} % of them are neither "
                 "products nor attention but passes over memory and the like, which compiled layers may lift (not "
                 "tried). On the processor each run makes and checks its questions before its first step, for "
                 f"{both(checks, 0)} s. "
                 f"Right on dev in the end {both([100 * statistics.mean(each) for each in right], 1)} %, mean of the "
                 f"seeds; half precision minus float32 [{100 * apart.low:.1f}, {100 * apart.high:.1f}] points over "
                 "seeds",
        "n": str(plain["runs"]),
    }  # fmt: skip


def _before(h100: Mapping) -> str:
    """The same twelve by the workbench before its first speed work, beside those of now, as their jobs are."""
    before, now = h100["before"], h100["measured"][0]
    took = [statistics.mean(one["training_s"] for one in found["each"]) for found in (before, now)]
    change = 100 * (now["wall_s"] / before["wall_s"] - 1)
    word = "longer" if change > 0 else "shorter"
    return (
        f"By the workbench before any of its speed work ({before['script']}), in float32 on {before['cores']} cores of "
        f"an H100's host, where {before['beside']}, they took {before['wall_s']:.0f} s: float32 takes "
        f"{abs(change):.0f} % {word} now (a training {took[0]:.0f} s by the mean, now {took[1]:.0f}), one session each."
    )


EFFECTS_GOAL = 144  # seconds, for those twelve
EFFECTS_CASES = ("effects", "effects, bfloat16")  # of gpu_time, in the order in which runs were measured


def small() -> dict[str, str]:
    """A training step between the two small pretrained models, and what its kernels are."""
    old = record("speed_h100.json")["small"]["cases"]["batch 64"]
    case = next(one for one in record(SINCE[0])["cases"] if f"{one['pair']}, {one['case']}" == SMALL_CASE)
    fast, plain = case["fast"], case["plain"]
    profiled = next(one["training"] for one in record(PROFILED) if one["case"] == SMALL_CASE)
    steps = profiled["steps"]

    def ms(part: str) -> float:
        """Of a step, the kernels whose name has this in it."""
        return 1000 * sum(seconds for name, seconds, _ in profiled["kernels"] if part in name) / steps

    kinds = {kind: 1000 * seconds / steps for kind, seconds in profiled["by_kind_s"].items()}
    products, goal = kinds["matrix products"], 1000 / SMALL_GOAL
    rates = [1 / fast[key] for key in ("step_mean_s", "step_s")]
    verdict = "reached" if min(rates) >= SMALL_GOAL else "missed"
    return {
        "what": "a training step of 64 questions between SmolLM2-135M and Gemma-3-270M, 32 soft tokens of four source "
                "layers; random weights, real token lengths",
        "found": f"{fast['step_s']:.3f} s by the median ({fast['step_least_s']:.3f} the least, "
                 f"{fast['step_mean_s']:.3f} the mean), so {rates[0]:.1f} steps a second by the mean and "
                 f"{rates[1]:.1f} by the median, {fast['training_peak_gib']:.1f} GiB; {case['beside']}. The plain path "
                 f"in the same process took {plain['step_s']:.3f} s (median of {case['plain_steps']}) and "
                 f"{plain['training_peak_gib']:.1f} GiB. A session long before gave {old['fast']['step_s']:.3f} and "
                 f"{old['plain']['step_s']:.3f}. The goal is {SMALL_GOAL} steps a second: {verdict}. Of {steps} steps "
                 f"with the trained weights, profiled, the kernels took {sum(kinds.values()):.0f} ms a step, more than "
                 f"a median step, so the card's work is the limit and not the host's: {products:.0f} matrix products, "
                 f"{ms('softmax'):.0f} the loss over 262 144 logits, {kinds['attention'] - ms('softmax'):.0f} "
                 "attention, "
                 f"{ms('rms_norm_back'):.0f} the norms' backward pass, {ms(BROADCAST):.0f} element-wise kernels of "
                 f"one name, the rest other passes over memory. {passes(SMALL_CASE)} passes "
                 "through the target were among them. Of one pass the products are "
                 f"{products * steps / passes(SMALL_CASE):.0f} ms, of {goal:.0f} that the goal leaves, "
                 "and the source's reading is in none of these steps. Compiled layers would make fewer passes over "
                 "memory (not tried)",
        "n": str(case["steps"]),
    }  # fmt: skip


SMALL_CASE, SMALL_GOAL = "small, batch 64", 33  # steps a second
BROADCAST = "void at::native::elementwise_kernel<128, 4"


def decoding() -> dict[str, str]:
    """A token of the target at full size, and where its time goes."""
    found = record("decoding_h100.json")
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


FINDINGS = {"scaling": scaling, "decoding": decoding, "effects": effects, "small": small}
