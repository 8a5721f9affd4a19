"""Reported against recomputed: what earlier documents say, beside what the archived rows give.

Imports tasks, runs, evidence and pictures, never torch.
"""

from lab.audit.archive import Archive
from lab.audit.costs import MODELS, QUESTION_TOKENS, compression_table, kv_bytes_per_token, kv_table, question_tokens
from lab.audit.figures import differences_figure, steps_figure
from lab.audit.recomputed import ABSENT, AGREES, DIFFERS, claims_table, verdict_counts, verdicts, write_audit
from lab.audit.tables import (
    leak_examples,
    paired_table,
    question_bytes,
    same_settings,
    saw_table,
    scorer_table,
    selection_bias,
    settings_table,
    training_layout,
)
