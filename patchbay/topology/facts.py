"""What the kernel must be told to have a topology, as tables of facts.

A node's own facts can lie on other nodes: a device's cable ends at its router, which also gets
the device as a neighbour; a router's LAN is a route on every router above it. So that a change
costs what it touches, and not what is there, facts are made for one device, router or LAN at a
time, and a whole lab's are those of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network

from patchbay.rules import firewall as firewall_rules
from patchbay.rules import nat as nat_rules
from patchbay.rules.model import Table
from patchbay.topology import macs, sysctls
from patchbay.topology.domains import hides
from patchbay.topology.draft import BRIDGE_PORTS
from patchbay.topology.graph import (
    LAN_BRIDGE,
    UPLINK,
    Lan,
    ancestors,
    interfaces,
    lan_of,
    networks_of,
    outside_addresses,
    port_name,
)
from patchbay.topology.links import downlink, make_link
from patchbay.topology.model import IX, Address, Device, Interface, Router, Topology
from patchbay.topology.steps import Cable, IPAddress, Link, Neighbour, Network, Route, Rule
from patchbay.values import MTU_DEFAULT, MTU_MAX, Nat

FIRST_TABLE = 1000
"""The routing table of an interface is this plus the number of its cable."""

_JOINS = 20
"""Bridges that one bridge of a LAN is joined to at most, beside the one above it."""

_DEFAULT: dict[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a bridge is made with."""

    mac: str
    mtu: int


@dataclass(slots=True)
class Facts:
    """Facts by what makes them one of a kind; the first part of each key is the node's name."""

    nodes: dict[str, sysctls.Sysctls] = field(default_factory=dict)
    bridges: dict[tuple[str, str], Bridge] = field(default_factory=dict)
    cables: dict[tuple[str, str], Cable] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    """What packets meet that leave by an interface; those of clean links are not in it."""
    up: dict[tuple[str, str], bool] = field(default_factory=dict)
    addresses: dict[tuple[str, str, Address], None] = field(default_factory=dict)
    routes: dict[tuple[str, int, Network], Route] = field(default_factory=dict)
    rules: dict[tuple[str, Rule], None] = field(default_factory=dict)
    neighbours: dict[tuple[str, str, object], Neighbour] = field(default_factory=dict)
    tables: dict[str, tuple[Table, ...]] = field(default_factory=dict)
    partitions: dict[str, tuple[Table, ...]] = field(default_factory=dict)
    """Further tables of nodes, which depend on nodes elsewhere."""
    outside: dict[str, tuple[IPAddress, ...]] = field(default_factory=dict)
    """The addresses that a router with NAT shows to the nodes above."""


def device_facts(facts: Facts, topology: Topology, device: Device) -> None:
    """Add what a device needs, on itself and on the routers it is plugged into."""
    name = device.name
    facts.nodes[name] = sysctls.host(dad=topology.ipv6_dad)
    several = len(device.interfaces) > 1
    for interface in device.interfaces:
        _plug(facts, topology, name, interface, interface.mtu or device.mtu or MTU_DEFAULT)
        if not interface.up:
            continue
        if interface.name == device.default_via:
            _default_routes(facts, topology, name, interface)
        if several:
            _source_routes(facts, name, interface)


def router_facts(facts: Facts, topology: Topology, router: Router) -> None:
    """Add what a router needs, on itself and on the routers above; not what its LAN is."""
    name, uplink = router.name, router.uplink
    facts.nodes[name] = sysctls.router(router, dad=topology.ipv6_dad)
    _plug(facts, topology, name, uplink, uplink.mtu or router.mtu or MTU_DEFAULT)
    if uplink.up:
        _default_routes(facts, topology, name, uplink)
    _routes_above(facts, topology, router)
    tables: tuple[Table, ...] = ()
    if uplink.address is not None and router.nat is not Nat.NONE:
        tables += nat_rules.tables(
            router.nat, wan=UPLINK, address=uplink.address.ip, mapped=router.port_mappings
        )
        further, lan = outside_addresses(router), lan_of(topology, uplink.lan)
        for address in further:
            facts.addresses[name, UPLINK, address] = None
            _neighbour(facts, lan.node, lan.bridge, address, uplink.mac)
        facts.outside[name] = (uplink.address.ip, *(address.ip for address in further))
    tables += firewall_rules.tables(
        router.firewall,
        wan=UPLINK,
        lan=LAN_BRIDGE,
        released=router.released,
        pinholes=router.pinholes,
        block_icmp_frag_needed=router.block_icmp_frag_needed,
    )
    if tables:
        facts.tables[name] = tables


