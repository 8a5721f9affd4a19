"""Laws of the checks on records: what is sound passes, and the message names arm and question of what is not."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from lab.answers.checks import (
    check_complete,
    check_derangement,
    check_handed,
    check_held_out,
    check_hints,
    check_no_gold,
    check_questions,
    check_records,
    check_same_prompt,
    check_scoring,
    check_splits,
    residue,
    unframed,
)
from lab.errors import LabError
from lab.tasks import Question
from lab.tasks.hotpotqa import HotpotQA
from lab.tasks.lore import lore, lore_by_word
from lab.tasks.minigsm import MiniGSM


def row(saw, handed=(), soft=0, text="3"):
    return {"saw": saw, "handed": list(handed), "soft_tokens": soft, "text": text}


def record(**arms):
    return {"id": "x", "question": "How many figs?", "arms": arms}


def test_residue_leaves_labels_only():
    shots = "Q: 1?\nA: 2\n\n"
    saw = f"Think.\n\n{shots}Q: How many figs?\nA:"
    assert residue(saw, "Think.\n\n", shots, "How many figs?", []) == "Q: \nA:"
    assert residue("<soft×16>\nA:", "", "", "How many figs?", []) == "\nA:"
    assert residue("Note: 12 each\nQ: How many figs?\nA:", "", "", "How many figs?", ["12 each"]) == "Note: \nQ: \nA:"
    # the longest text goes first: one that is a part of another would break it
    assert residue("Note: 12 each\nA:", "", "", "?", ["12", "12 each"]) == "Note: \nA:"


def test_what_is_handed_over_may_stand_in_the_shots_too():
    """The beginning of a question, or a source's "#### 2", occurs in the worked examples as well."""
    shots = "Q: How many are 1 and 1?\nA: #### 2\n\n"
    for handed, rest in (("How many", "Q: How many\nA:"), ("#### 2", "Note: #### 2\nQ: How many figs?\nA:")):
        saw = shots + rest
        assert "2" not in residue(saw, "", shots, "How many figs?", [handed])
        check_no_gold(Question("x", "How many figs?", "#### 2", "2", ""), saw, shots, [handed])


def test_soft_and_text_arms_may_differ_from_each_other_only():
    plain, soft = "Q: How many figs?\nA:", "<soft×4>\nA:"
    check_same_prompt([record(source=row(plain), target=row(plain), latent=row(soft, soft=4))])
    with pytest.raises(LabError, match="arm latent_zero reads a different prompt"):
        check_same_prompt([record(latent=row(soft, soft=4), latent_zero=row("<soft×4> A:", soft=4))])


def test_a_prompt_that_changes_between_questions_is_refused():
    one, other = (
        record(cascade=row("Note: 5\nQ: How many figs?\nA:", ["5"])),
        record(cascade=row("Hint: 5\nQ: How many figs?\nA:", ["5"])),
    )
    with pytest.raises(LabError, match="arm cascade reads a different prompt"):
        check_same_prompt([one, other])


@pytest.mark.parametrize(
    "arm, handed, sound",
    [
        ("cascade", "#### 3", True),
        ("cascade", "#### 4", False),
        ("same_bytes", "How many", True),
        ("same_bytes", "gold", False),
        ("token_budget", "figs?\nA:", True),
        ("token_budget", "figs? 3", False),
        ("token_budget_question", "How", True),
        ("token_budget_question", "How?", False),
        ("text_hint", "Note.", True),
        ("text_hint", "Note: 3.", False),
        ("target", "3", False),
    ],
)
def test_text_that_is_handed_over_has_an_origin(arm, handed, sound):
    plain = row("Q: How many figs?\nA:", text="#### 3")
    records = [record(source=plain, target=plain) if arm != "target" else record(source=plain)]
    records[0]["arms"][arm] = row("", [handed])
    if arm.startswith("token_budget"):
        records[0]["arms"]["target"] = plain
    if sound:
        check_handed(records, {"x": "Note."})
    else:
        with pytest.raises(LabError, match=f"arm {arm} was handed text of unknown origin"):
            check_handed(records, {"x": "Note."})


