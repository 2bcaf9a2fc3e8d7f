"""Which translations end with a change: those of addresses that are no more.

A NAT forgets by itself only what is idle for long enough. When an outside address goes, what was
translated to it can never be answered; when a host loses its address, the next one to get it must
not be sent what was meant for the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address

from patchbay.topology.domains import hides
from patchbay.topology.graph import ancestors
from patchbay.topology.model import Device, Router, Topology
from patchbay.topology.steps import Forget, IPAddress, Step
from patchbay.values import Nat

_Outside = Mapping[str, tuple[IPAddress, ...]]


def forgotten(
    before: Topology,
    after: Topology,
    old_outside: _Outside,
    new_outside: _Outside,
    changed: Collection[str],
) -> list[Step]:
    """Return the steps that make routers forget, for after all others.

    Args:
        before: the network as it was.
        after: the network as it is to be.
        old_outside: the outside addresses of the routers that changed, as they were.
        new_outside: as they are to be.
        changed: the nodes that changed.
    """
    found: dict[Step, None] = {}
    for name, addresses in new_outside.items():
        if set(old_outside.get(name, ())) - set(addresses):
            found[Forget(node=name)] = None
    for name in changed:
        gone = set(_hosts(before, name)) - set(_hosts(after, name))
        for lan, address in sorted(gone):
            for router in _translators(before, after, lan):
                step = Forget(node=router, host=address)
                if Forget(node=router) not in found:
                    found[step] = None
    return list(found)


def _hosts(topology: Topology, name: str) -> Iterator[tuple[str, IPv4Address]]:
    """Yield the IPv4 addresses of a node, with the LAN that it has each in."""
    node: Router | Device | None = topology.routers.get(name) or topology.devices.get(name)
    if node is None:
        return
    interfaces = (node.uplink,) if isinstance(node, Router) else node.interfaces
    for interface in interfaces:
        for each in (interface.address, *interface.extra):
            if each is not None and isinstance(each.ip, IPv4Address):
                yield interface.lan, each.ip


def _translators(before: Topology, after: Topology, lan: str) -> Iterator[str]:
    """Yield the routers with NAT that saw the hosts of a LAN by their own addresses."""
    if lan not in before.routers:
        return
    for name in (lan, *ancestors(before, before.routers[lan])):
        if name not in before.routers:
            return
        router = before.routers[name]
        if router.nat is not Nat.NONE and name in after.routers:
            yield name
        if hides(router, 4):
            return
