"""Subnets: the pools that LANs are made of, and the lowest free one in each."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

Network = IPv4Network | IPv6Network

IX_NETWORK = IPv4Network("198.18.0.0/24")
IX_NETWORK6 = IPv6Network("2001:db8::/64")
IX_FIRST_HOST = 10
IX_FIRST_HOST6 = 0x10
FIRST_HOST = 2
"""The gateway is the first address of a subnet, so hosts begin with the second."""

PREFIX = 24
PREFIX6 = 64
PREFIX_MAX = 30
"""The longest prefix that leaves room for a gateway and a host."""
PREFIX6_MAX = 126

LAB = IPv4Network("198.18.0.0/15")
"""What RFC 2544 sets aside for laboratories."""

_POOLS: dict[int, dict[bool, tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]]] = {
    4: {
        True: (IPv4Address("198.18.1.0"), IPv4Address("198.19.255.255")),
        False: (IPv4Address("10.0.1.0"), IPv4Address("10.255.255.255")),
    },
    6: {
        True: (IPv6Address("2001:db8:1:1::"), IPv6Address("2001:db8:1:ffff:ffff:ffff:ffff:ffff")),
        False: (IPv6Address("fd10:0:0:1::"), IPv6Address("fd10::ffff:ffff:ffff:ffff:ffff")),
    },
}


def lowest_free(*, public: bool, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """Return the lowest /24 of the public or private pool that overlaps none of `taken`."""
    start = _lowest_gap(4, public, taken)
    return None if start is None else IPv4Network((start, PREFIX))


def lowest_free6(*, public: bool, taken: Iterable[IPv6Network]) -> IPv6Network | None:
    """Return the lowest /64 of the public or private pool that overlaps none of `taken`."""
    start = _lowest_gap(6, public, taken)
    return None if start is None else IPv6Network((start, PREFIX6))


def next_to_grow_by(taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """Return the subnet that the IX or a region grows by: the highest /24 apart from `taken`."""
    taken = tuple(taken)
    for network in reversed(list(LAB.subnets(new_prefix=PREFIX))):
        if not any(network.overlaps(other) for other in taken):
            return network
    return None


def _lowest_gap(version: int, public: bool, taken: Iterable[Network]) -> int | None:
    first, last = map(int, _POOLS[version][public])
    size = 1 << (32 - PREFIX if version == 4 else 128 - PREFIX6)
    for start, end in sorted(_bounds(network) for network in taken):
        if first + size <= start:
            break
        if first <= end:
            first = (end // size + 1) * size
    return first if first + size - 1 <= last else None


def _bounds(network: Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def role_of(address: IPv4Interface | IPv6Interface, network: Network) -> str | None:
    """Return what an address of a subnet is kept for, None if a host can have it."""
    if address.ip == network.network_address:
        return "network address"
    if address.ip == network.network_address + 1:
        return "gateway's address"
    if network.version == 4 and address.ip == network.broadcast_address:
        return "broadcast address"
    return None
