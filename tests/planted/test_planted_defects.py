"""Planted defects: each one made an earlier number untrue. Each is caught where it would happen, by name.

A defect is planted in the code that runs (not in the check), and an ordinary evaluation or training has to refuse it.
"""

from dataclasses import replace

import pytest
import torch

import lab.answers.arms as arms
import lab.answers.common as common
import lab.answers.latent as latent
import lab.answers.text as text
import lab.studies.experiment as experiment
import lab.training.loop as training
import lab.training.objective as objective
from lab.answers.arms import ALL_ARMS, RETRAINED, evaluate
from lab.answers.generation import AnswerCache
from lab.config.layout import Layout
from lab.config.run import RunConfig, TranslatorConfig
from lab.errors import LabError
from lab.models.inputs import build_inputs
from lab.runs.records import RunDirectory
from lab.tasks import Question, Task, question_id
from lab.translators import TranslatorOutput, build_translator

CELLS = ["plain/short"] * 4 + ["lore/long/seen"] * 4
TEXTS = [f"Ana has {n} figs and buys {n + 3} more. How many figs does Ana have?" for n in range(8)]
QUESTIONS = [
    Question(question_id(text), text, f"{n} + {n + 3} = {2 * n + 3}\n#### {2 * n + 3}", str(2 * n + 3), cell)
    for n, (text, cell) in enumerate(zip(TEXTS, CELLS, strict=True))
]
TRAINING = [replace(q, id=question_id(f"Later {q.question}"), question=f"Later {q.question}") for q in QUESTIONS]
EXTRA = tuple(arm for arm in ALL_ARMS if arm not in RETRAINED)


class Sums(Task):
    name, instruction = "sums", "Think.\n\n"

    def train(self, count, seed):
        return TRAINING[:4]

    def dev(self):
        return TRAINING[4:]

    def test(self):
        return QUESTIONS

    def exemplars(self, shots):
        return []

    def hint(self, question):
        return "Note: count them.\n"


CONFIG = RunConfig.from_parameters(steps=2, batch_size=2, soft_tokens=3, width=16, depth=1, heads=2, max_new_tokens=8,
                                   eval_batch_size=3)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_memory(monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})


@pytest.fixture
def run_evaluation(tiny_pair):
    torch.manual_seed(0)
    translator = build_translator(CONFIG.translator, tiny_pair, "all")

    def run(config=CONFIG):
        return evaluate(config, tiny_pair, Sums(), QUESTIONS, translator, arms=EXTRA, progress=False)

    return run


@pytest.fixture
def run_training(tiny_pair, tmp_path):
    def run(task=None, config=CONFIG):
        made = RunDirectory.create(tmp_path / "run", config)
        return experiment.train_translator(experiment.Experiment(config, made, tiny_pair, task or Sums()))

    return run


def test_nothing_is_found_where_nothing_is_planted(run_evaluation, run_training):
    assert len(run_evaluation()) == len(QUESTIONS)
    assert run_training().best_step >= 0


def test_gold_text_in_the_inputs(run_evaluation, monkeypatch):
    """Training inputs at evaluation: `[soft | prompt | gold]`, generated after."""
    answers = {question.question: question.answer for question in QUESTIONS}

    def leaking(target, layout, soft, contexts, given=None, mask=None):
        inputs = build_inputs(target, layout, soft, contexts, [answers[c["question"]] for c in contexts])
        inputs.labels = None
        return inputs

    monkeypatch.setattr(latent, "build_inputs", leaking)
    with pytest.raises(LabError, match="gold text"):
        run_evaluation()


def test_gold_text_in_what_an_arm_is_shown(run_evaluation, monkeypatch):
    gold = {question.question: question.answer for question in QUESTIONS}
    kept = common.Prompts.context

    def leaking(self, index):
        context = kept(self, index)
        return context | {"shots": gold[context["question"]] + "\n"}

    monkeypatch.setattr(common.Prompts, "context", leaking)
    with pytest.raises(LabError, match="gold answer stands"):
        run_evaluation()


def test_gold_text_handed_over_as_a_hint(run_evaluation, monkeypatch):
    def leaking(task, prompts):
        return [
            text.Shown(text.TEXT, prompts.context(i) | {"shots": f"It is {q.gold}.\n"}, (f"It is {q.gold}.\n",))
            for i, q in enumerate(prompts.questions)
        ]

    monkeypatch.setattr(arms, "text_hint", leaking)
    with pytest.raises(LabError, match="text_hint was handed text of unknown origin"):
        run_evaluation()


def test_an_extra_instruction_for_one_arm(run_evaluation):
    template = "{instruction}{soft}Solve it step by step.\nA:"
    with pytest.raises(LabError, match="extra instruction, 'Solve it step by step.'"):
        run_evaluation(CONFIG.replace(layout=template))


def test_an_extra_instruction_for_the_target(run_evaluation, monkeypatch):
    monkeypatch.setattr(text, "TEXT", Layout("text", "{instruction}{shots}Answer with a number. Q: {question}\nA:"))
    with pytest.raises(LabError, match="arm source reads an extra instruction"):
        run_evaluation()


@pytest.mark.parametrize("suffix", ["\nSolution:", "\nA:\nA:"])
def test_a_different_prompt_per_arm(run_evaluation, monkeypatch, suffix):
    other, kept = Layout("other", "{instruction}{shots}Q: {question}" + suffix), arms.text_arm

    def planted(label, model, prompts, cache, shown=None):
        if label == "target":
            shown = [text.Shown(other, prompts.context(i)) for i in range(len(prompts.questions))]
        return kept(label, model, prompts, cache, shown)

    monkeypatch.setattr(arms, "text_arm", planted)
    with pytest.raises(LabError, match="arm target reads a different prompt"):
        run_evaluation()


