"""Laws of the evaluation: no gold gets in, controls are controls, records are complete, batches do not matter."""

import copy
import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from evaluations import alike, evaluated, evaluation_of

import lab.answers.arms as arms_module
import lab.answers.choosing as choosing_module
import lab.answers.latent as latent_module
import lab.answers.model_checks as model_checks
import lab.answers.text as text_module
from lab.answers import evaluate
from lab.answers.arms import ALL_ARMS, ARMS, RETRAINED, choose_cascade_prompt
from lab.answers.checks import check_complete, check_no_gold
from lab.answers.decoding import Hygiene
from lab.answers.evaluation import _device_name
from lab.answers.generation import AnswerCache, Decoding
from lab.answers.latent import derangement
from lab.answers.model_checks import check_token_counts, replay_check
from lab.answers.text import CASCADE_PROMPTS, cascade, cut_bytes, cut_text, handing, same_bytes
from lab.answers.wire import Wire
from lab.config.layout import LAYOUTS, TEXT
from lab.config.run import RunConfig, TranslatorConfig
from lab.errors import LabError
from lab.models.fingerprints import fingerprint, weights_of
from lab.models.inputs import build_inputs
from lab.runs import questions_hash
from lab.tasks import Dev, Question, Task, question_id
from lab.translators import Bridge, ConstantPrompt, build_translator

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
    return RunConfig.from_parameters(
        layout=layout, eval_batch_size=batch, shots=shots, max_new_tokens=tokens, soft_tokens=3
    )


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
    return evaluated(config, tiny_pair, TinyTask(), questions or questions_with(), **given)


def test_records_are_complete_and_ordered(tiny_pair, translator, constant):
    records = run(tiny_pair, translator=translator, constant=constant)
    assert [record["id"] for record in records] == [question.id for question in questions_with()]
    for record in records:
        assert tuple(record["arms"]) == ARMS[:-1]  # no prompt was tuned beside the text
        for arm, row in record["arms"].items():
            assert set(row) == {"text", "extracted", "correct", "saw", "context_aware", "prompt_tokens", "soft_tokens",
                                "new_tokens", "soft_from", "handed", "tokens", "gold_nats", "gold_tokens"}  # fmt: skip
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

    for module in (model_checks, latent_module, text_module):
        monkeypatch.setattr(module, "build_inputs", recording_build)

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
    with pytest.raises(LabError, match="needs a bridge 'latent'"):
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
        assert {arm: record["arms"][arm] for arm in other["arms"]} == alike([other])[0]["arms"]
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


def test_derangement_exchanges_questions_of_like_length():
    lengths = [17 * i % 101 for i in range(100)]
    donors = derangement(["a"] * 100, 5, lengths)
    assert sorted(donors) == list(range(100)) and all(donor != i for i, donor in enumerate(donors))
    assert max(abs(lengths[donor] - lengths[i]) for i, donor in enumerate(donors)) <= 8


def test_shuffled_gets_the_donors_soft_tokens(tiny_pair, translator, monkeypatch):
    given = []
    kept = Bridge.write
    monkeypatch.setattr(Bridge, "write", lambda *a: given.append([q.question for q in a[1]]) or kept(*a))
    run(tiny_pair, translator=translator, arms=("latent", "latent_shuffled"), config=settings(batch=64))
    whole = [texts for texts in given if len(texts) == len(TEXTS)]  # the checks look at fewer
    own, others = whole[:2]
    assert whole == [own, others] * 2  # once to be scored, once to be answered
    assert sorted(own) == sorted(TEXTS)
    assert all(one != other for one, other in zip(own, others, strict=True))


def test_baselines_are_generated_once(tiny_pair, tmp_path, monkeypatch):
    first = run(tiny_pair, cache_dir=tmp_path)
    calls = []
    monkeypatch.setattr(choosing_module, "generate", lambda *a: calls.append(1))
    assert run(tiny_pair, cache_dir=tmp_path) == first
    assert not calls


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

    monkeypatch.setattr(model_checks, "build_inputs", shifted)
    with pytest.raises(LabError, match="replay check"):
        replay_check(tiny_pair.target, contexts)


