"""AdamW over a translator's parameters, and the learning rate over the steps."""

import torch
from torch import nn

from lab.config import TrainConfig


def schedule(step: int, config: TrainConfig) -> float:
    """The learning rate's factor at `step` (from 0): linear warm-up, then linear decay to zero at the end."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    return (config.steps - step) / max(1, config.steps - config.warmup_steps)


def build_optimizer(translator: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW. Gates learn faster and are not decayed; neither are norms, biases and the learned vectors."""
    gates = [p for name, p in translator.named_parameters() if name.endswith("_gate")]
    matrices = [p for name, p in translator.named_parameters() if p.ndim == 2 and name.endswith("weight")]
    known = {id(p) for p in gates + matrices}
    rest = [p for p in translator.parameters() if id(p) not in known]
    rate = config.learning_rate
    groups = [
        {"params": matrices, "lr": rate, "weight_decay": config.weight_decay},
        {"params": rest, "lr": rate, "weight_decay": 0.0},
        {"params": gates, "lr": rate * config.gate_learning_rate_scale, "weight_decay": 0.0},
    ]
    groups = [group | {"peak_lr": group["lr"]} for group in groups if group["params"]]
    return torch.optim.AdamW(groups, fused=next(translator.parameters()).is_cuda)
