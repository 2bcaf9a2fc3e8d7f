"""Every recommendation of RFC 6092, measured on every kind of firewall, for IPv4 and IPv6."""

from __future__ import annotations

import pytest
from walls import RECOMMENDATIONS, WALLS, Wall

from patchbay import Lab


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", WALLS)
def test_it_holds_where_the_table_says(kind, version):
    with Lab("walls") as lab:
        with lab.batch():
            dc = lab.add_router("dc")
            office = lab.add_router("office", firewall=WALLS[kind])
            for name, router in (("one", dc), ("two", dc), ("laptop", office), ("desk", office)):
                lab.add_device(name, router)
        wall = Wall(lab, version)
        asked = [each for each in RECOMMENDATIONS if version in each.versions]

        measured = {(each.name, each.text): each.measure(wall) for each in asked}

    assert measured == {(each.name, each.text): kind in each.holds for each in asked}


def test_what_no_setting_breaks_is_the_kernels_doing():
    """Every other recommendation is seen to fail somewhere."""
    always = {each.name for each in RECOMMENDATIONS if each.holds == frozenset(WALLS)}
    assert always == {
        f"RFC 6092 {number}" for number in ("REC-1", "REC-12", "REC-18, 19", "REC-32")
    }
