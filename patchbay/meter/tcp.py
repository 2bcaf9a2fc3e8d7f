"""The two ends of a TCP measurement, as they run on nodes."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from patchbay.meter.ends import end

_AT_ONCE = 1 << 18
_SO_MAX_PACING_RATE = 47
_TOTAL_RETRANSMITS = struct.Struct("=100xI")
"""Where `struct tcp_info` has `tcpi_total_retrans`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender tells."""

    bytes: int
    retransmits: int


@dataclass(frozen=True, slots=True)
class Received:
    """What the receiver tells; `later_bytes` are those that came after the first arrival."""

    bytes: int
    later_bytes: int
    seconds: float


def send(number: int, seconds: float, rate_kbit: float | None, timeout: float) -> Sent:
    """Send for some seconds, and wait until the receiver has everything.

    Args:
        number: of the end.
        seconds: how long.
        rate_kbit: at most so much in a second; as much as goes if None.
        timeout: seconds that it may take for nothing.

    Raises:
        TimeoutError: nothing went on for that long.
    """
    data = memoryview(bytes(_AT_ONCE))
    sent = 0
    with _connected(number, timeout) as sock:
        if rate_kbit is not None:
            pace = max(1, round(rate_kbit * 125))
            sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, pace)
        deadline = time.monotonic() + seconds
        while not sent or time.monotonic() < deadline:
            sent += sock.send(data)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)  # it closes when it has everything
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANSMITS.size)
    return Sent(sent, int(_TOTAL_RETRANSMITS.unpack(told)[0]))


def receive(number: int, timeout: float) -> Received:
    """Receive all that comes.

    Raises:
        TimeoutError: nothing came for that long.
    """
    buffer = bytearray(_AT_ONCE)
    with _connected(number, timeout) as sock:
        first = sock.recv_into(buffer)
        begin = last = time.monotonic()
        total = first
        while got := sock.recv_into(buffer):
            total += got
            last = time.monotonic()
    return Received(total, total - first, last - begin)


def _connected(number: int, timeout: float) -> socket.socket:
    """The connection of an end; of one that listens, the one that comes in."""
    found = end(number).socket
    if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.settimeout(timeout)
        found, _ = found.accept()
    found.settimeout(timeout)
    return found
