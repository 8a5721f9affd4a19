"""Tables from a summary, and records as cards to read. Whatever a model wrote is escaped before a page shows it."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.evidence import LATENT, ordered_arms
from lab.pictures.intervals import WILSON
from lab.pictures.theme import CARD_STYLE, TABLE_STYLE

if TYPE_CHECKING:
    import pandas

COLUMNS = {
    "plain": "plain",
    "lore/short": "lore short",
    "lore/long/seen": "both seen",
    "lore/long/held_out": "both held out",
}


def format_p(p: float | None) -> str:
    return "" if p is None else "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _columns(summary: Mapping) -> dict[str, str]:
    groups = sorted(next(iter(summary["arms"].values()))["cells"])
    known = {group: name for group, name in COLUMNS.items() if group in groups}
    own = {group: group for group in groups if "/" not in group}
    return known or (own if len(own) > 1 else {})


def _has_f1(summary: Mapping) -> bool:
    return any("f1" in entry for entry in summary["arms"].values())


def _arms(summary: Mapping) -> list[str]:
    if not summary.get("arms"):
        raise LabError("tables: the summary holds no arm; give what `summarise` returns.")
    return ordered_arms(summary["arms"])


def arms_table(summary: Mapping) -> "pandas.DataFrame":
    """One row per arm: fractions, interval ends, n, unreadable answers, groups, the test against the latent arm; word
    F1 where the task has it.

    `difference` is latent minus the arm, on all questions; `p_vs_latent` is exact McNemar's, not corrected.
    """
    import pandas  # here, so that the terminal table starts without it

    rows = []
    for arm in _arms(summary):
        entry, test = summary["arms"][arm], summary["tests"].get(f"{LATENT}_vs_{arm}", {})
        rows.append(
            {
                "arm": arm,
                "accuracy": entry["accuracy"],
                "low": entry["ci95"][0],
                "high": entry["ci95"][1],
                "n": entry["n"],
                "invalid": entry["invalid"],
            }
            | ({"f1": entry.get("f1")} if _has_f1(summary) else {})
            | {name: entry["cells"][group]["accuracy"] for group, name in _columns(summary).items()}
            | {"difference": test.get("difference"), "p_vs_latent": test.get("p")}
        )
    return pandas.DataFrame(rows).set_index("arm")


def arms_text(summary: Mapping) -> str:
    """The table for a terminal, in per cent: arm, accuracy, 95 % interval (Wilson), word F1 if there is one, groups, p
    against the latent arm."""
    columns = _columns(summary) if _arms(summary) else {}
    f1 = ["F1"] if _arms(summary) and _has_f1(summary) else []
    head = ["arm", "accuracy", WILSON, *f1, *columns.values(), "p vs latent"]
    lines = []
    for arm in _arms(summary):
        entry, test = summary["arms"][arm], summary["tests"].get(f"{LATENT}_vs_{arm}", {})
        low, high = entry["ci95"]
        # a name out of a file must not steer the terminal
        name = "".join(letter if letter.isprintable() else "?" for letter in arm)
        lines.append(
            [
                name,
                f"{100 * entry['accuracy']:.1f}",
                f"{100 * low:5.1f} - {100 * high:5.1f}",
                *(f"{100 * entry['f1']:.1f}" if "f1" in entry else "" for _ in f1),
                *(f"{100 * entry['cells'][group]['accuracy']:.1f}" for group in columns),
                format_p(test.get("p")),
            ]
        )
    counts = next(iter(summary["arms"].values()))["cells"]
    sizes = ["n", str(summary["n"]), "", *("" for _ in f1), *(str(counts[group]["n"]) for group in columns), ""]
    widths = [max(len(line[i]) for line in [head, sizes, *lines]) for i in range(len(head))]

    def line_of(fields: list[str]) -> str:
        rest = (field.rjust(width) for field, width in zip(fields[1:], widths[1:], strict=True))
        return "  ".join([fields[0].ljust(widths[0]), *rest]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line_of(head), rule, *map(line_of, lines), rule, line_of(sizes)])


def _arm_html(arm: str, answer: Mapping) -> str:
    def shown(field: str) -> str:
        return html.escape(str(answer.get(field, "")))

    kind = LATENT if arm == LATENT else "control" if arm.startswith(f"{LATENT}_") else ""
    # a word beside the mark: the verdict must not hang on colour alone
    verdict = '<span class="right">✓ right</span>' if answer.get("correct") else '<span class="wrong">✗ wrong</span>'
    saw = ""
    if answer.get("saw"):
        tokens = f"{shown('prompt_tokens') or '?'} tokens, {shown('soft_tokens') or '0'} soft"
        saw = f'<details><summary>what it saw ({tokens})</summary><div class="text">{shown("saw")}</div></details>'
    return (
        f'<div class="arm {kind}"><div class="name">{html.escape(arm)}</div>'
        f"<div>{verdict}<br>{shown('extracted')}</div>"
        f'<div class="text">{shown("text")}</div>{saw}</div>'
    )


def sample_cards(
    records: Sequence[Mapping], chooser: Callable[[Mapping], bool] | Sequence[str] | None = None, limit: int = 20
) -> str:
    """Escaped HTML: the chosen questions with every arm's answer, marked right or wrong.

    `chooser` is a function record -> bool, or question ids, or None for all; at most `limit` cards, in file order.
    """
    if chooser is None or callable(chooser):
        chosen = [row for row in records if chooser is None or chooser(row)]
    else:
        by_id = {row["id"]: row for row in records}
        if missing := [key for key in chooser if key not in by_id]:
            raise LabError(f"sample_cards: there is no question {missing[0]} in these records; choose among their ids.")
        chosen = [by_id[key] for key in chooser]
    shown = chosen[:limit]
    cards = []
    for row in shown:
        about = " · ".join(html.escape(str(row[field])) for field in ("cell", "word", "id") if row.get(field))
        cards.append(
            f'<div class="lab-card"><div class="about">{about}</div><div class="question">'
            f"{html.escape(str(row['question']))}</div>"
            f"<div>Gold answer: <b>{html.escape(str(row['gold']))}</b></div>"
            + "".join(_arm_html(arm, row["arms"][arm]) for arm in ordered_arms(row["arms"]))
            + "</div>"
        )
    note = f'<p class="lab-note">{len(shown)} of {len(chosen)} chosen questions ({len(records)} records).</p>'
    return CARD_STYLE + note + "\n".join(cards)


def cells_table(accuracies: Mapping[str, Mapping[str, float]]) -> "pandas.DataFrame":
    """Accuracies by name and cell (fractions) as a table in per cent, one row per name."""
    import pandas

    return (100 * pandas.DataFrame(accuracies).T).round(1)


def html_table(
    rows: Sequence[Mapping], columns: Sequence[str] | None = None, empty: str = "rows not here", digits: int = 2
) -> str:
    """Escaped HTML of rows with the same keys (all of them, or `columns`); long text wraps instead of being cut."""
    if not rows:
        return f"<p><i>{html.escape(empty)}</i></p>"
    columns = list(rows[0]) if columns is None else list(columns)

    def cell(value) -> str:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        shown = {None: "", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else value
        shown = f"{value:,.{digits}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(shown)
        return f'<td class="number">{html.escape(shown)}</td>' if number else f"<td>{html.escape(shown)}</td>"

    def head(name: str) -> str:
        values = [row.get(name) for row in rows if row.get(name) is not None]
        number = values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return f'<th class="number">{html.escape(name)}</th>' if number else f"<th>{html.escape(name)}</th>"

    heads = "".join(map(head, columns))
    body = "".join("<tr>" + "".join(cell(row.get(name)) for name in columns) + "</tr>" for row in rows)
    return f'{TABLE_STYLE}<table class="lab-table"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def frame_html(frame: "pandas.DataFrame", empty: str = "no rows", digits: int = 3) -> str:
    """A data frame as `html_table`, named indices as columns: whole, where a notebook's view cuts rows and texts."""
    named = frame.reset_index() if any(frame.index.names) else frame
    return html_table(named.to_dict("records"), None, empty, digits)
