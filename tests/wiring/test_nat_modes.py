"""Every mapping with every filtering, for UDP and for TCP, with real sockets on both sides.

Behind the router are two hosts with one and the same port each; outside are two addresses with two
ports each. A UDP packet is known to be dropped when one that was sent behind it has arrived, as one
processor carries them all.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from small_networks import (
    NO_DAD,
    PATIENCE,
    acquaintances,
    address,
    internet,
    knows,
    plugged,
    udp,
)

from patchbay.rules import nat
from patchbay.topology.steps import AddNode, SetSysctl, SetTables
from patchbay.values import Nat, NatConfig, NatFiltering, NatMapping, NatTimeouts
from patchbay.wiring.kernel import Kernel
from tests.waiting import wait_until

WAN = "198.18.0.10"
PORT = 40000
HOSTS = {"laptop": "10.0.1.2", "tablet": "10.0.1.3"}
PEERS = [(ip, port) for ip in ("198.18.0.20", "198.18.0.21") for port in (7000, 7001)]
ALL = list(itertools.product(NatMapping, NatFiltering))
A_DAY = "86400"
"""Seconds; longer than any test takes."""


class Router:
    """The router of `internet`, with two hosts behind it, and what it is set to.

    It forgets no flow by itself until it is told its timeouts, however long the test takes.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tables = ()
        self.further: set[object] = set()
        tablet = plugged(
            2, "tablet", "eth0", "home", "10.0.1.3/24", "fd10::3/64",
            gateways=("10.0.1.1", "fd10::1"),
        )  # fmt: skip
        hosts = (("laptop", "10.0.1.2", 1), ("tablet", "10.0.1.3", 2))
        kernel.apply_all(
            [
                *internet(),
                AddNode(node="tablet", sysctls=NO_DAD),
                *tablet,
                *acquaintances(*hosts),
                *(
                    SetSysctl(node="home", key=key, value=A_DAY, old=value)
                    for key, value in nat.sysctls(Nat.NONE)
                ),
            ]
        )

    def set(self, config: Nat | NatConfig) -> None:
        tables = nat.tables(config, wan="wan", address=ip_address(WAN))
        self.kernel.apply(SetTables(node="home", tables=tables, old=self.tables))
        self.tables = tables
        config = config if isinstance(config, NatConfig) else config.config
        for further in () if config is None else config.outside_addresses:
            if further not in self.further:
                self.further.add(further)
                mac = "02:00:00:01:00:07"
                self.kernel.apply(address("home", "wan", f"{further}/32"))
                self.kernel.apply(knows("server", "eth0", str(further), mac))

    def set_timeouts(self, config: NatConfig) -> None:
        for key, value in nat.sysctls(config):
            self.kernel.apply(SetSysctl(node="home", key=key, value=value, old=A_DAY))

    def reset(self, config: Nat | NatConfig) -> None:
        """Set it to what it is to be, with nothing left of what was."""
        self.kernel.apply(SetTables(node="home", tables=(), old=self.tables))
        self.tables = ()
        self.kernel.flush_conntrack("home")
        self.set(config)


def same_mapping(mapping: NatMapping, one: tuple[str, int], other: tuple[str, int]) -> bool:
    """What the model says: whether a socket has one mapping for two peers."""
    match mapping:
        case NatMapping.ENDPOINT_INDEPENDENT:
            return True
        case NatMapping.ADDRESS_DEPENDENT:
            return one[0] == other[0]
        case NatMapping.ADDRESS_AND_PORT_DEPENDENT:
            return one == other


def lets_in(filtering: NatFiltering, sent_to: list[tuple[str, int]], by: tuple[str, int]) -> bool:
    """What the model says: whether a mapping that sent to some lets someone in."""
    match filtering:
        case NatFiltering.ENDPOINT_INDEPENDENT:
            return True
        case NatFiltering.ADDRESS_DEPENDENT:
            return by[0] in [ip for ip, _ in sent_to]
        case NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
            return by in sent_to