def test_another_instruction_for_one_arm(run_evaluation, monkeypatch):
    kept = arms.latent_arm

    def planted(label, target, bridge, layout, prompts, *given):
        return kept(label, target, bridge, layout, replace(prompts, instruction=""), *given)

    monkeypatch.setattr(arms, "latent_arm", planted)
    with pytest.raises(LabError, match="arm latent reads a different prompt.*instruction"):
        run_evaluation()


def test_selection_on_test_by_the_splits(run_training):
    class Peeking(Sums):
        def dev(self):
            return TRAINING[4:] + QUESTIONS[:1]

    with pytest.raises(LabError, match="selection on test: 1 questions of the dev split"):
        run_training(Peeking())


def test_training_on_test(run_training):
    class Peeking(Sums):
        def train(self, count, seed):
            return QUESTIONS

    with pytest.raises(LabError, match="selection on test: 8 questions of the train split"):
        run_training(Peeking())


def test_selection_of_a_baseline_on_test(tiny_pair):
    with pytest.raises(LabError, match="selection on test"):
        arms.choose_cascade_prompt(CONFIG, tiny_pair, Sums(), QUESTIONS, progress=False)


def test_misaligned_ids_between_arms(run_evaluation, monkeypatch):
    """Answers in the order of the batches instead of that of the questions."""
    kept = arms.latent_arm

    def planted(*given):
        answers = kept(*given)
        return answers[1:] + answers[:1]

    monkeypatch.setattr(arms, "latent_arm", planted)
    with pytest.raises(LabError, match="arm latent: row 0 answers question .* misaligned"):
        run_evaluation()


@pytest.mark.parametrize("where", ["an arm", "the records"])
@pytest.mark.parametrize("defect, name", [("dropped", "dropped"), ("duplicated", "duplicated")])
def test_dropped_and_duplicated_rows(run_evaluation, monkeypatch, defect, name, where):
    def bent(rows):
        return rows[:-1] if defect == "dropped" else rows + rows[:1]

    if where == "an arm":
        kept = arms.text_arm
        monkeypatch.setattr(arms, "text_arm", lambda *given: bent(kept(*given)))
        with pytest.raises(LabError, match=f"arm source: .*{name}"):
            run_evaluation()
    else:
        kept = arms.check_records
        monkeypatch.setattr(arms, "check_records", lambda records, *given: kept(bent(records), *given))
        with pytest.raises(LabError, match=f"rows (were|are) {name}"):
            run_evaluation()


def test_a_shuffle_with_fixed_points(run_evaluation, monkeypatch):
    monkeypatch.setattr(arms, "derangement", lambda cells, seed, lengths: [1, 0, *range(2, len(cells))])
    with pytest.raises(LabError, match="shuffle has 6 fixed points"):
        run_evaluation()


def test_an_arm_scored_by_another_extractor(run_evaluation, monkeypatch):
    """The last integer anywhere in the text, for the latent arm alone."""
    kept = arms._scored

    def planted(task, question, answer, shots):
        row = kept(task, question, answer, shots)
        return row | {"extracted": question.gold, "correct": True} if row["soft_tokens"] else row

    monkeypatch.setattr(arms, "_scored", planted)
    with pytest.raises(LabError, match="arm latent was scored by another extractor"):
        run_evaluation()


def test_a_detached_loss(run_training, monkeypatch):
    kept = training.training_terms

    def planted(*given):
        return {name: term.detach() for name, term in kept(*given).items()}

    monkeypatch.setattr(training, "training_terms", planted)  # what the loop itself calls
    with pytest.raises(LabError, match="loss term 'answer_nll' is detached"):
        run_training()


def test_a_loss_that_reaches_no_weight(run_training, monkeypatch):
    """Attached to a graph, but not to the translator: detached soft tokens with a gradient of their own."""
    kept = objective.build_inputs

    def planted(target, layout, soft, *given):
        return kept(target, layout, soft.detach().requires_grad_(), *given)

    monkeypatch.setattr(objective, "build_inputs", planted)
    with pytest.raises(LabError, match="loss term 'answer_nll' is detached"):
        run_training()


def test_a_detached_auxiliary_loss(run_training, tiny_pair, monkeypatch):
    """The earlier script's flow loss: logged every step, trained nothing."""
    config = TranslatorConfig(soft_tokens=3, width=16, depth=1, heads=2)
    kind = type(build_translator(config, tiny_pair, "all"))
    kept = kind.forward

    def planted(self, source, teacher=None):
        soft = kept(self, source).soft_tokens
        return TranslatorOutput(soft, auxiliary={"flow": soft.detach().square().mean()})

    monkeypatch.setattr(kind, "forward", planted)
    for module in (training, experiment):
        monkeypatch.setattr(module, "due_weights", lambda config, step: {"answer_nll": 1.0, "flow": 0.1})
    monkeypatch.setattr(objective, "due_weights", lambda config, step: {"answer_nll": 1.0, "flow": 0.1})
    monkeypatch.setattr(objective, "_teacher", lambda *given: None)
    with pytest.raises(LabError, match="loss term 'flow' is detached"):
        run_training()


def test_training_evaluates_through_the_same_checks(run_training, monkeypatch):
    """The callback on dev is an evaluation as any other: a defect in it ends the training."""
    kept = arms.latent_arm
    monkeypatch.setattr(arms, "latent_arm", lambda *given: kept(*given)[::-1])
    with pytest.raises(LabError, match="misaligned"):
        run_training()
