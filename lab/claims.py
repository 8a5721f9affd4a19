"""Claims: the sentences of the paper as data, each with its test; and the verdict that real records give it.

The matrix is that of the project's documents. It is the family declared beforehand: Holm's correction counts every
claim in it, run or not. A verdict needs more than a p-value: *supported* where the effect has the stated direction and
survives the correction; *refuted* where it is credibly below the smallest effect worth a sentence (one point), or on
the other side; else *inconclusive*; *not run* where arms or runs are missing, or where the claim cannot be made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lab.errors import LabError
from lab.evidence import ALL, Evidence, Run, read_evidence, rows_of
from lab.records import read_jsonl
from lab.stats import ALPHA, Z95, holm, mean_interval, paired_difference, proportion
from lab.summary import BOTH_SKILLS, LATENT, ORACLE, ordered_arms

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_RUN = "supported", "refuted", "inconclusive", "not run"
WORTH = 0.01  # one point of accuracy: less is not worth a sentence
HELD_OUT_LORE = ("lore/short/held_out", "lore/long/held_out")
BOTH_HELD_OUT = (f"{BOTH_SKILLS}/held_out",)
CONTROLS = ("latent_constant", "latent_shuffled")


class NotRun(Exception):
    """Why a claim has no evidence here. `refused`: it could never have, with these runs."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class Comparison:
    """One effect with its 95 % interval. `p_greater`, `p_less`: one-sided, for the claim and against it."""

    label: str
    effect: float
    low: float
    high: float
    p_greater: float
    p_less: float
    n: int
    clusters: int
    seeds: int
    unit: str = "accuracy"
    detail: dict = field(default_factory=dict)


def _one_sided(p: float, effect: float) -> tuple[float, float]:
    """(p that it is greater, p that it is less) out of a two-sided p."""
    return (p / 2, 1 - p / 2) if effect > 0 else (1 - p / 2, p / 2) if effect < 0 else (0.5, 0.5)


def compare_arms(runs: Sequence[Run], better: str, worse: str, groups: Sequence[str] = (ALL,)) -> Comparison:
    """`better` - `worse` within `runs` (replicates), on the questions of `groups`, clustered by word."""
    rows = rows_of(runs, groups)
    if not rows.records:
        raise NotRun(f"the records hold no question of {', '.join(groups)}")
    place = f" in {', '.join(groups)}" if tuple(groups) != (ALL,) else ""
    return _of_values(f"{better} - {worse}{place}", rows.values(runs, better), rows.values(runs, worse), rows.clusters)


def _of_values(label: str, better: np.ndarray, worse: np.ndarray, clusters: Sequence[str]) -> Comparison:
    found = paired_difference(better, worse, clusters)
    greater, _ = _one_sided(found["p"], found["difference"])
    small = mean_interval(better - worse - WORTH, clusters)
    _, less = _one_sided(small["p"], small["mean"])
    if not (better - worse).any():  # no row differs: all that is known is so many clusters without an effect
        less = (1 - WORTH) ** found["clusters"]
    return Comparison(
        label, found["difference"], found["low"], found["high"], greater, less, found["n"], found["clusters"],
        found["seeds"], detail={key: found[key] for key in ("only_a", "only_b", "per_seed")},
    )  # fmt: skip


def _need_arms(runs: Sequence[Run], arms: Sequence[str]) -> None:
    missing = [arm for arm in arms if any(arm not in run.arms for run in runs)]
    if missing:
        raise NotRun(f"the records lack the arm{'s' * (len(missing) > 1)} {', '.join(missing)}")


def refuse_context_aware(runs: Sequence[Run]) -> None:
    """No compression can be claimed where the target reads the question as text as well."""
    for run in runs:
        if run.context_aware():
            raise NotRun(
                f"refused: the layout {run.settings['layout']!r} of run {run.name} is context-aware: the target reads "
                "the question as text beside the soft tokens, so nothing is compressed",
                refused=True,
            )


