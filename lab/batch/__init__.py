"""Many runs: a job is a notebook and its parameters, a suite executes several of them.

Imports config and runs, never torch: the notebook does, in a process of its own.
"""

from lab.batch.execution import execute
from lab.batch.jobs import plan
from lab.batch.signals import Interrupted, end_with_parent
from lab.batch.suite import members, run_suite
