"""What a `NatConfig` can say beside mapping and filtering, seen from both sides of a router."""

from __future__ import annotations

import errno
import select
import socket
import time
from ipaddress import ip_address

import pytest
from by_hand import RST, Hand, Packet, Segment, segment
from small_networks import PATIENCE, await_ticks, udp
from test_nat_modes import HOSTS, PEERS, PORT, WAN, Router, bound, tcp

from patchbay.ping import ping
from patchbay.topology.steps import Forget
from patchbay.values import NatConfig, NatTimeouts, PortForward
from tests.waiting import wait_until

IP_RECVERR = 11
OTHERS = ("198.18.0.11", "198.18.0.12")
OPEN = {"filtering": "endpoint_independent"}
LAPTOP, TABLET = HOSTS["laptop"], HOSTS["tablet"]


def seen(inside, peer) -> tuple[str, int]:
    """Where a peer sees a socket."""
    inside.sendto(b"out", peer.getsockname())
    data, where = peer.recvfrom(100)
    assert data == b"out"
    return where


def silent(*sockets) -> bool:
    return not select.select(sockets, [], [], 0)[0]


def test_udp_and_tcp_are_set_apart(kernel):
    router = Router(kernel)
    router.set(NatConfig(**OPEN, tcp_mapping="address_and_port_dependent"))
    peers = [udp(kernel, "server", *peer) for peer in PEERS[:2]]
    inside = udp(kernel, "laptop", LAPTOP, PORT)
    assert {seen(inside, peer) for peer in peers} == {(WAN, PORT)}
    ports = set()
    for peer in PEERS[:2]:
        with kernel.inside("server"):
            listener = socket.create_server(peer)
        with kernel.inside("laptop"):
            client = tcp((LAPTOP, PORT))
        client.connect(peer)
        accepted, where = listener.accept()
        ports.add(bound(accepted).getpeername())
        assert where[0] == WAN
        bound(client)
    assert len(ports) == 2


def test_a_forwarded_port_leads_inside_and_is_nobody_elses(kernel):
    router = Router(kernel)
    forwards = [
        PortForward("udp", PORT, LAPTOP, 5000),
        PortForward("tcp", 80, LAPTOP, 8080),
    ]
    router.set(NatConfig(hairpin=True, forwards=forwards))
    peer, server = udp(kernel, "server", *PEERS[0]), udp(kernel, "laptop", LAPTOP, 5000)
    peer.sendto(b"unasked", (WAN, PORT))
    assert server.recvfrom(100) == (b"unasked", PEERS[0])
    server.sendto(b"answer", PEERS[0])
    assert peer.recvfrom(100) == (b"answer", (WAN, PORT))
    other = udp(kernel, "server", *PEERS[3])
    assert seen(server, other) == (WAN, PORT)
    rival = udp(kernel, "tablet", TABLET, PORT)
    assert seen(rival, peer)[1] != PORT
    rival.sendto(b"turn back", (WAN, PORT))
    data, (address, _) = server.recvfrom(100)
    assert (data, address) == (b"turn back", WAN)
    with kernel.inside("laptop"):
        listener = socket.create_server((LAPTOP, 8080))
    with kernel.inside("server"):
        client = socket.create_connection((WAN, 80), PATIENCE, source_address=PEERS[0])
    accepted, where = listener.accept()
    assert where == PEERS[0]
    client.sendall(b"hello")
    assert accepted.recv(100) == b"hello"


def test_a_port_that_comes_to_be_forwarded_is_given_to_no_new_flow_of_who_had_it(kernel):
    """Else two hosts would be seen with it, and packets of the second to a peer of both be lost."""
    router = Router(kernel)
    first, other = (udp(kernel, "server", *PEERS[index]) for index in (0, 1))
    for port, mapping in enumerate(("endpoint_independent", "address_dependent"), start=PORT):
        router.set(NatConfig(mapping, port_choice="preserve"))
        old, new = udp(kernel, "laptop", LAPTOP, port), udp(kernel, "tablet", TABLET, port)
        assert seen(old, first) == (WAN, port)
        router.set(NatConfig(mapping, forwards=[PortForward("udp", port, TABLET)]))
        other.sendto(b"unasked", (WAN, port))
        assert new.recvfrom(100) == (b"unasked", PEERS[1])

        assert seen(old, first) == (WAN, port)
        address, another = seen(old, other)
        assert (address, another != port) == (WAN, True)
        other.sendto(b"answer", (address, another))
        assert old.recvfrom(100) == (b"answer", PEERS[1])
        assert seen(new, other) == (WAN, port)


