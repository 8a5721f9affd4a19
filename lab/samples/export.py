"""Chosen samples as Markdown, LaTeX and one offline HTML page. Whatever a model or a file wrote is escaped in each.

The page loads nothing, holds no script, and forbids both to itself by its content security policy.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment

from lab.runs import write_text
from lab.samples.answers import clean, pieces

TEXT_LIMIT = 4000  # characters of one answer that are printed; the records hold the rest


@dataclass(frozen=True)
class Sample:
    """A chosen question: why (success, failure, enrichment or another tag), its record, the answers by their label."""

    kind: str
    record: Mapping
    answers: Mapping[str, Mapping]
    tags: Sequence[str] = field(default_factory=tuple)
    note: str = ""
    reference: str = ""  # the label of the answer that the others are compared with


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]} […] {len(text) - TEXT_LIMIT} more characters"


def _verdict(answer: Mapping) -> str:
    return {True: "right", False: "wrong"}.get(answer.get("correct"), "not scored")


def _plain(sample: Sample) -> dict:
    """A sample as texts without half surrogates."""
    record = sample.record
    return {
        "kind": clean(sample.kind), "id": clean(record.get("id")), "cell": clean(record.get("cell")),
        "question": _shortened(clean(record.get("question"))), "gold": clean(record.get("gold")),
        "tags": [clean(tag) for tag in sample.tags], "note": clean(sample.note), "reference": clean(sample.reference),
        "answers": [
            {"name": clean(name), "verdict": _verdict(answer), "extracted": clean(answer.get("extracted")),
             "text": _shortened(clean(answer.get("text"))), "saw": _shortened(clean(answer.get("saw")))}
            for name, answer in sample.answers.items()
        ],
    }  # fmt: skip


# ---- Markdown


def markdown_text(text: str) -> str:
    """`text` as one line of Markdown that shows itself: no HTML, link, emphasis or heading comes of it."""
    text = html.escape(" ".join(text.split()), quote=False)
    # a colon after a scheme would make some renderers link it
    text = re.sub(r"(?i)\b(https?|ftp|mailto|javascript|data|vbscript):", r"\1&#58;", text)
    return re.sub(r"([\\`*_{}\[\]()#+.!|~^$-])", r"\\\1", text)


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{_lines(text)}\n{fence}"


def _lines(text: str) -> str:
    """Line ends as \\n: a lone carriage return would break a block that was closed by lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def to_markdown(samples: Sequence[Sample], caption: str) -> str:
    """One section per sample; every text of a model stands in a code block."""
    lines = ["# Samples", "", markdown_text(clean(caption)), ""]
    for number, sample in enumerate(map(_plain, samples), start=1):
        lines += [f"## {number}. {markdown_text(sample['kind'])}: question {markdown_text(sample['id'])}", ""]
        about = [f"cell {markdown_text(sample['cell'])}"] if sample["cell"] else []
        about += [f"gold answer **{markdown_text(sample['gold'])}**"]
        about += [f"tags {markdown_text(', '.join(sample['tags']))}"] if sample["tags"] else []
        lines += [", ".join(about), "", _fenced(sample["question"]), ""]
        if sample["note"]:
            lines += [f"Note: {markdown_text(sample['note'])}", ""]
        for answer in sample["answers"]:
            extracted = markdown_text(answer["extracted"]) or "nothing"
            lines += [f"**{markdown_text(answer['name'])}**: {answer['verdict']}, extracted {extracted}", ""]
            lines += [_fenced(answer["text"]), ""]
    return "\n".join(lines)


# ---- LaTeX

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "-": r"{-}",
    "‘": r"\textquoteleft{}", "’": r"\textquoteright{}", "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "€": r"\texteuro{}", "£": r"\pounds{}",
    "×": r"\ensuremath{\times}", "÷": r"\ensuremath{\div}", "−": r"\ensuremath{-}", "·": r"\ensuremath{\cdot}",
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "≠": r"\ensuremath{\neq}", "°": r"\textdegree{}",
    "\u00a0": "~", "¢": r"\textcent{}", "½": r"\textonehalf{}", "¼": r"\textonequarter{}", "¾": r"\textthreequarters{}",
}  # fmt: skip


def latex_text(text: str) -> str:
    """`text` as LaTeX that prints it and does nothing else. What pdflatex has no glyph for is printed as [U+XXXX]."""
    found = []
    for letter in text.replace("\r\n", "\n").replace("\r", "\n"):
        if letter in _TEX:
            found.append(_TEX[letter])
        elif letter in "\n\t " or (letter.isascii() and letter.isprintable()):
            found.append(" " if letter == "\t" else letter)
        elif "À" <= letter <= "ÿ" and letter.isalpha():
            found.append(letter)
        else:
            found.append(f"[U+{ord(letter):04X}]")
    return "".join(found)


def _latex_lines(text: str) -> str:
    """Line breaks kept. Each line opens a paragraph's text, so that an empty one can be broken, and holds a bracket
    at its beginning away from the break before it."""
    return "\\\\\n".join(f"\\leavevmode{{}}{latex_text(line).strip()}" for line in _lines(text).split("\n"))


