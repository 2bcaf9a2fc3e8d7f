"""Routing domains: who sees whose addresses, and subnets that must not overlap therefore.

NAT keeps the addresses behind it from the nodes above, so two homes can both have 192.168.1.0/24.
Within a domain every address means one node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from patchbay.errors import Problems
from patchbay.topology.graph import ix_networks
from patchbay.topology.model import IX, Router
from patchbay.topology.subnets import IX_NETWORK, IX_NETWORK6, Network
from patchbay.values import Nat, NatV6Mode


def hides(router: Router, version: int) -> bool:
    """Whether a router keeps the addresses of its LAN from the nodes above it."""
    if version == 4:
        return router.nat is not Nat.NONE
    return router.nat_v6 in (NatV6Mode.NPTV6, NatV6Mode.MASQUERADE)


def domain(routers: Mapping[str, Router], name: str, version: int) -> str:
    """Return who is at the top of the routing domain that a LAN is in.

    That is the nearest router at or above it that hides what is below, or the IX.
    """
    while name != IX and not hides(routers[name], version):
        name = routers[name].upstream
    return name


def check_overlaps(
    routers: Mapping[str, Router], blamed: Collection[str], problems: Problems
) -> None:
    """Add a problem for each subnet that overlaps another of its domain.

    Args:
        routers: all routers.
        blamed: the routers that were changed, and are told about rather than others.
        problems: where to add to.
    """
    for networks in _domains(routers).values():
        for one, other in _overlaps(networks):
            if one[1] not in blamed and other[1] in blamed:
                one, other = other, one
            message = f"the subnet {one[0]} overlaps {other[0]}, {_whose(*other)}"
            problems.add(f"router {one[1]!r}", message)


_Owned = tuple[Network, str, str]
"""A subnet, whose it is, and what it is there."""


def _whose(_: Network, owner: str, what: str) -> str:
    if owner == IX:
        return "which is that of the IX"
    return f"the {what} of router {owner!r}"


def _domains(routers: Mapping[str, Router]) -> Mapping[tuple[int, str], list[_Owned]]:
    """Return the subnets of each domain, by the version of IP and by who is at its top."""
    found: defaultdict[tuple[int, str], list[_Owned]] = defaultdict(list)
    uplinks = [router.uplink for router in routers.values() if router.upstream == IX]
    for network in {IX_NETWORK, *ix_networks(uplinks)}:
        found[4, IX].append((network, IX, "subnet"))
    found[6, IX].append((IX_NETWORK6, IX, "subnet"))
    for router in routers.values():
        for subnet in (router.downstream, router.downstream6):
            if subnet is not None:
                top = domain(routers, router.name, subnet.version)
                found[subnet.version, top].append((subnet, router.name, "LAN"))
        for address in (router.uplink.address, router.uplink.address6):
            # A router is in the domain above it with its uplink, and must tell both sides apart.
            if address is not None and hides(router, address.version):
                key = (address.version, router.name)
                found[key].append((address.network, router.name, "uplink"))
    return found


def _overlaps(networks: Iterable[_Owned]) -> list[tuple[_Owned, _Owned]]:
    """Return each subnet that is within another, with the widest that it is in.

    Two subnets are either apart or one is within the other.
    """
    found: list[tuple[_Owned, _Owned]] = []
    widest: _Owned | None = None
    for each in sorted(networks, key=lambda owned: (int(owned[0][0]), owned[0].prefixlen)):
        if widest is not None and int(each[0][0]) <= int(widest[0].broadcast_address):
            found.append((each, widest))
        else:
            widest = each
    return found
