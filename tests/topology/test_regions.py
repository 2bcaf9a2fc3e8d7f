"""Regions, on paper: which way packets go, what the kernel is told, and what is refused."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from labs import device, edits, lab, link, region, region_edits, router
from pure_kernel import Kernel

from patchbay.errors import ConfigError
from patchbay.topology import edit, edit_regions, toml
from patchbay.topology import steps as s
from patchbay.topology.diff import steps
from patchbay.topology.graph import plugged_in, region_of
from patchbay.topology.model import IX, Lane
from patchbay.topology.partitions import partition_tables
from patchbay.topology.plan import node_plan, plan
from patchbay.topology.playing import all_playing, played, playing_at, stopped
from patchbay.topology.requests import LaneRequest
from patchbay.topology.snapshot import interface_snapshots
from patchbay.topology.ways import find_ways
from patchbay.values import DropList, Hold, LinkCondition, RegionLink, Schedule

quick = settings(max_examples=60, deadline=None, derandomize=True)


def world(*links, **options):
    """Four regions, each with a router and a device, and a device in none: us, eu, asia, af."""
    names = ("us", "eu", "asia", "af")
    return lab(
        *(region(name, **options) for name in names),
        *links,
        *(router(f"dc-{name}", region=name) for name in names),
        *(device(name.upper(), f"dc-{name}") for name in names),
        router("none"),
        device("NONE", "none"),
    )


def timed(topology, **latencies):
    """The same with these latencies of links, by their ends: `us_eu=40`, the same both ways."""
    links = {
        frozenset(key.split("_")): Lane(condition=RegionLink(value).met)
        for key, value in latencies.items()
    }
    trunks = []
    for trunk in topology.trunks:
        there = links.get(frozenset(trunk.ends), Lane())
        trunks.append(replace(trunk, link=there, back=there))
    return replace(topology, trunks=tuple(trunks))


def booted(topology):
    return Kernel().apply(steps(None, topology))


def path(kernel, topology, source, target, version=4):
    """The regions that a packet from one device to another crosses; None if it is lost."""
    one, other = (topology.devices[name].interfaces[0] for name in (source, target))
    ends = (one.address, other.address) if version == 4 else (one.address6, other.address6)
    walked = kernel.walk(source, *(end.ip for end in ends))
    return None if walked is None else [name for name in walked if name in topology.regions]


def reached(topology, version=4):
    """Which devices reach which."""
    kernel = booted(topology)
    pairs = permutations(topology.devices, 2)
    return {(a, b) for a, b in pairs if path(kernel, topology, a, b, version) is not None}


def both(*names):
    return {(a, b) for a in names for b in names if a != b}


def refusal(change, *arguments, **options):
    with pytest.raises(ConfigError) as caught:
        change(*arguments, **options)
    return str(caught.value)


# ---- who reaches whom -------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_regions_reach_those_they_are_linked_with_and_the_ix(version):
    t = world(link("us", "eu"), link("eu", "asia"))
    with_ix = {pair for name in ("US", "EU", "ASIA", "AF") for pair in both(name, "NONE")}
    assert reached(t, version) == with_ix | both("US", "EU") | both("EU", "ASIA")


@pytest.mark.parametrize("version", [4, 6])
def test_a_broken_link_cuts_and_a_restored_one_is_what_it_was(version):
    t = world(link("us", "eu"), link("eu", "asia"), link("asia", "us"))
    broken = edit_regions.break_link(t, "eu", "us")
    assert reached(t, version) - reached(broken, version) == both("US", "EU")
    assert edit_regions.restore_link(broken, "us", "eu") == t


@pytest.mark.parametrize("version", [4, 6])
def test_a_link_that_is_gone_around_leads_over_the_fewest_regions_and_the_least_latency(version):
    pairs = ("us eu", "us asia", "asia eu", "us af", "af eu", "asia af")
    t = world(*(link(*pair.split()) for pair in pairs))
    t = timed(t, us_eu=40, us_asia=10, asia_eu=10, us_af=30, af_eu=20, asia_af=1)
    assert path(booted(t), t, "US", "EU", version) == ["us", "eu"]
    t = edit_regions.break_link(t, "us", "eu", reroute=True)
    assert path(booted(t), t, "US", "EU", version) == ["us", "asia", "eu"]
    assert path(booted(t), t, "EU", "US", version) == ["eu", "asia", "us"]
    t = edit_regions.break_link(t, "us", "asia")
    assert path(booted(t), t, "US", "EU", version) == ["us", "af", "eu"]
    t = edit_regions.break_link(t, "af", "eu")
    assert path(booted(t), t, "US", "EU", version) == ["us", "af", "asia", "eu"]
    t = edit_regions.unlink(t, "us", "af")
    assert path(booted(t), t, "US", "EU", version) is None


def test_going_around_opens_no_way_for_the_regions_on_it():
    t = world(link("us", "asia"), link("asia", "af"), link("af", "eu"), link("us", "eu"))
    t = edit_regions.break_link(t, "us", "eu", reroute=True)
    kernel = booted(t)
    assert path(kernel, t, "US", "EU") == ["us", "asia", "af", "eu"]
    assert path(kernel, t, "ASIA", "EU") is None
    assert path(kernel, t, "US", "AF") is None


def test_a_direct_link_is_used_even_if_it_takes_longer():
    t = world(link("us", "eu"), link("eu", "asia"), link("us", "asia"), transit=True)
    t = timed(t, us_eu=30, eu_asia=40, us_asia=100)
    assert path(booted(t), t, "US", "ASIA") == ["us", "asia"]


def test_transit_lets_others_pass_and_nobody_else_does():
    t = world(link("us", "eu"), link("eu", "asia"), link("asia", "af"))
    assert path(booted(t), t, "US", "ASIA") is None
    t = edit_regions.set_transit(t, "eu", True)
    kernel = booted(t)
    assert path(kernel, t, "US", "ASIA") == ["us", "eu", "asia"]
    assert path(kernel, t, "ASIA", "US", 6) == ["asia", "eu", "us"]
    assert path(kernel, t, "US", "AF") is None
    assert path(booted(t), edit_regions.set_transit(t, "eu", False), "US", "EU") is not None


def test_a_way_through_regions_that_carry_transit_is_preferred_to_a_shorter_one():
    t = world(link("us", "af"), link("af", "asia"), link("us", "eu"), link("eu", "asia"))
    t = edit_regions.set_transit(t, "eu", True)
    assert path(booted(t), t, "US", "ASIA") == ["us", "eu", "asia"]


def test_what_is_behind_routers_of_a_region_is_in_it():
    t = world(link("us", "eu"))
    t = edit.batch(
        t,
        [
            router("isp", "dc-us"),
            router("home", "isp", preset="home"),
            device("deep", "isp"),
            device("laptop", "home"),
        ],
    )
    assert region_of(t, "home") == "us"
    kernel = booted(t)
    assert path(kernel, t, "EU", "deep") == ["eu", "us"]
    assert path(kernel, t, "laptop", "EU", 6) == ["us", "eu"]
    assert path(kernel, t, "EU", "laptop", 6) == ["eu", "us"], "there is no NAT of IPv6 at home"
    assert path(kernel, t, "EU", "laptop") is None
    assert path(kernel, t, "ASIA", "deep") is None


def test_a_router_moves_to_another_region_with_all_that_is_behind_it():
    t = world(link("us", "eu"), link("asia", "af"))
    moved = edit.replug(t, "dc-us", "wan", "af")
    kernel = booted(t).apply(steps(t, moved))
    assert path(kernel, moved, "US", "ASIA") == ["af", "asia"]
    assert path(kernel, moved, "US", "EU") is None
    assert moved.devices == t.devices


# ---- what the kernel is told ------------------------------------------------------------------


@quick
@given(region_edits)
def test_whatever_is_done_to_regions_steps_lead_where_building_at_once_does(changes):
    topology = world(link("us", "eu"), link("eu", "asia"), link("asia", "af"))
    kernel = booted(topology)
    for change in changes:
        after = change(topology)
        kernel.apply(steps(topology, after))
        topology = after
    assert kernel.state() == booted(topology).state()
    for name, tables in partition_tables(topology).items():
        assert set(tables) <= kernel.tables[name]
    ways = find_ways(topology.regions, topology.trunks)
    for a, b in permutations(topology.devices, 2):
        here, there = (
            region_of(topology, topology.devices[name].interfaces[0].lan) for name in (a, b)
        )
        open_ = here == there or None in (here, there) or ways.own.get((here, there)) is not None
        for version in (4, 6):
            assert (path(kernel, topology, a, b, version) is not None) == open_


@quick
@given(edits)
def test_a_lab_with_regions_is_written_and_read_again(changes):
    topology = world(link("us", "eu"), link("eu", "asia", back=RegionLink()))
    for change in changes:
        topology = change(topology)
    again = toml.load(toml.dump(topology)).topology()
    assert again == topology
    assert list(again.regions) == list(topology.regions)


def test_a_new_router_touches_its_region_and_those_that_reach_it_only():
    t = world(link("us", "eu"), link("asia", "af"))
    todo = steps(t, edit.add_router(t, router("new", region="us")))
    assert {step.node for step in todo if hasattr(step, "node")} == {"new", "us", "eu", IX}


def test_breaking_and_restoring_replaces_routes_and_nothing_else():
    t = world(link("us", "eu"), link("eu", "asia"))
    broken = edit_regions.break_link(t, "us", "eu")
    for todo in (steps(t, broken), steps(broken, t)):
        assert {type(step) for step in todo} == {s.SetRoute}
        assert all(step.old is not None for step in todo)
        assert {step.node for step in todo} == {"us", "eu"}


def test_no_link_needs_an_address_and_all_can_be_had():
    names = [f"region {n} with a long name".replace(" ", "-") for n in range(40)]
    pairs = [(a, b) for a, b in permutations(names, 2) if a < b]
    t = lab(*(region(name) for name in names), *(link(a, b) for a, b in pairs))
    assert len(t.trunks) == 780
    told = node_plan(t, names[0])
    assert {name for name, _ in told.addresses} == {"lan"}
    assert len(told.cables) == 40


def test_a_region_of_many_routers_grows_and_nothing_overlaps():
    many = [router(f"home-{n}", preset="home", region="us") for n in range(300)]
    t = lab(region("us"), region("eu"), link("us", "eu"), *many, router("dc", region="eu"))
    plugged = [interface for _, interface in plugged_in(t, "us")]
    lan = t.regions["us"]
    addresses = [each.address for each in plugged]
    assert len(set(addresses)) == 300
    networks = {each.network for each in addresses}
    assert len(networks) == 2
    assert lan.downstream in networks
    assert {route.destination for route in node_plan(t, "eu").routes} >= networks
    assert {route.destination for route in node_plan(t, IX).routes} >= networks
    own = interface_snapshots(t, "us")[0]
    assert {own.address.network, *(each.network for each in own.extra)} == networks


def test_the_plan_tells_of_regions():
    t = edit_regions.break_link(world(link("us", "eu"), link("us", "asia")), "us", "eu")
    told = str(plan(t))
    assert "trunk1 mtu 1500 -> trunk1 of eu" in told
    assert "route blackhole 198.18.2.0/24" in told
    assert "rule from all iif ix table 500" in told
    assert "route 198.18.3.0/24 via fe80::" in told


def test_addresses_stay_whatever_becomes_of_links():
    t = world(link("us", "eu"))
    after = edit_regions.unlink(edit_regions.break_link(t, "us", "eu"), "us", "eu")
    after = edit.batch(after, [link("us", "asia"), region("new"), link("new", "us")])
    assert (after.routers, after.devices) == (t.routers, t.devices)


# ---- what is refused --------------------------------------------------------------------------


def test_mistakes_are_told_all_at_once_and_kindly():
    told = refusal(
        lab,
        region("europe"),
        region("twin"),
        region("twin"),
        region("ix"),
        router("r", region="eurpe"),
        router("s", region="europe", upstream="t"),
        router("t"),
        link("europe", "asia"),
        link("europe", "europe"),
    )
    for part in (
        "region 'twin': there is a region of this name already",
        "region 'ix': the name 'ix' belongs to the internet exchange",
        "router 'r', region: there is no region 'eurpe'; did you mean 'europe'?",
        "router 's', region: its upstream 't' is in no region, not in 'europe'",
        "link between regions 'europe' and 'asia': there is no region 'asia'",
        "a region cannot be linked with itself",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: edit.batch(t, [link("eu", "us")]), "they are linked already"),
        (lambda t: edit_regions.unlink(t, "us", "af"), "they are not linked"),
        (lambda t: edit_regions.unlink(t, "us", "asai"), "did you mean 'asia'?"),
        (lambda t: edit_regions.break_link(t, "us", "af"), "they are not linked"),
        (lambda t: edit_regions.break_link(t, "us", "eu", reroute=True), "gone around"),
        (lambda t: edit_regions.restore_link(t, "us", "eu"), "it is not broken"),
        (lambda t: edit_regions.set_transit(t, "dc-us", True), "there is no such region"),
        (lambda t: edit.remove(t, "us"), "wan of 'dc-us' still plugged into its LAN"),
        (lambda t: edit.add_router(t, router("us")), "there is a region of this name already"),
        (lambda t: edit.set_nat(t, "us", "none"), "this is a region, not a router"),
        (
            lambda t: edit.batch(t, [region("x", downstream="198.18.1.0/24")]),
            "region 'x': the subnet 198.18.1.0/24 overlaps 198.18.1.0/24, the LAN of region 'us'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(change, told):
    assert told in refusal(change, world(link("us", "eu")))


def test_a_removed_region_takes_its_links_along():
    t = lab(region("us"), region("eu"), region("asia"), link("us", "eu"), link("eu", "asia"))
    kernel = booted(t)
    after = edit.remove(t, "eu")
    assert after.trunks == ()
    assert kernel.apply(steps(t, after)).state() == booted(after).state()
    again = edit.batch(after, [region("new"), link("us", "new")])
    assert (again.regions["new"].number, again.trunks[0].number) == (2, 1), "they are free again"


# ---- files ------------------------------------------------------------------------------------


def test_a_file_links_regions_by_latencies_or_in_full():
    description = toml.load(
        """
        region.us.latencies = {}
        [region.eu]
        transit = true
        latencies = { us = 0, asia = 0.0 }
        [region.asia]
        [[region-link]]
        between = ["asia", "us"]
        latency-ms = 0
        back = { loss_pct = 0 }
        broken = true
        reroute = true
        [[router]]
        name = "dc"
        region = "eu"
        """
    )
    t = description.topology()
    assert [trunk.ends for trunk in t.trunks] == [("eu", "us"), ("eu", "asia"), ("asia", "us")]
    assert t.regions["eu"].transit
    assert t.routers["dc"].upstream == "eu"
    assert (t.trunks[2].broken, t.trunks[2].reroute) == (True, True)


def test_what_packets_meet_between_regions_is_written_and_read():
    t = world(link("us", "eu"))
    drops = DropList([3], between_ms=[(1, 2)])
    there, back = RegionLink(40, 2.5, 0.1, 100, drops=drops), RegionLink(latency_ms=55)
    lanes = {"link": Lane(condition=there.condition), "back": Lane(condition=back.condition)}
    t = replace(t, trunks=(replace(t.trunks[0], **lanes),))
    (request,) = (each for each in toml.load(toml.dump(t)).requests if each.name == "us - eu")
    assert request.link == LaneRequest(condition=there.condition)
    assert request.back == LaneRequest(condition=back.condition)
    assert there.condition == LinkCondition(40, 2.5, 0.1, 100_000, drops=drops)


def test_a_way_around_does_not_follow_what_schedules_say():
    links = (("us", "eu"), ("us", "asia"), ("asia", "eu"), ("us", "af"), ("af", "eu"))
    t = timed(world(*(link(*ends) for ends in links)), us_af=50)
    t = edit_regions.break_link(t, "us", "eu", reroute=True)
    slower = Schedule(Hold(LinkCondition(1), 5), Hold(LinkCondition(900)))
    lane = LaneRequest(condition=slower)
    t = edit_regions.update_link(t, "us", "asia", lane, lane)
    places = [place for place, _ in all_playing(t)]
    after = played(t, dict.fromkeys(places, slower.at(5)))

    assert {type(step) for step in steps(t, after)} == {s.SetCondition}
    assert places == [("us", "trunk2", "up"), ("asia", "trunk2", "up")]
    assert after.trunks[1].link.condition == after.trunks[1].back.condition == LinkCondition(900)
    assert stopped(after, places[1]).trunks[1].back.timed_condition == LinkCondition(900)
    assert playing_at(after, ("eu", "trunk2", "up")) is None
    assert playing_at(after, ("asia", "trunk2", "down")).timeline == slower


def test_a_link_in_a_file_has_one_condition():
    text = """
        [region.us]
        [region.eu]
        [[region-link]]
        between = ["us", "eu"]
        latency-ms = 3
        condition = "wifi"
        back = { condition = "wify" }
    """
    with pytest.raises(ConfigError) as caught:
        toml.load(text)
    told = str(caught.value)
    assert ":6: region-link, latency-ms: give either this or a condition" in told
    assert ":8: region-link, back, condition: " in told
    assert "did you mean 'wifi'" in told


def test_mistakes_in_a_file_have_their_lines():
    text = """
        [region.us]
        latencies = { eu = -1, asia = 10 }
        trnsit = true
        [[region-link]]
        between = ["us"]
        latency-ms = "far"
        [[region-link]]
        loss-pct = 200
        drops = { packets = [0] }
        [[router]]
        name = "dc"
        region = "usa"
        """
    told = refusal(toml.load, text, source="f")
    for part in (
        "f:3: region 'us', eu, latency_ms: -1 is not a number",
        "f:3: region 'us', latencies: there is no region 'asia'",
        "f:4: region 'us', trnsit: there is no such key; did you mean 'transit'?",
        "f:6: region-link, between: ['us'] is not an array of two names",
        "f:7: region-link, latency-ms: 'far' is not a number",
        "region-link, between: it is missing",
        "f:9: region-link, loss-pct: 200 is not a number of per cent",
        "f:10: region-link, drops, packets: 0 is not a whole number from 1 on",
        "f:13: router 'dc', region: there is no region 'usa'; did you mean 'us'?",
    ):
        assert part in told