def test_replay_check_in_half_precision_compares_what_enters(tiny_pair, monkeypatch):
    """Two bfloat16 calls may round apart, which is no defect; other embeddings are."""
    contexts = [dict(instruction="", shots="", question=text) for text in TEXTS[:3]]
    half = replace(tiny_pair.target, dtype=torch.bfloat16)
    monkeypatch.setattr(model_checks, "greedy", lambda *given: pytest.fail("answers were compared"))
    replay_check(half, contexts)
    monkeypatch.setattr(
        model_checks, "build_inputs", lambda *given: replace(made := build_inputs(*given), embeds=-made.embeds)
    )
    with pytest.raises(LabError, match="replay check"):
        replay_check(half, contexts)


@pytest.mark.parametrize("kind", ["linear", "resampler"])
def test_as_many_soft_tokens_as_the_source_has(tiny_pair, kind):
    """A translator that writes one soft token per source token goes through every control."""
    config = TranslatorConfig(translator=kind, soft_tokens=0, soft_tokens_cap=20, width=16, depth=1, heads=2)
    settled = settings().replace(soft_tokens=0, soft_tokens_cap=20)
    records = everything(tiny_pair, build_translator(config, tiny_pair, "all"), config=settled)
    assert len({record["arms"]["latent"]["soft_tokens"] for record in records}) > 1


def test_an_adapter_goes_through_every_control(tiny_pair, translator):
    config = settings().replace(injection="adapter", adapter_scale=0.5)
    records = everything(tiny_pair, translator, config=config)
    assert all(record["arms"]["latent"]["saw"].endswith("<+soft×3>") for record in records)


class HintedTask(TinyTask):
    def hint(self, question):
        return "Note: it holds 7.\n" if question.cell.startswith("lore") else ""


EXTRA = tuple(arm for arm in ALL_ARMS if arm not in RETRAINED)


def everything(tiny_pair, translator, **given):
    config = given.pop("config", None) or settings()
    return evaluated(config, tiny_pair, HintedTask(), questions_with(), EXTRA, translator=translator, **given)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_arm_says_what_it_was_shown(tiny_pair, translator, layout):
    records = everything(tiny_pair, translator, config=settings(layout))
    for record in records:
        arms = record["arms"]
        assert tuple(arms) == EXTRA
        assert arms["token_budget"]["saw"] in arms["target"]["saw"] and arms["token_budget"]["prompt_tokens"] <= 3 + 1
        assert record["question"].startswith(arms["token_budget_question"]["handed"][0])
        assert arms["cascade"]["handed"] == [arms["source"]["text"].strip()]
        assert arms["source"]["text"].strip() in arms["cascade"]["saw"] and record["question"] in arms["cascade"]["saw"]
        spent = sum(len(text.encode()) for text in arms["same_bytes"]["handed"])
        assert spent <= 3 * 48 * 2
        assert ("it holds 7" in arms["text_hint"]["saw"]) == record["cell"].startswith("lore")
        assert arms["latent"]["soft_from"] == record["id"] != arms["latent_shuffled"]["soft_from"]
        for arm, row in arms.items():
            assert row["soft_tokens"] == (3 if arm.startswith("latent") else 0)
            assert row["context_aware"] == (not arm.startswith("latent") or layout == "soft_plus_text")


@pytest.mark.parametrize("prompt", sorted(CASCADE_PROMPTS))
def test_every_cascade_prompt_passes_the_checks(tiny_pair, prompt):
    arms = ("source", "target", "cascade", "same_bytes")
    records = evaluated(settings(), tiny_pair, TinyTask(), questions_with(), arms, cascade_prompt=prompt)
    assert len({record["arms"]["cascade"]["saw"] for record in records}) == len(TEXTS)


def test_the_cascades_prompt_is_that_with_which_the_cascade_is_right_most_often(tiny_pair, monkeypatch):
    right = {"note": 1, "aside": 4, "hint": 3, "example": 0}

    def answered(evaluation, arms, **given):
        hits = {"source": 5, "cascade": right[evaluation.cascade_prompt]}
        return [{"arms": {arm: {"correct": row < hits[arm]} for arm in arms}} for row in range(6)]

    monkeypatch.setattr(arms_module, "evaluate", answered)
    evaluation = evaluation_of(settings(), tiny_pair, TinyTask(), Dev(questions_with()))
    chosen, accuracies = choose_cascade_prompt(evaluation)
    assert chosen == "aside" and accuracies == {prompt: hits / 6 for prompt, hits in right.items()}