@dataclass(frozen=True)
class Arms:
    """`better` beats every arm of `worse`, in each of `places` (each a tuple of groups), within one recipe.

    All comparisons have to hold (intersection-union test: the largest p counts, without a correction). `task`: only
    runs of that task; else the main recipe's.
    """

    better: str
    worse: tuple[str, ...]
    places: tuple[tuple[str, ...], ...] = ((ALL,),)
    task: str = ""

    @property
    def needs(self) -> str:
        return f"arms {', '.join((self.better, *self.worse))}" + (f" in a run of task {self.task}" * bool(self.task))

    def compare(self, evidence: Evidence) -> list[Comparison]:
        runs = evidence.main
        if self.task:
            fitting = [recipe for recipe in evidence.recipes() if recipe[0].settings["task"] == self.task]
            if not fitting:
                raise NotRun(f"no run of task {self.task} was given")
            runs = fitting[0]
        _need_arms(runs, (self.better, *[arm for arm in self.worse]))
        return [compare_arms(runs, self.better, arm, place) for place in self.places for arm in self.worse]


@dataclass(frozen=True)
class Setting:
    """The latent arm of runs *with* something beats that of runs *without*, all else equal, seed against seed.

    `fields`: settings that may differ. `by` "on": any of them above 0 against all 0; `by` "size": the largest value
    against the smallest. Runs that differ in anything else are never compared, nor is a lone seed enough: two seeds
    of one recipe differ as well.
    """

    fields: tuple[str, ...]
    by: str = "on"
    soft_only: bool = False

    @property
    def needs(self) -> str:
        what = "a larger and a smaller" if self.by == "size" else "and without"
        return f"runs with {what} {' or '.join(self.fields)}, nothing else changed, two seeds each at least"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        more, fewer = self._sides(evidence)
        seeds = sorted({run.seed for run in more} & {run.seed for run in fewer})
        if not seeds:
            raise NotRun("the runs with and without it have no seed in common")
        pairs = [[next(run for run in side if run.seed == seed) for seed in seeds] for side in (more, fewer)]
        _need_arms([*pairs[0], *pairs[1]], ("latent",))
        if self.soft_only:
            refuse_context_aware([*pairs[0], *pairs[1]])
        rows = rows_of([*pairs[0], *pairs[1]])
        values = [rows.values(side, "latent") for side in pairs]
        names = [", ".join(f"{name}={side[0].settings.get(name)}" for name in self.fields) for side in pairs]
        return [_of_values(f"latent: {names[0]} - {names[1]}", *values, rows.clusters)]

    def _sides(self, evidence: Evidence) -> tuple[list[Run], list[Run]]:
        known = [name for name in self.fields if any(name in run.settings for run in evidence.runs)]
        if not known:
            raise NotRun(f"no run has a setting {' or '.join(self.fields)}")

        def size(run: Run) -> float:
            values = [run.settings.get(name) or 0 for name in self.fields]
            return max((value for value in values if isinstance(value, (int, float))), default=0)

        families: dict[tuple, list[Run]] = {}
        for run in evidence.runs:  # the main recipe's family comes first
            families.setdefault(run.recipe(self.fields), []).append(run)
        for family in families.values():
            sizes = sorted({size(run) if self.by == "size" else float(size(run) > 0) for run in family})
            if len(sizes) > 1:
                ends = [[run for run in family if (size(run) if self.by == "size" else float(size(run) > 0)) == end]
                        for end in (sizes[-1], sizes[0])]  # fmt: skip
                # of several recipes on one side the one given first
                return tuple([run for run in side if run.recipe() == side[0].recipe()] for side in ends)
        raise NotRun(f"no two runs given differ in {' or '.join(known)} alone")


