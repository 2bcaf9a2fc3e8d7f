"""Long headers of QUIC packets, which are not encrypted (RFC 9000, 17.2; RFC 9369)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from patchbay.links.programs.reading import Reader, Truncated

QUIC_V1 = 1
"""The version of RFC 9000."""
QUIC_V2 = 0x6B3343CF
"""The version of RFC 9369."""

_LONG, _FIXED = 0x80, 0x40
_LONGEST_ID = 20
"""Bytes of a connection id (RFC 9000, 17.2)."""
_TAG = 16
"""Bytes of the integrity tag of a Retry packet (RFC 9000, 17.2.5)."""


class QuicType(StrEnum):
    """The types of QUIC packets with a long header."""

    INITIAL = "initial"
    ZERO_RTT = "zero_rtt"
    HANDSHAKE = "handshake"
    RETRY = "retry"
    VERSION_NEGOTIATION = "version_negotiation"


_V1_TYPES = (QuicType.INITIAL, QuicType.ZERO_RTT, QuicType.HANDSHAKE, QuicType.RETRY)
_TYPES = {QUIC_V1: _V1_TYPES, QUIC_V2: (_V1_TYPES[3], *_V1_TYPES[:3])}
"""By the two bits of the type (RFC 9000, table 5; RFC 9369, 3.2)."""


@dataclass(frozen=True, slots=True)
class QuicHeader:
    """The long header of a QUIC packet of version 1 or 2, or of a Version Negotiation packet.

    Attributes:
        type: which packet it is.
        version: 1, 0x6b3343cf for version 2; 0 for Version Negotiation.
        destination_id: the connection id of the receiver.
        source_id: the connection id of the sender.
        token: that of an Initial or Retry packet; empty for others.
        versions: those that a Version Negotiation packet offers.
        offset: bytes of the datagram before the packet.
        size: bytes of the packet, its payload included.
    """

    type: QuicType
    version: int
    destination_id: bytes
    source_id: bytes
    token: bytes
    versions: tuple[int, ...]
    offset: int
    size: int


def long_headers(datagram: bytes) -> tuple[QuicHeader, ...]:
    """The long headers in the payload of a UDP datagram, which may hold several packets.

    Packets with a short header, which come last, are not told, nor is what is none of QUIC.
    """
    found: list[QuicHeader] = []
    reader = Reader(datagram)
    while reader.left:
        try:
            header = _read(reader)
        except Truncated:
            break
        if header is None:
            break
        found.append(header)
    return tuple(found)


def _read(reader: Reader) -> QuicHeader | None:
    """Read a packet, and move on behind it; None if it has no long header that is known.

    Raises:
        Truncated: its header is not whole.
    """
    offset = reader.at
    first, version = reader.number(1), reader.number(4)
    known = version in _TYPES and first & _FIXED
    if not first & _LONG or not (known or version == 0):
        return None
    destination, source = reader.vector(1), reader.vector(1)
    versions: tuple[int, ...] = ()
    token = b""
    if version == 0:
        kind = QuicType.VERSION_NEGOTIATION
        if reader.left < 4 or reader.left % 4:
            return None
        versions = tuple(reader.number(4) for _ in range(reader.left // 4))
    else:
        kind = _TYPES[version][first >> 4 & 0b11]
        if max(len(destination), len(source)) > _LONGEST_ID:
            return None
        if kind is QuicType.RETRY:
            token = reader.take(max(0, reader.left - _TAG))
            reader.take(_TAG)
        else:
            if kind is QuicType.INITIAL:
                token = reader.take(reader.variable())
            reader.take(min(reader.variable(), reader.left))
    return QuicHeader(
        kind, version, destination, source, token, versions, offset, reader.at - offset
    )
