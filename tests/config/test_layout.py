"""Laws of layouts: text stays text, exactly one place for soft tokens, and no way in for an answer."""

import pytest

from lab.config.layout import LAYOUTS, SOFT, TEXT, Layout, get_layout
from lab.errors import LabError

PARTS = {"instruction": "Solve.\n\n", "shots": "Q: a\nA: b\n\n", "question": "How many {soft}?"}


def test_segments_of_the_named_layouts():
    assert LAYOUTS["soft_only"].segments(**PARTS) == ["Solve.\n\n", SOFT, "\nA:"]
    assert LAYOUTS["soft_in_context"].segments(**PARTS) == ["Solve.\n\nQ: a\nA: b\n\nQ:", SOFT, "\nA:"]
    assert LAYOUTS["soft_plus_text"].segments(**PARTS) == [
        "Solve.\n\n", SOFT, "Q: a\nA: b\n\nQ: How many {soft}?\nA:",
    ]  # fmt: skip
    assert TEXT.segments(**PARTS) == ["Solve.\n\nQ: a\nA: b\n\nQ: How many {soft}?\nA:"]


def test_an_empty_part_leaves_no_empty_segment():
    assert LAYOUTS["soft_only"].segments("", "", "q") == [SOFT, "\nA:"]
    assert get_layout("{soft}").segments("", "", "q") == [SOFT]


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), TEXT], ids=lambda layout: layout.name)
def test_the_question_is_seen_exactly_if_context_aware(layout):
    assert layout.context_aware == (PARTS["question"] in layout.visible_text(**PARTS, soft_tokens=4))
    assert layout.has_soft == ("<soft×4>" in layout.visible_text(**PARTS, soft_tokens=4))


def test_context_awareness_by_name():
    aware = {name: layout.context_aware for name, layout in LAYOUTS.items()}
    assert aware == {"soft_only": False, "soft_in_context": False, "soft_plus_text": True}


def test_a_template_is_a_layout():
    layout = get_layout("Read {{this}}: {soft} now {question}")
    assert layout.segments("", "", "x") == ["Read {this}: ", SOFT, " now x"]
    assert layout.visible_text("", "", "x", 2) == "Read {this}: <soft×2> now x"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{soft}{answer}", "unknown placeholder {answer}"),
        ("{soft}{question.answer}", "unknown placeholder"),
        ("{soft}{}", "unknown placeholder"),
        ("{soft}{soft}", "exactly one"),
        ("{question}", "no {soft}"),
        ("{soft", "no template"),
        ("{soft!r}", "bare name"),
        ("soft_onyl", "choose one of soft_only"),
        (3, "not a text"),
    ],
)
def test_bad_layouts_are_refused(template, message):
    with pytest.raises(LabError, match=message.replace("{", r"\{").replace("}", r"\}")):
        get_layout(template)


def test_a_layout_made_directly_is_checked_too():
    with pytest.raises(LabError, match="gold"):
        Layout("leak", "{soft}{gold}")
