"""Many runs: a job is a notebook and its parameters, a submission is several of them, here or on a cluster.

Imports config and runs, never torch: the notebook does, in a process of its own.
"""

from lab.batch.catalogue import JOBS, entry, in_order, job_files
from lab.batch.execution import execute
from lab.batch.jobs import all_parameters, plan
from lab.batch.local import run_here
from lab.batch.members import is_finished, plan_all
from lab.batch.signals import Interrupted, end_with_parent
from lab.batch.slurm import queue, read_cluster
from lab.batch.status import runs_below, status_of
from lab.batch.submission import Keeping, named_by_time, read_submission, write_submission
from lab.batch.tables import HEAD, aligned, row, write_summary_log
