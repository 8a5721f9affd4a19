"""Leaks: what is to be answered reaches what is read."""

from dataclasses import replace

import pytest
from planted_world import MINI, QUESTIONS, Sums, each

from lab.answers.evaluation import Evaluation
from lab.answers.text import cascade, text_hint
from lab.errors import LabError
from lab.models import build_inputs
from lab.tasks import load_task
from lab.tasks.minigsm import MiniGSM
from lab.training.objective import training_terms
from lab.translators import Bridge

pytestmark = pytest.mark.slow
HINTED = ("target", "text_hint")
GOLD = {question.question: question for question in QUESTIONS}


def test_gold_behind_the_prompt(world, plant):
    world.evaluate()

    def leaking(kept, target, layout, soft, contexts, answers=None, soft_mask=None):
        if soft is None:
            return kept(target, layout, soft, contexts, answers, soft_mask)
        inputs = kept(target, layout, soft, contexts, [GOLD[c["question"]].answer for c in contexts], soft_mask)
        inputs.labels = None
        return inputs

    plant.around(build_inputs, leaking)
    with pytest.raises(LabError, match="gold text|inputs are built wrongly"):
        world.evaluate()


def test_gold_in_the_shots(world, plant):
    world.evaluate()

    def leaking(kept, evaluation, question):
        return kept(evaluation, question) | {"shots": question.answer + "\n"}

    plant.around(Evaluation.context, leaking)
    with pytest.raises(LabError, match="gold answer stands"):
        world.evaluate()


def test_gold_as_an_arms_hint(world, plant):
    world.evaluate(arms=HINTED)

    def leaking(kept, evaluation):
        shown = []
        for question, item in zip(evaluation.questions, kept(evaluation), strict=True):
            told = f"It is {question.gold}.\n"
            shown.append(replace(item, context=item.context | {"shots": told}, handed=(told,)))
        return shown

    plant.around(text_hint, leaking)
    with pytest.raises(LabError, match="text_hint was handed text of unknown origin"):
        world.evaluate(arms=HINTED)


def test_gold_in_the_tasks_hint(world):
    class Telling(Sums):
        def hint(self, question):
            return f"Note: the number of them is {question.gold}.\n"

    world.evaluate(arms=HINTED)
    with pytest.raises(LabError, match="hint.*gold|gold.*hint"):
        world.evaluate(task=Telling(), arms=HINTED)


def test_hint_of_other_lore(world, plant):
    task = load_task(MINI.task)
    world.evaluate(MINI, task, arms=HINTED)
    plant.edit(MiniGSM.hint, ".capacity}", ".capacity * 2}")
    with pytest.raises(LabError, match="hint"):
        world.evaluate(MINI, task, arms=HINTED)


def test_gold_in_evidence(world):
    world.evaluate(questions=each(QUESTIONS, evidence=lambda q: "Figs are fruit.\n"))
    with pytest.raises(LabError, match="evidence"):
        world.evaluate(questions=each(QUESTIONS, evidence=lambda q: q.answer + "\n"))


def test_gold_number_in_evidence(world):
    world.evaluate(questions=each(QUESTIONS, evidence=lambda q: "In short: they are counted.\n"))
    with pytest.raises(LabError, match="evidence"):
        world.evaluate(questions=each(QUESTIONS, evidence=lambda q: f"In short: Ana has {q.gold} figs.\n"))


def test_gold_in_the_question(world):
    world.evaluate(questions=each(QUESTIONS, question=lambda q: q.question + " Think."))
    with pytest.raises(LabError, match="solution"):
        world.evaluate(questions=each(QUESTIONS, question=lambda q: f"{q.question} {q.answer}"))


def test_source_reads_the_solution(world, plant):
    world.evaluate()
    told = "[__import__('dataclasses').replace(q, question=f'{q.question} {q.answer}') for q in questions]"
    plant.edit(Bridge.write, "self.read(questions)", f"self.read({told})")
    with pytest.raises(LabError, match="source does not read"):
        world.evaluate()


def test_teacher_left_in_the_soft_tokens(world, plant):
    world.check()
    told = "target.embed(torch.tensor(target.tokens(batch.answers)[0])).mean(dim=0)"
    mixed = f"output.soft_tokens = 0.9 * output.soft_tokens + 0.1 * {told}"
    plant.edit(training_terms, "soft, mask, rms =", f"{mixed}\n    soft, mask, rms =")
    with pytest.raises(LabError, match="training and evaluation"):
        world.check()


def test_cascade_hands_over_gold(world, plant):
    world.evaluate(arms=("source", "cascade"))

    def leaking(kept, evaluation, answers):
        told = [replace(answer, generation=replace(answer.generation, text=question.answer))
                for answer, question in zip(answers, evaluation.questions, strict=True)]  # fmt: skip
        return kept(evaluation, told)

    plant.around(cascade, leaking)
    with pytest.raises(LabError, match="cascade was handed text of unknown origin"):
        world.evaluate(arms=("source", "cascade"))
