"""What a run leaves, of any age: records, logs, the run directory, and files of earlier scripts.

The bridge from the models to the analysis: imports tasks alone (what a question and an answer are), never torch.
"""

from lab.runs.legacy import RunFiles, StepFile, StepRows, find_runs, read_step
from lab.runs.logs import FINAL, log_text
from lab.runs.naming import new_folder
from lab.runs.records import RunDirectory, read_jsonl, write_jsonl, write_text
