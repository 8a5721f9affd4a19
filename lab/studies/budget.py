"""Equal budget: the control that costs what the translator costs, and the checks that it really did.

A control says something only if it had the same steps, batches, rates and losses. That is checked when its config is
made, when it has been trained (the rates that the steps were really taken with), and when it is read from a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

from lab.answers import TEXT_TUNED
from lab.config import NOT_SCIENTIFIC, RunConfig
from lab.errors import LabError

# What a control need not share with the run it is compared with: what it reads, where it ran, when it was looked at.
MAY_DIFFER = {
    *NOT_SCIENTIFIC, "pair", "source", "target", "source_layers", "seed", "dev_questions", "test_questions",
    "max_new_tokens", "eval_every", "patience",
}  # fmt: skip
OF_THE_SOURCE = {"translator", "soft_tokens", "teacher", "duplicate_question", "flow_weight", "geometry_weight"}
OF_THE_LAYOUT = {"layout", "injection", "adapter_scale", "question_until"}
# Trained prompts that bound what soft tokens can tell, and what differs in them. They may have more steps than the
# translator and a higher rate, as long as they get better by them: one that was trained too little would flatter it.
PROMPTS = {
    "latent_constant": OF_THE_SOURCE - {"soft_tokens"},
    TEXT_TUNED: OF_THE_SOURCE - {"soft_tokens"} | OF_THE_LAYOUT,
}


def constant_config(chosen: RunConfig, steps: int = 0, learning_rate: float = 0.0) -> RunConfig:
    """`chosen` with a constant prompt in the translator's place: same batches, layout, losses, and soft tokens, as many
    steps (`steps`, if those are more) at its learning rate (`learning_rate`, if that is higher: a prompt's few vectors
    are learned best at rates at which a network diverges, Lester et al. 2021).

    What has no meaning without a source goes: the flow, geometry, and a number of soft tokens that follows the source's
    (the most there may be stands for it). Raises LabError if no loss is left.
    """
    most = chosen.translator.soft_tokens or chosen.translator.soft_tokens_cap
    without = {"translator": "constant", "soft_tokens": most, "flow_weight": 0.0, "geometry_weight": 0.0,
               "steps": max(steps, chosen.training.steps),
               "learning_rate": max(learning_rate, chosen.training.learning_rate)}  # fmt: skip
    if not chosen.losses.token_alignment_weight:
        without |= {"teacher": "none", "duplicate_question": False}
    try:
        return chosen.replace(**without)
    except LabError as error:
        raise LabError(f"the control, a constant prompt, cannot be trained so; set control=false ({error})") from None


def text_tuned_config(chosen: RunConfig, steps: int = 0, learning_rate: float = 0.0) -> RunConfig:
    """The same prompt beside the question's text: as many soft tokens, and nothing from the source.

    Raises LabError where `chosen` has the text beside its soft tokens already: there the constant prompt is that arm.
    """
    layout = chosen.layout
    if layout.at().context_aware and layout.injection == "prepend":
        raise LabError(
            f"layout={layout.layout!r} has the question's text beside the soft tokens, so the constant prompt is tuned "
            "beside the text already; set text_tuned=false."
        )
    return constant_config(
        chosen.replace(layout="soft_plus_text", injection="prepend", question_until=0, teacher="none",
                       flow_weight=0.0, token_alignment_weight=0.0, duplicate_question=False), steps, learning_rate
    )  # fmt: skip


def check_equal_budget(config: RunConfig, control: RunConfig, arm: str) -> None:
    """Raise LabError unless `control` is to be trained as `config` is, in all that is not of `MAY_DIFFER`.

    A trained prompt may lack what has no meaning without a source, but has as many soft tokens, as many steps or more,
    and the same learning rate or a higher one.
    """
    ours, theirs, ignored = config.parameters(), control.parameters(), MAY_DIFFER | PROMPTS.get(arm, set())
    if arm in PROMPTS:
        ours["soft_tokens"] = ours["soft_tokens"] or ours["soft_tokens_cap"]
        ignored = ignored | {name for name in ("steps", "learning_rate") if theirs[name] > ours[name]}
    for name in ours:
        if name not in ignored and ours[name] != theirs[name]:
            raise LabError(
                f"control {arm} was trained with {name}={theirs[name]!r}, the translator with {ours[name]!r}; "
                "retrain it at equal budget."
            )


def beyond(config: RunConfig, control: RunConfig) -> dict:
    """What `check_same_rates` has to know of a control that was given more than the translator."""
    ours, theirs = config.training, control.training
    return {"longer": theirs.steps > ours.steps, "times": theirs.learning_rate / ours.learning_rate}


def check_same_rates(
    ours: Sequence[Mapping], theirs: Sequence[Mapping], arm: str, longer: bool = False, times: float = 1.0
) -> None:
    """Raise LabError unless the control's steps were taken at `times` the translator's learning rates: two
    `metrics.jsonl`.

    A config says what was asked for, the metrics what was done. Of runs that logged no steps nothing is said. `longer`:
    the control was to have more steps, so that its rate falls later: then the highest ones have to agree.
    """
    rates, others = ({row["step"]: row["lr"] for row in rows if row.get("kind") == "step"} for rows in (ours, theirs))
    rates = {step: rate * times for step, rate in rates.items()}
    if longer and rates and others:
        rates, others = ({0: max(found.values())} for found in (rates, others))
    for step, rate in others.items():
        if not isclose(rate, rates.get(step, rate), rel_tol=1e-9):
            when = f"step {step}" if step else "its fastest step"
            raise LabError(
                f"control {arm} took {when} at learning rate {rate:.3g}, where {rates[step]:.3g} was due; retrain "
                "it at equal budget."
            )
