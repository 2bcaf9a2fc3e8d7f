"""What a frame says about itself: addresses, ports, DSCP, ECN; read where it lies."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Network

from patchbay.links.packets.frame import ETHERNET, HEADER, Frame
from patchbay.values import FlowMatch

TCP, UDP, SCTP = 6, 17, 132
_WITH_PORTS = frozenset({TCP, UDP, SCTP})
_IPV4, _IPV6, _ARP, _VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
_EXTENSIONS = frozenset({0, 43, 60, 135})
"""IPv6 extension headers of the common form: hop-by-hop, routing, destination, mobility."""
_FRAGMENT = 44
_IGMP, _ICMPV6 = 2, 58
_SIGNALS = frozenset({*range(130, 138), 143})
"""Types of ICMPv6 for multicast listeners (RFC 3810) and neighbour discovery (RFC 4861)."""
_KIND = HEADER + ETHERNET - 2
"""Offset of the EtherType of a frame without a VLAN tag."""
_SHORTEST = ETHERNET + 20
"""Bytes of a frame with a header of IPv4; one of ARP has more."""
_WORD = struct.Struct("!H")
_ECT = 0b11
"""The two bits of ECN; both set is the mark CE (RFC 3168, 5)."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The IP packet in a frame.

    Attributes:
        version: 4 or 6.
        network: offset of the IP header in the frame's buffer.
        protocol: the protocol above IP.
        transport: offset of what is above IP; None for all fragments but the first.
        source: the source's address, 4 or 16 bytes.
        destination: the destination's address.
        ports: of the source and of the destination; None where there are none.
        traffic_class: DSCP and ECN.
        end: offset of the end of the packet; a frame may be padded behind it.
    """

    version: int
    network: int
    protocol: int
    transport: int | None
    source: bytes
    destination: bytes
    ports: tuple[int, int] | None
    traffic_class: int
    end: int

    @property
    def flow(self) -> bytes:
        """What the packets of one direction of a flow have in common."""
        ports = b"" if self.ports is None else b"%d %d" % self.ports
        return self.source + self.destination + bytes((self.protocol,)) + ports


def parse(frame: Frame) -> Headers | None:
    """Return what a frame says of its IP packet; None if there is none, or not a whole header."""
    ethertype, network = _content(frame)
    limit = HEADER + frame.size
    if ethertype == _IPV4 and network + 20 <= limit:
        return _ipv4(frame.head, network, limit)
    if ethertype == _IPV6 and network + 40 <= limit:
        return _ipv6(frame.head, network, limit)
    return None


def _content(frame: Frame) -> tuple[int, int]:
    """The EtherType of what is in a frame, and where that begins: behind any VLAN tags."""
    start, limit = HEADER + ETHERNET, HEADER + frame.size
    if start > limit:
        return 0, limit
    buffer = frame.head
    (ethertype,) = _WORD.unpack_from(buffer, start - 2)
    while ethertype == _VLAN and start + 4 <= limit:
        start += 4
        (ethertype,) = _WORD.unpack_from(buffer, start - 2)
    return ethertype, start


def _ipv4(buffer: memoryview, network: int, limit: int) -> Headers | None:
    length = (buffer[network] & 0xF) * 4
    end = min(limit, network + int.from_bytes(buffer[network + 2 : network + 4]))
    if buffer[network] >> 4 != 4 or length < 20 or network + length > end:
        return None
    first = not int.from_bytes(buffer[network + 6 : network + 8]) & 0x1FFF
    protocol = buffer[network + 9]
    transport = network + length if first else None
    return Headers(
        version=4,
        network=network,
        protocol=protocol,
        transport=transport,
        source=bytes(buffer[network + 12 : network + 16]),
        destination=bytes(buffer[network + 16 : network + 20]),
        ports=_ports(buffer, protocol, transport, end),
        traffic_class=buffer[network + 1],
        end=end,
    )


def _ipv6(buffer: memoryview, network: int, limit: int) -> Headers | None:
    if buffer[network] >> 4 != 6:
        return None
    end = min(limit, network + 40 + int.from_bytes(buffer[network + 4 : network + 6]))
    protocol = buffer[network + 6]
    transport: int | None = network + 40
    position = network + 40
    while (protocol in _EXTENSIONS or protocol == _FRAGMENT) and position + 8 <= end:
        if protocol == _FRAGMENT and int.from_bytes(buffer[position + 2 : position + 4]) >> 3:
            transport = None
        step = 8 if protocol == _FRAGMENT else (buffer[position + 1] + 1) * 8
        protocol = buffer[position]
        position += step
        if transport is None:
            break
        transport = position
    return Headers(
        version=6,
        network=network,
        protocol=protocol,
        transport=transport,
        source=bytes(buffer[network + 8 : network + 24]),
        destination=bytes(buffer[network + 24 : network + 40]),
        ports=_ports(buffer, protocol, transport, end),
        traffic_class=(buffer[network] & 0xF) << 4 | buffer[network + 1] >> 4,
        end=end,
    )


def _ports(
    buffer: memoryview, protocol: int, transport: int | None, end: int
) -> tuple[int, int] | None:
    if transport is None or protocol not in _WITH_PORTS or transport + 4 > end:
        return None
    return (
        int.from_bytes(buffer[transport : transport + 2]),
        int.from_bytes(buffer[transport + 2 : transport + 4]),
    )


def matches(match: FlowMatch, headers: Headers | None) -> bool:
    """Whether a packet belongs to a flow; what is no IP packet belongs to none."""
    if headers is None:
        return False
    if match.protocol is not None and headers.protocol != match.protocol:
        return False
    if match.dscp is not None and headers.traffic_class >> 2 != match.dscp:
        return False
    if match.port is not None:
        first, last = match.port
        if headers.ports is None or not any(first <= port <= last for port in headers.ports):
            return False
    if match.address is not None:
        version = 4 if isinstance(match.address, IPv4Network) else 6
        if headers.version != version:
            return False
        mask, network = int(match.address.netmask), int(match.address.network_address)
        ends = (headers.source, headers.destination)
        return any(int.from_bytes(end) & mask == network for end in ends)
    return True


def is_signalling(frame: Frame) -> bool:
    """Whether a frame is about its link: ARP, IGMP, multicast listeners, neighbour discovery.

    Hosts send those on their own, at moments that nobody chooses.
    """
    buffer = frame.head
    if frame.size < _SHORTEST:
        return False
    if buffer[_KIND] == 0x08 and not buffer[_KIND + 1]:
        return buffer[_KIND + 11] == _IGMP  # where nearly all frames end
    ethertype, network = _content(frame)
    if ethertype == _IPV4:
        return buffer[network + 9] == _IGMP
    if ethertype != _IPV6:
        return ethertype == _ARP
    # those of multicast listeners have a hop-by-hop option before them
    if buffer[network + 6] not in (_ICMPV6, 0):
        return False
    headers = parse(frame)
    if headers is None or headers.protocol != _ICMPV6 or headers.transport is None:
        return False
    return headers.transport < headers.end and buffer[headers.transport] in _SIGNALS


def ip_length(frame: Frame) -> int:
    """Bytes of the frame behind its Ethernet header, and any VLAN tags."""
    return HEADER + frame.size - _content(frame)[1]


def mark_congestion(frame: Frame) -> bool:
    """Set the ECN mark CE; False if the packet's sender does not know it (RFC 3168, 5)."""
    headers = parse(frame)
    if headers is None or not headers.traffic_class & _ECT:
        return False
    buffer, at = frame.buffer, headers.network
    if headers.version == 6:
        buffer[at + 1] |= _ECT << 4
        return True
    before = int.from_bytes(buffer[at : at + 2])
    buffer[at + 1] |= _ECT
    after = int.from_bytes(buffer[at : at + 2])
    checksum = int.from_bytes(buffer[at + 10 : at + 12])
    # RFC 1624, equation 3
    total = (~checksum & 0xFFFF) + (~before & 0xFFFF) + after
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    buffer[at + 10 : at + 12] = (~total & 0xFFFF).to_bytes(2)
    return True
