"""Hypotheses about likelihood: one arm, or one recipe, makes the gold answers likelier than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.evidence.comparisons import Comparison, NotRun, need_arms, of_numbers
from lab.evidence.likelihood import NATS, NATS_WORTH, gold, has_likelihoods
from lab.evidence.read import Evidence, Run, rows_of


@dataclass(frozen=True)
class Likelier:
    """`better` makes the gold answers likelier than every arm of `worse`: nats per token, question against question.

    `beside_text`: in the first recipe whose target reads the question beside the soft tokens, or that does not.
    """

    better: str
    worse: tuple[str, ...]
    beside_text: bool = False

    @property
    def needs(self) -> str:
        where = "with" if self.beside_text else "without"
        return f"arms {', '.join((self.better, *self.worse))} in a run {where} the question's text beside soft tokens"

    def compare(self, evidence: Evidence) -> list[Comparison]:
        fitting = [runs for runs in evidence.recipes() if runs[0].context_aware() == self.beside_text]
        if not fitting:
            raise NotRun(f"no run {self.needs.partition(' in a run ')[2]} was given")
        need_arms(fitting[0], (self.better, *self.worse))
        need_likelihoods(fitting[0], (self.better, *self.worse))
        return [likelier(fitting[0], self.better, arm) for arm in self.worse]


def need_likelihoods(runs: Sequence[Run], arms: Sequence[str]) -> None:
    """Raise NotRun unless the records of every run say how likely each arm finds the gold answers."""
    for run in runs:
        if silent := [arm for arm in arms if not has_likelihoods(run.records, arm)]:
            raise NotRun(
                f"the records of run {run.name} say nothing of the gold answers' likelihood in arm {silent[0]}"
            )


def likelier(runs: Sequence[Run], better: str, worse: str) -> Comparison:
    """What the gold answers cost less in `better` than in `worse`, in nats per token."""
    by_seed, clusters = [run.records for run in runs], rows_of(runs).clusters
    ours, theirs = (gold(by_seed, arm) for arm in (better, worse))
    saved = (theirs - ours) / gold(by_seed, better, "gold_tokens").mean()
    return of_numbers(f"{worse} - {better}", saved, clusters, NATS_WORTH, unit=NATS).of(runs)


def likelier_in(label: str, some: Sequence[Run], others: Sequence[Run]) -> Comparison:
    """What the gold answers cost less in the latent arm of `some` than of `others`, seed against seed."""
    rows = rows_of([*some, *others])
    ours, theirs = (gold([run.records for run in side], "latent", ids=rows.ids) for side in (some, others))
    saved = (theirs - ours) / gold([some[0].records], "latent", "gold_tokens").mean()
    return of_numbers(label, saved, rows.clusters, NATS_WORTH, unit=NATS).of([*some, *others])
