"""Every change of a lab's network: pure functions from one topology to the next.

Each checks what it is asked for and raises `ConfigError` with all that is wrong; a topology that
was given stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.links.spec import Flows
from patchbay.topology import available, edit_regions
from patchbay.topology.allocate import Ledger
from patchbay.topology.domains import check_overlaps
from patchbay.topology.draft import Draft
from patchbay.topology.forwarded import check_forwards
from patchbay.topology.graph import (
    LAN_BRIDGE,
    ancestors,
    find_device,
    find_interface,
    find_node,
    find_router,
    lan_of,
    plugged_in,
    with_entry,
    without_entry,
)
from patchbay.topology.model import Address, Device, Interface, Router, Topology
from patchbay.topology.outside import claim_outside
from patchbay.topology.partitions import without_member
from patchbay.topology.playing import JUST_NOW, Begun
from patchbay.topology.requests import DeviceRequest, LaneRequest, Request, RouterRequest
from patchbay.values import (
    Firewall,
    FirewallConfig,
    IfaceConfig,
    LinkEngine,
    Nat,
    NatConfig,
    NatV6Mode,
    Pinhole,
    PortMapping,
    TimedCondition,
    check_mtu,
)

Direction = Literal["up", "down", "both"]


# ---- nodes ------------------------------------------------------------------------------------


def batch(topology: Topology, requests: Iterable[Request]) -> Topology:
    """Add nodes and links together; if anything is wrong with any of them, add none.

    What others are plugged into may come after them.
    """
    draft = Draft(topology)
    draft.add_all(requests)
    return draft.topology()


def add_router(topology: Topology, request: RouterRequest) -> Topology:
    """Add a router."""
    return batch(topology, (request,))


def add_device(topology: Topology, request: DeviceRequest) -> Topology:
    """Add a device."""
    return batch(topology, (request,))


def remove(topology: Topology, name: str) -> Topology:
    """Remove a router, device or region, and the names that only it knows.

    With a region go its links to other regions; no partition has the node any more.

    Raises:
        ConfigError: there is none, or something is still plugged into its LAN, or a port is
            forwarded there.
    """
    if name in topology.regions:
        _check_empty(topology, f"region {name!r}", name)
        regions = without_entry(topology.regions, name)
        trunks = tuple(trunk for trunk in topology.trunks if name not in trunk.ends)
        after = replace(topology, regions=regions, trunks=trunks)
    elif isinstance(find_node(topology, name), Device):
        after = replace(topology, devices=without_entry(topology.devices, name))
    else:
        _check_empty(topology, f"router {name!r}", name)
        after = replace(topology, routers=without_entry(topology.routers, name))
        problems = Problems()
        check_forwards(after, after.routers, problems)
        problems.check()
    after = replace(after, node_names=without_entry(topology.node_names, name))
    return without_member(after, name) if after.partitions else after


def _check_empty(topology: Topology, place: str, name: str) -> None:
    still = plugged_in(topology, name)
    if still:
        shown = ", ".join(f"{interface.name} of {owner!r}" for owner, interface in still[:5])
        more = f" and {len(still) - 5} more" if len(still) > 5 else ""
        message = f"cannot be removed: {shown}{more} still plugged into its LAN"
        raise ConfigError(Problem(place, message))


# ---- interfaces -------------------------------------------------------------------------------


def add_iface(topology: Topology, device: str, name: str, config: IfaceConfig) -> Topology:
    """Add an interface to a device; it carries the default route if it is the only one."""
    owner = find_device(topology, device)
    draft = Draft(topology)
    interface = draft.plug(owner, name, config)
    draft.problems.check()
    assert interface is not None, "an interface that cannot be plugged in is a problem"
    return _with_node(
        topology,
        replace(
            owner,
            interfaces=(*owner.interfaces, interface),
            default_via=owner.default_via or name,
        ),
    )


def remove_iface(topology: Topology, device: str, name: str) -> Topology:
    """Remove an interface of a device.

    The default route moves to the first remaining interface that is up, else to the first.
    """
    owner = find_device(topology, device)
    find_interface(topology, device, name)
    left = tuple(interface for interface in owner.interfaces if interface.name != name)
    default = owner.default_via
    if default == name:
        able = [interface.name for interface in (*(i for i in left if i.up), *left)]
        default = able[0] if able else None
    return _with_node(topology, replace(owner, interfaces=left, default_via=default))


def replug(topology: Topology, node: str, name: str, router: str) -> Topology:
    """Plug an interface, or a router's uplink, into the LAN of another router.

    It gets new addresses; its cable, hardware address, MTU, state and condition stay. Into the LAN
    where it is already, nothing changes.
    """
    owner, interface = find_node(topology, node), find_interface(topology, node, name)
    if interface.lan == router:
        return topology
    draft = Draft(topology)
    if isinstance(owner, Router) and router in topology.routers:
        above = {router, *ancestors(topology, topology.routers[router])}
        if node in above:
            message = f"cannot be plugged into the LAN of {router!r}, which is its own or below it"
            raise ConfigError(Problem(f"router {node!r}", message))
    plugged = draft.replug(owner, interface, router)
    if isinstance(owner, Router) and not draft.problems:
        claim_outside(draft, f"router {node!r}", owner.nat, plugged)
    draft.problems.check()
    after = _with_interface(topology, owner, plugged)
    return _checked(after, node) if isinstance(owner, Router) else after


def renew_ip(topology: Topology, node: str, name: str) -> Topology:
    """Give an interface other addresses than it has, in the same LAN; added ones stay."""
    owner, interface = find_node(topology, node), find_interface(topology, node, name)
    ledger, problems = Ledger(topology), Problems()
    lan = lan_of(topology, interface.lan)
    address, address6 = interface.address, interface.address6
    place = f"node {node!r}, {name}"
    if address is not None:
        address = ledger.address(lan)
        if address is None:
            problems.add(place, f"no other IPv4 address is free in the LAN of {lan.node!r}")
    if address6 is not None:
        address6 = ledger.address6(lan)
        if address6 is None:
            problems.add(place, f"no other IPv6 address is free in the LAN of {lan.node!r}")
    problems.check()
    return _with_interface(topology, owner, replace(interface, address=address, address6=address6))


def add_ip(topology: Topology, node: str, name: str, address: Address) -> Topology:
    """Add an address to an interface.

    An address of its LAN's subnet must be free there, and gets the prefix of the subnet. Any
    other is the node's own affair: nobody has a route to it.
    """
    owner, interface = find_node(topology, node), find_interface(topology, node, name)
    draft = Draft(topology)
    added = draft.extra_address(f"node {node!r}, {name}", interface, address)
    draft.problems.check()
    extra = (*interface.extra, added)
    return _with_interface(topology, owner, replace(interface, extra=extra))


def set_up(topology: Topology, node: str, name: str, up: bool) -> Topology:
    """Set an interface up or down; it keeps its addresses, and has routes only while it is up."""
    owner, interface = find_node(topology, node), find_interface(topology, node, name)
    return _with_interface(topology, owner, replace(interface, up=up))


def set_mtu(topology: Topology, node: str, name: str, mtu: int | None) -> Topology:
    """Set the MTU of an interface in bytes; None for that of its node."""
    owner, interface = find_node(topology, node), find_interface(topology, node, name)
    problems = Problems()
    if mtu is not None:
        v6 = any(address is not None and address.version == 6 for address in _addresses(interface))
        check_mtu(mtu, problems, f"node {node!r}, {name}, mtu", v6=v6)
    problems.check()
    return _with_interface(topology, owner, replace(interface, mtu=mtu))


def set_condition(
    topology: Topology,
    node: str,
    name: str,
    condition: TimedCondition | None,
    direction: Direction = "both",
    engine: LinkEngine | None = None,
    flows: Flows = (),
    begun: Begun = JUST_NOW,
) -> Topology:
    """Set what packets meet that leave the node (`up`), arrive at it (`down`), or both.

    Packets of the flows meet something else. A schedule or a trace has begun as it says.

    Of a router's own LAN, `up` is its downlink; what arrives from a LAN has no condition. Of a
    region's interfaces, those have one that lead to other regions.
    """
    if node in topology.regions:
        lane = LaneRequest(condition=condition, engine=engine, flows=flows)
        return edit_regions.set_condition(topology, node, name, lane, direction, begun)
    owner = find_node(topology, node)
    if isinstance(owner, Router) and name == LAN_BRIDGE:
        if direction != "up":
            message = "a LAN has the direction 'up' only: what the router sends into it"
            raise ConfigError(Problem(f"router {node!r}, {name}, condition", message))
        return set_downlink(topology, node, condition, engine, flows, begun)
    interface = find_interface(topology, node, name)
    problems = Problems()
    place = f"node {node!r}, {name}, condition"
    available.check_condition(topology, condition, problems, place, engine, flows)
    if direction not in ("up", "down", "both"):
        problems.add(place, f"{direction!r} is no direction: it is 'up', 'down' or 'both'")
    problems.check()
    now, playing = begun.with_playing(condition)
    if direction in ("up", "both"):
        interface = replace(
            interface, condition_up=now, engine_up=engine, flows_up=flows, playing_up=playing
        )
    if direction in ("down", "both"):
        interface = replace(
            interface,
            condition_down=now,
            engine_down=engine,
            flows_down=flows,
            playing_down=playing,
        )
    return _with_interface(topology, owner, interface)


def set_default_route(topology: Topology, device: str, name: str) -> Topology:
    """Let an interface of a device carry its default routes."""
    owner = find_device(topology, device)
    find_interface(topology, device, name)
    return _with_node(topology, replace(owner, default_via=name))


# ---- routers ----------------------------------------------------------------------------------


def set_nat(topology: Topology, router: str, nat: Nat | NatConfig) -> Topology:
    """Set what a router does to IPv4 packets; its LAN keeps its subnet.

    Ports that hosts asked for stay theirs, unless the NAT itself forwards them elsewhere.

    Raises:
        ConfigError: without it LANs that overlap would meet; or an outside address is taken, or
            not of the uplink's subnet; or a port is forwarded to a host that is not behind it.
    """
    owner = find_router(topology, router)
    without = _with_node(topology, replace(owner, nat=Nat.NONE))
    draft = Draft(without)
    claim_outside(draft, f"router {router!r}", nat, owner.uplink)
    draft.problems.check()
    forwarded = _forwarded(nat)
    kept = tuple(
        each for each in owner.port_mappings if (each.protocol, each.port) not in forwarded
    )
    asked = replace(owner, nat=nat, port_mappings=kept)
    if nat is Nat.NONE:
        asked = replace(asked, port_mappings=(), pinholes=())
    return _checked(_with_node(topology, asked), router)


def _forwarded(nat: Nat | NatConfig) -> set[tuple[str, int]]:
    """The protocols and outside ports that a NAT forwards by itself."""
    config = nat if isinstance(nat, NatConfig) else nat.config
    return set() if config is None else {(each.protocol, each.port) for each in config.forwards}


def set_nat_v6(topology: Topology, router: str, mode: NatV6Mode) -> Topology:
    """Set what a router does to IPv6 packets."""
    owner, problems = find_router(topology, router), Problems()
    available.check_nat_v6(mode, problems, f"router {router!r}, nat_v6")
    problems.check()
    return _checked(_with_node(topology, replace(owner, nat_v6=mode)), router)


def set_firewall(topology: Topology, router: str, firewall: Firewall | FirewallConfig) -> Topology:
    """Set what a router lets through."""
    owner = find_router(topology, router)
    return _with_node(topology, replace(owner, firewall=firewall))


def set_block_icmp_frag_needed(topology: Topology, router: str, block: bool) -> Topology:
    """Set whether path MTU discovery ends at a router."""
    owner = find_router(topology, router)
    return _with_node(topology, replace(owner, block_icmp_frag_needed=block))


def set_port_mapping(topology: Topology, router: str, on: bool) -> Topology:
    """Set whether hosts of a router's LAN can ask it for ports; what they have ends with it."""
    owner = find_router(topology, router)
    if not on:
        owner = replace(owner, port_mappings=(), pinholes=())
    return _with_node(topology, replace(owner, port_mapping=on))


