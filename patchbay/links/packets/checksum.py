"""Checksums of packets that are changed on their way."""

from __future__ import annotations

from random import Random

from patchbay.links.packets.frame import ETHERNET, HEADER, NEEDS_CHECKSUM, OFFERED, Frame
from patchbay.links.packets.headers import TCP, UDP, Headers, parse

_ICMP, _ICMPV6 = 1, 58
_FIELDS = {TCP: 16, UDP: 6, _ICMP: 2, _ICMPV6: 2}
"""Where a checksum is in the header of its protocol."""
_IP_HEADER = {4: 20, 6: 40}
_WITH_PSEUDO_HEADER = frozenset({TCP, UDP, _ICMPV6})


def ones_complement_sum(data: bytes | memoryview) -> int:
    """The sum of 16-bit words that internet checksums are made of (RFC 1071)."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    # The words of a number, added up, are its remainder by 2**16 - 1.
    total = int.from_bytes(data)
    return (total % 0xFFFF or 0xFFFF) if total else 0


def complete(frame: Frame) -> None:
    """Write the checksum that the sender has left to its network card, if it has."""
    flags, _, _, _, start, offset = OFFERED.unpack_from(frame.buffer)
    if not flags & NEEDS_CHECKSUM:
        return
    at = HEADER + start + offset
    end = HEADER + frame.size
    headers = parse(frame)
    if headers is not None:
        end = headers.end
    # The field holds the sum of the pseudo header.
    value = ~ones_complement_sum(frame.buffer[HEADER + start : end]) & 0xFFFF
    frame.buffer[at : at + 2] = (value or 0xFFFF).to_bytes(2)
    frame.buffer[:HEADER] = bytes(HEADER)


def renew(frame: Frame, headers: Headers) -> None:
    """Make the transport checksum of a whole packet right again after a change of its bytes."""
    at = _FIELDS.get(headers.protocol)
    start = headers.transport
    if at is None or start is None or start + at + 2 > headers.end or _is_fragment(frame, headers):
        return
    buffer = frame.buffer
    if (
        headers.protocol == UDP
        and headers.version == 4
        and not any(buffer[start + at : start + at + 2])
    ):
        return  # it has none
    buffer[start + at : start + at + 2] = b"\0\0"
    covered = bytes(buffer[start : headers.end])
    if headers.protocol in _WITH_PSEUDO_HEADER:
        covered = (
            headers.source
            + headers.destination
            + len(covered).to_bytes(4)
            + headers.protocol.to_bytes(4)
            + covered
        )
    value = ~ones_complement_sum(covered) & 0xFFFF
    if value == 0 and headers.protocol == UDP:
        value = 0xFFFF
    buffer[start + at : start + at + 2] = value.to_bytes(2)


def _is_fragment(frame: Frame, headers: Headers) -> bool:
    if headers.version == 4:
        at = headers.network + 6
        return bool(int.from_bytes(frame.buffer[at : at + 2]) & 0x3FFF)
    return frame.buffer[headers.network + 6] == 44


def flip_bit(frame: Frame, random: Random, *, valid_checksum: bool) -> bool:
    """Flip a bit of a packet; False if there is none to flip.

    Args:
        frame: the packet.
        random: where the choice of the bit comes from.
        valid_checksum: whether checksums are made right, so that the receiver takes the packet
            for a good one: then only a bit of the payload is flipped. Else the bit is in what
            checksums cover, so that every receiver notices.
    """
    complete(frame)
    headers = parse(frame)
    if headers is None:
        first, end = HEADER + ETHERNET, HEADER + frame.size
    elif headers.transport is None:
        first, end = headers.network + _IP_HEADER[headers.version], headers.end
    elif valid_checksum:
        first, end = headers.transport + _header_length(frame, headers), headers.end
    else:
        first, end = headers.transport, headers.end
    position = random.random()
    bit = 1 << random.randrange(8)
    if first >= end:
        return False
    frame.buffer[first + int(position * (end - first))] ^= bit
    if valid_checksum and headers is not None:
        renew(frame, headers)
    return True


def _header_length(frame: Frame, headers: Headers) -> int:
    if headers.protocol == TCP and headers.transport is not None:
        at = headers.transport + 12
        return (frame.buffer[at] >> 4) * 4 if at < headers.end else 20
    return 8 if headers.protocol in (UDP, _ICMP, _ICMPV6) else 0
