"""Laws of retrained controls: they differ in the source alone, and another budget is refused."""

import pytest
from trained_runs import trained_run

from lab.answers import DEFAULT_CASCADE
from lab.answers.arms import RETRAINED
from lab.answers.generation import AnswerCache
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.evidence.read import read_evidence
from lab.evidence.verdicts import arm_rows
from lab.pictures.arm_tables import cascade_table, rivals_table, text_transfer_sentence
from lab.pictures.evidence_figures import arms_figure
from lab.runs.directory import RunDirectory
from lab.runs.folders import whole_folder
from lab.studies.budget import MAY_DIFFER, check_equal_budget
from lab.studies.controls import check_source, control_config, load_controls, trained_folder
from lab.studies.trial import choose_cascade, compare, from_folders

CONFIG = RunConfig.from_parameters(name="main", layout="soft_only", soft_tokens=4, width=32, depth=1, heads=2, steps=5,
                                   test_questions=12, max_new_tokens=12)  # fmt: skip


@pytest.mark.parametrize("arm", RETRAINED)
def test_a_control_differs_in_what_it_reads_alone(arm):
    config = control_config(CONFIG, arm)
    ours, theirs = CONFIG.parameters(), config.parameters()
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different <= {"name", "translator", "source"} | ({"layout"} if arm == "text_tuned" else set())
    check_equal_budget(CONFIG, config, arm)
    assert config.hash() != CONFIG.hash()


@pytest.mark.parametrize("name", ["steps", "batch_size", "soft_tokens", "layout", "learning_rate"])
def test_another_budget_is_refused(name):
    assert name not in MAY_DIFFER
    other = CONFIG.replace(**{name: "soft_plus_text" if name == "layout" else 2 * CONFIG.parameters()[name]})
    with pytest.raises(LabError, match=f"latent_random_source was trained with {name}="):
        check_equal_budget(CONFIG, other, "latent_random_source")


@pytest.mark.parametrize("arm", RETRAINED)
def test_a_control_is_the_one_that_its_arm_is_named_for(arm):
    for other in RETRAINED:
        control = control_config(CONFIG, other)
        if other == arm:
            check_source(CONFIG, control, arm)
        else:
            with pytest.raises(LabError, match=f"control {arm} was trained (from|with)"):
                check_source(CONFIG, control, arm)
    elsewhere = control_config(CONFIG, "latent_target_source").replace(source="/other/mini/target")
    check_source(CONFIG, elsewhere, "latent_target_source")
    with pytest.raises(LabError, match="to other/target"):
        check_source(CONFIG, elsewhere.replace(target="other/target"), "latent_target_source")


def test_an_unknown_control_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(LabError, match="no retrained control"):
        control_config(CONFIG, "latent_zero")
    with pytest.raises(LabError, match="holds no trained translator"):
        trained_folder(tmp_path)


def test_from_trained_runs_to_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})
    folders, constants, targets = [], [], []
    for seed in (1, 2):
        config = CONFIG.replace(seed=seed, name=f"seed{seed}")
        own = control_config(config, "latent_target_source")
        folders.append(trained_run(tmp_path / f"main{seed}", config, seed))
        constants.append(trained_run(tmp_path / f"constant{seed}", control_config(config, "latent_constant"), seed))
        targets.append(trained_run(tmp_path / f"target{seed}", own, seed))
    controls = {"latent_constant": constants, "latent_target_source": targets, "latent_random_source": []}
    pair, task, candidates = from_folders(folders, controls, {})
    assert [candidate.config.training.seed for candidate in candidates] == [1, 2]
    assert candidates[0].controls["latent_target_source"].source.num_layers == pair.target.num_layers
    made = compare(tmp_path / "evidence", pair, task, candidates, "note", arms=("cascade", "latent_shuffled"))
    assert [path.name for path in made] == ["seed_1", "seed_2"]
    # the test records alone could not tell whether training collapsed
    assert RunDirectory(made[0]).metrics() == RunDirectory(folders[0]).metrics() != []
    rows = arm_rows(read_evidence([tmp_path / "evidence"]))
    assert all(len(row["per_seed"]) == 2 for row in rows)
    assert {row["arm"] for row in rows} == {"source", "target", "oracle", "cascade", "latent", "latent_shuffled",
                                            "latent_constant", "latent_target_source"}  # fmt: skip
    assert rivals_table(rows).column("arm") == [row["arm"] for row in rows]
    assert "cascade" in text_transfer_sentence(rows) and arms_figure(rows).data
    with pytest.raises(LabError, match="1 runs for 2 translators"):
        from_folders(folders, {"latent_constant": constants[:1]}, {})
    with pytest.raises(LabError, match="equal budget"):
        shorter = trained_run(tmp_path / "shorter", CONFIG.replace(steps=4, translator="constant"), 1)
        load_controls({"latent_constant": shorter}, pair, CONFIG)


def test_no_prompt_is_chosen_for_a_cascade_that_is_not_measured():
    """On dev it would cost more than everything that was asked for."""
    found = choose_cascade(None, None, [], ["latent_shuffled", "token_budget"])
    assert found == (DEFAULT_CASCADE, {}) and str(cascade_table(found)) == "No arm hands the source's answer over."
    with pytest.raises(IndexError):  # there it needs a candidate to choose for
        choose_cascade(None, None, [], ["same_bytes"])


def test_what_is_measured_of_a_run_is_its_best_checkpoint_and_not_its_last(tmp_path):
    for name in ("last", "best"):
        with whole_folder(tmp_path / "checkpoints" / name) as beside:
            (beside / "translator.json").write_text("{}")
    assert trained_folder(tmp_path).name == "best"


def test_a_run_whose_weights_changed_since_is_not_evaluated(tmp_path):
    """A flipped bit in a checkpoint is another translator than the one that was chosen on dev."""
    folder = tmp_path / "checkpoints" / "best"
    with whole_folder(folder) as beside:
        (beside / "translator.json").write_text("{}")
        (beside / "model.safetensors").write_bytes(b"weights")
    assert trained_folder(tmp_path) == folder
    (folder / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(LabError, match="best is damaged: model.safetensors of best is not what was saved"):
        trained_folder(tmp_path)
