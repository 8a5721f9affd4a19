"""The figures of a paper, each made from finished runs: one definition for the page and for print, with its numbers.

Imports runs, evidence, pictures and audit, never torch.
"""

from lab.figures.catalogue import FIGURES, figures_of, missing_sentence
from lab.figures.material import Material, Missing
from lab.figures.plate import Plate, sources_of
from lab.figures.presenting import present
from lab.figures.writing import ENDINGS, told, write_figures, write_plate
