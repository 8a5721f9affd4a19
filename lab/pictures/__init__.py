"""Figures and tables, for the page, the terminal and the paper.

Imports tasks, runs and evidence, never torch: it draws what records and summaries hold.
"""

from lab.pictures.ablation_pictures import ablations_figure, ablations_table, curve_figure
from lab.pictures.arm_tables import (
    arms_table,
    cascade_table,
    cells_table,
    rivals_table,
    rules_table,
    text_transfer_sentence,
)
from lab.pictures.breakdown import WORK, breakdown_figure, breakdown_table, work_of
from lab.pictures.bridge_figures import (
    attention_figure,
    collapse_figure,
    first_token_figure,
    gates_table,
    nearest_table,
)
from lab.pictures.cards import sample_cards, three_cards
from lab.pictures.claim_pages import claims_page, only
from lab.pictures.cost_figures import memory_figure, time_figure, wire_figure
from lab.pictures.cost_tables import costs_table, times_table
from lab.pictures.direction_tables import direction_gains_table, directions_table, hybrid_table
from lab.pictures.doctor_tables import doctor_table
from lab.pictures.evidence_figures import arms_figure, follow_figure, probe_figure
from lab.pictures.figures import (
    FONT,
    HOVER,
    accuracy_figure,
    flips_figure,
    training_curve,
    write_figure,
)
from lab.pictures.intervals import CLUSTERED, INTERVALS, PAIRED, WILSON, bars
from lab.pictures.left_out import left_out_figure
from lab.pictures.likelihoods import gains_figure, likelihood_figure, likelihood_table, recovered_figure
from lab.pictures.looks import COLOURS, LATENT_COLOUR, LOOKS, MUTED, Look, arm_label, is_control, look
from lab.pictures.measure import COLUMN, COLUMN_INCHES, PAGE, TEXT, column, lines_of, mark, page_inches
from lab.pictures.numbers import format_p
from lab.pictures.people_curve import CHANCE, LINES, people_figure, people_rows, people_table
from lab.pictures.preflight_tables import preflight_text
from lab.pictures.results import result_tables
from lab.pictures.showing import NoPicture, painter, show
from lab.pictures.summaries import COLUMNS, summaries_text, summarize
from lab.pictures.tables import Table, frame_table, table
from lab.pictures.theme import CLEAR, GRID, INK, PAGE_STYLE, QUIET_INK, on_paper
from lab.pictures.verdicts import claims_figure, claims_table, claims_text, seeds_table
