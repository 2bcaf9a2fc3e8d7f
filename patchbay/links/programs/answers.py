"""Packets that answer another one, made of nothing but that: what a program sends back."""

from __future__ import annotations

from patchbay.links.packets.checksum import renew
from patchbay.links.packets.frame import ETHERNET, HEADER
from patchbay.links.packets.headers import TCP
from patchbay.links.programs.dissection import ICMP, ICMPV6, Dissection
from patchbay.links.programs.rewriting import renew_ip_checksum

_TTL = 64
"""Routers that an answer may pass (IANA's recommended default)."""
_RST, _ACK = 4, 16
_SYN_OR_FIN = 3
_IP_HEADER = {4: 20, 6: 40}
_LONGEST_ERROR = {4: 576, 6: 1280}
"""Bytes of an IP packet with an ICMP error (RFC 1812, 4.3.2.3; RFC 4443, 3.2)."""
_LEAST_MTU = {4: 68, 6: 1280}
"""Bytes that every link takes (RFC 791, 3.2; RFC 8200, 5)."""
_DONT_FRAGMENT = 0x4000
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


def reversed_frame(of: Dissection) -> bytes:
    """The same frame with its hardware addresses, IP addresses and ports exchanged."""
    data = bytearray(of.data)
    _exchange(data, 0, 6)
    headers = of.headers
    if headers is None:
        return bytes(data)
    network = headers.network - HEADER
    # Sums of 16-bit words, as checksums are, do not care for the order of these.
    if headers.version == 4:
        _exchange(data, network + 12, 4)
        data[network + 8] = _TTL
        renew_ip_checksum(data, headers)
    else:
        _exchange(data, network + 8, 16)
        data[network + 7] = _TTL
    if headers.ports is not None and headers.transport is not None:
        _exchange(data, headers.transport - HEADER, 2)
    return bytes(data)


def _exchange(data: bytearray, at: int, size: int) -> None:
    """Exchange two fields of a size that follow each other."""
    middle, end = at + size, at + 2 * size
    data[at:end] = data[middle:end] + data[at:middle]


def tcp_reset(of: Dissection) -> bytes:
    """The RST with which the receiver of a TCP segment would refuse it (RFC 9293, 3.5.2).

    Raises:
        ValueError: this is no TCP segment.
    """
    segment = of.tcp
    if segment is None:
        raise ValueError("this is no TCP segment, so no RST answers it")
    if segment.ack:
        sequence, acknowledgment, flags = segment.acknowledgment, 0, _RST
    else:
        length = len(of.payload) + (segment.flags & _SYN_OR_FIN).bit_count()
        sequence, acknowledgment = 0, (segment.sequence + length) % 2**32
        flags = _RST | _ACK
    ports = segment.destination_port.to_bytes(2) + segment.source_port.to_bytes(2)
    numbers = sequence.to_bytes(4) + acknowledgment.to_bytes(4)
    return _answer(of, TCP, ports + numbers + bytes([5 << 4, flags]) + bytes(6))


def too_big(of: Dissection, mtu: int) -> bytes:
    """The ICMP error of a router through which a packet does not fit: see `Packet.too_big`.

    Raises:
        ValueError: this is no IP packet, or the MTU is none.
    """
    headers = of.headers
    if headers is None:
        raise ValueError("this is no IP packet, so no ICMP message answers it")
    version, least = headers.version, _LEAST_MTU[headers.version]
    given: object = mtu
    if not isinstance(given, int) or not least <= mtu <= 0xFFFF:
        raise ValueError(f"{mtu!r} is no MTU of IPv{version}: {least} to 65535 bytes")
    if version == 4:
        kind, code, protocol = 3, 4, ICMP
    else:
        kind, code, protocol = 2, 0, ICMPV6
    room = _LONGEST_ERROR[version] - _IP_HEADER[version] - 8
    packet = of.data[headers.network - HEADER : headers.end - HEADER][:room]
    return _answer(of, protocol, bytes([kind, code, 0, 0]) + mtu.to_bytes(4) + packet)


def _answer(of: Dissection, protocol: int, content: bytes) -> bytes:
    """A packet with this content to where another one comes from; its checksums are right."""
    headers = of.headers
    assert headers is not None, "it is an IP packet"
    frame = bytearray(of.data[:ETHERNET])
    frame[12:14] = _ETHERTYPES[headers.version]
    _exchange(frame, 0, 6)
    if headers.version == 4:
        frame += bytes([0x45, 0]) + (20 + len(content)).to_bytes(2)
        frame += bytes(2) + _DONT_FRAGMENT.to_bytes(2) + bytes([_TTL, protocol, 0, 0])
    else:
        frame += bytes([0x60, 0, 0, 0]) + len(content).to_bytes(2) + bytes([protocol, _TTL])
    frame += headers.destination + headers.source + content
    made = Dissection(bytes(frame))
    whole, found = made.frame, made.headers
    assert found is not None, "its headers were written right now"
    if found.version == 4:
        renew_ip_checksum(frame, found)
        whole.data[:] = frame
    renew(whole, found)
    return bytes(whole.data)
