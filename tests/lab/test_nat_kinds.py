"""Every kind of NAT and firewall, as programs on both sides of a router see it."""

import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import exchange

from patchbay import Firewall, FirewallConfig, Nat, NatConfig, NatFiltering, NatMapping, PortPolicy

TRANSLATING = [kind for kind in Nat if kind is not Nat.NONE]
ALL = list(itertools.product(NatMapping, NatFiltering))
WALLS = [
    (Firewall.CORPORATE, {"tcp": [443, 80], "udp": [53]}, {"tcp": [8080], "udp": [9200]}),
    (Firewall.CAPTIVE_PORTAL, {"tcp": [443, 8080], "udp": [53]}, {"udp": [9201]}),
    (
        FirewallConfig(outbound_udp=PortPolicy.allow(5000), outbound_tcp=PortPolicy.BLOCK_ALL),
        {"udp": [5000]},
        {"udp": [9203], "tcp": [80]},
    ),
]


@pytest.fixture
def net(lab):
    """Two servers outside; a laptop and a desk behind one router."""
    with lab.batch():
        dc = lab.add_router("dc")
        lab.add_router("home", nat="home")
        for name, router in (("one", dc), ("two", dc), ("laptop", "home"), ("desk", "home")):
            lab.add_device(name, router)
    return lab


def test_each_kind_maps_as_its_values_say(net):
    """From one socket to two servers: one outside port, or two; always the router's address."""
    home, laptop = net.router("home"), net.device("laptop")
    with net.device("one").reflector() as one, net.device("two").reflector() as two:
        for number, kind in enumerate(TRANSLATING):
            home.set_nat(kind, flush=True)
            seen = laptop.call(_seen_from, 6000 + number, [one.address, two.address])
            assert {ip for ip, _ in seen} == {str(home.uplink_ip)}
            same = kind.config.mapping.value == "endpoint_independent"
            assert (seen[0] == seen[1]) is same, kind


def _seen_from(port, targets):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.settimeout(5)
        seen = []
        for target in targets:
            sock.sendto(b"?", target)
            seen.append(tuple(sock.recv(100).decode().split()[1:]))
    return seen


def test_flushing_gives_a_random_mapping_another_port(net):
    home, laptop = net.router("home"), net.device("laptop")
    home.set_nat("corporate")
    with net.device("one").reflector() as reflector:
        first = reflector.observe(laptop, source_port=6000)
        assert reflector.observe(laptop, source_port=6000) == first
        home.flush_nat()
        assert reflector.observe(laptop, source_port=6000) != first


def test_a_change_while_traffic_runs_keeps_or_forgets_as_asked(net):
    home, laptop = net.router("home"), net.device("laptop")
    with net.device("one").reflector() as reflector:
        before = reflector.observe(laptop, source_port=6000)
        home.set_nat("corporate")
        assert reflector.observe(laptop, source_port=6000) == before
        home.set_nat("cloud_nat", flush=True)
        assert reflector.observe(laptop, source_port=6000) != before
        home.set_nat(NatConfig(ports=(50000, 50009)), flush=True)
        assert reflector.observe(laptop, source_port=6000).port in range(50000, 50010)


def test_a_host_that_takes_an_address_over_takes_nothing_else(net):
    """A mapping belongs to an address; what is left of it does not stand in the way of the next."""
    home, laptop = net.router("home"), net.device("laptop")
    home.set_nat("full_cone")
    with net.device("one").reflector() as reflector:
        old = reflector.observe(laptop, source_port=6000)
        laptop.iface("eth0").renew_ip()
        new = reflector.observe(laptop, source_port=6000)
    assert old.port == 6000 != new.port
    found = {(str(entry.inside[0]), entry.outside[1]) for entry in home.nat_table()}
    assert (str(laptop.ip), new.port) in found


@pytest.mark.parametrize(("wall", "open_", "shut"), WALLS, ids=["corporate", "portal", "custom"])
def test_a_firewall_lets_out_what_it_says(net, wall, open_, shut):
    home, laptop, server = net.router("home"), net.device("laptop"), net.device("one")
    home.set_firewall(wall)
    for protocol, ports in open_.items():
        for port in ports:
            if protocol == "tcp":
                assert exchange(laptop, server, port=port) == str(home.uplink_ip)
            else:
                with server.reflector(port=port) as reflector:
                    assert reflector.observe(laptop).ip == home.uplink_ip
    for protocol, ports in shut.items():
        for port in ports:
            with server.reflector(protocol, port):
                assert not laptop.call(_answers, protocol, (str(server.ip), port))
    home.set_firewall("none")
    with server.reflector(port=9300) as reflector:
        assert reflector.observe(laptop).ip == home.uplink_ip


