"""What a frame says about itself: addresses, ports, DSCP, ECN; read where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from patchbay.links.packets.frame import ETHERNET, HEADER, Frame
from patchbay.values import FlowMatch

TCP, UDP, SCTP = 6, 17, 132
_WITH_PORTS = frozenset({TCP, UDP, SCTP})
_IPV4, _IPV6, _VLAN = 0x0800, 0x86DD, 0x8100
_EXTENSIONS = frozenset({0, 43, 60, 135})
"""IPv6 extension headers of the common form: hop-by-hop, routing, destination, mobility."""
_FRAGMENT = 44
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
    buffer = frame.head
    limit = HEADER + frame.size
    kind = HEADER + ETHERNET - 2
    while kind + 2 <= limit and int.from_bytes(buffer[kind : kind + 2]) == _VLAN:
        kind += 4
    network = kind + 2
    if network + 20 > limit:
        return None
    ethertype = int.from_bytes(buffer[kind:network])
    if ethertype == _IPV4:
        return _ipv4(buffer, network, limit)
    if ethertype == _IPV6 and network + 40 <= limit:
        return _ipv6(buffer, network, limit)
    return None


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


def ip_length(frame: Frame) -> int:
    """Bytes of the frame behind its Ethernet header, and any VLAN tag."""
    buffer, kind = frame.head, HEADER + ETHERNET - 2
    while kind + 4 < HEADER + frame.size and int.from_bytes(buffer[kind : kind + 2]) == _VLAN:
        kind += 4
    return HEADER + frame.size - kind - 2


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
