"""Simulated worlds whose truth is known: answers as records have them, with words, questions, arms and seeds.

Whether an arm is right is a threshold on a normal sum: how hard the question and its word are for everybody, how well
this arm carries the word, how good this seed is as a whole and on this word, and chance. So true accuracies are exact,
answers to one question go together, and rows that share a word do too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import NormalDist

import numpy as np

from lab.config import RunConfig
from lab.evidence.read import Evidence, Run
from lab.evidence.summary import ORACLE

QUESTION, WORD = 0.8, 0.6  # spread of what is common to all arms, in standard deviations of chance
FROZEN = ("source", "target", "cascade", "token_budget", "text_hint")  # they know no training seed
SIZES = {
    "equal": (4,) * 72,
    "unequal": (1, 1, 2, 2, 3, 4, 4, 5, 6, 8, 10, 14) * 5,
    "twelve words": (12,) * 12,
}
"""How many questions each word has: 288, 300 and 144 in all."""


@dataclass(frozen=True)
class Questions:
    """Questions by word. `seed_spread` and `seed_word_spread`: how far seeds lie apart, as a whole and word by word."""

    sizes: Sequence[int]
    seed_spread: float = 0.1
    seed_word_spread: float = 0.3

    @cached_property
    def word(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def __len__(self) -> int:
        return len(self.word)

    def common(self, rng: np.random.Generator) -> np.ndarray:
        """[n]: how easy each question is for every arm."""
        return rng.normal(0, WORD, len(self.sizes))[self.word] + rng.normal(0, QUESTION, len(self))

    def frozen(self, rng: np.random.Generator, common: np.ndarray, accuracy: float) -> np.ndarray:
        """bool [n]: the answers of a model that nobody trains."""
        mean = NormalDist().inv_cdf(accuracy) * np.sqrt(1 + QUESTION**2 + WORD**2)
        return mean + common + rng.normal(size=len(self)) > 0

    def trained(self, rng: np.random.Generator, common: np.ndarray, accuracy: float, seeds: int) -> np.ndarray:
        """bool [seeds, n]: the answers of translators of one recipe. One seed is looked at as it is."""
        whole, by_word = (self.seed_spread, self.seed_word_spread) if seeds > 1 else (0.0, 0.0)
        spread = np.sqrt(1 + QUESTION**2 + 2 * WORD**2 + whole**2 + by_word**2)
        carried = rng.normal(0, WORD, len(self.sizes)) + rng.normal(0, by_word, (seeds, len(self.sizes)))
        mean = NormalDist().inv_cdf(accuracy) * spread + rng.normal(0, whole, (seeds, 1))
        return mean + common + carried[:, self.word] + rng.normal(size=(seeds, len(self))) > 0

    def answers(
        self, rng: np.random.Generator, accuracies: Mapping[str, float], seeds: int, common: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """arm -> bool [seeds, n], on questions as easy as `common` says."""
        common, found = self.common(rng) if common is None else common, {}
        for arm, accuracy in accuracies.items():
            if arm in FROZEN:
                found[arm] = np.tile(self.frozen(rng, common, accuracy), (seeds, 1))
            else:
                found[arm] = self.trained(rng, common, accuracy, seeds)
        return found


@dataclass(frozen=True)
class SimulatedRun(Run):
    """A run that was never trained: answers as an array instead of rows, `looks` as they were drawn."""

    answers: Mapping[str, np.ndarray] = field(default_factory=dict)
    looks: Mapping = field(default_factory=dict)

    @property
    def arms(self) -> set[str]:
        return set(self.answers) | {ORACLE} if {"source", "target"} <= self.answers.keys() else set(self.answers)

    def about(self) -> dict:
        return {"run": self.name}  # nothing was trained: there are no models to name

    def right(self, arm: str) -> dict[str, bool]:
        ids = [row["id"] for row in self.records]
        if arm == ORACLE:
            return dict(zip(ids, (self.answers["source"] | self.answers["target"]).tolist(), strict=True))
        return dict(zip(ids, self.answers[arm].tolist(), strict=True))


RIVALS = (
    "source", "target", "latent_shuffled", "latent_constant", "latent_random_source", "latent_no_lore_source",
    "latent_target_source", "cascade", "token_budget", "text_hint",
)  # fmt: skip
STRONG = ("target", "latent_shuffled", "latent_random_source", "cascade", "token_budget")
"""Of each claim's rivals one: where these are as good as latent and the others far below, the claim is just false."""
BETTER = {"kl": {"kl_weight": 0.05}, "alignment": {"prompt_alignment_weight": 0.05}, "decode": {"decode_weight": 0.1},
          "adapter": {"injection": "adapter"}}  # fmt: skip
