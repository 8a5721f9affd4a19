"""The benchmark's page is recomputed here: its scripts lie outside the package."""

import sys

import pytest

from lab.places import ROOT


@pytest.fixture(scope="session")
def predicted():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import preflight

        yield preflight
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
