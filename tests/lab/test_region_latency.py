"""What packets meet between regions, as those who send them see it; times are told by their ratios."""

from __future__ import annotations

import statistics

import pytest

from patchbay import RegionLink


def round_trip(source, target, version=4):
    """The median of several round trips, in ms: one that the host held up does not count."""
    address = target.ip if version == 4 else target.ip6
    return statistics.median(source.ping(address, count=5, timeout=5.0).rtts_ms)


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
    near, far = round_trip(us, eu, version), round_trip(eu, asia, version)
    assert near >= 100
    assert far >= 300
    assert far > near * 1.5, "three times, if the host is idle"


def test_a_direct_link_is_used_however_slow_and_a_way_around_adds_up(lab):
    linked(lab, a_b=30, b_c=40, a_c=200)
    one, _, other = regions(lab, "a", "b", "c")
    direct = round_trip(one, other)
    lab.break_region_link("a", "c", reroute=True)
    around = round_trip(one, other)
    assert direct >= 400
    assert 140 <= around < direct
    lab.restore_region_link("a", "c")
    assert round_trip(one, other) >= 400


def test_each_direction_has_its_own_and_both_can_be_changed(lab):
    linked(lab, us_eu=0)
    us, eu = regions(lab, "us", "eu")
    clean = round_trip(us, eu)
    lab.update_region_link("us", "eu", RegionLink.good(20), back=RegionLink.good(480))
    slow = round_trip(us, eu)
    trunk = lab.region("eu").iface("trunk1")
    assert trunk.condition("up").latency_ms == 480
    assert trunk.condition("down").latency_ms == 20
    lab.update_region_link("eu", "us", RegionLink())
    clean_again = round_trip(us, eu)
    assert slow >= 500
    assert max(clean, clean_again) < slow / 2, "some 0.1 ms, if the host is idle"


def test_what_is_not_between_the_two_takes_no_time(lab):
    linked(lab, us_eu=300)
    us, eu = regions(lab, "us", "eu")
    far = round_trip(us, eu)
    beside = lab.add_device("beside", lab.add_router("also", region="us"))
    outside = lab.add_device("outside", lab.add_router("none"))
    assert round_trip(us, beside) < far / 2
    assert round_trip(us, outside, 6) < far / 2


def test_a_link_that_loses_everything_in_one_direction(lab):
    linked(lab, us_eu=0)
    us, eu = regions(lab, "us", "eu")
    lab.update_region_link("us", "eu", RegionLink(loss_pct=100), back=RegionLink())
    assert not us.ping(eu, timeout=0.3)
    assert not eu.ping(us.ip6, timeout=0.3)
    lab.update_region_link("us", "eu", RegionLink())
    assert us.ping(eu, timeout=5.0)


def test_the_world_is_as_far_apart_as_it_is(lab):
    world = lab.add_world()
    assert list(world) == ["us", "eu", "asia", "oceania", "south-america"]
    us, eu, oceania = regions(lab, "us", "eu", "oceania")
    near, far = round_trip(us, eu), round_trip(eu, oceania)
    assert near >= 80
    assert far >= 310
    assert far > near * 1.5, "some 3.9 times, if the host is idle"
    for link in RegionLink.WORLD.values():
        assert link == RegionLink.good(link.latency_ms)
