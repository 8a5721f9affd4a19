"""Where a run's time and memory went, as a figure and as a table; the training of its control stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.clock import DEVICE, INSIDE
from lab.pictures.cost_figures import said, styled
from lab.pictures.looks import COLOURS, LATENT_COLOUR, MUTED, OTHER_COLOURS
from lab.pictures.numbers import number, percent
from lab.pictures.tables import Table
from lab.pictures.theme import FAINT_INK

NOT_TOLD = "This run does not say where its time and memory went: it was trained before runs had a clock."
CONTROL, BESIDE_TEXT = "control_constant", "control_text_tuned"  # under these names a record holds that of sub-runs
REST = "everything else"
# A colour is a kind of work, whatever part it is done in.
WORK = {
    "source": COLOURS["source"], "translator": LATENT_COLOUR, "target forward": COLOURS["target"],
    "target backward": OTHER_COLOURS[2], "backward": OTHER_COLOURS[1], "generation": OTHER_COLOURS[0], REST: MUTED,
}  # fmt: skip
MIB = 2**20


def breakdown_figure(spent: Mapping) -> go.Figure:
    """What `RunDirectory.time_and_memory` gives: seconds of every part with those inside it, and its most memory.

    A panel for the run, one for its control. Without a record the figure is a sentence that says so.
    """
    if not spent:
        return said(NOT_TOLD)
    runs = _runs(spent)
    counts = [len(_rows(record)) for record in runs.values()]
    heads = [head for title, record in runs.items() for head in _heads(title, record)]
    gap = 70 if len(runs) > 1 else 0
    height = 26 * sum(counts) + gap * (len(runs) - 1)
    figure = make_subplots(
        len(runs), 2, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=gap / height,
        row_heights=counts, column_widths=[0.66, 0.34], subplot_titles=heads,
    )  # fmt: skip
    figure.update_annotations(font_size=13)
    for row, record in enumerate(runs.values(), start=1):
        _draw_seconds(figure, record, row)
        _draw_peaks(figure, record, row)
    works = {work_of(name) for record in runs.values() for name in record["parts"]}
    for work in filter(works.__contains__, WORK):
        figure.add_bar(x=[None], y=[None], name=work, marker={"color": WORK[work]}, row=1, col=1)
    styled(figure, "Where time and memory went", 980, height + 170)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticklabelstandoff=6)
    legend = {"orientation": "h", "x": 0, "y": 0.01, "yref": "container", "yanchor": "bottom", "traceorder": "normal"}
    return figure.update_layout(barmode="stack", legend=legend, margin={"l": 120, "r": 40, "t": 100, "b": 70})


def _runs(spent: Mapping) -> dict[str, Mapping]:
    """Title -> record, of the run and of its controls."""
    titles = {CONTROL: "Its control", BESIDE_TEXT: "Its control beside the text"}
    return {"The run": spent} | {title: spent[name] for name, title in titles.items() if name in spent}


def _rows(record: Mapping) -> dict[str, dict[str, Mapping]]:
    """Part -> itself, and what is inside it, by their whole names."""
    rows: dict[str, dict[str, Mapping]] = {}
    for name, part in record["parts"].items():
        rows.setdefault(name.partition(INSIDE)[0], {})[name] = part
    return rows


def work_of(name: str) -> str:
    """The kind of work of a part: that of the innermost name."""
    innermost = name.rpartition(INSIDE)[2]
    return innermost if innermost in WORK else REST


def _heads(title: str, record: Mapping) -> tuple[str, str]:
    kinds = {DEVICE: "allocated on the device", None: "not told here"}
    kind = kinds.get(record["memory"], "resident, the process")
    quiet = f"<span style='color:{FAINT_INK}'>{{}}</span>"
    whole = quiet.format(f"{number(record['seconds'], 1)} s on {record['device']}")
    return f"<b>{title}</b>, seconds: {whole}", f"<b>Most memory</b>, MiB: {quiet.format(kind)}"


def _draw_seconds(figure: go.Figure, record: Mapping, row: int) -> None:
    for name, part in record["parts"].items():
        figure.add_bar(
            x=[part["seconds"]], y=[name.partition(INSIDE)[0]], orientation="h", showlegend=False, name=name,
            marker={"color": WORK[work_of(name)]}, row=row, col=1,
            hovertemplate=f"{name}: {number(part['seconds'])} s, entered {part['times']} times<extra></extra>",
        )  # fmt: skip
    whole = record["seconds"] or 1
    sums = {name: sum(part["seconds"] for part in inside.values()) for name, inside in _rows(record).items()}
    _say(figure, sums, [f"{percent(seconds / whole)} %" for seconds in sums.values()], row, 1)


def _draw_peaks(figure: go.Figure, record: Mapping, row: int) -> None:
    peaks = {name: [part["peak_bytes"] for part in inside.values()] for name, inside in _rows(record).items()}
    known = {name: max(values) / MIB for name, values in peaks.items() if None not in values}
    figure.add_bar(
        x=list(known.values()), y=list(known), orientation="h", showlegend=False, name="most memory",
        marker={"color": MUTED}, hovertemplate="%{y}: %{x:,.0f} MiB<extra></extra>", row=row, col=2,
    )  # fmt: skip
    _say(figure, known, [f"{peak:,.0f}" for peak in known.values()], row, 2)


def _say(figure: go.Figure, ends: Mapping[str, float], texts: Sequence[str], row: int, column: int) -> None:
    """A text where each bar ends."""
    figure.add_scatter(
        x=list(ends.values()), y=list(ends), text=[f"\u00a0{text}" for text in texts], mode="text", showlegend=False,
        textposition="middle right", textfont={"size": 12, "color": FAINT_INK}, cliponaxis=False, hoverinfo="skip",
        row=row, col=column,
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1.15 * max(ends.values(), default=1)], row=row, col=column)


def breakdown_table(spent: Mapping) -> Table:
    """The same as text: every part with its seconds, their share, how often it was entered and its most memory."""
    if not spent:
        return Table([], [], (), NOT_TOLD)
    control = spent.get(CONTROL, {}).get("parts", {})
    beside, rows = ["control, s", "control, MiB"] if control else [], []
    for name in dict.fromkeys([*spent["parts"], *control]):
        part, own = spent["parts"].get(name), [text(control.get(name)) for text in (_seconds, _mib)]
        share = percent(part["seconds"] / spent["seconds"]) if part and spent["seconds"] else ""
        times = str(part["times"] or "") if part else ""
        rows.append([name, _seconds(part), share, times, _mib(part), *own[: len(beside)]])
    wholes = [cell for record in _runs(spent).values() for cell in (_seconds(record), _mib(_most(record)))]
    foot = ["whole", wholes[0], "100.0", "", *wholes[1:]]
    return Table(["part", "seconds", "%", "entered", "most memory, MiB", *beside], rows, foot)


def _most(record: Mapping) -> Mapping:
    """The part with the highest peak."""
    return max(record["parts"].values(), key=lambda part: part["peak_bytes"] or 0)


def _seconds(part: Mapping | None) -> str:
    return number(part["seconds"]) if part else ""


def _mib(part: Mapping | None) -> str:
    return f"{part['peak_bytes'] / MIB:,.0f}" if part and part["peak_bytes"] is not None else ""
