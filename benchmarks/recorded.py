"""Rows of what runs found, computed from records, so that no number in them was typed: JSON files beside this one, and
the preserved runs of the shipped translator and of the embedded pair."""

import json
from collections.abc import Mapping
from pathlib import Path

from dev_curves import curve
from digests import digests
from preserved_tables import PRESERVED, between, spaced
from timings import lines_of

from lab.errors import LabError
from lab.evidence import BOTH_HELD_OUT, information, proportion, read_evidence, rows_of
from lab.paper import Preserved
from lab.paper.reading import run_folders
from lab.paper.world_macros import question_tokens
from lab.runs import check_sums

HERE = Path(__file__).resolve().parent
PROMPTS = {"control_constant": "constant", "control_text_tuned": "beside the text"}


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
                 f"{sizes['text_bytes']:.0f} bytes of text against {spaced(wire['bf16']['bytes'])} in bf16, "
                 f"{spaced(wire['int4']['bytes'])} in int4 ({100 * wire['int4']['em']['accuracy']:.1f} % right)",
        "n": spaced(found["n"]),
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


def through_the_tiny() -> dict[str, str]:
    """GSM8K through the embedded pair: no crash, and nothing right to speak of."""
    runs = read_evidence([PRESERVED / "mini_gsm8k"]).main
    rows = rows_of(runs)
    found = {arm: proportion(rows.values(runs, arm), rows.clusters) for arm in ("source", "target", "latent")}
    source, target, latent = (f"{100 * row['accuracy']:.1f}" for row in found.values())
    return {
        "what": "GSM8K through the tiny pair, trained on nothing like it",
        "found": f"source {source} %, target {target}, latent {latent}{between(found['latent'], 1, 100)}",
        "n": spaced(found["latent"]["n"]),
    }  # fmt: skip


def longer() -> dict[str, str]:
    """GSM8K trained for longer, as seen on dev: where it stops, and what the training loss says by then."""
    runs = json.loads((HERE / "gsm8k_longer.json").read_text("utf-8"))
    told = []
    for name, recipe in LONGER.items():
        curves = [arms["latent"] for run, arms in runs.items() if run.startswith(f"{name}-")]
        best = [min(one["dev"], key=lambda point: point[1]) for one in curves]
        early = [_dev(one)[EARLY] for one in curves]
        last = [one["training"][-1][1] for one in curves]
        told.append(
            f"{recipe}: {_each(nats for _, nats in best)} at best (step {' · '.join(str(step) for step, _ in best)}), "
            f"{_each(early)} after {EARLY}; on the questions that it trains on {_each(last)} in the end"
        )
    repeated = runs.pop("read_back")["latent"]["dev"]
    steps = max(step for arms in runs.values() for step, _ in arms["latent"]["dev"])
    constant = [arms["latent_constant"]["dev"][-1][1] for run, arms in runs.items() if run.startswith("gsm8k_long-")]
    return {
        "what": f"GSM8K, 32 soft tokens, {spaced(steps)} steps of 32 with dropout, nats per token on dev, by seed",
        "found": f"{'; '.join(told)}. That bridge repeats new texts at {repeated[-1][1]:.3f} nats after "
                 f"{spaced(repeated[-1][0])} steps ({repeated[0][1]:.3f} before any). Constant prompt "
                 f"{_each(constant)}. So that beginning is faster and ends at the same; the training loss falls on "
                 "where dev does so no more, or hardly. All three seeds of "
                 "the second recipe begin from one bridge. Most of these runs were cut off before their prompt "
                 "beside the text was trained, so nothing is told of test",
    }  # fmt: skip


LONGER = {"gsm8k_long": "from random weights",
          "read_back_gsm8k": "from a bridge that learned to repeat the training texts first"}  # fmt: skip
EARLY = 250


