"""Prompts: arms, or training and evaluation, read different things."""

from dataclasses import replace

import pytest
from planted_world import CONFIG, DEV, QUESTIONS, TRAINING, Sums, each

from lab.answers.latent import LatentArm
from lab.answers.text import Shown, TextArm, cut_text
from lab.config import Layout
from lab.errors import LabError
from lab.models.inputs import _prompt_rows
from lab.training.objective import Batch, training_inputs, training_terms
from lab.translators import Bridge

pytestmark = pytest.mark.slow


def test_extra_instruction_for_latent(world):
    world.evaluate(CONFIG.replace(layout="{instruction}{soft}\nA:"))
    with pytest.raises(LabError, match="extra instruction, 'Solve it step by step.'"):
        world.evaluate(CONFIG.replace(layout="{instruction}{soft}Solve it step by step.\nA:"))


def in_the_targets_arm(plant, template):
    other = Layout("other", template)

    def planted(kept, arm, name, model, evaluation, cache, shown=None):
        if name == "target":
            shown = [Shown(other, evaluation.context(question)) for question in evaluation.questions]
        kept(arm, name, model, evaluation, cache, shown)

    plant.around(TextArm.__init__, planted)


def test_extra_instruction_for_the_target(world, plant):
    world.evaluate()
    in_the_targets_arm(plant, "{instruction}{shots}Answer with a number. Q: {question}\nA:")
    with pytest.raises(LabError, match="arm target reads an extra instruction"):
        world.evaluate()


def test_another_suffix_for_the_target(world, plant):
    world.evaluate()
    in_the_targets_arm(plant, "{instruction}{shots}Q: {question}\nSolution:")
    with pytest.raises(LabError, match="arm target reads a different prompt"):
        world.evaluate()


def test_a_suffix_twice(world, plant):
    world.evaluate()
    in_the_targets_arm(plant, "{instruction}{shots}Q: {question}\nA:\nA:")
    with pytest.raises(LabError, match="arm target reads a different prompt"):
        world.evaluate()


def test_no_instruction_for_latent(world, plant):
    world.evaluate()

    class Mute(Sums):
        instruction = ""

    def planted(kept, arm, name, evaluation, *given):
        kept(arm, name, replace(evaluation, task=Mute()), *given)

    plant.around(LatentArm.__init__, planted)
    with pytest.raises(LabError, match="arm latent reads a different prompt.*instruction"):
        world.evaluate()


def test_fewer_shots_for_the_target(world, plant):
    config = CONFIG.replace(shots=2)
    world.evaluate(config)

    def planted(kept, arm, name, model, evaluation, *given):
        kept(arm, name, model, replace(evaluation, config=CONFIG), *given)

    plant.around(TextArm.__init__, planted)
    with pytest.raises(LabError, match="different prompt|worked examples"):
        world.evaluate(config)


def cut_at_the_other_end(kept, model, text, tokens, keep="start"):
    return kept(model, text, tokens, "start" if keep == "end" else "end")


def test_prompt_cut_at_the_wrong_end(world, plant):
    world.evaluate(arms=("target", "latent", "token_budget"))
    plant.around(cut_text, cut_at_the_other_end)
    with pytest.raises(LabError, match="token_budget"):
        world.evaluate(arms=("target", "latent", "token_budget"))


def test_question_cut_at_the_wrong_end(world, plant):
    world.evaluate(arms=("target", "latent", "token_budget_question"))
    plant.around(cut_text, cut_at_the_other_end)
    with pytest.raises(LabError, match="token_budget_question"):
        world.evaluate(arms=("target", "latent", "token_budget_question"))


def test_long_prompts_cut_silently(world, plant):
    world.evaluate()
    plant.edit(_prompt_rows, "rows.append(row)", "rows.append(row[-30:])")
    with pytest.raises(LabError, match="inputs are built wrongly|tokens enter"):
        world.evaluate()


def test_another_layout_in_training(world, plant):
    world.check()
    bare = "__import__('lab.config').config.Layout('bare', '{instruction}{soft}')"
    plant.edit(training_inputs, "build_inputs(target, layout,", f"build_inputs(target, {bare},")
    with pytest.raises(LabError, match="training and evaluation"):
        world.check()


def test_no_instruction_in_training(world, plant):
    world.check()
    plant.edit(Batch.contexts, "{**self.shared, ", "{")
    with pytest.raises(LabError, match="training and evaluation"):
        world.check()


def test_source_reads_bare_questions_in_training(world, plant):
    world.check()
    bare = "pair.source.source_states([q.question for q in batch.questions], translator.layers)"
    plant.edit(training_terms, "bridge.read(batch.questions)", bare)
    with pytest.raises(LabError, match="training and evaluation"):
        world.check()


def test_evidence_lost_in_evaluation(world, plant):
    class Told(Sums):
        def train(self, count, seed):
            return each(TRAINING[: count or None], evidence=lambda q: "Cleo reads aloud.\n")

        def dev(self):
            return each(DEV, evidence=lambda q: "Ben has a shop.\n")

        def test(self):
            return each(QUESTIONS, evidence=lambda q: "Figs are fruit.\n")

    world.train(task=Told())
    untold = "[__import__('dataclasses').replace(q, evidence='') for q in questions]"
    plant.edit(Bridge.write, "self.read(questions)", f"self.read({untold})")
    with pytest.raises(LabError, match="training and evaluation|evidence"):
        world.train(task=Told())
