"""What the kernel has, as frozen dataclasses: links, addresses, routes, rules, neighbours."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from patchbay.topology.model import Address
from patchbay.topology.steps import IPAddress, Network
from patchbay.wiring.connection import Connection
from patchbay.wiring.messages import (
    IFADDR,
    IFINFO,
    NDMSG,
    RTMSG,
    RULEHDR,
    VIA,
    Kind,
    routing,
)
from patchbay.wiring.netlink import attributes, text

_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_STATS64 = 1, 3, 4, 10, 23
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_TENTATIVE, _IFA_F_DADFAILED = 0x40, 0x08
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
_NDA_DST, _NDA_LLADDR = 1, 2
_RTA_VIA = 18
_FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_TABLE = 2, 3, 6, 15
_RTN_UNICAST, _RTN_BLACKHOLE = 1, 6
_RTPROT_KERNEL = 2
_NUD_PERMANENT = 0x80
_COUNTERS = struct.Struct("=8Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What went over an interface since it was made."""

    received_packets: int
    sent_packets: int
    received_bytes: int
    sent_bytes: int
    receive_errors: int
    send_errors: int
    receive_drops: int
    send_drops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface, as the kernel has it."""

    name: str
    index: int
    mac: str
    """Empty for an interface that has none."""
    mtu: int
    """Bytes."""
    up: bool
    """Whether it is switched on (administratively up)."""
    running: bool
    """Whether it can carry packets: switched on, and the other end of the cable as well."""
    bridge: int | None
    """Index of the bridge that it is a port of."""
    statistics: Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceAddress:
    """An address of an interface."""

    interface: str
    address: Address
    tentative: bool
    """Duplicate address detection is not done with it: it cannot be used yet."""
    duplicate: bool
    """Duplicate address detection found another node that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRoute:
    """A unicast route, or a black hole; those of the local table are not told."""

    destination: Network
    interface: str | None
    """None for a route over several interfaces, and for a black hole of IPv4."""
    via: IPAddress | None
    source: IPAddress | None
    table: int
    metric: int
    by_kernel: bool
    """The kernel made it, for an address."""
    black_hole: bool = False
    """What goes there is lost without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRule:
    """A policy rule."""

    priority: int
    source: Network | None
    """None for a rule that holds for all sources."""
    table: int
    interface: str | None = None
    """Where packets come in that it is for; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelNeighbour:
    """An address of the link and the MAC that goes with it."""

    interface: str
    address: IPAddress
    mac: str
    """Empty while it is not known."""
    permanent: bool


def link(connection: Connection, name: str) -> Link:
    """One interface of the connection's namespace.

    Raises:
        KernelError: ENODEV, there is none of that name.
    """
    body = IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name)
    return _link(connection.get(routing(Kind.RTM_GETLINK, 0, body)))


def links(connection: Connection) -> tuple[Link, ...]:
    """All interfaces, by index."""
    bodies = connection.dump(routing(Kind.RTM_GETLINK, 0, IFINFO.pack(0, 0, 0, 0, 0)))
    return tuple(sorted(map(_link, bodies), key=lambda link: link.index))


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = IFINFO.unpack_from(body)
    found = attributes(body, IFINFO.size)
    return Link(
        name=_string(found[_IFLA_IFNAME]),
        index=index,
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=_u32(found[_IFLA_MTU]),
        up=bool(flags & _IFF_UP),
        running=bool(flags & _IFF_LOWER_UP),
        bridge=_u32(found[_IFLA_MASTER]) if _IFLA_MASTER in found else None,
        statistics=Statistics(
            **dict(
                zip(Statistics.__slots__, _COUNTERS.unpack_from(found[_IFLA_STATS64]), strict=True)
            )
        ),
    )


def _names(connection: Connection) -> dict[int, str]:
    names = {}
    for body in connection.dump(routing(Kind.RTM_GETLINK, 0, IFINFO.pack(0, 0, 0, 0, 0))):
        names[IFINFO.unpack_from(body)[2]] = _string(attributes(body, IFINFO.size)[_IFLA_IFNAME])
    return names


