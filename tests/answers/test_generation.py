"""Where an answer ends, that batches do not matter, and the cache."""

import pytest
import torch

from lab.answers.generation import (
    AnswerCache,
    AnswerDone,
    Generation,
    answer_end,
    answer_key,
    cut_generation,
    fingerprint,
    generate,
)
from lab.config.layout import TEXT
from lab.models.inputs import build_inputs

QUESTIONS = ["Ana has 3 figs.", "Ben finds 4 blicks of 7 pens each and then loses 2 of them. How many pens?", "Hm?"]


class Letters:
    """One token per character; 0 is padding, 1 ends the text."""

    pad_token_id, eos_token_id = 0, 1

    def batch_decode(self, rows, skip_special_tokens, clean_up_tokenization_spaces):
        return ["".join(chr(token) for token in row if token > 1) for row in rows]


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
        ("#### 18. And", "#### 18"),
        ("#### 1,018 and", "#### 1,018"),
        ("#### 2Q: next", "#### 2"),
    ],
)
def test_ended_answers(text, shown):
    assert text[: answer_end(text)] == shown


@pytest.mark.parametrize("text", ["", "#### 1", "#### 1,", "#### 1.", "#### 1,0", "####", "#### $", "3 + 4 = 7", "Q"])
def test_unended_answers(text):
    assert answer_end(text) is None


def test_cut_is_the_same_whatever_follows():
    wanted = cut_generation(Letters(), tokens("so 2\n#### 2\n"), [1])
    assert wanted == Generation("so 2\n#### 2", 12)
    for tail in ("x", "more text\n#### 5\n", "\n\nQ: next", "\x00\x00\x00", "\x01\x00"):
        assert cut_generation(Letters(), tokens("so 2\n#### 2\n" + tail), [1]) == wanted


def test_end_token_counts_and_padding_does_not():
    assert cut_generation(Letters(), [*tokens("#### 12"), 1, 0, 0], [1]) == Generation("#### 12", 8)
    assert cut_generation(Letters(), [1, 0], [1]) == Generation("", 1)
    assert cut_generation(Letters(), tokens("no end"), [1]) == Generation("no end", 6)


def test_rows_stop_one_by_one_and_stay_stopped():
    first, second = "#### 7\n" + "z" * 89, "y" * 90 + "\nQ: x?"
    criteria, seen = AnswerDone(Letters()), []
    for step in range(1, 97):
        ids = torch.tensor([tokens(first)[:step], tokens(second)[:step]])
        seen.append(criteria(ids, None).tolist())
    assert seen[6] == [False, False] and seen[7] == [True, False]  # ended at token 7, noticed at the next look
    assert all(row[0] for row in seen[7:]) and not seen[90][1] and seen[95] == [True, True]


def test_a_batch_answers_as_one_by_one(tiny_pair):
    for model in (tiny_pair.source, tiny_pair.target):
        together = generate(model, build_inputs(model, TEXT, None, contexts_of(QUESTIONS), None), 24)
        alone = [generate(model, build_inputs(model, TEXT, None, [c], None), 24)[0] for c in contexts_of(QUESTIONS)]
        assert together == alone
        assert all(0 < answer.new_tokens <= 24 for answer in together)


def test_sampling_settings_of_the_model_change_nothing(tiny_pair):
    model = tiny_pair.target
    inputs = build_inputs(model, TEXT, None, contexts_of(QUESTIONS), None)
    before, settings = generate(model, inputs, 8), model.model.generation_config
    kept = settings.to_dict()
    try:
        settings.update(do_sample=True, temperature=5.0, top_k=3, repetition_penalty=1.9)
        assert generate(model, inputs, 8) == before
    finally:
        settings.update(**kept)


def test_cache_survives_a_torn_line(tmp_path):
    one, two = Generation("é\u2028\n#### 1", 3), Generation("2", 1)
    AnswerCache(tmp_path).put({"a": one})
    with open(tmp_path / "answers.jsonl", "ab") as file:
        file.write(b'{"key": "torn", "te')
    cache = AnswerCache(tmp_path)
    assert cache.get("torn") is None
    cache.put({"b": two})
    again = AnswerCache(tmp_path)
    assert (again.get("a"), again.get("b"), again.get("c")) == (one, two, None)


@pytest.mark.parametrize("line", [
    '{"key": "a", "text": 3, "new_tokens": 1}', '{"key": "a", "text": "#### 1", "new_tokens": "1"}',
    '{"key": "a", "text": "#### 1", "new_tokens": -1}', '{"key": "a", "text": "#### 1", "new_tokens": true}',
    '{"key": "a", "text": null, "new_tokens": 1}', '{"key": ["a"], "text": "", "new_tokens": 1}', "[" * 100_000,
    '{"key": "a", "text": "\\ud83d", "new_tokens": 1}',
], ids=lambda line: line[:60])  # fmt: skip
def test_a_line_of_the_cache_that_is_no_answer_is_answered_again(tmp_path, line):
    (tmp_path / "answers.jsonl").write_text(line + "\n")
    cache = AnswerCache(tmp_path)
    assert cache.get("a") is None
    cache.put({"a": Generation("#### 7", 4)})
    assert AnswerCache(tmp_path).get("a") == Generation("#### 7", 4)


def test_cache_key_sees_weights_prompt_and_limit(tiny_pair):
    weights = fingerprint(tiny_pair.target)
    assert weights == fingerprint(tiny_pair.target) != fingerprint(tiny_pair.source)
    keys = {
        answer_key(*parts)
        for parts in (("m", weights, "Q", 8), ("n", weights, "Q", 8), ("m", "w", "Q", 8), ("m", weights, "R", 8),
                      ("m", weights, "Q", 9))
    }  # fmt: skip
    assert len(keys) == 5
    parameter = next(tiny_pair.target.model.parameters())
    with torch.no_grad():
        kept = parameter.flatten()[0].item()
        parameter.view(-1)[0] += 1
        changed = fingerprint(tiny_pair.target)
        parameter.view(-1)[0] = kept
    assert changed != weights == fingerprint(tiny_pair.target)
