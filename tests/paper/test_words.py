"""The hand-written words: no number is typed, every macro exists, every citation has its entry and is needed."""

import re

import pytest
import yaml

from lab.paper.building import PAPER, SENTENCES

HAND_WRITTEN = ("paper.tex", SENTENCES)
# Names that hold digits and are no numbers of ours.
NAMES = (
    "GSM8K",
    "Mistral-7B",
    "Llama-3.1-8B",
    "SmolLM2-135M-Instruct",
    "Gemma-3-270M",
    "bf16",
    "int8",
    "int4",
    "gsm8k*.yaml",
    "3.1-8B",
)
# Where digits are no words: the class, lengths, labels and files, citation keys, names of notebooks.
TYPESETTING = re.compile(
    r"^\\documentclass.*$|(?<!\\)%.*$|\\(?:vspace|setlength\{\\\w+\})\{[^}]*\}|\\(?:label|ref|cite[pt]?|input|labfigure|tableof"
    r"(?:\[[^]]*\])?)\{[^}]*\}|\\\\\[[^]]*\]|\\texttt\{\d\d\\_\w+(?:\\_\w+)*\}",
    re.M,
)
DEFINED = re.compile(r"\\newcommand\{\\(\w+)\}")
USED = re.compile(r"\\([A-Z][A-Za-z]+)")


def words(name: str) -> str:
    """The text that a reader reads."""
    if name.endswith(".tex"):
        return (PAPER / name).read_text("utf-8")
    found = yaml.safe_load((PAPER / name).read_text("utf-8"))
    return "\n".join(text for states in found.values() for text in states.values())


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_no_number_is_typed_by_hand(name):
    text = TYPESETTING.sub("", words(name))
    for known in NAMES:
        text = text.replace(known, "")
    found = [line.strip() for line in text.splitlines() if re.search(r"\d", line)]
    assert not found, f"{name}: a number of the paper is a macro of macros.tex; typed are {found[:3]}"


def test_a_typed_number_would_be_found():
    text = TYPESETTING.sub("", r"\vspace{-2em} accuracy is 93.5\,\% \ref{fig:1} % 12")
    assert re.findall(r"\d+", text) == ["93", "5"]


def test_every_macro_of_the_text_is_defined():
    defined = set(DEFINED.findall((PAPER / "macros.tex").read_text("utf-8")))
    used = {name for file in HAND_WRITTEN for name in USED.findall(words(file))}
    assert not {name for name in used if name not in defined and name != "TeX"}


def test_every_macro_is_used():
    """In the text, in some wording of a sentence, or in a table; what nobody reads is not written."""
    defined = set(DEFINED.findall((PAPER / "macros.tex").read_text("utf-8")))
    tables = [path.read_text("utf-8") for path in (PAPER / "tables").glob("*.tex")]
    used = {name for text in [*map(words, HAND_WRITTEN), (PAPER / "preamble.tex").read_text("utf-8"), *tables]
            for name in USED.findall(text)}  # fmt: skip
    assert defined <= used


def test_every_sentence_stands_in_the_paper():
    said = {name for name in DEFINED.findall((PAPER / "macros.tex").read_text("utf-8")) if name.startswith("Say")}
    assert not {name for name in said if rf"\{name}" not in words("paper.tex")}


def test_citations_and_entries_are_the_same():
    entries = set(re.findall(r"^@\w+\{(\w+),", (PAPER / "references.bib").read_text("utf-8"), re.M))
    cited = {key.strip() for file in HAND_WRITTEN
             for group in re.findall(r"\\cite[pt]?\{([^}]*)\}", words(file)) for key in group.split(",")}  # fmt: skip
    assert cited == entries


def test_figures_are_those_that_can_be_drawn():
    """The paper shows what `lab figures` draws, under the same names."""
    drawn = pytest.importorskip("lab.figures").FIGURES
    assert set(re.findall(r"\\labfigure\{\w+/(\w+)\}", words("paper.tex"))) <= set(drawn)


def test_references_are_to_labels():
    text = words("paper.tex")
    labels = set(re.findall(r"\\label\{([^}]*)\}", text))
    used = {ref for file in HAND_WRITTEN for ref in re.findall(r"\\ref\{([^}]*)\}", words(file))}
    assert used <= labels and {label for label in labels if label[:3] in ("fig", "tab")} <= used