def set_port_mappings(
    topology: Topology, router: str, mappings: tuple[PortMapping, ...]
) -> Topology:
    """Set which ports of a router lead to hosts that asked for them.

    Raises:
        ConfigError: one of them leads elsewhere already, because its NAT says so.
    """
    owner = find_router(topology, router)
    forwarded = _forwarded(owner.nat)
    for each in mappings:
        if (each.protocol, each.port) in forwarded:
            message = f"{each.protocol} port {each.port} is forwarded by its NAT"
            raise ConfigError(Problem(f"router {router!r}", message))
    return _with_node(topology, replace(owner, port_mappings=mappings))


def set_pinholes(topology: Topology, router: str, pinholes: tuple[Pinhole, ...]) -> Topology:
    """Set which ways in over IPv6 hosts of a router's LAN have."""
    return _with_node(topology, replace(find_router(topology, router), pinholes=pinholes))


def release(topology: Topology, router: str, node: str) -> Topology:
    """Let a node of a router's LAN pass its captive portal, from now on.

    Raises:
        ConfigError: the node is not plugged into that LAN.
    """
    owner = find_router(topology, router)
    more = tuple(mac for mac in _macs_on(topology, router, node) if mac not in owner.released)
    return _with_node(topology, replace(owner, released=(*owner.released, *more)))


