"""What RFC 6092 recommends of a firewall for homes, as something that is measured.

It is written for IPv6; everything that makes sense for both versions of IP is measured for both.
The router does no NAT, which would hide what its firewall does.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import crafted

from patchbay import Device, FirewallConfig, Lab

WALLS: dict[str, str | FirewallConfig] = {
    "block_inbound": "block_inbound",
    "corporate": "corporate",
    "strict": FirewallConfig(block_inbound=True),
    "none": "none",
}
"""What is measured; `strict` lets in answers and nothing else, and does not look at sources."""
EVERY = frozenset(WALLS)
BLOCKING = EVERY - {"none"}
GUARDED = frozenset({"block_inbound", "corporate"})
OPEN = frozenset({"block_inbound", "none"})
BOTH = (4, 6)
PATIENCE = 30
"""Seconds to wait for what is sure to come."""
UNKNOWN = 253
"""A protocol for experiments (RFC 3692)."""


@dataclass(frozen=True)
class Wall:
    """Two hosts behind the router, two servers outside, and a version of IP."""

    lab: Lab
    version: int
    patience: float = 0.2
    """Seconds to wait for what may come."""

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET if self.version == 4 else socket.AF_INET6

    def ip(self, name: str) -> str:
        device = self.lab.device(name)
        return str(device.ip if self.version == 4 else device.ip6)

    def udp(self, name: str, port: int = 0) -> socket.socket:
        return self._socket(self.lab.device(name), socket.SOCK_DGRAM, 0, port)

    def tcp(self, name: str, port: int = 0) -> socket.socket:
        return self._socket(self.lab.device(name), socket.SOCK_STREAM, 0, port)

    def raw(self, name: str, protocol: int) -> socket.socket:
        return self._socket(self.lab.device(name), socket.SOCK_RAW, protocol, 0)

    def send(self, name: str, target: str, packet: bytes) -> None:
        self.lab.device(name).call(crafted.send, target, packet)

    def datagram(self, source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
        udp = crafted.udp_datagram(source, target, ports, data)
        return crafted.ip_packet(source, target, crafted.UDP, udp)

    def arrives(self, data: bytes, at: socket.socket, within: float | None = None) -> bool:
        """Whether a packet that ends like this arrives."""
        patience = self.patience if within is None else within
        while select.select([at], [], [], patience)[0]:
            if at.recv(10_000).endswith(data):
                return True
        return False

    def _socket(
        self, device: Device, kind: socket.SocketKind, protocol: int, port: int
    ) -> socket.socket:
        """A socket with a port that it shares with those that ask for it, and with no others."""
        made = device.socket(self.family, kind, protocol)
        made.settimeout(PATIENCE)
        if not port:
            made.bind((self.ip(device.name), 0))
        if kind is not socket.SOCK_RAW:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if port:
            made.bind((self.ip(device.name), port))
        return made


def port_of(made: socket.socket) -> int:
    return int(made.getsockname()[1])


@contextlib.contextmanager
def flow(wall: Wall) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A UDP flow that was begun inside: to port 53, where every kind lets it."""
    with wall.udp("laptop") as inside, wall.udp("one", 53) as outside:
        inside.sendto(b"out", outside.getsockname())
        assert wall.arrives(b"out", outside, PATIENCE)
        yield inside, outside


def no_multicast_source(wall: Wall) -> bool:
    source = "224.0.0.9" if wall.version == 4 else "ff0e::9"
    with wall.udp("one", 53) as server:
        packet = wall.datagram(source, wall.ip("one"), (5000, 53), b"from a group")
        wall.send("laptop", wall.ip("one"), packet)
        return not wall.arrives(b"from a group", server)


def no_forbidden_address(wall: Wall) -> bool:
    """Site-local, which has been taken out of use; behind NAT it is a martian in IPv4."""
    passed = []
    with wall.udp("one", 53) as outside, wall.udp("laptop", 500) as inside:
        for name, target, at in (("laptop", "one", outside), ("one", "laptop", inside)):
            ip, port = wall.ip(target), port_of(at)
            wall.send(name, ip, wall.datagram("fec0::5", ip, (500, port), b"forbidden"))
            passed.append(wall.arrives(b"forbidden", at))
    return not any(passed)


