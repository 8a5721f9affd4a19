"""Rows and a table that are computed from records, so that no number in them was typed: JSON files beside this one that
the benchmarks write, and the preserved run of the shipped translator."""

import json
from collections.abc import Mapping
from pathlib import Path

from preserved_tables import PRESERVED, between

from lab.errors import LabError
from lab.evidence import BOTH_HELD_OUT, proportion, rows_of
from lab.paper import Preserved
from lab.paper.world_macros import question_tokens
from lab.runs import check_sums

HERE = Path(__file__).resolve().parent
COUNTS = {2: "two", 4: "four", 8: "eight"}
PROMPTS = {"control_constant": "constant", "control_text_tuned": "beside the text"}


def lines_of(name: str) -> list[dict]:
    """A file with one JSON object a line, in the order in which they were measured."""
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines() if line.strip()]


def scaling() -> dict[str, str]:
    """One GPU beside the most that were measured, at the same work per GPU and at the same total work.

    Of several measurements of one number of processes and one batch size the last counts.
    """
    last = {(row["processes"], row["batch_size"]): row for row in lines_of("scaling_h100.json")}
    alone = next(row for row in reversed(last.values()) if row["processes"] == 1)
    batch = alone["batch_size"]
    many = max(count for count, _ in last if count > 1 and {(count, count * batch), (count, batch)} <= set(last))
    same_each, same_all = last[many, many * batch], last[many, batch]
    rows, word = [alone, same_each, same_all], COUNTS.get(many, str(many))
    first, second, third = (f"{row['step_mean_s']:.3f} ({row['step_s']:.3f})" for row in rows)
    each = [f"{100 * alone[name] / same_each[name]:.0f} %" for name in ("step_mean_s", "step_s")]
    faster = [alone[name] / same_all[name] for name in ("step_mean_s", "step_s")]
    shares = sorted(100 * row["share_of_sums"] for row in (same_each, same_all))
    earlier = [row for row in lines_of("scaling_h100.json") if row["processes"] == 1 and row != alone]
    before = "".join(
        f"; one GPU alone had {row['step_mean_s']:.3f} ({row['step_s']:.3f}) once before" for row in earlier[-1:]
    )
    least = min(row["steps"] for row in rows)
    return {
        "what": f"full-size training on {word} GPUs, 64 soft tokens, seconds a step, mean (median)",
        "found": (
            f"of the later half of {least} steps: one GPU at batch {batch} {first}, {word} at batch {many * batch} "
            f"{second}, {word} at batch {batch} {third}. So at the same work per GPU the efficiency is {each[0]} by "
            f"the mean, {each[1]} by the median; the same total work goes {faster[0]:.2f} ({faster[1]:.2f}) times as "
            f"fast, an efficiency of {100 * faster[0] / many:.0f} % ({100 * faster[1] / many:.0f} %){before}. A mean "
            "has the steps in it whose shapes were captured. Ranks agreed on those, and told each other so through the "
            "GPUs, for which every step waited: since then hosts tell it, which was not timed. Summing "
            f"{alone['translator_parameters'] / 1e6:.0f} M gradients takes "
            f"{1000 * same_each['sum_s']:.0f} ms, "
            f"{shares[0]:.0f} to {shares[-1]:.0f} % of a mean step; {same_each['peak_gib']:.1f} GiB a GPU against "
            f"{alone['peak_gib']:.1f}"
        ),
        "n": str(least - least // 2),
    }  # fmt: skip


def prompt_rates() -> dict[str, str]:
    """The last look of each prompt at each rate; of several measurements of one the last counts."""
    last = {(row["prompt"], row["learning_rate"]): row["nats_per_token"][-1] for row in lines_of("prompt_rates.json")}
    ends = {
        prompt: {rate: nats for (of, rate), (_, nats) in sorted(last.items()) if of == prompt} for prompt in PROMPTS
    }
    best = {prompt: min(found, key=found.get) for prompt, found in ends.items()}
    told = "; ".join(
        f"{name} at {' · '.join(f'{rate:g}' for rate in ends[prompt])}: "
        f"{' · '.join(f'{nats:.3f}' for nats in ends[prompt].values())}, best at {best[prompt]:g}"
        for prompt, name in PROMPTS.items()
    )
    highest = any(best[prompt] == max(found) for prompt, found in ends.items())
    higher = " Where the highest is best, a still higher one was not tried" * highest
    (steps,) = {step for step, _ in last.values()}
    return {
        "what": f"learning rate of the two trained prompts, nats per token on dev after {steps} steps",
        "found": f"{told}.{higher}",
    }


def word_problems() -> dict[str, str]:
    """What `make real` says of the shipped bridge, from the summary of its run: what the gold answers cost more in each
    other arm than in latent."""
    found = json.loads((HERE / "word_problems.json").read_text("utf-8"))
    told, right = found["likelihood"]["arms"], found["arms"]
    versus = {arm: told[arm]["versus"] for arm in ("latent_constant", "latent_shuffled", "target")}
    more = all(versus[arm]["low"] > 0 for arm in ("latent_constant", "latent_shuffled"))
    correct = [f"{100 * right[arm]['accuracy']:.1f}" for arm in ("latent", "latent_constant", "source", "target")]
    return {
        "what": "`make real`: word problems from SmolLM2-135M to Gemma-3-270M, nats per token of the gold answers; "
                "bridge and constant prompt trained on one H100, one seed, evaluated on two cores",
        "found": (
            f"latent {told['latent']['nats']:.3f}; a constant prompt {_more(versus['latent_constant'])}, another "
            f"question's soft tokens {_more(versus['latent_shuffled'])}, the text without any prompt "
            f"{_more(versus['target'])}. Latent {'tells' if more else 'is not seen to tell'} more than the prompt and "
            f"than another question's. Right, %: latent {correct[0]}, the prompt {correct[1]}, source {correct[2]}, "
            f"target {correct[3]} (no readable answer in {right['source']['invalid']} and "
            f"{right['target']['invalid']}: neither learned the format, so much of that difference is its). "
            f"{found['wall_s'] / 60:.0f} minutes, on cores that did other work besides"
        ),
        "n": str(found["n"]),
    }  # fmt: skip


def _more(versus: Mapping) -> str:
    return f"{versus['difference']:+.3f} [{versus['low']:.3f}, {versus['high']:.3f}]"


def shipped() -> dict[str, str]:
    """The shipped translator on the test split, from its preserved records."""
    world = Preserved(PRESERVED / "evidence_shipped").worlds["embedded"]
    right, other = (_right(world, arm) for arm in ("latent", "latent_shuffled"))
    held = rows_of(world.main, BOTH_HELD_OUT)
    both = proportion(held.values(world.main, "latent"), held.clusters)["accuracy"]
    return {
        "what": f"shipped translator, {world.main[0].settings['soft_tokens']} soft tokens for questions of "
                f"{question_tokens(world):.1f} tokens, right on test",
        "found": f"{100 * right['accuracy']:.1f} % (95 % by word{between(right, 1, 100)}); "
                 f"held-out both-skill {100 * both:.1f}; another question's soft tokens {100 * other['accuracy']:.1f}",
        "n": f"{right['n']:,}".replace(",", " "),
    }  # fmt: skip


def cached() -> dict[str, str]:
    """What the shipped translator's soft tokens take in the target's cache and on the wire, as counted."""
    found = _inference()
    sizes, wire = found["sizes"], found["wire"]
    return {
        "what": "KV cache before the answer, question as text against soft tokens",
        "found": f"{sizes['kv_bytes_text'] / 1000:.1f} kB against {sizes['kv_bytes_latent'] / 1000:.1f}; on the wire "
                 f"{sizes['text_bytes']:.0f} bytes of text against {_spaced(wire['bf16']['bytes'])} in bf16, "
                 f"{_spaced(wire['int4']['bytes'])} in int4 ({100 * wire['int4']['em']['accuracy']:.1f} % right)",
        "n": _spaced(found["n"]),
    }  # fmt: skip


def first_token() -> dict[str, str]:
    """Until the first token, medians: the target alone, and latent with the source's pass."""
    found = _inference()
    target, latent = ({name: 1000 * found["arms"][arm]["cost"][name]["median"] for name in
                       ("seconds_to_first_token", "source_seconds")} for arm in ("target", "latent"))  # fmt: skip
    return {
        "what": "first token, target alone against latent (source's pass in it)",
        "found": f"{target['seconds_to_first_token']:.1f} ms against {latent['seconds_to_first_token']:.1f} "
                 f"({latent['source_seconds']:.1f}), on cores that did other work besides",
        "n": str(found["timed"]),
    }  # fmt: skip


def _inference() -> dict:
    """What notebook 04 wrote, as it was preserved. Raises LabError where it was altered since."""
    if altered := check_sums(PRESERVED / "inference_metrics"):
        raise LabError(f"runs/preserved/inference_metrics: {altered[0]}")
    return json.loads((PRESERVED / "inference_metrics" / "inference_aggregate.json").read_text("utf-8"))


def _spaced(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def without_it() -> dict[str, str]:
    """The same questions without a translator."""
    world = Preserved(PRESERVED / "evidence_shipped").worlds["embedded"]
    found = {arm: _right(world, arm) for arm in ("source", "target", "oracle")}
    source, target, either = (f"{100 * row['accuracy']:.1f}" for row in found.values())
    return {
        "what": "either model, or a router between them, on the same questions",
        "found": f"source {source} %, target {target}, either of them {either}",
        "n": f"{found['source']['n']:,}".replace(",", " "),
    }


def _right(world, arm: str) -> dict:
    rows = rows_of(world.main)
    return proportion(rows.values(world.main, arm), rows.clusters)


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
                f"{fast['s_per_sample_first']:.2f} · {fast['s_per_sample_again']:.2f}",
            ])  # fmt: skip
    columns = [
        "pair, case", "card", "rows at the left", "seconds per step, median (least)", "mean",
        "share of a matrix product", "peak, GiB", "evaluation, seconds a question, first · again",
    ]  # fmt: skip
    return columns, rows


