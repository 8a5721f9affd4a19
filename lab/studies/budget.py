"""Equal budget: the control that costs what the translator costs, and the checks that it really did.

A control says something only if it had the same steps, batches, rates and losses. That is checked when its config is
made, when it has been trained (the rates that the steps were really taken with), and when it is read from a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.config import NOT_SCIENTIFIC, RunConfig
from lab.errors import LabError

# What a control need not share with the run it is compared with: what it reads, where it ran, when it was looked at.
MAY_DIFFER = {
    *NOT_SCIENTIFIC, "pair", "source", "target", "source_layers", "seed", "dev_questions", "test_questions",
    "max_new_tokens", "eval_every", "patience",
}  # fmt: skip
OF_THE_SOURCE = {"translator", "soft_tokens", "teacher", "duplicate_question", "flow_weight", "geometry_weight"}


def constant_config(chosen: RunConfig) -> RunConfig:
    """`chosen` with a constant prompt in the translator's place: same steps, batches, layout, losses, and soft tokens.

    What has no meaning without a source goes: the flow, geometry, and a number of soft tokens that follows the source's
    (the most there may be stands for it). Raises LabError if no loss is left.
    """
    most = chosen.translator.soft_tokens or chosen.translator.soft_tokens_cap
    without = {"translator": "constant", "soft_tokens": most, "flow_weight": 0.0, "geometry_weight": 0.0}
    if not chosen.losses.token_alignment_weight:
        without |= {"teacher": "none", "duplicate_question": False}
    try:
        return chosen.replace(**without)
    except LabError as error:
        raise LabError(f"the control, a constant prompt, cannot be trained so; set control=false ({error})") from None


def check_equal_budget(config: RunConfig, control: RunConfig, arm: str) -> None:
    """Raise LabError unless `control` is to be trained as `config` is, in all that is not of `MAY_DIFFER`.

    A constant prompt may lack what has no meaning without a source, but has as many soft tokens.
    """
    ours, theirs, ignored = config.parameters(), control.parameters(), MAY_DIFFER
    if arm == "latent_constant":
        ours["soft_tokens"] = ours["soft_tokens"] or ours["soft_tokens_cap"]
        ignored = MAY_DIFFER | OF_THE_SOURCE - {"soft_tokens"}
    for name in ours:
        if name not in ignored and ours[name] != theirs[name]:
            raise LabError(
                f"control {arm} was trained with {name}={theirs[name]!r}, the translator with {ours[name]!r}; "
                "retrain it at equal budget."
            )


def check_same_rates(ours: Sequence[Mapping], theirs: Sequence[Mapping], arm: str) -> None:
    """Raise LabError unless the control's steps were taken at the translator's learning rates: two `metrics.jsonl`.

    A config says what was asked for, the metrics what was done. Of runs that logged no steps nothing is said.
    """
    rates = {row["step"]: row["lr"] for row in ours if row.get("kind") == "step"}
    for row in theirs:
        if row.get("kind") == "step" and row["step"] in rates and row["lr"] != rates[row["step"]]:
            raise LabError(
                f"control {arm} took step {row['step']} at learning rate {row['lr']:.3g}, the translator at "
                f"{rates[row['step']]:.3g}; retrain it at equal budget."
            )
