"""Regions on real network stacks: who reaches whom, while links come, break and go."""

from __future__ import annotations

from itertools import permutations

import pytest
from support import Traffic, differences, exchange, held_open, reaches, refused

from patchbay import ConfigError, Lab, NodeGone, Region, RegionLink, RouterPreset
from tests.waiting import PATIENCE


@pytest.fixture
def world(lab):
    """Three regions in a row, us - eu - asia, a data centre in each, and one in none."""
    with lab.batch():
        regions = [lab.add_region(name) for name in ("us", "eu", "asia")]
        lab.link_regions("us", "eu")
        lab.link_regions("eu", regions[2])
        for region in regions:
            lab.add_device(f"in-{region.name}", lab.add_router(f"dc-{region.name}", region=region))
        lab.add_device("outside", lab.add_router("dc"))
    return lab


def assert_answered(lab, version, expected):
    """Exactly these pairs of devices answer; every pair is asked at the same time.

    Those that are to answer may take their time, which the others are not waited for.
    """
    tasks = {}
    for a, b in permutations(lab.devices, 2):
        pair, address = (a.name, b.name), str(b.ip if version == 4 else b.ip6)
        tasks[pair] = a.submit(_answers, address, PATIENCE if pair in expected else 0.3)
    answered = {pair for pair, task in tasks.items() if task.result(timeout=2 * PATIENCE)}
    assert answered == expected


def _answers(address, patience):
    from patchbay.ping import ping

    return bool(ping(address, 1, patience, 0.0, 56))


def both(*pairs):
    return {pair for a, b in pairs for pair in ((f"in-{a}", f"in-{b}"), (f"in-{b}", f"in-{a}"))}


OUTSIDE = {
    pair
    for name in ("us", "eu", "asia")
    for pair in ((f"in-{name}", "outside"), ("outside", f"in-{name}"))
}


@pytest.mark.parametrize("version", [4, 6])
def test_regions_reach_the_linked_ones_and_the_ix_while_links_change(world, version):
    linked = both(("us", "eu"), ("eu", "asia"))
    assert_answered(world, version, OUTSIDE | linked)
    world.break_region_link("eu", "us")
    assert_answered(world, version, OUTSIDE | both(("eu", "asia")))
    world.restore_region_link("us", "eu")
    world.link_regions("us", "asia")
    world.break_region_link("us", "eu", reroute=True)
    assert_answered(world, version, OUTSIDE | linked | both(("us", "asia")))
    world.unlink_regions("us", "asia")
    assert_answered(world, version, OUTSIDE | both(("eu", "asia")))
    world.restore_region_link("us", "eu")
    world.region("eu").set_transit(True)
    assert_answered(world, version, OUTSIDE | linked | both(("us", "asia")))
    assert differences(world) == []


def test_the_kernel_has_what_the_plan_says(world):
    assert differences(world) == []
    world.break_region_link("us", "eu")
    world.region("eu").set_transit(True)
    world.link_regions("asia", "us")
    world.restore_region_link("us", "eu")
    world.break_region_link("asia", "eu", reroute=True)
    assert differences(world) == []
    world.remove(world.add_region("new"))
    world.unlink_regions("asia", "us")
    assert differences(world) == []


def test_a_way_around_is_really_gone_around(world):
    world.link_regions("us", "asia")
    inside, asia = world.device("in-us"), world.device("in-eu")
    passing = [world.region("asia").iface(name) for name in ("trunk2", "trunk3")]
    before = [iface.stats().received_packets for iface in passing]
    world.break_region_link("us", "eu", reroute=True)
    assert inside.ping(asia.ip, count=10, timeout=PATIENCE).received == 10
    assert inside.ping(asia.ip6, count=10, timeout=PATIENCE).received == 10
    after = [iface.stats().received_packets for iface in passing]
    assert all(later - earlier >= 20 for earlier, later in zip(before, after, strict=True))


def test_homes_and_carriers_in_regions(world):
    """NAT and routers behind routers: all of a region's is behind its links."""
    with world.batch():
        isp = world.add_router("isp", preset=RouterPreset.ISP_CGNAT, region="us")
        home = world.add_router("home", preset="home", upstream=isp, region="us")
        laptop = world.add_device("laptop", home)
    server = world.device("in-eu")
    assert exchange(laptop, server) == str(isp.uplink_ip)
    assert reaches(laptop, server, 6)
    assert refused(laptop, world.device("in-asia"))
    with held_open(laptop, server) as conversation:
        assert conversation.works()
        world.link_regions("us", "asia")
        world.break_region_link("us", "eu", reroute=True)
        assert conversation.works(), "a connection goes around with the rest"
    assert isp.region == world.region("us") == home.region
    assert (isp.upstream, home.upstream) == (None, isp)


def test_a_router_moves_to_another_region_and_keeps_its_lan(world):
    dc, inside, asia = world.router("dc-us"), world.device("in-us"), world.device("in-asia")
    was = (inside.ip, inside.ip6)
    assert refused(inside, asia)
    dc.iface("wan").replug(world.region("eu"))
    assert (inside.ip, inside.ip6) == was
    assert reaches(inside, asia)
    assert reaches(asia, inside, 6)
    assert dc.region == world.region("eu")
    assert differences(world) == []


