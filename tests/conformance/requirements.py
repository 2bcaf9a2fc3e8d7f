"""What the RFCs ask of a NAT, each as something that is measured, and what every kind answers.

`python tests/conformance/document.py` writes the table of the documentation from it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from patchbay import Device, Lab, NatConfig, Router

KINDS = {
    "home": "home",
    "home_legacy": "home_legacy",
    "full_cone": "full_cone",
    "cgnat": "cgnat",
    "corporate": "corporate",
    "cloud_nat": "cloud_nat",
    "restricted": NatConfig(filtering="address_dependent", ports=(20000, 29999)),
}
"""What is measured; `restricted` has address-dependent filtering and a range of ports."""
EVERY = frozenset(KINDS)
INDEPENDENT = frozenset({"home", "home_legacy", "full_cone", "cgnat", "restricted"})
OPEN = frozenset({"full_cone", "cgnat"})
LASTING = frozenset({"home", "cgnat", "restricted"})
TURNING = OPEN | {"home"}

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Bench:
    """Two hosts behind the router, two servers outside."""

    lab: Lab

    @property
    def home(self) -> Router:
        return self.lab.router("home")

    @property
    def outside(self) -> str:
        return str(self.home.uplink_ip)

    def ip(self, name: str) -> str:
        return str(self.lab.device(name).ip)

    def udp(self, name: str, port: int = 0) -> socket.socket:
        return self._socket(self.lab.device(name), socket.SOCK_DGRAM, port)

    def tcp(self, name: str, port: int = 0) -> socket.socket:
        return self._socket(self.lab.device(name), socket.SOCK_STREAM, port)

    def listen(self, name: str) -> socket.socket:
        made = self.tcp(name)
        made.listen()
        return made

    def timeout(self, protocol: str) -> int:
        """Seconds that the youngest flow of a protocol has to live."""
        return max(each.timeout for each in self.home.nat_table() if each.protocol == protocol)

    @staticmethod
    def _socket(device: Device, kind: socket.SocketKind, port: int) -> socket.socket:
        made = device.socket(socket.AF_INET, kind)
        made.settimeout(5)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((str(device.ip), port))
        return made


def send(source: socket.socket, target: socket.socket) -> Endpoint:
    """Send a packet, and see it arrive from somewhere."""
    source.sendto(b"out", target.getsockname())
    return target.recvfrom(100)[1]


def arrives(data: bytes, at: socket.socket, within: float = 0.2) -> bool:
    """Whether a packet arrives."""
    at.settimeout(within)
    try:
        return at.recv(10_000) == data
    except TimeoutError:
        return False


def one_mapping(bench: Bench) -> bool:
    with bench.udp("laptop") as inside, bench.udp("one") as one, bench.udp("two") as two:
        return len({send(inside, each) for each in (one, two)}) == 1


def nothing_shared(bench: Bench) -> bool:
    with (
        bench.udp("one") as server,
        bench.udp("two") as other,
        bench.udp("laptop") as laptop,
        bench.udp("desk", laptop.getsockname()[1]) as desk,
    ):
        first, second = send(laptop, server), send(desk, other)
        server.sendto(b"to the first", first)
        other.sendto(b"to the second", second)
        both = arrives(b"to the first", laptop) and arrives(b"to the second", desk)
        return first != second and both


def low_stays_low(bench: Bench) -> bool:
    with (
        bench.udp("one") as server,
        bench.udp("laptop", 700) as low,
        bench.udp("laptop", 7000) as high,
    ):
        return send(low, server)[1] < 1024 <= send(high, server)[1]


def udp_timer(bench: Bench) -> bool:
    bench.home.flush_nat()
    with bench.udp("one") as server, bench.udp("laptop") as inside:
        send(inside, server)
        return bench.timeout("udp") >= 118


def strangers_come_in(bench: Bench) -> bool:
    with bench.udp("laptop") as inside, bench.udp("one") as one, bench.udp("two") as stranger:
        stranger.sendto(b"unasked", send(inside, one))
        return arrives(b"unasked", inside)


def known_addresses_come_in(bench: Bench) -> bool:
    with bench.udp("laptop") as inside, bench.udp("one") as one, bench.udp("one") as other:
        other.sendto(b"another port", send(inside, one))
        return arrives(b"another port", inside)


def hairpin(bench: Bench) -> bool:
    with bench.udp("laptop") as laptop, bench.udp("desk") as desk, bench.udp("one") as server:
        seen = {each: send(each, server) for each in (laptop, desk)}
        laptop.sendto(b"turn back", seen[desk])
        desk.settimeout(0.2)
        try:
            return desk.recvfrom(100) == (b"turn back", seen[laptop])
        except TimeoutError:
            return False


def payload_is_left_alone(bench: Bench) -> bool:
    with bench.udp("laptop", 5060) as inside, bench.udp("one", 5060) as server:
        data = (
            b"INVITE sip:x SIP/2.0\r\nContact: <sip:x@%s:5060>\r\n\r\n"
            % bench.ip("laptop").encode()
        )
        inside.sendto(data, server.getsockname())
        return arrives(data, server)


def the_same_under_clash_and_after_flush(bench: Bench) -> bool:
    """Mapping and filtering as before, where the port is taken, and after all is forgotten."""
    before = one_mapping(bench), strangers_come_in(bench)
    with bench.udp("one") as server, bench.udp("desk", 6100) as first:
        send(first, server)
        with bench.udp("laptop", 6100) as inside, bench.udp("two") as two:
            clash = send(inside, server) == send(inside, two)
    bench.home.flush_nat()
    return (one_mapping(bench), strangers_come_in(bench)) == before and clash == before[0]


def icmp_leaves_mappings_be(bench: Bench) -> bool:
    """A closed port outside is reported to the socket inside; its mapping stays."""
    with bench.udp("laptop") as inside, bench.udp("one") as server:
        before = send(inside, server)
        closed = bench.udp("one")
        target = closed.getsockname()
        closed.close()
        reporter = bench.udp("laptop", inside.getsockname()[1])
        with reporter:
            reporter.connect(target)
            reporter.send(b"anyone?")
            try:
                reporter.recv(100)
            except ConnectionRefusedError:
                server.sendto(b"still there", before)
                return arrives(b"still there", inside)
    return False


def fragments_pass(bench: Bench) -> bool:
    data = bytes(8000)
    with bench.udp("laptop") as inside, bench.udp("one") as server:
        inside.sendto(data, server.getsockname())
        _, seen = server.recvfrom(10_000)
        server.sendto(data, seen)
        return arrives(data, inside)


def one_tcp_mapping(bench: Bench) -> bool:
    seen = []
    with (
        bench.listen("one") as one,
        bench.listen("two") as two,
        bench.tcp("laptop") as first,
        bench.tcp("laptop", first.getsockname()[1]) as second,
    ):
        for client, server in ((first, one), (second, two)):
            client.connect(server.getsockname())
            accepted, address = server.accept()
            accepted.close()
            seen.append(address)
    return seen[0] == seen[1]


def simultaneous_open(bench: Bench) -> bool:
    """Outside is first; what it sends is dropped or reaches nobody, and the open still works."""
    with bench.tcp("laptop") as inside, bench.tcp("one") as outside:
        outside.setblocking(False)
        outside.connect_ex((bench.outside, inside.getsockname()[1]))
        inside.settimeout(0.5)
        try:
            inside.connect(outside.getsockname())
        except OSError:
            return False
        inside.sendall(b"open")
        return arrives(b"open", outside)


def tcp_strangers_come_in(bench: Bench) -> bool:
    with bench.listen("one") as one, bench.tcp("laptop") as inside:
        inside.connect(one.getsockname())
        accepted, seen = one.accept()
        with accepted, bench.tcp("laptop", inside.getsockname()[1]) as server:
            server.listen()
            with bench.tcp("two") as stranger:
                stranger.settimeout(0.2)
                try:
                    stranger.connect(seen)
                except OSError:
                    return False
                return True


def tcp_timer(bench: Bench) -> bool:
    bench.home.flush_nat()
    with bench.listen("one") as server, bench.tcp("laptop") as client:
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"established")
            client.recv(100)
            return bench.timeout("tcp") >= 7438


def tcp_half_open_timer(bench: Bench) -> bool:
    """A connection that nobody answers is remembered for four minutes."""
    bench.home.flush_nat()
    with bench.tcp("laptop") as client:
        client.setblocking(False)
        client.connect_ex(("198.18.255.1", 9))
        return bench.timeout("tcp") >= 238


def tcp_hairpin(bench: Bench) -> bool:
    with bench.listen("one") as one, bench.tcp("desk") as outward:
        outward.connect(one.getsockname())
        accepted, seen = one.accept()
        with accepted, bench.tcp("desk", outward.getsockname()[1]) as server:
            server.listen()
            with bench.tcp("laptop") as client:
                client.settimeout(0.2)
                try:
                    client.connect(seen)
                except OSError:
                    return False
                turned, source = server.accept()
                turned.close()
                return source[0] == bench.outside


def echoes_pass(bench: Bench) -> bool:
    return all(bench.lab.device(host).ping(bench.ip("one")) for host in ("laptop", "desk"))


def icmp_timer(bench: Bench) -> bool:
    bench.home.flush_nat()
    bench.lab.device("laptop").ping(bench.ip("one"))
    return bench.timeout("icmp") >= 58


@dataclass(frozen=True)
class Requirement:
    """One of them, and for which kinds it holds."""

    rfc: int
    number: str
    level: str
    text: str
    measure: Callable[[Bench], bool]
    holds: frozenset[str]

    @property
    def name(self) -> str:
        return f"RFC {self.rfc} {self.number}"


REQUIREMENTS = (
    Requirement(4787, "REQ-1", "MUST", "endpoint-independent mapping", one_mapping, INDEPENDENT),
    Requirement(4787, "REQ-3", "MUST", "no two hosts share an outside port", nothing_shared, EVERY),
    Requirement(
        4787, "REQ-3a", "RECOMMENDED", "low ports become low ports", low_stays_low,
        EVERY - {"restricted", "cgnat"}
    ),
    Requirement(4787, "REQ-5", "MUST", "a UDP mapping lives for two minutes", udp_timer, LASTING),
    Requirement(
        4787, "REQ-8", "RECOMMENDED", "endpoint-independent filtering", strangers_come_in, OPEN
    ),
    Requirement(
        4787, "REQ-8", "or else", "address-dependent filtering", known_addresses_come_in,
        OPEN | {"restricted"},
    ),
    Requirement(4787, "REQ-9, 9a", "MUST", "hairpin, with the outside address", hairpin, TURNING),
    Requirement(4787, "REQ-10", "SHOULD", "payload is left alone", payload_is_left_alone, EVERY),
    Requirement(
        4787, "REQ-11", "MUST", "the same under clash and after a flush",
        the_same_under_clash_and_after_flush, EVERY,
    ),
    Requirement(
        4787, "REQ-12", "MUST", "ICMP errors pass and end no mapping", icmp_leaves_mappings_be,
        EVERY,
    ),
    Requirement(4787, "REQ-13, 14", "MUST", "fragments pass both ways", fragments_pass, EVERY),
    Requirement(5382, "REQ-1", "MUST", "endpoint-independent mapping", one_tcp_mapping, INDEPENDENT),
    Requirement(
        5382, "REQ-2a", "MUST", "simultaneous open on the inside port, begun outside", simultaneous_open,
        INDEPENDENT - {"restricted", "cgnat"},
    ),
    Requirement(
        5382, "REQ-3", "RECOMMENDED", "endpoint-independent filtering", tcp_strangers_come_in, OPEN
    ),
    Requirement(5382, "REQ-5", "MUST", "an open connection lives 2 h 4 min", tcp_timer, LASTING),
    Requirement(5382, "REQ-5", "MUST", "a half-open one, 4 min", tcp_half_open_timer, EVERY),
    Requirement(5382, "REQ-8, 8a", "MUST", "hairpin, with the outside address", tcp_hairpin, TURNING),
    Requirement(5508, "REQ-1", "MUST", "echoes of several hosts pass", echoes_pass, EVERY),
    Requirement(5508, "REQ-2", "MUST", "an echo is remembered for 60 s", icmp_timer, EVERY),
)  # fmt: skip