def test_udp_behaves_as_the_model_says(kernel):
    """Mappings over four peers, two hosts with one port, and every peer's way back in."""
    router = Router(kernel)
    peers = {peer: udp(kernel, "server", *peer) for peer in PEERS}
    for mapping, filtering in ALL:
        router.reset(NatConfig(mapping, filtering))
        inside = {host: udp(kernel, host, ip, PORT) for host, ip in HOSTS.items()}
        # The first host speaks to the first three peers, the second to the last three.
        sent = {"laptop": PEERS[:3], "tablet": PEERS[1:]}
        outside: dict[tuple[str, tuple[str, int]], int] = {}
        for host, to in sent.items():
            for peer in to:
                inside[host].sendto(host.encode(), peer)
                data, (address, port) = peers[peer].recvfrom(100)
                assert (data, address) == (host.encode(), WAN)
                outside[host, peer] = port
        case = f"{mapping} {filtering} {outside}"
        for (host, peer), port in outside.items():
            for (other_host, other), other_port in outside.items():
                same = host == other_host and same_mapping(mapping, peer, other)
                assert (port == other_port) is same, case
        if mapping is NatMapping.ENDPOINT_INDEPENDENT:
            assert outside["laptop", PEERS[0]] == PORT
        flows = dict(outside)
        for (host, peer), port in outside.items():
            shown_to = [to for (h, to), p in outside.items() if (h, p) == (host, port)]
            for socket_ in peers.values():
                socket_.sendto(b"%d" % port, (WAN, port))
            expected = [by for by in PEERS if lets_in(filtering, shown_to, by)]
            # What comes last is let in under all circumstances.
            peers[peer].sendto(b"last", (WAN, port))
            got = []
            while (received := inside[host].recvfrom(100))[0] != b"last":
                assert received[0] == b"%d" % port
                got.append(received[1])
            # The one thing that a kernel cannot do: it tells flows apart by both their ends, so
            # where a peer writes to another mapping than its own, its port is seen changed.
            for number, by in enumerate(expected):
                if flows.setdefault((host, by), port) != port:
                    assert got[number][0] == by[0]
                    got[number] = by
            assert got == expected, case
            other_host = inside["tablet" if host == "laptop" else "laptop"]
            assert not select.select([other_host], [], [], 0)[0], case
        for socket_ in inside.values():
            socket_.close()


def test_tcp_behaves_as_the_model_says(kernel):
    """The same as for UDP: connections out, then connections in, refused or accepted."""
    router = Router(kernel)
    with kernel.inside("server"):
        listeners = {peer: socket.create_server(peer) for peer in PEERS}
    for mapping, filtering in ALL:
        router.reset(NatConfig(mapping, filtering))
        sent = {"laptop": PEERS[:2], "tablet": PEERS[1:3]}
        outside: dict[tuple[str, tuple[str, int]], int] = {}
        opened = []
        for host, to in sent.items():
            with kernel.inside(host):
                opened.append(bound(socket.create_server((HOSTS[host], PORT), reuse_port=True)))
                for peer in to:
                    opened.append(tcp((HOSTS[host], PORT)))
                    opened[-1].connect(peer)
                    accepted, (address, port) = listeners[peer].accept()
                    opened.append(bound(accepted))
                    assert address == WAN
                    outside[host, peer] = port
        case = f"{mapping} {filtering} {outside}"
        for (host, peer), port in outside.items():
            for (other_host, other), other_port in outside.items():
                same = host == other_host and same_mapping(mapping, peer, other)
                assert (port == other_port) is same, case
        for number, (host, port) in enumerate({(h, p) for (h, _), p in outside.items()}):
            shown_to = [to for (h, to), p in outside.items() if (h, p) == (host, port)]
            for ip in {ip for ip, _ in PEERS}:
                stranger = ip, 7100 + number
                with kernel.inside("server"):
                    knocking = bound(tcp(stranger))
                opened.append(knocking)
                knocking.setblocking(False)
                knocking.connect_ex((WAN, port))
                expected = lets_in(filtering, [(ip, 0) for ip, _ in shown_to], (ip, 0))
                if filtering is NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
                    expected = False
                if expected:
                    assert select.select([], [knocking], [], PATIENCE)[1], case
                    assert knocking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, case
                known = {
                    (str(entry.original.source), entry.original.source_port)
                    for entry in kernel.conntrack("home")
                }
                assert (stranger in known) is expected, case
        for each in opened:
            each.close()


