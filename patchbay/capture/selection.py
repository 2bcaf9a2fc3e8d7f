"""What a recording is of: pure, from the topology to the names of nodes and interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from patchbay.topology.graph import node_names
from patchbay.topology.joints import far_end
from patchbay.topology.model import Topology
from patchbay.topology.snapshot import interface_snapshots

_INNER_BRIDGE = re.compile(r"(lan|ix)[0-9]+|parking")
"""The bridges of a LAN with more ports than one bridge has, after the first; and one that is switched
off, of links that the user-space engine makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which interfaces are recorded; those that come later too.

    Attributes:
        node: the node; None for every node of the lab, without their loopbacks.
        interface: one interface of it; None for all that it has, its loopback among them.
        far_end: whether the other end of the interface's cable is recorded beside it.
    """

    node: str | None = None
    interface: str | None = None
    far_end: bool = False


def nodes(selection: Selection, topology: Topology) -> list[str]:
    """The nodes that have something that is recorded."""
    everybody = list(node_names(topology))
    if selection.node is None:
        return everybody
    if selection.node not in everybody:
        return []
    far = _far_end(selection, topology)
    return [selection.node] if far is None else list(dict.fromkeys((selection.node, far[0])))


def has_part(selection: Selection, topology: Topology, node: str) -> bool:
    """Whether a node has something that is recorded."""
    return selection.node is None or node in nodes(selection, topology)


def wants(selection: Selection, topology: Topology, node: str, interface: str, port: bool) -> bool:
    """Whether an interface that a node has is recorded.

    Args:
        selection: what is recorded.
        topology: the network as it is now.
        node: one of `nodes`.
        interface: its name.
        port: whether it is the port of a bridge: what passes there is seen elsewhere as well.
    """
    if selection.interface is not None:
        wanted = [(selection.node, selection.interface), _far_end(selection, topology)]
        return (node, interface) in wanted
    if interface == "lo":
        return selection.node is not None
    is_host = node in topology.devices
    return not port and (is_host or _INNER_BRIDGE.fullmatch(interface) is None)


def wants_link(selection: Selection, ends: Sequence[tuple[str, str]]) -> bool:
    """Whether what a link does to packets is recorded.

    Args:
        selection: what is recorded.
        ends: the interfaces that the link joins.
    """
    return selection.node is None or any(
        node == selection.node and selection.interface in (None, name) for node, name in ends
    )


def _far_end(selection: Selection, topology: Topology) -> tuple[str, str] | None:
    if not selection.far_end or selection.node is None or selection.interface is None:
        return None
    return far_end(topology, selection.node, selection.interface)


def names(topology: Topology) -> Mapping[str, list[str]]:
    """What the addresses of a lab are called: the names of nodes, and entries of the whole lab."""
    found: dict[str, list[str]] = {}
    for address, name in _named(topology):
        known = found.setdefault(address, [])
        if name not in known:
            known.append(name)
    return found


def _named(topology: Topology) -> Iterator[tuple[str, str]]:
    for node in node_names(topology):
        for interface in interface_snapshots(topology, node):
            own = (interface.address, interface.address6, *interface.extra)
            yield from ((str(each.ip), node) for each in own if each is not None)
            if interface.ll6 is not None:
                yield str(interface.ll6), node
    yield from ((address, name) for name, address in topology.names)