def test_a_right_answer_of_the_source_is_no_leak_but_the_gold_is():
    question = Question("x", "How many figs?", "1 + 2 = 3\n#### 3", "3", "")
    check_no_gold(question, "Note: #### 3\nQ: How many figs?\nA:", handed=["#### 3"])
    check_no_gold(question, "Note: so figs\n#### 3\nQ: How many figs?\nA:", handed=["figs", "so figs\n#### 3"])
    with pytest.raises(LabError, match="gold answer"):
        check_no_gold(question, "Note: #### 3\nQ: How many figs?\nA: #### 3", handed=["#### 3"])


def test_rows_are_counted_and_named():
    rows = [{"id": key, "arms": {}} for key in "abc"]
    check_complete(rows, list("abc"), [])
    for bent, ids, said in ((rows[:2], "abc", "dropped, first c"), (rows + rows[:1], "abc", "duplicated, first a"),
                            (rows[::-1], "abc", "another order")):  # fmt: skip
        with pytest.raises(LabError, match=said):
            check_complete(bent, list(ids), [])
    check_derangement([1, 2, 0])
    with pytest.raises(LabError, match="1 fixed points, first question 2"):
        check_derangement([1, 0, 2])


ASKED = Question("x", "Is 5 or 7 more? And Paris?", "5 + 7 = 12\n#### 12", "12", "")


@pytest.mark.parametrize(
    "text", ["#### 12", "####12.", "so\n####  12\n", "5 + 7 = 12\n#### 12", "It is 12.", "12", "1 2, 12"]
)
def test_gold_in_the_evidence_is_a_leak(text):
    with pytest.raises(LabError, match="question x: its evidence .* tells the gold answer"):
        check_questions(MiniGSM(), [replace(ASKED, evidence=text)])
    if "####" in text:
        with pytest.raises(LabError, match="question x: the gold answer stands in its evidence"):
            check_no_gold(replace(ASKED, evidence=text), "Q: Is 5 or 7 more? And Paris?\nA:")
        with pytest.raises(LabError, match="tells the gold answer"):  # marked, it may stand in no task's evidence
            check_questions(HotpotQA("nowhere"), [replace(ASKED, evidence=text)])


def test_what_the_question_says_is_no_leak_nor_are_paragraphs():
    for text in ("Five is 5, seven 7.", "A dozen.", "112 or 1.2", "#### 13"):
        check_questions(MiniGSM(), [replace(ASKED, evidence=text)])
    check_questions(MiniGSM(), [replace(ASKED, gold="7", answer="#### 7", evidence="It is 7."), replace(ASKED)])
    told = replace(ASKED, gold="Author 3", answer="#### Author 3", evidence="Book: Author 3 wrote it.\n")
    check_questions(HotpotQA("nowhere"), [told])
    with pytest.raises(LabError, match="tells the gold answer"):
        check_questions(MiniGSM(), [told])


def test_a_question_may_not_hold_its_own_solution():
    with pytest.raises(LabError, match="question x holds its own solution"):
        check_questions(MiniGSM(), [replace(ASKED, question=f"{ASKED.question} {ASKED.answer}")])


@pytest.mark.parametrize("word", ["", "lomum"])
def test_a_held_out_word_occurs_in_no_training_question(word):
    held = Question("a", "Ana has 3 lomums of figs.", "#### 6", "6", "lore/long/held_out", "lomum")
    told = Question("b", "Ben has 2 lomums of pens.", "#### 4", "4", "lore/long/seen", word)
    check_held_out([replace(told, question="Ben has 2 lomumers.", word="")], [held])
    check_held_out([told], [replace(held, cell="lore/long/seen")])
    with pytest.raises(LabError, match="training question b uses a word that is held out"):
        check_held_out([told], [held])


@pytest.mark.parametrize(
    ("text", "word", "refused"),
    [
        ("Where does (Ada-Byron) live?", "", True),  # two words that follow each other, whatever stands between
        ("Do the Ada\nByrons live there?", "", True),
        ("Where does she live?", "Ada Byron", True),  # said to be about it, without a word of it
        ("Does Byron know Ada?", "", False),
        ("Do Ada and Byron live there?", "", False),
        ("Where does Ada Byronson live?", "", False),
        ("Where does Cy Byron live?", "", False),
    ],
)
def test_a_held_out_name_of_two_words_is_found_as_a_whole(text, word, refused):
    held = Question("a", "Where does Ada Byron live?", "#### Rome", "Rome", "held_out", "Ada Byron")
    other = Question("b", "Where does Ada live?", "#### Oslo", "Oslo", "seen", "")
    with pytest.raises(LabError, match="training question c uses") if refused else nullcontext():
        check_held_out([other, replace(other, id="c", question=text, word=word)], [held])


