"""How the nodes of a topology hang together: LANs, who is plugged in, who sees whose addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Protocol, TypeVar

from patchbay.errors import ConfigError, Problem, nearest
from patchbay.topology.macs import region_bridges
from patchbay.topology.model import IX, Device, Interface, Region, Router, Topology, Trunk
from patchbay.topology.subnets import IX_NETWORK, IX_NETWORK6
from patchbay.values import MTU_DEFAULT, NatConfig

UPLINK = "wan"
"""Name of a router's uplink."""
LAN_BRIDGE = "lan"
"""Name of the bridge that is a router's or a region's LAN."""

_T = TypeVar("_T")


class Lans(Protocol):
    """What knows routers and regions by their names."""

    @property
    def routers(self) -> Mapping[str, Router]:
        """All routers."""

    @property
    def regions(self) -> Mapping[str, Region]:
        """All regions."""


@dataclass(frozen=True, slots=True)
class Lan:
    """One LAN: a bridge at a router, at a region, or at the IX.

    Attributes:
        node: the name of the router or region, or `IX`.
        bridge: the name of the bridge that carries the gateway's addresses.
        number: what its hardware addresses are made from.
        mtu: bytes that the gateway sends into it at most.
        network: its IPv4 subnet, the first one if it grows; None without IPv4.
        network6: its IPv6 subnet.
        grows: whether it gets a further IPv4 subnet when the addresses of those it has are taken.
    """

    node: str
    bridge: str
    number: int
    mtu: int
    network: IPv4Network | None
    network6: IPv6Network | None
    grows: bool = False


_IX_LAN = Lan(IX, IX, 0, MTU_DEFAULT, IX_NETWORK, IX_NETWORK6, grows=True)


def lan_of(lans: Lans, name: str) -> Lan:
    """Return the LAN of a router, of a region, or of the IX."""
    if name == IX:
        return _IX_LAN
    region = lans.regions.get(name)
    if region is not None:
        bridges = region_bridges(region.number)
        networks = (region.downstream, region.downstream6)
        return Lan(name, LAN_BRIDGE, bridges, MTU_DEFAULT, *networks, grows=True)
    router = lans.routers[name]
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


def node_names(topology: Topology) -> tuple[str, ...]:
    """Return the names of all nodes: the IX, regions, routers, devices."""
    return (IX, *topology.regions, *topology.routers, *topology.devices)


def plugged_in(topology: Topology, name: str) -> list[tuple[str, Interface]]:
    """Return what is plugged into the LAN of a router or of the IX."""
    return [pair for pair in interfaces(topology) if pair[1].lan == name]


def port_name(interface: Interface) -> str:
    """Return the name of the port that an interface is plugged into, at the node of that LAN."""
    return f"p{interface.cable}"


def ancestors(lans: Lans, router: Router) -> Iterator[str]:
    """Yield the routers between a router and the IX, the nearest first, its region, and the IX."""
    name = router.upstream
    while name in lans.routers:
        yield name
        name = lans.routers[name].upstream
    if name != IX:
        yield name
    yield IX


def region_of(lans: Lans, name: str) -> str | None:
    """Return the region that a router is in, or the LAN of a router; None if it is in none.

    A region is in itself, the IX is in none.
    """
    while name in lans.routers:
        name = lans.routers[name].upstream
    return None if name == IX else name


def networks_of(lan: Lan, plugged: Iterable[Interface]) -> tuple[IPv4Network, ...]:
    """Return the IPv4 subnets of a LAN with these interfaces in it, the first one first."""
    if lan.network is None:
        return ()
    networks = {each.address.network for each in plugged if each.address} if lan.grows else set()
    return (lan.network, *sorted(networks - {lan.network}))


def find_region(topology: Topology, name: str) -> Region:
    """Return a region.

    Raises:
        ConfigError: there is none of this name.
    """
    region = topology.regions.get(name)
    if region is None:
        near = nearest(name, topology.regions)
        raise ConfigError(Problem(f"region {name!r}", "there is no such region", near))
    return region


def find_trunk(topology: Topology, one: str, other: str) -> Trunk:
    """Return the link between two regions, named in whatever order.

    Raises:
        ConfigError: there is none, or a region is none.
    """
    regions = {find_region(topology, one).name, find_region(topology, other).name}
    for trunk in topology.trunks:
        if regions == set(trunk.ends):
            return trunk
    place = f"link between regions {one!r} and {other!r}"
    raise ConfigError(Problem(place, "there is none: they are not linked"))


def outside_addresses(router: Router) -> tuple[IPv4Interface, ...]:
    """Return the addresses that a router's uplink has for its NAT, beside its own."""
    config = router.nat if isinstance(router.nat, NatConfig) else router.nat.config
    if config is None or router.uplink.address is None:
        return ()
    return tuple(IPv4Interface((address, 32)) for address in config.outside_addresses)


def find_node(topology: Topology, name: str) -> Router | Device:
    """Return a router or device.

    Raises:
        ConfigError: there is none of this name.
    """
    node = topology.routers.get(name) or topology.devices.get(name)
    if name == IX:
        message = "the internet exchange cannot be changed or removed"
        raise ConfigError(Problem(f"node {name!r}", message))
    if name in topology.regions:
        raise ConfigError(Problem(f"node {name!r}", "this is a region, not a router or a device"))
    if node is None:
        known = [*topology.routers, *topology.devices, *topology.regions]
        raise ConfigError(Problem(f"node {name!r}", "there is no such node", nearest(name, known)))
    return node


def kind_of(topology: Topology, name: str) -> str:
    """Return whether a name is that of a region, a router or a device.

    Raises:
        ConfigError: it is none of them.
    """
    if name in topology.regions:
        return "region"
    return "router" if isinstance(find_node(topology, name), Router) else "device"


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
