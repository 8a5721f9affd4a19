"""Hypotheses: what a claim compares. Each kind finds its arms or runs in the evidence, or says why it cannot.

Arms of one recipe are compared on the same questions; recipes are compared seed against seed, and only where nothing
differs but what is asked about. Rows that share a lore word are one cluster, training seeds are a level of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.config import LLAMA, MISTRAL, PAIRS, RANDOM, short_name
from lab.evidence.comparisons import (
    WORTH,
    Comparison,
    NotRun,
    compare_arms,
    need_arms,
    of_numbers,
    of_shares,
    of_values,
)
from lab.evidence.likelier import likelier_in, need_likelihoods
from lab.evidence.read import ALL, Evidence, Run, rows_of
from lab.evidence.resampling import expected_best_of
from lab.evidence.stats import wilson


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
    runs of that task; else the main recipe's. `soft_only`: meaningless where the target reads the question as well.
    """

    better: str
    worse: tuple[str, ...]
    places: tuple[tuple[str, ...], ...] = ((ALL,),)
    task: str = ""
    soft_only: bool = False

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
        need_arms(runs, (self.better, *self.worse))
        if self.soft_only:
            refuse_context_aware(runs)
        return [compare_arms(runs, self.better, arm, place) for place in self.places for arm in self.worse]


@dataclass(frozen=True)
class Setting:
    """The latent arm of runs *with* something beats that of runs *without*, all else equal, seed against seed.

    `fields`: settings that may differ. `by` "on": as many of them as any run has above 0, or one of the `words`,
    against none; `by` "size": the largest value against the smallest, of those that two seeds have where there are two
    such. `alongside`: what shapes it and means nothing without it. Runs that differ in anything else are never
    compared, nor is a lone seed enough: two seeds of one recipe differ as well. `likelihood`: what is compared is how
    likely the gold answers are, not how many are right.
    """

    fields: tuple[str, ...]
    by: str = "on"
    words: tuple[str, ...] = ()
    alongside: tuple[str, ...] = ()
    soft_only: bool = False
    likelihood: bool = False

    @property
    def needs(self) -> str:
        what = "a larger and a smaller" if self.by == "size" else "and without"
        return f"runs with {what} {' or '.join(self.fields)}, nothing else changed, two seeds each at least"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        sides = self.sides(evidence)
        both = [run for side in sides for run in side]
        need_arms(both, ("latent",))
        if self.soft_only:
            refuse_context_aware(both)
        rows, label = rows_of(both), f"latent: {self.contrast(sides)}"
        if self.likelihood:
            need_likelihoods(both, ("latent",))
            return [likelier_in(label, *sides)]
        values = [rows.values(side, "latent") for side in sides]
        return [of_values(label, *values, rows.clusters).of(both)]

    def contrast(self, sides: Sequence[Sequence[Run]]) -> str:
        """`kl_weight=0.05 - kl_weight=0.0`: what differs."""
        one, other = (side[0].settings for side in sides)
        differing = [name for name in self.fields if one.get(name) != other.get(name)]
        return " - ".join(", ".join(f"{name}={of.get(name)}" for name in differing) for of in (one, other))

    def sides(self, evidence: Evidence) -> tuple[list[Run], list[Run]]:
        """The runs with and the runs without it, in the order of the seeds that both sides have."""
        known = [name for name in self.fields if any(name in run.settings for run in evidence.runs)]
        if not known:
            raise NotRun(f"no run has a setting {' or '.join(self.fields)}")
        families: dict[tuple, list[Run]] = {}
        for run in evidence.runs:  # the main recipe's family comes first
            families.setdefault(run.recipe((*self.fields, *self.alongside)), []).append(run)
        for family in families.values():
            sizes = self._sizes(family)
            if len(sizes) > 1 and (self.by == "size" or sizes[0] == 0):
                ends = [[run for run in family if self._size(run) == end] for end in (sizes[-1], sizes[0])]
                # of several recipes on one side the one given first
                alike = [[run for run in end if run.recipe() == end[0].recipe()] for end in ends]
                return matched(*alike)
        raise NotRun(f"no two runs given differ in {' or '.join(known)} alone")

    def _sizes(self, family: Sequence[Run]) -> list[float]:
        """From small to large. By size without those of a lone seed, which alone would decide nothing."""
        seeds: dict[float, set[int]] = {}
        for run in family:
            seeds.setdefault(self._size(run), set()).add(run.seed)
        several = sorted(size for size, found in seeds.items() if len(found) > 1)
        return several if self.by == "size" and len(several) > 1 else sorted(seeds)

    def _size(self, run: Run) -> float:
        """By size the largest value of the fields, else how many of them are on."""
        values = [run.settings.get(name) or 0 for name in self.fields]
        sizes = [float(value in self.words) if isinstance(value, str) else value for value in values]
        return max(sizes) if self.by == "size" else sum(size > 0 for size in sizes)


