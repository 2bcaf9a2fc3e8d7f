"""The sockets of a service: opened on a router, watched by the supervisor's loop, never blocking."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import Protocol

from patchbay.services.http import BadRequest, Request, parse, response

MOST_CONNECTIONS = 64
"""Open at a time; when there are more, the oldest is closed."""

Answer = Callable[[Request, str], bytes]
"""From a request and the address of who asks to what is sent back."""
Reply = Callable[[bytes, tuple[str, int]], bytes | None]
"""From a datagram and who sent it to what is sent back, if anything."""


class Loop(Protocol):
    """As much of the supervisor as sockets need."""

    def watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor is readable."""

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer."""


class HttpServer:
    """A listening socket and its connections."""

    def __init__(self, loop: Loop, listening: socket.socket, answer: Answer) -> None:
        self._loop = loop
        self._listening = listening
        self._answer = answer
        self._open: dict[socket.socket, bytes] = {}
        listening.setblocking(False)
        loop.watch(listening.fileno(), self._accept)

    def close(self) -> None:
        """Close it, and all that is open."""
        for connection in list(self._open):
            self._drop(connection)
        self._loop.forget(self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it has gone again
            connection, _ = self._listening.accept()
            connection.setblocking(False)
            while len(self._open) >= MOST_CONNECTIONS:
                self._drop(next(iter(self._open)))
            self._open[connection] = b""
            self._loop.watch(connection.fileno(), lambda: self._receive(connection))

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(1 << 16)
            self._open[connection] += data
            request = parse(self._open[connection])
            if request is not None:
                # Short enough for the kernel to take at once.
                connection.send(self._answer(request, connection.getpeername()[0]))
            if request is not None or not data:
                self._drop(connection)
        except BlockingIOError:
            return
        except BadRequest as error:
            with contextlib.suppress(OSError):
                connection.send(response(HTTPStatus.BAD_REQUEST, str(error), kind="text/plain"))
            self._drop(connection)
        except OSError:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._open[connection]
        self._loop.forget(connection.fileno())
        connection.close()


class DatagramServer:
    """A bound UDP socket that answers, and can tell without being asked."""

    def __init__(self, loop: Loop, bound: socket.socket, reply: Reply) -> None:
        self._loop = loop
        self._bound = bound
        self._reply = reply
        bound.setblocking(False)
        loop.watch(bound.fileno(), self._receive)

    def close(self) -> None:
        """Close it."""
        self._loop.forget(self._bound.fileno())
        self._bound.close()

    def send(self, data: bytes, target: tuple[str, int], source: IPv6Address | None = None) -> None:
        """Send a datagram, which is lost where no way leads there.

        Args:
            data: what is in it.
            target: the address and port that it is for.
            source: the address that it is from, if not the one that the kernel would choose.
        """
        said = []
        if source is not None:
            any_interface = bytes(4)
            packet_info = source.packed + any_interface
            said.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packet_info))
        with contextlib.suppress(OSError):
            self._bound.sendmsg([data], said, 0, target)

    def _receive(self) -> None:
        with contextlib.suppress(OSError):  # an ICMP error, or nobody there any more
            data, source = self._bound.recvfrom(1 << 16)
            answer = self._reply(data, source)
            if answer is not None:
                self._bound.sendto(answer, source)
