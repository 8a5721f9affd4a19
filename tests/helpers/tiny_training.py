"""A training that takes a fraction of a second, and what it leaves."""

import hashlib
from pathlib import Path

from lab.config import RunConfig
from lab.runs import RunDirectory

BASE = dict(steps=6, batch_size=4, warmup_steps=2, learning_rate=1e-2, soft_tokens=2, width=16, depth=1, heads=2,
            dropout=0.2, eval_every=3)  # fmt: skip


def config(**changes) -> RunConfig:
    return RunConfig.from_parameters(name="run", **{**BASE, **changes})


def fresh(path: Path, settings: RunConfig) -> RunDirectory:
    """The run at `path`, begun or resumed."""
    return RunDirectory.create(path, settings, resume=path.exists())


def scores(*values):
    """An evaluation that gives these accuracies in turn."""
    remaining = iter(values)
    return lambda translator, step: {"accuracy": next(remaining), "n": 2}


def weights_of(module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
