"""Which services the routers of a lab have, and that they have them.

The services themselves are loaded with the first: most labs have none.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from patchbay.rules import portal as portal_rules
from patchbay.rules import unsolicited as unsolicited_rules
from patchbay.rules.words import L4Proto
from patchbay.topology import edit
from patchbay.topology.graph import LAN_BRIDGE
from patchbay.topology.model import Router, Topology
from patchbay.values import FirewallConfig, Nat, NatConfig, Pinhole, PortMapping
from patchbay.wiring.connection import NETLINK_NETFILTER
from patchbay.wiring.conntrack import is_tracked
from patchbay.wiring.kernel import Kernel

if TYPE_CHECKING:
    from patchbay.services.announcing import Announcing
    from patchbay.services.http import Request
    from patchbay.services.leases import Leases
    from patchbay.services.pinholes import Pinholes
    from patchbay.services.sockets import DatagramServer, HttpServer, Loop
    from patchbay.services.unsolicited import Syn, Unsolicited

Note = Callable[..., None]
"""Writes an event down: its kind, and its fields."""
_Server: TypeAlias = "HttpServer | DatagramServer | Unsolicited"


class Network(Protocol):
    """The network of a lab, as services see and change it."""

    @property
    def topology(self) -> Topology:
        """What it is now."""

    def change(self, after: Topology) -> None:
        """Have it be so, or raise and leave it as it was."""


class _Wanted(NamedTuple):
    """A service that a router is to have."""

    kind: str
    node: str
    cable: int
    """Tells a router from another one that has its name later."""
    own: IPv4Address = IPv4Address(0)
    """The router's address on its LAN, where that matters."""
    own6: IPv6Address | None = None
    """Its IPv6 address there, likewise; None if its LAN has none."""


