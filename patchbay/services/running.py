"""Which services the routers of a lab have, and that they have them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from patchbay.rules.portal import PORT
from patchbay.services import portal
from patchbay.services.http import Request
from patchbay.services.sockets import DatagramServer, HttpServer, Loop
from patchbay.topology.model import Router, Topology
from patchbay.values import FirewallConfig
from patchbay.wiring.kernel import Kernel

Note = Callable[..., None]
"""Writes an event down: its kind, and its fields."""


class _Wanted(NamedTuple):
    """A service that a router is to have."""

    kind: str
    node: str
    cable: int
    """Tells a router from another one that has its name later."""
    own: IPv4Address
    """The router's address on its LAN."""


class Services:
    """The services of a lab's routers: what is wanted follows from the topology."""

    def __init__(self, loop: Loop, kernel: Kernel, note: Note) -> None:
        self._loop = loop
        self._kernel = kernel
        self._note = note
        self._running: dict[_Wanted, list[HttpServer | DatagramServer]] = {}

    def follow(self, topology: Topology) -> None:
        """Start what a topology wants, and end what it does not.

        Raises:
            OSError: a port is taken; what ran before runs on.
        """
        wanted = set(_wanted(topology))
        started: dict[_Wanted, list[HttpServer | DatagramServer]] = {}
        try:
            for service in wanted - self._running.keys():
                started[service] = self._start(service)
        except BaseException:
            for servers in started.values():
                _close(servers)
            raise
        for service in self._running.keys() - wanted:
            _close(self._running.pop(service))
        self._running |= started

    def _start(self, service: _Wanted) -> list[HttpServer | DatagramServer]:
        return [HttpServer(self._loop, self._listening(service, PORT), self._page(service))]

    def _page(self, service: _Wanted) -> Callable[[Request, str], bytes]:
        def answer(request: Request, host: str) -> bytes:
            self._note("portal_asked", node=service.node, source=host, url=portal.url(request))
            return portal.answer(request, service.own)

        return answer

    def _listening(self, service: _Wanted, port: int) -> socket.socket:
        with self._kernel.inside(service.node):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with contextlib.ExitStack() as undo:
            undo.callback(made.close)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((str(service.own), port))
            made.listen()
            undo.pop_all()
        return made


def _close(servers: list[HttpServer | DatagramServer]) -> None:
    for server in servers:
        server.close()


def _wanted(topology: Topology) -> Iterator[_Wanted]:
    for router in topology.routers.values():
        if router.downstream is not None and _has_portal(router):
            yield _Wanted("portal", router.name, router.uplink.cable, router.downstream[1])


def _has_portal(router: Router) -> bool:
    firewall = router.firewall
    return isinstance(firewall, FirewallConfig) and firewall.captive_portal