def test_batch_size_changes_no_control(tiny_pair, translator, monkeypatch):
    records = everything(tiny_pair, translator)
    monkeypatch.setattr(AnswerCache, "_memory", {})
    assert everything(tiny_pair, translator, config=settings(batch=1)) == alike(records)


def test_controls_of_the_soft_tokens_are_what_they_say(tiny_pair, translator):
    soft, questions = torch.randn(6, 3, 48), questions_with()
    bridge = Bridge(tiny_pair.source, translator)
    noisy = latent_module.noise(soft, questions)
    assert not latent_module.zero(soft, questions).any()
    torch.testing.assert_close(noisy.norm(dim=-1), soft.norm(dim=-1))
    assert torch.equal(noisy[2:3], latent_module.noise(soft[2:3], questions[2:3]))
    evaluation = evaluation_of(settings(), tiny_pair, TinyTask(), questions)
    own = bridge.write(questions).soft_tokens
    mean = latent_module.mean_of(bridge, evaluation)(own, questions)
    assert (mean == mean[0]).all()
    torch.testing.assert_close(mean[0].norm(dim=-1), own.norm(dim=-1).mean(dim=0), atol=1e-4, rtol=1e-4)
    assert torch.nn.functional.cosine_similarity(mean[0], own.mean(dim=0), dim=-1).min() > 0.999


def test_a_retrained_control_reads_its_own_source(tiny_pair, translator):
    config = TranslatorConfig(soft_tokens=3, width=16, depth=1, heads=2)
    torch.manual_seed(5)
    as_source = replace(tiny_pair, source=tiny_pair.target)
    own_states = Bridge(tiny_pair.target, build_translator(config, as_source, "last"))
    arms = ("latent", "latent_target_source")
    records = run(tiny_pair, translator=translator, arms=arms, controls={"latent_target_source": own_states})
    assert all(record["arms"]["latent_target_source"]["soft_from"] == record["id"] for record in records)
    with pytest.raises(LabError, match="needs a bridge 'latent_random_source'"):
        run(tiny_pair, translator=translator, arms=("latent_random_source",))


def test_texts_are_cut_to_their_budget(tiny_pair):
    text = TEXTS[2]
    for budget in range(1, 30):
        start, end = (cut_text(tiny_pair.target, text, budget, keep) for keep in ("start", "end"))
        assert text.startswith(start) and text.endswith(end)
        assert max(len(tiny_pair.target.tokens([piece])[0]) for piece in (start, end)) <= budget
    assert cut_text(tiny_pair.target, text, 1000) == text
    assert cut_bytes("héllo", 2) == "h" and cut_bytes("héllo", 3) == "hé" and cut_bytes("x", -1) == ""


def test_the_seal_says_all_that_fixes_an_evaluation(tiny_pair, translator, constant):
    config = settings(batch=2, shots=2)
    evaluation = evaluation_of(config, tiny_pair, TinyTask(), questions_with(), translator, constant)
    weights = {side: fingerprint(getattr(tiny_pair, side)) for side in ("source", "target")}
    shots = ["0 and 1?\n0\n#### 1", "1 and 1?\n1\n#### 2"]
    seal = evaluation.seal()
    assert json.loads(json.dumps(seal)) == seal == {
        "task": "tiny",
        "questions": questions_hash(questions_with()),
        "n": 6,
        "instruction": "Think.\n\n",
        "exemplars": [hashlib.sha256(text.encode()).hexdigest()[:16] for text in shots],
        "frames": {"source": ["", ""], "target": ["", ""]},
        "decoding": {"max_new_tokens": 8, "repetition_penalty": 1.0, "no_repeat_ngram": 0, "ends": "Task.answer_end"},
        "layout": {"template": evaluation.layout.template, "adapter_scale": evaluation.layout.adapter_scale},
        "source": {"name": "tiny-mistral", "weights": weights["source"]},
        "target": {"name": "tiny-llama", "weights": weights["target"]},
        "bridges": {
            "latent": {"weights": weights_of(translator), "source": weights["source"], "layers": [1, 2, 3]},
            "latent_constant": {"weights": weights_of(constant), "source": "", "layers": []},
        },
        "cascade_prompt": "note",
        "made_on": {"device": "cpu", "dtype": "float32", "batch": 2},
    }  # fmt: skip


