"""What to change in a job that does not fit: tried in the estimate, one change at a time, then together.

First what changes no result, then precision, then what makes another experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.config import RANDOM, RunConfig
from lab.errors import LabError
from lab.preflight.estimate import Work
from lab.preflight.gpus import GPU


def changes(parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Changes that a job's notebook knows, in the order in which they are tried."""
    config = RunConfig.from_notebook(parameters)
    pair, training, evaluation = config.pair, config.training, config.evaluation
    wanted: list[dict[str, Any]] = []
    size = evaluation.eval_batch_size
    while size > 1:
        size //= 2
        wanted.append({"eval_batch_size": size})
    if not pair.source_leaves:
        wanted.append({"source_leaves": True})
    if not pair.fused_kernels:
        wanted.append({"fused_kernels": True})
    if pair.dtype == "float32":
        wanted.append({"dtype": "bfloat16"})
    size = training.batch_size
    while size > 1:
        size //= 2
        wanted.append({"batch_size": size})
    if not pair.models[1].startswith(RANDOM):
        wanted += [{"target_bits": bits} for bits in (8, 4) if not pair.target_bits or bits < pair.target_bits]
    if pair.source_layers == "all":
        wanted.append({"source_layers": "middle"})
    yield from (one for one in wanted if all(name in parameters for name in one))


def advice(notebook: str, parameters: Mapping[str, Any], work: Work, gpus: Sequence[GPU]) -> str:
    """One sentence: the first change with which the job fits on one of `gpus`; else all of them together, without
    those that are not needed; else how much memory it takes."""

    def fitting(changed: Mapping[str, Any]) -> GPU | None:
        tried = Work.of(notebook, {**parameters, **changed}, work.main.workload)
        return next((gpu for gpu in gpus if tried.on(gpu).fits), None)

    together: dict[str, Any] = {}
    for change in changes(parameters):
        if gpu := fitting(change):
            return _said(work, gpus, change, gpu)
        together |= change
    if gpu := fitting(together):
        for name in reversed(list(together)):
            fewer = {other: value for other, value in together.items() if other != name}
            together = fewer if fitting(fewer) else together
        for name in ("eval_batch_size", "batch_size"):  # no smaller than they have to be
            while (
                name in together
                and together[name] * 2 <= parameters[name]
                and fitting(together | {name: together[name] * 2})
            ):
                together |= {name: together[name] * 2}
        return _said(work, gpus, together, fitting(together) or gpu)
    least = Work.of(notebook, {**parameters, **together}, work.main.workload).on(gpus[0])
    return _begin(work, gpus) + (
        f", and {_written(together)} would still leave {least.needed_gib:.1f} GiB; choose smaller models or a larger "
        "GPU."
    )


def _begin(work: Work, gpus: Sequence[GPU]) -> str:
    best = max(gpus, key=lambda gpu: gpu.usable)
    needed = work.on(best).needed_gib
    return f"the job needs about {needed:.1f} GiB and {best.name} has {best.usable:.1f} for it"


def _said(work: Work, gpus: Sequence[GPU], change: Mapping[str, Any], gpu: GPU) -> str:
    return f"{_begin(work, gpus)}; set {_written(change)}, with which it fits on {gpu.name}."


def _written(change: Mapping[str, Any]) -> str:
    """As parameters are written."""
    texts = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in change.items()]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts) if texts else "nothing"


def check_fits(notebook: str, parameters: Mapping[str, Any], work: Work, gpus: Sequence[GPU]) -> None:
    """Raise LabError, which says what to change, unless the job fits on one of `gpus`."""
    if not any(work.on(gpu).fits for gpu in gpus):
        raise LabError(advice(notebook, parameters, work, gpus))
