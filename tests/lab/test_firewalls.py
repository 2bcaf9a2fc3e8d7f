"""Firewalls, as programs on both sides of a router see them."""

from __future__ import annotations

import math
import socket
import time
from ipaddress import ip_address

import pytest
from support import PATIENT, TURNS, Traffic, ask, held_open, reaches, refused

from patchbay import ConfigError, Firewall, FirewallConfig, FirewallRule, NatConfig, PortPolicy

VERSIONS = [4, 6]


@pytest.fixture
def net(lab):
    """A server at a data centre, and a host in an office without NAT."""
    with lab.batch():
        dc = lab.add_router("dc")
        lab.add_device("server", dc)
        lab.add_device("other", dc)
        office = lab.add_router("office", preset="public")
        lab.add_device("host", office)
    return lab


def address(node, version):
    return str(node.ip if version == 4 else node.ip6)


def _attempt(protocol, target, source_port, expected):
    family = socket.AF_INET if ip_address(target[0]).version == 4 else socket.AF_INET6
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if source_port:
            sock.bind(("", source_port))
        try:
            ask(sock, target, TURNS if expected == "dropped" else PATIENT)
        except TimeoutError:
            return "dropped"
        except OSError as error:
            return "rejected" if error.errno in (111, 113, 13) else str(error)
        return "answered"


def expect(expected, source, target, protocol, source_port=0):
    """A question becomes `answered`, `dropped` or `rejected`."""
    assert source.call(_attempt, protocol, target, source_port, expected) == expected


def expect_of_reflector(expected, source, target, protocol, port, version=4, source_port=0):
    """The same of one to a node where a reflector runs."""
    with target.reflector(protocol, port):
        expect(expected, source, (address(target, version), port), protocol, source_port)


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_come_in_their_order_and_before_everything_else(net, version):
    office, host, server = net.router("office"), net.device("host"), net.device("server")
    office.set_firewall(
        FirewallConfig(
            block_inbound=True,
            outbound_udp=PortPolicy.allow(53),
            rules=[
                FirewallRule("accept", "inbound", "tcp", ports=[22, (8000, 8010)]),
                FirewallRule("reject", "inbound", "tcp", ports=443),
                FirewallRule(
                    "accept", "inbound", "udp", source=[server.ip, server.ip6], source_ports=7000
                ),
                FirewallRule("accept", "outbound", "udp", ports=9000),
                FirewallRule("reject", "outbound", "tcp", destination=[server.ip, server.ip6]),
            ],
        )
    )
    other = net.device("other")

    def asked(expected, *question, **options):
        expect_of_reflector(expected, *question, version=version, **options)

    asked("answered", server, host, "tcp", 22)
    asked("answered", server, host, "tcp", 8005)
    asked("dropped", server, host, "tcp", 8011)
    asked("rejected", server, host, "tcp", 443)
    asked("answered", server, host, "udp", 5000, source_port=7000)
    asked("dropped", server, host, "udp", 5000, source_port=7001)
    asked("dropped", other, host, "udp", 5000, source_port=7000)
    asked("answered", host, server, "udp", 9000)
    asked("dropped", host, server, "udp", 9001)
    asked("rejected", host, server, "tcp", 80)
    asked("answered", host, other, "tcp", 80)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rejected_is_told(net, version):
    office, host, server = net.router("office"), net.device("host"), net.device("server")
    closed = PortPolicy.allow(53)
    office.set_firewall(
        FirewallConfig(
            block_inbound=True,
            outbound_tcp=closed,
            outbound_udp=closed,
            outbound_icmp=False,
            refuse="reject",
        )
    )
    for protocol in ("tcp", "udp"):
        expect_of_reflector("rejected", server, host, protocol, 9000, version)
        expect_of_reflector("rejected", host, server, protocol, 9000, version)
        expect_of_reflector("answered", host, server, protocol, 53, version)
    assert refused(host, server, version)


def test_icmp_is_kept_in_and_errors_are_not(net):
    office, host, server = net.router("office"), net.device("host"), net.device("server")
    office.set_firewall(FirewallConfig(outbound_icmp=False))
    for version in VERSIONS:
        assert refused(host, server, version)
        assert reaches(server, host, version)
        # That a port is closed is told by ICMP, in either direction.
        for one, two in ((host, server), (server, host)):
            target = (address(two, version), 9)
            expect("rejected", one, target, "udp")


def test_without_state_each_packet_is_alone(net):
    """An answer needs a rule of its own."""
    office, host, server = net.router("office"), net.device("host"), net.device("server")
    office.set_firewall(FirewallConfig(block_inbound=True, stateful=False))
    expect_of_reflector("dropped", host, server, "udp", 53)
    answers = FirewallRule("accept", "inbound", "udp", source_ports=53)
    office.set_firewall(FirewallConfig(block_inbound=True, stateful=False, rules=[answers]))
    expect_of_reflector("answered", host, server, "udp", 53)
    expect_of_reflector("dropped", host, server, "tcp", 53)


@pytest.mark.parametrize("kind", [each for each in Firewall if each is not Firewall.NONE], ids=str)
def test_the_router_is_reached_from_inside_alone(net, kind):
    office, host, server = net.router("office"), net.device("host"), net.device("server")
    office.set_firewall(kind)
    for protocol in ("tcp", "udp"):
        with office.reflector(protocol, 9000):
            for version in VERSIONS:
                gateway = (
                    host.iface("eth0").gateway if version == 4 else host.iface("eth0").gateway6
                )
                for own in (str(gateway), address(office, version)):
                    expect("dropped", server, (own, 9000), protocol)
                    expect("answered", host, (own, 9000), protocol)
    for version in VERSIONS:
        assert refused(server, office, version)
        assert reaches(host, office, version)
        assert reaches(office, server, version)