def no_routing_header(wall: Wall) -> bool:
    source, target = wall.ip("laptop"), wall.ip("one")
    with wall.udp("one", 53) as server:
        udp = crafted.udp_datagram(source, target, (5000, 53), b"led around")
        packet = crafted.ip_packet(source, target, crafted.ROUTING, crafted.routed(udp))
        wall.send("laptop", target, packet)
        return not wall.arrives(b"led around", server)


def no_foreign_source_leaves(wall: Wall) -> bool:
    with wall.udp("one", 53) as server:
        packet = wall.datagram(wall.ip("two"), wall.ip("one"), (5000, 53), b"not from two")
        wall.send("laptop", wall.ip("one"), packet)
        return not wall.arrives(b"not from two", server)


def no_inside_source_enters(wall: Wall) -> bool:
    """To the port of IKE, where strangers may send."""
    with wall.udp("laptop", 500) as inside:
        packet = wall.datagram(wall.ip("desk"), wall.ip("laptop"), (500, 500), b"not from desk")
        wall.send("one", wall.ip("laptop"), packet)
        return not wall.arrives(b"not from desk", inside)


def no_service_outside(wall: Wall) -> bool:
    """As a name server or a page of its settings would be."""
    office = wall.lab.router("office")
    gateway = office.iface("lan").ip if wall.version == 4 else office.iface("lan").ip6
    own = office.ip if wall.version == 4 else office.ip6
    with office.reflector(port=53), wall.udp("one") as outside, wall.udp("laptop") as inside:
        answered = []
        for each in (own, gateway):
            outside.sendto(b"?", (str(each), 53))
            answered.append(wall.arrives(b"\n", outside))
            inside.sendto(b"?", (str(each), 53))
            assert wall.arrives(b"\n", inside, PATIENCE)
        return not any(answered)


def no_error_of_nothing(wall: Wall) -> bool:
    """An ICMP error about a packet that was never sent."""
    with wall.raw("laptop", 1 if wall.version == 4 else 58) as inside:
        source, target = wall.ip("one"), wall.ip("laptop")
        about = wall.datagram(target, source, (4711, 4711), b"never sent")
        error = crafted.unreachable(source, target, about)
        icmp = 1 if wall.version == 4 else 58
        wall.send("one", target, crafted.ip_packet(source, target, icmp, error))
        return not wall.arrives(b"never sent", inside)


def answers_of_unknown_protocols(wall: Wall) -> bool:
    """From the address that was sent to, and from no other."""
    with (
        wall.raw("laptop", UNKNOWN) as inside,
        wall.raw("one", UNKNOWN) as one,
        wall.raw("two", UNKNOWN) as two,
    ):
        inside.sendto(b"out", (wall.ip("one"), 0))
        assert wall.arrives(b"out", one, PATIENCE)
        two.sendto(b"unasked", (wall.ip("laptop"), 0))
        one.sendto(b"answer", (wall.ip("laptop"), 0))
        first = inside.recv(1000)
        return first.endswith(b"answer")


def strangers_come_in(wall: Wall) -> bool:
    with flow(wall) as (inside, _), wall.udp("two") as stranger:
        stranger.sendto(b"unasked", inside.getsockname())
        return wall.arrives(b"unasked", inside)


def known_addresses_come_in(wall: Wall) -> bool:
    with flow(wall) as (inside, _), wall.udp("one") as other:
        other.sendto(b"another port", inside.getsockname())
        return wall.arrives(b"another port", inside)


def nothing_comes_in_unasked(wall: Wall) -> bool:
    with flow(wall) as (inside, outside), wall.udp("laptop") as quiet:
        outside.sendto(b"unasked", quiet.getsockname())
        outside.sendto(b"asked", inside.getsockname())
        return wall.arrives(b"asked", inside, PATIENCE) and not wall.arrives(b"unasked", quiet)


