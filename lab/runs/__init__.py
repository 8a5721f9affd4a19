"""What a run leaves, of any age: records, logs, the run directory, and files of earlier scripts.

The bridge from the models to the analysis: imports tasks alone (what a question and an answer are), never torch.
"""

from lab.runs.folders import FOLDER_MANIFEST, check_folder, remove_folder, whole_folder
from lab.runs.legacy import RunFiles, StepFile, StepRows, find_runs, read_step
from lab.runs.locks import Lock, Taken, is_held, is_written
from lab.runs.logs import FINAL, log_text
from lab.runs.records import RunDirectory, read_jsonl, write_jsonl, write_text