def matched(one: Sequence[Run], other: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Both sides cut to the seeds that they share, in the same order."""
    seeds = sorted({run.seed for run in one} & {run.seed for run in other})
    if not seeds:
        raise NotRun("the runs to be compared have no seed in common")
    first, second = ([next(run for run in side if run.seed == seed) for seed in seeds] for side in (one, other))
    return first, second


@dataclass(frozen=True)
class Direction:
    """The gap latent - target is larger from weak to strong than from strong to weak: two recipes, models swapped."""

    needs: str = "runs of a pair and of the same pair swapped, otherwise alike"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        for runs in evidence.recipes():  # the main one first
            if swapped := swapped_of(evidence, runs[0]):
                return self._gaps(*matched(runs, swapped))
        raise NotRun("no two runs given have source and target swapped and are otherwise alike")

    def _gaps(self, runs: list[Run], swapped: list[Run]) -> list[Comparison]:
        forward = models_of(runs[0]) in _WEAK_TO_STRONG or models_of(swapped[0]) not in _WEAK_TO_STRONG
        sides = (runs, swapped) if forward else (swapped, runs)
        need_arms([*runs, *swapped], ("latent", "target"))
        rows = rows_of([*runs, *swapped])
        gaps = [rows.values(side, "latent") - rows.values(side, "target") for side in sides]
        label = "(latent - target), forward - swapped"
        return [of_numbers(label, gaps[0] - gaps[1], rows.clusters, WORTH).of([*runs, *swapped])]


_MODELS = ("pair", "source", "target", "source_layers")
_WEAK_TO_STRONG = (PAIRS["mistral-llama"], tuple(map(short_name, PAIRS["mini"])))


def swapped_of(evidence: Evidence, run: Run) -> list[Run]:
    """The runs with source and target the other way round and all else as in `run`, of any seed."""
    return [
        other
        for other in evidence.runs
        if other.recipe(_MODELS) == run.recipe(_MODELS) and models_of(other) == models_of(run)[::-1]
    ]


def models_of(run: Run) -> tuple:
    """(source, target), by the same names whether the pair was named or given as two folders."""
    return tuple(map(short_name, _given(run)))


def _given(run: Run) -> tuple[str, str]:
    """(source, target) as the run's config names them; see `PairConfig.models`."""
    source, target = PAIRS.get(run.settings["pair"], ("", ""))
    return str(run.settings["source"] or source), str(run.settings["target"] or target)


def need_looks(run: Run) -> dict[int, tuple[float, int]]:
    """The run's evaluations on dev. Raises NotRun unless there are three."""
    if len(run.looks) < 3:
        raise NotRun(f"run {run.name} logged {len(run.looks)} evaluations on dev; a fall needs three at least")
    return run.looks


def _last(looks: dict[int, tuple[float, int]]) -> tuple[float, int]:
    return looks[max(looks)]


def _right(look: tuple[float, int]) -> tuple[float, int]:
    """(right, questions) of a look."""
    accuracy, n = look
    return accuracy * n, n


@dataclass(frozen=True)
class Degradation:
    """The last evaluation on dev is less than `points` below the best before it, over the seeds of the main recipe.

    For the claim nothing is picked: the last look has to be credibly close to each earlier one, so to the best of them.
    Against it the best of m looks is too high by picking alone; `optimism` is by how much, were all equally good, and
    is taken off. A run whose peak is not credibly above `points` could not fall that far: then nothing is claimed.
    """

    points: float = 0.10
    needs: str = "runs with three evaluations on dev at least (eval_every above 0)"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        counts, picked = [], []
        for run in evidence.main:
            looks = need_looks(run)
            self._need_a_peak(run, max(looks.values()))
            last, best = _right(_last(looks)), _right(max(look for step, look in looks.items() if step != max(looks)))
            counts.append((*last, *best))
            share = (best[0] + 1) / (best[1] + 2)
            picked.append(expected_best_of(len(looks) - 1) * float(np.sqrt(share * (1 - share) / best[1])))
        optimism = float(np.mean(picked))
        label = f"last - best before on dev, margin -{self.points:.0%}"
        found = of_shares(label, counts, -self.points, {"optimism_of_best": optimism}, optimism)
        return [found.of(evidence.main)]

    def _need_a_peak(self, run: Run, peak: tuple[float, int]) -> None:
        if wilson(*_right(peak))[0] <= self.points:
            raise NotRun(
                f"refused: the best of {run.name}'s evaluations on dev is {peak[0]:.1%} of {peak[1]}: what never rose "
                f"above {self.points:.0%} cannot fall by that much",
                refused=True,
            )


@dataclass(frozen=True)
class Collapse:
    """At the last evaluation on dev, runs with the fixes are above runs without. The test records cannot tell: they
    come from the best checkpoint."""

    setting: Setting

    @property
    def needs(self) -> str:
        return f"{self.setting.needs}; three evaluations on dev each"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        sides = self.setting.sides(evidence)
        kept, fallen = ([_right(_last(need_looks(run))) for run in side] for side in sides)
        counts = [(*one, *other) for one, other in zip(kept, fallen, strict=True)]
        found = of_shares(f"last on dev: {self.setting.contrast(sides)}", counts, 0.0, {})
        return [found.of([*sides[0], *sides[1]])]


@dataclass(frozen=True)
class CacheSaved:
    """The target's cache holds fewer tokens with soft tokens than with the whole text; bytes where its config is known.

    Tokens are what is cached, and are in every record; bytes are tokens times layers x 2 x key-value heads x head size.
    """

    needs: str = "arms latent and target in a layout without the question"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        runs = evidence.main
        need_arms(runs, ("latent", "target"))
        refuse_context_aware(runs)
        rows = rows_of(runs)
        saved = np.array([[by_id[key] for key in rows.ids] for by_id in map(_tokens_saved, runs)], dtype=float)
        comparison = of_numbers("tokens cached: target - latent", saved, rows.clusters, 0.0, unit="tokens")
        per_token = cache_bytes_per_token(runs[0])
        if per_token:
            comparison.detail["kib_per_question"] = round(comparison.effect * per_token / 1024, 2)
        return [comparison.of(runs)]


def measured_compression(run: Run) -> float:
    """How many tokens of the target's prompt one soft token stands for, over all questions.

    Counted in the records: the prompt with the question less the one without it. Raises NotRun where the target reads
    the question beside the soft tokens: then nothing is compressed.
    """
    refuse_context_aware([run])
    need_arms([run], ("latent", "target"))
    arms = [row["arms"] for row in run.records]
    soft = sum(one["latent"]["soft_tokens"] for one in arms)
    if not soft:
        raise NotRun(f"run {run.name} has no soft tokens")
    return sum(one["target"]["prompt_tokens"] - one["latent"]["prompt_tokens"] for one in arms) / soft


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
    _, target = _given(run)
    if target in (MISTRAL, LLAMA):
        return 32 * 2 * 8 * 128 * bytes_per_value  # both have these layers, heads and sizes
    try:
        config = json.loads((Path(target.removeprefix(RANDOM)) / "config.json").read_text(encoding="utf-8"))
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        heads = config.get("num_key_value_heads") or config["num_attention_heads"]
        return config["num_hidden_layers"] * 2 * heads * size * bytes_per_value
    except (OSError, ValueError, KeyError, TypeError):
        return None
