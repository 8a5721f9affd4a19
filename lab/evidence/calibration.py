"""Do intervals cover, and do verdicts err, as often as they say? Measured in worlds whose truth is known.

    python -m lab.evidence.calibration benchmarks/calibration.json     # twenty minutes of one core, shared by all

writes the figures, each with its Monte Carlo error, and the same as a page beside them. Every figure has random
numbers of its own, so how many cores there are changes none.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np

from lab.evidence.claims import CLAIMS, Claim
from lab.evidence.comparisons import WORTH, NotRun, of_numbers, of_shares, of_values
from lab.evidence.crossed import proportion
from lab.evidence.hypotheses import Arms, CacheSaved, Collapse, Degradation, Direction, Setting
from lab.evidence.summary import ORACLE
from lab.evidence.verdicts import NOT_RUN, REFUTED, SUPPORTED, judge
from lab.evidence.worlds import SIZES, Questions, Truth, simulate
from lab.progress import tqdm
from lab.runs import write_text

ACCURACIES = (0.01, 0.5, 0.98)
BESIDE = {0.01: 0.02, 0.5: 0.45, 0.98: 0.96}  # the accuracy of what is compared with it
KINDS = {Arms: "arms of one recipe", Setting: "one setting", Direction: "direction", Collapse: "end of training",
         Degradation: "fall on dev", CacheSaved: "tokens cached"}  # fmt: skip
# What is true of every claim, and the verdict that would then be wrong.
FALSE = {
    "no effect": (lambda p: Truth(p), SUPPORTED),
    "just false": (lambda p: Truth(p, weak=True), SUPPORTED),
    "true by a point": (lambda p: Truth(p + WORTH, WORTH), REFUTED),
}
# What is true, and the verdict that should be found.
TRUE = {
    "20 points": (Truth(0.6, 0.2), SUPPORTED),
    "10 points": (Truth(0.6, 0.1), SUPPORTED),
    "20 points the other way": (Truth(0.4, -0.2), REFUTED),
}


def share(hits: int, of: int) -> dict:
    """{"share", "error" (one Monte Carlo standard error, counting a hit and a miss more), "of"}."""
    p = (hits + 1) / (of + 2)
    return {"share": hits / of if of else None, "error": sqrt(p * (1 - p) / (of + 2)), "of": of}


def _accuracy(word: list[str], one: np.ndarray, *_: np.ndarray) -> Mapping:
    return proportion(one, word)


def _difference(word: list[str], one: np.ndarray, target: np.ndarray, *_: np.ndarray) -> Mapping:
    return vars(of_values("", one, target, word))


def _gaps(word: list[str], one: np.ndarray, target: np.ndarray, two: np.ndarray, swapped: np.ndarray) -> Mapping:
    return vars(of_numbers("", one - target - two + swapped, word, WORTH))


INTERVALS: dict[str, Callable[..., Mapping]] = {
    "accuracy": _accuracy, "difference of two": _difference, "difference of differences": _gaps,
}  # fmt: skip


def coverage(questions: Questions, seeds: int, accuracy: float, worlds: int, rng: np.random.Generator) -> dict:
    """How often 95 % intervals hold the truth, and how often there is none.

    {interval: {"share", "error", "of" (worlds that gave one), "refused" (the share that gave none)}}.
    """
    word, other = [f"word {i}" for i in questions.word], BESIDE[accuracy]
    held = {name: [] for name in INTERVALS}
    for _ in range(worlds):
        common = questions.common(rng)
        one, two = (questions.trained(rng, common, p, seeds) * 1.0 for p in (accuracy, other))
        target, swapped = (np.tile(questions.frozen(rng, common, other), (seeds, 1)) * 1.0 for _ in range(2))
        for name, interval in INTERVALS.items():
            truth = accuracy if name == "accuracy" else accuracy - other
            try:
                found = interval(word, one, target, two, swapped)
            except NotRun:
                continue
            held[name].append(found["low"] <= truth + 1e-9 and truth <= found["high"] + 1e-9)
    return {name: share(sum(hits), len(hits)) | {"refused": 1 - len(hits) / worlds} for name, hits in held.items()}


ON_DEV = (100, 1319)  # questions of a look
TEST_SPLIT = (1,) * 527 + (4,) * 198  # nearly minigsm's: two fifths of the questions ask about no word
SEEDS_APART = 0.3  # three times as far as elsewhere: at 50 %, two seeds differ by 8.5 points on average
APART = 600  # of the seeds' true accuracies on dev, drawn from a beta distribution: 2 points at 50 %


def coverage_on_dev(n: int, seeds: int, accuracy: float, worlds: int, rng: np.random.Generator) -> dict:
    """The same of the gap between two accuracies in the log of training, where no answers are kept to be paired."""
    other, hits = BESIDE[accuracy], 0

    def right(p: float) -> list[int]:
        return rng.binomial(n, rng.beta(APART * p, APART * (1 - p), seeds) if seeds > 1 else [p]).tolist()

    for _ in range(worlds):
        pairs = zip(right(accuracy), right(other), strict=True)
        found = of_shares("", [(k, n, j, n) for k, j in pairs], 0.0, {})
        hits += found.low <= accuracy - other <= found.high
    return share(hits, worlds) | {"refused": 0.0}


def judged_worlds(
    questions: Questions, truth: Truth, seeds: int, worlds: int, rng: np.random.Generator
) -> Iterator[dict[str, str]]:
    """Of each world the verdict on every claim of the family, by key."""
    for _ in range(worlds):
        judged = judge(simulate(rng, questions, truth, seeds))
        yield {row["key"]: row["verdict"] for row in judged["claims"]}


def is_known(claim: Claim, wrong: str) -> bool:
    """Whether `wrong` would be wrong: a router between equal models is above them, so that latent is below it holds."""
    return wrong == SUPPORTED or not (isinstance(claim.test, Arms) and ORACLE in claim.test.worse)


def family_error(found: Sequence[Mapping[str, str]], wrong: str) -> dict:
    """How many worlds have any wrong verdict; "refused": the share of claims that were not run."""
    known = [claim.key for claim in CLAIMS if is_known(claim, wrong)]
    hits = sum(any(verdicts[key] == wrong for key in known) for verdicts in found)
    refused = sum(verdict == NOT_RUN for verdicts in found for verdict in verdicts.values())
    return share(hits, len(found)) | {"refused": refused / len(found) / len(CLAIMS)}


def power(found: Sequence[Mapping[str, str]], right: str) -> dict[str, dict]:
    """By kind of claim: how many of its verdicts are the right one, and how many were refused."""
    rows = {}
    for kind, name in KINDS.items():
        keys = [claim.key for claim in CLAIMS if isinstance(claim.test, kind) and is_known(claim, REFUTED)]
        verdicts = [world[key] for world in found for key in keys]
        refused = verdicts.count(NOT_RUN) / len(verdicts)
        # the claims of one world share its answers: the worlds are what is counted
        rows[name] = share(round(verdicts.count(right) / len(keys)), len(found)) | {"refused": refused}
    return rows


def _coverage(place: tuple, worlds: int, seed: int) -> list[dict]:
    number, (words, seeds, accuracy) = place
    rng = np.random.default_rng([seed, 0, number])
    found = coverage(Questions(SIZES[words]), seeds, accuracy, worlds, rng)
    cell = {"words": words, "seeds": seeds, "accuracy": accuracy}
    return [{"interval": name} | cell | row for name, row in found.items()]


def _coverage_apart(place: tuple, worlds: int, seed: int) -> list[dict]:
    number, (seeds, accuracy) = place
    questions, rng = Questions(TEST_SPLIT, SEEDS_APART), np.random.default_rng([seed, 4, number])
    cell = {"words": "1 319 questions, seeds far apart", "seeds": seeds, "accuracy": accuracy}
    return [{"interval": name} | cell | row for name, row in coverage(questions, seeds, accuracy, worlds, rng).items()]


def _coverage_on_dev(cell: tuple, worlds: int, seed: int) -> list[dict]:
    number, (n, seeds, accuracy) = cell
    row = coverage_on_dev(n, seeds, accuracy, worlds, np.random.default_rng([seed, 3, number]))
    return [{"interval": "gap on dev", "words": f"none, {n} questions", "seeds": seeds, "accuracy": accuracy} | row]


def _verdicts(truth: Truth, seeds: int, worlds: int, rng: np.random.Generator) -> list[dict[str, str]]:
    """Verdicts in worlds, half of them with words of equal size and half of unequal."""
    gc.freeze()  # statsmodels' Holm collects garbage at every call: what is there need not be looked through again
    halves = [Questions(SIZES[words]) for words in ("equal", "unequal")]
    return [row for half in halves for row in judged_worlds(half, truth, seeds, worlds // 2, rng)]


def _family(cell: tuple, worlds: int, seed: int) -> list[dict]:
    number, (name, seeds, accuracy) = cell
    truth, wrong = FALSE[name]
    found = _verdicts(truth(accuracy), seeds, worlds, np.random.default_rng([seed, 1, number]))
    return [{"truth": name, "wrong": wrong, "seeds": seeds, "accuracy": accuracy} | family_error(found, wrong)]


def _power(cell: tuple, worlds: int, seed: int) -> list[dict]:
    number, (name, seeds) = cell
    truth, right = TRUE[name]
    found = power(_verdicts(truth, seeds, worlds, np.random.default_rng([seed, 2, number])), right)
    return [{"effect": name, "right": right, "claims": kind, "seeds": seeds} | row for kind, row in found.items()]


def measure(worlds: int = 2000, families: int = 200, seed: int = 1) -> dict:
    """The whole table: {"coverage", "family", "power"}, each a list of flat rows.

    `worlds`: for each row of coverage; `families`: worlds for each row of verdicts.
    """
    parts = [
        ("family", _family, product(FALSE, (1, 3), ACCURACIES), families),
        ("power", _power, product(TRUE, (1, 3)), families),
        ("coverage", _coverage, product(SIZES, (1, 2, 3), ACCURACIES), worlds),
        ("coverage", _coverage_apart, product((2, 3), ACCURACIES), worlds),
        ("coverage", _coverage_on_dev, product(ON_DEV, (1, 2, 3), ACCURACIES), worlds),
    ]
    found: dict[str, list[dict]] = {"coverage": [], "family": [], "power": []}
    with ProcessPoolExecutor() as pool:
        asked = [
            (part, pool.submit(simulated, cell, count, seed))
            for part, simulated, cells, count in parts for cell in enumerate(cells)
        ]  # fmt: skip
        for part, answer in tqdm(asked, desc="worlds", unit="figure"):
            found[part] += answer.result()
    return found


def together(rows: Sequence[Mapping]) -> dict:
    """Several rows of worlds as one."""
    of = sum(row["of"] for row in rows)
    found = share(round(sum((row["share"] or 0) * row["of"] for row in rows)), of)
    return found | {"refused": sum(row["refused"] for row in rows) / len(rows)}


def _shown(row: Mapping) -> str:
    return "none given" if row["share"] is None else f"{100 * row['share']:.1f} ± {100 * row['error']:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _grouped(rows: Sequence[Mapping], *keys: str) -> dict[tuple, list[Mapping]]:
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def page(found: Mapping) -> str:
    """The figures as Markdown, in per cent."""
    at = [f"at {100 * accuracy:.0f} %" for accuracy in ACCURACIES]
    covered = [
        [name, words, str(seeds), *map(_shown, rows), f"{100 * together(rows)['refused']:.1f}"]
        for (name, words, seeds), rows in _grouped(found["coverage"], "interval", "words", "seeds").items()
    ]
    wrong = [
        [truth, verdict, str(seeds), *map(_shown, rows), f"**{_shown(together(rows))}**",
         f"{100 * together(rows)['refused']:.1f}"]
        for (truth, verdict, seeds), rows in _grouped(found["family"], "truth", "wrong", "seeds").items()
    ]  # fmt: skip
    right = [
        [effect, verdict, str(seeds), *map(_shown, rows), f"{100 * together(rows)['refused']:.1f}"]
        for (effect, verdict, seeds), rows in _grouped(found["power"], "effect", "right", "seeds").items()
    ]
    coverages, families, powers = (found[name][0]["of"] for name in ("coverage", "family", "power"))
    return PAGE.format(
        coverages=coverages, families=families, powers=powers, claims=len(CLAIMS), sizes=_sizes(),
        coverage=_table(["interval", "words", "seeds", *at, "refused"], covered),
        family=_table(["every claim is", "wrong verdict", "seeds", *at, "together", "refused"], wrong),
        power=_table(["effect", "right verdict", "seeds", *KINDS.values(), "refused"], right),
    )  # fmt: skip


def _sizes() -> str:
    return "; ".join(
        f"*{name}*, {len(sizes)} of {' to '.join(map(str, sorted({min(sizes), max(sizes)})))} questions"
        for name, sizes in SIZES.items()
    )


PAGE = """# Calibration

