"""Tests of whole labs: real namespaces, wired by the kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchbay import Lab

sys.path.append(str(Path(__file__).parent))  # for the modules that the tests here share


@pytest.fixture
def lab(nothing_left_behind: None) -> Iterator[Lab]:
    """A lab with nothing in it."""
    with Lab("test") as lab:
        yield lab
