"""Getting answers: the arms side by side, generation, what crosses the wire, and the checks of every evaluation.

Imports config, tasks, models, translators and runs.
"""

from lab.answers.arms import (
    BASELINES,
    RETRAINED,
    UNTRAINED,
    WIRED,
    Bridge,
    choose_cascade_prompt,
    count_tokens,
    evaluate,
)
from lab.answers.checks import check_not_test, check_splits
from lab.answers.generation import (
    AnswerEnd,
    Generation,
    Hygiene,
    answer_end,
    cut_generation,
    end_tokens_of,
    generate,
    generate_from_text,
)
from lab.answers.text import CASCADE_PROMPTS, DEFAULT_CASCADE, with_evidence
from lab.answers.wire import WIRES
