"""Log-likelihoods of endings: those of the model's own forward, alone as in a batch; and answers chosen by them."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from evaluations import evaluation_of
from own_questions import rows, write

from lab.answers import choosing, evaluate, log_likelihoods, repeated, token_prompts
from lab.answers.choosing import option_nats, option_rows
from lab.answers.latent import latent_inputs
from lab.config import TEXT, RunConfig
from lab.costs import inference_rows, time_by_length
from lab.errors import LabError
from lab.evidence.refusals import check_scorer
from lab.models import build_inputs
from lab.runs import broken_seal
from lab.runs.seals import row_digest
from lab.tasks import judged, load_task, preferred
from lab.translators import build_translator

CLOSE = 1e-4  # nats
ARMS = ("source", "target", "latent", "token_budget", "token_budget_question", "cascade", "same_bytes",
        "latent_shuffled", "latent_zero", "latent_noise", "latent_mean", "latent_int8", "latent_constant")  # fmt: skip
CONTEXTS = [
    {"question": text} for text in ("How many pens are there?", "Tom has 3 apples?", "Ann reads 40 pages a day")
]


def of_text(model, prompt: list[int], ending: list[int]) -> float:
    """The plain way: the whole row through the model alone, without padding, its own logits."""
    logits = model.model(input_ids=torch.tensor([prompt + ending])).logits[0].float().log_softmax(-1)
    return sum(logits[len(prompt) + place - 1, token].item() for place, token in enumerate(ending))


@pytest.fixture(params=["source", "target"])
def model(request, tiny_pair):
    return getattr(tiny_pair, request.param)


@torch.no_grad()
def test_likelihoods_are_those_of_the_models_own_forward(model):
    prompts = model.tokens([f"<s>Q: {context['question']}\nA:" for context in CONTEXTS])
    endings = model.tokens([" 3 + 12 = 15.", " 7", " There are 24 pens, so many"], continued=True)
    expected = [of_text(model, *pair) for pair in zip(prompts, endings, strict=True)]
    built = build_inputs(model, TEXT, None, CONTEXTS)
    for inputs in (token_prompts(model, prompts), built):
        found = log_likelihoods(model, inputs, endings)
        assert [one.nats for one in found] == pytest.approx(expected, abs=CLOSE)
        assert [one.tokens for one in found] == [len(ending) for ending in endings]
    alone = [log_likelihoods(model, repeated(built, [row]), [ending])[0] for row, ending in enumerate(endings)]
    assert [one.nats for one in alone] == pytest.approx(expected, abs=CLOSE)
    read = log_likelihoods(model, built, endings, [1, 0, 2])
    first = log_likelihoods(model, built, [endings[0][:1], endings[1], endings[2][:2]])
    assert [read[row].nats + first[row].nats for row in (0, 2)] == pytest.approx([expected[0], expected[2]], abs=CLOSE)


@torch.no_grad()
def test_next_tokens_share_one_probability_and_the_greedy_one_is_flagged(model):
    prompt, size = build_inputs(model, TEXT, None, CONTEXTS[:1]), len(model.tokenizer)
    found = log_likelihoods(model, repeated(prompt, [0] * size), [[token] for token in range(size)])
    assert sum(torch.tensor([one.nats for one in found]).exp()).item() == pytest.approx(1, abs=1e-4)
    assert [one.greedy for one in found].count(True) == 1
    assert max(range(size), key=lambda token: found[token].nats) == [one.greedy for one in found].index(True)


@torch.no_grad()
def test_an_option_is_scored_after_the_marker_that_all_share(model):
    prompt = build_inputs(model, TEXT, None, CONTEXTS[:1])
    endings, shared = option_rows(model, ("A", "B", "C"))
    assert shared == len(model.tokens([" ####"], continued=True)[0])
    (nats,) = option_nats(model, prompt, [(endings, shared)], 2)
    assert sum(torch.tensor(nats).exp()).item() < 1
    whole = log_likelihoods(model, repeated(prompt, [0, 0, 0]), endings)
    gaps = [one.nats - some for one, some in zip(whole, nats, strict=True)]
    assert gaps == pytest.approx([gaps[0]] * 3, abs=2e-4)  # the marker's own, in every option


def test_what_has_no_likelihood_is_refused(model):
    prompts = build_inputs(model, TEXT, None, CONTEXTS)
    with pytest.raises(LabError, match="an ending without a token"):
        log_likelihoods(model, prompts, [[3], [], [4]])
    with pytest.raises(LabError, match="2 endings for 3 prompts"):
        log_likelihoods(model, prompts, [[3], [4]])
    with pytest.raises(LabError, match="unlabelled"):
        log_likelihoods(model, build_inputs(model, TEXT, None, CONTEXTS, ["1", "2", "3"]), [[3], [4], [5]])
    with pytest.raises(LabError, match="reads at most 1024 tokens"):
        log_likelihoods(model, prompts, [[3], [4], [5] * 1024])
    with pytest.raises(LabError, match="2 log-likelihoods of 3 options"):
        preferred([-1.0, -2.0], ["a", "b", "c"], "sum")


@pytest.fixture(params=["choice", "choice_per_character"])
def chosen(request, tiny_pair, tmp_path):
    """An evaluation of eight questions of a user's own file."""
    config = RunConfig.from_parameters(
        task="jsonl", data=str(write(tmp_path / "mine.jsonl", rows(request.param))), scorer=request.param, shots=2,
        test_questions=8, soft_tokens=3, width=16, depth=1, heads=2, layout="soft_in_context", max_new_tokens=4,
        eval_batch_size=3,
    )  # fmt: skip
    task = load_task(config.task)
    torch.manual_seed(0)
    translator, constant = (
        build_translator(replace(config.translator, translator=kind), tiny_pair, "all").eval()
        for kind in ("resampler", "constant")
    )
    return evaluation_of(config, tiny_pair, task, task.test(), translator, constant)


