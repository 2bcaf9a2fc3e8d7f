"""ICMP messages that no stack had a part in: queries, answers, and errors about packets."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from by_hand import Endpoint, Packet, checksum, packet

from patchbay.rules.words import IcmpType, L4Proto

_HEADER = struct.Struct("!BBHHH")
_PORTS = struct.Struct("!HHI")
_IP_HEADER = 20
ERRORS = [
    *((IcmpType.DESTINATION_UNREACHABLE, code) for code in (0, 1, 3, 4, 13)),
    (IcmpType.TIME_EXCEEDED, 0),
    (IcmpType.PARAMETER_PROBLEM, 0),
]
"""Types and codes."""


@dataclass(frozen=True)
class About:
    """The packet that an error is about: who sent it to whom."""

    protocol: int
    source: Endpoint
    target: Endpoint
    """With the identifier 0 where it is a query: that is its source's."""


def message(kind: int, code: int, first: int, second: int, rest: bytes = b"") -> bytes:
    """A message with its checksum, of two numbers of sixteen bits and what follows them."""
    bare = _HEADER.pack(kind, code, 0, first, second) + rest
    return bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:]


def error(kind: int, code: int, about: About) -> bytes:
    """An error with the beginning of what it is about (RFC 792)."""
    if about.protocol == L4Proto.ICMP:
        begin = message(IcmpType.ECHO_REQUEST, 0, about.source[1], 1)
    else:
        begin = _PORTS.pack(about.source[1], about.target[1], 0)
    inner = Packet(about.source[0], about.target[0], about.protocol, begin)
    return message(kind, code, 0, 1400 if code == 4 else 0, inner.bytes())


def read(data: bytes) -> tuple[int, int, int, bytes]:
    """Type, code, identifier and what follows the header; the checksum is right."""
    assert checksum(data) == 0
    kind, code, _, first, _ = _HEADER.unpack_from(data)
    return kind, code, first, data[_HEADER.size :]


def about(rest: bytes) -> About:
    """What an error is about; the checksum of the header in it is right."""
    assert checksum(rest[:_IP_HEADER]) == 0
    inner = packet(rest)
    if inner.protocol == L4Proto.ICMP:
        kind, _, identifier, _ = read(inner.payload)
        assert kind == IcmpType.ECHO_REQUEST
        return About(inner.protocol, (inner.source, identifier), (inner.target, 0))
    source, target, _ = _PORTS.unpack_from(inner.payload)
    return About(inner.protocol, (inner.source, source), (inner.target, target))
