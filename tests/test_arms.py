"""Laws of the evaluation: no gold gets in, controls are controls, records are complete, batches do not matter."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

import lab.arms as arms_module
from lab.arms import ARMS, check_complete, check_no_gold, check_token_counts, derangement, evaluate, replay_check
from lab.config import RunConfig, TranslatorConfig
from lab.errors import LabError
from lab.generation import AnswerCache
from lab.inputs import build_inputs
from lab.layout import LAYOUTS, TEXT
from lab.tasks import Question, Task, question_id
from lab.translators import ConstantPrompt, build_translator

CELLS = ["plain/short", "plain/short", "lore/long/seen", "lore/long/seen", "lore/long/held_out", "plain/short"]
TEXTS = ["Ana has 3 figs. How many?", "Two and two?", "Ben opens 4 blicks of 7 pens each, loses 2. How many pens?",
         "Cleo has 2 dorps of eggs?", "Dan buys 5 wugs.", "Eva owns 12 coins and sells 5. How many now?"]  # fmt: skip


def questions_with(answer="12 = 12\n#### 12", gold="12"):
    return [Question(question_id(text), text, answer, gold, cell) for text, cell in zip(TEXTS, CELLS, strict=True)]


class TinyTask(Task):
    name, instruction = "tiny", "Think.\n\n"

    def train(self, count, seed):
        return []

    def dev(self):
        return questions_with()

    test = dev

    def exemplars(self, shots):
        return [
            Question(question_id(f"{n} and 1?"), f"{n} and 1?", f"{n}\n#### {n + 1}", f"{n + 1}", "")
            for n in range(shots)
        ]


def settings(layout="soft_plus_text", batch=4, shots=1, tokens=8):
    """The fields that an evaluation reads."""
    return RunConfig.from_parameters(layout=layout, eval_batch_size=batch, shots=shots, max_new_tokens=tokens)


@pytest.fixture
def translator(tiny_pair):
    torch.manual_seed(0)
    config = TranslatorConfig(translator="resampler", soft_tokens=3, width=16, depth=1, heads=2)
    return build_translator(config, tiny_pair, "all")


@pytest.fixture
def constant(tiny_pair):
    torch.manual_seed(1)
    return build_translator(replace(TranslatorConfig(soft_tokens=3, width=16, depth=1, heads=2), translator="constant"),
                            tiny_pair, "all")  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_memory(monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})


def run(tiny_pair, questions=None, **given):
    config = given.pop("config", None) or settings()
    return evaluate(config, tiny_pair, TinyTask(), questions or questions_with(), progress=False, **given)


def test_records_are_complete_and_ordered(tiny_pair, translator, constant):
    records = run(tiny_pair, translator=translator, constant=constant)
    assert [record["id"] for record in records] == [question.id for question in questions_with()]
    for record in records:
        assert tuple(record["arms"]) == ARMS
        for arm, row in record["arms"].items():
            assert set(row) == {"text", "extracted", "correct", "saw", "context_aware", "prompt_tokens", "soft_tokens",
                                "new_tokens"}  # fmt: skip
            assert row["soft_tokens"] == (3 if arm.startswith("latent") else 0)
            assert record["question"] in row["saw"] and row["saw"].startswith("Think.\n\n")
    assert isinstance(constant, ConstantPrompt)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_canary_the_gold_answer_reaches_no_arm(tiny_pair, translator, constant, layout, monkeypatch):
    """All that enters a model, tensors and texts, is the same for another gold; and the canary stands nowhere."""
    seen = []

    def recording_build(*given):
        inputs = build_inputs(*given)
        seen.append((inputs.embeds, inputs.attention_mask, inputs.position_ids))
        return inputs

    monkeypatch.setattr(arms_module, "build_inputs", recording_build)

    def everything(questions):
        seen.clear()
        monkeypatch.setattr(AnswerCache, "_memory", {})
        records = run(tiny_pair, questions, translator=translator, constant=constant, config=settings(layout, shots=2))
        shown = [[(row["saw"], row["text"]) for row in record["arms"].values()] for record in records]
        return shown, list(seen)

    shown, tensors = everything(questions_with())
    other_shown, other_tensors = everything(questions_with("xyzzy 987654\n#### 987654", "987654"))
    assert shown == other_shown and "987654" not in str(other_shown)
    assert len(tensors) == len(other_tensors) > 0
    for one, other in zip(tensors, other_tensors, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_leak_is_refused(tiny_pair):
    question = questions_with()[0]
    check_no_gold(question, f"Q: {question.question}\nA:")
    for leak in (question.answer, "#### 12"):
        with pytest.raises(LabError, match="gold answer stands"):
            check_no_gold(question, f"Q: {question.question}\nA: {leak}")
    contexts = [dict(instruction="", shots="", question=q.question) for q in questions_with()[:2]]
    inputs = build_inputs(tiny_pair.target, TEXT, None, contexts, None)
    check_token_counts(tiny_pair.target, TEXT, inputs, contexts, [0] * len(contexts))
    answers = [q.answer for q in questions_with()[:2]]
    training = build_inputs(tiny_pair.target, TEXT, None, contexts, answers)
    with pytest.raises(LabError, match="labels"):
        check_token_counts(tiny_pair.target, TEXT, training, contexts, [0] * len(contexts))
    training.labels = None  # the earlier script's defect: training inputs at evaluation, gold and all
    with pytest.raises(LabError, match="something unseen"):
        check_token_counts(tiny_pair.target, TEXT, training, contexts, [0] * len(contexts))


def test_an_exemplar_or_a_repeated_question_is_refused(tiny_pair):
    shown = Question(question_id("0 and 1?"), "0 and 1?", "#### 1", "1", "")
    with pytest.raises(LabError, match="also an exemplar"):
        run(tiny_pair, [shown])
    with pytest.raises(LabError, match="each once"):
        run(tiny_pair, questions_with()[:1] * 2)
    with pytest.raises(LabError, match="needs translator="):
        run(tiny_pair, arms=("latent",))
    with pytest.raises(LabError, match="not known"):
        run(tiny_pair, arms=("bridged",))


def test_incomplete_records_are_refused():
    records = [{"id": "a", "arms": {"source": {}}}]
    check_complete(records, ["a"], ["source"])
    with pytest.raises(LabError, match="differ in their ids"):
        check_complete(records, ["a", "b"], ["source"])
    with pytest.raises(LabError, match="lacks the arms"):
        check_complete(records, ["a"], ["source", "target"])


def test_batch_size_and_order_change_nothing(tiny_pair, translator, monkeypatch):
    records = run(tiny_pair, translator=translator)
    monkeypatch.setattr(AnswerCache, "_memory", {})
    one_by_one = run(tiny_pair, translator=translator, config=settings(batch=1), arms=("source", "target", "latent"))
    for record, other in zip(records, one_by_one, strict=True):
        assert {arm: record["arms"][arm] for arm in other["arms"]} == other["arms"]
    assert run(tiny_pair, translator=translator) == records  # the same weights give the same records


def test_derangement_stays_in_the_cell_and_has_no_fixed_point():
    cells = CELLS * 5 + ["lore/short/seen"]
    donors = derangement(cells, 3)
    assert donors == derangement(cells, 3) != derangement(cells, 4)
    assert all(donor != index for index, donor in enumerate(donors))
    assert all(cells[donor] == cell for donor, cell in zip(donors[:-1], cells[:-1], strict=True))
    assert cells[donors[-1]].startswith("lore/")  # alone in its cell: the nearest enclosing group
    assert set(Counter(donors[:-1]).values()) == {1}
    assert derangement(["a", "b"], 0) == [1, 0]
    with pytest.raises(LabError, match="two questions"):
        derangement(["a"], 0)


def test_shuffled_gets_the_donors_soft_tokens(tiny_pair, translator, monkeypatch):
    given = []
    kept = arms_module.soft_tokens
    monkeypatch.setattr(arms_module, "soft_tokens", lambda *a: given.append([q.question for q in a[3]]) or kept(*a))
    run(tiny_pair, translator=translator, arms=("latent", "latent_shuffled"), config=settings(batch=64))
    own, others = given
    assert sorted(own) == sorted(TEXTS)
    assert all(one != other for one, other in zip(own, others, strict=True))


def test_baselines_are_generated_once(tiny_pair, tmp_path, monkeypatch):
    first = run(tiny_pair, cache_dir=tmp_path)
    calls = []
    kept = arms_module.generate
    monkeypatch.setattr(arms_module, "generate", lambda *a: calls.append(1) or kept(*a))
    assert run(tiny_pair, cache_dir=tmp_path) == first
    assert len(calls) == 1  # the replay check alone


def test_evaluation_leaves_the_translator_in_training_mode(tiny_pair, translator):
    translator.train()
    state = torch.random.get_rng_state()
    run(tiny_pair, translator=translator, arms=("latent",))
    assert translator.training and torch.equal(state, torch.random.get_rng_state())


def test_replay_check_notices_other_inputs(tiny_pair, monkeypatch):
    contexts = [dict(instruction="", shots="", question=text) for text in TEXTS[:3]]
    replay_check(tiny_pair.target, contexts)

    def shifted(*given):
        inputs = build_inputs(*given)
        inputs.embeds = inputs.embeds.flip(-1)
        return inputs

    monkeypatch.setattr(arms_module, "build_inputs", shifted)
    with pytest.raises(LabError, match="replay check"):
        replay_check(tiny_pair.target, contexts)


def test_replay_check_in_half_precision_compares_what_enters(tiny_pair, monkeypatch):
    """Two bfloat16 calls may round apart, which is no defect; other embeddings are."""
    contexts = [dict(instruction="", shots="", question=text) for text in TEXTS[:3]]
    half = replace(tiny_pair.target, dtype=torch.bfloat16)
    monkeypatch.setattr(arms_module, "generate", lambda *given: pytest.fail("answers were compared"))
    replay_check(half, contexts)
    monkeypatch.setattr(
        arms_module,
        "build_inputs",
        lambda *given: replace(made := build_inputs(*given), embeds=-made.embeds),
    )
    with pytest.raises(LabError, match="replay check"):
        replay_check(half, contexts)