def _answers(protocol, target):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(0.2)
        try:
            sock.connect(target)
            sock.send(b"?\n")
            return bool(sock.recv(100))
        except TimeoutError:
            return False


def test_port_policies_are_about_leaving_alone(lab):
    """Without NAT and without blocking, a server inside is reached on a port nobody may go to."""
    lab.add_router("dc")
    lab.add_router("office", firewall=FirewallConfig(outbound_tcp=PortPolicy.allow(443)))
    outside, inside = lab.add_device("outside", "dc"), lab.add_device("inside", "office")

    assert exchange(outside, inside, port=8080) == str(outside.ip)
    assert exchange(outside, inside, 6, port=8080) == str(outside.ip6)


# ---- hole punching -------------------------------------------------------------------------------


def reaches(sender, receiver):
    """What theory says: whether a packet to where a third one saw the receiver comes in.

    Both have sent to where the third one saw the other.
    """
    independent = NatMapping.ENDPOINT_INDEPENDENT
    match receiver.filtering:
        case NatFiltering.ENDPOINT_INDEPENDENT:
            return True
        case NatFiltering.ADDRESS_DEPENDENT:
            return receiver.mapping is independent
        case NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
            return receiver.mapping is independent and sender.mapping is independent


@pytest.mark.parametrize("ours", ALL, ids=str)
def test_hole_punching_works_where_theory_says(lab, ours):
    """One combination with all nine, either side first: what is measured is what is predicted."""
    with lab.batch():
        lab.add_router("dc")
        lab.add_router("left", nat=NatConfig(*ours))
        right = lab.add_router("right", nat="home")
        rendezvous = lab.add_device("rendezvous", "dc")
        left_host, right_host = lab.add_device("a", "left"), lab.add_device("b", "right")
    ours = lab.router("left").nat
    with rendezvous.reflector() as reflector:
        for theirs in (NatConfig(*each) for each in ALL):
            right.set_nat(theirs, flush=True)
            for order in (1, -1):
                with opened(left_host) as left_socket, opened(right_host) as right_socket:
                    both = [(left_socket, ours), (right_socket, theirs)][::order]
                    (leader, its), (follower, others) = both
                    at, to = seen_at(leader, reflector), seen_at(follower, reflector)
                    for _ in range(2):
                        leader.sendto(b"hello", to)
                        follower.sendto(b"hello", at)
                    heard = hears(leader, reflector), hears(follower, reflector)
                expected = reaches(others, its), reaches(its, others)
                assert any(heard) is any(expected), (ours, theirs, order, heard, expected)


def opened(device):
    sock = device.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 0))
    sock.settimeout(5)
    return sock


def seen_at(sock, reflector):
    """Where the reflector sees a socket; what came from others before is passed over."""
    sock.sendto(b"?", reflector.address)
    while (got := sock.recv(100)) == b"hello":
        pass
    _, ip, port = got.decode().split()
    return ip, int(port)


def hears(sock, reflector):
    """Whether anything has come before the answer of the reflector, who is asked last."""
    sock.sendto(b"?", reflector.address)
    heard = False
    while sock.recv(100) == b"hello":
        heard = True
    return heard


def test_simultaneous_open_never_fails(lab):
    """Two home routers, both sides at once, from two threads: five hundred times of as many."""
    with lab.batch():
        lab.add_router("dc")
        rendezvous = lab.add_device("rendezvous", "dc")
        for name in ("left", "right"):
            lab.add_router(name, nat="home")
            lab.add_device(f"host-{name}", name)
    hosts = lab.device("host-left"), lab.device("host-right")
    with rendezvous.reflector() as reflector, ThreadPoolExecutor(2) as threads:
        barrier = threading.Barrier(2)

        def punch(mine, where):
            barrier.wait()
            for _ in range(2):
                mine.sendto(b"hello", where)
            barrier.wait()
            mine.sendto(b"hello", where)
            return mine.recvfrom(100) == (b"hello", where)

        for _ in range(500):
            with opened(hosts[0]) as one, opened(hosts[1]) as other:
                places = seen_at(one, reflector), seen_at(other, reflector)
                tries = (
                    threads.submit(punch, one, places[1]),
                    threads.submit(punch, other, places[0]),
                )
                assert all(each.result() for each in tries)
                assert (seen_at(one, reflector), seen_at(other, reflector)) == places
