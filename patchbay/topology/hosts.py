"""The names of a lab: the hosts file of each node, and what a name resolves to.

A name means what the first of these says that knows it: the node's own entries, those of the whole
lab, the nodes themselves. A later one adds nothing to it, so an entry with an IPv4 address only
hides the IPv6 address of a node of the same name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain

from patchbay.errors import ConfigError, Problem, Problems, nearest
from patchbay.topology.graph import find_node, with_entry
from patchbay.topology.model import IX, Device, Interface, Router, Topology
from patchbay.topology.names import check_host_name
from patchbay.topology.subnets import IX_NETWORK, IX_NETWORK6
from patchbay.values import parse_address

IPAddress = IPv4Address | IPv6Address
_Entries = tuple[tuple[str, str], ...]

_LOCALHOST: _Entries = (("localhost", "127.0.0.1"), ("localhost", "::1"))


def dns_entry(
    topology: Topology, name: str, address: IPAddress | str, node: str | None = None
) -> Topology:
    """Let a name stand for an address, in the whole lab or on one node only.

    It takes the place of an earlier entry of the same name and version of IP.

    Raises:
        ConfigError: there is no such node, or what was given is no name or no address.
    """
    problems = Problems()
    place = f"name {name!r}"
    check_host_name(name, problems, place)
    parsed = parse_address(address, place, problems)
    problems.check()
    if node is None:
        return replace(topology, names=_with_name(topology.names, name, parsed))
    if node != IX and node not in topology.regions:
        find_node(topology, node)
    own = _with_name(topology.node_names.get(node, ()), name, parsed)
    return replace(topology, node_names=with_entry(topology.node_names, node, own))


def resolve(topology: Topology, name: str, node: str | None = None) -> IPAddress:
    """Return the address that a name stands for, IPv4 before IPv6; an address is its own.

    Args:
        topology: the lab.
        name: a node's name or that of an entry, in any case.
        node: whose own entries count too.

    Raises:
        ConfigError: nothing has this name.
    """
    try:
        return ip_address(name)
    except ValueError:
        pass
    entries = _entries(topology, node)
    found = [ip_address(address) for key, address in entries if key.casefold() == name.casefold()]
    if not found:
        near = nearest(name, {key for key, _ in entries})
        raise ConfigError(Problem(f"name {name!r}", "nothing in the lab has this name", near))
    return min(found, key=lambda address: address.version)


def hosts_text(topology: Topology, node: str | None = None) -> str:
    """Return the hosts file of a node, None for that of all nodes without entries of their own."""
    lines: dict[str, list[str]] = {}
    for name, address in _entries(topology, node):
        lines.setdefault(address, []).extend(dict.fromkeys((name, ascii_name(name))))
    return "".join(f"{address}\t{' '.join(names)}\n" for address, names in lines.items())


def same_names(before: Topology, after: Topology) -> bool:
    """Whether the names of a lab and what they stand for are sure to be the same in both."""
    if (before.names, before.node_names) != (after.names, after.node_names):
        return False
    if before.devices is not after.devices or before.routers.keys() != after.routers.keys():
        return False
    return all(after.routers[name].uplink is old.uplink for name, old in before.routers.items())


def default_addresses(node: Router | Device) -> tuple[IPAddress, ...]:
    """Return the addresses that a node's name stands for: those of its default interface."""
    interface = default_interface(node)
    if interface is None:
        return ()
    return tuple(each.ip for each in (interface.address, interface.address6) if each is not None)


def default_interface(node: Router | Device) -> Interface | None:
    """Return the interface that carries a node's default routes; None if there is none."""
    if isinstance(node, Router):
        return node.uplink
    for interface in node.interfaces:
        if interface.name == node.default_via:
            return interface
    return None


def _entries(topology: Topology, node: str | None) -> _Entries:
    """Return all names that count on a node, with one address each time."""
    known: set[str] = set()
    found: list[tuple[str, str]] = []
    own = () if node is None else topology.node_names.get(node, ())
    for source in (_LOCALHOST, own, topology.names, tuple(_node_entries(topology))):
        found += [entry for entry in source if entry[0].casefold() not in known]
        known |= {name.casefold() for name, _ in source}
    return tuple(found)


def _node_entries(topology: Topology) -> Iterable[tuple[str, str]]:
    yield IX, _text(IX_NETWORK[1])
    yield IX, _text(IX_NETWORK6[1])
    for region in topology.regions.values():
        yield region.name, _text(region.downstream[1])
        yield region.name, _text(region.downstream6[1])
    nodes: Iterable[Router | Device] = chain(topology.routers.values(), topology.devices.values())
    for node in nodes:
        for address in default_addresses(node):
            yield node.name, _text(address)


@lru_cache(maxsize=1 << 14)
def _text(address: IPAddress) -> str:
    """Return an address as `str` does, which is slow, and all of a lab are written every time."""
    return str(address)


def _with_name(entries: _Entries, name: str, address: IPAddress) -> _Entries:
    kept = tuple(
        entry
        for entry in entries
        if entry[0].casefold() != name.casefold() or ip_address(entry[1]).version != address.version
    )
    return (*kept, (name, str(address)))


def ascii_name(name: str) -> str:
    """Return a name as resolvers ask for it (RFC 3490); itself if there is no such form."""
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
