"""The two ends of a UDP measurement, as they run on nodes.

Each datagram has its number and the time at which it was sent. All nodes have the clock of one
machine, and the kernel notes when a datagram arrives, so that delays are one way and exact: what
the receiver takes to wake up does not count.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from array import array
from dataclasses import dataclass

from patchbay.meter.ends import End, end

LEAST_SIZE, MOST_SIZE = 12, 65507
"""Bytes of payload: what a datagram tells, and what fits into one (RFC 768, RFC 791)."""

_HEADER = struct.Struct("!IQ")
_SO_TIMESTAMPNS, _SO_RXQ_OVFL = 35, 40
_TIME = struct.Struct("ll")
_ROOM = socket.CMSG_SPACE(_TIME.size) + socket.CMSG_SPACE(4)
_HELLO = 0.2
"""Seconds between two datagrams by which a receiver opens the way for what it will receive."""


@dataclass(frozen=True, slots=True)
class Received:
    """What the receiver tells; `later_bytes` are those that came after the first arrival."""

    bytes: int
    later_bytes: int
    seconds: float
    count: int
    duplicates: int
    reordered: int
    overrun: int
    jitter_ms: float
    delays_ms: tuple[float, float, float, float, float] | None
    """The least, the mean, the median, that of 99 %, the largest."""


def send(
    number: int, wait: bool, seconds: float, rate_kbit: float, size: int, timeout: float
) -> int:
    """Send datagrams at a rate; return how many.

    Args:
        number: of the end.
        wait: whether the other end has to be heard of first.
        seconds: how long.
        rate_kbit: of payload.
        size: bytes of payload of each.
        timeout: seconds to wait for the other end.

    Raises:
        TimeoutError: it was not heard of.
    """
    sock = end(number).socket
    if wait:
        sock.settimeout(timeout)
        sock.connect(sock.recvfrom(64)[1])
        sock.settimeout(None)
    interval = size * 8 / (rate_kbit * 1000)
    total = max(1, round(seconds / interval))
    padding = bytes(size - _HEADER.size)
    begin = time.monotonic()
    for index in range(total):
        early = begin + index * interval - time.monotonic()
        if early > 0:
            time.sleep(early)
        datagram = _HEADER.pack(index, time.time_ns()) + padding
        try:
            sock.send(datagram)
        except ConnectionRefusedError:
            sock.send(datagram)  # what was told was of an earlier one
    return total


def receive(number: int, hello: bool, timeout: float) -> Received:
    """Receive until everything has come, or nothing more does.

    Args:
        number: of the end.
        hello: whether to tell the other end where to send to.
        timeout: seconds that what is under way may take, after the last was sent.
    """
    own = end(number)
    sock = own.socket
    for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(own.told[0], select.POLLIN)
    arrivals = Arrivals()
    while not _over(own, arrivals):
        patience = None if own.expected is None else timeout
        if hello and not arrivals.count:
            sock.send(b"hello")
            patience = _HELLO
        ready = [descriptor for descriptor, _ in poll.poll(_milliseconds(patience))]
        if own.told[0] in ready:
            poll.unregister(own.told[0])  # `expected` says it from now on
        if sock.fileno() in ready:
            _take(sock, arrivals)
        elif not ready and own.expected is not None:
            break  # what has not come until now was lost
    return arrivals.told()


def _over(own: End, arrivals: Arrivals) -> bool:
    return own.expected is not None and arrivals.count + arrivals.overrun >= own.expected


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _take(sock: socket.socket, arrivals: Arrivals) -> None:
    """Take all that is there."""
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(1 << 16, _ROOM, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            continue  # the other end was not there yet
        moment = time.time_ns()
        for _, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS:
                whole, nanoseconds = _TIME.unpack(value)
                moment = whole * 1_000_000_000 + nanoseconds
            elif kind == _SO_RXQ_OVFL:
                arrivals.overrun = int.from_bytes(value, sys.byteorder)
        if len(data) >= _HEADER.size:
            index, sent = _HEADER.unpack_from(data)
            arrivals.add(index, sent, moment, len(data))


class Arrivals:
    """What has arrived: pure, from numbers and times."""

    def __init__(self) -> None:
        self.overrun = 0
        self._seen: set[int] = set()
        self._bytes = self._first_bytes = 0
        self._first = self._last = 0
        self._duplicates = self._reordered = 0
        self._highest = -1
        self._transit: int | None = None
        self._jitter = 0.0
        self._delays = array("d")

    @property
    def count(self) -> int:
        """How many different ones."""
        return len(self._seen)

    def add(self, index: int, sent: int, moment: int, size: int) -> None:
        """Note an arrival; times are nanoseconds of one clock."""
        if index in self._seen:
            self._duplicates += 1
            return
        if not self._seen:
            self._first, self._first_bytes = moment, size
        self._seen.add(index)
        self._last = max(self._last, moment)
        self._bytes += size
        self._reordered += index < self._highest
        self._highest = max(self._highest, index)
        transit = moment - sent
        if self._transit is not None:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit
        self._delays.append(transit / 1e6)

    def told(self) -> Received:
        """All of it."""
        delays = sorted(self._delays)
        last = len(delays) - 1
        return Received(
            bytes=self._bytes,
            later_bytes=self._bytes - self._first_bytes,
            seconds=(self._last - self._first) / 1e9,
            count=self.count,
            duplicates=self._duplicates,
            reordered=self._reordered,
            overrun=self.overrun,
            jitter_ms=self._jitter / 1e6,
            delays_ms=None
            if not delays
            else (
                delays[0],
                sum(delays) / len(delays),
                delays[last // 2],
                delays[round(last * 0.99)],
                delays[last],
            ),
        )
