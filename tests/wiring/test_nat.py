"""A home router's NAT and firewall, seen from both sides.

That a packet is dropped is shown without waiting: one that may pass is sent behind it on the same
way, and that one is the first to arrive.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest
from small_networks import PATIENCE, internet, udp

from patchbay.rules import firewall, nat
from patchbay.rules.words import CtStatus
from patchbay.topology.steps import SetSysctl, SetTables
from patchbay.values import Firewall, Nat
from patchbay.wiring.errors import WiringError
from patchbay.wiring.kernel import Kernel

WAN = "198.18.0.10"
PEER, OTHER = ("198.18.0.20", 7000), ("198.18.0.21", 7001)
HOME_NAT = nat.tables(Nat.HOME, wan="wan", address=ip_address(WAN))
FIREWALL = firewall.tables(Firewall.BLOCK_INBOUND, wan="wan")


def behind(kernel: Kernel, *tables) -> None:
    kernel.apply_all([*internet(), SetTables(node="home", tables=tables)])


def test_the_source_is_translated_and_the_port_kept_for_every_peer(kernel):
    behind(kernel, *HOME_NAT)
    inside = udp(kernel, "laptop", "10.0.1.2", 40000)
    for peer in (PEER, OTHER):
        outside = udp(kernel, "server", *peer)
        inside.sendto(b"out", peer)
        data, seen = outside.recvfrom(100)
        assert (data, seen) == (b"out", (WAN, 40000))
        outside.sendto(b"back", seen)
        assert inside.recvfrom(100) == (b"back", peer)


def test_only_the_peer_that_was_spoken_to_gets_in(kernel):
    """Address-and-port-dependent filtering: another address, and another port, are kept out."""
    behind(kernel, *HOME_NAT)
    inside = udp(kernel, "laptop", "10.0.1.2", 40000)
    peer, other_port = udp(kernel, "server", *PEER), udp(kernel, "server", PEER[0], 7009)
    other = udp(kernel, "server", *OTHER)
    inside.sendto(b"out", PEER)
    peer.recv(100)
    for stranger in (other, other_port):
        stranger.sendto(b"unasked", (WAN, 40000))
        stranger.sendto(b"unasked", ("10.0.1.2", 40000))
    peer.sendto(b"asked", (WAN, 40000))
    assert inside.recvfrom(100) == (b"asked", PEER)


def test_an_early_packet_does_not_steal_the_port(kernel):
    """The peer sends first; the packet is dropped, and the flow from inside keeps its port."""
    behind(kernel, *HOME_NAT)
    peer, other = udp(kernel, "server", *PEER), udp(kernel, "server", *OTHER)
    inside = udp(kernel, "laptop", "10.0.1.2", 40000)
    peer.sendto(b"early", (WAN, 40000))
    other.sendto(b"early", (WAN, 40000))
    for socket_, name in ((peer, PEER), (other, OTHER)):
        inside.sendto(b"out", name)
        assert socket_.recvfrom(100) == (b"out", (WAN, 40000))
        socket_.sendto(b"back", (WAN, 40000))
        assert inside.recvfrom(100) == (b"back", name)


def test_without_the_filter_the_flow_would_not_open(kernel):
    """The trap that the test before this one is about is there: the early packet is in the way."""
    (table,) = HOME_NAT
    unfiltered = [chain for chain in table.chains if chain.name not in ("input", "forward")]
    behind(kernel, replace(table, chains=tuple(unfiltered)))
    udp(kernel, "home", WAN, 40000)
    peer, other = udp(kernel, "server", *PEER), udp(kernel, "server", *OTHER)
    peer.sendto(b"early", (WAN, 40000))
    inside = udp(kernel, "laptop", "10.0.1.2", 40000)
    inside.sendto(b"never arrives", PEER)
    inside.sendto(b"arrives", OTHER)
    assert other.recvfrom(100) == (b"arrives", (WAN, 40000))
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)


def test_the_router_itself_answers_echoes_and_no_strangers(kernel):
    behind(kernel, *HOME_NAT)
    router, stranger = udp(kernel, "home", WAN, 5000), udp(kernel, "server", *PEER)
    with kernel.inside("server"):
        echo = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    echo.settimeout(PATIENCE)
    stranger.sendto(b"unasked", (WAN, 5000))
    echo.sendto(bytes.fromhex("0800f7fd00010001"), (WAN, 0))
    reply, (source, _) = echo.recvfrom(100)
    assert (reply[20], source) == (0, WAN)
    router.sendto(b"the router asks", PEER)
    assert stranger.recvfrom(100) == (b"the router asks", (WAN, 5000))
    stranger.sendto(b"asked", (WAN, 5000))
    assert router.recv(100) == b"asked"


def test_icmp_errors_find_their_way_back(kernel):
    """A closed port outside is reported to the socket inside."""
    behind(kernel, *HOME_NAT)
    inside = udp(kernel, "laptop", "10.0.1.2", 40000)
    inside.connect(PEER)
    inside.send(b"anyone?")
    with pytest.raises(ConnectionRefusedError):
        inside.recv(100)


def test_a_host_inside_is_not_reached_by_the_outside_address(kernel):
    """No hairpin: what is sent to the outside address from inside ends at the router."""
    behind(kernel, *nat.tables(Nat.HOME_LEGACY, wan="wan", address=ip_address(WAN)))
    peer = udp(kernel, "server", *PEER)
    server = udp(kernel, "laptop", "10.0.1.2", 40000)
    server.sendto(b"out", PEER)
    _, outside = peer.recvfrom(100)
    inside = udp(kernel, "laptop", "10.0.1.2", 40001)
    inside.connect(outside)
    inside.send(b"hairpin")
    with pytest.raises(ConnectionRefusedError):
        inside.recv(100)


def test_tcp_goes_out_and_not_in(kernel):
    behind(kernel, *HOME_NAT)
    with kernel.inside("server"):
        listener = socket.create_server(PEER)
    with kernel.inside("laptop"):
        client = socket.create_connection(PEER, PATIENCE, source_address=("10.0.1.2", 40000))
    accepted, seen = listener.accept()
    assert seen == (WAN, 40000)
    client.sendall(b"over tcp")
    assert accepted.recv(100) == b"over tcp"
    with kernel.inside("laptop"):
        socket.create_server(("10.0.1.2", 8000))
    with kernel.inside("server"):
        stranger = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    stranger.connect_ex(("10.0.1.2", 8000))
    accepted.sendall(b"behind the SYN")
    assert client.recv(100) == b"behind the SYN"
    assert not [
        entry for entry in kernel.conntrack("home") if entry.original.destination_port == 8000
    ]


def test_conntrack_tells_the_mapping_and_forgets_it(kernel):
    behind(kernel, *HOME_NAT)
    peer, inside = udp(kernel, "server", *PEER), udp(kernel, "laptop", "10.0.1.2", 40000)
    inside.sendto(b"out", PEER)
    peer.recv(100)
    (entry,) = (entry for entry in kernel.conntrack("home") if entry.protocol == 17)
    assert (str(entry.original.source), entry.original.source_port) == ("10.0.1.2", 40000)
    assert (str(entry.reply.destination), entry.reply.destination_port) == (WAN, 40000)
    assert (str(entry.reply.source), entry.reply.source_port) == PEER
    assert 0 < entry.timeout <= 30
    assert CtStatus.SNAT in entry.status
    kernel.flush_conntrack("home")
    assert not kernel.conntrack("home")


def test_the_timeouts_can_be_set_in_a_namespace(kernel):
    kernel.apply_all(internet())
    before = dict(nat.sysctls(Nat.NONE))
    for key, value in nat.sysctls(Nat.HOME):
        with kernel.inside("home"), open(f"/proc/sys/net/{key.replace('.', '/')}") as file:
            assert file.read().strip() == before[key]
        kernel.apply(SetSysctl(node="home", key=key, value=value, old=before[key]))
        with kernel.inside("home"), open(f"/proc/sys/net/{key.replace('.', '/')}") as file:
            assert file.read().strip() == value
    assert not kernel.lacks


def test_tables_are_replaced_in_one_transaction(kernel):
    """From one set of tables to another and to none; what fails leaves the old ones."""
    behind(kernel, *HOME_NAT)
    peer, inside = udp(kernel, "server", *PEER), udp(kernel, "laptop", "10.0.1.2", 40000)
    broken = replace(HOME_NAT[0], chains=(replace(HOME_NAT[0].chains[0], name="x" * 300),))
    words = "cannot set the nftables tables of home to ip nat: make the chain xxx"
    with pytest.raises(WiringError, match=words):
        kernel.apply(SetTables(node="home", tables=(broken,), old=HOME_NAT))
    inside.sendto(b"still translated", PEER)
    assert peer.recvfrom(100) == (b"still translated", (WAN, 40000))
    kernel.apply(SetTables(node="home", tables=FIREWALL, old=HOME_NAT))
    kernel.flush_conntrack("home")
    inside.sendto(b"untranslated", PEER)
    assert peer.recvfrom(100) == (b"untranslated", ("10.0.1.2", 40000))
    kernel.apply(SetTables(node="home", tables=(), old=FIREWALL))
    kernel.flush_conntrack("home")
    peer.sendto(b"open", ("10.0.1.2", 40000))
    assert inside.recvfrom(100) == (b"open", PEER)


def test_a_firewall_keeps_strangers_out_of_both_versions_of_ip(kernel):
    behind(kernel, *FIREWALL)
    for lan, router, peer in (
        ("fd10::2", "2001:db8::10", "2001:db8::20"),
        ("10.0.1.2", WAN, PEER[0]),
    ):
        inside, outside = udp(kernel, "laptop", lan, 40000), udp(kernel, "server", peer, 7000)
        stranger, itself = udp(kernel, "server", peer, 7001), udp(kernel, "home", router, 40000)
        never_asked = udp(kernel, "laptop", lan, 40001)
        inside.sendto(b"out", (peer, 7000))
        assert outside.recvfrom(100)[1][:2] == (lan, 40000)
        itself.sendto(b"out", (peer, 7000))
        assert outside.recvfrom(100)[1][:2] == (router, 40000)
        stranger.sendto(b"unasked", (lan, 40001))
        stranger.sendto(b"unasked", (router, 40000))
        outside.sendto(b"asked", (lan, 40000))
        outside.sendto(b"asked", (router, 40000))
        assert inside.recv(100) == b"asked"
        assert itself.recv(100) == b"asked"
        never_asked.settimeout(0.1)
        with pytest.raises(TimeoutError):
            never_asked.recv(100)
        stranger.sendto(b"to a port that has sent", (lan, 40000))
        assert inside.recv(100) == b"to a port that has sent"


def test_a_firewalled_router_is_still_found_by_its_neighbours(kernel):
    """Neighbour discovery on the uplink passes, begun from either side; an echo does not."""
    behind(kernel, *FIREWALL)
    router, outside = (
        udp(kernel, "home", "2001:db8::10", 5000),
        udp(kernel, "server", "2001:db8::20", 7000),
    )
    outside.sendto(b"needs the router's MAC", ("2001:db8::10", 5000))
    router.sendto(b"knows it", ("2001:db8::20", 7000))
    assert outside.recv(100) == b"knows it"
    known = [str(e.address) for e in kernel.neighbours("server") if e.mac]
    assert "2001:db8::10" in known


def test_the_lan_reaches_its_router(kernel):
    behind(kernel, *HOME_NAT, *FIREWALL)
    for lan, router in (("10.0.1.2", "10.0.1.1"), ("fd10::2", "fd10::1")):
        inside, itself = udp(kernel, "laptop", lan, 6000), udp(kernel, "home", router, 5000)
        inside.sendto(b"hello", (router, 5000))
        assert itself.recv(100) == b"hello"
