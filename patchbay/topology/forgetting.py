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
from patchbay.values import Nat, NatConfig

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
        if old_outside.get(name, addresses)[0] != addresses[0]:
            found[Forget(node=name)] = None
            continue
        for outside in _given_up(_config(before, name), _config(after, name)):
            found[Forget(node=name, outside=outside)] = None
    for name in changed:
        gone = set(_hosts(before, name)) - set(_hosts(after, name))
        for lan, address in sorted(gone):
            for router in _translators(before, after, lan):
                step = Forget(node=router, host=address)
                if Forget(node=router) not in found:
                    found[step] = None
    return list(found)


def _config(topology: Topology, router: str) -> NatConfig | None:
    nat = topology.routers[router].nat if router in topology.routers else None
    return nat if isinstance(nat, NatConfig) else None


def _given_up(old: NatConfig | None, new: NatConfig | None) -> Iterator[IPv4Address]:
    """Yield the addresses beside the uplink's own that a NAT uses no more as it did.

    Rules write down the number of an address; one with another number is another to them.
    """
    if old is None:
        return
    addresses = () if new is None else new.addresses
    for number, address in enumerate(old.addresses):
        if address not in addresses[number : number + 1]:
            yield address
    kept = set() if new is None else {outside for _, outside in new.one_to_one}
    for _, outside in old.one_to_one:
        if outside not in kept:
            yield outside


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