WORSE = {"small": {"soft_tokens": 2}, "unsupervised": {"answer_nll_weight": 0.0}}
SWAPPED = {"source": "lab/pairs/mini/target", "target": "lab/pairs/mini/source"}
CELLS = ("lore/long/held_out", "lore/short/held_out", "lore/long/seen")
LOOKS, DEV_QUESTIONS = 6, 1319
FALL = 0.10  # of the last look on dev, where there is no effect: just what the claim excludes


@dataclass(frozen=True)
class Truth:
    """What is true in a world: latent's `accuracy`, and by how much (`effect`) every claim of the family is true.

    `weak`: rivals that no claim hangs on are far below. At effect 0 no claim is true, and none by more than chance.
    """

    accuracy: float
    effect: float = 0.0
    weak: bool = False

    def arms(self) -> dict[str, float]:
        low = {arm: self.accuracy / 3 for arm in RIVALS} if self.weak else {}
        return dict.fromkeys(RIVALS, self.accuracy - self.effect) | {
            arm: value for arm, value in low.items() if arm not in STRONG
        } | {"latent": self.accuracy}  # fmt: skip


def simulate(rng: np.random.Generator, questions: Questions, truth: Truth, seeds: int) -> Evidence:
    """All the runs that the family of claims asks for, `seeds` of each recipe, as one world has them."""
    rows, flat = _rows(rng, questions, truth), RunConfig().parameters() | {"layout": "soft_only"}

    def recipe(changed: Mapping, answers: Mapping[str, np.ndarray], last: float) -> list[SimulatedRun]:
        return [
            SimulatedRun(Path(f"{'-'.join(changed) or 'main'}-{seed}"), flat | changed | {"seed": seed}, rows,
                         answers={arm: found[seed] for arm, found in answers.items()},
                         looks=_looks(rng, truth.accuracy, last))
            for seed in range(seeds)
        ]  # fmt: skip

    def latent(accuracy: float) -> dict[str, np.ndarray]:
        return {"latent": questions.trained(rng, common, accuracy, seeds)}

    p, effect, common = truth.accuracy, truth.effect, questions.common(rng)
    main = questions.answers(rng, truth.arms(), seeds, common)
    last = p - max(FALL - effect / 2, 0.0)
    runs = recipe({}, main, last)
    for changed in BETTER.values():
        runs += recipe(changed, latent(min(p + effect, 1 - 1e-9)), min(last + effect, 1.0))
    for changed in WORSE.values():
        runs += recipe(changed, latent(p - effect), last)
    swapped = latent(p - effect) | {"target": np.tile(questions.frozen(rng, common, p - effect), (seeds, 1))}
    runs += recipe(SWAPPED, swapped, last)
    other = {arm: main[arm] for arm in ("source", "target", "latent")}
    return Evidence(tuple(runs + recipe({"task": "hotpotqa"}, other, last)))


def _rows(rng: np.random.Generator, questions: Questions, truth: Truth) -> list[dict]:
    """One record for each question, shared by all runs: what it is, and how many tokens the target read."""
    words, arms = questions.word, {arm: {} for arm in RIVALS}
    saved = rng.integers(-20, 21, len(questions)) + round(10 * truth.effect)
    return [
        {"id": str(i), "question": f"question {i}", "gold": "", "cell": CELLS[words[i] % len(CELLS)],
         "word": f"word {words[i]}",
         "arms": arms | {"target": {"prompt_tokens": 60 + int(saved[i])},
                         "latent": {"prompt_tokens": 52, "soft_tokens": 8, "context_aware": False}}}
        for i in range(len(questions))
    ]  # fmt: skip


def _looks(rng: np.random.Generator, peak: float, last: float) -> dict[int, tuple[float, int]]:
    """Evaluations on dev as training logs them: up to the peak, and to the last one."""
    path = np.clip([peak / 2] + [peak] * (LOOKS - 2) + [last], 0, 1)
    return {step: (float(rng.binomial(DEV_QUESTIONS, share)) / DEV_QUESTIONS, DEV_QUESTIONS)
            for step, share in enumerate(path)}  # fmt: skip
