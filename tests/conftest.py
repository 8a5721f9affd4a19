"""Shared fixtures: a pair of tiny random models, small enough that every law can be tested on real architectures."""

import pytest
from tiny_models import make_tiny_pair

from lab.models import Pair


@pytest.fixture(scope="session")
def tiny_pair() -> Pair:
    """See `make_tiny_pair`."""
    return make_tiny_pair()
