"""Evaluations in one line, for tests: the bridges by name, the pair's own source."""

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
