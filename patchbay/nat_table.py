"""The live translations of a router, read from the kernel's connection tracking."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

from actors.protocol import Plain
from patchbay.rules.words import L4Proto

Endpoint = tuple[IPv4Address | IPv6Address, int]
"""An address and a port; for ICMP, the identifier of the echo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatEntry:
    """A flow whose inside address a router translates, whichever side began it.

    Attributes:
        protocol: such as `udp`, `tcp`, `icmp`; a number where it has no name here.
        inside: the host behind the router; of two that reach each other by their outside
            addresses, the one that began.
        outside: what the world sees instead.
        remote: whom it talks to.
        timeout: seconds until it is forgotten, if no packet comes.
    """

    protocol: str
    inside: Endpoint
    outside: Endpoint
    remote: Endpoint
    timeout: int


def nat_entries(told: Plain) -> list[NatEntry]:
    """The entries of what a router's supervisor has told: see `nat_requests`."""
    entries = cast("list[dict[str, Any]]", told)
    return [
        NatEntry(
            protocol=_protocol(entry["protocol"]),
            inside=_endpoint(entry["inside"]),
            outside=_endpoint(entry["outside"]),
            remote=_endpoint(entry["remote"]),
            timeout=entry["timeout"],
        )
        for entry in entries
    ]


def _protocol(number: int) -> str:
    try:
        return L4Proto(number).name.lower()
    except ValueError:
        return str(number)


def _endpoint(pair: list[Any]) -> Endpoint:
    address, port = pair
    return ip_address(address), port