def test_evidence_is_searched_before_training_too():
    class Told(MiniGSM):
        def train(self, count, seed):
            first, *rest = super().train(count, seed)
            return [*rest, replace(first, evidence=f"It is {first.gold}.")]

    with pytest.raises(LabError, match="its evidence .* tells the gold answer"):
        check_splits(Told(), 1, 9)


@pytest.mark.parametrize(
    "hint",
    [
        lambda question: f"Note: a {question.word} holds {question.gold}.\n",
        lambda question: f"Note: the answer is {question.gold}.\n",
        lambda question: MiniGSM().hint(question) + question.answer,
        lambda question: MiniGSM().hint(
            replace(question, word=next(c.word for c in lore() if c.word != question.word))
        ),
        lambda question: f"Note: a {question.word} holds {lore_by_word()[question.word].capacity + 1}.\n",
        lambda question: MiniGSM().hint(question).strip(),
    ],
    ids=["gold as capacity", "gold", "solution", "another word", "another capacity", "another form"],
)
def test_a_hint_says_the_lore_and_nothing_else(hint):
    """Whatever wrote it: the check asks the lore for the word that stands in the question."""
    task = MiniGSM()
    questions = [question for question in task.test() if question.word][:40]
    check_hints(task, task.test())
    task.hint = hint
    with pytest.raises(LabError, match=f"question {questions[0].id}: "):
        check_hints(task, questions)


def test_a_plain_question_has_no_hint():
    task = MiniGSM()
    plain = next(question for question in task.test() if not question.word)
    task.hint = lambda question: "Note: a blick holds 12.\n"
    with pytest.raises(LabError, match="do not say the hint"):
        check_hints(task, [plain])


def test_the_frame_of_each_model_is_taken_off_what_it_read():
    frames = {"source": ("[INST]", "[/INST]"), "target": ("<|user|>", "<|assistant|>")}
    asked = record(source=row("[INST]Q?[/INST]"), target=row("<|user|>Q?<|assistant|>"),
                   latent=row("<|user|>Q?<|assistant|><+soft×4>", soft=4))  # fmt: skip
    (bare,) = unframed([asked], frames)
    assert {arm: bare["arms"][arm]["saw"] for arm in bare["arms"]} == {
        "source": "Q?", "target": "Q?", "latent": "Q?<+soft×4>"
    }  # fmt: skip
    for arm in ("source", "target"):
        with pytest.raises(LabError, match=f"arm {arm} reads a different prompt: the chat template"):
            unframed([record(**{arm: row("Q?")})], frames)


def test_every_answer_is_scored_again_against_its_gold():
    def scored(said, correct):
        return record(latent=row("", text=f"#### {said}") | {"extracted": said, "correct": correct}) | {"gold": "3"}

    check_scoring([scored("3", True), scored("4", False)], MiniGSM())
    for said, correct in (("3", False), ("4", True)):
        with pytest.raises(LabError, match="arm latent was scored by another extractor: question x has"):
            check_scoring([scored(said, correct)], MiniGSM())


def test_records_are_held_to_the_hints_of_their_task():
    task = MiniGSM()
    question = next(question for question in task.test() if question.word)

    def hinted(text):
        saw = f"{task.instruction}{text}Q: {question.question}\nA:"
        arm = row(saw, [text], text="none") | {"extracted": task.extract("none"), "correct": False}
        return [{"id": question.id, "question": question.question, "gold": question.gold, "arms": {"text_hint": arm}}]

    check_records(hinted(task.hint(question)), [question], ["text_hint"], task)
    with pytest.raises(LabError, match="arm text_hint was handed text of unknown origin"):
        check_records(hinted("Note: a wug holds 2.\n"), [question], ["text_hint"], task)
