"""What the kernel must be told to have regions: their nodes, their cables, and routes between them.

Packets that enter the IX by a region's cable find no routes to other regions there: such routes are
in a table of their own, for packets that come from elsewhere. So regions without a way to each other
are told that the network is unreachable, and where a link is broken a black hole takes all.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from patchbay.topology import sysctls
from patchbay.topology.domains import hides
from patchbay.topology.facts import Facts
from patchbay.topology.graph import interfaces, lan_of, networks_of, region_of
from patchbay.topology.joints import (
    Joint,
    exchange_joints,
    joint_at,
    joints_of,
    trunk_joints,
)
from patchbay.topology.links import make_link
from patchbay.topology.model import IX, Interface, Region, Router, Topology
from patchbay.topology.steps import MAIN_TABLE, Cable, Neighbour, Network, Route, Rule
from patchbay.topology.ways import Ways, find_ways
from patchbay.values import MTU_DEFAULT

REGIONS_TABLE = 500
"""The IX's routes to regions: for packets from anywhere but regions."""
PASSING_TABLE = 501
"""A region's routes for packets that only pass through it."""

_ALL: tuple[Network, Network] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def regions_facts(facts: Facts, topology: Topology) -> None:
    """Add regions, their links, and what sorts the packets that come in; not what their LANs are."""
    for region in topology.regions.values():
        facts.nodes[region.name] = sysctls.forwarder(dad=topology.ipv6_dad)
        near, far = exchange_joints(region)
        _join(facts, region.number, near, far)
        for network in _ALL:
            route = Route(destination=network, interface=near.interface, via=near.hop)
            facts.routes[region.name, route.table, network] = route
    for trunk in topology.trunks:
        near, far = trunk_joints(trunk)
        _join(facts, trunk.number, near, far)
        for end in (near, far):
            name = f"{end.node}/{end.peer}/up"
            lane = end.lanes[0]
            link = make_link(
                topology, name, lane.condition, lane.engine, MTU_DEFAULT, lane.flows, lane.playing
            )
            if link is not None:
                facts.links[end.node, end.interface] = link
    if topology.regions:
        for interface in (IX, "lo"):
            _sort(facts, IX, interface, REGIONS_TABLE)
    ways = find_ways(topology.regions, topology.trunks)
    for name in dict.fromkeys(name for name, _ in ways.passing):
        for joint in joints_of(topology, name):
            if joint.peer != IX:
                _sort(facts, name, joint.interface, PASSING_TABLE)


def routes_between(
    facts: Facts, topology: Topology, routers: Iterable[Router], regions: Iterable[str]
) -> None:
    """Add the routes on the IX and on other regions to LANs of regions.

    Args:
        facts: where to add to.
        topology: the lab.
        routers: whose LANs.
        regions: and those of these regions themselves.
    """
    networks: list[tuple[Region, Network]] = []
    plugged: dict[str, list[Interface]] = {name: [] for name in regions if name in topology.regions}
    for _, interface in interfaces(topology) if plugged else ():
        if interface.lan in plugged:
            plugged[interface.lan].append(interface)
    for name, here in plugged.items():
        region = topology.regions[name]
        networks += [(region, each) for each in networks_of(lan_of(topology, name), here)]
        networks.append((region, region.downstream6))
    for router in routers if topology.regions else ():
        at = region_of(topology, router.name)
        if at is not None:
            region = topology.regions[at]
            networks += [(region, each) for each in _seen_from_region(topology, router)]
    if networks:
        ways = find_ways(topology.regions, topology.trunks)
        for region, network in networks:
            _routes_to(facts, topology, ways, region, network)


def _seen_from_region(topology: Topology, router: Router) -> Iterable[Network]:
    """Yield the subnets of a router's LAN that no router above keeps from being seen."""
    for version, network in ((4, router.downstream), (6, router.downstream6)):
        if network is None:
            continue
        here: Router | None = router
        while here is not None:
            hop = here.uplink.address if version == 4 else here.uplink.address6
            if hides(here, version) or hop is None:
                break
            here = topology.routers.get(here.upstream)
        else:
            yield network


def _routes_to(
    facts: Facts, topology: Topology, ways: Ways, region: Region, network: Network
) -> None:
    """Add the routes to a subnet of a region, wherever there is a way to it."""
    _route(facts, exchange_joints(region)[1], network, REGIONS_TABLE)
    for name in topology.regions:
        pair = (name, region.name)
        if pair in ways.own:
            trunk = ways.own[pair]
            if trunk is None:
                facts.routes[name, MAIN_TABLE, network] = Route(destination=network, interface=None)
            else:
                _route(facts, joint_at(trunk, name), network, MAIN_TABLE)
        if pair in ways.passing:
            _route(facts, joint_at(ways.passing[pair], name), network, PASSING_TABLE)


def _route(facts: Facts, joint: Joint, network: Network, table: int) -> None:
    route = Route(destination=network, interface=joint.interface, via=joint.hop, table=table)
    facts.routes[joint.node, table, network] = route


def _join(facts: Facts, number: int, near: Joint, far: Joint) -> None:
    facts.cables[near.node, near.interface] = _joint_cable(number, near, far)
    for joint in (near, far):
        facts.up[joint.node, joint.interface] = True
        neighbour = Neighbour(interface=joint.interface, address=joint.hop, mac=joint.peer_mac)
        facts.neighbours[joint.node, joint.interface, joint.hop] = neighbour


def _sort(facts: Facts, node: str, interface: str, table: int) -> None:
    """Have packets that come in by an interface look up a table before the main one."""
    for network in _ALL:
        rule = Rule(source=network, interface=interface, table=table, priority=table)
        facts.rules[node, rule] = None


def _joint_cable(number: int, near: Joint, far: Joint) -> Cable:
    """The cable between two ends, neither of which is a port of a bridge."""
    return Cable(
        number=number,
        node=near.node,
        interface=near.interface,
        mac=near.mac,
        mtu=MTU_DEFAULT,
        peer_node=far.node,
        peer_interface=far.interface,
        peer_mac=far.mac,
        peer_mtu=MTU_DEFAULT,
        bridge=None,
    )
