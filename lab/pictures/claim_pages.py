"""A page of claims, a chapter for each: its data, how many questions, words and seeds, its test, how p was corrected,
what came out, what these data could have shown, and what to type for it. All that comes from a file is escaped."""

from __future__ import annotations

import html
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.errors import LabError
from lab.evidence import could_show
from lab.pictures.arm_tables import rivals_table
from lab.pictures.numbers import format_p, points
from lab.pictures.tables import Table
from lab.pictures.theme import PAGE_STYLE
from lab.pictures.verdicts import effect_text


@dataclass(frozen=True, repr=False)
class Page:
    """A title and its chapters, (heading, HTML) each: shown in a notebook, or written as a `document`."""

    title: str
    chapters: Sequence[tuple[str, str]]

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"- {heading}" for heading, _ in self.chapters)])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<details{' open' * (not number)}><summary>{html.escape(heading)}</summary>{inner}</details>"
            for number, (heading, inner) in enumerate(self.chapters)
        )
        return f'{PAGE_STYLE}<div class="lab-page">{body}</div>'

    def document(self) -> str:
        """A file for a browser, with everything open."""
        title = html.escape(self.title)
        body = "".join(f"<h2>{html.escape(heading)}</h2>{inner}" for heading, inner in self.chapters)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{PAGE_STYLE}</head>\n'
            f'<body class="lab-page"><h1>{title}</h1>{body}</body></html>\n'
        )


def only(judged: Mapping, key: str) -> dict:
    """What was judged, with the one claim `key` alone. Raises LabError for an unknown one."""
    chosen = [row for row in judged["claims"] if row["key"] == key]
    if not chosen:
        keys = ", ".join(row["key"] for row in judged["claims"])
        raise LabError(f"claim {key!r} is not declared; choose one of {keys}.")
    return {**judged, "claims": chosen}


def claims_page(judged: Mapping) -> Page:
    """What `judge` returns as a page: first what holds for all claims, then each of them."""
    chapters = [("All claims", _about_all(judged))]
    chapters += [(f"{row['verdict']}: {row['sentence']}", _chapter(row, judged)) for row in judged["claims"]]
    return Page("What the records say of each claim", chapters)


def _about_all(judged: Mapping) -> str:
    story = judged["scenario"]
    facts = {
        "main recipe": ", ".join(judged["main"]),
        "seeds": ", ".join(map(str, judged["seeds"])),
        "layout": judged["layout"],
        "questions": str(judged["n"]),
        "scenario": f"{story['name']}: {story['sentence']}",
        "family": f"{judged['family']} claims declared, {judged['tested']} tested",
        "left out, not finished": ", ".join(judged["unfinished"]),
        "command": judged["command"],
    }
    runs = Table(
        ["run", "task", "models", "config"],
        [[str(run.get("run")), str(run.get("task")), _models(run.get("models")), str(run.get("config_hash"))]
         for run in judged["runs"]],
    )  # fmt: skip
    return _facts(facts) + runs._repr_html_() + rivals_table(judged["arms"])._repr_html_()


def _models(models: object) -> str:
    """`source -> target`, however the run names them."""
    names = models.values() if isinstance(models, Mapping) else models if isinstance(models, list | tuple) else [models]
    return " -> ".join(map(str, names))


def _chapter(row: Mapping, judged: Mapping) -> str:
    facts = {
        "key": row["key"],
        "the documents say": row["reported"],
        "needs": row["needs"],
        "why": row["reason"],
        "command": f"{judged['command']} --claim {shlex.quote(row['key'])}",
    }
    if row.get("effect") is None:
        return _facts(facts)
    found = row["comparisons"]
    facts |= {
        "effect [95 %]": effect_text(row) + " points" * (row["unit"] == "accuracy"),
        "p": f"{format_p(row['p'])}; {format_p(row['p_holm'])} after Holm over the {judged['family']} claims declared",
        "verdict at": f"p after Holm of at most {judged['alpha']:g}",
        "could have shown": f"{could_show(row['unit'], row['margin'], row['detectable'])}, at p of at most "
        f"{judged['alpha'] / judged['family']:.2g}, the strictest step of Holm",
        "data": "; ".join(dict.fromkeys(f"{c['data']} of {', '.join(c['runs'])}" for c in found)),
        "n": f"{row['n']} questions, {row['clusters']} clusters (a word, or a question without one), {row['seeds']} "
        f"seed{'s' * (row['seeds'] != 1)}",
        "test": "; ".join(dict.fromkeys(c["test"] for c in found)),
    }
    if len(found) > 1:
        facts["comparisons"] = (
            "for the claim all have to hold: the largest p; against it any: the least, times their number"
        )
    return _facts(facts) + _comparisons(found)._repr_html_()


def _comparisons(found: Sequence[Mapping]) -> Table:
    """Every comparison of a claim: effect with interval, the one-sided p for and against it, and single seeds."""
    columns = ["comparison", "effect [95 %]", "p for", "p against", "n", "clusters", "seeds", "seed by seed"]
    rows = [
        [c["label"], effect_text(c), format_p(c["p_greater"]), format_p(c["p_less"]), str(c["n"]), str(c["clusters"]),
         str(c["seeds"]), " ".join(map(points, c["detail"].get("per_seed", [])))]
        for c in found
    ]  # fmt: skip
    return Table(columns, rows)


def _facts(facts: Mapping[str, str]) -> str:
    """A list of names and what they are; what is empty is left out."""
    return "<dl>" + "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items() if value
    ) + "</dl>"  # fmt: skip