def test_in_half_precision_the_seal_names_the_card_that_answered(monkeypatch):
    """Another card rounds otherwise there, and so writes another answer now and then."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    assert _device_name(torch.device("cuda:1"), torch.bfloat16) == "card 1"
    assert _device_name(torch.device("cuda:1"), torch.float32) == "cuda"
    assert _device_name(torch.device("cpu"), torch.bfloat16) == "cpu"


def test_every_arm_decodes_as_the_config_says(tiny_pair):
    config = settings().replace(repetition_penalty=1.2, no_repeat_ngram=3)
    evaluation = evaluation_of(config, tiny_pair, TinyTask(), questions_with())
    assert evaluation.decoding == Decoding(8, Hygiene(1.2, 3), evaluation.task.answer_end)


def test_the_source_alone_reads_its_evidence(tiny_pair):
    told = [replace(question, evidence="A blick is full.\n") for question in questions_with()]
    for record in run(tiny_pair, told, arms=("source", "target")):
        source, target = (record["arms"][arm] for arm in ("source", "target"))
        assert source["handed"] == ["A blick is full.\n"]
        assert f"A blick is full.\nQ: {record['question']}" in source["saw"]
        assert target["handed"] == [] and "full" not in target["saw"]


def test_a_cascade_is_whole_where_same_bytes_are_cut(tiny_pair):
    config, long = settings().replace(soft_tokens=1), TEXTS[2] * 2  # one soft token: 48 x 2 bytes
    question = Question(question_id(long), long, "12 = 12\n#### 12", "12", "")
    (record,) = run(tiny_pair, [question], config=config, arms=("source", "cascade", "same_bytes"))
    cut, whole = record["arms"]["same_bytes"], record["arms"]["cascade"]
    assert cut["handed"] == [long[:96], ""] and long not in cut["saw"]
    assert whole["handed"] == [record["arms"]["source"]["text"].strip()] and long in whole["saw"]


def test_the_cache_says_which_model_answered(tiny_pair, tmp_path):
    run(tiny_pair, cache_dir=tmp_path, arms=("source", "target"))
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines() if line]
    assert Counter(line["asked"]["model"] for line in lines) == {"tiny-mistral": 6, "tiny-llama": 6}


def test_questions_and_answers_are_paired_one_by_one(tiny_pair):
    evaluation = evaluation_of(settings(), tiny_pair, TinyTask(), questions_with())
    for made in (lambda: cascade(evaluation, []), lambda: same_bytes(evaluation, [], 9)):
        with pytest.raises(ValueError, match="shorter"):
            made()


@pytest.mark.parametrize("count", [2, 6, 7, 8, 13, 18, 19])
def test_a_block_of_the_shuffle_is_never_one_question(count):
    members = list(range(count))
    blocks = latent_module._blocks(members)
    assert sum(blocks, []) == members
    assert all(2 <= len(block) <= latent_module.LENGTH_BLOCK + 1 for block in blocks)


def test_the_noise_of_a_question_is_drawn_from_its_id():
    """Records of years ago were answered under it: it must be the same noise again."""
    question = replace(questions_with()[0], id="0123456789abcdef")
    drawn = torch.randn(3, 8, generator=torch.Generator().manual_seed(0x0123456789ABCDE))
    soft = torch.full((1, 3, 8), 2.0)
    wanted = drawn * (soft[0].norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(latent_module.noise(soft, [question])[0], wanted)


def test_soft_tokens_that_were_not_quantised_are_named_by_their_arm(tiny_pair, translator, monkeypatch):
    evaluation = evaluation_of(settings(), tiny_pair, TinyTask(), questions_with(), translator)
    monkeypatch.setattr(Wire, "through", lambda self, soft: soft)
    change = latent_module.change_of("latent_int4", evaluation.bridges["latent"], evaluation)
    with pytest.raises(LabError, match="^arm latent_int4: the soft tokens that arrive have 32 different values"):
        change(torch.randn(2, 3, 48), questions_with()[:2])


@pytest.mark.parametrize(
    "prompt, shown",
    [
        ("note", "Note: 4 figs\nQ: How many?\nA:"),
        ("aside", "Q: How many? (4 figs)\nA:"),
        ("hint", "Q: How many?\nHint: 4 figs\nA:"),
        ("example", "Q: How many?\nA: 4 figs\n\nQ: How many?\nA:"),
    ],
)
def test_a_cascade_prompt_by_hand(prompt, shown):
    context = {"instruction": "", "shots": "", "question": "How many?"}
    assert handing(context, "How many?", "4 figs", prompt).text == shown


def test_the_cascades_prompt_is_the_best_on_dev(tiny_pair, monkeypatch):
    """Every prompt is tried once with the evaluation as it is, and the one with most right answers is taken."""
    tried = []

    def counted(evaluation, arms, cache_dir, likelihoods):
        tried.append(evaluation.cascade_prompt)
        right = {"aside": 4, "hint": 5}.get(evaluation.cascade_prompt, 1)
        assert arms == ("source", "cascade") and list(evaluation.questions) == questions
        return [{"arms": {"cascade": {"correct": n < right}}} for n in range(6)]

    monkeypatch.setattr(arms_module, "evaluate", counted)
    monkeypatch.setattr(TinyTask, "test", lambda task: [])
    task = TinyTask()
    questions = list(Dev.of(task))
    chosen, accuracies = choose_cascade_prompt(evaluation_of(settings(), tiny_pair, task, Dev.of(task)))
    assert chosen == "hint" and sorted(tried) == sorted(CASCADE_PROMPTS)
    assert accuracies == {"note": 1 / 6, "aside": 4 / 6, "hint": 5 / 6, "example": 1 / 6}


def test_answers_of_other_weights_are_not_taken_from_the_cache(tiny_pair, tmp_path, monkeypatch):
    """A model that was trained on answers anew, though its name and its prompts are the same."""
    first = run(tiny_pair, cache_dir=tmp_path, arms=("target",))
    monkeypatch.setattr(AnswerCache, "_memory", {})
    other = copy.deepcopy(tiny_pair.target.model)
    with torch.no_grad():
        other.get_output_embeddings().weight.neg_()
    pair = replace(tiny_pair, target=replace(tiny_pair.target, model=other))
    again = run(pair, cache_dir=tmp_path, arms=("target",))
    assert [row["arms"]["target"]["text"] for row in again] != [row["arms"]["target"]["text"] for row in first]


def test_a_translator_of_another_size_than_the_config_says_is_refused(tiny_pair, constant):
    config = RunConfig.from_parameters(
        layout="soft_plus_text", eval_batch_size=4, shots=1, max_new_tokens=4, soft_tokens=2
    )
    with pytest.raises(LabError, match="has 3 soft tokens, the config says 2"):
        run(tiny_pair, config=config, constant=constant, arms=("latent_constant",))


def test_a_translator_that_reads_its_batch_is_refused(tiny_pair, translator):
    """Its soft tokens depend on what stands beside the question."""
    kept = translator.forward

    def forward(states, *given):
        output = kept(states, *given)
        return replace(output, soft_tokens=output.soft_tokens + output.soft_tokens.mean(dim=0, keepdim=True))

    translator.forward = forward
    with pytest.raises(LabError, match="alone than in a batch"):
        run(tiny_pair, translator=translator, arms=("latent",))


def test_progress_says_who_answers(tiny_pair, capfd):
    """A cascade has the source's answers first."""
    evaluate(replace(evaluation_of(settings(), tiny_pair, TinyTask(), questions_with()), progress=True), ("cascade",))
    shown = capfd.readouterr().err
    assert "source:" in shown and "cascade:" in shown


@pytest.mark.parametrize("arm", ["cascade", "same_bytes"])
def test_what_is_handed_over_is_the_answer_of_the_arm_source(tiny_pair, arm):
    """From all that the source reads, its evidence among it, though the arm itself was not asked for."""
    told = [replace(question, evidence="A blick is full of wugs.\n") for question in questions_with()]
    source = run(tiny_pair, told, arms=("source",))
    for alone, record in zip(source, run(tiny_pair, told, arms=(arm,)), strict=True):
        said = alone["arms"]["source"]["text"].strip()
        handed = record["arms"][arm]["handed"][-1]
        assert handed == said if arm == "cascade" else said.startswith(handed) and handed


def test_layouts_that_begin_with_soft_tokens_are_rebuilt_as_they_enter(tiny_pair, translator):
    """The text after soft tokens goes on from them; that at a prompt's start does not."""
    for layout in sorted(LAYOUTS):
        config = settings(layout)
        evaluation = evaluation_of(config, tiny_pair, TinyTask(), questions_with(), translator)
        written = evaluation.bridges["latent"].write(questions_with())
        contexts = [evaluation.context(question) for question in questions_with()]
        model_checks.check_soft_inputs(tiny_pair.target, evaluation.layout, written, contexts)
