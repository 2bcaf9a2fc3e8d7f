"""The routers on the way to a target: `traceroute` runs on a node."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from patchbay.meter.errors import ask_for_complaints, next_complaint

FIRST_PORT = 33434
"""Of the ports that nobody is expected to listen on, as every traceroute has it."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A router on the way, or its end.

    Attributes:
        number: how many routers a packet may cross that ends here, from 1.
        address: who answered; None if nobody did.
        rtts_ms: the round-trip time of each probe that was answered, in milliseconds.
    """

    number: int
    address: IPv4Address | IPv6Address | None
    rtts_ms: tuple[float, ...]

    def __str__(self) -> str:
        times = "  ".join(f"{each:.3f} ms" for each in self.rtts_ms)
        return (
            f"{self.number:2}  {self.address}  {times}" if self.address else f"{self.number:2}  *"
        )


@dataclass(frozen=True, slots=True)
class TracerouteResult:
    """The way to a target, as far as it was found. True if it was found to its end.

    Attributes:
        target: the address that was asked for.
        hops: each router on the way, and the target.
        reached: whether the target answered.
        error: what a router said that knows no way on, or the kernel; None if nobody did.
    """

    target: str
    hops: tuple[Hop, ...]
    reached: bool
    error: str | None = None

    def __bool__(self) -> bool:
        return self.reached

    def __str__(self) -> str:
        return "\n".join(map(str, self.hops))

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address | None, ...]:
        """Who is on the way, in order; None for whoever keeps silent."""
        return tuple(hop.address for hop in self.hops)


def traceroute(target: str, max_hops: int, probes: int, timeout: float) -> TracerouteResult:
    """Find the way to a target from this process's network; see `LabNode.traceroute`."""
    family, _, _, _, found = socket.getaddrinfo(target, None, type=socket.SOCK_DGRAM)[0]
    host = str(found[0])
    hops: list[Hop] = []
    error: str | None = None
    for number in range(1, max_hops + 1):
        answers = [
            _probe(family, host, FIRST_PORT + number - 1, number, timeout) for _ in range(probes)
        ]
        heard = [each for each in answers if each is not None]
        who = next((each.address for each in heard if each.address is not None), None)
        hops.append(Hop(number, who, tuple(each.rtt_ms for each in heard if each.address)))
        if any(each.reached for each in heard):
            return TracerouteResult(host, tuple(hops), True)
        error = next((each.error for each in heard if each.error), None)
        if error is not None:
            break
    return TracerouteResult(host, tuple(hops), False, error)


@dataclass(frozen=True, slots=True)
class _Answer:
    address: IPv4Address | IPv6Address | None
    rtt_ms: float
    reached: bool = False
    error: str | None = None


def _probe(
    family: socket.AddressFamily, host: str, port: int, hops: int, timeout: float
) -> _Answer | None:
    """Send one datagram that may cross so many routers; what came of it, None for nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        ask_for_complaints(sock)
        poll = select.poll()
        poll.register(sock, 0)  # errors are always told
        begin = time.monotonic()
        try:
            sock.connect((host, port))
            sock.send(bytes(32))
        except OSError as refused:
            return _Answer(None, 0.0, error=refused.strerror)
        poll.poll(timeout * 1000)
        rtt = (time.monotonic() - begin) * 1000
        complaint = next_complaint(sock)
    if complaint is None:
        return None
    if complaint.router is None:
        return _Answer(None, rtt, error=_words(complaint.number))
    address = ip_address(complaint.router)
    if complaint.number == errno.ECONNREFUSED:
        return _Answer(address, rtt, reached=True)
    return _Answer(address, rtt, error=None if complaint.expired else _words(complaint.number))


def _words(number: int) -> str:
    return os.strerror(number)