@dataclass(frozen=True)
class Direction:
    """The gap latent - target is larger from weak to strong than from strong to weak: two recipes, models swapped."""

    needs: str = "runs of a pair and of the same pair swapped, otherwise alike"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        named = {"mistral-llama": ("mistral", "llama"), "llama-mistral": ("llama", "mistral"), "mini": ("s", "t")}
        main = evidence.main

        def models(run: Run) -> tuple:
            return named.get(run.settings["pair"]) or (run.settings["source"], run.settings["target"])

        without = ("pair", "source", "target", "source_layers")
        swapped = [
            run
            for run in evidence.runs
            if run.recipe(without) == main[0].recipe(without) and _swapped(models(run), models(main[0]))
        ]
        seeds = sorted({run.seed for run in swapped} & {run.seed for run in main})
        if not seeds:
            raise NotRun("no run with source and target swapped, otherwise like the main one, was given")
        sides = [[next(run for run in side if run.seed == seed) for seed in seeds] for side in (main, swapped)]
        if main[0].settings["pair"] == "llama-mistral":
            sides.reverse()
        _need_arms([*main, *swapped], ("latent", "target"))
        rows = rows_of([*sides[0], *sides[1]])
        gaps = [rows.values(side, "latent") - rows.values(side, "target") for side in sides]
        return [_of_numbers("(latent - target), forward - swapped", gaps[0] - gaps[1], rows.clusters, WORTH)]


def _swapped(one: tuple, other: tuple) -> bool:
    def is_mini(name: str, part: str, short: str) -> bool:
        return name == short or Path(str(name)).parts[-2:] == ("mini", part)

    def plain(names: tuple) -> tuple:
        return tuple(
            "s" if is_mini(name, "source", "s") else "t" if is_mini(name, "target", "t") else name for name in names
        )

    return plain(one) == plain(other)[::-1]


def _of_numbers(
    label: str, values: np.ndarray, clusters: Sequence[str], worth: float, margin: float = 0.0, unit: str = "accuracy"
) -> Comparison:
    """Mean of per-question numbers against `margin`; evidence against it is a mean below margin + worth."""
    found, above = mean_interval(values, clusters), mean_interval(values - margin, clusters)
    below = mean_interval(values - margin - worth, clusters)
    return Comparison(
        label, found["mean"], found["low"], found["high"], _one_sided(above["p"], above["mean"])[0],
        _one_sided(below["p"], below["mean"])[1], values.shape[-1], found["clusters"], found["seeds"], unit,
    )  # fmt: skip


@dataclass(frozen=True)
class Degradation:
    """The last evaluation is less than `points` below the best one, on dev, in every seed's log.

    The rows of metrics.jsonl hold no answers, so best and last count as independent: the interval is too wide rather
    than too narrow.
    """

    points: float = 0.10
    needs: str = "runs with three evaluations on dev at least (eval_every above 0)"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        falls, variances, n = [], [], 0
        for run in evidence.main:
            path = run.path / "metrics.jsonl"
            rows = [row for row in read_jsonl(path) if row.get("kind") == "evaluation"] if path.is_file() else []
            looks = {row["step"]: (row["accuracy"], row["n"]) for row in rows if row.get("accuracy") is not None}
            if len(looks) < 3:
                raise NotRun(f"run {run.name} logged {len(looks)} evaluations; a fall needs three at least")
            (best, n), (last, _) = max(looks.values()), looks[max(looks)]
            falls.append(last - best)
            # one more right and one more wrong answer: the variance must not vanish at 0 % and 100 %
            shares = [(share * n + 1) / (n + 2) for share in (best, last)]
            variances.append(sum(share * (1 - share) / n for share in shares) if last != best else 0.0)
        effect, seeds = float(np.mean(falls)), len(falls)
        # the same dev questions for every seed: more seeds do not make them more
        width = [Z95 * float(np.sqrt(np.mean(variances)))]
        if seeds > 1:
            spread = mean_interval(np.array(falls))
            width.append((spread["high"] - spread["low"]) / 2)
        half = float(np.hypot(*width)) if len(width) > 1 else width[0]
        greater, less = _normal_tails(effect + self.points, half)
        return [Comparison(f"last - best on dev, margin -{self.points:.0%}", effect, effect - half,
                           min(effect + half, 0.0), greater, less, n, n, seeds,
                           detail={"per_seed": falls})]  # fmt: skip


def _normal_tails(distance: float, half: float) -> tuple[float, float]:
    from scipy.stats import norm

    if half == 0:
        return (0.0, 1.0) if distance > 0 else (1.0, 0.0)
    z = distance / half * Z95
    return float(norm.sf(z)), float(norm.cdf(z))


