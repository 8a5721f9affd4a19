"""Whatever would bend a comparison is refused, and the message names it."""

import shutil
from pathlib import Path

import pytest
from synthetic_runs import ACCURACY, edit_records, make_run

from lab.config import NOT_SCIENTIFIC, RunConfig
from lab.errors import LabError
from lab.evidence.read import Rows, Run, find_runs, paths_of, read_evidence, rows_of
from lab.evidence.refusals import check_frozen
from lab.runs import write_jsonl
from lab.tasks.gsm8k import GSM8K
from lab.tasks.minigsm import MiniGSM


def planted(tmp_path, change):
    run = make_run(tmp_path, "a")
    edit_records(run, change)
    return [run]


def drop_arm(rows):
    del rows[3]["arms"]["latent"]


def duplicate(rows):
    return [*rows, rows[0]]


def score_otherwise(rows):
    arm = rows[5]["arms"]["latent_shuffled"]
    arm["correct"] = not arm["correct"]


def read_otherwise(rows):
    rows[5]["arms"]["latent"].update(text="the answer is 7", extracted="7", correct=False)


def instruct_one(rows):
    for row in rows:
        row["arms"]["target"]["saw"] = "Think hard. " + row["arms"]["target"]["saw"]


def without_words(rows):
    for row in rows:
        del row["word"]


def words_emptied(rows):
    for row in rows:
        row["word"] = ""


def a_dev_question(rows):
    rows[7] |= {"question": f"  {MiniGSM().dev()[3].question.upper()}"}


def a_worked_example(rows):
    rows[7] |= {"question": MiniGSM().exemplars(2)[1].question}