def hold(topology: Topology, router: str, node: str) -> Topology:
    """Have the captive portal of a router hold a node back again."""
    owner, macs = find_router(topology, router), _macs_on(topology, router, node)
    left = tuple(mac for mac in owner.released if mac not in macs)
    return _with_node(topology, replace(owner, released=left))


def _macs_on(topology: Topology, router: str, node: str) -> tuple[str, ...]:
    """The hardware addresses of a node on the LAN of a router."""
    owner = find_node(topology, node)
    own = (owner.uplink,) if isinstance(owner, Router) else owner.interfaces
    macs = tuple(interface.mac for interface in own if interface.lan == router)
    if not macs:
        message = f"it is not plugged into the LAN of {router!r}"
        raise ConfigError(Problem(f"node {node!r}", message))
    return macs


def set_downlink(
    topology: Topology,
    router: str,
    condition: TimedCondition | None,
    engine: LinkEngine | None = None,
    flows: Flows = (),
    begun: Begun = JUST_NOW,
) -> Topology:
    """Set what packets from a router to its LAN meet."""
    owner, problems = find_router(topology, router), Problems()
    place = f"router {router!r}, downlink"
    available.check_condition(topology, condition, problems, place, engine, flows)
    problems.check()
    now, playing = begun.with_playing(condition)
    changed = replace(
        owner,
        downlink=now,
        downlink_engine=engine,
        downlink_flows=flows,
        downlink_playing=playing,
    )
    return _with_node(topology, changed)


# ---- helpers ----------------------------------------------------------------------------------


def _with_node(topology: Topology, node: Router | Device) -> Topology:
    if isinstance(node, Router):
        return replace(topology, routers=with_entry(topology.routers, node.name, node))
    return replace(topology, devices=with_entry(topology.devices, node.name, node))


def _with_interface(topology: Topology, owner: Router | Device, interface: Interface) -> Topology:
    """Put an interface in place of the one of its name."""
    if isinstance(owner, Router):
        return _with_node(topology, replace(owner, uplink=interface))
    all_of_them = tuple(
        interface if each.name == interface.name else each for each in owner.interfaces
    )
    return _with_node(topology, replace(owner, interfaces=all_of_them))


def _checked(topology: Topology, router: str) -> Topology:
    """Return a topology that a router was changed in, if no subnets of it overlap.

    And if forwarded ports lead behind their routers still.
    """
    problems = Problems()
    check_overlaps(topology, (router,), problems)
    check_forwards(topology, topology.routers, problems)
    problems.check()
    return topology


def _addresses(interface: Interface) -> tuple[Address | None, ...]:
    return (interface.address, interface.address6, *interface.extra)