def test_firewalls_are_swapped_while_packets_pass(net):
    """None is lost, none slips in, and connections stay open."""
    office, host, server = net.router("office"), net.device("host"), net.device("server")
    kinds = [
        "block_inbound",
        FirewallConfig(block_inbound=True, filtering="address_dependent"),
        FirewallConfig(block_inbound=True, outbound_tcp=PortPolicy.allow(1)),
        "captive_portal",
    ]
    office.set_firewall("block_inbound")
    with (
        held_open(host, server) as conversation,
        server.reflector(port=53) as reflector,
        host.reflector(port=54) as inside,
    ):
        outward = Traffic(host, *reflector.address)
        inward = Traffic(server, *inside.address)
        for kind in kinds * 10:
            office.set_firewall(kind)
        sent, answered = outward.stop()
        _, came_in = inward.stop(most_lost=math.inf)
        assert conversation.works()

    assert answered == sent > 0
    assert came_in == 0


def test_a_nat_without_filter_is_reached_through_a_firewall(lab):
    """Whom a NAT sends on to, a firewall beside it does not refuse."""
    with lab.batch():
        server = lab.add_device("server", lab.add_router("dc"))
        home = lab.add_router("home", preset="home", nat="full_cone")
        laptop = lab.add_device("laptop", home)
    stranger = lab.add_device("stranger", "dc")
    with server.reflector() as reflector, laptop.socket(type=socket.SOCK_DGRAM) as inside:
        inside.settimeout(60)
        inside.sendto(b"?", reflector.address)
        _, ip, port = inside.recv(100).decode().split()
        stranger.call(_send, (ip, int(port)), b"hello")
        assert inside.recv(100) == b"hello"
    assert home.firewall is Firewall.BLOCK_INBOUND


def _send(target, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, target)


# ---- path MTU discovery --------------------------------------------------------------------------

BULK = 100_000


def _sink(version):
    """Accept one connection and count what comes; the count is asked for by `_came`."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.create_server(("", 8000), family=family) as server:
        connection, _ = server.accept()
    with connection:
        came = 0
        while came < BULK:
            data = connection.recv(1 << 16)
            if not data:
                break
            came += len(data)
        return came


def _source(host):
    """Connect as soon as somebody listens, and send a lot."""
    family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.connect((host, 8000))
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            sock.sendall(bytes(BULK))
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)
            return


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("narrow", ["home", "isp"])
def test_a_black_hole_stalls_what_path_mtu_discovery_would_let_pass(lab, version, narrow):
    """For the router's own MTU, and for that of another one behind it."""
    with lab.batch():
        server = lab.add_device("server", lab.add_router("dc"))
        isp = lab.add_router("isp", mtu=1300 if narrow == "isp" else None)
        home = lab.add_router(
            "home",
            upstream=isp,
            nat="home",
            mtu=1300 if narrow == "home" else None,
            block_icmp_frag_needed=True,
        )
        laptop = lab.add_device("laptop", home)
    assert home.block_icmp_frag_needed
    assert reaches(laptop, server, version)

    def upload():
        sink = server.submit(_sink, version)
        return sink, laptop.submit(_source, address(server, version))

    sink, source = upload()
    with pytest.raises(TimeoutError):
        sink.result(timeout=2)
    home.set_block_icmp_frag_needed(False)
    assert sink.result(timeout=60) == BULK  # the same connection, when it tries again
    source.result(timeout=60)
    sink, source = upload()
    assert sink.result(timeout=60) == BULK
    source.result(timeout=60)


def test_a_firewall_can_be_the_black_hole(net):
    net.router("office").set_firewall(FirewallConfig(block_icmp_frag_needed=True))
    assert "table inet black_hole" in net.router("office").ruleset()
    assert not net.router("office").block_icmp_frag_needed


# ---- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FirewallRule("acept", "inbound"), ["action", "accept"]),
        (lambda: FirewallRule("drop", "in"), ["direction", "inbound"]),
        (lambda: FirewallRule("drop", "inbound", ports=80), ["only TCP and UDP have ports"]),
        (lambda: FirewallRule("drop", "inbound", "tcp", ports=[0]), ["neither a port"]),
        (lambda: FirewallRule("drop", "inbound", source="10.0.0.300"), ["not an address"]),
        (
            lambda: FirewallRule("drop", "inbound", source="10.0.0.0/8", destination="fd00::/8"),
            ["these versions"],
        ),
        (lambda: FirewallConfig(refuse="accept"), ["refuses nothing"]),
        (lambda: FirewallConfig(stateful=False, filtering="address_dependent"), ["with state"]),
        (lambda: FirewallConfig(refuse_syn_after=0), ["refuse_syn_after", "seconds from 1 on"]),
        (lambda: NatConfig(refuse_syn_after=2.5), ["refuse_syn_after", "seconds from 1 on"]),
        (
            lambda: FirewallConfig(refuse="reject", refuse_syn_after=6),
            ["refuse_syn_after", "answered at once"],
        ),
        (lambda: FirewallConfig(outbound_tcp=[80]), ["PortPolicy.allow(80)"]),
        (lambda: FirewallConfig(rules=["drop"]), ["rules[0]", "not a FirewallRule"]),
    ],
)
def test_mistakes_are_told_kindly(make, words):
    with pytest.raises(ConfigError) as raised:
        make()
    for word in words:
        assert word in str(raised.value)