def errors_come_in_and_end_nothing(wall: Wall) -> bool:
    """A closed port is reported; the flow that it was about goes on."""
    with wall.udp("laptop") as inside:
        closed = wall.udp("one", 53)
        target = closed.getsockname()
        closed.close()
        inside.connect(target)
        inside.send(b"anyone?")
        try:
            inside.recv(100)
        except ConnectionRefusedError:
            with wall.udp("one", 53) as again:
                again.sendto(b"now I am", inside.getsockname())
                return wall.arrives(b"now I am", inside, PATIENCE)
    return False


def protocol_comes_in(protocol: int) -> Callable[[Wall], bool]:
    def measure(wall: Wall) -> bool:
        with wall.raw("laptop", protocol) as inside, wall.raw("one", protocol) as outside:
            outside.sendto(b"\0" * 16 + b"sealed", (wall.ip("laptop"), 0))
            return wall.arrives(b"sealed", inside)

    return measure


def ike_comes_in(wall: Wall) -> bool:
    with wall.udp("laptop", 500) as inside, wall.udp("one", 500) as outside:
        outside.sendto(b"keys", inside.getsockname())
        return wall.arrives(b"keys", inside)


def simultaneous_open(wall: Wall) -> bool:
    """Outside is first, and the open still works: to port 443, where every kind lets it."""
    with wall.tcp("laptop") as inside, wall.tcp("one", 443) as outside:
        outside.setblocking(False)
        outside.connect_ex(inside.getsockname())
        inside.settimeout(PATIENCE)
        try:
            inside.connect(outside.getsockname())
        except ConnectionRefusedError:  # the inside host has refused what came in too early
            return False
        inside.sendall(b"open")
        return wall.arrives(b"open", outside, PATIENCE)


def connections_outlive_a_restart(wall: Wall) -> bool:
    with wall.tcp("one", 443) as server, wall.tcp("laptop") as client:
        server.listen()
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            wall.lab.router("office").flush_nat()
            client.sendall(b"still here")
            passed = wall.arrives(b"still here", accepted, PATIENCE)
            accepted.sendall(b"so am I")
            return passed and wall.arrives(b"so am I", client, PATIENCE)


def tcp_strangers_come_in(wall: Wall) -> bool:
    with wall.tcp("one", 443) as one, wall.tcp("laptop") as inside:
        one.listen()
        inside.connect(one.getsockname())
        accepted, _ = one.accept()
        with accepted, wall.tcp("laptop", port_of(inside)) as server, wall.tcp("two") as stranger:
            server.listen()
            stranger.settimeout(wall.patience)
            try:
                stranger.connect(server.getsockname())
            except OSError:  # nothing comes, or a late refusal
                return False
            return True


def syns_are_answered_late(wall: Wall) -> bool:
    """With a second in place of the six that the kind has; nobody is answered before."""
    office = wall.lab.router("office")
    firewall = office.firewall
    config = firewall if isinstance(firewall, FirewallConfig) else firewall.config
    late = config is not None and config.refuse_syn_after == 6
    if late:
        office.set_firewall(replace(config, refuse_syn_after=1))
    with wall.tcp("laptop") as inside, wall.tcp("one") as outside:
        outside.settimeout(PATIENCE if late else wall.patience)
        began = time.monotonic()
        try:
            outside.connect(inside.getsockname())
        except OSError as error:
            prohibited = errno.EHOSTUNREACH if wall.version == 4 else errno.EACCES
            return error.errno == prohibited and time.monotonic() - began >= 1
        finally:
            office.set_firewall(firewall)
    return False


def remembers(seconds: dict[str, int]) -> Callable[[Wall], bool]:
    """Whether timeouts of connection tracking are at least these."""

    def measure(wall: Wall) -> bool:
        had = wall.lab.router("office").call(_timeouts, list(seconds))
        return all(had[name] >= least for name, least in seconds.items())

    return measure


def _timeouts(names: list[str]) -> dict[str, int]:
    found = {}
    for name in names:
        with open(f"/proc/sys/net/netfilter/nf_conntrack_{name}") as file:
            found[name] = int(file.read())
    return found


def everything_passes(wall: Wall) -> bool:
    with wall.tcp("laptop") as inside, wall.tcp("one") as outside:
        inside.listen()
        outside.settimeout(wall.patience)
        try:
            outside.connect(inside.getsockname())
        except OSError:  # nothing comes, or a late refusal
            return False
        return True


