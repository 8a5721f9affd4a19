"""A run brings its whole config: what is measured otherwise is allowed or refused, said, and stored."""

from pathlib import Path

import pytest
from trained_runs import gsm8k_files, trained_run

from lab.batch.jobs import notebook_parameters, read_job
from lab.config.run import SECTION_OF, RunConfig, set_in
from lab.errors import LabError
from lab.places import MINI, ROOT
from lab.studies.measured import measured_config, recipe_config, said, trained_config
from lab.studies.trial import from_folders

SMALL = dict(layout="soft_plus_text", soft_tokens=2, width=16, depth=1, heads=2, steps=5, max_new_tokens=9)


@pytest.fixture
def gsm8k_run(tmp_path):
    config = RunConfig.from_parameters(name="g", task="gsm8k", data=gsm8k_files(tmp_path / "data"), shots=2, **SMALL)
    return trained_run(tmp_path / "g", config, 1)


def test_task_layout_and_limits_are_the_runs(gsm8k_run):
    pair, task, (candidate,) = from_folders([gsm8k_run], {}, {})
    assert task.name == "gsm8k" and len(task.test()) == 8 and candidate.config.task.shots == 2
    assert candidate.config.layout.layout == "soft_plus_text" and candidate.config.evaluation.max_new_tokens == 9
    about = candidate.about()
    assert about["task"] == "gsm8k" and about["run"] == gsm8k_run and about["set_here"] == {}
    assert about["config_hash"] == about["trained_config_hash"] == trained_config(gsm8k_run).hash()
    assert about["models"] == {"source": "mini/source", "target": "mini/target"}


def test_what_is_set_here_is_said_and_stored(gsm8k_run):
    given = set_in({"test_questions": 3, "task": "minigsm", "layout": None, "name": "x", "models": object()})
    _, task, candidates = from_folders([gsm8k_run], {}, given)
    assert task.name == "minigsm" and len(task.test()) == 3
    about = candidates[0].about()
    assert set(about["set_here"]) == {"test_questions", "task", "data"}  # minigsm has no folder of files
    assert about["set_here"]["task"] == {"trained": "gsm8k", "measured": "minigsm"}
    assert about["config_hash"] != about["trained_config_hash"]
    assert "task minigsm" in said(candidates) and "set here: test_questions = 3 (the run: 0)" in said(candidates)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 7}, "trained with steps=5, which steps=7 cannot change"),
        ({"soft_tokens": 3}, "soft_tokens=3 cannot change"),
        ({"pair": "mistral-llama"}, "was trained with mini/source and mini/target, not with"),
        ({"target": str(MINI / "source")}, "not with mini/source and mini/source"),
    ],
)
def test_what_training_has_settled_is_refused(given, message, gsm8k_run):
    with pytest.raises(LabError, match=message):
        measured_config(gsm8k_run, given)
    same = {name: trained_config(gsm8k_run).parameters()[name] for name in ("steps", "soft_tokens", "pair")}
    assert measured_config(gsm8k_run, same)[0] == trained_config(gsm8k_run)


def test_kernels_of_the_machine_that_trained_are_not_asked_of_this_one(tmp_path, monkeypatch):
    """A translator from a GPU is measured on a laptop, and on a GPU without Liger; both are said."""
    config = RunConfig.from_parameters(name="f", device="cpu", **SMALL)
    folder = trained_run(tmp_path / "f", config, 1)
    config.replace(fused_kernels=True).to_yaml(Path(folder) / "config.yaml")
    _, _, candidates = from_folders([folder], {}, {})
    assert not candidates[0].config.pair.fused_kernels
    assert "set here: fused_kernels = False (the run: True)" in said(candidates)
    assert not recipe_config(folder, {}).pair.fused_kernels
    assert measured_config(folder, {"fused_kernels": True})[0].pair.fused_kernels  # asked for here: refused if need be
    monkeypatch.setattr("lab.studies.measured.can_fuse", lambda device: True)
    assert measured_config(folder, {})[0].pair.fused_kernels


def test_a_checkpoint_has_its_runs_config_and_bare_weights_have_none(gsm8k_run):
    best = Path(gsm8k_run) / "checkpoints" / "best"
    assert trained_config(best) == trained_config(gsm8k_run)
    (Path(gsm8k_run) / "config.yaml").unlink()
    with pytest.raises(LabError, match="best has no config.yaml, so nobody knows its models"):
        from_folders([best], {}, {})


def test_one_table_has_one_task_and_different_seeds(gsm8k_run, tmp_path):
    other = trained_run(tmp_path / "m", RunConfig.from_parameters(name="m", seed=2, **SMALL), 2)
    with pytest.raises(LabError, match="measured with task='gsm8k', .*m with 'minigsm'"):
        from_folders([gsm8k_run, other], {}, {})
    with pytest.raises(LabError, match="two of the translators were trained with seed=2"):
        from_folders([other, other], {}, {})
    with pytest.raises(LabError, match="no trained run was given"):
        from_folders([], {}, {})


def test_a_recipe_is_a_runs_config_with_what_is_set():
    config = recipe_config(MINI / "translator", {"steps": 300, "shots": 1})
    assert config == trained_config(MINI / "translator").replace(steps=300, shots=1)


def test_the_shipped_translators_config_is_its_recipe():
    defaults = {name: one.default for name, one in notebook_parameters(ROOT / "notebooks/01_train.ipynb").items()}
    job = defaults | read_job(ROOT / "papermill_jobs/mini_soft_only.yaml")["parameters"]
    flat = {name: value for name, value in job.items() if name in {"name", *SECTION_OF}}
    recipe = RunConfig.from_parameters(**flat).replace(dev_questions=200)
    assert trained_config(MINI / "translator").hash() == recipe.hash()