Made by `python -m lab.evidence.calibration benchmarks/calibration.json`. Every figure is a share of simulated worlds in
per cent, with one Monte Carlo standard error. In each world the true accuracies are known; questions are hard for every
arm, words are carried well or badly, seeds differ as a whole and word by word. Words: {sizes}.

## How often 95 % intervals hold the truth

{coverages} worlds a figure. *At 1 %*: the true accuracy of the arm in question. *Refused*: worlds in which no interval
is given, because no question differs from another. Two seeds are the fewest that a claim about a setting takes; how far
they lie apart is then known from a single difference, and where there are many questions and seeds lie far apart (8.5
points on average at 50 %), intervals of two seeds fall short of the 93 % that all others keep: take three.

{coverage}

## How often any claim of the family gets a wrong verdict

All {claims} claims judged in {families} worlds a figure, Holm over the family; half of the worlds have words of equal
size, half of unequal. *No effect*: every arm, recipe and look is as good as every other. *Just false*: one rival
of each claim is as good as latent and the others are far below it. *True by a point*: the smallest effect worth a
sentence, so no claim may be refuted. *Refused*: the share of claims not run (a run at 1 % cannot fall by ten points).

{family}

## How often a true claim is found

{powers} worlds a figure, latent right in 60 % (40 % where the effect is the other way). With one seed no claim about a
setting is decided. *Fall on dev*: the last look is as good as the peak, 5 points below it, and 20 points below it.

{power}
"""


def main(path: str) -> None:
    """Measure, and write the figures to `path` and the page beside it."""
    found = measure()
    write_text(path, json.dumps(found, indent=1) + "\n")
    write_text(Path(path).with_suffix(".md"), page(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
