"""How the two tiny embedded models are made: tokenizers, corpora, pretraining, the card of what each knows.

Imports config, tasks, models, answers and runs.
"""

from lab.minipair.card import accuracy_by_cell, measure, write_card
from lab.minipair.corpus import source_document
from lab.minipair.pretraining import Recipe, build_and_save