@pytest.mark.parametrize("change, message", [
    (without_words, "question 0+ has no field 'word'"),
    (words_emptied, "of cell lore/short/seen names no word"),
    (a_dev_question, "1 of 320 rows are of the split dev of task minigsm, first question 0+7"),
    (a_worked_example, "1 of 320 rows are of the split exemplars of task minigsm"),
    (drop_arm, "arm 'latent' is missing"),
    (duplicate, "occurs twice"),
    (score_otherwise, "'latent_shuffled' .* another extractor"),
    (read_otherwise, "'latent' .* another extractor"),
    (instruct_one, "read different prompts"),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_planted_defects_are_named(tmp_path, change, message):
    with pytest.raises(LabError, match=f"run a: .*{message}"):
        read_evidence(planted(tmp_path, change))


def test_answers_of_another_task_are_read_by_its_own_rule(tmp_path):
    run = make_run(tmp_path, "a", task="hotpotqa")
    read_evidence([run])

    def read_loosely(rows):
        rows[2]["arms"]["latent"].update(text="#### the Eiffel Tower of 1889", extracted="1889", correct=False)

    edit_records(run, read_loosely)
    with pytest.raises(LabError, match="'latent' .* another extractor: its text gives the Eiffel Tower of 1889"):
        read_evidence([run])

    def graded_kindly(rows):
        rows[2]["arms"]["latent"].update(extracted="the Eiffel Tower of 1889", f1=0.9)

    edit_records(run, graded_kindly)
    with pytest.raises(LabError, match="'latent' .* has f1 0.9, its text gives 0.0"):
        read_evidence([run])


@pytest.mark.parametrize("name, value", [("gold", "5"), ("question", "How few?"), ("cell", "plain/long"),
                                         ("word", "blick")])  # fmt: skip
def test_a_question_is_the_same_in_every_run(tmp_path, name, value):
    first, second = make_run(tmp_path, "a"), make_run(tmp_path, "b", seed=2)

    def change(rows):
        rows[4][name] = value
        for answer in rows[4]["arms"].values():
            answer["correct"] = answer["extracted"] == rows[4]["gold"]

    edit_records(second, change)
    with pytest.raises(LabError, match=f"runs a and b do not agree on question 0+4: its {name} is"):
        read_evidence([first, second])
    read_evidence([second, make_run(tmp_path, "c", seed=3, task="hotpotqa")])  # another task has questions of its own


def test_a_config_that_names_another_seed_than_the_run_was_started_with(tmp_path):
    run = make_run(tmp_path, "a", seed=2)
    (run / "manifest.json").write_text('{"seeds": {"training": 1}}')
    with pytest.raises(LabError, match="run a: its config says seed 2, its manifest 1"):
        read_evidence([run])


def test_dropped_and_exchanged_rows_are_named(tmp_path):
    first, second = make_run(tmp_path, "a"), make_run(tmp_path, "b", seed=2)
    edit_records(second, lambda rows: rows[:-2])
    with pytest.raises(LabError, match="different questions \\(2 of them"):
        rows_of(read_evidence([first, second]).main)


def test_one_evaluation_is_not_two(tmp_path):
    first, second = make_run(tmp_path, "a"), make_run(tmp_path, "b", seed=2)
    (second / "eval_samples_step_final.jsonl").write_bytes((first / "eval_samples_step_final.jsonl").read_bytes())
    with pytest.raises(LabError, match="letter for letter"):
        read_evidence([first, second])


def copied(tmp_path, name, seed, **settings):
    """A run, and a copy of it that gives itself out for another seed."""
    first = make_run(tmp_path, f"{name}{seed}", seed, **settings)
    second = shutil.copytree(first, tmp_path / f"{name}{seed + 1}")
    config = (second / "config.yaml").read_text()
    (second / "config.yaml").write_text(config.replace(f"seed: {seed}", f"seed: {seed + 1}"))
    return [first, second]


def collapse(rows):
    """Every arm says one thing, whatever the question."""
    for row in rows:
        for arm in row["arms"].values():
            arm.update(text="#### 101", extracted="101", correct=row["gold"] == "101")


def keep_weights(folder, name, content):
    (folder / "checkpoints" / name).mkdir(parents=True)
    (folder / "checkpoints" / name / "model.safetensors").write_bytes(content)


def keep_losses(folder, *losses):
    write_jsonl(folder / "metrics.jsonl", [{"kind": "step", "step": step, "loss": x} for step, x in enumerate(losses)])


def test_a_copy_is_no_other_seed(tmp_path):
    """Both sides of a lone comparison copied: two seeds each, and what was inconclusive would be supported."""
    few = copied(tmp_path, "few", 1, accuracies=ACCURACY | {"latent": 0.5}, soft_tokens=2)
    many = copied(tmp_path, "many", 1, soft_tokens=8)
    read_evidence([few[0], many[0]])
    with pytest.raises(LabError, match="runs few1 and few2 hold the same latent answers"):
        read_evidence([*few, *many])


def test_a_copy_of_a_collapsed_run_is_refused_where_nothing_tells_it_apart(tmp_path):
    runs = copied(tmp_path, "s", 1)
    for run in runs:
        edit_records(run, collapse)
    with pytest.raises(LabError, match="runs s1 and s2 hold the same answers in every arm, and neither weights nor"):
        read_evidence(runs)
    for run, loss in zip(runs, (0.5, 0.6), strict=True):
        keep_losses(run, 2.0, 1.0, loss)
    assert len(read_evidence(runs).main) == 2


def test_one_translator_under_two_seeds_is_named_by_its_weights_and_its_losses(tmp_path):
    runs = [make_run(tmp_path, f"s{seed}", seed) for seed in (1, 2)]  # measured twice: other texts
    for run in runs:
        keep_losses(run, 2.0, 1.0, 0.5)
    with pytest.raises(LabError, match="runs s1 and s2 logged the same loss at every step"):
        read_evidence(runs)
    keep_losses(runs[1], 2.0, 1.1, 0.6)
    for run, name in zip(runs, ("best", "last"), strict=True):
        keep_weights(run, name, b"the same weights")
        keep_weights(run, "other", run.name.encode())
    with pytest.raises(LabError, match="runs s1 and s2 keep the same weights under two seeds"):
        read_evidence(runs)
    (runs[1] / "checkpoints" / "last" / "model.safetensors").write_bytes(b"other weights")
    assert len(read_evidence(runs).main) == 2


def test_two_collapsed_translators_may_say_the_same(tmp_path):
    def collapse_latent(rows):
        collapse([{**row, "arms": {"latent": row["arms"]["latent"]}} for row in rows])

    runs = [make_run(tmp_path, f"s{seed}", seed) for seed in (1, 2)]
    for run in runs:
        edit_records(run, collapse_latent)
    assert len(read_evidence(runs).main) == 2


def test_two_runs_of_one_seed_are_refused(tmp_path):
    with pytest.raises(LabError, match="same config and seed"):
        read_evidence([make_run(tmp_path, "a"), make_run(tmp_path, "b")])


def test_seeds_are_replicates_and_other_settings_are_not(tmp_path):
    runs = [make_run(tmp_path, f"s{seed}", seed) for seed in (3, 1, 2)] + [make_run(tmp_path, "wide", 1, width=64)]
    evidence = read_evidence(runs)
    assert [run.name for run in evidence.main] == ["s1", "s2", "s3"]
    assert [[run.name for run in recipe] for recipe in evidence.recipes()] == [["s1", "s2", "s3"], ["wide"]]


def test_folders_of_runs_are_opened_and_unfinished_ones_named(tmp_path):
    make_run(tmp_path, "a")
    late = make_run(tmp_path, "late", seed=2)
    (late / "eval_samples_step_final.jsonl").unlink()
    found, unfinished = find_runs([tmp_path])
    assert [path.name for path in found] == ["a"] and [path.name for path in unfinished] == ["late"]
    assert paths_of(["a", str(late)], tmp_path) == [tmp_path / "a", late]
    with pytest.raises(LabError, match="is no folder"):
        find_runs([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match="no finished run"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(LabError, match="none of these runs is finished \\(late\\)"):
        find_runs([late])


def test_values_follow_ids_not_the_order_of_the_file(tmp_path):
    runs = [make_run(tmp_path, "a"), make_run(tmp_path, "b", seed=2)]
    before = rows_of(read_evidence(runs).main).values(read_evidence(runs).main, "latent")
    edit_records(runs[1], lambda rows: rows[::-1])
    after = rows_of(read_evidence(runs).main).values(read_evidence(runs).main, "latent")
    assert (before == after).all()


def test_rows_of_one_word_are_one_cluster(tmp_path):
    """A comparison is no surer for asking a word more often."""
    run = make_run(tmp_path, "a")
    rows = rows_of(read_evidence([run]).main, ["lore"])
    words = {row["word"] for row in rows.records}
    assert rows.clusters == [row["word"] for row in rows.records] and 1 < len(words) < len(rows.records)


@pytest.mark.parametrize("name", sorted(set(RunConfig().parameters()) - {*NOT_SCIENTIFIC, "seed"}))
def test_every_scientific_setting_keeps_recipes_apart(tmp_path, name):
    settings = RunConfig().parameters() | {"task": "jsonl"}  # whose data is what is asked
    one, other = (Run(tmp_path, settings | {name: value}, []) for value in (settings[name], "another"))
    assert one.recipe() != other.recipe() and one.recipe([name, "data"]) == other.recipe([name, "data"])


def test_where_a_published_dataset_lies_keeps_no_recipes_apart(tmp_path):
    runs = [Run(tmp_path, RunConfig().parameters() | {"task": "gsm8k", "data": data}, []) for data in ("/a", "/b")]
    assert runs[0].recipe() == runs[1].recipe()


def test_a_run_without_a_seal_has_none(tmp_path):
    assert Run(tmp_path, {}, []).seal is None
    assert read_evidence([make_run(tmp_path, "a")]).runs[0].seal is None


def test_rows_without_a_word_are_of_no_cluster():
    assert Rows([{"id": "a"}, {"id": "b", "word": ""}, {"id": "c", "word": "blick"}]).clusters == ["", "", "blick"]


def test_a_record_from_before_prompts_were_kept_hides_nothing(tmp_path):
    run = make_run(tmp_path, "a")

    def forget(rows):
        for row in rows:
            del row["arms"]["latent"]["saw"]

    edit_records(run, forget)
    assert not read_evidence([run]).runs[0].context_aware()


def test_the_seal_names_the_weights_that_answered():
    bridges = {"latent": {"weights": "abc"}, "latent_constant": {"weights": "other"}}
    assert Run(Path("r"), {}, [], {"evaluation": {"bridges": bridges}}).weights == {"abc"}
    assert Run(Path("r"), {}, [], {"evaluation": {"bridges": {}}}).weights == frozenset()
    assert Run(Path("r"), {}, []).weights == frozenset()


@pytest.mark.parametrize("dtype, compared", [("float32", True), ("bfloat16", False)])
def test_in_half_precision_frozen_answers_are_compared_beside_the_same_arms(dtype, compared):
    """Arms share batches, and what stands beside a row rounds it."""
    seal = {"evaluation": {"target": {"weights": "abc"}, "layout": {}, "made_on": {"dtype": dtype}}}
    settings = {"soft_tokens": 3, "soft_tokens_cap": 9}

    def answered(name, tokens, *more):
        arms = dict.fromkeys(("target", *more), {"tokens": tokens})
        return Run(Path(name), settings, [{"id": "q", "arms": arms}], seal)

    for arms, refused in (((), True), (("latent",), compared)):
        given = answered("a", "u2:AA=="), answered("b", "u2:AQ==", *arms)
        if refused:
            with pytest.raises(LabError, match="frozen target was asked the same"):
                check_frozen(given)
        else:
            check_frozen(given)


def test_frozen_answers_of_two_cards_are_not_compared():
    def answered(card, tokens):
        seal = {"evaluation": {"target": {"weights": "abc"}, "layout": {}, "made_on": {"device": card}}}
        return Run(Path(card), {"soft_tokens": 3}, [{"id": "q", "arms": {"target": {"tokens": tokens}}}], seal)

    check_frozen([answered("H100", "u2:AA=="), answered("H200", "u2:AQ==")])
    with pytest.raises(LabError, match="frozen target was asked the same"):
        check_frozen([answered("H100", "u2:AA=="), answered("H100", "u2:AQ==")])


def test_evidence_says_where_it_was_read(tmp_path):
    runs = [make_run(tmp_path, "a"), make_run(tmp_path, "b", seed=2)]
    assert read_evidence(runs).given == tuple(map(str, runs))


def test_a_run_whose_data_are_not_at_hand_is_read_without_asking_anybody_for_them(tmp_path, monkeypatch):
    """With a limit on dev questions the task stands in another, which has to hand on what it is made from."""
    monkeypatch.setattr(GSM8K, "dev", lambda self: pytest.fail("it went for the data"))
    read_evidence([make_run(tmp_path, "a", task="gsm8k", pair="small", dev_questions=50)])