def recipes() -> dict[str, str]:
    """GSM8K on dev with one thing changed, beside the table's own runs, on two kinds of card: each at its least, and
    where that is not the last look, when it was and what became of it. Last how far apart two trainings of one recipe
    and seed came out."""
    first, again = (json.loads((HERE / name).read_text("utf-8")) for name in ("gsm8k_recipes.json", AGAIN))
    table, beside = (_preserved_dev(job) for job in ("gsm8k", "gsm8k_beside_text"))
    steps = max(max(dev) for dev in table)
    told, more = _told(first, RECIPES), _told(again, RECIPES | ONLY_AGAIN)
    other = again["gsm8k_swapped-seed1"]
    ends = [other[arm]["dev"][-1][1] for arm in ("latent_constant", "text_tuned")]
    apart = {run: abs(_least(first[run]["latent"]) - _least(again[run]["latent"])) for run in first if run in again}
    most = max(apart, key=apart.get)
    rest = max(value for run, value in apart.items() if run != most)
    return {
        "what": f"GSM8K, 32 soft tokens, {spaced(steps)} steps of 32, one thing changed, nats per token on dev",
        "found": f"The table's runs {_at_least(table)}, beside the text {_at_least(beside)}. On an H200, without fused "
                 f"kernels: {told}. On an H100, with them: {more}. The other way round the constant prompt has "
                 f"{ends[0]:.3f}, a prompt beside the text {ends[1]:.3f}. Seeds from 1 on in order, beside the text "
                 f"seed 3. Of {len(apart)} trainings of one recipe and seed on both, "
                 f"{RECIPES[most.rpartition('-')[0]]} came out {apart[most]:.3f} apart, the others up to {rest:.3f}: a "
                 "gain of one run that is no larger tells nothing. Nats per token of SmolLM2 are of other tokens. What "
                 "was tested stands in the table above",
    }  # fmt: skip


def _told(runs: Mapping, named: Mapping[str, str]) -> str:
    looks = {job: [_dev(arms["latent"]) for run, arms in runs.items() if run.startswith(f"{job}-")] for job in named}
    return "; ".join(f"{words} {_at_least(looks[job])}" for job, words in named.items() if looks[job])


def again() -> dict[str, str]:
    """The two-hop world, built and trained a second time: how many runs are the preserved ones, by their digests."""
    made = json.loads((HERE / "twohop_again.json").read_text("utf-8"))
    kept = {path.name: path for path in run_folders(PRESERVED) if path.name in made}
    same = sum(digests(path) == made[name] for name, path in kept.items())
    runs = f"{same} of {len(made)} runs" if same < len(made) else f"all {same} runs"
    return {
        "what": "two hops made a second time from nothing, in another session and beside other work: models, "
                "three translators, three controls of each",
        "found": f"{runs} have the same models and translators, bit by bit, the same records, byte by byte, and the "
                 "same losses",
        "n": str(len(made)),
    }  # fmt: skip


def _least(training: Mapping) -> float:
    return min(_dev(training).values())


AGAIN = "gsm8k_recipes_h100.json"
RECIPES = {
    "gsm8k_half": "half as many training questions", "gsm8k_quarter": "a quarter",
    "gsm8k_fixes": "with a contrastive term of .05", "gsm8k_k128": "128 soft tokens",
    "gsm8k_target_source": "the target's own states as source",
    "gsm8k_random_source": "a source of random weights", "gsm8k_kl_alone": "KL alone",
    "gsm8k_beside_text": "beside the text", "gsm8k_adapter": "16 as residuals on the text",
}  # fmt: skip
ONLY_AGAIN = {"gsm8k_fixes_k16": "the contrastive term with 16 soft tokens",
              "gsm8k_fixes_k128": "the contrastive term with 128",
              "gsm8k_fixes_long": "the contrastive term, twice the steps and dropout",
              "gsm8k_swapped": "from Gemma to SmolLM2"}  # fmt: skip


def _dev(training: Mapping) -> dict[int, float]:
    """step -> nats per token on dev."""
    return {step: nats for step, nats in training["dev"]}


