"""Every kind of NAT and firewall, as programs on both sides of a router see it."""

import itertools
import select
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest
from support import PATIENT, TURNS, ask, exchange, reaches

from patchbay import (
    Firewall,
    FirewallConfig,
    Nat,
    NatConfig,
    PortForward,
    PortPolicy,
    RouterPreset,
)

TRANSLATING = [kind for kind in Nat if kind is not Nat.NONE]
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
        sock.settimeout(30)
        seen = []
        for target in targets:
            sock.sendto(b"?", target)
            seen.append(tuple(sock.recv(100).decode().split()[1:]))
    return seen


def test_flushing_gives_a_random_mapping_another_port(net):
    home, laptop = net.router("home"), net.device("laptop")
    home.set_nat("corporate")
    with net.device("one").reflector() as reflector:

        def seen():
            return [
                reflector.observe(laptop, source_port=port, timeout=30) for port in (6000, 6001)
            ]

        first = seen()
        assert seen() == first
        home.flush_nat()
        assert seen() != first  # one of them may be drawn again


def test_a_change_while_traffic_runs_keeps_or_forgets_as_asked(net):
    home, laptop = net.router("home"), net.device("laptop")
    with net.device("one").reflector() as reflector:

        def seen():
            return [
                reflector.observe(laptop, source_port=port, timeout=30) for port in (6000, 6001)
            ]

        before = seen()
        home.set_nat("corporate")
        assert seen() == before
        home.set_nat("cloud_nat", flush=True)
        assert seen() != before  # one of them may be drawn
        home.set_nat(NatConfig(ports=(50000, 50009)), flush=True)
        assert reflector.observe(laptop, source_port=6000, timeout=30).port in range(50000, 50010)


def test_a_host_that_takes_an_address_over_takes_nothing_else(net):
    """A mapping ends with the address that it is of: it does not stand in the way of the next."""
    home, laptop = net.router("home"), net.device("laptop")
    home.set_nat("full_cone")
    with net.device("one").reflector() as reflector:
        old = reflector.observe(laptop, source_port=6000, timeout=30)
        laptop.iface("eth0").renew_ip()
        new = reflector.observe(laptop, source_port=6000, timeout=30)
    assert old.port == 6000
    found = [(entry.inside[0], entry.outside[1]) for entry in home.nat_table()]
    assert found == [(laptop.ip, new.port)]


def test_an_outside_address_that_goes_takes_its_flows_along_and_no_others(net):
    """Its hosts get another one; who has one that stays goes on as before."""
    home, hosts = net.router("home"), [net.device("laptop"), net.device("desk")]
    hosts.append(net.add_device("phone", home))
    uplink, kept, gone = str(home.uplink_ip), "198.18.0.201", "198.18.0.202"
    wide = NatConfig(port_choice="random", addresses=[kept, gone])
    narrow = NatConfig(port_choice="random", addresses=[kept])
    own = replace(narrow, one_to_one={str(hosts[0].ip): gone})
    with net.device("one").reflector() as reflector:

        def seen(port):
            return [reflector.observe(host, source_port=port, timeout=30) for host in hosts]

        home.set_nat(wide)
        before = seen(6000)
        assert {str(each.ip) for each in before} == {uplink, kept, gone}
        home.set_nat(narrow)
        after = seen(6000)
        for old, new in zip(before, after, strict=True):
            stays = str(old.ip) != gone
            assert new == old if stays else str(new.ip) in (uplink, kept)
        home.set_nat(own)
        assert str(seen(6001)[0].ip) == gone
        home.set_nat(narrow)
        assert seen(6000) == after
        assert str(seen(6001)[0].ip) != gone


def test_the_table_has_flows_that_began_outside_too(net):
    """By a forwarded port, by an address of one's own, and to a mapping that is open to others."""
    home, one, two = net.router("home"), net.device("one"), net.device("two")
    laptop, desk = net.device("laptop").ip, net.device("desk").ip
    outside = home.uplink_ip
    forward = PortForward("udp", 7000, laptop, 5000)
    own = "198.18.0.200"
    home.set_nat(
        NatConfig(filtering="endpoint_independent", forwards=[forward], one_to_one={str(desk): own})
    )
    with net.device("laptop").reflector(port=5000), net.device("desk").reflector(port=5001):
        one.call(_seen_from, 6000, [(str(outside), 7000)])
        two.call(_seen_from, 6001, [(own, 5001)])
    with one.reflector(port=9000) as reflector, net.device("laptop").network():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.bind(("", 5002))
            sock.settimeout(30)
            sock.sendto(b"?", reflector.address)
            assert sock.recv(100).decode() == f"OBSERVED {outside} 5002\n"
            two.call(_send_from, 6002, (str(outside), 5002))
            assert sock.recv(100) == b"unasked"

    table = {(each.inside, each.outside, each.remote) for each in home.nat_table()}
    assert table == {
        ((laptop, 5000), (outside, 7000), (one.ip, 6000)),
        ((desk, 5001), (ip_address(own), 5001), (two.ip, 6001)),
        ((laptop, 5002), (outside, 5002), (one.ip, 9000)),
        ((laptop, 5002), (outside, 5002), (two.ip, 6002)),
    }
    home.set_nat("none")
    assert home.nat_table() == []


