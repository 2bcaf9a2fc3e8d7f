"""What the RFCs ask of a NAT, each as something that is measured, and what every kind answers.

`python tests/conformance/document.py` writes the table of the documentation from it.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import packets

from patchbay import (
    Device,
    FirewallConfig,
    FirewallRule,
    Lab,
    NatConfig,
    NatEntry,
    NatTimeouts,
    Router,
)

KINDS = {
    "home": "home",
    "home_legacy": "home_legacy",
    "full_cone": "full_cone",
    "cgnat": "cgnat",
    "corporate": "corporate",
    "cloud_nat": "cloud_nat",
    "restricted": NatConfig(
        filtering="address_dependent",
        ports=(20000, 29999),
        timeouts=NatTimeouts(tcp_opening=60, tcp_closing=10, icmp=30),
    ),
}
"""What is measured; `restricted` has address-dependent filtering, a range of ports, and forgets soon."""
EVERY = frozenset(KINDS)
INDEPENDENT = frozenset({"home", "home_legacy", "full_cone", "cgnat", "restricted"})
OPEN = frozenset({"full_cone", "cgnat"})
PATIENT = EVERY - {"restricted"}
CARRIER = frozenset({"cgnat"})
LASTING = frozenset({"home", "cgnat", "restricted"})
TURNING = OPEN | {"home"}

PATIENCE = 30
"""Seconds to wait for what is sure to come."""

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Bench:
    """Two hosts behind the router, two servers outside."""

    lab: Lab
    patience: float = 0.2
    """Seconds to wait for what may come."""

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

    def icmp(self, name: str) -> socket.socket:
        """A socket to which all ICMP errors come."""
        return self.lab.device(name).socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    def listen(self, name: str) -> socket.socket:
        made = self.tcp(name)
        made.listen()
        return made

    def timeout(self, protocol: str, inside: socket.socket | None = None) -> int:
        """Seconds that the youngest flow of a protocol has to live, or that of a socket inside.

        It is waited for: what begins it may be on its way to the router still.
        """
        port = None if inside is None else inside.getsockname()[1]
        found = self.flows(
            lambda each: each.protocol == protocol and port in (None, each.inside[1])
        )
        return max(each.timeout for each in found)

    def flows(self, wanted: Callable[[NatEntry], bool]) -> list[NatEntry]:
        """The flows of a kind, as soon as there is one."""
        deadline = time.monotonic() + PATIENCE
        while not (found := [each for each in self.home.nat_table() if wanted(each)]):
            assert time.monotonic() < deadline, "the NAT has no such flow"
            time.sleep(0.01)  # in virtual time, time passes only while all wait
        return found

    def lives(
        self, least: int, began: float, protocol: str, inside: socket.socket | None = None
    ) -> bool:
        """Whether a flow lives for so many seconds from a moment on, which has passed.

        A router tells whole seconds, rounded down; those that have passed meanwhile are added.
        """
        left = self.timeout(protocol, inside)
        return time.monotonic() + left - began > least - 2

    def arrives(self, data: bytes, at: socket.socket) -> bool:
        """Whether a packet arrives."""
        at.settimeout(self.patience)
        try:
            return at.recv(10_000) == data
        except TimeoutError:
            return False

    @staticmethod
    def _socket(device: Device, kind: socket.SocketKind, port: int) -> socket.socket:
        """A socket with a port that it shares with those that ask for it, and with no others."""
        made = device.socket(socket.AF_INET, kind)
        made.settimeout(PATIENCE)
        if not port:
            made.bind((str(device.ip), 0))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if port:
            made.bind((str(device.ip), port))
        return made


def send(source: socket.socket, target: socket.socket) -> Endpoint:
    """Send a packet, and see it arrive from somewhere."""
    source.sendto(b"out", target.getsockname())
    return target.recvfrom(100)[1]


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
        both = bench.arrives(b"to the first", laptop) and bench.arrives(b"to the second", desk)
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
        began = time.monotonic()
        send(inside, server)
        return bench.lives(120, began, "udp", inside)


def strangers_come_in(bench: Bench) -> bool:
    with bench.udp("laptop") as inside, bench.udp("one") as one, bench.udp("two") as stranger:
        stranger.sendto(b"unasked", send(inside, one))
        return bench.arrives(b"unasked", inside)


def known_addresses_come_in(bench: Bench) -> bool:
    with bench.udp("laptop") as inside, bench.udp("one") as one, bench.udp("one") as other:
        other.sendto(b"another port", send(inside, one))
        return bench.arrives(b"another port", inside)


def hairpin(bench: Bench) -> bool:
    with bench.udp("laptop") as laptop, bench.udp("desk") as desk, bench.udp("one") as server:
        seen = {each: send(each, server) for each in (laptop, desk)}
        laptop.sendto(b"turn back", seen[desk])
        desk.settimeout(bench.patience)
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
        return bench.arrives(data, server)


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
                return bench.arrives(b"still there", inside)
    return False


def fragments_pass(bench: Bench) -> bool:
    data = bytes(8000)
    with bench.udp("laptop") as inside, bench.udp("one") as server:
        inside.sendto(data, server.getsockname())
        _, seen = server.recvfrom(10_000)
        server.sendto(data, seen)
        return bench.arrives(data, inside)


def fragments_pass_in_any_order(bench: Bench) -> bool:
    """The last fragment comes first, out and in."""
    data = bytes(range(256)) * 8
    with bench.udp("laptop") as inside, bench.udp("one") as server:
        seen = send(inside, server)
        bench.lab.device("laptop").call(
            packets.send_reversed, inside.getsockname(), server.getsockname(), data
        )
        out = bench.arrives(data, server)
        bench.lab.device("one").call(packets.send_reversed, server.getsockname(), seen, data)
        return out and bench.arrives(data, inside)


def errors_of_anyone_pass(bench: Bench) -> bool:
    """A router on the way, not the peer, says that a packet was too long for it.

    The host is told about the packet that it sent; the mapping lives on, no longer than before.
    """
    bench.home.flush_nat()
    with bench.udp("laptop") as inside, bench.udp("one") as server:
        seen = send(inside, server)
        before = bench.timeout("udp", inside)
        inside.connect(server.getsockname())
        inside.setsockopt(socket.SOL_IP, packets.IP_MTU_DISCOVER, packets.IP_PMTUDISC_DO)
        about = packets.udp_packet(seen, server.getsockname())
        bench.lab.device("two").call(packets.send_too_long, bench.outside, about, 700)
        told = packets.told_of_mtu(inside, 700)
        # asked now: a datagram may refresh a mapping
        no_longer = bench.timeout("udp", inside) <= before
        inside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        server.sendto(b"still there", seen)
        return told and no_longer and bench.arrives(b"still there", inside)


def errors_about_nothing_are_dropped(bench: Bench) -> bool:
    """About a flow that is not there: nobody inside is told, and nothing is answered."""
    with bench.udp("laptop") as inside, bench.udp("one") as server:
        seen = send(inside, server)
        inside.connect(server.getsockname())
        elsewhere = packets.udp_packet((seen[0], seen[1] ^ 1), server.getsockname())
        bench.lab.device("two").call(packets.send_too_long, bench.outside, elsewhere, 690)
        inside.send(b"in order")
        return bench.arrives(b"in order", server) and not packets.told_of_mtu(
            inside, 690, patience=0
        )


def errors_from_inside_show_no_inside_address(bench: Bench) -> bool:
    """A closed port inside is reported to the peer as the outside port."""
    with bench.udp("one") as server:
        inside = bench.udp("laptop")
        seen = send(inside, server)
        inside.close()
        server.connect(seen)
        server.send(b"anyone?")
        server.settimeout(PATIENCE)
        try:
            server.recv(100)
        except ConnectionRefusedError:
            return True
    return False


def turned_errors_reach_their_host(bench: Bench) -> bool:
    """From inside to an outside port whose host has closed it."""
    with bench.udp("one") as server, bench.udp("laptop") as laptop:
        desk = bench.udp("desk")
        where = send(desk, server)
        desk.close()
        laptop.connect(where)
        laptop.send(b"anyone?")
        laptop.settimeout(bench.patience)
        try:
            laptop.recv(100)
        except ConnectionRefusedError:
            # Without a hairpin it is the router itself that has nobody at that port.
            return any(str(each.inside[0]) == bench.ip("laptop") for each in turned(bench))
        except TimeoutError:
            return False
    return False


def turned(bench: Bench) -> list[NatEntry]:
    """What goes from inside to the outside address."""
    return [each for each in bench.home.nat_table() if str(each.remote[0]) == bench.outside]


def a_share_for_each(bench: Bench) -> bool:
    """A host that opens flow after flow is stopped, another one is not; with a small share."""
    nat = bench.home.nat
    config = nat if isinstance(nat, NatConfig) else nat.config
    assert config is not None
    bench.home.set_nat(replace(config, quota=config.quota and 20), flush=True)
    with bench.udp("laptop") as greedy, bench.udp("one") as server, bench.udp("desk") as other:
        for port in range(10_000, 10_030):
            greedy.sendto(b"one more", (bench.ip("one"), port))
        seen = send(other, server)
        mine = [
            each for each in bench.home.nat_table() if str(each.inside[0]) == bench.ip("laptop")
        ]
    bench.home.set_nat(nat, flush=True)
    return len(mine) == 20 and seen[0] == bench.outside


def ports_come_in_blocks(bench: Bench) -> bool:
    """A host's first ports are of one block of 64, and another host's of another."""
    bench.home.flush_nat()
    blocks = []
    with bench.udp("one") as server:
        for name in ("laptop", "desk"):
            sockets = [bench.udp(name) for _ in range(8)]
            blocks.append({send(each, server)[1] // 64 for each in sockets})
            for each in sockets:
                each.close()
    return [len(each) for each in blocks] == [1, 1] and not blocks[0] & blocks[1]


def unsolicited_syns_are_not_answered(bench: Bench) -> bool:
    with bench.tcp("one") as outside:
        outside.settimeout(bench.patience)
        try:
            outside.connect((bench.outside, 4444))
        except TimeoutError:
            return True
        except OSError:
            return False
    return False


def a_reset_is_remembered(bench: Bench) -> bool:
    """The state of a connection stays for four minutes after its reset."""
    bench.home.flush_nat()
    with bench.listen("one") as server, bench.tcp("laptop") as client:
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        began = time.monotonic()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        try:
            client.recv(100)
        except ConnectionResetError:
            remembered = bench.lives(240, began, "tcp", client)
            return remembered and bench.timeout("tcp", client) <= 240
    return False


def too_long_is_told_or_cut(bench: Bench) -> bool:
    """Where the uplink takes less than the LAN: fragments, or an error if these are forbidden."""
    uplink = bench.home.iface("wan")
    before = uplink.mtu
    uplink.set_mtu(1300)
    try:
        with bench.udp("laptop") as inside, bench.udp("two") as server:
            inside.connect(server.getsockname())
            inside.setsockopt(socket.SOL_IP, packets.IP_MTU_DISCOVER, packets.IP_PMTUDISC_DONT)
            inside.send(bytes(1400))
            cut = bench.arrives(bytes(1400), server)
            inside.setsockopt(socket.SOL_IP, packets.IP_MTU_DISCOVER, packets.IP_PMTUDISC_DO)
            with contextlib.suppress(OSError):  # it has been told before
                inside.send(bytes(1400))
            return cut and packets.told_of_mtu(inside, 1300)
    finally:
        uplink.set_mtu(before)


def times_are_exceeded(bench: Bench) -> bool:
    """By a router outside, and by the NAT itself: what finds out the way to a server."""
    with bench.icmp("laptop") as errors, bench.udp("laptop") as inside, bench.udp("one") as server:
        told = []
        for hops in (1, 2):
            inside.setsockopt(socket.SOL_IP, socket.IP_TTL, hops)
            inside.sendto(b"how far?", server.getsockname())
            told.append(packets.error_comes(errors, 11, inside.getsockname(), bench.patience))
        return all(told)


def nothing_shared_in_tcp(bench: Bench) -> bool:
    with (
        bench.listen("one") as server,
        bench.tcp("laptop") as laptop,
        bench.tcp("desk", laptop.getsockname()[1]) as desk,
    ):
        seen = set()
        for client, word in ((laptop, b"to the first"), (desk, b"to the second")):
            client.connect(server.getsockname())
            accepted, address = server.accept()
            seen.add(address)
            accepted.sendall(word)
            accepted.close()
        both = bench.arrives(b"to the first", laptop) and bench.arrives(b"to the second", desk)
        return len(seen) == 2 and both


def tcp_payload_is_left_alone(bench: Bench) -> bool:
    """What a helper for FTP would change."""
    with bench.tcp("one", 21) as server, bench.tcp("laptop") as client:
        server.listen()
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            data = f"PORT {bench.ip('laptop').replace('.', ',')},19,137\r\n".encode()
            client.sendall(data)
            return bench.arrives(data, accepted)


def errors_leave_connections_be(bench: Bench) -> bool:
    """One that anybody sends about a connection reaches its host; the connection goes on."""
    with (
        bench.listen("one") as server,
        bench.tcp("laptop") as client,
        bench.icmp("laptop") as errors,
    ):
        client.connect(server.getsockname())
        accepted, seen = server.accept()
        with accepted:
            about = packets.tcp_segment(seen, server.getsockname())
            bench.lab.device("two").call(packets.send_unreachable, bench.outside, about)
            told = packets.error_comes(errors, 3, client.getsockname(), bench.patience)
            accepted.sendall(b"in")
            client.sendall(b"out")
            return told and bench.arrives(b"in", client) and bench.arrives(b"out", accepted)


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


def syns_cross(bench: Bench) -> bool:
    """The SYN from inside is lost beyond the NAT; the one from outside is all that comes of it."""
    dc = bench.lab.router("dc")
    lost = FirewallRule("drop", "inbound", "tcp", destination=f"{bench.ip('one')}/32")
    with bench.tcp("laptop") as inside, bench.tcp("one") as outside:
        dc.set_firewall(FirewallConfig(rules=[lost]))
        try:
            inside.setblocking(False)
            inside.connect_ex(outside.getsockname())
            # Answers to what came from behind it pass the router that drops.
            outside.connect(outside_of(bench, inside.getsockname(), outside.getsockname()))
        finally:
            dc.set_firewall("none")
        inside.settimeout(PATIENCE)
        inside.sendall(b"open")
        return bench.arrives(b"open", outside)


def outside_of(bench: Bench, inside: Endpoint, remote: Endpoint) -> Endpoint:
    """The outside endpoint of a flow, as soon as it is there."""
    flow = (IPv4Address(inside[0]), inside[1]), (IPv4Address(remote[0]), remote[1])
    host, port = bench.flows(lambda each: (each.inside, each.remote) == flow)[0].outside
    return str(host), port


def opened_from_both_sides(bench: Bench) -> bool:
    """Both connect to where a third one saw the other, outside first.

    Who is kept out by a filter is met by the SYN of the other one.
    """
    with (
        bench.listen("two") as third,
        bench.tcp("laptop") as known,
        bench.tcp("laptop", known.getsockname()[1]) as listener,
        bench.tcp("laptop", known.getsockname()[1]) as inside,
        bench.tcp("one") as outside,
    ):
        known.connect(third.getsockname())
        accepted, seen = third.accept()
        listener.listen()
        outside.setblocking(False)
        outside.connect_ex(seen)
        inside.settimeout(PATIENCE)
        with accepted:
            try:
                inside.connect(outside.getsockname())
            except ConnectionRefusedError:  # it was seen with another port
                return False
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                    raise  # else the listener has it already
            connected = select.select([], [outside], [], PATIENCE)[1]
        return bool(connected) and not outside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def tcp_strangers_come_in(bench: Bench) -> bool:
    with bench.listen("one") as one, bench.tcp("laptop") as inside:
        inside.connect(one.getsockname())
        accepted, seen = one.accept()
        with accepted, bench.tcp("laptop", inside.getsockname()[1]) as server:
            server.listen()
            with bench.tcp("two") as stranger:
                stranger.settimeout(bench.patience)
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
            began = time.monotonic()
            accepted.sendall(b"established")
            client.recv(100)
            return bench.lives(7440, began, "tcp", client)


def tcp_half_open_timer(bench: Bench) -> bool:
    """A connection that nobody answers is remembered for four minutes."""
    bench.home.flush_nat()
    with bench.tcp("laptop") as client:
        client.setblocking(False)
        began = time.monotonic()
        client.connect_ex(("198.18.255.1", 9))
        return bench.lives(240, began, "tcp", client)


def tcp_hairpin(bench: Bench) -> bool:
    with bench.listen("one") as one, bench.tcp("desk") as outward:
        outward.connect(one.getsockname())
        accepted, seen = one.accept()
        with accepted, bench.tcp("desk", outward.getsockname()[1]) as server:
            server.listen()
            with bench.tcp("laptop") as client:
                client.settimeout(bench.patience)
                try:
                    client.connect(seen)
                except OSError:
                    return False
                turned, source = server.accept()
                turned.close()
                return source[0] == bench.outside


def echoes_pass(bench: Bench) -> bool:
    one = bench.ip("one")
    return all(bench.lab.device(host).ping(one, timeout=PATIENCE) for host in ("laptop", "desk"))


def icmp_timer(bench: Bench) -> bool:
    bench.home.flush_nat()
    began = time.monotonic()
    bench.lab.device("laptop").ping(bench.ip("one"), timeout=PATIENCE)
    return bench.lives(60, began, "icmp")


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
    Requirement(
        4787, "REQ-13", "MUST", "too long for the uplink: cut, or told if it must not be",
        too_long_is_told_or_cut, EVERY,
    ),
    Requirement(4787, "REQ-13, 14", "MUST", "fragments pass both ways", fragments_pass, EVERY),
    Requirement(
        4787, "REQ-14", "MUST", "fragments pass in any order", fragments_pass_in_any_order, EVERY
    ),
    Requirement(5382, "REQ-1", "MUST", "endpoint-independent mapping", one_tcp_mapping, INDEPENDENT),
    Requirement(5382, "REQ-2a", "MUST", "simultaneous open: SYNs that cross", syns_cross, EVERY),
    Requirement(
        5382, "REQ-2a, 4", "MUST", "opened from both sides, outside first, at the port that others see",
        opened_from_both_sides, INDEPENDENT,
    ),
    Requirement(
        5382, "REQ-3", "RECOMMENDED", "endpoint-independent filtering", tcp_strangers_come_in, OPEN
    ),
    Requirement(
        5382, "REQ-4a", "MAY", "unsolicited SYNs are not answered",
        unsolicited_syns_are_not_answered, EVERY,
    ),
    Requirement(
        7857, "2.2", "SHOULD", "a reset connection is remembered for 4 min", a_reset_is_remembered,
        PATIENT,
    ),
    Requirement(5382, "REQ-5", "MUST", "an open connection lives 2 h 4 min", tcp_timer, LASTING),
    Requirement(5382, "REQ-5", "MUST", "a half-open one, 4 min", tcp_half_open_timer, PATIENT),
    Requirement(
        5382, "REQ-6", "RECOMMENDED", "payload is left alone", tcp_payload_is_left_alone, EVERY
    ),
    Requirement(
        5382, "REQ-7", "MUST", "no two hosts share an outside port", nothing_shared_in_tcp, EVERY
    ),
    Requirement(5382, "REQ-8, 8a", "MUST", "hairpin, with the outside address", tcp_hairpin, TURNING),
    Requirement(
        5382, "REQ-9, 10", "MUST", "ICMP errors pass and end no connection",
        errors_leave_connections_be, EVERY,
    ),
    Requirement(5508, "REQ-1", "MUST", "echoes of several hosts pass", echoes_pass, EVERY),
    Requirement(5508, "REQ-2", "MUST", "an echo is remembered for 60 s", icmp_timer, PATIENT),
    Requirement(
        5508, "REQ-4, 6", "MUST", "errors of anyone reach the host, and change no lifetime",
        errors_of_anyone_pass, EVERY,
    ),
    Requirement(
        5508, "REQ-4", "SHOULD", "errors about no mapping are dropped",
        errors_about_nothing_are_dropped, EVERY,
    ),
    Requirement(
        5508, "REQ-5", "MUST", "errors from inside are about the outside port",
        errors_from_inside_show_no_inside_address, EVERY,
    ),
    Requirement(
        5508, "REQ-7", "MUST", "errors turn back inside", turned_errors_reach_their_host, TURNING
    ),
    Requirement(
        5508, "REQ-10", "MUST", "time exceeded comes in, and is told by the NAT itself",
        times_are_exceeded, EVERY,
    ),
    Requirement(
        6888, "REQ-4, 11", "MUST", "a host has its share of ports, and others theirs",
        a_share_for_each, CARRIER,
    ),
    Requirement(6888, "REQ-14", "SHOULD", "ports in blocks", ports_come_in_blocks, CARRIER),
)  # fmt: skip
