"""Controls that are trained themselves: what a run left, as a bridge, once its budget is known to be the same.

Each is an ordinary training run (`papermill_jobs/controls/`) that differs from the main one in what the translator
reads: nothing (latent_constant; text_tuned, beside the text), a source with random weights, one that was pretrained
without lore, or the target's own states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.answers import RETRAINED, TEXT_TUNED
from lab.config import RANDOM, RunConfig, short_name
from lab.errors import LabError
from lab.models import Pair, load_pair
from lab.places import MINI
from lab.runs import RunDirectory
from lab.studies.budget import PROMPTS, beyond, check_equal_budget, check_same_rates, constant_config, text_tuned_config
from lab.studies.measured import as_it_runs_here, trained_config
from lab.training import check_translator
from lab.translators import Bridge, load_translator

__all__ = ["check_source", "control_config", "load_bridge", "load_controls", "trained_folder"]

NO_LORE = "no_lore_source"  # the folder beside the embedded pair's models, once it is built


def control_config(config: RunConfig, arm: str, no_lore: str | Path = MINI / NO_LORE) -> RunConfig:
    """The config of the run that trains `arm` of `RETRAINED` at the budget of `config`.

    `no_lore`: the folder of the source that was pretrained without lore. Raises LabError for another arm.
    """
    if arm == "latent_constant":
        return constant_config(config).replace(name=f"{config.name}_constant")
    if arm == TEXT_TUNED:
        return text_tuned_config(config).replace(name=f"{config.name}_{arm}")
    source, target = config.pair.models
    sources = {
        "latent_random_source": RANDOM + source.removeprefix(RANDOM),
        "latent_no_lore_source": str(no_lore),
        "latent_target_source": target,
    }
    if arm not in sources:
        raise LabError(f"arm {arm!r} is no retrained control; choose one of {', '.join(RETRAINED)}.")
    name = f"{config.name}_{arm.removeprefix('latent_')}"
    return config.replace(name=name, source=sources[arm])


def trained_folder(folder: str | Path) -> Path:
    """Where the weights of a run, or of a bare translator folder, lie.

    Raises LabError if there are none, or if they are no longer those that training saved.
    """
    folder = Path(folder)
    for place in (folder, folder / "checkpoints" / "best", folder / "checkpoints" / "last"):
        if (place / "translator.json").is_file():
            check_translator(place)
            return place
    raise LabError(f"{folder} holds no trained translator; give a run that was trained, or a translator's folder.")


def check_source(config: RunConfig, control: RunConfig, arm: str) -> None:
    """Raise LabError unless `control` was trained for the target of `config`, on the source that `arm` is named for."""
    (source, target), (read, answers) = (map(short_name, run.pair.models) for run in (config, control))
    named = {
        **dict.fromkeys(PROMPTS, True),  # they read nothing
        "latent_random_source": read == RANDOM + source.removeprefix(RANDOM),
        "latent_no_lore_source": read not in (source, target) and not read.startswith(RANDOM),
        "latent_target_source": read == target,
    }
    if arm in PROMPTS and (control.translator.translator, control.layout.at().context_aware) != (
        "constant", config.layout.at().context_aware or arm == TEXT_TUNED
    ):  # fmt: skip
        raise LabError(
            f"control {arm} was trained with translator={control.translator.translator!r} and "
            f"layout={control.layout.layout!r}; give the folder of the prompt that the arm is named for."
        )
    if answers != target or not named[arm]:
        raise LabError(
            f"control {arm} was trained from {read} to {answers}, the translator from {source} to {target}; give the "
            "folder of the control that the arm is named for."
        )


def load_bridge(folder: str | Path, pair: Pair, config: RunConfig | None = None) -> Bridge:
    """The trained translator in `folder`, on the source that it was trained with.

    `config`: of the run that left it; None or one with the pair's own source: that source.
    """
    translator = load_translator(trained_folder(folder))
    source = pair.source
    if config is not None and config.pair.models[0] != source.name:
        own = as_it_runs_here(config.replace(device=str(pair.target.device)))
        source = load_pair(own.pair).source
    return Bridge(source, translator.to(pair.target.device).eval())


def load_controls(
    folders: dict[str, str], pair: Pair, config: RunConfig, metrics: Sequence[Mapping] = ()
) -> dict[str, Bridge]:
    """Bridges of the retrained arms from their runs' folders (arm -> folder, "" for none), each at equal budget.

    `config`, `metrics`: those of the translator's own run.
    """
    bridges = {}
    for arm, folder in folders.items():
        if not folder:
            continue
        if arm not in RETRAINED:
            raise LabError(f"arm {arm!r} is no retrained control; choose one of {', '.join(RETRAINED)}.")
        control = trained_config(folder)
        check_equal_budget(config, control, arm)
        check_source(config, control, arm)
        check_same_rates(metrics, RunDirectory(folder).metrics(), arm, **beyond(config, control))
        bridges[arm] = load_bridge(folder, pair, control)
    return bridges