def since_numbers() -> dict[str, str]:
    """A whole training, and what of an evaluation's time is decoding, for the sentence above the table."""
    found = _since("since_h200.json")
    whole, first = found["whole"], next(one["fast"] for one in found["cases"] if one["case"] == "batch 2")
    shares = {f"{name}_decoding": f"{first[f'evaluation_{name}_parts_s']['generation']:.1f} of "
                                  f"{first[f'evaluation_{name}_s']:.1f}" for name in ("first", "again")}  # fmt: skip
    read = first["share_of_copy_again"] * first["evaluation_again_s"]
    return shares | {
        "reading_s": f"{read:.1f}", "whole_s": f"{whole['seconds']:.0f}", "steps": _spaced(whole["steps"]),
        "looks": str(whole["evaluations"]),
    }  # fmt: skip


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
    """Where a GPU's time goes in a step, by kind of kernel."""
    rows = []
    for one in json.loads((HERE / "gpu_time_h100.json").read_text("utf-8")):
        found, steps, kinds = one["training"], one["training"]["steps"], one["training"]["by_kind_s"]
        shown = [f"{seconds / steps:.3f}" for seconds in (found["wall_s"], *(kinds[kind] for kind in GPU_KINDS))]
        rows.append([one["case"], *shown, f"{100 * found['idle']:.0f} %"])
    return ["case", "seconds a step, profiled", *GPU_KINDS, "no kernel runs"], rows