def test_two_addresses_stand_for_each_other(kernel):
    """Every port and protocol, in both directions, and from inside if it may turn back."""
    router = Router(kernel)
    router.set(NatConfig(hairpin=True, one_to_one={LAPTOP: OTHERS[0]}))
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = udp(kernel, "laptop", LAPTOP, PORT)
    stranger.sendto(b"unasked", (OTHERS[0], PORT))
    assert inside.recvfrom(100) == (b"unasked", PEERS[3])
    assert seen(inside, peer) == (OTHERS[0], PORT)
    tablet = udp(kernel, "tablet", TABLET, PORT)
    assert seen(tablet, peer) == (WAN, PORT)
    tablet.sendto(b"turn back", (OTHERS[0], PORT))
    assert inside.recvfrom(100) == (b"turn back", (WAN, PORT))
    inside.sendto(b"and again", (WAN, PORT))
    assert tablet.recvfrom(100) == (b"and again", (OTHERS[0], PORT))
    for node in ("server", "tablet"):
        with kernel.inside(node):
            assert ping(OTHERS[0], 1, PATIENCE, 0.0, 8).received == 1
    kinds = {
        (str(entry.original.destination), str(entry.reply.source), entry.protocol)
        for entry in kernel.conntrack("home")
    }
    assert (OTHERS[0], LAPTOP, 1) in kinds


def test_paired_pooling_gives_a_host_one_address(kernel):
    router = Router(kernel)
    router.set(NatConfig(addresses=OTHERS))
    peers = [udp(kernel, "server", *peer) for peer in PEERS]
    used = {}
    for host, ip in HOSTS.items():
        sockets = [udp(kernel, host, ip, PORT + n) for n in range(10)]
        found = {seen(each, peer)[0] for each in sockets for peer in peers}
        assert len(found) == 1
        used[host] = found.pop()
        with kernel.inside(host):
            assert ping("198.18.0.20", 1, PATIENCE, 0.0, 8).received == 1
    assert len(set(used.values())) == 2
    assert set(used.values()) <= {WAN, *OTHERS}
    for entry in kernel.conntrack("home"):
        host = "laptop" if str(entry.original.source) == LAPTOP else "tablet"
        assert str(entry.reply.destination) == used[host]


def test_the_same_port_at_each_address(kernel):
    """As many hosts can keep a port as there are addresses; what comes in finds its host."""
    router = Router(kernel)
    router.set(NatConfig(**OPEN, hairpin=True, addresses=OTHERS))
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = {host: udp(kernel, host, ip, PORT) for host, ip in HOSTS.items()}
    where = {host: seen(each, peer) for host, each in inside.items()}
    assert [port for _, port in where.values()] == [PORT, PORT]
    for host, each in inside.items():
        stranger.sendto(host.encode(), where[host])
        assert each.recvfrom(100) == (host.encode(), PEERS[3])
    inside["laptop"].sendto(b"turn back", where["tablet"])
    assert inside["tablet"].recvfrom(100) == (b"turn back", where["laptop"])


def test_arbitrary_pooling_uses_all_addresses(kernel):
    router = Router(kernel)
    router.set(NatConfig(addresses=OTHERS, pooling="arbitrary"))
    peer, other = (udp(kernel, "server", *PEERS[n]) for n in (0, 3))
    found = set()
    for number in range(60):
        inside = udp(kernel, "laptop", LAPTOP, PORT + number)
        here = seen(inside, peer)
        assert seen(inside, other) == here
        found.add(here[0])
    assert found == {WAN, *OTHERS}


def test_what_the_router_sends_keeps_its_own_address(kernel):
    router = Router(kernel)
    router.set(NatConfig(addresses=OTHERS))
    peer = udp(kernel, "server", *PEERS[0])
    for number in range(5):
        assert seen(udp(kernel, "home", WAN, PORT + number), peer) == (WAN, PORT + number)


def test_even_ports_stay_even(kernel):
    """Also where the port itself is taken, and for low ports and ranges."""
    router = Router(kernel)
    for ports in (None, (50000, 50500), (50001, 50040)):
        router.reset(NatConfig(parity=True, ports=ports))
        peer = udp(kernel, "server", *PEERS[0])
        for port in (*range(PORT, PORT + 6), 600, 601):
            for host, ip in HOSTS.items():
                outside = seen(udp(kernel, host, ip, port), peer)[1]
                assert outside % 2 == port % 2
                if ports is None:
                    assert (outside < 1024) is (port < 1024)
                else:
                    assert ports[0] <= outside <= ports[1]
        peer.close()


