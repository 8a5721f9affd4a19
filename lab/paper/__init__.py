"""The paper's numbers: macros, tables and sentences, from preserved records and checked files.

Imports tasks, config, runs, batch, evidence, samples, audit and figures, never torch.
"""

from lab.paper.building import PAPER, build_paper
from lab.paper.reading import Preserved
from lab.paper.world_figures import draw
