"""Names of models: the pairs that have one, and a folder's name that is the same on every machine."""

from pathlib import Path

from lab.places import MINI

MISTRAL, LLAMA = "mistralai/Mistral-7B-Instruct-v0.3", "meta-llama/Meta-Llama-3.1-8B-Instruct"
PAIRS = {  # name -> source and target
    "mini": (str(MINI / "source"), str(MINI / "target")),
    "mistral-llama": (MISTRAL, LLAMA),
    "llama-mistral": (LLAMA, MISTRAL),
    "custom": ("", ""),
}
RANDOM = "random:"  # before a folder: its architecture with random weights


def short_name(model: str) -> str:
    """A model by the last two parts of its name: the same for a folder wherever the repository lies."""
    prefix = RANDOM if model.startswith(RANDOM) else ""
    return prefix + "/".join(Path(model.removeprefix(RANDOM)).parts[-2:])
