"""Routing domains: who sees whose addresses, and subnets that must not overlap therefore.

NAT keeps the addresses behind it from the nodes above, so two homes can both have 192.168.1.0/24.
Within a domain every address means one node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from patchbay.errors import Problems
from patchbay.topology.graph import Lans, lan_of, networks_of
from patchbay.topology.model import IX, Interface, Router
from patchbay.topology.subnets import Network
from patchbay.values import Nat, NatConfig, NatV6Mode


def hides(router: Router, version: int) -> bool:
    """Whether a router keeps the addresses of its LAN from the nodes above it."""
    if version == 4:
        exempt = isinstance(router.nat, NatConfig) and router.nat.exempt
        return router.nat is not Nat.NONE and not exempt
    return router.nat_v6 in (NatV6Mode.NPTV6, NatV6Mode.MASQUERADE)


def domain(routers: Mapping[str, Router], name: str, version: int) -> str:
    """Return who is at the top of the routing domain that a LAN is in.

    That is the nearest router at or above it that hides what is below, or the IX, which shares
    its addresses with all regions.
    """
    while name in routers and not hides(routers[name], version):
        name = routers[name].upstream
    return name if name in routers else IX


def check_overlaps(lans: Lans, blamed: Collection[str], problems: Problems) -> None:
    """Add a problem for each subnet that overlaps another of its domain.

    Args:
        lans: all routers and regions.
        blamed: the routers and regions that were changed, and are told about rather than others.
        problems: where to add to.
    """
    for networks in _domains(lans).values():
        for one, other in _overlaps(networks):
            if one[1] not in blamed and other[1] in blamed:
                one, other = other, one
            message = f"the subnet {one[0]} overlaps {other[0]}, {_whose(lans, *other)}"
            kind = "region" if one[1] in lans.regions else "router"
            problems.add(f"{kind} {one[1]!r}", message)


_Owned = tuple[Network, str, str]
"""A subnet, whose it is, and what it is there."""


def _whose(lans: Lans, _: Network, owner: str, what: str) -> str:
    if owner == IX:
        return "which is that of the IX"
    return f"the {what} of {'region' if owner in lans.regions else 'router'} {owner!r}"


def _domains(lans: Lans) -> Mapping[tuple[int, str], list[_Owned]]:
    """Return the subnets of each domain, by the version of IP and by who is at its top."""
    found: defaultdict[tuple[int, str], list[_Owned]] = defaultdict(list)
    plugged: defaultdict[str, list[Interface]] = defaultdict(list)
    for router in lans.routers.values():
        plugged[router.upstream].append(router.uplink)
    for name in (IX, *lans.regions):
        lan = lan_of(lans, name)
        what = "subnet" if name == IX else "LAN"
        found[4, IX] += [(each, name, what) for each in networks_of(lan, plugged[name])]
        if lan.network6 is not None:
            found[6, IX].append((lan.network6, name, what))
    routers = lans.routers
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