def _preserved_dev(job: str) -> list[dict[int, float]]:
    """The same of a preserved job's runs, by seed. Raises LabError where they were altered since."""
    if altered := check_sums(PRESERVED / job):
        raise LabError(f"runs/preserved/{job}: {altered[0]}")
    return [_dev(curve(file)) for file in sorted((PRESERVED / job).glob("seed_*/metrics.jsonl.xz"))]


def _at_least(runs: list[dict[int, float]]) -> str:
    found = [(dev, min(dev, key=dev.get)) for dev in runs]
    told, early = _each(dev[step] for dev, step in found), [(dev, step) for dev, step in found if step < max(dev)]
    if not early:
        return told
    when = " · ".join(map(str, sorted({step for _, step in early})))
    return f"{told} (at step {when}; {_each(dev[max(dev)] for dev, _ in early)} in the end)"


def _each(numbers) -> str:
    return " · ".join(f"{number:.3f}" for number in numbers)


def kept_states() -> dict[str, str]:
    """The source's states, computed, kept and found again on a GPU."""
    lines = lines_of("state_cache_h100.json")
    return {
        "what": "kept states of a source (`state_cache`) on a GPU, ms a question, batches of 10; while other cards of "
                "the host trained",
        "found": "; ".join(map(_kept, lines)) + ". The least of three passes where they are found; files were read a "
                 "moment ago, so they come from memory. The hash of all weights, once, takes "
                 f"{lines[-1]['seconds'][HASHED]:.0f} s at full size. Found in at most half of the time in which they "
                 f"are computed: {'; '.join(map(_states_of, filter(_pays, lines))) or 'none'}",
        "n": " · ".join(str(line["questions"]) for line in lines),
    }  # fmt: skip


HASHED = "weights hashed, once"
KEPT_OF = {"small": "SmolLM2-135M", "full": "Mistral-7B with random weights"}


def _kept(line: Mapping) -> str:
    ms = {name: 1000 * seconds / line["questions"] for name, seconds in line["seconds"].items()}
    return (
        f"{_states_of(line)}, {line['dtype']}: computed {ms['computed']:.1f}, computed and kept "
        f"{ms['computed and kept']:.1f}, found again {ms['found']:.1f} ({line['megabytes'] / line['questions']:.1f} MB)"
    )


def _states_of(line: Mapping) -> str:
    return f"{KEPT_OF[line['pair']]}, {({'all': 'all layers', 'middle': 'four layers'})[line['layers']]}"


def _pays(line: Mapping) -> bool:
    return line["seconds"]["found"] <= line["seconds"]["computed"] / 2


def other_way() -> dict[str, str]:
    """GSM8K from Gemma to SmolLM2, on test."""
    (path,) = run_folders(PRESERVED / "gsm8k_swapped")
    found = information([read_evidence([path]).runs[0].records])
    nats, told = {arm: f"{one['nats']:.3f}" for arm, one in found["arms"].items()}, found["recovered"]["latent"]
    return {
        "what": "GSM8K the other way round, from Gemma-3-270M to SmolLM2-135M, 32 soft tokens, nats per token of the "
                "gold solution on test, one seed",
        "found": f"latent {nats['latent']}, another question's soft tokens {nats['latent_shuffled']}, a constant "
                 f"prompt {nats['latent_constant']}, a prompt beside the text {nats['text_tuned']}, the text alone "
                 f"{nats['target']}: {100 * told['value']:.0f} % recovered{between(told, 0, 100)}, its interval over "
                 "questions alone. SmolLM2's tokens are others than Gemma's, so nats do not compare with the table's",
        "n": spaced(found["n"]),
    }  # fmt: skip


FINDINGS = {"again": again, "word_problems": word_problems, "longer": longer, "recipes": recipes,
            "prompt_rates": prompt_rates, "shipped": shipped, "without_it": without_it,
            "through_the_tiny": through_the_tiny, "cached": cached, "first_token": first_token,
            "kept_states": kept_states, "other_way": other_way}  # fmt: skip
