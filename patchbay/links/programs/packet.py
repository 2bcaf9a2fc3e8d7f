"""A packet as a packet program sees it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from math import isfinite
from random import Random
from typing import TypeAlias

from patchbay.links.packets.delay import MILLISECOND
from patchbay.links.programs import answers
from patchbay.links.programs.dissection import (
    Dissection,
    EthernetHeader,
    IcmpHeader,
    IpHeader,
    TcpHeader,
    UdpHeader,
)
from patchbay.links.programs.quic import QuicHeader, QuicType
from patchbay.links.programs.rewriting import Field, changed, checked
from patchbay.links.programs.tls import ClientHello
from patchbay.values.parsing import MS_MAX, is_int

Address: TypeAlias = IPv4Address | IPv6Address
Outcome: TypeAlias = tuple[int, bytes | None]
"""A packet that goes on: nanoseconds that it is delayed, and its bytes, None if unchanged."""


class Packet:
    """A packet on a link, and what a program wants to become of it: nothing, and it passes.

    What is in it is read when it is asked for. Where it has no such thing, or too few bytes, the
    answer is None, or nothing; no question raises an error.

    Attributes:
        number: which one it is of those that the program has seen; the first is 1.
        flow_number: the same within its flow: packets of the same source, destination, protocol
            and ports. 0 for what is no IP packet.
        time_ms: when it was sent, in milliseconds since the program was set.
        link: the link and the direction, such as `laptop/eth0/up`.
        random: a source of random choices, which follows from the lab's seed and the link.
    """

    def __init__(
        self,
        data: bytes,
        *,
        number: int = 1,
        flow_number: int = 0,
        time_ms: float = 0.0,
        link: str = "",
        random: Random | None = None,
    ) -> None:
        """A packet with these bytes.

        Args:
            data: an Ethernet frame, without its checksum.
            number: see the attributes, as for all that follow.
            flow_number: likewise.
            time_ms: likewise.
            link: likewise.
            random: likewise; one that always says the same if not given.

        Raises:
            ValueError: these are too few or too many bytes for a frame.
        """
        self.number = number
        self.flow_number = flow_number
        self.time_ms = time_ms
        self.link = link
        self.random = Random(0) if random is None else random
        self._read = Dissection(checked(data))
        self._original = self._read.data
        self._gone = False
        self._dropped = False
        self._delay = 0
        self._copies = 0
        self._injected: list[Outcome] = []
        self._sent_back: list[tuple[int, bytes]] = []

    def __repr__(self) -> str:
        ends = f" {self.source} -> {self.destination}" if self.ip is not None else ""
        return f"<Packet {self.number}{ends}, {len(self.data)} bytes>"

    # -- what is in it

    @property
    def data(self) -> bytes:
        """The whole Ethernet frame, without its checksum."""
        return self._read.data

    @property
    def ethernet(self) -> EthernetHeader | None:
        """The header of the frame."""
        return self._read.ethernet

    @property
    def ip(self) -> IpHeader | None:
        """The header of IPv4 or IPv6; None for others, such as ARP."""
        return self._read.ip

    @property
    def tcp(self) -> TcpHeader | None:
        """The header of a TCP segment."""
        return self._read.tcp

    @property
    def udp(self) -> UdpHeader | None:
        """The header of a UDP datagram."""
        return self._read.udp

    @property
    def icmp(self) -> IcmpHeader | None:
        """The header of an ICMP or ICMPv6 message."""
        return self._read.icmp

    @property
    def source(self) -> Address | None:
        """The IP address that it comes from."""
        return None if self.ip is None else self.ip.source

    @property
    def destination(self) -> Address | None:
        """The IP address that it goes to."""
        return None if self.ip is None else self.ip.destination

    @property
    def source_port(self) -> int | None:
        """The port that it comes from, of TCP, UDP or SCTP."""
        headers = self._read.headers
        return None if headers is None or headers.ports is None else headers.ports[0]

    @property
    def destination_port(self) -> int | None:
        """The port that it goes to."""
        headers = self._read.headers
        return None if headers is None or headers.ports is None else headers.ports[1]

    @property
    def flow(self) -> tuple[int, Address, int | None, Address, int | None] | None:
        """Protocol, source, its port, destination, its port: a key for one's own tables."""
        ip = self.ip
        if ip is None:
            return None
        return ip.protocol, ip.source, self.source_port, ip.destination, self.destination_port

    @property
    def payload(self) -> bytes:
        """What is behind the header of TCP, UDP or ICMP; of other IP packets, behind that of IP."""
        return self._read.payload

    @property
    def quic(self) -> tuple[QuicHeader, ...]:
        """The long headers of the QUIC packets in a datagram, which may be several."""
        return self._read.quic

    @property
    def quic_types(self) -> frozenset[QuicType]:
        """The types of these packets: `"initial" in packet.quic_types`."""
        return frozenset(header.type for header in self.quic)

    @property
    def tls_hello(self) -> ClientHello | None:
        """The ClientHello of TLS that begins in a TCP segment, as far as it is in there."""
        return self._read.tls_hello

    # -- what becomes of it

    def drop(self) -> None:
        """Lose it. What was injected goes on."""
        self._decide()
        self._dropped = True

    def delay(self, milliseconds: float) -> None:
        """Have it take longer than the link's latency; packets behind it overtake it.

        Raises:
            ValueError: this is no number of milliseconds from 0 to 1e9.
        """
        self._decide()
        self._delay += _nanoseconds(milliseconds)

    def duplicate(self, copies: int = 1) -> None:
        """Have so many copies of it arrive beside it.

        Raises:
            ValueError: this is no whole number from 0 on.
        """
        self._decide()
        if not is_int(copies) or copies < 0:
            raise ValueError(f"{copies!r} is no number of copies")
        self._copies += copies

    def change(
        self,
        *,
        payload: bytes | None = None,
        source: Address | str | None = None,
        destination: Address | str | None = None,
        source_port: int | None = None,
        destination_port: int | None = None,
        ttl: int | None = None,
        dscp: int | None = None,
        ecn: int | None = None,
        sequence: int | None = None,
        acknowledgment: int | None = None,
        flags: int | None = None,
        window: int | None = None,
    ) -> None:
        """Change fields of an IP packet; lengths and checksums are made right.

        Args:
            payload: what is behind the header of TCP, UDP or ICMP; of others, that of IP.
            source: an address of the version that it is of.
            destination: likewise.
            source_port: of TCP, UDP or SCTP (whose checksum is left as it is).
            destination_port: likewise.
            ttl: routers that it may still pass; the hop limit of IPv6.
            dscp: codepoint of differentiated services, 0 to 63.
            ecn: the two bits of ECN, 0 to 3.
            sequence: of a TCP segment, as all that follow: the number of its first byte.
            acknowledgment: the number of the byte that is expected next.
            flags: the eight bits from CWR to FIN, such as 4 for a RST.
            window: bytes that the sender takes, not scaled.

        Raises:
            ValueError: it has no such field, or the field cannot be this.
        """
        self._decide()
        given: dict[str, Field | None] = {
            "payload": payload,
            "source": source,
            "destination": destination,
            "source_port": source_port,
            "destination_port": destination_port,
            "ttl": ttl,
            "dscp": dscp,
            "ecn": ecn,
            "sequence": sequence,
            "acknowledgment": acknowledgment,
            "flags": flags,
            "window": window,
        }
        fields = {name: value for name, value in given.items() if value is not None}
        self._read = Dissection(changed(self._read, fields))

    def replace(self, data: bytes) -> None:
        """Have another frame go on in its place, as it is: nothing is made right.

        Raises:
            ValueError: these are too few or too many bytes for a frame.
        """
        self._decide()
        self._read = Dissection(checked(data))

    def inject(self, packet: Packet | bytes, *, delay_ms: float = 0.0) -> None:
        """Have one more packet go on behind it, in the same direction.

        Args:
            packet: a `copy()` that was changed, one kept from before, or a whole frame.
            delay_ms: how much longer than the link's latency it takes.

        Raises:
            ValueError: these are too few or too many bytes for a frame, or this is no delay.
        """
        self._decide()
        data = packet.data if isinstance(packet, Packet) else checked(packet)
        self._injected.append((_nanoseconds(delay_ms), data))

    def inject_back(self, packet: Packet | bytes, *, delay_ms: float = 0.0) -> None:
        """Send a packet back to where this one comes from, as if the link's other end had sent it.

        It comes at the time when this one was sent, and meets what packets in the other direction
        meet, but for their drop list and their program.

        Args:
            packet: `reversed()`, `tcp_reset()` or `too_big()` of this one, or a whole frame.
            delay_ms: how much longer than the link's latency it takes.

        Raises:
            ValueError: these are too few or too many bytes for a frame, or this is no delay.
        """
        self._decide()
        data = packet.data if isinstance(packet, Packet) else checked(packet)
        self._sent_back.append((_nanoseconds(delay_ms), data))

    # -- other packets

    def copy(self) -> Packet:
        """A packet with the same bytes, to change and to inject."""
        return self._like(self.data)

    def reversed(self) -> Packet:
        """A packet with the same payload that goes the other way, to change and to send back.

        Its hardware addresses, IP addresses and ports are exchanged, and its TTL is 64.
        """
        return self._like(answers.reversed_frame(self._read))

    def tcp_reset(self) -> Packet:
        """The RST with which the receiver of a TCP segment would refuse it (RFC 9293, 3.5.2).

        Raises:
            ValueError: this is no TCP segment.
        """
        return self._like(answers.tcp_reset(self._read))

    def too_big(self, mtu: int) -> Packet:
        """The ICMP message of a router that packets of this size do not fit through.

        That is "fragmentation needed" for IPv4 (RFC 1191) and "packet too big" for IPv6 (RFC 4443,
        3.2). It comes from the address that this packet goes to.

        Args:
            mtu: bytes of the longest IP packet that fits.

        Raises:
            ValueError: this is no IP packet, or the MTU is none.
        """
        return self._like(answers.too_big(self._read, mtu))

    def _like(self, data: bytes) -> Packet:
        return Packet(
            data,
            number=self.number,
            flow_number=self.flow_number,
            time_ms=self.time_ms,
            link=self.link,
            random=self.random,
        )

    @property
    def sent_back(self) -> list[tuple[int, bytes]]:
        """What goes back: nanoseconds that each is delayed, and its bytes."""
        return self._sent_back

    def settle(self) -> list[Outcome]:
        """What goes on, in order; from now on nothing can be decided about it any more."""
        self._gone = True
        own: list[Outcome] = []
        if not self._dropped:
            data = None if self.data == self._original else self.data
            own = [(self._delay, data)] * (1 + self._copies)
        return own + self._injected

    def _decide(self) -> None:
        if self._gone:
            raise ValueError(
                "this packet has gone: say what becomes of it before the program returns;"
                " one that was dropped can be injected later"
            )


def _nanoseconds(milliseconds: float) -> int:
    if not isfinite(milliseconds) or not 0 <= milliseconds <= MS_MAX:
        raise ValueError(f"{milliseconds!r} is no number of milliseconds from 0 to {MS_MAX:g}")
    return round(milliseconds * MILLISECOND)
