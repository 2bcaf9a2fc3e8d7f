"""Traffic that tells what it met, sent and taken by one thread.

A sender goes on when its packets have arrived, so that a busy machine makes everything slower and
loses nothing. That a machine is late is never taken for the link's doing: what real time can prove
is that packets took at least so long, and what became of them.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Thread

PATIENCE = 60.0
"""Seconds without any packet after which something is broken."""

HEADERS = 14 + 20 + 8
"""Bytes of a frame of Ethernet, IPv4 and UDP before its payload."""

_HEAD = struct.Struct("=Qq")
"""number, time of sending in nanoseconds; all nodes of a lab have one clock"""
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("=qq")
_BUFFER = 1 << 22
_TRAILER = 0.02
"""Seconds between two of the packets that are sent until one of them shows that all is over."""


@dataclass
class Crossing:
    """What became of datagrams; all lists are in the order of arrival.

    Attributes:
        sent: when each was sent, by its number, in nanoseconds.
        numbers: those that arrived.
        times: when, in nanoseconds.
        intact: whether the payload was as it was sent.
    """

    sent: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    intact: list[bool] = field(default_factory=list)

    @property
    def delays(self) -> list[float]:
        """Milliseconds on the way."""
        pairs = zip(self.numbers, self.times, strict=True)
        return [(time - self.sent[number]) / 1e6 for number, time in pairs]

    @property
    def lost(self) -> list[int]:
        """The numbers that did not arrive."""
        there = set(self.numbers)
        return [number for number in range(len(self.sent)) if number not in there]

    @property
    def in_order(self) -> bool:
        """Whether all arrived, each once, in the order in which they were sent."""
        return self.numbers == list(range(len(self.sent)))

    @property
    def took(self) -> float:
        """Milliseconds from the first that was sent to the last that arrived."""
        return (self.times[-1] - self.sent[0]) / 1e6

    @property
    def gaps(self) -> list[float]:
        """Milliseconds between two arrivals."""
        return [(b - a) / 1e6 for a, b in pairwise(self.times)]


class Way:
    """A socket on either of two nodes."""

    def __init__(self, source, target) -> None:
        self._out = source.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in = target.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.bind((str(target.ip), 0))
        self._out.connect(self._in.getsockname())
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._in.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def close(self) -> None:
        self._out.close()
        self._in.close()

    def send(self, number: int, size: int) -> int:
        """Send a datagram; return when."""
        moment = time.time_ns()
        self._out.send(_HEAD.pack(number, moment) + bytes(size - _HEAD.size))
        return moment

    def take(self, wait: float) -> Iterator[tuple[int, int, bool]]:
        """Number, time and state of what has arrived, after the first one or so many seconds."""
        if not select.select([self._in], [], [], wait)[0]:
            return
        while True:
            try:
                data, ancillary, _, _ = self._in.recvmsg(65535, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            (told,) = (value for _, kind, value in ancillary if kind == _SO_TIMESTAMPNS)
            seconds, nanoseconds = _TIME.unpack(told)
            number, _ = _HEAD.unpack_from(data)
            yield number, seconds * 1_000_000_000 + nanoseconds, not any(data[_HEAD.size :])


@contextmanager
def way(source, target) -> Iterator[Way]:
    made = Way(source, target)
    try:
        yield made
    finally:
        made.close()


def cross(
    source,
    target,
    count: int,
    *,
    size: int = 100,
    gap: float = 0.0,
    window: int = 64,
    some_are_lost: bool = False,
    more: Callable[[], bool] = lambda: False,
) -> Crossing:
    """Send datagrams from a node to another, and see what becomes of them.

    Args:
        source: the node that sends.
        target: the node that gets them.
        count: how many.
        size: bytes of payload.
        gap: seconds from one to the next at least.
        window: how far a packet that is sent may be ahead of the last one that arrived; more than
            a link ever loses in a row.
        some_are_lost: whether not all arrive. Then more are sent in the end until one of those is
            there, which are not in the result: a link that keeps packets in order has delivered by
            then what it will.
        more: asked when all were sent; if it says so there is another.
    """
    crossing = Crossing()
    there: set[int] = set()
    highest, next_at = -1, time.monotonic()
    with way(source, target) as line:
        while highest < count if some_are_lost else len(there) < count:
            number, now = len(crossing.sent), time.monotonic()
            wait = PATIENCE
            if number == count and more():
                count += 1
            if number < count and number - highest <= window:
                wait = next_at - now
                if wait <= 0:
                    crossing.sent.append(line.send(number, size))
                    next_at = now + gap
                    continue
            elif number == count and some_are_lost:
                line.send(count, size)
                wait = _TRAILER
            arrived = list(line.take(wait))
            assert arrived or wait < PATIENCE, "nothing arrives"
            for each, moment, intact in arrived:
                highest = max(highest, each)
                if each < count:
                    there.add(each)
                    crossing.numbers.append(each)
                    crossing.times.append(moment)
                    crossing.intact.append(intact)
    return crossing


def frame_ms(size: int, kbit: float, overhead: int = 0) -> float:
    """Milliseconds that a datagram with so many bytes of payload takes at a rate."""
    return (size + HEADERS + overhead) * 8 / kbit


@dataclass(frozen=True)
class Stream:
    """What came of a TCP stream: how many bytes were there when, in seconds from its begin."""

    data: bytes
    progress: list[tuple[float, int]]

    @property
    def took(self) -> float:
        """Seconds from the first byte that was sent to the last that arrived."""
        return self.progress[-1][0]

    @property
    def goodput(self) -> float:
        """Kilobits per second, once a tenth has arrived."""
        end, size = self.progress[-1]
        begin, before = next(each for each in self.progress if each[1] > size / 10)
        return (size - before) * 8 / 1000 / (end - begin)


def stream(source, target, data: bytes, family: int = socket.AF_INET) -> Stream:
    """Send bytes over TCP from a node to another; they are sent from a second thread."""
    address = target.ip if family == socket.AF_INET else target.ip6
    with (
        target.socket(family, socket.SOCK_STREAM) as listener,
        source.socket(family, socket.SOCK_STREAM) as client,
    ):
        listener.bind((str(address), 0))
        listener.listen()
        client.settimeout(PATIENCE)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.settimeout(PATIENCE)
        begin, got, progress = time.monotonic(), bytearray(), []
        sending = Thread(target=client.sendall, args=(data,))
        sending.start()
        with accepted:
            while len(got) < len(data):
                piece = accepted.recv(1 << 16)
                assert piece, "the connection was closed"
                got += piece
                progress.append((time.monotonic() - begin, len(got)))
        sending.join()
    return Stream(bytes(got), progress)


def eventually(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)  # virtual time only passes while all wait


def passed_by(iface) -> int:
    """How many packets a link has met on their way up: those that left, wait, or were lost."""
    stats = iface.stats().up
    return stats.sent_packets + stats.queued_packets + stats.dropped


def said(node) -> int:
    """How many packets of IPv6 a node has sent by `eth0`: none is a test's, all are its own."""
    told = node.run(["cat", "/proc/net/dev_snmp6/eth0"], capture_output=True, text=True).stdout
    (count,) = (line.split()[1] for line in told.splitlines() if line.startswith("Ip6OutRequests"))
    return int(count)


def run_dry(iface) -> None:
    """Wait until no packet is on its way over the link of an interface."""

    def dry():
        stats = iface.stats()
        return not any(each and each.queued_packets for each in (stats.up, stats.down))

    eventually(dry, "packets are still on their way")
