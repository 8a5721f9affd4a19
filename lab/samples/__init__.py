"""The sample browser: every question, arm beside arm, with filters, flips, tags and exports.

Imports tasks, runs, evidence and pictures, never torch.
"""

from lab.samples.answers import clean
from lab.samples.browser import browse
from lab.samples.export import latex_text