def tcp(address: tuple[str, int]) -> socket.socket:
    """A TCP socket that shares its port with others."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.settimeout(PATIENCE)
    made.bind(address)
    return made


def bound(made: socket.socket) -> socket.socket:
    """A socket that is reset when it is closed, so that its port can be used again at once."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return made


def test_hosts_reach_each_other_by_their_outside_addresses(kernel):
    """Hairpin, UDP and TCP: the receiver sees the sender's outside address, and answers to it."""
    router = Router(kernel)
    peer = udp(kernel, "server", *PEERS[0])
    for mapping, filtering in ALL:
        router.reset(NatConfig(mapping, filtering, hairpin=True))
        inside = {host: udp(kernel, host, ip, PORT) for host, ip in HOSTS.items()}
        outside = {}
        for host, socket_ in inside.items():
            socket_.sendto(b"out", PEERS[0])
            outside[host] = peer.recvfrom(100)[1]
        inside["laptop"].sendto(b"turn back", outside["tablet"])
        data, seen = inside["tablet"].recvfrom(100)
        assert (data, seen[0]) == (b"turn back", WAN)
        if mapping is NatMapping.ENDPOINT_INDEPENDENT:
            assert seen == outside["laptop"]
        inside["tablet"].sendto(b"and again", seen)
        assert inside["laptop"].recvfrom(100) == (b"and again", outside["tablet"])
        for socket_ in inside.values():
            socket_.close()
    with kernel.inside("server"):
        listener = socket.create_server(PEERS[1])
    with kernel.inside("tablet"):
        opened = tcp((HOSTS["tablet"], PORT))
        opened.connect(PEERS[1])
        server = socket.create_server((HOSTS["tablet"], PORT), reuse_port=True)
    accepted, where = listener.accept()
    with kernel.inside("laptop"):
        client = socket.create_connection(where, PATIENCE)
    turned, seen = server.accept()
    assert seen[0] == WAN
    client.sendall(b"turn back")
    assert turned.recv(100) == b"turn back"
    accepted.close()


def test_an_early_packet_steals_nothing_in_any_mode(kernel):
    """Simultaneous open: whoever is first, both ports are kept and the flow opens."""
    router = Router(kernel)
    peer, other = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    for number, (mapping, filtering) in enumerate(ALL):
        router.reset(NatConfig(mapping, filtering))
        inside = udp(kernel, "laptop", HOSTS["laptop"], PORT + number)
        for early in range(20):
            (peer, other)[early % 2].sendto(b"early", (WAN, PORT + number))
        inside.sendto(b"out", PEERS[0])
        data, seen = peer.recvfrom(100)
        assert data == b"out"
        if mapping is NatMapping.ENDPOINT_INDEPENDENT:
            assert seen == (WAN, PORT + number)
        peer.sendto(b"back", seen)
        assert inside.recvfrom(100) == (b"back", PEERS[0])


def test_a_stranger_is_seen_as_itself(kernel):
    router = Router(kernel)
    router.set(Nat.FULL_CONE)
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = udp(kernel, "laptop", HOSTS["laptop"], PORT)
    inside.sendto(b"out", PEERS[0])
    assert peer.recvfrom(100)[1] == (WAN, PORT)
    stranger.sendto(b"unasked", (WAN, PORT))
    assert inside.recvfrom(100) == (b"unasked", PEERS[3])
    inside.sendto(b"welcome", PEERS[3])
    assert stranger.recvfrom(100) == (b"welcome", (WAN, PORT))