def to_latex(samples: Sequence[Sample], caption: str) -> str:
    r"""A fragment for \input: needs textcomp (in the LaTeX kernel since 2020), T1 fonts and utf8 input."""
    lines = [
        "% Samples, for \\input. Needs \\usepackage[T1]{fontenc}; defines nothing.",
        f"\\paragraph{{Samples.}} {latex_text(_lines(clean(caption)))}",
    ]
    for number, sample in enumerate(map(_plain, samples), start=1):
        cell = f", cell {latex_text(sample['cell'])}" if sample["cell"] else ""
        lines += [
            "",
            f"\\subsubsection*{{{number}. {latex_text(_one_line(sample['kind']))}}}",
            f"\\noindent Question {latex_text(_one_line(sample['id']))}{cell}, gold answer "
            f"\\textbf{{{latex_text(_one_line(sample['gold']))}}}.",
            "\\begin{quote}\\small\\raggedright",
            _latex_lines(sample["question"]),
            "\\end{quote}",
        ]
        if sample["note"]:
            lines.append(f"\\noindent Note: {latex_text(_one_line(sample['note']))}\n")
        for answer in sample["answers"]:
            lines += [
                f"\\noindent\\textbf{{{latex_text(_one_line(answer['name']))}}}: {answer['verdict']}, extracted "
                f"{latex_text(_one_line(answer['extracted'])) or 'nothing'}",
                "\\begin{quote}\\footnotesize\\ttfamily\\raggedright",
                _latex_lines(answer["text"]),
                "\\end{quote}",
            ]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(_lines(text).split())


# ---- HTML

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Samples</title>
<style>
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#22262b;background:#f6f7f8;margin:0}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:22px;margin:0 0 6px}.caption{color:#5f656b;max-width:75ch}
article{background:#fff;border:1px solid #dfe2e6;border-radius:8px;margin:20px 0;padding:16px 20px}
h2{font-size:16px;margin:0}.about{color:#5f656b;font-size:12.5px}.question{white-space:pre-wrap;margin:10px 0 12px}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:12px}
section{border-top:2px solid #c9ced4;padding-top:6px}h3{font-size:13.5px;margin:0;display:inline}
.right{color:#0072b2}.wrong{color:#b34700}.verdict{font-weight:600;font-size:13px}
.text{white-space:pre-wrap;overflow-wrap:anywhere;font:12px/1.5 ui-monospace,Menlo,Consolas,monospace;
unicode-bidi:plaintext;margin-top:4px}
.answer{background:#fff1c2;outline:1px solid #e3c04f;border-radius:2px}
.diverges{text-decoration:underline wavy #b34700 1px}
.after,.note{color:#858b91}details{color:#5f656b;font-size:12.5px;margin-top:6px}
</style>
</head>
<body><main>
<h1>Samples</h1>
<p class="caption">{{ caption }}</p>
<p class="caption">Marked: <span class="answer">the extracted answer</span>, <span class="diverges">the first step that
parts from the answer it is compared with</span>, <span class="after">what runs on into a new question</span>.</p>
{% for sample in samples %}
<article>
<h2>{{ loop.index }}. {{ sample.kind }}</h2>
<div class="about">{{ sample.cell }} {{ sample.id }}{% if sample.tags %} · tags: {{ sample.tags | join(", ") }}{% endif
%}</div>
<div class="question">{{ sample.question }}</div>
<div>Gold answer: <b>{{ sample.gold }}</b></div>
{% if sample.note %}<p>Note: {{ sample.note }}</p>{% endif %}
<div class="answers">{% for answer in sample.answers %}
<section><h3>{{ answer.name }}</h3> <span class="verdict {{ answer.verdict }}">{{
{"right": "✓ right", "wrong": "✗ wrong"}.get(answer.verdict, "not scored") }}</span> {{ answer.extracted }}
<div class="text">{% for text, kind in answer.pieces %}<span class="{{ kind }}">{{ text }}</span>{% endfor %}</div>
{% if answer.saw %}<details><summary>what it saw</summary><div class="text">{{ answer.saw }}</div></details>{% endif %}
</section>{% endfor %}</div>
</article>
{% endfor %}
</main></body>
</html>
"""


def to_html(samples: Sequence[Sample], caption: str) -> str:
    """One self-contained page, everything escaped; answers are marked where they part from their sample's reference."""
    plain = list(map(_plain, samples))
    for sample in plain:
        reference = next(
            (answer["text"] for answer in sample["answers"] if answer["name"] == sample["reference"]), None
        )
        for answer in sample["answers"]:
            other = None if answer["name"] == sample["reference"] else reference
            answer["pieces"] = pieces(answer["text"], answer["extracted"], other)
    return Environment(autoescape=True).from_string(_PAGE).render(samples=plain, caption=clean(caption))


def write_samples(folder: str | Path, samples: Sequence[Sample], caption: str) -> list[Path]:
    """`samples.md`, `samples.tex` and `samples.html` in `folder`; returns their paths."""
    folder = Path(folder)
    made = {"samples.md": to_markdown, "samples.tex": to_latex, "samples.html": to_html}
    for name, build in made.items():
        write_text(folder / name, build(samples, caption))
    return [folder / name for name in made]
