"""The connections that a namespace's netfilter keeps track of (`nfnetlink_conntrack.h`)."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from patchbay.rules.words import CtStatus
from patchbay.topology.steps import IPAddress
from patchbay.wiring.connection import Connection
from patchbay.wiring.netlink import (
    NFGENMSG,
    KernelError,
    Message,
    attribute,
    attributes,
    nested,
    u8,
)

_SUBSYSTEM = 1 << 8
_GET = Message(_SUBSYSTEM | 1, 0, NFGENMSG.pack(0, 0, 0), "list the tracked connections")
_DELETE = _SUBSYSTEM | 2
_FLUSH = Message(_DELETE, 0, NFGENMSG.pack(0, 0, 0), "forget the tracked connections")
_GET_V4 = Message(
    _SUBSYSTEM | 1, 0, NFGENMSG.pack(socket.AF_INET, 0, 0), "list the tracked connections"
)
_FLUSH_V4 = Message(
    _DELETE, 0, NFGENMSG.pack(socket.AF_INET, 1, 0), "forget the tracked connections"
)
"""Version 1 has the kernel look at the family (Linux 5.5 on); before, it forgets all of them."""
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_TIMEOUT, _CTA_MARK = 1, 2, 3, 7, 8
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V4_DST, _CTA_IP_V6_SRC, _CTA_IP_V6_DST = 1, 2, 3, 4
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_IDENTIFIERS = _CTA_PROTO_ICMP_ID, _CTA_PROTO_ICMPV6_ID = 4, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackTuple:
    """One direction of a connection, as its packets say it."""

    source: IPAddress
    source_port: int
    destination: IPAddress
    destination_port: int
    """Both ports are the identifier of an ICMP echo; 0 for protocols without ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackEntry:
    """A connection; where it is translated, `reply` is not `original` turned round."""

    protocol: int
    """IP protocol number: 6 for TCP, 17 for UDP."""
    original: ConntrackTuple
    """The direction of the packet that began it, before translation."""
    reply: ConntrackTuple
    """The answers to it, before they are translated back."""
    timeout: int
    """Seconds until it is forgotten, if no packet comes."""
    status: CtStatus
    mark: int
    """What rules have written down about it."""


def conntrack(connection: Connection) -> tuple[ConntrackEntry, ...]:
    """All tracked connections, oldest or not: in the order of the kernel's hash table."""
    return tuple(map(_entry, connection.dump(_GET)))


def is_tracked(connection: Connection, protocol: int, flow: ConntrackTuple) -> bool:
    """Whether a flow is one of the directions of a tracked connection."""
    v4 = flow.source.version == 4
    family = socket.AF_INET if v4 else socket.AF_INET6
    ends = (_CTA_IP_V4_SRC, _CTA_IP_V4_DST) if v4 else (_CTA_IP_V6_SRC, _CTA_IP_V6_DST)
    addresses = zip(ends, (flow.source, flow.destination), strict=True)
    ip = nested(_CTA_TUPLE_IP, *(attribute(kind, each.packed) for kind, each in addresses))
    ports = nested(
        _CTA_TUPLE_PROTO,
        u8(_CTA_PROTO_NUM, protocol),
        attribute(_CTA_PROTO_SRC_PORT, flow.source_port.to_bytes(2, "big")),
        attribute(_CTA_PROTO_DST_PORT, flow.destination_port.to_bytes(2, "big")),
    )
    body = NFGENMSG.pack(family, 0, 0) + nested(_CTA_TUPLE_ORIG, ip, ports)
    try:
        connection.get(Message(_SUBSYSTEM | 1, 0, body, "find a tracked connection"))
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def flush_conntrack(connection: Connection) -> None:
    """Forget all tracked connections; their translations end with them."""
    connection.ask(_FLUSH)


def forget(
    connection: Connection, host: IPAddress | None, outside: IPAddress | None = None
) -> None:
    """Forget the tracked IPv4 connections of a host or of an outside address.

    Args:
        connection: to the netfilter of a router.
        host: as it is called inside; None for every one.
        outside: what the host is called outside; None for every one.
    """
    if host is None and outside is None:
        connection.ask(_FLUSH_V4)
        return
    for body in connection.dump(_GET_V4):
        entry = _entry(body)
        there, back = entry.original, entry.reply
        of_host = host is None or host in (there.source, back.source)
        if of_host and (outside is None or outside in (there.destination, back.destination)):
            tuple_ = attributes(body, NFGENMSG.size)[_CTA_TUPLE_ORIG]
            request = NFGENMSG.pack(socket.AF_INET, 0, 0) + nested(_CTA_TUPLE_ORIG, tuple_)
            try:
                connection.ask(Message(_DELETE, 0, request, "forget a tracked connection"))
            except KernelError as error:
                if error.errno != errno.ENOENT:  # it has been forgotten meanwhile
                    raise


def _entry(body: bytes) -> ConntrackEntry:
    found = attributes(body, NFGENMSG.size)
    protocol, original = _tuple(found[_CTA_TUPLE_ORIG])
    _, reply = _tuple(found[_CTA_TUPLE_REPLY])
    return ConntrackEntry(
        protocol=protocol,
        original=original,
        reply=reply,
        timeout=int.from_bytes(found.get(_CTA_TIMEOUT, b""), "big"),
        status=CtStatus(int.from_bytes(found[_CTA_STATUS], "big")),
        mark=int.from_bytes(found.get(_CTA_MARK, b""), "big"),
    )


def _tuple(data: bytes) -> tuple[int, ConntrackTuple]:
    parts = attributes(data)
    ip = attributes(parts[_CTA_TUPLE_IP])
    transport = attributes(parts[_CTA_TUPLE_PROTO])
    source: IPAddress
    destination: IPAddress
    if _CTA_IP_V4_SRC in ip:
        source, destination = IPv4Address(ip[_CTA_IP_V4_SRC]), IPv4Address(ip[_CTA_IP_V4_DST])
    else:
        source, destination = IPv6Address(ip[_CTA_IP_V6_SRC]), IPv6Address(ip[_CTA_IP_V6_DST])
    echo = next((transport[kind] for kind in _IDENTIFIERS if kind in transport), b"")
    return transport[_CTA_PROTO_NUM][0], ConntrackTuple(
        source=source,
        source_port=int.from_bytes(transport.get(_CTA_PROTO_SRC_PORT, echo), "big"),
        destination=destination,
        destination_port=int.from_bytes(transport.get(_CTA_PROTO_DST_PORT, echo), "big"),
    )
