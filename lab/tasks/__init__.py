"""Questions, splits, prompts and the scorer, together, so that no arm is scored by another rule.

The lowest room: it imports no other, and no torch.
"""

from lab.tasks.choosing import DIGITS, MARKER, judged, marked, preferred
from lab.tasks.contract import (
    Question,
    Task,
    groups_of,
    question_id,
    shots_text,
    source_text,
    surroundings,
)
from lab.tasks.normalised import normalised_id, normalised_text
from lab.tasks.prompt_parts import split_prompt
from lab.tasks.registry import TASKS, load_task
from lab.tasks.scorers import SCORERS
from lab.tasks.scoring import (
    INVALID,
    STOP,
    answer_end,
    cut_at_stop,
    final_answer,
    find_answer,
    new_question,
    same_answer,
)
from lab.tasks.splits import Dev, Test, check_dev, check_disjoint
