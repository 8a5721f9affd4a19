"""Training a translator: the losses, the objective that puts them together, and the loop with its checkpoints.

Imports config, tasks, models, translators and runs. Evaluation comes in as a callback: it never imports answers.
"""

from lab.training.batches import Batches
from lab.training.checkpoints import check_translator, steps_left, usable_checkpoint
from lab.training.loop import TrainResult, train
from lab.training.losses import check_gradients, gradient_norms
from lab.training.objective import Batch, due_weights, training_terms
from lab.training.selection import Selection
