"""A workbench for cross-model communication: translate a frozen model's hidden states into another's soft tokens."""