def _send_from(port, target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.sendto(b"unasked", target)


def test_the_table_tells_the_identifiers_of_echoes(net):
    home, laptop, one = net.router("home"), net.device("laptop"), net.device("one")
    assert reaches(laptop, one)
    [echo] = [each for each in home.nat_table() if each.protocol == "icmp"]
    assert (echo.inside[0], echo.outside[0], echo.remote[0]) == (laptop.ip, home.uplink_ip, one.ip)
    assert echo.inside[1] == echo.outside[1] == echo.remote[1] != 0


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
                    assert reflector.observe(laptop, timeout=30).ip == home.uplink_ip
    for protocol, ports in shut.items():
        for port in ports:
            with server.reflector(protocol, port):
                assert not laptop.call(_answers, protocol, (str(server.ip), port), TURNS)
    home.set_firewall("none")
    with server.reflector(port=9300) as reflector:
        assert reflector.observe(laptop, timeout=30).ip == home.uplink_ip


def _answers(protocol, target, turns):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            return bool(ask(sock, target, turns))
        except TimeoutError:
            return False


def test_port_policies_are_about_leaving_alone(lab):
    """Without NAT and without blocking, a server inside is reached on a port nobody may go to."""
    lab.add_router("dc")
    lab.add_router("office", firewall=FirewallConfig(outbound_tcp=PortPolicy.allow(443)))
    outside, inside = lab.add_device("outside", "dc"), lab.add_device("inside", "office")

    assert exchange(outside, inside, port=8080) == str(outside.ip)
    assert exchange(outside, inside, 6, port=8080) == str(outside.ip6)


# ---- presets, and routers behind routers ---------------------------------------------------------


@pytest.mark.parametrize("preset", ["isp_cgnat", "corporate", "hotel", "cloud"])
def test_presets_that_translate_give_what_they_say(lab, preset):
    """The address that servers see, the versions of IP, and what the firewall lets out."""
    known = RouterPreset(preset)
    server = lab.add_device("server", lab.add_router("dc"))
    router = lab.add_router("r", preset=preset)
    host = lab.add_device("host", router)

    assert (router.nat, router.firewall, router.ip_support) == (
        known.nat,
        known.firewall,
        known.ip_support,
    )
    assert host.ip.is_private
    assert (host.ip6 is not None) is known.ip_support.v6
    assert exchange(host, server, port=443) == str(router.uplink_ip)
    if known.ip_support.v6:
        assert exchange(host, server, 6, port=443) == str(host.ip6)
    udp = known.firewall.config is None
    with server.reflector(port=9200) as reflector:
        turns = PATIENT if udp else TURNS
        assert host.call(_answers, "udp", reflector.address, turns) is udp


@pytest.mark.parametrize("kind", TRANSLATING, ids=str)
@pytest.mark.parametrize("isp", [None, "none", "cgnat", "corporate"])
def test_servers_see_the_address_of_the_outermost_nat(lab, kind, isp):
    """Directly at the exchange, behind a provider without NAT, and behind one with; UDP and TCP."""
    with lab.batch():
        server = lab.add_device("server", lab.add_router("dc"))
        outer = None if isp is None else lab.add_router("isp", nat=isp)
        home = lab.add_router("home", upstream=outer, nat=kind)
        host = lab.add_device("host", home)
    seen = outer if isp in ("cgnat", "corporate") else home

    with server.reflector() as reflector:
        assert reflector.observe(host, timeout=30).ip == seen.uplink_ip
    assert exchange(host, server) == str(seen.uplink_ip)
    assert reaches(host, server)


def test_three_routers_with_nat_in_any_order(lab):
    """What servers see is the outermost; a mapping is as independent, and a filter as open, as all
    of them are."""
    kinds = ("home", "full_cone", "cgnat", "corporate")
    with lab.batch():
        dc = lab.add_router("dc")
        servers = [lab.add_device(name, dc) for name in ("one", "two", "stranger")]
        outer = lab.add_router("outer", nat="home")
        middle = lab.add_router("middle", upstream=outer, nat="home")
        inner = lab.add_router("inner", upstream=middle, nat="home")
        host = lab.add_device("host", inner)
    one, two, stranger = (udp_socket(each) for each in servers)
    before = {}
    with one, two, stranger:
        for order in itertools.product(kinds, repeat=3):
            for router, kind in zip((outer, middle, inner), order, strict=True):
                if before.get(router.name) != kind:
                    before[router.name] = kind
                    router.set_nat(kind, flush=True)
            with udp_socket(host) as inside:
                seen = []
                for server in (one, two):
                    inside.sendto(b"out", server.getsockname())
                    seen.append(server.recvfrom(100)[1])
                assert {ip for ip, _ in seen} == {str(outer.uplink_ip)}, order
                assert (seen[0] == seen[1]) is ("corporate" not in order), order
                stranger.sendto(b"unasked", seen[0])
                one.sendto(b"answer", seen[0])
                open_ = {"home", "corporate"}.isdisjoint(order)
                expected = {b"answer", b"unasked"} if open_ else {b"answer"}
                assert {inside.recv(100) for _ in expected} == expected, order
                assert not select.select([inside], [], [], 0)[0], order


def udp_socket(device):
    made = device.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(30)
    made.bind((str(device.ip), 0))
    return made