def test_changing_what_packets_meet_loses_none(world):
    server = world.device("in-eu")
    with server.reflector() as reflector:
        traffic = Traffic(world.device("in-us"), str(server.ip), reflector.port)
        for _ in range(20):
            world.update_region_link("us", "eu", RegionLink())
            world.link_regions("us", "asia")
            world.unlink_regions("us", "asia")
        sent, answered = traffic.stop()
    assert sent == answered > 0


def test_handles_of_regions(world):
    us, eu, asia = world.regions
    assert [region.name for region in world.regions] == ["us", "eu", "asia"]
    assert isinstance(world.node("us"), Region)
    assert world.region("us") == us
    assert us.linked == [eu]
    assert eu.linked == [us, asia]
    assert [router.name for router in eu.routers] == ["dc-eu"]
    assert world.router("dc").region is None
    assert us.ip in us.downstream
    assert us.ip6 in us.downstream6
    assert [iface.name for iface in eu.ifaces] == ["lan", "wan", "trunk1", "trunk2"]
    assert world.resolve("us") == us.ip
    assert us.run(["true"]).returncode == 0, "code runs on a region as on any node"
    assert reaches(us, world.device("in-eu")), "and is in the region"
    assert refused(us, world.device("in-asia"))
    assert world.device("in-us").iface("eth0").router == world.router("dc-us")
    assert world.router("dc-us").iface("wan").router is None


def test_a_removed_region_is_gone_with_its_links(world):
    for name in ("in-eu", "dc-eu", "eu"):
        world.remove(name)
    gone = world.region("us")
    assert gone.linked == []
    new = world.add_region("eu")
    world.link_regions("us", new)
    device = world.add_device("again", world.add_router("dc-again", region="eu"))
    assert reaches(world.device("in-us"), device)
    world.remove("again")
    world.remove("dc-again")
    world.remove(new)
    with pytest.raises(NodeGone):
        _ = new.transit
    assert differences(world) == []


def test_events_tell_of_regions(lab):
    lab.add_region("us")
    lab.add_region("eu", transit=True)
    lab.link_regions("us", "eu")
    lab.update_region_link("eu", "us", RegionLink())
    lab.link_regions("eu", lab.add_region("asia"))
    lab.link_regions("us", "asia")
    lab.break_region_link("us", "eu", reroute=True)
    lab.restore_region_link("us", "eu")
    lab.unlink_regions("us", "eu")
    lab.region("eu").set_transit(False)
    lab.remove("eu")
    told = [(event.kind, event.fields) for event in lab.events() if "region" in event.kind]
    assert [kind for kind, _ in told] == [
        "region_added", "region_added", "region_link_added", "region_link_changed",
        "region_added", "region_link_added", "region_link_added", "region_link_broken",
        "region_link_restored", "region_link_removed", "region_transit_changed", "region_removed",
    ]  # fmt: skip
    assert told[1][1]["transit"] is True
    assert told[2][1]["regions"] == ["us", "eu"]
    assert told[7][1]["reroute"] is True
    assert told[-1][1]["name"] == "eu"


def test_mistakes_leave_everything_as_it_was(world):
    before = world.topology()
    for mistake, told in (
        (lambda: world.add_region("us"), "there is a region of this name already"),
        (lambda: world.link_regions("us", "us"), "cannot be linked with itself"),
        (lambda: world.link_regions("us", "asai"), "did you mean 'asia'?"),
        (lambda: world.link_regions("us", "asia", 80), "80 is no RegionLink"),
        (lambda: world.update_region_link("us", "asia", RegionLink()), "they are not linked"),
        (lambda: world.break_region_link("us", "eu", reroute=True), "gone around"),
        (lambda: world.restore_region_link("us", "eu"), "it is not broken"),
        (lambda: world.remove("us"), "still plugged into its LAN"),
        (lambda: world.router("us"), "this is a region, not a router"),
        (lambda: world.region("dc-us"), "this is a router, not a region"),
        (lambda: world.region("ix"), "this is the internet exchange, not a region"),
    ):
        with pytest.raises(ConfigError) as caught:
            mistake()
        assert told in str(caught.value)
    assert world.topology() == before


def test_names_may_be_anything_and_long(lab):
    one, other = "Ost-Süd-Amerika-mit-einem-langen-Namen", "北極"
    lab.add_region(one)
    lab.add_region(other)
    lab.link_regions(one, other)
    near = lab.add_device("near", lab.add_router("r", region=one))
    far = lab.add_device("far", lab.add_router("s", region=other))
    assert reaches(near, far)
    assert reaches(far, near, 6)


def test_a_lab_from_a_file_has_the_same_regions(world, tmp_path, nothing_left_behind):
    world.link_regions("us", "asia")
    world.break_region_link("us", "eu", reroute=True)
    (tmp_path / "world.toml").write_text(world.to_toml())
    with Lab.load(tmp_path / "world.toml") as again:
        assert again.topology() == world.topology()
        for each in (world, again):
            assert_answered(each, 4, OUTSIDE | both(("us", "eu"), ("eu", "asia"), ("us", "asia")))
        kinds = [event.kind for event in again.events()]
        assert kinds.count("region_added") == kinds.count("region_link_added") == 3
