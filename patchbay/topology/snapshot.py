"""What a handle tells of a node: its interfaces as a user sees them, with their gateways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from patchbay.links.choice import EngineChoice
from patchbay.links.spec import Flows, LinkSpec
from patchbay.topology.available import choice_of
from patchbay.topology.graph import find_node, lan_of, networks_of, plugged_in
from patchbay.topology.joints import joints_of
from patchbay.topology.macs import bridge_mac, link_local
from patchbay.topology.model import IX, Address, Interface, Playing, Router, Topology
from patchbay.values import MTU_DEFAULT, LinkCondition, LinkEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSnapshot:
    """An interface at one moment.

    Attributes:
        lan: the router or region whose LAN it is plugged into, or the IX; None for a LAN's own
            bridge, and for the end of a cable that joins regions.
        ll6: its link-local address; None without IPv6.
        gateway: the first hop's IPv4 address.
        gateway6: the first hop's IPv6 address.
        condition_up: what packets meet that leave the node.
        condition_down: what packets meet that arrive at it.
        engine_up: what makes `condition_up`; None for a clean link.
        engine_down: the same of `condition_down`.
        flows_up: what packets of some flows meet instead of `condition_up`.
        flows_down: the same of `condition_down`.
    """

    name: str
    lan: str | None
    mac: str
    address: IPv4Interface | None
    address6: IPv6Interface | None
    extra: tuple[Address, ...] = ()
    ll6: IPv6Address | None
    gateway: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    mtu: int
    up: bool = True
    condition_up: LinkCondition | None = None
    condition_down: LinkCondition | None = None
    engine_up: EngineChoice | None = None
    engine_down: EngineChoice | None = None
    flows_up: Flows = ()
    flows_down: Flows = ()


def interface_snapshots(topology: Topology, name: str) -> tuple[InterfaceSnapshot, ...]:
    """Return the interfaces of a node: of a router its uplink, then its LAN.

    Of a region and of the IX it is the LAN, then the ends of the cables that join them.
    """
    if name in topology.regions or name == IX:
        return (_bridge(topology, name), *_joints(topology, name))
    node = find_node(topology, name)
    if isinstance(node, Router):
        bridge = replace(
            _bridge(topology, name),
            condition_up=node.downlink,
            engine_up=_engine(
                topology,
                node.downlink,
                node.downlink_engine,
                node.downlink_flows,
                node.downlink_playing,
            ),
            flows_up=node.downlink_flows,
        )
        return (_plugged(topology, node.uplink, node.mtu), bridge)
    return tuple(_plugged(topology, each, node.mtu) for each in node.interfaces)


def interface_engines(topology: Topology, node: str, name: str) -> dict[str, EngineChoice | None]:
    """Return what makes the conditions of an interface, by direction."""
    for each in interface_snapshots(topology, node):
        if each.name == name:
            return {"up": each.engine_up, "down": each.engine_down}
    raise KeyError(name)


def _plugged(topology: Topology, interface: Interface, mtu: int | None) -> InterfaceSnapshot:
    lan = lan_of(topology, interface.lan)
    address, address6 = interface.address, interface.address6
    return InterfaceSnapshot(
        name=interface.name,
        lan=interface.lan,
        mac=interface.mac,
        address=address,
        address6=address6,
        extra=interface.extra,
        ll6=None if address6 is None else link_local(interface.mac),
        gateway=None if address is None else address.network[1],
        gateway6=None if address6 is None or lan.network6 is None else lan.network6[1],
        mtu=interface.mtu or mtu or MTU_DEFAULT,
        up=interface.up,
        condition_up=interface.condition_up,
        condition_down=interface.condition_down,
        engine_up=_engine(
            topology,
            interface.condition_up,
            interface.engine_up,
            interface.flows_up,
            interface.playing_up,
        ),
        engine_down=_engine(
            topology,
            interface.condition_down,
            interface.engine_down,
            interface.flows_down,
            interface.playing_down,
        ),
        flows_up=interface.flows_up,
        flows_down=interface.flows_down,
    )


def _engine(
    topology: Topology,
    condition: LinkCondition | None,
    engine: LinkEngine | None,
    flows: Flows,
    playing: Playing | None = None,
) -> EngineChoice | None:
    spec = LinkSpec("", 0, condition or LinkCondition(), flows)
    timeline = None if playing is None else playing.timeline
    return None if spec.clean else choice_of(topology, spec, engine, timeline)


def _bridge(topology: Topology, name: str) -> InterfaceSnapshot:
    lan = lan_of(topology, name)
    plugged = [interface for _, interface in plugged_in(topology, name)] if lan.grows else []
    own = [IPv4Interface((each[1], each.prefixlen)) for each in networks_of(lan, plugged)]
    network6, mac = lan.network6, bridge_mac(lan.number)
    return InterfaceSnapshot(
        name=lan.bridge,
        lan=None,
        mac=mac,
        address=own[0] if own else None,
        address6=None if network6 is None else IPv6Interface((network6[1], network6.prefixlen)),
        extra=tuple(own[1:]),
        ll6=None if network6 is None else link_local(mac),
        mtu=lan.mtu,
    )


def _joints(topology: Topology, name: str) -> Iterator[InterfaceSnapshot]:
    for joint in joints_of(topology, name):
        out, back = joint.lanes
        yield InterfaceSnapshot(
            name=joint.interface,
            lan=None,
            mac=joint.mac,
            address=None,
            address6=None,
            ll6=link_local(joint.mac),
            gateway6=link_local(joint.peer_mac),
            mtu=MTU_DEFAULT,
            condition_up=out.condition,
            condition_down=back.condition,
            engine_up=_engine(topology, out.condition, out.engine, out.flows, out.playing),
            engine_down=_engine(topology, back.condition, back.engine, back.flows, back.playing),
            flows_up=out.flows,
            flows_down=back.flows,
        )