def test_ports_are_drawn_or_follow_each_other(kernel):
    router = Router(kernel)
    chosen = {}
    for choice in ("random", "sequential", "preserve"):
        router.reset(NatConfig(port_choice=choice))
        peer = udp(kernel, "server", *PEERS[0])
        sockets = [udp(kernel, "laptop", LAPTOP, PORT + n) for n in range(20)]
        chosen[choice] = [seen(each, peer)[1] for each in sockets]
        assert [seen(each, peer)[1] for each in sockets] == chosen[choice]
        for each in (peer, *sockets):
            each.close()
    inside = list(range(PORT, PORT + 20))
    assert chosen["preserve"] == inside
    first = chosen["sequential"][0]
    assert chosen["sequential"] == list(range(first, first + 20)) != inside
    assert chosen["random"] != sorted(chosen["random"])


def test_a_host_draws_from_blocks_of_its_own(kernel):
    """Twenty ports are of two blocks of sixteen, unless a draw missed; nobody shares a block."""
    router = Router(kernel)
    router.set(NatConfig(block_size=16))
    peer, other = (udp(kernel, "server", *PEERS[n]) for n in (0, 3))
    blocks = {}
    for host, ip in HOSTS.items():
        sockets = [udp(kernel, host, ip, PORT + n) for n in range(20)]
        ports = [seen(each, peer)[1] for each in sockets]
        assert [seen(each, other)[1] for each in sockets] == ports
        assert len(set(ports)) == 20
        assert min(ports) >= 1024
        blocks[host] = {port // 16 for port in ports}
        assert 2 <= len(blocks[host]) <= 4, ports
        assert len({port // 16 for port in ports[:6]}) == 1
    assert not blocks["laptop"] & blocks["tablet"]


def test_a_block_whose_flows_have_ended_is_anybodys(kernel):
    router = Router(kernel)
    router.set(NatConfig(block_size=16, ports=(50000, 50015)))
    peer = udp(kernel, "server", *PEERS[0])
    laptop, tablet = udp(kernel, "laptop", LAPTOP, PORT), udp(kernel, "tablet", TABLET, PORT)
    assert 50000 <= seen(laptop, peer)[1] <= 50015
    tablet.sendto(b"no block is left", PEERS[0])
    assert 50000 <= seen(laptop, peer)[1] <= 50015
    forget_all(kernel)
    assert 50000 <= seen(tablet, peer)[1] <= 50015
    laptop.sendto(b"no block is left", PEERS[0])
    assert 50000 <= seen(tablet, peer)[1] <= 50015
    assert silent(peer)


def test_a_host_gets_no_more_than_its_share(kernel):
    """What is over is refused with ICMP; what is open stays so, and others have a share too."""
    router = Router(kernel)
    router.set(NatConfig(quota=5))
    peer, other = (udp(kernel, "server", *PEERS[n]) for n in (0, 3))
    sockets = [udp(kernel, "laptop", LAPTOP, PORT + n) for n in range(6)]
    ports = [seen(each, peer) for each in sockets[:5]]
    sockets[5].connect(PEERS[0])
    sockets[5].setsockopt(socket.SOL_IP, IP_RECVERR, 1)
    sockets[5].send(b"too many")
    with pytest.raises(OSError) as refused:
        sockets[5].recv(100)
    assert refused.value.errno == errno.EHOSTUNREACH
    assert [seen(each, peer) for each in sockets[:5]] == ports
    assert seen(udp(kernel, "tablet", TABLET, PORT), other)[0] == WAN
    with kernel.inside("server"):
        listener = socket.create_server(PEERS[0])
    with kernel.inside("laptop"):
        socket.create_connection(PEERS[0], PATIENCE).close()
    listener.accept()[0].close()


def test_a_port_is_held_for_a_while(kernel):
    """Nobody but its last host gets it, until what is configured has passed."""
    router = Router(kernel)
    router.set(NatConfig(hold_down=300))
    peer = udp(kernel, "server", *PEERS[0])
    laptop, tablet = udp(kernel, "laptop", LAPTOP, PORT), udp(kernel, "tablet", TABLET, PORT)
    for _ in range(3):
        assert seen(laptop, peer) == (WAN, PORT)
        forget_all(kernel)
    assert seen(tablet, peer) != (WAN, PORT)
    config = NatConfig(hold_down=1, timeouts=NatTimeouts(udp=1, udp_stream=1))
    router.reset(config)
    router.set_timeouts(config)
    began = time.monotonic()
    assert seen(laptop, peer) == (WAN, PORT)
    forget_all(kernel)

    def is_free() -> bool:
        forget_all(kernel)
        return seen(tablet, peer) == (WAN, PORT)

    wait_until(is_free, patience=2 * PATIENCE)
    assert time.monotonic() - began > 1
    router.reset(NatConfig())
    assert seen(laptop, peer) == (WAN, PORT)
    forget_all(kernel)
    assert seen(tablet, peer) == (WAN, PORT)


def test_only_packets_from_inside_keep_a_mapping(kernel):
    """The peer goes on sending; what it sends stops arriving."""
    router = Router(kernel)
    router.set(soon_stale := NatConfig(**SOON_STALE))
    router.set_timeouts(soon_stale)
    peer, inside = udp(kernel, "server", *PEERS[0]), udp(kernel, "laptop", LAPTOP, PORT)
    marks = udp(kernel, "laptop", LAPTOP, MARKS)
    began = time.monotonic()
    assert seen(inside, peer) == (WAN, PORT)
    wait_until(lambda: not gets_in(peer, inside, marks))
    assert time.monotonic() - began > 0.9


def test_packets_of_the_peer_keep_a_mapping_where_they_may(kernel):
    """As they do by default: it lives longer than what inside has sent lets it."""
    router = Router(kernel)
    config = NatConfig(timeouts=NatTimeouts(udp=60, udp_stream=60))
    router.set(config)
    router.set_timeouts(config)
    peer, inside = udp(kernel, "server", *PEERS[0]), udp(kernel, "laptop", LAPTOP, PORT)

    def left() -> int:
        (entry,) = [e for e in kernel.conntrack("home") if e.original.source_port == PORT]
        return entry.timeout

    assert seen(inside, peer) == (WAN, PORT)
    end = left() + 1 + time.monotonic()

    def lives_longer() -> bool:
        peer.sendto(b"still there?", (WAN, PORT))
        assert inside.recv(100) == b"still there?"
        return time.monotonic() + left() > end

    wait_until(lives_longer)


def test_what_is_sent_from_inside_keeps_a_mapping(kernel):
    router = Router(kernel)
    router.set(soon_stale := NatConfig(**SOON_STALE))
    router.set_timeouts(soon_stale)
    peer, inside = udp(kernel, "server", *PEERS[0]), udp(kernel, "laptop", LAPTOP, PORT)
    marks = udp(kernel, "laptop", LAPTOP, MARKS)
    began = time.monotonic()

    def has_lived_on() -> bool:
        assert seen(inside, peer) == (WAN, PORT)
        return time.monotonic() - began > 2.5

    wait_until(has_lived_on)
    while True:
        refreshed = time.monotonic()
        assert seen(inside, peer) == (WAN, PORT)
        if gets_in(peer, inside, marks):
            break
        assert time.monotonic() - refreshed > 0.9, "it did not live on"


MARKS = 39999
"""A port that is always open, for what is sent behind a packet that may be dropped."""
SOON_STALE = {
    "timeouts": NatTimeouts(udp=1, udp_stream=1),
    "inbound_refresh": False,
    "forwards": [PortForward("udp", MARKS, LAPTOP)],
}


def gets_in(peer, inside, marks) -> bool:
    """Whether what a peer sends to the port of a socket inside arrives there."""
    peer.sendto(b"still there?", (WAN, PORT))
    peer.sendto(b"mark", (WAN, MARKS))
    assert marks.recv(100) == b"mark"
    arrived = not silent(inside)
    if arrived:
        assert inside.recvfrom(100) == (b"still there?", PEERS[0])
    return arrived


def test_a_mapping_lives_on_by_flows_that_began_outside(kernel):
    """Its port stays the same for new peers, when the flow that made it has long ended."""
    router = Router(kernel)
    router.set(NatConfig(**OPEN, port_choice="random"))
    peer, stranger = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = udp(kernel, "laptop", LAPTOP, PORT)
    where = seen(inside, peer)
    stranger.sendto(b"unasked", where)
    assert inside.recvfrom(100) == (b"unasked", PEERS[3])
    (first,) = [e for e in kernel.conntrack("home") if e.original.source == ip_address(LAPTOP)]
    forget_one(kernel, first)
    assert [str(e.original.source) for e in kernel.conntrack("home")] == [PEERS[3][0]]
    assert seen(inside, peer) == where


def forget_all(kernel) -> None:
    """Have the router forget all connections, as their timeouts would, and its counters see it."""
    kernel.apply(Forget(node="home"))
    await_ticks()


def forget_one(kernel, entry) -> None:
    """Have the router forget a connection, as its timeout would."""
    from patchbay.wiring.connection import NETLINK_NETFILTER
    from patchbay.wiring.conntrack import _CTA_TUPLE_ORIG, _DELETE, _GET_V4, _entry
    from patchbay.wiring.netlink import NFGENMSG, Message, attributes, nested

    connection = kernel.connection("home", NETLINK_NETFILTER)
    (body,) = [each for each in connection.dump(_GET_V4) if _entry(each).original == entry.original]
    told = attributes(body, NFGENMSG.size)[_CTA_TUPLE_ORIG]
    header = NFGENMSG.pack(socket.AF_INET, 0, 0)
    connection.ask(Message(_DELETE, 0, header + nested(_CTA_TUPLE_ORIG, told), "forget"))


def test_exempt_destinations_see_the_hosts_own_address(kernel):
    """In both directions; others see the router's."""
    router = Router(kernel)
    router.set(NatConfig(exempt=[PEERS[0][0]]))
    near, far = udp(kernel, "server", *PEERS[0]), udp(kernel, "server", *PEERS[3])
    inside = udp(kernel, "laptop", LAPTOP, PORT)
    assert seen(inside, near) == (LAPTOP, PORT)
    assert seen(inside, far) == (WAN, PORT)
    near.sendto(b"unasked", (LAPTOP, PORT + 1))
    reached = udp(kernel, "laptop", LAPTOP, PORT + 1)
    far.sendto(b"unasked", (LAPTOP, PORT + 1))
    near.sendto(b"unasked", (LAPTOP, PORT + 1))
    assert reached.recvfrom(100) == (b"unasked", PEERS[0])


def test_what_belongs_to_no_connection_reaches_exempt_destinations_alone(kernel):
    """It needs no translation there; to others it would go with the host's own address."""
    router = Router(kernel)
    router.set(NatConfig(exempt=[PEERS[0][0]]))
    inside, outside = Hand(kernel, "laptop"), Hand(kernel, "server")
    stray = Segment(RST, 1)
    for number, peer in enumerate((PEERS[3], PEERS[0]), 1):
        source = LAPTOP, PORT
        told = stray.bytes(source, peer)
        inside.send(Packet(LAPTOP, peer[0], socket.IPPROTO_TCP, told, number))
    outside.await_packet(2)
    (seen,) = outside.seen()
    assert segment(seen) == ((LAPTOP, PORT), PEERS[0], stray)


def test_an_error_about_what_turned_back_reaches_its_sender(kernel):
    """The port inside is closed: its host refuses, and the sender sees the outside port refuse."""
    router = Router(kernel)
    router.set(NatConfig(hairpin=True))
    peer, tablet = udp(kernel, "server", *PEERS[0]), udp(kernel, "tablet", TABLET, PORT)
    where = seen(tablet, peer)
    tablet.close()
    laptop = udp(kernel, "laptop", LAPTOP, PORT)
    laptop.connect(where)
    laptop.send(b"anyone?")
    with pytest.raises(ConnectionRefusedError):
        laptop.recv(100)


def test_a_rebound_nat_uses_other_ports(kernel):
    router = Router(kernel)
    router.set(NatConfig())
    peer = udp(kernel, "server", *PEERS[0])
    inside = {host: udp(kernel, host, ip, PORT) for host, ip in HOSTS.items()}
    used = {seen(each, peer)[1] for each in inside.values()}
    for _ in range(5):
        kernel.rebind("home", router.tables, 64512)
        now = {seen(each, peer)[1] for each in inside.values()}
        assert not now & used
        used |= now
    router.reset(NatConfig(ports=(50000, 50001)))
    for _ in range(3):
        kernel.rebind("home", router.tables, 2)
        assert {seen(each, peer)[1] for each in inside.values()} == {50000, 50001}
