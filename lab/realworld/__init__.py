"""How two pretrained models come to know one half each of the two-hop world: corpora, fine-tuning, the card.

Imports config, tasks, models, minipair and runs. Weights are made, never shipped.
"""

from lab.realworld.corpus import Document, source_document
from lab.realworld.finetuning import Recipe, built, fine_tune, learn
from lab.realworld.knowledge import measure, write_card