GPU_KINDS = ("matrix products", "attention", "copies", "everything else")


def effects() -> dict[str, str]:
    """Runs of the embedded pair that share a GPU."""
    found = json.loads((HERE / "effects_h200.json").read_text("utf-8"))
    parts = {name: sum(one["parts_s"][name] for one in found["each"]) for name in found["each"][0]["parts_s"]}
    share = {name: 100 * seconds / sum(parts.values()) for name, seconds in parts.items()}
    target = share["target forward"] + share["target backward"]
    rate = found["runs"] * found["steps"] / found["wall_s"]
    return {
        "what": f"{found['runs']} runs of {_spaced(found['steps'])} steps of 256 on the embedded pair at once, "
                f"{found['cores']} cores",
        "found": f"{found['wall_s']:.0f} s, everything in them, {rate:.0f} steps a second, while other cards of the "
                 f"host worked; of a run's time {share['checks']:.0f} % goes into making and checking its questions "
                 f"and {share['other']:.0f} % into what no part is named for (tokens, batches), both on the "
                 f"processor, {share['source']:.0f} % into the source and {target:.0f} % into the target",
        "n": str(found["runs"]),
    }  # fmt: skip


def decoding() -> dict[str, str]:
    """A token of the target at full size, and what of it is reading weights."""
    found = json.loads((HERE / "decoding_h100.json").read_text("utf-8"))
    ms, rate = found["ms"], found["linear_bytes_a_second"]
    return {
        "what": f"a token of greedy decoding at full size, ms, {' · '.join(ms)} rows",
        "found": f"{' · '.join(f'{each:.1f}' for each in ms.values())}; of {found['rows']} rows with attention over "
                 f"{found['longer_slots']} slots in place of {found['slots']} {found['longer_ms']:.1f}, without any "
                 f"{found['without_attention_ms']:.1f}, with compiled layers {found['compiled_ms']:.1f}. A linear "
                 f"layer reads its weights at {rate[str(found['rows'])] / 1e12:.2f} TB/s there, so reading them is "
                 "most of it; less would take fewer bits, or several tokens a step",
        "n": str(found["tokens"]),
    }  # fmt: skip


