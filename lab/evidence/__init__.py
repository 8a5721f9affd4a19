"""From records to verdicts: intervals and paired tests, comparisons, the claims and what the records say of them.

Imports config, tasks and runs, never torch: it runs on a laptop from JSONL alone.
"""

from lab.evidence.ablations import curve, differs, families, neighbours, recipe_rows
from lab.evidence.claims import BOTH_HELD_OUT, CLAIMS, FAMILIES, Claim
from lab.evidence.comparisons import DIGITS, effect_of, of_numbers, of_values
from lab.evidence.crossed import paired_difference, proportion
from lab.evidence.directions import both_ways
from lab.evidence.extraction import disagreements, effects_by_rule, extraction_table
from lab.evidence.hybrid import hybrid_rows
from lab.evidence.hypotheses import NotRun, cache_bytes_per_token, measured_compression
from lab.evidence.likelihood import NATS, NATS_WORTH, gains, has_likelihoods, information
from lab.evidence.read import (
    Evidence,
    Run,
    final_records,
    known_config,
    paths_of,
    read_evidence,
    read_settings,
    rows_of,
)
from lab.evidence.stats import ALPHA, holm, mcnemar, wilson
from lab.evidence.summary import ARM_ORDER, BOTH_SKILLS, LATENT, ORACLE, in_group, ordered_arms, summarise
from lab.evidence.verdicts import (
    INCONCLUSIVE,
    NOT_RUN,
    REFUTED,
    SUPPORTED,
    arm_rows,
    claims_json,
    could_show,
    judge,
    judge_runs,
)
from lab.evidence.verify import verify_run
