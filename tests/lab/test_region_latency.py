"""What packets meet between regions, as those who send them see it; times are told by their ratios."""

from __future__ import annotations

import pytest

from patchbay import RegionLink
from tests.waiting import PATIENCE, wait_until


def round_trip(source, target, version=4):
    """The shortest of several round trips, in ms: those that the host held up do not count."""
    address = target.ip if version == 4 else target.ip6
    return min(source.ping(address, count=3, timeout=PATIENCE).rtts_ms)


def assert_less(limit, source, target, version=4):
    """A round trip can take less than so many ms; a busy host gets more tries."""
    wait_until(lambda: round_trip(source, target, version) < limit, f"it takes {limit} ms or more")


def regions(lab, *names):
    """A device in each of these regions."""
    with lab.batch():
        return [
            lab.add_device(f"in-{name}", lab.add_router(f"dc-{name}", region=name))
            for name in names
        ]


def linked(lab, **latencies):
    with lab.batch():
        for name in dict.fromkeys(name for key in latencies for name in key.split("_")):
            lab.add_region(name)
        for key, latency in latencies.items():
            lab.link_regions(*key.split("_"), RegionLink.good(latency))


@pytest.mark.parametrize("version", [4, 6])
def test_a_round_trip_takes_the_latency_of_the_link_twice(lab, version):
    linked(lab, us_eu=50, eu_asia=150)
    us, eu, asia = regions(lab, "us", "eu", "asia")
    assert round_trip(us, eu, version) >= 100
    assert round_trip(eu, asia, version) >= 300
    assert_less(200, us, eu, version)


def test_a_direct_link_is_used_however_slow_and_a_way_around_adds_up(lab):
    linked(lab, a_b=30, b_c=40, a_c=200)
    one, _, other = regions(lab, "a", "b", "c")
    assert round_trip(one, other) >= 400
    lab.break_region_link("a", "c", reroute=True)
    assert round_trip(one, other) >= 140
    assert_less(400, one, other)
    lab.restore_region_link("a", "c")
    assert round_trip(one, other) >= 400


def test_each_direction_has_its_own_and_both_can_be_changed(lab):
    linked(lab, us_eu=0)
    us, eu = regions(lab, "us", "eu")
    assert_less(250, us, eu)  # some 0.1 ms, if the host is idle
    lab.update_region_link("us", "eu", RegionLink.good(20), back=RegionLink.good(480))
    assert round_trip(us, eu) >= 500
    trunk = lab.region("eu").iface("trunk1")
    assert trunk.condition("up").latency_ms == 480
    assert trunk.condition("down").latency_ms == 20
    lab.update_region_link("eu", "us", RegionLink())
    assert_less(250, us, eu)


def test_what_is_not_between_the_two_takes_no_time(lab):
    linked(lab, us_eu=300)
    us, eu = regions(lab, "us", "eu")
    assert round_trip(us, eu) >= 600
    beside = lab.add_device("beside", lab.add_router("also", region="us"))
    outside = lab.add_device("outside", lab.add_router("none"))
    assert_less(300, us, beside)
    assert_less(300, us, outside, 6)


def test_a_link_that_loses_everything_in_one_direction(lab):
    linked(lab, us_eu=0)
    us, eu = regions(lab, "us", "eu")
    lab.update_region_link("us", "eu", RegionLink(loss_pct=100), back=RegionLink())
    assert not us.ping(eu, timeout=0.3)
    assert not eu.ping(us.ip6, timeout=0.3)
    lab.update_region_link("us", "eu", RegionLink())
    assert us.ping(eu, timeout=PATIENCE)


def test_the_world_is_as_far_apart_as_it_is(lab):
    world = lab.add_world()
    assert list(world) == ["us", "eu", "asia", "oceania", "south-america"]
    us, eu, oceania = regions(lab, "us", "eu", "oceania")
    assert round_trip(us, eu) >= 80
    assert round_trip(eu, oceania) >= 310
    assert_less(200, us, eu)
    for link in RegionLink.WORLD.values():
        assert link == RegionLink.good(link.latency_ms)
