"""Evaluations in one line, for tests: the bridges by name, the pair's own source."""

import pytest

from lab.answers import Evaluation, evaluate
from lab.translators import Bridge


def evaluation_of(config, pair, task, questions, translator=None, constant=None, controls=None, **given) -> Evaluation:
    """`translator`, `constant`: modules on the pair's source; `controls`: bridges by arm."""
    modules = {"latent": translator, "latent_constant": constant}
    bridges = {arm: Bridge(pair.source, module) for arm, module in modules.items() if module is not None}
    return Evaluation(config, pair, task, questions, {**bridges, **(controls or {})}, progress=False, **given)


def evaluated(config, pair, task, questions, arms=None, cache_dir=None, **given) -> list[dict]:
    """The records of `evaluation_of`."""
    return evaluate(evaluation_of(config, pair, task, questions, **given), arms, cache_dir=cache_dir)


def alike(records) -> list[dict]:
    """Records to be compared with others of another batch: a likelihood is a float, and rounds by what stands beside
    it; all else has to be equal."""
    return [row | {"arms": {arm: alike_arm(answer) for arm, answer in row["arms"].items()}} for row in records]


def alike_arm(answer: dict) -> dict:
    return answer | {"gold_nats": pytest.approx(answer["gold_nats"], rel=1e-4, abs=1e-3)}