def longer() -> dict[str, str]:
    """GSM8K trained for longer, as seen on dev: where it stops, and what the training loss says by then."""
    runs = json.loads((HERE / "gsm8k_longer.json").read_text("utf-8"))
    told = []
    for name, recipe in LONGER.items():
        curves = [arms["latent"] for run, arms in runs.items() if run.startswith(f"{name}-")]
        best = [min(curve["dev"], key=lambda point: point[1]) for curve in curves]
        early = [dict(map(tuple, curve["dev"]))[EARLY] for curve in curves]
        last = [curve["training"][-1][1] for curve in curves]
        told.append(
            f"{recipe}: {_each(nats for _, nats in best)} at best (step {' · '.join(str(step) for step, _ in best)}), "
            f"{_each(early)} after {EARLY}; on the questions that it trains on {_each(last)} in the end"
        )
    repeated = runs.pop("read_back")["latent"]["dev"]
    steps = max(step for arms in runs.values() for step, _ in arms["latent"]["dev"])
    constant = [arms["latent_constant"]["dev"][-1][1] for run, arms in runs.items() if run.startswith("gsm8k_long-")]
    return {
        "what": f"GSM8K, 32 soft tokens, {_spaced(steps)} steps of 32 with dropout, nats per token on dev, by seed",
        "found": f"{'; '.join(told)}. That bridge repeats new texts at {repeated[-1][1]:.3f} nats after "
                 f"{_spaced(repeated[-1][0])} steps ({repeated[0][1]:.3f} before any). Constant prompt "
                 f"{_each(constant)}. So that beginning is faster and ends at the same; the training loss falls on "
                 "where dev does so no more, or hardly. More training questions were not tried. All three seeds of "
                 "the second recipe begin from one bridge. Most of these runs were cut off before their prompt "
                 "beside the text was trained, so nothing is told of test",
    }  # fmt: skip


LONGER = {"gsm8k_long": "from random weights",
          "read_back_gsm8k": "from a bridge that learned to repeat the training texts first"}  # fmt: skip
EARLY = 250


def _each(numbers) -> str:
    return " · ".join(f"{number:.3f}" for number in numbers)


FINDINGS = {"word_problems": word_problems, "longer": longer,
            "scaling": scaling, "prompt_rates": prompt_rates, "shipped": shipped, "without_it": without_it,
            "decoding": decoding, "effects": effects,
            "cached": cached, "first_token": first_token}  # fmt: skip
