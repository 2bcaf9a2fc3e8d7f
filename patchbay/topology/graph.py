"""How the nodes of a topology hang together: LANs, who is plugged in, who sees whose addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import TypeVar

from patchbay.errors import ConfigError, Problem, nearest
from patchbay.topology.model import IX, Device, Interface, Router, Topology
from patchbay.topology.subnets import IX_NETWORK6
from patchbay.values import MTU_DEFAULT

UPLINK = "wan"
"""Name of a router's uplink."""
LAN_BRIDGE = "lan"
"""Name of the bridge that is a router's LAN."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Lan:
    """One LAN: a bridge at a router, or at the IX.

    Attributes:
        node: the router's name, or `IX`.
        bridge: the name of the bridge that carries the gateway's addresses.
        number: what its hardware addresses are made from.
        mtu: bytes that the gateway sends into it at most.
        network: its IPv4 subnet; None without one, and for the IX, which can have several.
        network6: its IPv6 subnet.
    """

    node: str
    bridge: str
    number: int
    mtu: int
    network: IPv4Network | None
    network6: IPv6Network | None


_IX_LAN = Lan(IX, IX, 0, MTU_DEFAULT, None, IX_NETWORK6)


def lan_of(routers: Mapping[str, Router], name: str) -> Lan:
    """Return the LAN of a router, or of the IX."""
    if name == IX:
        return _IX_LAN
    router = routers[name]
    return Lan(
        router.name,
        LAN_BRIDGE,
        router.uplink.cable,
        router.mtu or MTU_DEFAULT,
        router.downstream,
        router.downstream6,
    )


def interfaces(topology: Topology) -> Iterator[tuple[str, Interface]]:
    """Yield every interface that is plugged in somewhere, with the name of its node."""
    for router in topology.routers.values():
        yield router.name, router.uplink
    for device in topology.devices.values():
        for interface in device.interfaces:
            yield device.name, interface


def plugged_in(topology: Topology, name: str) -> list[tuple[str, Interface]]:
    """Return what is plugged into the LAN of a router or of the IX."""
    return [pair for pair in interfaces(topology) if pair[1].lan == name]


def port_name(interface: Interface) -> str:
    """Return the name of the port that an interface is plugged into, at the node of that LAN."""
    return f"p{interface.cable}"


def ancestors(topology: Topology, router: Router) -> Iterator[str]:
    """Yield the routers between a router and the IX, the nearest first, and the IX."""
    name = router.upstream
    while name != IX:
        yield name
        name = topology.routers[name].upstream
    yield IX


def ix_networks(routers: Iterable[Interface]) -> tuple[IPv4Network, ...]:
    """Return the IPv4 subnets of the IX that these interfaces, all plugged into it, are in."""
    networks = {interface.address.network for interface in routers if interface.address}
    return tuple(sorted(networks))


def find_node(topology: Topology, name: str) -> Router | Device:
    """Return a router or device.

    Raises:
        ConfigError: there is none of this name.
    """
    node = topology.routers.get(name) or topology.devices.get(name)
    if name == IX:
        message = "the internet exchange cannot be changed or removed"
        raise ConfigError(Problem(f"node {name!r}", message))
    if node is None:
        known = [*topology.routers, *topology.devices]
        raise ConfigError(Problem(f"node {name!r}", "there is no such node", nearest(name, known)))
    return node


def find_device(topology: Topology, name: str) -> Device:
    """Return a device, or raise `ConfigError`."""
    node = find_node(topology, name)
    if isinstance(node, Router):
        raise ConfigError(Problem(f"node {name!r}", "this is a router, not a device"))
    return node


def find_router(topology: Topology, name: str) -> Router:
    """Return a router, or raise `ConfigError`."""
    node = find_node(topology, name)
    if isinstance(node, Device):
        raise ConfigError(Problem(f"node {name!r}", "this is a device, not a router"))
    return node


def find_interface(topology: Topology, node: str, name: str) -> Interface:
    """Return an interface of a device, or the uplink of a router.

    Raises:
        ConfigError: there is no such node or interface.
    """
    owner = find_node(topology, node)
    own = (owner.uplink,) if isinstance(owner, Router) else owner.interfaces
    for interface in own:
        if interface.name == name:
            return interface
    if isinstance(owner, Router) and name == LAN_BRIDGE:
        message = f"{name!r} is its LAN, which cannot be changed: what is plugged in can"
        raise ConfigError(Problem(f"router {node!r}", message))
    near = nearest(name, [interface.name for interface in own])
    raise ConfigError(Problem(f"node {node!r}", f"there is no interface {name!r}", near))


def with_entry(mapping: Mapping[str, _T], name: str, value: _T) -> Mapping[str, _T]:
    """Return a mapping with one entry put in place of the old one, or added at its end."""
    return MappingProxyType({**mapping, name: value})


def without_entry(mapping: Mapping[str, _T], name: str) -> Mapping[str, _T]:
    """Return a mapping without one of its entries."""
    return MappingProxyType({key: value for key, value in mapping.items() if key != name})
