"""What a job shows in the terminal when it is done."""

import json

from synthetic_runs import make_run

from lab.evidence import arm_rows, information, read_evidence, summarise
from lab.pictures import result_tables

ARMS = {"source": 0.4, "target": 0.5, "latent": 0.9, "latent_shuffled": 0.1, "latent_constant": 0.1}
NATS = {"latent": 1.1, "latent_shuffled": 1.5, "latent_constant": 1.4}


def test_runs_side_by_side_end_in_both_tables(tmp_path):
    """Without the prompt beside the text there is no scale, and what each arm's answers cost is shown all the same."""
    make_run(tmp_path, "seed_1", 1, ARMS, nats=NATS)
    main = read_evidence([tmp_path]).main
    told = information([run.records for run in main])
    found = {"arms": arm_rows(read_evidence([tmp_path])), "likelihood": told}
    (tmp_path / "evidence.json").write_text(json.dumps(found))
    arms, nats = result_tables(tmp_path)
    assert "latent_constant" in arms.column("arm") and nats.column("arm")[-3:] == list(NATS)
    assert nats.column("arm - latent")[-1] == f"{told['arms']['latent_constant']['versus']['difference']:+.3f}"


def test_a_run_without_a_scale_ends_in_its_accuracies(tmp_path):
    run = make_run(tmp_path, "one", 1, ARMS, nats=NATS)
    records = read_evidence([run]).main[0].records
    (run / "summary.json").write_text(json.dumps(summarise(records) | {"likelihood": information([records])}))
    (arms,) = result_tables(run)
    assert "accuracy" in arms.columns and result_tables(tmp_path) == []
