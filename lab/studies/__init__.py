"""Whole experiments, from config to records: training with its controls, all arms at once, probe, counterfactual.

On top of the other rooms: imports all that train, answer and judge.
"""

from lab.studies.budget import constant_config, text_tuned_config
from lab.studies.carried import left_out
from lab.studies.controls import trained_folder
from lab.studies.diagnostics import diagnose, write_diagnostics
from lab.studies.doctor import check_sound, examine, examine_pair
from lab.studies.experiment import start, test_once, train_constant, train_text_tuned, train_translator
from lab.studies.measured import as_it_runs_here, recipe_config, said
from lab.studies.processes import gpus, in_processes, whole_run
from lab.studies.trial import (
    choose_cascade,
    compare,
    from_folders,
    probe_source,
    run_counterfactual,
    train_candidates,
    write_evidence,
)
