"""Labs whose links are made by the process of the lab, whatever the kernel could do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from patchbay import Lab


@pytest.fixture
def lab(nothing_left_behind: None) -> Iterator[Lab]:
    """A lab of two devices, `laptop` at `home` and `server` at `dc`."""
    with Lab("links", link_engine="user", seed=7) as lab:
        with lab.batch():
            home, dc = lab.add_router("home"), lab.add_router("dc")
            lab.add_device("laptop", home)
            lab.add_device("server", dc)
        yield lab
