"""Exports: complete, and inert whatever a model wrote."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from payloads import PAYLOADS
from sample_records import step_records

from lab.samples.export import Sample, latex_text, to_html, to_latex, to_markdown, write_samples

INERT = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "article", "div", "span", "b",
         "section", "details", "summary"}  # fmt: skip


def hostile(payload: str) -> Sample:
    answer = {"text": payload, "extracted": payload, "correct": False, "saw": payload}
    record = {"id": payload, "question": payload, "gold": payload, "cell": payload, "arms": {payload: answer}}
    return Sample(payload, record, {payload: answer}, [payload], payload)


class Elements(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, list]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, attributes))


SAMPLES = [Sample("failure", row, row["arms"], ["failure"], "a note") for row in step_records("final")[:12]]


def test_all_formats_hold_every_sample(tmp_path):
    paths = write_samples(tmp_path, SAMPLES, "A caption.")
    assert [path.name for path in paths] == ["samples.md", "samples.tex", "samples.html"]
    for path in paths:
        text = path.read_text("utf-8")
        assert text.count("a note") == 12 and text.count("latent") >= 12
        assert all(f"box {number}?" in text for number in range(12))


@pytest.mark.parametrize("payload", [*PAYLOADS, "\ud800 half"])
def test_html_has_no_element_of_a_models_making(payload):
    page = to_html([hostile(payload)], payload)
    page.encode("utf-8")
    for tag, attributes in Elements(page).found:
        assert tag in INERT, tag
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "href", "srcdoc", "style"), name
            assert name != "class" or re.fullmatch(r"[a-z ]*", value or ""), value
    assert "default-src 'none'" in page


@given(st.text(max_size=200))
def test_html_has_no_element_of_any_texts_making(text):
    assert {tag for tag, _ in Elements(to_html([hostile(text)], text)).found} <= INERT


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_becomes_no_html_link_or_image(payload):
    for html in (True, False):
        rendered = MarkdownIt("commonmark", {"html": html}).render(to_markdown([hostile(payload)], payload))
        tags = {tag for tag, _ in Elements(rendered).found}
        assert tags <= {"h1", "h2", "p", "strong", "pre", "code"}, tags


def test_a_fence_is_longer_than_the_backticks_within():
    text = to_markdown([hostile("````\nout of it\n````")], "")
    assert "`````text\n````" in text


@given(st.text(max_size=60))
def test_latex_holds_no_command_of_a_models_making(text):
    escaped = latex_text(text)
    known = re.sub(r"\\(textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar|textquotedbl"
                   r"|textasciigrave|textquotesingle|textquote(?:dbl)?(?:left|right)|text(?:en|em)dash|ldots|texteuro"
                   r"|pounds|textdegree|textcent|textonehalf|textonequarter|textthreequarters)\{\}"
                   r"|\\ensuremath\{(?:\\[a-z]+|-)\}|\\[{}$&#%_]|\{-\}", "", escaped)  # fmt: skip
    assert not set(known) & set("\\{}$&#%_^")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles_whatever_a_model_wrote(tmp_path):
    hard = [*PAYLOADS, "[x] \\end{quote} 中文 é ½", "\\input{/etc/passwd}", "\n\n\n", "%", "^^M"]
    samples = [*SAMPLES[:2], *(hostile(text) for text in hard)]
    (tmp_path / "samples.tex").write_text(to_latex(samples, PAYLOADS[0]), "utf-8")
    head = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage[utf8]{inputenc}\\usepackage{textcomp}"
    (tmp_path / "page.tex").write_text(head + "\\begin{document}\\input{samples.tex}\\end{document}")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"], cwd=tmp_path,
                          capture_output=True, text=True, errors="replace")  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:]
