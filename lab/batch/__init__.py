"""Many runs: a job is a notebook and its parameters, a suite executes several of them.

Imports config and runs, never torch: the notebook does, in a process of its own.
"""

from lab.batch.jobs import execute, plan
from lab.batch.suite import members, run_suite
