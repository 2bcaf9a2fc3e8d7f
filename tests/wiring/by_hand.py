"""IPv4 packets that no stack had a part in: made and read here, sent and seen at a node."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass

from small_networks import PATIENCE

from patchbay.links.packets.checksum import ones_complement_sum
from patchbay.rules.model import Chain, Rule, Table, match
from patchbay.rules.words import ChainType, Family, Field, Hook, L4Proto, Priority, Verdict
from patchbay.topology.steps import SetTables

Endpoint = tuple[str, int]
FIN, SYN, RST, ACK = 1, 2, 4, 16
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIBBHHH")
_ETHERTYPE_IP = 0x0800
_DEAF = Table(
    family=Family.IP,
    name="deaf",
    chains=(
        Chain(
            name="input",
            type=ChainType.FILTER,
            hook=Hook.INPUT,
            priority=Priority.FILTER,
            rules=(Rule((match(Field.L4PROTO, L4Proto.TCP, L4Proto.ICMP),), (Verdict.DROP,)),),
        ),
    ),
)
"""What a node is told by others' TCP and ICMP, it does not hear, and so answers nothing."""


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet without options."""

    source: str
    target: str
    protocol: int
    payload: bytes
    number: int = 0
    """Its identification, which nothing on its way changes (RFC 6864 5.3.1)."""

    def bytes(self) -> bytes:
        """The packet; its header has a checksum, as what is inside of an ICMP error needs one."""
        ends = socket.inet_aton(self.source), socket.inet_aton(self.target)
        length = _IP.size + len(self.payload)
        bare = _IP.pack(0x45, 0, length, self.number, 0, 64, self.protocol, 0, *ends)
        return bare[:10] + struct.pack("!H", checksum(bare)) + bare[12:] + self.payload


@dataclass(frozen=True)
class Segment:
    """A TCP segment without data and options (RFC 9293 3.1)."""

    flags: int
    sequence: int
    acknowledged: int = 0

    def bytes(self, source: Endpoint, target: Endpoint) -> bytes:
        fields = self.sequence & 0xFFFF_FFFF, self.acknowledged & 0xFFFF_FFFF, 0x50, self.flags
        bare = _TCP.pack(source[1], target[1], *fields, 0xFFFF, 0, 0)
        total = checksum(pseudo(source[0], target[0], len(bare)) + bare)
        return bare[:16] + struct.pack("!H", total) + bare[18:]


def checksum(data: bytes) -> int:
    """The checksum of the internet protocols (RFC 1071); 0 of data that has its own."""
    return ~ones_complement_sum(data) & 0xFFFF


def pseudo(source: str, target: str, length: int) -> bytes:
    """What the checksum of a TCP segment covers beside the segment."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    return ends + struct.pack("!HH", L4Proto.TCP, length)


def packet(data: bytes) -> Packet:
    """The packet that some bytes are."""
    fields = _IP.unpack_from(data)
    source, target = (socket.inet_ntoa(each) for each in fields[8:])
    return Packet(source, target, fields[6], data[_IP.size : fields[2]], fields[3])


def segment(carrier: Packet) -> tuple[Endpoint, Endpoint, Segment]:
    """The TCP segment in a packet, and its ends; its checksum is right."""
    data = carrier.payload
    assert checksum(pseudo(carrier.source, carrier.target, len(data)) + data) == 0
    source, target, sequence, acknowledged, _, flags, *_ = _TCP.unpack(data)
    found = Segment(flags, sequence, acknowledged)
    return (carrier.source, source), (carrier.target, target), found


class Hand:
    """Sends packets from a node as they are, and sees those that come there."""

    def __init__(self, kernel, node: str) -> None:
        kernel.apply(SetTables(node=node, tables=(_DEAF,)))
        with kernel.inside(node):
            self._sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._seeing = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETHERTYPE_IP)
            )
            self._seeing.bind(("eth0", _ETHERTYPE_IP))
        self._seen: list[Packet] = []

    def send(self, made: Packet) -> None:
        self._sending.sendto(made.bytes(), (made.target, 0))

    def seen(self) -> list[Packet]:
        """The packets of TCP and ICMP that have come since the last time."""
        self._look()
        found, self._seen = self._seen, []
        return found

    def await_packet(self, number: int) -> None:
        """Wait until a packet has come."""
        deadline = time.monotonic() + PATIENCE
        self._look()
        while number not in [each.number for each in self._seen]:
            left = deadline - time.monotonic()
            assert left > 0, f"packet {number} did not come"
            select.select([self._seeing], [], [], left)
            self._look()

    def _look(self) -> None:
        while select.select([self._seeing], [], [], 0)[0]:
            data, where = self._seeing.recvfrom(2000)
            came = packet(data)
            if where[2] != socket.PACKET_OUTGOING and came.protocol != L4Proto.UDP:
                self._seen.append(came)
