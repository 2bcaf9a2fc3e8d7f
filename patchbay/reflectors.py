"""Reflectors: servers that tell a client the address it is seen with, as a STUN server would."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from patchbay.nodes import LabNode

Protocol = Literal["udp", "tcp"]

_running: dict[int, tuple[socket.socket, threading.Thread]] = {}
"""The reflectors of this process, which is a node's."""
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Observed:
    """The address and port that a reflector saw a client with."""

    ip: IPv4Address | IPv6Address
    port: int


class Reflector:
    """A running reflector. A context manager that ends it."""

    def __init__(self, node: LabNode, protocol: Protocol, number: int, port: int) -> None:
        self._node = node
        self._number = number
        self.protocol = protocol
        self.port = port

    @classmethod
    def start(cls, node: LabNode, protocol: Protocol, port: int, host: str) -> Reflector:
        """Start one on a node; it serves when this returns."""
        if protocol not in ("udp", "tcp"):
            raise ValueError(f"a reflector speaks 'udp' or 'tcp', not {protocol!r}")
        number, bound = node.call(start, protocol, port, host)
        return cls(node, protocol, number, bound)

    def __repr__(self) -> str:
        return f"<Reflector {self.protocol} port {self.port} on {self._node.name!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where clients reach it: the node's address, and its port."""
        return str(self._node.ip or self._node.ip6), self.port

    def observe(
        self, client: LabNode, *, source_port: int = 0, timeout: float = 2.0, tries: int = 3
    ) -> Observed:
        """Ask it from another node, and return what it saw.

        Args:
            client: the node that asks.
            source_port: the port to ask from; 0 for any.
            timeout: seconds to wait for each try.
            tries: how often to ask; UDP may be lost. TCP is asked once, as it tries again by itself,
                and may take as long as all of them.

        Raises:
            TimeoutError: no answer came.
        """
        host = client.address_of(self._node)
        seen = client.call(observe, self.protocol, host, self.port, source_port, timeout, tries)
        return Observed(ip_address(seen[0]), seen[1])

    def close(self) -> None:
        """End it."""
        self._node.call(stop, self._number)


def start(protocol: Protocol, port: int, host: str) -> tuple[int, int]:
    """Start a reflector in this process; return its number and the port it is bound to."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    version = socket.AF_INET if host and ip_address(host).version == 4 else socket.AF_INET6
    server = socket.socket(version, kind)
    try:
        if version == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host else 0)
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if protocol == "tcp" else 0)
        server.bind((host, port))
        if protocol == "tcp":
            server.listen(128)
    except BaseException:
        server.close()
        raise
    number, bound = next(_numbers), server.getsockname()[1]
    serve = _serve_udp if protocol == "udp" else _serve_tcp
    thread = threading.Thread(target=serve, args=[server], daemon=True, name="reflector")
    _running[number] = server, thread
    thread.start()
    return number, bound


def stop(number: int) -> None:
    """End a reflector of this process, and free its port; ending it again does nothing."""
    if number in _running:
        server, thread = _running.pop(number)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes its thread, which holds the port till then
        thread.join()
        server.close()


def observe(
    protocol: Protocol, host: str, port: int, source_port: int, timeout: float, tries: int
) -> tuple[str, int]:
    """Ask a reflector from this process's network."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
    with socket.socket(family, kind) as sock:
        sock.settimeout(timeout * tries if protocol == "tcp" else timeout)
        if source_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", source_port))
        if protocol == "tcp":
            sock.connect((host, port))
            return _parse(sock.makefile("rb").readline())
        for attempt in range(tries):
            sock.sendto(b"OBSERVE", (host, port))
            try:
                return _parse(sock.recv(256))
            except TimeoutError:
                if attempt == tries - 1:
                    raise
    raise ValueError("a reflector must be asked at least once")


def _answer(address: tuple[str, int]) -> bytes:
    ip = ip_address(address[0])
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return f"OBSERVED {ip} {address[1]}\n".encode()


def _parse(answer: bytes) -> tuple[str, int]:
    word, ip, port = answer.decode().split()
    if word != "OBSERVED":
        raise ValueError(f"not a reflector's answer: {answer!r}")
    return ip, int(port)


def _serve_udp(server: socket.socket) -> None:
    room = socket.CMSG_SPACE(64)
    while True:
        try:
            _, arrival, _, address = server.recvmsg(1 << 16, room)
        except OSError:
            return  # it was closed
        if not address:
            return  # it was shut down
        with contextlib.suppress(OSError):  # a client that is unreachable by now
            # from the address and by the interface that it was asked on
            server.sendmsg([_answer(address)], arrival, 0, address)


def _serve_tcp(server: socket.socket) -> None:
    while True:
        try:
            connection, address = server.accept()
        except OSError:
            return  # it was closed
        threading.Thread(target=_echo, args=[connection, address], daemon=True).start()


def _echo(connection: socket.socket, address: tuple[str, int]) -> None:
    with connection, contextlib.suppress(OSError):  # the client may leave at any moment
        connection.sendall(_answer(address))
        while data := connection.recv(1 << 16):
            connection.sendall(data)
