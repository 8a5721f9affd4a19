"""What a run leaves, of any age: records, logs, the run directory, files of earlier scripts and of other tools.

The bridge from the models to the analysis: imports tasks alone (what a question and an answer are), never torch.
"""

from lab.runs.folders import FOLDER_MANIFEST, check_folder, remove_folder, whole_folder
from lab.runs.foreign import FORMATS
from lab.runs.locks import Lock, Taken, is_held, is_written, patient_lock
from lab.runs.logs import FINAL, log_text
from lab.runs.naming import new_folder
from lab.runs.onlooker import Onlooker
from lab.runs.packed import lying
from lab.runs.reading import read_step
from lab.runs.preserved import PRESERVED, SUMS, check_sums, is_copy_of, preserve
from lab.runs.directory import TIME_AND_MEMORY, RunDirectory
from lab.runs.records import read_jsonl, write_bytes, write_jsonl, write_text
from lab.runs.rows import StepRows
from lab.runs.runfiles import RunFiles, StepFile, find_runs, step_of
from lab.runs.seals import broken_seal, pack_tokens, questions_hash, read_seal, unpack_tokens, write_seal, write_sealed
