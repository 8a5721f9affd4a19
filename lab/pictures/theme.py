"""One look for three grounds: JupyterLab's light theme, its dark one, and paper.

Cards and tables follow the theme by JupyterLab's own variables. A figure can't: plotly knows no variables. So figures
are drawn for the screen, on clear ground, in inks that can be read on white and on black alike; `on_paper` puts the
same figure into dark ink on white, as everything that is written to a file has it.
"""

import plotly.graph_objects as go

# On the screen, and on paper. The screen's inks lie where the contrast with white and with #111, JupyterLab's dark
# ground, is the same; they differ only so far that paper can tell them apart.
INK, QUIET_INK, FAINT_INK = "#777C83", "#787D84", "#797E85"
GRID, CLEAR = "rgba(128,134,142,0.25)", "rgba(0,0,0,0)"
PAPER_INK = "#22262B"
PAPER = {INK: PAPER_INK, QUIET_INK: "#5F656B", FAINT_INK: "#6B7178", GRID: "#E9EBEE", CLEAR: "white"}


def on_paper(figure: go.Figure) -> go.Figure:
    """A copy of a figure in dark ink on white."""
    return go.Figure(_on_paper(figure.to_plotly_json()))


def _on_paper(part: object) -> object:
    if isinstance(part, dict):
        return {name: _on_paper(inner) for name, inner in part.items()}
    if isinstance(part, list | tuple):
        return [_on_paper(inner) for inner in part]
    if isinstance(part, str):
        for screen, paper in PAPER.items():
            part = part.replace(screen, paper)
    return part


# Where no page defines the variables, in a mail or on GitHub, the light values hold.
_GROUND = """--ink:var(--jp-ui-font-color1,#22262b);--soft:var(--jp-ui-font-color2,#5f656b);
--ground:var(--jp-layout-color1,#fff);--line:var(--jp-border-color2,#dfe2e6);--ok:#0072b2;--bad:#b34700;
color:var(--ink);background:var(--ground)"""
_DARK = "{--ok:#5ab4ec;--bad:#f0935a}"

CARD_STYLE = f"""<style>
.lab-card{{{_GROUND};font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:980px;
border:1px solid var(--line);border-radius:8px;margin:0 0 16px;padding:14px 18px;container-type:inline-size}}
[data-jp-theme-light="false"] .lab-card{_DARK}
.lab-card .about{{color:var(--soft);font-size:12px}}
.lab-card .question{{font-size:15px;margin:4px 0 8px;white-space:pre-wrap}}
.lab-card .arm{{display:grid;grid-template-columns:170px 92px 1fr;gap:4px 12px;
border-top:1px solid var(--line);padding:6px 0}}
.lab-card .name{{font-weight:600;overflow-wrap:anywhere}}
.lab-card .right{{color:var(--ok)}}.lab-card .wrong{{color:var(--bad)}}
.lab-card .control .name{{font-weight:400;color:var(--soft)}}.lab-card .latent .name{{color:var(--bad)}}
.lab-card .text{{white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.5 ui-monospace,Menlo,monospace}}
.lab-card details{{grid-column:3;color:var(--soft);font-size:12px}}
@container (max-width:560px){{.lab-card .arm{{grid-template-columns:auto 1fr}}
.lab-card .arm>.text,.lab-card details{{grid-column:1/-1}}}}
</style>"""

# The class is doubled to outrank JupyterLab's own rule for tables.
TABLE_STYLE = f"""<style>
.lab-table.lab-table{{{_GROUND};border-collapse:collapse;margin:6px 0;
font:13px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}}
.lab-table.lab-table th{{text-align:left;font-weight:600;border-bottom:1.5px solid var(--ink);padding:4px 14px 4px 0;
vertical-align:bottom;max-width:130px;white-space:normal}}
.lab-table.lab-table td{{text-align:left;border-bottom:1px solid var(--line);padding:4px 14px 4px 0;vertical-align:top;
max-width:400px;overflow-wrap:break-word;white-space:pre-wrap}}
.lab-table.lab-table td.number{{white-space:nowrap}}
.lab-table.lab-table .number{{text-align:right;font-variant-numeric:tabular-nums}}
</style>"""

PAGE_STYLE = f"""<style>
.lab-page{{{_GROUND};font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:1100px;margin:0 auto}}
body.lab-page{{padding:24px}}
.lab-page h2{{font-size:17px;border-top:1px solid var(--line);margin:28px 0 4px;padding-top:16px}}
.lab-page summary{{font-weight:600;cursor:pointer;border-top:1px solid var(--line);padding:6px 0}}
.lab-page dl{{display:grid;grid-template-columns:150px 1fr;gap:2px 14px;margin:8px 0}}
.lab-page dt{{color:var(--soft)}}
.lab-page dd{{margin:0;overflow-wrap:anywhere}}
</style>"""