@dataclass(frozen=True)
class CacheSaved:
    """The target's cache holds fewer tokens with soft tokens than with the whole text; bytes where its config is known.

    Tokens are what is cached, and are in every record; bytes are tokens times layers x 2 x key-value heads x head size.
    """

    needs: str = "arms latent and target in a layout without the question"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        runs = evidence.main
        _need_arms(runs, ("latent", "target"))
        refuse_context_aware(runs)
        rows = rows_of(runs)
        saved = np.array([[by_id[key] for key in rows.ids] for by_id in map(_tokens_saved, runs)], dtype=float)
        comparison = _of_numbers("tokens cached: target - latent", saved, rows.clusters, 0.0, unit="tokens")
        per_token = cache_bytes_per_token(runs[0])
        if per_token:
            comparison.detail["kib_per_question"] = round(comparison.effect * per_token / 1024, 2)
        return [comparison]


def _tokens_saved(run: Run) -> dict[str, int]:
    saved = {}
    for row in run.records:
        latent, target = row["arms"]["latent"], row["arms"]["target"]
        saved[row["id"]] = target["prompt_tokens"] - latent["prompt_tokens"] - latent["soft_tokens"]
    return saved


def cache_bytes_per_token(run: Run, bytes_per_value: int = 2) -> int | None:
    """Bytes that one token takes in the target's cache (bf16), grouped heads respected; None if its config is not here.

    Llama-3.1-8B: 32 layers x 2 x 8 key-value heads x 128 x 2 bytes = 128 KiB.
    """
    pair = run.settings["pair"]
    if pair in ("mistral-llama", "llama-mistral"):
        return 32 * 2 * 8 * 128 * bytes_per_value  # both have these layers, heads and sizes
    folder = Path(__file__).parent / "pairs" / "mini" / "target"
    if pair == "custom":
        folder = Path(str(run.settings["target"]).removeprefix("random:"))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        heads = config.get("num_key_value_heads") or config["num_attention_heads"]
        return config["num_hidden_layers"] * 2 * heads * size * bytes_per_value
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Claim:
    """A sentence with its test. `reported`: what the documents say of it."""

    key: str
    sentence: str
    reported: str
    test: Arms | Setting | Direction | Degradation | CacheSaved

    @property
    def needs(self) -> str:
        return self.test.needs


_EVERYONE = ("source", "target", ORACLE, "latent_constant")
CLAIMS = (
    Claim("fusion_beats_both", "Cross-model fusion beats both models.", "81.5 % against 54 % and 73 %",
          Arms("latent", ("source", "target"))),
    Claim("enrichment", "The latent arm also beats any router between the models and a constant prompt trained at "
          "equal budget.", "not tested", Arms("latent", _EVERYONE)),
    Claim("enrichment_both_skills", "It does so where both skills are needed and the word was never trained on.",
          "not tested", Arms("latent", _EVERYONE, (BOTH_HELD_OUT,))),
    Claim("depends_on_this_input", "The answer depends on this source input.", "not tested",
          Arms("latent", ("latent_shuffled",))),
    Claim("knowledge_moved", "Knowledge moved, it was not memorised: held-out lore is answered.", "not tested",
          Arms("latent", ("target", *CONTROLS), (HELD_OUT_LORE,))),
    Claim("sources_own_knowledge", "It is the source's knowledge: other sources at equal budget do not give it.",
          "not tested", Arms("latent", ("latent_random_source", "latent_no_lore_source", "latent_target_source"))),
    Claim("beats_text_transfer", "Soft tokens beat text transfer.", "expected", Arms("latent", ("cascade",))),
    Claim("beats_token_budget", "Soft tokens beat a text prompt cut to as many tokens.", "4-6 % for cut text",
          Arms("latent", ("token_budget",))),
    Claim("fixes_prevent_collapse", "The stability fixes prevent collapse.", "64.5 % at the end against 36.0 %",
          Setting(("infonce_weight", "kl_weight", "prompt_alignment_weight", "patience"))),
    Claim("degradation_below_10", "Accuracy falls by less than 10 points from its peak.", "68.0 % to 64.5 %",
          Degradation()),
    Claim("compression_quality", "More soft tokens answer better: compression is traded for quality.",
          "32, 48, 64 tokens: ~55, 60-70, 64.5 %", Setting(("soft_tokens",), by="size", soft_only=True)),
    Claim("kv_savings", "Soft tokens save cache memory in the target.", "43-59 MB, at 0.5 MB a token: four times the "
          "128 KiB of Llama-3.1-8B's grouped heads", CacheSaved()),
    Claim("generalises_hotpotqa", "It generalises beyond arithmetic: latent beats the text baseline on HotpotQA.",
          "planned", Arms("latent", ("target",), task="hotpotqa")),
    Claim("direction_matters", "Direction matters: weak to strong works better than strong to weak.",
          "-12.5 against -15.5 points to the target", Direction()),
    Claim("kl_slice", "The KL slice matters.", "62.5 % against 36 %", Setting(("kl_weight",))),
    Claim("prompt_alignment", "Prompt alignment matters.", "65.5 % against 62.5 %",
          Setting(("prompt_alignment_weight",))),
    Claim("answer_supervision", "Answer supervision matters.", "36 % against 2.5 %", Setting(("answer_weight",))),
    Claim("bottleneck_size", "A wider bottleneck matters.", "74.5 % at 96 soft tokens against 68 % at 64",
          Setting(("soft_tokens",), by="size")),
    Claim("adapters", "Adapter injection matters.", "45.5 % against 37.5 %", Setting(("adapter_scale",))),
    Claim("decode_loss", "The decode loss matters.", "73.0 % at the end against 71.5 %", Setting(("decode_weight",))),
)  # fmt: skip
"""The family, declared before any run was looked at."""


