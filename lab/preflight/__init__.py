"""Preflight: will a job fit and how long will it take, on each kind of GPU, from its configs alone.

Imports config, tasks, models and training; loads no weights and needs no GPU.
"""

from lab.preflight.advice import check_fits
from lab.preflight.estimate import Estimate, Work
from lab.preflight.gpus import gpus_named
from lab.preflight.report import rows
