"""Cards: everything is escaped, and the three that are read are chosen by a rule that includes a failure."""

import pytest
from drawn_records import ARMS, Tags, record
from payloads import PAYLOADS

from lab.errors import LabError
from lab.pictures.cards import kind_of, sample_cards, three_cards, three_of


@pytest.mark.parametrize("cards", [sample_cards, three_cards])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_cards_escape_every_field(payload, cards):
    row = record(0, payload) | {"id": payload, "gold": payload, "cell": payload, "word": payload}
    fields = {field: payload for field in ("text", "extracted", "saw", "prompt_tokens", "soft_tokens")}
    row["arms"] = {f"latent_{payload}": {"correct": False, **fields}, "latent": {"correct": False, **fields}}
    page = Tags()
    page.feed(cards([row]))
    assert page.tags <= {"style", "p", "div", "b", "span", "br", "details", "summary"} and page.attributes == {"class"}
    assert page.text.count(payload) >= 14  # shown as written


def test_cards_show_the_first_questions_with_every_arm():
    rows = [record(i) for i in range(6)]
    page = sample_cards(rows, limit=2)
    assert page.count('class="lab-card"') == 2 and "q0" in page and "q2" not in page and "2 of 6 questions" in page
    assert page.count("✓ right") + page.count("✗ wrong") == 2 * len(ARMS)


def answered(number, right):
    """A record in which the arms named by their first letters are right: s, t, l, and c for the constant control."""
    row = record(number)
    for arm, letter in {"source": "s", "target": "t", "latent": "l", "latent_constant": "c"}.items():
        row["arms"][arm]["correct"] = letter in right
    row["arms"]["latent_shuffled"]["correct"] = False
    return row


@pytest.mark.parametrize(
    ("rights", "chosen"),
    [
        # a failure first, then what only latent gets right, then what a control gets right as well
        (["l", "l", "lc", "", "lt", ""], [3, 0, 2]),
        # no failure: the nearest thing to one is among them
        (["l", "l", "l", "lt", "lc"], [0, 4, 3]),
        (["l", "l", "l", "lc"], [0, 1, 3]),
        (["l", "l", "l", "l"], [0, 1, 2]),
        # nothing but failures, and one question that is none
        (["", "t", "", "l"], [0, 1, 3]),
        (["l"], [0]),
    ],
)
def test_three_are_chosen_by_kind(rights, chosen):
    rows = [answered(number, right) for number, right in enumerate(rights)]
    assert [row["id"] for row in three_of(rows)] == [f"q{number}" for number in chosen]


def test_the_three_show_latent_its_controls_and_why_they_were_chosen():
    rows = [answered(number, right) for number, right in enumerate(["l", "l", "lc", "", "lt"])]
    assert [kind_of(row) for row in rows[2:]] == [
        "a control is right as well", "latent is wrong", "source or target is right as well"
    ]  # fmt: skip
    page = Tags()
    page.feed(three_cards(rows))
    text = page.text
    assert text.index("latent is wrong · lore/long/held_out · q3") < text.index("only latent is right · plain")
    assert "The first of each kind among 5 questions" in text and "only latent is right: 2" in text
    assert text.count("latent_shuffled") == text.count("latent_constant") == 3
    assert text.count("source: ✗ wrong") == 3 and "target: ✓ right" not in text
    with pytest.raises(LabError, match="no latent arm"):
        three_cards([{"arms": {"source": {"correct": True}}}])