def judge(evidence: Evidence, alpha: float = ALPHA, claims: Sequence[Claim] = CLAIMS) -> dict:
    """Every claim's verdict on these runs, Holm-corrected over all of `claims`, those not run included.

    Returns {"alpha", "family", "tested", "main" (run names), "seeds", "layout", "n", "scenario", "unfinished", "arms"
    (see `arm_rows`), "claims": [{"key", "sentence", "reported", "needs", "verdict", "refused", "reason", "p",
    "p_holm", "effect", "low", "high", "unit", "n", "clusters", "seeds", "comparisons": [...]}]}. A claim of several
    comparisons shows the weakest one's effect.
    """
    found: dict[str, list[Comparison]] = {}
    reasons: dict[str, NotRun] = {}
    for claim in claims:
        try:
            found[claim.key] = claim.test.compare(evidence)
        except NotRun as reason:
            reasons[claim.key] = reason
    # For: all comparisons together. Against: any of them, paid for by their number. Both directions are tested.
    sides = {
        key: (max(c.p_greater for c in cs), min(1.0, len(cs) * min(c.p_less for c in cs))) for key, cs in found.items()
    }
    p_values = {key: min(1.0, 2 * min(side)) for key, side in sides.items()}
    corrected = holm(p_values, family=len(claims))
    rows = []
    for claim in claims:
        row = {"key": claim.key, "sentence": claim.sentence, "reported": claim.reported, "needs": claim.needs}
        if claim.key in reasons:
            reason = reasons[claim.key]
            rows.append(row | {"verdict": NOT_RUN, "refused": reason.refused, "reason": str(reason), "p": None,
                               "p_holm": None, "comparisons": []})  # fmt: skip
            continue
        comparisons = found[claim.key]
        lone = isinstance(claim.test, (Setting, Direction)) and comparisons[0].seeds < 2
        good, bad = sides[claim.key]
        verdict = INCONCLUSIVE if lone or corrected[claim.key] > alpha else SUPPORTED if good <= bad else REFUTED
        decisive = min(comparisons, key=lambda c: c.p_less) if verdict == REFUTED else max(
            comparisons, key=lambda c: (c.p_greater, -c.effect))  # fmt: skip
        rows.append(row | {
            "verdict": verdict, "refused": False, "reason": _reason(verdict, decisive, lone),
            "p": p_values[claim.key], "p_holm": corrected[claim.key],
            **{name: getattr(decisive, name) for name in ("effect", "low", "high", "unit", "n", "clusters", "seeds")},
            "comparisons": [vars(c) for c in comparisons],
        })  # fmt: skip
    main = evidence.main
    return {
        "alpha": alpha, "family": len(claims), "tested": len(found), "main": [run.name for run in main],
        "seeds": [run.seed for run in main], "layout": main[0].settings["layout"], "n": len(main[0].records),
        "scenario": scenario(evidence, alpha), "unfinished": list(evidence.unfinished), "arms": arm_rows(evidence),
        "claims": rows,
    }  # fmt: skip


