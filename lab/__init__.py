"""A workbench for cross-model communication: translate a frozen model's hidden states into another's soft tokens."""

import os

# On a GPU, memory that grows by pages in place of pieces: a piece that was made for one shape holds no larger one, and
# what was captured for one shape after the other kept pieces of each. PyTorch reads it at its first need.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
