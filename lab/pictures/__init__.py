"""Figures and tables, for the page, the terminal and the paper.

Imports tasks, runs and evidence, never torch: it draws what records and summaries hold.
"""

from lab.pictures.arm_tables import rivals_lines, rivals_table, text_transfer_sentence
from lab.pictures.bridge_figures import attention_figure, collapse_figure, first_token_figure, nearest_table
from lab.pictures.cost_figures import memory_figure, time_figure, wire_figure
from lab.pictures.evidence_figures import arms_figure, follow_figure, probe_figure
from lab.pictures.figures import (
    COLOURS,
    FONT,
    HOVER,
    LATENT_COLOUR,
    MUTED,
    accuracy_figure,
    flips_figure,
    training_curve,
    write_figure,
)
from lab.pictures.intervals import CLUSTERED, INTERVALS, PAIRED, WILSON
from lab.pictures.summaries import COLUMNS, summaries_text, summarize
from lab.pictures.tables import arms_table, arms_text, cells_table, format_p, frame_html, html_table, sample_cards
from lab.pictures.theme import CLEAR, GRID, INK, on_paper
from lab.pictures.verdicts import claims_figure, claims_table, claims_text, seeds_table