def _reason(verdict: str, decisive: Comparison, lone: bool) -> str:
    if lone:
        return "one seed on each side: two seeds of one recipe differ as well; run at least two"
    if verdict == SUPPORTED:
        return f"weakest: {decisive.label}" + (" (one training seed)" if decisive.seeds < 2 else "")
    if verdict == REFUTED:
        worse = "the other way round" if decisive.high < 0 else "below what is worth a sentence"
        return f"{decisive.label} is {worse}"
    return f"undecided: {decisive.label}"


def arm_rows(evidence: Evidence) -> list[dict]:
    """Every arm of the main recipe: accuracy over all seeds, and latent - arm overall and where both skills are needed.

    Per arm {"arm", "accuracy", "low", "high", "n", "clusters", "seeds", "per_seed", "context_aware", "versus": {place:
    {"effect", "low", "high", "p", "p_holm"}}}; Holm over all comparisons of this table.
    """
    runs = evidence.main
    arms = ordered_arms(set.intersection(*(run.arms for run in runs)))
    every = rows_of(runs)
    places = {"all": (ALL,)} | ({"both_held_out": BOTH_HELD_OUT} if rows_of(runs, BOTH_HELD_OUT).records else {})
    rows, p_values = [], {}
    for arm in arms:
        aware = None if arm == ORACLE else any(row["arms"][arm].get("context_aware") for row in runs[0].records)
        versus = {}
        for place, groups in places.items() if LATENT in arms and arm != LATENT else ():
            found = compare_arms(runs, LATENT, arm, groups)
            p = min(1.0, 2 * min(found.p_greater, 1 - found.p_greater))
            versus[place] = {"effect": found.effect, "low": found.low, "high": found.high, "p": p}
            p_values[f"{arm} {place}"] = p
        accuracy = proportion(every.values(runs, arm), every.clusters)
        rows.append({"arm": arm, **accuracy, "context_aware": aware, "versus": versus})
    corrected = holm(p_values)
    for row in rows:
        for place, found in row["versus"].items():
            found["p_holm"] = corrected[f"{row['arm']} {place}"]
    return rows


def scenario(evidence: Evidence, alpha: float = ALPHA) -> dict:
    """Which story the main recipe tells: best (latent above source and target), good (above target), problem (below
    source), or undecided; each comparison tested, Holm over the two. {"name", "sentence", "comparisons"}."""
    runs = evidence.main
    try:
        _need_arms(runs, ("source", "target", "latent"))
        source, target = (compare_arms(runs, "latent", arm) for arm in ("source", "target"))
    except NotRun as reason:
        return {"name": NOT_RUN, "sentence": f"{reason}.", "comparisons": []}
    p = holm({c.label: 2 * min(_one_sided_pair(c)) for c in (source, target)})
    above_source, above_target = (c.effect > 0 and p[c.label] <= alpha for c in (source, target))
    below_source = source.effect < 0 and p[source.label] <= alpha
    name, sentence = (
        ("best", "latent is above source and target") if above_source and above_target
        else ("problem", "latent is below the source") if below_source
        else ("good", "latent is above the target") if above_target
        else ("undecided", "latent is neither above the target nor below the source, as far as these rows tell")
    )  # fmt: skip
    return {"name": name, "sentence": sentence, "comparisons": [vars(source), vars(target)]}


def _one_sided_pair(comparison: Comparison) -> tuple[float, float]:
    return comparison.p_greater, 1 - comparison.p_greater


def judge_runs(paths: Sequence[str | Path], alpha: float = ALPHA) -> dict:
    """`judge` for run directories (or folders of them); the first one's recipe is the main one."""
    if not paths:
        raise LabError("claims: no run was given; name at least one run directory.")
    return judge(read_evidence(paths), alpha)
