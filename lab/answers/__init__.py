"""Getting answers: the arms side by side, generation, what crosses the wire, and the checks of every evaluation.

Imports config, tasks, models, translators and runs.
"""

from lab.answers.arms import (
    AFTER_THE_SOURCE,
    ALL_ARMS,
    BASELINES,
    RETRAINED,
    UNTRAINED,
    WIRED,
    choose_cascade_prompt,
    evaluate,
    likelihoods,
)
from lab.answers.checks import check_splits
from lab.answers.decoding import Decoder, Hygiene
from lab.answers.evaluation import DEFAULT_CASCADE, TEXT_TUNED, Evaluation
from lab.answers.fitting import check_fits
from lab.answers.generation import (
    Decoding,
    Generation,
    cut_generation,
    end_tokens_of,
    generate,
    generate_from_text,
    greedy,
)
from lab.answers.latent import latent_inputs
from lab.answers.left_out import LeftOut, leave_out
from lab.answers.likelihood import Likelihood, log_likelihoods, repeated, token_prompts
from lab.answers.model_checks import check_source_reads, heard, replay_check
from lab.answers.text import handing, token_budget, with_evidence
from lab.answers.wire import WIRES
from lab.models import fingerprint, weights_of
