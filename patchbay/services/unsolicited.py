"""TCP SYNs that a router has dropped, and who is told so late (RFC 6092 REC-34, RFC 5382 REQ-4).

The router waits, since the host inside may be about to open the same connection from its side. If
it has by then, the SYN has done no harm and nothing is said; else its sender gets an ICMP error.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from patchbay.links.packets import headers
from patchbay.links.packets.checksum import ones_complement_sum
from patchbay.links.packets.frame import Heap
from patchbay.rules.words import L4Proto
from patchbay.services.ends import until_first
from patchbay.services.sockets import Loop
from patchbay.wiring.conntrack import ConntrackTuple
from patchbay.wiring.packet_log import PacketLog

MOST = 256
"""SYNs that wait at one router. What comes then is not answered: errors are to be few (RFC 4443
2.4 f), and a flood of SYNs fills no memory."""
_UNREACHABLE, _UNREACHABLE6 = 3, 1
_PORT, _PROHIBITED, _PROHIBITED6 = 3, 13, 1
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_IPV6_HEADER = 40
_QUOTED = 8
"""Bytes of its transport header that an error is about at least (RFC 792)."""


@dataclass(frozen=True, slots=True)
class Syn:
    """A SYN that was dropped.

    Attributes:
        flow: from where to where.
        packet: the beginning of it, from its IP header on.
    """

    flow: ConntrackTuple
    packet: bytes

    @property
    def version(self) -> int:
        """Of IP."""
        return self.flow.source.version


def parse(packet: bytes) -> Syn | None:
    """The SYN that a packet is; None if its TCP header does not follow its IP header."""
    version = packet[0] >> 4 if packet else 0
    frame = Heap().frame(bytes(12) + _ETHERTYPES.get(version, bytes(2)) + packet)
    found = headers.parse(frame)
    if found is None or found.protocol != L4Proto.TCP or found.ports is None:
        return None
    behind = found.transport is None or found.transport + _QUOTED > found.end
    extended = version == 6 and found.transport != found.network + _IPV6_HEADER
    if behind or extended:
        return None
    source, destination = found.ports
    flow = ConntrackTuple(
        source=ip_address(found.source),
        source_port=source,
        destination=ip_address(found.destination),
        destination_port=destination,
    )
    return Syn(flow, packet)


def error_about(syn: Syn, *, translated: bool) -> bytes:
    """The ICMP error that answers a SYN; the kernel does the checksum of ICMPv6.

    Args:
        syn: what is answered.
        translated: whether NAT has dropped it, for want of a mapping; else it was a firewall.
    """
    if syn.version == 6:
        return struct.pack("!BBHI", _UNREACHABLE6, _PROHIBITED6, 0, 0) + syn.packet
    code = _PORT if translated else _PROHIBITED
    body = struct.pack("!BBHI", _UNREACHABLE, code, 0, 0) + syn.packet
    return body[:2] + (~ones_complement_sum(body) & 0xFFFF).to_bytes(2) + body[4:]


class Unsolicited:
    """The SYNs that a router has dropped, and still may answer.

    Args:
        loop: what watches the log.
        log: where they are.
        delay: tells for a version of IP the seconds until they are answered, or None.
        answer: answers one, unless its flow is there by now.
    """

    def __init__(
        self,
        loop: Loop,
        log: PacketLog,
        delay: Callable[[int], int | None],
        answer: Callable[[Syn], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._delay = delay
        self._answer = answer
        self._waiting: dict[ConntrackTuple, tuple[float, Syn]] = {}
        self._full = False
        loop.watch(log.fileno(), self._receive)

    def close(self) -> None:
        """Listen no longer, and answer none of those that wait."""
        if not self._full:
            self._loop.forget(self._log.fileno())
        self._log.close()

    def due(self) -> float | None:
        """Seconds until the next one is answered; None if none waits."""
        return until_first(end for end, _ in self._waiting.values())

    def expire(self) -> None:
        """Answer those that have waited long enough."""
        if not self._waiting:
            return
        now = time.monotonic()
        over = [syn for end, syn in self._waiting.values() if end <= now]
        for syn in over:
            del self._waiting[syn.flow]
            self._answer(syn)
        if over and self._full:
            self._full = False
            self._loop.watch(self._log.fileno(), self._receive)

    def _receive(self) -> None:
        now = time.monotonic()
        for syn in self._arrived():
            seconds = self._delay(syn.version)
            if seconds is None or syn.flow in self._waiting:  # one that is sent again waits already
                continue
            self._waiting[syn.flow] = (now + seconds, syn)
            if len(self._waiting) >= MOST:
                # Nobody reads the log meanwhile: what does not fit into it costs next to nothing.
                self._full = True
                self._loop.forget(self._log.fileno())
                return

    def _arrived(self) -> Iterator[Syn]:
        for packet in self._log.read():
            syn = parse(packet)
            if syn is not None:
                yield syn


def send(error: bytes, about: Syn) -> None:
    """Send an ICMP error to who sent a SYN, from the namespace that the process is in."""
    if about.version == 6:
        kind = socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6
    else:
        kind = socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
    with socket.socket(*kind) as made, contextlib.suppress(OSError):  # no way leads there
        made.sendto(error, (str(about.flow.source), 0))
