"""Ports that a NAT forwards lead to hosts behind it: into LANs that its router has routes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from patchbay.errors import Problems
from patchbay.topology.domains import hides
from patchbay.topology.graph import Lans
from patchbay.topology.model import Router
from patchbay.values import NatConfig


def check_forwards(lans: Lans, names: Iterable[str], problems: Problems) -> None:
    """Add a problem for each forwarded port that leads to where no host behind the router can be.

    A host that is not there yet may come, but the subnets of LANs do not change.

    Args:
        lans: all routers and regions.
        names: of the routers whose NAT is looked at.
        problems: where to add to.
    """
    for name in names:
        nat = lans.routers[name].nat
        if not isinstance(nat, NatConfig) or not nat.forwards:
            continue
        below = list(_below(lans.routers, name))
        inside = {router.name: lan for router, lan, hider in below if hider is None}
        for number, each in enumerate(nat.forwards):
            if any(each.host in lan for lan in inside.values()):
                continue
            place = f"router {name!r}, nat, forwards[{number}]"
            leads = f"{each.protocol} port {each.port} leads to {each.host}"
            hidden = [hider for _, lan, hider in below if hider is not None and each.host in lan]
            if hidden:
                message = f"{leads}, which the NAT of router {hidden[0].name!r} hides from it"
                problems.add(place, message, _uplink(hidden[0]))
            else:
                message = f"{leads}, which is not behind it: there {_listed(name, inside)}"
                problems.add(place, message, _alike(each.host, inside.get(name)))


def _below(
    routers: Mapping[str, Router], top: str
) -> Iterator[tuple[Router, IPv4Network, Router | None]]:
    """A router and those below it: their LANs, and who hides them from it, the nearest to it."""
    for router in routers.values():
        at, hider = router, None
        while at.name != top and at.upstream in routers:
            hider = at if hides(at, 4) else hider
            at = routers[at.upstream]
        if at.name == top and router.downstream is not None:
            yield router, router.downstream, hider


def _listed(name: str, inside: Mapping[str, IPv4Network]) -> str:
    """The LANs that a router has routes to, in words."""
    if not inside:
        return "is no IPv4 LAN"
    lans = [f"{lan}{'' if owner == name else f' of {owner!r}'}" for owner, lan in inside.items()]
    return f"is {lans[0]}" if len(lans) == 1 else f"are {', '.join(lans)}"


def _uplink(router: Router) -> str | None:
    address = router.uplink.address
    return None if address is None else str(address.ip)


def _alike(host: IPv4Address, lan: IPv4Network | None) -> str | None:
    """The host of a LAN whose number there is that of an address in another subnet of this size."""
    if lan is None:
        return None
    number = int(host) & int(lan.hostmask)
    gateway, broadcast = 1, int(lan.hostmask)
    return str(lan.network_address + number) if gateway < number < broadcast else None
