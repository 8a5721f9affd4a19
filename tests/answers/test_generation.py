"""Where an answer ends, that batches do not matter, and the cache."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_tokenizer

from lab.answers.decoding import AnswersDone, Decoder, Hygiene
from lab.answers.generation import (
    AnswerCache,
    Asked,
    Decoding,
    Generation,
    cut_generation,
    generate,
    greedy,
    text_of,
)
from lab.config.layout import TEXT
from lab.errors import LabError
from lab.models import OwnSteps, positions
from lab.models.fingerprints import fingerprint
from lab.models.inputs import build_inputs
from lab.tasks import answer_end

QUESTIONS = ["Ana has 3 figs.", "Ben finds 4 blicks of 7 pens each and then loses 2 of them. How many pens?", "Hm?"]


class Letters:
    """One token per character; 0 is padding, 1 ends the text."""

    pad_token_id, eos_token_id = 0, 1

    def batch_decode(self, rows, skip_special_tokens, clean_up_tokenization_spaces):
        return ["".join(chr(token) for token in row if token > 1) for row in rows]


PLAIN = Decoding(64)


def said(text, new_tokens, shown=None):
    """What `text` is as a generation, of which `shown` are its tokens."""
    return Generation(text, new_tokens, tuple(tokens(text if shown is None else shown)), PLAIN)


def tokens(text):
    return [ord(letter) for letter in text]


def contexts_of(questions):
    return [dict(instruction="", shots="", question=question) for question in questions]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 + 1 = 2\n#### 2\n", "1 + 1 = 2\n#### 2"),
        ("#### 2\nQ: next", "#### 2"),
        ("no idea\n\nQ: next", "no idea\n\n"),
        ("#### 18.\nAnd", "#### 18"),
        ("#### 1,018 pens\nand", "#### 1,018"),
        ("#### 1 or 2\n#### 3\n", "#### 1 or 2"),
    ],
)
def test_ended_answers(text, shown):
    assert text[: answer_end(text)] == shown


UNENDED = ["", "#### 1", "#### 1,", "#### 1.", "#### 1,0", "####", "#### $", "3 + 4 = 7", "Q"]
UNENDED += ["#### 1 ", "#### 1 or 2", "#### 1. Count\n", "Her IQ: 120\n", "An FAQ:\n"]


@pytest.mark.parametrize("text", UNENDED)
def test_unended_answers(text):
    assert answer_end(text) is None


def test_cut_is_the_same_whatever_follows():
    wanted = cut_generation(Letters(), tokens("so 2\n#### 2\n"), [1], PLAIN)
    assert wanted == said("so 2\n#### 2", 12, "so 2\n#### 2\n")
    for tail in ("x", "more text\n#### 5\n", "\n\nQ: next", "\x00\x00\x00", "\x01\x00"):
        assert cut_generation(Letters(), tokens("so 2\n#### 2\n" + tail), [1], PLAIN) == wanted


def test_end_token_counts_and_padding_does_not():
    assert cut_generation(Letters(), [*tokens("#### 12"), 1, 0, 0], [1], PLAIN) == said("#### 12", 8)
    assert cut_generation(Letters(), [1, 0], [1], PLAIN) == said("", 1)
    assert cut_generation(Letters(), tokens("no end"), [1], PLAIN) == said("no end", 6)


def test_rows_stop_one_by_one_and_stay_stopped():
    first, second = "#### 7\n" + "z" * 89, "y" * 90 + "\nQ: x?"
    done, seen = AnswersDone(Letters()), []
    for step in range(4, 97, 4):
        seen.append(done([tokens(first)[:step], tokens(second)[:step]]))
    assert seen[0] == [False, False] and seen[1] == [True, False]  # ended at token 7, noticed at the next look
    assert all(row[0] for row in seen[1:]) and not seen[22][1] and seen[23] == [True, True]


def test_a_row_is_done_by_an_end_token_and_keeps_its_number():
    done = AnswersDone(Letters(), end_tokens=[1])
    assert done([tokens("3 + 4"), [*tokens("no"), 1, 50, 50]]) == [False, True]
    assert done([[*tokens("3 + 4"), 1]], rows=[2]) == [True]  # the rows beside it are no longer looked at
    assert done([tokens("3 + 4 = 7"), tokens("no"), tokens("3")], rows=[0, 1, 2]) == [False, True, True]


def test_a_word_that_ends_in_q_is_no_new_question_where_the_window_begins():
    """Only the newest tokens are looked at: "Q:" may stand first among them, and yet in the middle of a word."""
    said = "z" * 51 + "IQ: 120" + "z" * 50
    done = AnswersDone(Letters())
    assert not any(done([tokens(said)[:step]])[0] for step in range(1, len(said)))


def test_a_batch_answers_as_one_by_one(tiny_pair):
    for model in (tiny_pair.source, tiny_pair.target):
        together = greedy(model, build_inputs(model, TEXT, None, contexts_of(QUESTIONS), None), 24)
        alone = [greedy(model, build_inputs(model, TEXT, None, [c], None), 24)[0] for c in contexts_of(QUESTIONS)]
        assert together == alone
        assert all(0 < answer.new_tokens <= 24 for answer in together)


def test_sampling_settings_of_the_model_change_nothing(tiny_pair):
    model = tiny_pair.target
    inputs = build_inputs(model, TEXT, None, contexts_of(QUESTIONS), None)
    before, settings = greedy(model, inputs, 8), model.model.generation_config
    kept = settings.to_dict()
    try:
        settings.update(do_sample=True, temperature=5.0, top_k=3, repetition_penalty=1.9)
        assert greedy(model, inputs, 8) == before
    finally:
        settings.update(**kept)


def test_cache_survives_a_torn_line(tmp_path):
    a, b, c = (Asked("m", "w", prompt, PLAIN) for prompt in "abc")
    one, two = said("é\u2028\n#### 1", 3), said("2", 1)
    AnswerCache(tmp_path).put({a: one})
    with open(tmp_path / "answers.jsonl", "ab") as file:
        file.write(b'{"key": "torn", "te')
    cache = AnswerCache(tmp_path)
    cache.put({b: two})
    again = AnswerCache(tmp_path)
    assert (again.get(a), again.get(b), again.get(c)) == (one, two, None)


@pytest.mark.parametrize(
    "name, value",
    [
        ("text", 3),
        ("new_tokens", "3"),
        ("ids", ["x"]),
        ("asked", []),
        ("more", 1),
        ("new_tokens", -1),
        ("new_tokens", True),
        ("text", None),
        ("key", ["a"]),
        ("text", "\ud83d"),
    ],
)
def test_a_line_of_the_cache_with_another_type_is_forgotten(tmp_path, name, value):
    asked = Asked("m", "w", "Q", PLAIN)
    AnswerCache(tmp_path).put({asked: said("#### 1", 6)})
    path = tmp_path / "answers.jsonl"
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | {name: value}) + "\n")
    assert AnswerCache(tmp_path).get(asked) is None


def test_cache_key_sees_weights_prompt_and_decoding(tiny_pair):
    weights = fingerprint(tiny_pair.target)
    assert weights == fingerprint(tiny_pair.target) != fingerprint(tiny_pair.source)
    keys = {
        Asked(*parts).key
        for parts in (("m", weights, "Q", PLAIN), ("n", weights, "Q", PLAIN), ("m", "w", "Q", PLAIN),
                      ("m", weights, "R", PLAIN), ("m", weights, "Q", Decoding(9)),
                      ("m", weights, "Q", Decoding(64, Hygiene(1.1))), ("m", weights, "Q", Decoding(64, Hygiene(1, 3))),
                      ("m", weights, "Q", Decoding(64, ends=str.upper)))
    }  # fmt: skip
    assert len(keys) == 8
    parameter = next(tiny_pair.target.model.parameters())
    with torch.no_grad():
        kept = parameter.flatten()[0].item()
        parameter.view(-1)[0] += 1
        changed = fingerprint(tiny_pair.target)
        parameter.view(-1)[0] = kept
    assert changed != weights == fingerprint(tiny_pair.target)


def test_a_key_that_forgets_is_found_out(monkeypatch, tmp_path):
    """The answer under a key is only given for what it was made for, whatever the key says."""
    cache = AnswerCache(tmp_path)
    monkeypatch.setattr(Asked, "key", property(lambda self: "always the same"))
    cache.put({Asked("m", "w", "Q", PLAIN): said("#### 1", 6)})
    with pytest.raises(LabError, match="another max_new_tokens"):
        cache.get(Asked("m", "w", "Q", Decoding(8)))


def test_tokens_say_the_text_again(tiny_pair):
    inputs = build_inputs(tiny_pair.target, TEXT, None, contexts_of(QUESTIONS), None)
    for answer in generate(tiny_pair.target, inputs, Decoding(24, Hygiene(1.3, 3))):
        assert text_of(tiny_pair.target.tokenizer, answer.ids) == answer.text
        assert answer.decoding == Decoding(24, Hygiene(1.3, 3))


def test_hygiene_answers_alike_alone_and_in_a_batch(tiny_pair):
    """Rows that are done go on as padding; what is forbidden to one row must not depend on another."""
    for hygiene in (Hygiene(1.3), Hygiene(1.0, 2), Hygiene(1.2, 3)):
        decoding = Decoding(24, hygiene)
        for model in (tiny_pair.source, tiny_pair.target):
            together = generate(model, build_inputs(model, TEXT, None, contexts_of(QUESTIONS), None), decoding)
            for context, answer in zip(contexts_of(QUESTIONS), together, strict=True):
                assert generate(model, build_inputs(model, TEXT, None, [context], None), decoding) == [answer]


def test_a_fingerprint_sees_weights_and_vocabulary(tiny_pair):
    """Two models that differ in their tokenizer alone are two models."""
    other = tiny_tokenizer(r"\p{N}")  # that of the source: single digits
    assert len(other) == len(tiny_pair.target.tokenizer)
    assert fingerprint(replace(tiny_pair.target, tokenizer=other)) != fingerprint(tiny_pair.target)


def test_every_end_token_of_a_model_ends_an_answer(tiny_pair):
    """Llama 3 has several: its tokenizer names one of them, its generation settings all."""
    model = tiny_pair.target
    inputs = build_inputs(model, TEXT, None, contexts_of(QUESTIONS[:1]), None)
    (plain,), settings = greedy(model, inputs, 8), model.model.generation_config
    kept = settings.eos_token_id
    try:
        settings.eos_token_id = [model.tokenizer.eos_token_id, plain.ids[3]]
        (ended,) = greedy(model, inputs, 8)
    finally:
        settings.eos_token_id = kept
    first = plain.ids.index(plain.ids[3])
    assert (ended.ids, ended.new_tokens) == (plain.ids[:first], first + 1)


def test_what_was_asked_is_said_in_full():
    """These names stand in every line of a cache and in every seal: under others, old ones would not be read."""
    digest = "4ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260"  # SHA-256 of "Q"
    assert Asked("m", "w", "Q", Decoding(9, Hygiene(1.1, 3))).facts() == {
        "model": "m", "weights": "w", "prompt": digest, "max_new_tokens": 9, "repetition_penalty": 1.1,
        "no_repeat_ngram": 3, "ends": "answer_end",
    }  # fmt: skip


def test_inputs_of_another_precision_are_read_in_that_of_the_model(tiny_pair):
    inputs = build_inputs(tiny_pair.target, TEXT, None, contexts_of(QUESTIONS), None)
    finer = replace(inputs, embeds=inputs.embeds.double())
    assert generate(tiny_pair.target, finer, Decoding(4)) == generate(tiny_pair.target, inputs, Decoding(4))


def test_a_batch_whose_answers_have_ended_is_not_generated_on(tiny_pair):
    model, calls = tiny_pair.target, []
    hook = model.base.register_forward_hook(lambda *_: calls.append(1))
    try:
        inputs = build_inputs(model, TEXT, None, contexts_of(QUESTIONS), None)
        generate(model, inputs, Decoding(64, ends=lambda text: 0))
    finally:
        hook.remove()
    assert len(calls) < 16


@pytest.mark.parametrize("most", [1, 4, 7, 24])
def test_going_ahead_changes_no_answer(tiny_pair, monkeypatch, most):
    """As a GPU does, which says the next tokens while the host looks at the last ones."""
    model = tiny_pair.target
    monkeypatch.setattr(OwnSteps, "drops_rows", False)
    given = model.encode(
        ["Q: Tom has 3 apples.\nA:", "Q: How many pens are left in the box?\nA:"], bos=True, side="left"
    )
    said = {}
    for ahead in (False, True):
        decoder = Decoder(model, {"input_ids": given[0]}, given[1], positions(given[1]), most)
        decoder.ahead = ahead
        with torch.no_grad():
            said[ahead] = decoder.until(most, AnswersDone(model.tokenizer, lambda text: 5 if len(text) > 5 else None))
        assert decoder.said.shape[1] <= most
    assert all(one[: len(other)] == other[: len(one)] for one, other in zip(*said.values(), strict=True))
    assert [len(row) for row in said[False]] == [len(row) for row in said[True]]


def test_what_hygiene_forbids_is_in_no_answer(tiny_pair):
    """No token twice; without it this model does say some twice."""
    inputs = build_inputs(tiny_pair.target, TEXT, None, contexts_of(QUESTIONS), None)
    for hygiene, free in ((Hygiene(), False), (Hygiene(1.0, 1), True)):
        answers = generate(tiny_pair.target, inputs, Decoding(24, hygiene))
        assert all(len(set(answer.ids)) == len(answer.ids) for answer in answers) == free