def test_a_mapping_ends_with_its_last_connection(kernel):
    """What the kernel forgets lets nobody in any more, and its port goes to who comes next."""
    router = Router(kernel)
    router.set(Nat.FULL_CONE)
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = {host: udp(kernel, host, ip, PORT) for host, ip in HOSTS.items()}
    inside["laptop"].sendto(b"out", PEERS[0])
    assert peer.recvfrom(100)[1] == (WAN, PORT)
    kernel.flush_conntrack("home", router.tables)
    stranger.sendto(b"too late", (WAN, PORT))
    inside["tablet"].sendto(b"out", PEERS[0])
    assert peer.recvfrom(100) == (b"out", (WAN, PORT))
    stranger.sendto(b"unasked", (WAN, PORT))
    assert inside["tablet"].recvfrom(100) == (b"unasked", PEERS[3])
    inside["laptop"].sendto(b"again", PEERS[0])
    assert peer.recvfrom(100)[1] != (WAN, PORT)
    assert not select.select([inside["laptop"]], [], [], 0)[0]


def test_an_idle_mapping_ends_when_its_timeout_says(kernel):
    """After `udp` seconds for one that nobody answered; not before for one that was answered."""
    router = Router(kernel)
    timeouts = NatTimeouts(udp=1, udp_stream=300)
    config = NatConfig("endpoint_independent", "endpoint_independent", timeouts=timeouts)
    router.set(config)
    router.set_timeouts(config)
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    idle, used = (udp(kernel, "laptop", HOSTS["laptop"], PORT + n) for n in range(2))
    idle.sendto(b"out", PEERS[0])
    peer.recv(100)

    def left() -> dict[int, int]:
        """The seconds that each port inside has left."""
        return {each.original.source_port: each.timeout for each in kernel.conntrack("home")}

    def is_stream() -> bool:
        """What is answered is a stream when it has gone on for two seconds."""
        used.sendto(b"out", PEERS[0])
        _, where = peer.recvfrom(100)
        peer.sendto(b"back", where)
        if select.select([used], [], [], 1)[0]:  # before it is a stream, it may end any time
            used.recv(100)
        ports = left()
        return ports.get(PORT + 1, 0) >= 100 and PORT not in ports

    wait_until(is_stream)
    stranger.sendto(b"to nobody", (WAN, PORT))
    stranger.sendto(b"to somebody", (WAN, PORT + 1))
    while (got := used.recvfrom(100)) == (b"back", PEERS[0]):
        pass
    assert got == (b"to somebody", PEERS[3])
    assert not select.select([idle], [], [], 0)[0]


def test_two_hosts_with_many_ports_never_share_one(kernel):
    """Two hundred sockets on either host, all with the same ports, all mappings different."""
    router = Router(kernel)
    router.set(Nat.HOME)
    peers = [udp(kernel, "server", *peer) for peer in PEERS]
    seen = set()
    for port in range(PORT, PORT + 200):
        for number, (host, ip) in enumerate(HOSTS.items()):
            inside = udp(kernel, host, ip, port)
            here = set()
            for peer, name in ((peers[number], PEERS[number]), (peers[3], PEERS[3])):
                inside.sendto(b"out", name)
                here.add(peer.recvfrom(100)[1])
            assert len(here) == 1
            seen |= here
    assert len(seen) == 400


