"""What people build of conditions: chains of links, handoffs, links that change, continents.

Real time can only show that nothing is faster than the links; virtual time, that it is as fast.
"""

from math import inf
from statistics import median

import pytest
from statistics_of import binomial_interval
from traffic import cross, frame_ms, stream

from patchbay import IpSupport, Lab, LinkCondition, RegionLink, clock

pytestmark = pytest.mark.usefixtures("engine")

LATE_MS = 0.05 if clock.is_virtual() else inf
EARLY = 0.999
"""See test_delay."""
PATIENCE = 30.0


def round_trip(source, target, version=4):
    """Milliseconds, the median of a few; they know each other before (ARP, neighbour discovery)."""
    address = target.ip if version == 4 else target.ip6
    assert source.ping(address, timeout=PATIENCE)
    return median(source.ping(address, 3, timeout=PATIENCE).rtts_ms)


def takes(milliseconds, source, target, version=4):
    """Whether a round trip takes so long: no less, and no more than a machine adds."""
    least = milliseconds * EARLY
    return least <= round_trip(source, target, version) <= milliseconds + LATE_MS


def test_latencies_on_a_way_add_up_and_go(net, laptop, server):
    eth0, home = laptop.iface("eth0"), net.router("home")
    assert takes(0, laptop, server)
    eth0.set_condition(LinkCondition(latency_ms=20), "up")
    home.set_downlink_condition(LinkCondition(latency_ms=30))
    assert takes(50, laptop, server)
    home.iface("wan").set_condition(LinkCondition(latency_ms=40), "up")
    assert takes(90, laptop, server)
    home.set_downlink_condition(None)
    assert takes(60, laptop, server)
    home.iface("wan").set_condition(None)
    eth0.set_condition(None)
    assert takes(0, laptop, server)
    far = net.add_router("far", downlink=LinkCondition(latency_ms=50))
    assert takes(50, net.add_device("sensor", far), server)


def test_a_handoff_changes_what_is_met(net, server):
    phone = net.add_device("phone", "home")
    slow = LinkCondition(latency_ms=25, jitter_ms=8)
    phone.add_iface("cell0", net.add_router("carrier"), slow)
    assert takes(0, phone, server)
    phone.set_default_route("cell0")
    assert 34 * EARLY <= round_trip(phone, server) <= 66 + LATE_MS
    phone.set_default_route("eth0")
    assert takes(0, phone, server)


def test_rates_fall_and_go_and_differ_by_direction(laptop, server):
    eth0, data = laptop.iface("eth0"), bytes(50_000)
    took = []
    # a queue that a stream does not fill: a lost segment costs more than these rates
    rates = [LinkCondition(rate_kbit=kbit, queue_pkts=1_000) for kbit in (5_000, 500)]
    for rate in (*rates, None):
        eth0.set_condition(rate, "up")
        took.append(stream(laptop, server, data).took)
    quick, slow, free = took
    # two milliseconds of a rate and a frame pass at once
    assert slow >= 8 * (len(data) - 1_518 - 125) / 500_000 * EARLY
    assert not clock.is_virtual() or slow > 5 * quick > 10 * free

    eth0.set_condition(LinkCondition(rate_kbit=1_000), "up")
    eth0.set_condition(LinkCondition(rate_kbit=4_000), "down")
    for ends, kbit in (((laptop, server), 1_000), ((server, laptop), 4_000)):
        took_ms = cross(*ends, 40, size=1_000, window=8).took
        least = 38 * frame_ms(1_000, kbit) - 2
        assert least * EARLY <= took_ms <= 41 * frame_ms(1_000, kbit) + LATE_MS


def test_regions_are_as_far_apart_as_their_links(shaper, nothing_left_behind):
    with Lab("world", seed=7, link_engine=shaper) as lab:
        with lab.batch():
            for name in "abc":
                lab.add_region(name)
            for one, other, latency in (("a", "b", 30), ("b", "c", 40), ("a", "c", 100)):
                lab.link_regions(one, other, RegionLink.good(latency))
            only6 = lab.add_router("only6", region="a", ip_support=IpSupport.V6_ONLY)
            six = lab.add_device("six", only6)
            home = lab.add_router("home", preset="home", region="a")
            laptop = lab.add_device("laptop", home)
            slow = lab.add_device("slow", home, condition=LinkCondition(latency_ms=15))
            two, three = (
                lab.add_device(f"in-{name}", lab.add_router(f"dc-{name}", region=name))
                for name in "bc"
            )
        for version in (4, 6):
            assert takes(60, laptop, two, version)
            assert takes(80, two, three, version)
            assert takes(200, laptop, three, version)
        assert takes(60, six, two, 6)
        assert takes(90, slow, two)
        assert takes(30, slow, laptop)


def test_loss_comes_and_goes_in_either_direction(shaper, nothing_left_behind):
    with Lab("loss", seed=7, link_engine=shaper) as lab:
        with lab.batch():
            server = lab.add_device("server", lab.add_router("dc"))
            laptop = lab.add_device("laptop", lab.add_router("home"))
        eth0 = laptop.iface("eth0")
        losses = [LinkCondition.PRESETS[each].loss_pct for each in ("wifi_bad", "satellite")]
        for per_cent in (0, 90, 0, 30, *losses, 0):
            eth0.set_condition(LinkCondition(loss_pct=per_cent))
            # how the dice fall depends on how many packets `cross` has sent in the end before
            low, high = binomial_interval(500, per_cent / 100, 1 - 1e-8)
            for ends in ((laptop, server), (server, laptop)):
                crossing = cross(*ends, 500, window=200, some_are_lost=True)
                assert low <= len(crossing.lost) <= high
