"""A small lab in which things are measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from patchbay import Lab


@pytest.fixture
def lab(nothing_left_behind: None) -> Iterator[Lab]:
    """A laptop at home, and a server beyond the IX."""
    with Lab("meter") as lab:
        with lab.batch():
            dc = lab.add_router("dc", preset="public")
            home = lab.add_router("home", preset="home")
            lab.add_device("server", dc)
            lab.add_device("laptop", home)
        yield lab
