"""What a frame says of itself, layer by layer: each is read when somebody asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

from patchbay.links.packets.frame import ETHERNET, HEADER, Frame
from patchbay.links.packets.headers import TCP, UDP, Headers, parse
from patchbay.links.programs.quic import QuicHeader, long_headers
from patchbay.links.programs.tls import ClientHello, client_hello

ICMP, ICMPV6 = 1, 58
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16


@dataclass(frozen=True, slots=True)
class EthernetHeader:
    """The header of an Ethernet frame.

    Attributes:
        destination: hardware address that it goes to, such as `02:00:00:00:00:01`.
        source: hardware address that it comes from.
        type: EtherType of what is in it (IANA): 0x0800 for IPv4, 0x0806 for ARP, 0x86dd for IPv6.
    """

    destination: str
    source: str
    type: int


@dataclass(frozen=True, slots=True)
class IpHeader:
    """The header of an IP packet.

    Attributes:
        version: 4 or 6.
        source: where it comes from.
        destination: where it goes to.
        protocol: number of the protocol in it, after all extension headers (IANA).
        ttl: routers that it may still pass; the hop limit of IPv6.
        dscp: codepoint of differentiated services (RFC 2474).
        ecn: the two bits of explicit congestion notification (RFC 3168).
        fragment: whether it is a part of a packet.
    """

    version: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    ttl: int
    dscp: int
    ecn: int
    fragment: bool


@dataclass(frozen=True, slots=True)
class TcpHeader:
    """The header of a TCP segment (RFC 9293).

    Attributes:
        source_port: where it comes from.
        destination_port: where it goes to.
        sequence: number of the first byte.
        acknowledgment: number of the byte that is expected next, if `ack` is set.
        flags: the eight bits from CWR to FIN.
        window: bytes that the sender takes, not scaled.
    """

    source_port: int
    destination_port: int
    sequence: int
    acknowledgment: int
    flags: int
    window: int

    @property
    def fin(self) -> bool:
        """Whether the sender has no more to say."""
        return bool(self.flags & _FIN)

    @property
    def syn(self) -> bool:
        """Whether it begins a connection."""
        return bool(self.flags & _SYN)

    @property
    def rst(self) -> bool:
        """Whether it breaks a connection off."""
        return bool(self.flags & _RST)

    @property
    def psh(self) -> bool:
        """Whether the data in it shall be handed over at once."""
        return bool(self.flags & _PSH)

    @property
    def ack(self) -> bool:
        """Whether it acknowledges data."""
        return bool(self.flags & _ACK)


@dataclass(frozen=True, slots=True)
class UdpHeader:
    """The header of a UDP datagram (RFC 768).

    Attributes:
        source_port: where it comes from.
        destination_port: where it goes to.
        length: bytes of header and payload, as it says.
    """

    source_port: int
    destination_port: int
    length: int


@dataclass(frozen=True, slots=True)
class IcmpHeader:
    """The header of an ICMP message (RFC 792, RFC 4443).

    Attributes:
        type: what it is: 8 and 0 are echo request and reply, 128 and 129 those of ICMPv6.
        code: which of its kind.
        rest: the four bytes that follow the checksum; the identifier and number of an echo.
    """

    type: int
    code: int
    rest: bytes


class Dissection:
    """One frame, read lazily. Whatever its bytes are, no question raises an error.

    Attributes:
        data: the bytes of the frame, from its Ethernet header on.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def frame(self) -> Frame:
        """The same bytes as the link engine has them, in a buffer of its own."""
        return Frame(memoryview(bytearray(HEADER) + self.data), len(self.data))

    @cached_property
    def headers(self) -> Headers | None:
        """Where what is; None for what is no IP packet."""
        return parse(self.frame)

    @cached_property
    def ethernet(self) -> EthernetHeader | None:
        """The Ethernet header; None if it is not whole."""
        if len(self.data) < ETHERNET:
            return None
        return EthernetHeader(
            self.data[:6].hex(":"), self.data[6:12].hex(":"), int.from_bytes(self.data[12:14])
        )

    @cached_property
    def ip(self) -> IpHeader | None:
        """The IP header; None for what is no IP packet."""
        headers = self.headers
        if headers is None:
            return None
        kind = IPv4Address if headers.version == 4 else IPv6Address
        return IpHeader(
            headers.version,
            kind(headers.source),
            kind(headers.destination),
            headers.protocol,
            self._bytes(headers.network)[8 if headers.version == 4 else 7],
            headers.traffic_class >> 2,
            headers.traffic_class & 3,
            self.is_fragment,
        )

    @cached_property
    def is_fragment(self) -> bool:
        """Whether it is a part of an IP packet."""
        headers = self.headers
        if headers is None:
            return False
        network = self._bytes(headers.network)
        if headers.version == 4:
            return bool(int.from_bytes(network[6:8]) & 0x3FFF)
        return headers.transport is None or _has_fragment_header(network)

    @cached_property
    def tcp(self) -> TcpHeader | None:
        """The TCP header; None for what is no TCP, and if it is not whole."""
        segment = self._transport(TCP, 20)
        if segment is None:
            return None
        return TcpHeader(
            int.from_bytes(segment[:2]),
            int.from_bytes(segment[2:4]),
            int.from_bytes(segment[4:8]),
            int.from_bytes(segment[8:12]),
            segment[13],
            int.from_bytes(segment[14:16]),
        )

    @cached_property
    def udp(self) -> UdpHeader | None:
        """The UDP header; None for what is no UDP, and if it is not whole."""
        datagram = self._transport(UDP, 8)
        if datagram is None:
            return None
        ports = int.from_bytes(datagram[:2]), int.from_bytes(datagram[2:4])
        return UdpHeader(*ports, int.from_bytes(datagram[4:6]))

    @cached_property
    def icmp(self) -> IcmpHeader | None:
        """The header of ICMP or ICMPv6; None for what is neither, and if it is not whole."""
        headers = self.headers
        if headers is None:
            return None
        message = self._transport(ICMP if headers.version == 4 else ICMPV6, 8)
        return None if message is None else IcmpHeader(message[0], message[1], message[4:8])

    @cached_property
    def payload_at(self) -> int | None:
        """Where the payload begins, from the first byte of the frame; None where there is none."""
        headers = self.headers
        if headers is None or headers.transport is None:
            return None
        start = headers.transport
        if self.tcp is not None:
            start += max(20, (self._bytes(start)[12] >> 4) * 4)
        elif self.udp is not None or self.icmp is not None:
            start += 8
        elif headers.protocol in (TCP, UDP, ICMP, ICMPV6):
            return None  # its header is not whole
        return start - HEADER if start <= headers.end else None

    @cached_property
    def payload(self) -> bytes:
        """What is in the TCP segment, the datagram, the ICMP message; else in the IP packet."""
        start, headers = self.payload_at, self.headers
        if start is None or headers is None:
            return b""
        return self.data[start : headers.end - HEADER]

    @cached_property
    def quic(self) -> tuple[QuicHeader, ...]:
        """The long headers of the QUIC packets in a datagram, in order."""
        return long_headers(self.payload) if self.udp is not None else ()

    @cached_property
    def tls_hello(self) -> ClientHello | None:
        """The ClientHello at the beginning of a TCP segment."""
        return client_hello(self.payload) if self.tcp is not None else None

    def _bytes(self, at: int) -> bytes:
        """The bytes from an offset on that is one of the buffer of `frame`."""
        return self.data[at - HEADER :]

    def _transport(self, protocol: int, least: int) -> bytes | None:
        headers = self.headers
        if headers is None or headers.protocol != protocol or headers.transport is None:
            return None
        if headers.transport + least > headers.end:
            return None
        return self.data[headers.transport - HEADER : headers.end - HEADER]


def _has_fragment_header(packet: bytes) -> bool:
    """Whether there is one among the extension headers of an IPv6 packet."""
    kind, at = packet[6], 40
    while kind in (0, 43, 60, 135) and at + 8 <= len(packet):
        kind, at = packet[at], at + (packet[at + 1] + 1) * 8
    return kind == 44