@dataclass(frozen=True)
class Recommendation:
    """One of them, and for which kinds it holds."""

    number: str
    level: str
    text: str
    measure: Callable[[Wall], bool]
    holds: frozenset[str]
    versions: tuple[int, ...] = BOTH

    @property
    def name(self) -> str:
        return f"RFC 6092 {self.number}"


HALF_OPEN = ("syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack")
RECOMMENDATIONS = (
    Recommendation("REC-1", "MUST NOT", "no packet from a group address passes", no_multicast_source, EVERY),
    Recommendation(
        "REC-3", "MUST NOT", "no forbidden address passes", no_forbidden_address, GUARDED, (6,)
    ),
    Recommendation(
        "REC-4", "SHOULD NOT", "no routing header of type 0 passes", no_routing_header, GUARDED, (6,)
    ),
    Recommendation(
        "REC-5", "MUST NOT", "no foreign source leaves", no_foreign_source_leaves, GUARDED
    ),
    Recommendation(
        "REC-6", "MUST NOT", "no inside source enters", no_inside_source_enters, BLOCKING
    ),
    Recommendation(
        "REC-8, 9, 50", "MUST NOT", "the router answers nobody outside", no_service_outside, BLOCKING
    ),
    Recommendation(
        "REC-10", "SHOULD NOT", "no ICMP error enters that is about nothing", no_error_of_nothing, BLOCKING
    ),
    Recommendation(
        "REC-11", "or else", "unknown protocols: answers enter, by address",
        answers_of_unknown_protocols, BLOCKING,
    ),
    Recommendation(
        "REC-12", "MUST NOT", "unknown protocols are remembered for 2 min",
        remembers({"generic_timeout": 120}), EVERY,
    ),
    Recommendation(
        "REC-14", "MUST NOT", "UDP is remembered for 2 min, or 5 by default",
        remembers({"udp_timeout": 300, "udp_timeout_stream": 300}), BLOCKING,
    ),
    Recommendation(
        "REC-17", "SHOULD", "UDP: endpoint-independent filtering", strangers_come_in, OPEN
    ),
    Recommendation(
        "REC-17", "or else", "UDP: address-dependent filtering", known_addresses_come_in, OPEN
    ),
    Recommendation(
        "3.2.3", "", "UDP: nothing enters unasked", nothing_comes_in_unasked, BLOCKING
    ),
    Recommendation(
        "REC-18, 19", "MUST", "ICMP errors about a flow enter, and do not end it",
        errors_come_in_and_end_nothing, EVERY,
    ),
    Recommendation("REC-21", "MUST NOT", "AH is not kept out", protocol_comes_in(51), OPEN),
    Recommendation("REC-22", "MUST NOT", "ESP is not kept out", protocol_comes_in(50), OPEN),
    Recommendation("REC-24", "MUST NOT", "IKE is not kept out", ike_comes_in, OPEN),
    Recommendation("REC-26", "MUST NOT", "HIP is not kept out", protocol_comes_in(139), OPEN),
    Recommendation("REC-31", "MUST", "TCP: simultaneous open, begun outside", simultaneous_open, BLOCKING),
    Recommendation(
        "REC-32", "MUST", "TCP: connections whose begin was not seen pass",
        connections_outlive_a_restart, EVERY,
    ),
    Recommendation(
        "REC-33", "SHOULD", "TCP: endpoint-independent filtering", tcp_strangers_come_in, OPEN
    ),
    Recommendation(
        "REC-34", "MUST", "TCP: an unsolicited SYN is answered after 6 s, with an ICMP error",
        syns_are_answered_late, frozenset({"block_inbound"}),
    ),
    Recommendation(
        "REC-35", "MUST NOT", "an open connection is remembered for 2 h 4 min, a half-open one for 4 min",
        remembers({"tcp_timeout_established": 7440} | {f"tcp_timeout_{each}": 240 for each in HALF_OPEN}),
        BLOCKING,
    ),
    Recommendation("REC-49", "MUST", "there is a mode in which everything passes", everything_passes, frozenset({"none"})),
)  # fmt: skip
