"""What a handle tells of a node: its interfaces as a user sees them, with their gateways."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from patchbay.topology.graph import Lan, find_node, ix_networks, lan_of, plugged_in
from patchbay.topology.macs import bridge_mac, link_local
from patchbay.topology.model import IX, Address, Interface, Router, Topology
from patchbay.topology.subnets import IX_NETWORK, IX_NETWORK6
from patchbay.values import MTU_DEFAULT, LinkCondition


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSnapshot:
    """An interface at one moment.

    Attributes:
        lan: the router whose LAN it is plugged into, or the IX; None for a LAN's own bridge.
        ll6: its link-local address; None without IPv6.
        gateway: the first hop's IPv4 address.
        gateway6: the first hop's IPv6 address.
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


def interface_snapshots(topology: Topology, name: str) -> tuple[InterfaceSnapshot, ...]:
    """Return the interfaces of a node: of a router its uplink, then its LAN; of the IX its LAN."""
    if name == IX:
        first = IPv4Interface((IX_NETWORK[1], IX_NETWORK.prefixlen))
        networks = ix_networks(interface for _, interface in plugged_in(topology, IX))
        grown = [IPv4Interface((each[1], each.prefixlen)) for each in networks]
        extra = tuple(each for each in grown if each != first)
        return (_bridge(lan_of(topology.routers, IX), first, extra),)
    node = find_node(topology, name)
    if isinstance(node, Router):
        lan = lan_of(topology.routers, name)
        network = lan.network
        own = None if network is None else IPv4Interface((network[1], network.prefixlen))
        return (_plugged(topology, node.uplink, node.mtu), _bridge(lan, own))
    return tuple(_plugged(topology, each, node.mtu) for each in node.interfaces)


def _plugged(topology: Topology, interface: Interface, mtu: int | None) -> InterfaceSnapshot:
    lan = lan_of(topology.routers, interface.lan)
    address, address6 = interface.address, interface.address6
    return InterfaceSnapshot(
        name=interface.name,
        lan=interface.lan,
        mac=interface.mac,
        address=address,
        address6=address6,
        extra=interface.extra,
        ll6=None if address6 is None else link_local(interface.mac),
        gateway=None if address is None else (lan.network or address.network)[1],
        gateway6=None if address6 is None or lan.network6 is None else lan.network6[1],
        mtu=interface.mtu or mtu or MTU_DEFAULT,
        up=interface.up,
        condition_up=interface.condition_up,
        condition_down=interface.condition_down,
    )


def _bridge(
    lan: Lan, address: IPv4Interface | None, extra: tuple[Address, ...] = ()
) -> InterfaceSnapshot:
    network6 = IX_NETWORK6 if lan.node == IX else lan.network6
    mac = bridge_mac(lan.number)
    return InterfaceSnapshot(
        name=lan.bridge,
        lan=None,
        mac=mac,
        address=address,
        address6=None if network6 is None else IPv6Interface((network6[1], network6.prefixlen)),
        extra=extra,
        ll6=None if network6 is None else link_local(mac),
        mtu=lan.mtu,
    )