def ix_facts(facts: Facts, topology: Topology) -> None:
    """Add what the IX needs; not what its LAN is."""
    facts.nodes[IX] = sysctls.forwarder(dad=topology.ipv6_dad)


def lan_facts(facts: Facts, topology: Topology, names: Iterable[str]) -> None:
    """Add the bridges of LANs, as many as their cables need, and the gateways' addresses."""
    plugged: dict[str, list[Interface]] = {name: [] for name in names}
    for _, interface in interfaces(topology):
        if interface.lan in plugged:
            plugged[interface.lan].append(interface)
    for name, here in plugged.items():
        lan = lan_of(topology, name)
        highest = max((interface.port for interface in here), default=0)
        for index in range(highest // BRIDGE_PORTS + 1):
            _bridge(facts, lan, index)
        networks: list[Network] = [*networks_of(lan, here)]
        if lan.network6 is not None:
            networks.append(lan.network6)
        for network in networks:
            facts.addresses[name, lan.bridge, _gateway(network)] = None
        if name in topology.routers:
            link = downlink(topology, topology.routers[name])
            if link is not None:
                facts.links[name, lan.bridge] = link


def _bridge(facts: Facts, lan: Lan, index: int) -> None:
    """Add a bridge of a LAN; every one but the first is joined to one before it.

    A bridge of the kernel takes 1,023 ports. The joints make a tree, wide enough that packets
    cross few of them.
    """
    name = _bridge_name(lan, index)
    facts.bridges[lan.node, name] = Bridge(macs.bridge_mac(lan.number, index), lan.mtu)
    if index == 0:
        return
    mac, peer_mac = macs.joint_macs(lan.number, index)
    facts.cables[lan.node, f"{name}-up"] = Cable(
        number=0,
        node=lan.node,
        interface=f"{name}-up",
        mac=mac,
        mtu=MTU_MAX,
        node_bridge=name,
        peer_node=lan.node,
        peer_interface=f"{name}-down",
        peer_mac=peer_mac,
        peer_mtu=MTU_MAX,
        bridge=_bridge_name(lan, (index - 1) // _JOINS),
    )


def _bridge_name(lan: Lan, index: int) -> str:
    return f"{lan.bridge}{index or ''}"


def _plug(facts: Facts, topology: Topology, node: str, interface: Interface, mtu: int) -> None:
    """Add a cable, what packets meet on it, and all that makes its two ends know each other."""
    lan = lan_of(topology, interface.lan)
    cable = facts.cables[node, interface.name] = Cable(
        number=interface.cable,
        node=node,
        interface=interface.name,
        mac=interface.mac,
        mtu=mtu,
        peer_node=lan.node,
        peer_interface=port_name(interface),
        peer_mac=macs.port_mac(interface.cable),
        # A port drops what is longer than its MTU without a word, as a switch does. It is never
        # what limits a link: the ends are, and they say so by ICMP.
        peer_mtu=max(mtu, lan.mtu, MTU_DEFAULT),
        bridge=_bridge_name(lan, interface.port // BRIDGE_PORTS),
    )
    up = make_link(
        topology,
        f"{node}/{interface.name}/up",
        interface.condition_up,
        interface.engine_up,
        mtu,
        interface.flows_up,
        interface.playing_up,
    )
    if up is not None:
        facts.links[node, interface.name] = up
    down = make_link(
        topology,
        f"{node}/{interface.name}/down",
        interface.condition_down,
        interface.engine_down,
        cable.peer_mtu,
        interface.flows_down,
        interface.playing_down,
    )
    if down is not None:
        facts.links[lan.node, cable.peer_interface] = down
    facts.up[node, interface.name] = interface.up
    gateway_mac = macs.bridge_mac(lan.number)
    for address in (interface.address, interface.address6):
        if address is None:
            continue
        facts.addresses[node, interface.name, address] = None
        _neighbour(facts, lan.node, lan.bridge, address, interface.mac)
        _narrow(facts, lan, address, mtu)
        if interface.up:
            gateway = _gateway(address.network)
            _neighbour(facts, node, interface.name, gateway, gateway_mac)
    for address in interface.extra:
        facts.addresses[node, interface.name, address] = None
        if address.network in _networks(interface):
            _neighbour(facts, lan.node, lan.bridge, address, interface.mac)
            _narrow(facts, lan, address, mtu)


def _narrow(facts: Facts, lan: Lan, address: Address, mtu: int) -> None:
    """Have the router of a LAN tell senders of a host that takes less than the LAN does.

    The host's end of the cable drops what is longer, without a word.
    """
    if mtu < lan.mtu:
        _route(
            facts,
            lan.node,
            Route(destination=ip_network(address.ip), interface=lan.bridge, mtu=mtu),
        )


def _neighbour(facts: Facts, node: str, interface: str, address: Address, mac: str) -> None:
    neighbour = Neighbour(interface=interface, address=address.ip, mac=mac)
    facts.neighbours[node, interface, address.ip] = neighbour


def _default_routes(facts: Facts, topology: Topology, node: str, interface: Interface) -> None:
    for address in (interface.address, interface.address6):
        if address is None:
            continue
        # An address that has others beside it must be chosen; an IPv6 one cannot be while
        # duplicate address detection still runs for it.
        chosen = any(extra.version == address.version for extra in interface.extra)
        if address.version == 6 and topology.ipv6_dad:
            chosen = False
        _route(
            facts,
            node,
            Route(
                destination=_DEFAULT[address.version],
                interface=interface.name,
                via=_gateway(address.network).ip,
                source=address.ip if chosen else None,
            ),
        )


def _source_routes(facts: Facts, node: str, interface: Interface) -> None:
    """Add a table for what comes from an interface's addresses: it leaves by that interface."""
    table = FIRST_TABLE + interface.cable
    for address in (interface.address, interface.address6):
        if address is None:
            continue
        _route(
            facts,
            node,
            Route(destination=address.network, interface=interface.name, table=table),
        )
        _route(
            facts,
            node,
            Route(
                destination=_DEFAULT[address.version],
                interface=interface.name,
                via=_gateway(address.network).ip,
                table=table,
            ),
        )
    for each in (interface.address, interface.address6, *interface.extra):
        if each is not None:
            rule = Rule(source=ip_network(each.ip), table=table, priority=table)
            facts.rules[node, rule] = None


def _routes_above(facts: Facts, topology: Topology, router: Router) -> None:
    """Add the routes to a router's LAN, on every router above that is not kept from seeing it.

    Those on the IX and on other regions to what is in a region are for `routes_between` to add.
    """
    for version, network in ((4, router.downstream), (6, router.downstream6)):
        if network is None:
            continue
        below = router
        for name in ancestors(topology, router):
            uplink = below.uplink
            hop = uplink.address if version == 4 else uplink.address6
            if hides(below, version) or hop is None:
                break
            lan = lan_of(topology, name)
            mtu = uplink.mtu or below.mtu or MTU_DEFAULT
            route = Route(
                destination=network,
                interface=lan.bridge,
                via=hop.ip,
                mtu=mtu if mtu < lan.mtu else None,
            )
            _route(facts, name, route)
            if name not in topology.routers:
                break
            below = topology.routers[name]


def _route(facts: Facts, node: str, route: Route) -> None:
    facts.routes[node, route.table, route.destination] = route


def _networks(interface: Interface) -> list[Network]:
    return [each.network for each in (interface.address, interface.address6) if each is not None]


def _gateway(network: Network) -> Address:
    """Return the first host of a subnet, with its prefix."""
    if isinstance(network, IPv4Network):
        return IPv4Interface((int(network.network_address) + 1, network.prefixlen))
    return IPv6Interface((int(network.network_address) + 1, network.prefixlen))
