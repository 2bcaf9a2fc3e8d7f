"""The blocks of a pcapng file, as bytes (draft-ietf-opsawg-pcapng). Nothing here writes anything.

A file is a section header, one description for each interface, and then packets, names, secrets
and statistics in any order. All numbers are in this machine's byte order, as the section says.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

ETHERNET = 1
RAW_IP = 101
"""Link types (https://www.tcpdump.org/linktypes.html): with an Ethernet header, and without any."""

_SECTION, _INTERFACE, _NAMES, _STATISTICS, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 4, 5, 6, 10
_BYTE_ORDER = 0x1A2B3C4D
_TLS_KEY_LOG = 0x544C534B
_NANOSECONDS = 9
"""The resolution of times, as a power of ten below the second."""

_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_FRAME = struct.Struct("=II")
_OPTION = struct.Struct("=HH")
_PACKET_HEAD = struct.Struct("=7I")
_PACKET_TAIL = struct.Struct("=HHIII")
_PACKET_FIXED = _PACKET_HEAD.size + _PACKET_TAIL.size
_STATISTICS_HEAD = struct.Struct("=III")
_COUNTER = struct.Struct("=Q")


class Direction(IntEnum):
    """Which way a packet went, as seen from its interface: the low two bits of `epb_flags`."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


class Reception(IntEnum):
    """Whom a packet was for: bits 2 to 4 of `epb_flags`."""

    UNKNOWN = 0
    UNICAST = 1 << 2
    MULTICAST = 2 << 2
    BROADCAST = 3 << 2
    PROMISCUOUS = 4 << 2


def section(*, application: str, system: str, comment: str = "") -> bytes:
    """The beginning of a file: who wrote it, and where."""
    return _block(
        _SECTION,
        struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1),
        {3: system.encode(), 4: application.encode(), 1: comment.encode()},
    )


def interface(
    name: str,
    *,
    link_type: int = ETHERNET,
    description: str = "",
    snaplen: int = 0,
    mac: str = "",
    addresses: Iterable[tuple[str, int]] = (),
    filter_text: str = "",
) -> bytes:
    """The description of an interface; the first is number 0, the next number 1.

    Args:
        name: what it is shown as.
        link_type: what its packets begin with.
        description: what it is, for people.
        snaplen: bytes that are kept of a packet; 0 for all.
        mac: its hardware address, if it has one.
        addresses: its IP addresses, with their prefix lengths.
        filter_text: which packets were asked for.
    """
    options = [(2, name.encode())]
    if description:
        options.append((3, description.encode()))
    for text, length in addresses:
        if ":" in text:
            options.append((5, IPv6Address(text).packed + bytes((length,))))
        else:
            mask = (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
            options.append((4, IPv4Address(text).packed + mask.to_bytes(4, "big")))
    if mac:
        options.append((6, bytes.fromhex(mac.replace(":", ""))))
    options.append((9, bytes((_NANOSECONDS,))))
    if filter_text:
        options.append((11, b"\0" + filter_text.encode()))
    body = struct.pack("=HHI", link_type, 0, snaplen)
    return _framed(_INTERFACE, body + _options(options))


def packet(
    number: int,
    moment: int,
    flags: int,
    data: bytes | memoryview,
    length: int,
    comment: str = "",
) -> bytes:
    """A packet that an interface saw.

    Args:
        number: of the interface.
        moment: nanoseconds since 1970, UTC.
        flags: a `Direction` and a `Reception`.
        data: what was kept of it.
        length: bytes that it had.
        comment: for people.
    """
    kept = len(data)
    padding = _PADDING[kept & 3]
    if comment:
        remark = comment.encode()
        padding += _OPTION.pack(1, len(remark)) + remark + _PADDING[len(remark) & 3]
    total = _PACKET_FIXED + kept + len(padding)
    head = _PACKET_HEAD.pack(
        _PACKET, total, number, moment >> 32, moment & 0xFFFFFFFF, kept, length
    )
    return b"".join((head, data, padding, _PACKET_TAIL.pack(2, 4, flags, 0, total)))


def names(entries: Mapping[str, Iterable[str]]) -> bytes:
    """What addresses are called: names by address."""
    body = b""
    for text, known in entries.items():
        six = ":" in text
        address = IPv6Address(text).packed if six else IPv4Address(text).packed
        value = address + b"".join(name.encode() + b"\0" for name in known)
        body += _OPTION.pack(2 if six else 1, len(value)) + value + _PADDING[len(value) & 3]
    return _framed(_NAMES, body + _OPTION.pack(0, 0))


def tls_secrets(key_log: bytes) -> bytes:
    """Lines in the format of `SSLKEYLOGFILE`, for the packets that follow."""
    head = _FRAME.pack(_TLS_KEY_LOG, len(key_log))
    return _framed(_SECRETS, head + key_log + _PADDING[len(key_log) & 3])


def statistics(
    number: int, moment: int, *, since: int, received: int, dropped: int, comment: str = ""
) -> bytes:
    """What became of the packets of an interface until a moment; a later one replaces it.

    Args:
        number: of the interface.
        moment: nanoseconds since 1970, UTC.
        since: when its recording began, likewise.
        received: packets that the filter let through.
        dropped: those of them that were lost, as the recording did not keep up.
        comment: for people.
    """
    head = _STATISTICS_HEAD.pack(number, moment >> 32, moment & 0xFFFFFFFF)
    options = {
        1: comment.encode(),
        2: _FRAME.pack(since >> 32, since & 0xFFFFFFFF),
        3: _FRAME.pack(moment >> 32, moment & 0xFFFFFFFF),
        4: _COUNTER.pack(received),
        5: _COUNTER.pack(dropped),
        8: _COUNTER.pack(received - dropped),
    }
    return _block(_STATISTICS, head, options)


def _block(kind: int, body: bytes, options: Mapping[int, bytes]) -> bytes:
    """A block with options, without those that are empty."""
    return _framed(kind, body + _options([each for each in options.items() if each[1]]))


def _framed(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return _FRAME.pack(kind, total) + body + total.to_bytes(4, sys.byteorder)


def _options(values: Iterable[tuple[int, bytes]]) -> bytes:
    parts = [
        _OPTION.pack(code, len(value)) + value + _PADDING[len(value) & 3] for code, value in values
    ]
    return b"".join([*parts, _OPTION.pack(0, 0)]) if parts else b""
