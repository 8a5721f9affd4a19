"""How PyTorch keeps a GPU's memory is set before it asks, and never against somebody who said otherwise."""

import os
import subprocess
import sys

import pytest

ASKED = "import os, lab; print(os.environ.get('PYTORCH_ALLOC_CONF'))"
NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "expandable_segments:True"), ({NAMES[0]: "backend:native"}, "backend:native"), ({NAMES[1]: "x:1"}, "None")],
)
def test_it_is_set_where_nobody_has(given, found):
    own = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([sys.executable, "-c", ASKED], env=own | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
