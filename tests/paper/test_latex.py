"""Numbers and texts as LaTeX: nothing that a model or a file wrote does anything but print itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.paper.latex import Tabular, camel, code, decimal, ends, p_cell, p_text, percent, signed
from lab.paper.macros import Macros, used_in
from lab.paper.sample_table import choose, kind_of, samples_of


def test_numbers():
    assert decimal(1319.46) == r"1\,319.5" and decimal(-3) == r"\ensuremath{-}3.0"
    assert decimal(-0.04) == "0.0"  # no minus before nought
    assert signed(2.25) == r"\ensuremath{+}2.2" and signed(0.01) == "0.0" and signed(-1) == r"\ensuremath{-}1.0"
    assert percent(0.935) == "93.5" and ends(0.1, 0.25, factor=100) == r"\mbox{[10.0, 25.0]}"


def test_p_values_stand_after_a_p():
    assert p_text(0.0001) == r"\ensuremath{<}\,.001" and p_text(0.0172) == r"\ensuremath{=}\,.017"
    assert p_text(1.0) == r"\ensuremath{=}\,1" and p_cell(0.0172) == ".017" and p_cell(None) == ""


def test_names_have_letters_only():
    assert camel("latent_int8") == "LatentIntEight" and camel("degradation_below_10") == "DegradationBelowOneZero"


@given(st.text())
def test_code_shows_itself(text):
    """Whatever is unescaped in it was put there: a command word, a brace of ours."""
    made = code(text)
    assert made.startswith(r"\texttt{") and made.endswith("}")
    bare = re.sub(r"\\[A-Za-z]+|\\[{}$&#%_]", "", made)
    assert not set(bare) & set("\\$&#%_^")  # ~ is a space that holds


def test_a_macro_is_given_once_and_announced():
    macros = Macros()
    macros.give(["One", "Two"], {"One": "1"}, "A")
    assert (
        macros["AOne"] == "1"
        and macros["ATwo"] == r"\notrun{}"
        and r"\newcommand{\AOne}{1}" in macros.text({"AOne", "NewPage"})
    )
    assert "ATwo" not in macros.text({"AOne"}) and used_in(r"\AOne{} of \ATwo") == {"AOne", "ATwo"}
    with pytest.raises(LabError, match="taken"):
        macros.give(["One"], None, "A")
    with pytest.raises(LabError, match="letters"):
        macros.give(["B2"], None)
    with pytest.raises(LabError, match="announced"):
        macros.give(["Three"], {"Four": "4"})


def test_a_table_is_booktabs():
    table = Tabular("lr", ["a", "b"], [["x", "1"], None, ["y", "2"]])
    table.rows.append(table.spanning("z"))
    assert table.text().count(r"\midrule") == 2 and r"\multicolumn{2}" in table.text()


HOSTILE = "\\end{document} 100% & $x_1^2$ #1 ~{}\u202eabc \ud800 <<1+1=2>> ```"


def row(key, source, target, latent, text="#### 1"):
    arms = {arm: {"correct": right, "text": text} for arm, right in
            (("source", source), ("target", target), ("latent", latent))}  # fmt: skip
    return {"id": key, "cell": "lore/long/seen", "question": text, "gold": "1", "arms": arms}


def test_samples_are_chosen_by_a_rule():
    rows = [row(f"{i:02}", i % 2 == 0, i % 3 == 0, i % 4 != 0) for i in range(60)]
    chosen = choose(rows)
    assert {kind: len(found) for kind, found in chosen.items()} == {"enrichment": 7, "failure": 7, "success": 6}
    for kind, found in chosen.items():
        assert [one["id"] for one in found] == sorted(one["id"] for one in found)
        assert all(kind_of(one) == kind for one in found)
    assert choose(rows[::-1]) == chosen  # whatever the order of the file


def test_failures_that_another_arm_gets_right_come_first():
    rows = [row("a", False, False, False), row("b", False, True, False)]
    assert [one["id"] for one in choose(rows)["failure"]] == ["b", "a"]


def test_hostile_samples_are_escaped():
    made = samples_of([row("a", False, False, True, HOSTILE)])
    assert r"\end{document}" not in made and r"\textbackslash{}end\{document\}" in made
    assert "[U+202E]" in made and "<<1+1=2>>" not in made and "\u202e" not in made
    assert not re.search(r"(?<!\\)[%&#$_]", made)