class Services:
    """The services of a lab's routers: what is wanted follows from the topology."""

    def __init__(self, loop: Loop, kernel: Kernel, note: Note, network: Network) -> None:
        self._loop = loop
        self._kernel = kernel
        self._note = note
        self._network = network
        self._running: dict[_Wanted, list[_Server]] = {}
        self._leases: dict[_Wanted, Leases] = {}
        self._pinholes: dict[_Wanted, Pinholes] = {}
        self._unsolicited: dict[_Wanted, Unsolicited] = {}
        self._announcing: dict[_Wanted, Announcing] = {}

    def follow(self, topology: Topology) -> None:
        """Start what a topology wants, and end what it does not.

        Raises:
            OSError: a port is taken; what ran before runs on.
        """
        wanted = set(_wanted(topology))
        if wanted != self._running.keys():
            self._switch(wanted, topology)
        for service, leases in self._leases.items():
            router = topology.routers[service.node]
            leases.keep(router.port_mappings)
            if leases.readdressed(_outside(router)):
                self._announcing[service].begin()

    def _switch(self, wanted: set[_Wanted], topology: Topology) -> None:
        started: dict[_Wanted, list[_Server]] = {}
        try:
            for service in wanted - self._running.keys():
                started[service] = self._start(service)
                if service in self._announcing and self._was_there(service):
                    self._announcing[service].begin()
        except BaseException:
            for service, servers in started.items():
                self._end(service, servers)
            raise
        for service in self._running.keys() - wanted:
            if service.node in topology.routers:
                self._tell_what_ends(service)
            self._end(service, self._running.pop(service))
        self._running |= started

    def _was_there(self, service: _Wanted) -> bool:
        """Whether the router is no new one, and hosts may have had ports of it before."""
        router = self._network.topology.routers.get(service.node)
        return router is not None and router.uplink.cable == service.cable

    def due(self) -> float | None:
        """Seconds until something ends by itself; None if nothing does."""
        dues = (each.due() for each in self._timed())
        return min((due for due in dues if due is not None), default=None)

    def expire(self) -> None:
        """End what is over."""
        for each in self._timed():
            each.expire()

    def _timed(self) -> list[Leases | Pinholes | Unsolicited | Announcing]:
        kept = (self._leases, self._pinholes, self._unsolicited, self._announcing)
        return [each for of_kind in kept for each in of_kind.values()]

    def _start(self, service: _Wanted) -> list[_Server]:
        with contextlib.ExitStack() as undo:
            servers: list[_Server] = []
            undo.callback(lambda: self._end(service, servers))
            servers.extend(self._servers(service))
            undo.pop_all()
        return servers

    def _tell_what_ends(self, service: _Wanted) -> None:
        """Note that what hosts have asked for is gone, of a router that stays."""
        if service in self._leases:
            self._leases[service].keep(())
        if service in self._pinholes:
            self._pinholes[service].end()

    def _end(self, service: _Wanted, servers: list[_Server]) -> None:
        self._leases.pop(service, None)
        self._pinholes.pop(service, None)
        self._unsolicited.pop(service, None)
        self._announcing.pop(service, None)
        for server in servers:
            server.close()

    def _servers(self, service: _Wanted) -> Iterator[_Server]:
        if service.kind == "unsolicited":
            yield self._listener(service)
            return

        from patchbay.services import igd, nat_pmp, pcp, ssdp
        from patchbay.services.announcing import Announcing
        from patchbay.services.leases import Leases
        from patchbay.services.pinholes import Pinholes
        from patchbay.services.sockets import DatagramServer, HttpServer

        if service.kind == "portal":
            listening = self._listening(service, portal_rules.PORT)
            yield HttpServer(self._loop, listening, functools.partial(self._page, service))
            return
        leases = self._leases[service] = Leases(
            functools.partial(self._external, service.node),
            functools.partial(self._is_taken, service.node),
            functools.partial(self._set_mappings, service.node),
            functools.partial(self._note, node=service.node),
        )
        wall, server6 = None, None
        if service.own6 is not None:
            wall = self._pinholes[service] = Pinholes(
                lambda: self._network.topology,
                service.node,
                functools.partial(self._set_pinholes, service.node),
                functools.partial(self._note, node=service.node),
            )
            server6 = DatagramServer(
                self._loop,
                self._bound(service, nat_pmp.PORT, v6=True),
                lambda data, source: pcp.answer(data, ip_address(source[0]), leases, wall),
            )
            yield server6

        def ask(data: bytes, source: tuple[str, int]) -> bytes | None:
            # Both protocols have one port, and tell each other apart by their first byte.
            if data[:1] == bytes([nat_pmp.VERSION]):
                return nat_pmp.answer(data, IPv4Address(source[0]), leases)
            return pcp.answer(data, IPv4Address(source[0]), leases, wall)

        location = f"http://{service.own}:{igd.PORT}{igd.DESCRIPTION}"
        server = DatagramServer(self._loop, self._bound(service, nat_pmp.PORT), ask)
        yield server

        def announce() -> None:
            everybody = nat_pmp.GROUP, nat_pmp.CLIENTS
            server.send(nat_pmp.announcement(leases), everybody)
            server.send(pcp.announcement(leases), everybody)
            if server6 is not None:
                server6.send(pcp.announcement(leases), (pcp.GROUP6, nat_pmp.CLIENTS), service.own6)

        self._announcing[service] = Announcing(announce)
        yield DatagramServer(
            self._loop,
            self._bound(service, ssdp.PORT, ssdp.GROUP),
            lambda data, _: ssdp.answer(data, service.own, location),
        )
        yield HttpServer(
            self._loop,
            self._listening(service, igd.PORT),
            lambda request, client: igd.answer(request, client, service.own, leases, wall),
        )

    def _page(self, service: _Wanted, request: Request, host: str) -> bytes:
        from patchbay.services import portal

        self._note("portal_asked", node=service.node, source=host, url=portal.url(request))
        return portal.answer(request, service.own)

    def _listener(self, service: _Wanted) -> Unsolicited:
        from patchbay.services.unsolicited import Unsolicited
        from patchbay.wiring.packet_log import PacketLog

        with self._kernel.inside(service.node):
            log = PacketLog(unsolicited_rules.GROUP)
        made = self._unsolicited[service] = Unsolicited(
            self._loop,
            log,
            functools.partial(self._delay, service.node),
            functools.partial(self._answer_late, service.node),
        )
        return made

    def _delay(self, node: str, version: int) -> int | None:
        router = self._network.topology.routers[node]
        return unsolicited_rules.delay(router.nat, router.firewall, version=version)

    def _answer_late(self, node: str, syn: Syn) -> None:
        from patchbay.services import unsolicited

        if is_tracked(self._kernel.connection(node, NETLINK_NETFILTER), L4Proto.TCP, syn.flow):
            return
        translated = self._network.topology.routers[node].nat is not Nat.NONE
        with self._kernel.inside(node):
            unsolicited.send(unsolicited.error_about(syn, translated=translated), syn)

    def _external(self, node: str) -> IPv4Address:
        return _outside(self._network.topology.routers[node])

    def _is_taken(self, node: str, mapping: PortMapping) -> bool:
        """Whether a NAT uses an outside port for others than who asks for it."""
        from patchbay.services.leases import in_use

        nat = self._network.topology.routers[node].nat
        config = nat if isinstance(nat, NatConfig) else nat.config
        forwards = () if config is None else config.forwards
        if any((each.protocol, each.port) == (mapping.protocol, mapping.port) for each in forwards):
            return True
        return in_use(self._kernel.conntrack(node), mapping)

    def _set_mappings(self, node: str, mappings: tuple[PortMapping, ...]) -> None:
        self._network.change(edit.set_port_mappings(self._network.topology, node, mappings))

    def _set_pinholes(self, node: str, pinholes: tuple[Pinhole, ...]) -> None:
        self._network.change(edit.set_pinholes(self._network.topology, node, pinholes))

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

    def _bound(
        self, service: _Wanted, port: int, group: str | None = None, *, v6: bool = False
    ) -> socket.socket:
        """A UDP socket that hears its LAN alone; and a group of IPv4, if there is one."""
        with self._kernel.inside(service.node):
            made = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.ExitStack() as undo:
            undo.callback(made.close)
            if v6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LAN_BRIDGE.encode())
            made.bind(("" if group or v6 else str(service.own), port))
            if group is not None:
                joined = socket.inet_aton(group) + service.own.packed
                made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            undo.pop_all()
        return made


def _outside(router: Router) -> IPv4Address:
    """The address of a router's uplink."""
    address = router.uplink.address
    return IPv4Address(0) if address is None else address.ip


def _wanted(topology: Topology) -> Iterator[_Wanted]:
    for router in topology.routers.values():
        if _answers_late(router):
            yield _Wanted("unsolicited", router.name, router.uplink.cable)
        if router.downstream is None:
            continue
        place = router.name, router.uplink.cable, router.downstream[1]
        if _has_portal(router):
            yield _Wanted("portal", *place)
        if router.port_mapping and router.nat is not Nat.NONE:
            own6 = None if router.downstream6 is None else router.downstream6[1]
            yield _Wanted("port mapping", *place, own6)


def _answers_late(router: Router) -> bool:
    delays = (
        unsolicited_rules.delay(router.nat, router.firewall, version=version) for version in (4, 6)
    )
    return any(each is not None for each in delays)


def _has_portal(router: Router) -> bool:
    firewall = router.firewall
    return isinstance(firewall, FirewallConfig) and firewall.captive_portal