def test_a_small_range_is_used_up_and_then_nobody_gets_out(kernel):
    router = Router(kernel)
    for mapping in NatMapping:
        router.reset(NatConfig(mapping, ports=(50000, 50009)))
        peer = udp(kernel, "server", *PEERS[0])
        seen = set()
        sockets = [udp(kernel, "laptop", HOSTS["laptop"], PORT + n) for n in range(11)]
        for inside in sockets[:10]:
            inside.sendto(b"out", PEERS[0])
            seen.add(peer.recvfrom(100)[1][1])
        assert seen == set(range(50000, 50010))
        sockets[10].sendto(b"no port is left", PEERS[0])
        sockets[0].sendto(b"mine still works", PEERS[0])
        assert peer.recv(100) == b"mine still works"
        for each in (*sockets, peer):
            each.close()


def test_low_ports_stay_low(kernel):
    """RFC 4787 REQ-3a: also where two hosts have the same one."""
    router = Router(kernel)
    for mapping in NatMapping:
        router.reset(NatConfig(mapping))
        peer = udp(kernel, "server", *PEERS[0])
        for port, low in ((500, True), (5000, False)):
            for host, ip in HOSTS.items():
                with udp(kernel, host, ip, port) as inside:
                    inside.sendto(b"out", PEERS[0])
                    assert (peer.recvfrom(100)[1][1] < 1024) is low
        peer.close()


def test_a_change_keeps_what_is_in_use(kernel):
    """A new kind of NAT lets flows be, gives their ports to nobody, and treats new ones its way."""
    router = Router(kernel)
    router.set(Nat.HOME)
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = {host: udp(kernel, host, ip, PORT) for host, ip in HOSTS.items()}
    inside["laptop"].sendto(b"out", PEERS[0])
    assert peer.recvfrom(100)[1] == (WAN, PORT)
    router.set(Nat.FULL_CONE)
    stranger.sendto(b"now they may", (WAN, PORT))
    assert inside["laptop"].recvfrom(100) == (b"now they may", PEERS[3])
    for kind in (Nat.CORPORATE, Nat.CGNAT, Nat.HOME):
        router.set(kind)
        inside["laptop"].sendto(b"still", PEERS[0])
        assert peer.recvfrom(100)[1] == (WAN, PORT)
        inside["tablet"].sendto(b"new", PEERS[3])
        assert stranger.recvfrom(100)[1] != (WAN, PORT)


def test_a_port_is_not_reused_while_the_last_segments_may_come(kernel):
    """A closed TCP connection's port goes to no other host for a while, but to its own."""
    router = Router(kernel)
    router.set(Nat.HOME)
    with kernel.inside("server"):
        listener = socket.create_server(PEERS[0])
    ports = []
    for host in ("laptop", "tablet", "laptop"):
        with kernel.inside(host), tcp((HOSTS[host], PORT)) as client:
            client.connect(PEERS[0])
            accepted, (_, port) = listener.accept()
            ports.append(port)
            with bound(accepted):
                accepted.sendall(b"hello")
                assert client.recv(100) == b"hello"
    assert ports[0] == ports[2] == PORT
    assert ports[1] != PORT


def test_first_packets_at_the_same_time_get_one_mapping(kernel):
    """Two threads, on two processors maybe, begin flows of one socket: both see the same port."""
    os.sched_setaffinity(0, range(os.cpu_count()))
    router = Router(kernel)
    router.set(Nat.HOME)
    peers = [udp(kernel, "server", *peer) for peer in PEERS[:2]]
    with udp(kernel, "tablet", HOSTS["tablet"], PORT) as other, ThreadPoolExecutor(2) as threads:
        other.sendto(b"the port is taken", PEERS[0])
        peers[0].recv(100)
        barrier = threading.Barrier(2)

        def begin(inside: socket.socket, peer: tuple[str, int]) -> None:
            barrier.wait()
            inside.sendto(b"out", peer)

        for _ in range(200):
            kernel.flush_conntrack("home", router.tables)
            with udp(kernel, "laptop", HOSTS["laptop"], PORT) as inside:
                begun = [threads.submit(begin, inside, peer) for peer in PEERS[:2]]
                for each in begun:
                    each.result()
                first, second = (peer.recvfrom(100)[1] for peer in peers)
                assert first == second