@pytest.fixture
def records(chosen):
    return evaluate(chosen, ARMS)


def test_every_arm_chooses_its_likeliest_option(chosen, records):
    for question, record in zip(chosen.questions, records, strict=True):
        assert record["choices"] == list(question.choices) and len(question.choices) == 3
        for arm in ARMS:
            answer = record["arms"][arm]
            place = preferred(answer["options"], question.choices, chosen.task.chooses)
            assert answer["text"] == f"#### {question.choices[place]}" and answer["new_tokens"] == 0
            assert judged(chosen.task, record, answer) == (answer["extracted"], answer["correct"])
            assert answer["correct"] == (question.choices[place] == question.gold)
            for option in question.choices:  # none is read before it is scored, but where the question shows it
                assert f"#### {option}" not in answer["saw"].replace(chosen.shared["shots"], "").replace(
                    "".join(answer["handed"]), "")  # fmt: skip
    if chosen.task.chooses == "per_character":
        sums = [preferred(record["arms"]["target"]["options"], record["choices"], "sum") for record in records]
        assert any(f"#### {record['choices'][place]}" != record["arms"]["target"]["text"]
                   for place, record in zip(sums, records, strict=True))  # fmt: skip


@torch.no_grad()
def test_options_are_scored_as_each_alone_by_the_plain_way(chosen, records):
    target, bridge = chosen.pair.target, chosen.bridges["latent"]
    for question, record in zip(chosen.questions[:3], records, strict=False):
        endings, shared = option_rows(target, question.choices)
        prompt = target.tokens([f"<s>{record['arms']['target']['saw']}"])[0]
        plain = [of_text(target, prompt + row[:shared], row[shared:]) for row in endings]
        assert record["arms"]["target"]["options"] == pytest.approx(plain, abs=2e-4)
        inputs = latent_inputs(target, chosen.layout, bridge.write([question]), [chosen.context(question)])
        alone = [option_nats(target, inputs, [([row], shared)], 1)[0][0] for row in endings]
        assert record["arms"]["latent"]["options"] == pytest.approx(alone, abs=2e-4)


def test_the_gold_reaches_no_input(chosen, records):
    others = [next(option for option in question.choices if option != question.gold) for question in chosen.questions]
    moved = [replace(question, gold=gold, answer=f"#### {gold}")
             for question, gold in zip(chosen.questions, others, strict=True)]  # fmt: skip
    again = evaluate(replace(chosen, questions=moved), ARMS)
    for record, other in zip(records, again, strict=True):
        for arm in ARMS:
            assert record["arms"][arm]["options"] == other["arms"][arm]["options"]
            assert record["arms"][arm]["saw"] == other["arms"][arm]["saw"]


def test_another_choice_than_the_likeliest_is_found_on_reading(chosen, records, monkeypatch):
    check_scorer(records, chosen.task)
    bent = copy.deepcopy(records)
    answer = bent[0]["arms"]["latent"]
    answer["options"] = [-value for value in answer["options"]]
    with pytest.raises(LabError, match="scored by another extractor"):
        check_scorer(bent, chosen.task)
    assert judged(chosen.task, bent[0], {**answer, "options": []})[1] is False
    monkeypatch.setattr(choosing, "preferred", lambda nats, *_: nats.index(min(nats)))
    with pytest.raises(LabError, match="not the option that its log-likelihoods prefer"):
        evaluate(chosen, ("target",))


def test_a_clock_that_generates_is_refused(chosen):
    with pytest.raises(LabError, match="chosen by likelihood generates none"):
        inference_rows(chosen, 1)
    with pytest.raises(LabError, match="only generation is timed"):
        time_by_length(chosen, chosen.questions[:1], [4])


def test_the_seal_fixes_options_and_how_they_are_compared(chosen, records):
    seal, fewer = chosen.seal(), [replace(chosen.questions[0], choices=chosen.questions[0].choices[:2])]
    assert seal["chooses"] == chosen.task.chooses
    one = replace(chosen, questions=chosen.questions[:1])
    assert one.seal()["questions"] != replace(chosen, questions=fewer).seal()["questions"]
    digests = {record["id"]: row_digest(record) for record in records}
    assert not broken_seal(json.loads(json.dumps(records)), {"evaluation": seal, "rows": digests})
