"""Every recommendation of RFC 6092, measured on every kind of firewall, for IPv4 and IPv6."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network

import pytest
from walls import PATIENCE, RECOMMENDATIONS, WALLS, Wall

from patchbay import FirewallConfig, FirewallRule, Lab


def measure(recommendation, wall, kind):
    """Whether it holds; what is to arrive may be late on a busy host, and is waited for."""
    holds = recommendation.measure(wall)
    if (kind in recommendation.holds) is not holds:
        return recommendation.measure(replace(wall, patience=PATIENCE))
    return holds


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

        measured = {(each.name, each.text): measure(each, wall, kind) for each in asked}

    assert measured == {(each.name, each.text): kind in each.holds for each in asked}


def test_unique_local_addresses_stay_where_rules_say_so():
    """RFC 6092 REC-7, which no kind of firewall does: a lab's private LANs have such addresses."""
    local, rules = "fc00::/7", []
    for direction in ("inbound", "outbound"):
        rules += [
            FirewallRule("drop", direction, source=local),
            FirewallRule("drop", direction, destination=local),
        ]
    with Lab("local") as lab:
        with lab.batch():
            lab.add_device("outside", lab.add_router("dc"))
            office = lab.add_router("office", preset="home", firewall="none")
            laptop = lab.add_device("laptop", office)
        assert laptop.ip6 in IPv6Network(local)
        wall = Wall(lab, 6)
        ends = [wall.udp("outside"), wall.udp("laptop")]
        for sender, receiver in (ends, ends[::-1]):
            sender.sendto(b"routed", receiver.getsockname())
            assert receiver.recvfrom(100) == (b"routed", sender.getsockname())
        office.set_firewall(FirewallConfig(rules=rules))
        for sender, receiver in (ends, ends[::-1]):
            sender.sendto(b"kept in", receiver.getsockname())
            assert not wall.arrives(b"kept in", receiver)
        for each in ends:
            each.close()


def test_what_no_setting_breaks_is_the_kernels_doing():
    """Every other recommendation is seen to fail somewhere."""
    always = {each.name for each in RECOMMENDATIONS if each.holds == frozenset(WALLS)}
    assert always == {
        f"RFC 6092 {number}" for number in ("REC-1", "REC-12", "REC-18, 19", "REC-32")
    }
