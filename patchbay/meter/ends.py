"""The sockets of measurements, on the nodes that measure: made by one call, used by the next."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address


@dataclass(slots=True)
class End:
    """One end of a measurement.

    Attributes:
        socket: what it sends or receives by; one that listens, where the other end connects.
        told: a pipe by which the receiver hears that all is sent.
        expected: how many datagrams were sent, once that is known.
    """

    socket: socket.socket
    told: tuple[int, int] = field(default_factory=lambda: os.pipe2(os.O_CLOEXEC))
    expected: int | None = None


_BUFFER = 1 << 22
"""Bytes of datagrams that may wait for their receiver, as far as the host allows it."""

_ends: dict[int, End] = {}
"""Those of this process, which is a node's."""
_numbers = itertools.count()


def listen(kind: int, host: str, port: int) -> tuple[int, int]:
    """Make the end that is connected to; return its number and the port it is bound to."""
    sock = _socket(host, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(1)
        return _keep(sock), sock.getsockname()[1]
    except BaseException:
        sock.close()
        raise


def connect(kind: int, host: str, port: int, timeout: float) -> int:
    """Make the end that connects; return its number.

    Raises:
        OSError: it cannot connect.
    """
    sock = _socket(host, kind)
    try:
        sock.settimeout(timeout)
        sock.connect((host, port))
        sock.settimeout(None)
        return _keep(sock)
    except BaseException:
        sock.close()
        raise


def end(number: int) -> End:
    """An end of this process."""
    return _ends[number]


def finish(number: int, sent: int) -> None:
    """Tell a receiver how many datagrams were sent."""
    found = _ends[number]
    found.expected = sent
    os.write(found.told[1], b".")


def close(number: int) -> None:
    """Give an end up; whoever waits there is woken."""
    found = _ends.pop(number)
    with contextlib.suppress(OSError):  # one that is not connected
        found.socket.shutdown(socket.SHUT_RDWR)
    found.socket.close()
    for descriptor in found.told:
        os.close(descriptor)


def _keep(sock: socket.socket) -> int:
    number = next(_numbers)
    _ends[number] = End(sock)
    return number


def _socket(host: str, kind: int) -> socket.socket:
    """One with room for datagrams that come before anybody receives."""
    family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
    sock = socket.socket(family, kind)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    return sock
