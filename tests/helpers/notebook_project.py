"""A repository with one notebook, whose second cell can be anything, and one job."""

import nbformat

PARAMETERS = (
    'name = "x"\nruns = "runs"\nresume = False\nsteps = 10\nrate = 1e-3\ntie = False\n'
    'layers: "str | list[int]" = "all"\n'
)

# A cell that leaves a run as a training does, without models: one row of metrics a step.
STEPS = """
import os, time
from types import SimpleNamespace
from lab.runs import RunDirectory

class Config:
    pair, training = SimpleNamespace(device="cpu"), SimpleNamespace(seed=1)
    hash = lambda self: str(steps)
    to_yaml = lambda self, path: path.write_text("steps: 1")

run = RunDirectory.create(f"{runs}/{name}", Config(), resume)
for step in range(steps):
    run.metric({"step": step})
    print("step", step, flush=True)
    time.sleep(rate)
run.finish()
"""


class NotebookProject:
    def __init__(self, root):
        self.root = root

    def __call__(self, body="pass", job="notebook: nb\n", parameters=PARAMETERS):
        """Write the notebook and the job; returns the job's path."""
        (self.root / "notebooks").mkdir(exist_ok=True)
        cells = [nbformat.v4.new_code_cell(parameters), nbformat.v4.new_code_cell(body)]
        cells[0].metadata["tags"] = ["parameters"]
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), self.root / "notebooks" / "nb.ipynb")
        path = self.root / "j.yaml"
        path.write_text(job)
        return path