def addresses(connection: Connection) -> tuple[InterfaceAddress, ...]:
    """All addresses, in the kernel's order: IPv4 first, by interface."""
    names = _names(connection)
    result = []
    for body in connection.dump(routing(Kind.RTM_GETADDR, 0, IFADDR.pack(0, 0, 0, 0, 0))):
        family, length, flags, _, index = IFADDR.unpack_from(body)
        found = attributes(body, IFADDR.size)
        flags = _u32(found[_IFA_FLAGS]) if _IFA_FLAGS in found else flags
        packed = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
        address: Address = (
            IPv4Interface((packed, length))
            if family == socket.AF_INET
            else IPv6Interface((packed, length))
        )
        result.append(
            InterfaceAddress(
                interface=names.get(index, ""),
                address=address,
                tentative=bool(flags & _IFA_F_TENTATIVE),
                duplicate=bool(flags & _IFA_F_DADFAILED),
            )
        )
    return tuple(result)


def routes(connection: Connection) -> tuple[KernelRoute, ...]:
    """All unicast routes and black holes of all tables, in the kernel's order: IPv4 first."""
    names = _names(connection)
    result = []
    for body in connection.dump(routing(Kind.RTM_GETROUTE, 0, RTMSG.pack(*[0] * 9))):
        family, length, _, _, table, protocol, _, kind, _ = RTMSG.unpack_from(body)
        if kind not in (_RTN_UNICAST, _RTN_BLACKHOLE) or family not in (
            socket.AF_INET,
            socket.AF_INET6,
        ):
            continue
        found = attributes(body, RTMSG.size)
        result.append(
            KernelRoute(
                destination=_network(family, found.get(_RTA_DST), length),
                interface=names.get(_u32(found[_RTA_OIF])) if _RTA_OIF in found else None,
                via=_ip(found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[VIA.size :] or None),
                source=_ip(found.get(_RTA_PREFSRC)),
                table=_u32(found[_RTA_TABLE]) if _RTA_TABLE in found else table,
                metric=_u32(found[_RTA_PRIORITY]) if _RTA_PRIORITY in found else 0,
                by_kernel=protocol == _RTPROT_KERNEL,
                black_hole=kind == _RTN_BLACKHOLE,
            )
        )
    return tuple(result)


def rules(connection: Connection) -> tuple[KernelRule, ...]:
    """All policy rules, in the order in which they are looked at, IPv4 first."""
    result = []
    for body in connection.dump(routing(Kind.RTM_GETRULE, 0, RULEHDR.pack(*[0] * 7))):
        family, _, length, _, table, _, _ = RULEHDR.unpack_from(body)
        if family not in (socket.AF_INET, socket.AF_INET6):
            continue
        found = attributes(body, RULEHDR.size)
        source = found.get(_FRA_SRC)
        result.append(
            KernelRule(
                priority=_u32(found[_FRA_PRIORITY]) if _FRA_PRIORITY in found else 0,
                source=None if source is None else _network(family, source, length),
                table=_u32(found[_FRA_TABLE]) if _FRA_TABLE in found else table,
                interface=_string(found[_FRA_IIFNAME]) if _FRA_IIFNAME in found else None,
            )
        )
    return tuple(result)


def neighbours(connection: Connection) -> tuple[KernelNeighbour, ...]:
    """All neighbours, IPv4 first."""
    names = _names(connection)
    result = []
    for body in connection.dump(routing(Kind.RTM_GETNEIGH, 0, NDMSG.pack(*[0] * 5))):
        family, index, state, _, _ = NDMSG.unpack_from(body)
        if family not in (socket.AF_INET, socket.AF_INET6):
            continue
        found = attributes(body, NDMSG.size)
        address = _ip(found.get(_NDA_DST))
        if address is None:
            continue
        result.append(
            KernelNeighbour(
                interface=names.get(index, ""),
                address=address,
                mac=found.get(_NDA_LLADDR, b"").hex(":"),
                permanent=bool(state & _NUD_PERMANENT),
            )
        )
    return tuple(result)


def _u32(value: bytes) -> int:
    number: int = struct.unpack("=I", value)[0]
    return number


def _string(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _ip(packed: bytes | None) -> IPAddress | None:
    if packed is None:
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _network(family: int, packed: bytes | None, length: int) -> Network:
    if family == socket.AF_INET:
        return IPv4Network((packed or bytes(4), length))
    return IPv6Network((packed or bytes(16), length))
