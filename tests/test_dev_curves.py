"""Curves of trainings, as `benchmarks/dev_curves.py` reads them off their metrics."""

import json
import sys

import dev_curves


def metrics(folder, steps, every):
    rows = [{"kind": "evaluation", "step": 0, "nats": 3.0, "n": 2}]
    for step in range(1, steps + 1):
        rows.append({"kind": "step", "step": step, "loss": float(step)})
        if step % every == 0:
            rows.append({"kind": "evaluation", "step": step, "nats": 3.0 - step / 10, "n": 2})
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_curve_has_each_look_and_the_mean_loss_since_the_last(tmp_path, monkeypatch):
    metrics(tmp_path / "run", 6, 3)
    metrics(tmp_path / "run" / "control_constant", 4, 3)  # cut off after its first look
    monkeypatch.setattr(sys, "argv", ["dev_curves.py", str(tmp_path / "out.json"), str(tmp_path / "run")])
    dev_curves.main()
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "run": {
            "latent": {"dev": [[0, 3.0], [3, 2.7], [6, 2.4]], "training": [[3, 2.0], [6, 5.0]]},
            "latent_constant": {"dev": [[0, 3.0], [3, 2.7]], "training": [[3, 2.0]]},
        }
    }
