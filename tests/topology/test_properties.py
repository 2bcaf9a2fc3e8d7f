"""What holds for every lab, however it came to be."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from labs import device, edits, lab, usual
from pure_kernel import Kernel

from patchbay.topology import edit
from patchbay.topology.diff import steps
from patchbay.topology.domains import domain, hides
from patchbay.topology.graph import interfaces, lan_of, region_of
from patchbay.topology.macs import interface_mac
from patchbay.topology.model import IX
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.subnets import IX_NETWORK, IX_NETWORK6
from patchbay.topology.ways import find_ways

quick = settings(max_examples=60, deadline=None, derandomize=True)


def built(changes, start=None):
    topology = start or lab()
    for change in changes:
        topology = change(topology)
    return topology


def booted(topology):
    return Kernel().apply(steps(None, topology))


def lans(topology):
    return (IX, *topology.regions, *topology.routers)


def visible_subnets(topology, version):
    """The subnets of each domain, with those of uplinks that lead out of it."""
    found = {}
    for router in topology.routers.values():
        own = router.downstream if version == 4 else router.downstream6
        if own is not None:
            top = domain(topology.routers, router.name, version)
            found.setdefault(top, set()).add((own, router.name))
        uplink = router.uplink.address if version == 4 else router.uplink.address6
        if uplink is not None and hides(router, version):
            found.setdefault(router.name, set()).add((uplink.network, "uplink"))
        if uplink is not None and router.upstream not in topology.routers:
            found.setdefault(IX, set()).add((uplink.network, router.upstream))
    found.setdefault(IX, set()).add((IX_NETWORK if version == 4 else IX_NETWORK6, IX))
    for region in topology.regions.values():
        own = region.downstream if version == 4 else region.downstream6
        found[IX].add((own, region.name))
    return found


@quick
@given(edits)
def test_no_two_subnets_of_a_domain_overlap(changes):
    topology = built(changes)
    for version in (4, 6):
        for networks in visible_subnets(topology, version).values():
            for (one, _), (other, _) in combinations(networks, 2):
                assert not one.overlaps(other)


@quick
@given(edits)
def test_no_address_port_cable_or_mac_is_given_out_twice(changes):
    topology = built(changes, usual())
    everything = [interface for _, interface in interfaces(topology)]
    for what in ("cable", "mac"):
        values = [getattr(interface, what) for interface in everything]
        assert len(values) == len(set(values))
    for name in lans(topology):
        here = [interface for interface in everything if interface.lan == name]
        ports = [interface.port for interface in here]
        assert len(ports) == len(set(ports))
        taken = [
            address.ip
            for interface in here
            for address in (interface.address, interface.address6, *interface.extra)
            if address is not None
        ]
        assert len(taken) == len(set(taken))
        lan = lan_of(topology, name)
        gateways = {network[1] for network in (lan.network, lan.network6) if network}
        assert gateways.isdisjoint(taken)


@quick
@given(edits)
def test_an_address_is_in_the_subnet_of_its_lan(changes):
    topology = built(changes, usual())
    for _, interface in interfaces(topology):
        lan = lan_of(topology, interface.lan)
        if not lan.grows and interface.address is not None:
            assert interface.address.network == lan.network
        if interface.address6 is not None:
            assert interface.address6.network == lan.network6


@quick
@given(edits)
def test_steps_from_edit_to_edit_end_where_building_at_once_ends(changes):
    topology = lab()
    kernel = booted(topology)
    for change in changes:
        after = change(topology)
        kernel.apply(steps(topology, after))
        topology = after
    assert kernel.state() == booted(topology).state()


@quick
@given(edits, edits)
def test_steps_there_and_back_cancel_out(first, second):
    """Also for topologies that are many edits apart."""
    before = built(first)
    after = built(second, before)
    kernel = booted(before)
    kernel.apply(steps(before, after))
    assert kernel.state() == booted(after).state()
    kernel.apply(steps(after, before))
    assert kernel.state() == booted(before).state()


@quick
@given(edits, edits)
def test_any_topology_can_follow_any_other(first, second):
    before, after = built(first), built(second)
    kernel = booted(before).apply(steps(before, after))
    assert kernel.state() == booted(after).state()


@quick
@given(edits, st.data())
def test_steps_can_be_undone_wherever_they_fail(changes, data):
    """Up to the removals that end every change, the inverses lead back."""
    topology = built(changes[:-1], usual())
    after = changes[-1](topology)
    todo = steps(topology, after)
    done = todo[: data.draw(st.integers(0, len(todo)))]
    if any(step.inverse() is None for step in done):
        return
    kernel = booted(topology).apply(done)
    kernel.apply(step.inverse() for step in reversed(done))
    assert kernel.state() == booted(topology).state()


@quick
@given(edits)
def test_an_edit_that_changes_nothing_needs_no_steps(changes):
    topology = built(changes, usual())
    assert steps(topology, topology) == ()
    assert steps(topology, from_plain(type(topology), to_plain(topology))) == ()


@quick
@given(edits)
def test_a_topology_survives_being_made_plain(changes):
    topology = built(changes, usual())
    again = from_plain(type(topology), to_plain(topology))
    assert again == topology
    assert list(again.routers) == list(topology.routers)


@quick
@given(edits)
def test_closing_leaves_nothing(changes):
    topology = built(changes)
    kernel = booted(topology).apply(steps(topology, None))
    assert kernel.state() == Kernel().state()


def climb(topology, interface, version):
    """The LANs from that of an interface upwards, as far as every wire on the way is up."""
    name = interface.lan
    while name in topology.routers:
        yield name
        uplink = topology.routers[name].uplink
        if not uplink.up or (uplink.address if version == 4 else uplink.address6) is None:
            return
        name = uplink.lan
    yield name


def expected(topology, source, target, address):
    """Whether a packet must arrive: every wire on the way is up, and nothing hides the target."""
    version = address.version
    above = list(climb(topology, source, version))
    for name in climb(topology, target, version):
        if name in above:
            return True
        if name in topology.routers and hides(topology.routers[name], version):
            return False
    here, there = above[-1], name
    if here in topology.routers or there in topology.routers:
        return False
    ways = find_ways(topology.regions, topology.trunks)
    return IX in (here, there) or ways.own.get((here, there)) is not None


@settings(max_examples=80, deadline=None, derandomize=True)
@given(edits)
def test_every_pair_that_should_reach_each_other_does_both_ways(changes):
    topology = built(changes, usual())
    # A LAN that someone chose may hide a network further up from those behind its NAT.
    chosen = any(
        one.overlaps(other)
        for one, other in combinations(
            [r.downstream for r in topology.routers.values() if r.downstream], 2
        )
    )
    kernel = booted(topology)
    for (a, first), (b, second) in combinations(interfaces(topology), 2):
        if a == b or not (first.up and second.up):
            continue
        for version in (4, 6):
            one = first.address if version == 4 else first.address6
            other = second.address if version == 4 else second.address6
            if one is None or other is None or (version == 4 and chosen):
                continue
            if expected(topology, first, second, other):
                path = kernel.walk(a, one.ip, other.ip)
                assert path is not None, (a, one, other)
                assert path[-1] == b
            if expected(topology, second, first, one):
                path = kernel.walk(b, other.ip, one.ip)
                assert path is not None, (b, other, one)
                assert path[-1] == a
            apart = {region_of(topology, first.lan), region_of(topology, second.lan)} - {None}
            if len(apart) == 2 and not any(
                expected(topology, *pair)
                for pair in (
                    (first, second, other),
                    (second, first, one),
                )
            ):
                assert kernel.walk(a, one.ip, other.ip) is None, (a, one, other)


def test_freed_numbers_and_addresses_are_given_out_again():
    before = usual()
    again = edit.add_device(edit.remove(before, "laptop"), device("tablet", "home"))
    old, new = before.devices["laptop"].interfaces[0], again.devices["tablet"].interfaces[0]
    assert (old.cable, old.port, old.address, old.address6) == (
        new.cable, new.port, new.address, new.address6,
    )  # fmt: skip
    assert new.mac == interface_mac(new.cable)
