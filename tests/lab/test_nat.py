"""NAT Home and the firewall, as a server on the internet and hosts behind them see it."""

import socket

import pytest
from support import exchange, home_and_server, reaches, refused

from tests.waiting import wait_until


@pytest.fixture
def net(lab):
    home_and_server(lab)
    lab.add_device("desk", "home")
    lab.add_device("mirror", lab.add_router("dc2"))
    return lab


def _sysctl(path):
    with open(f"/proc/sys/net/{path}") as file:
        return int(file.read())


def _mapping_of(port, targets):
    """What each of several reflectors sees of one socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.settimeout(30)
        seen = []
        for target in targets:
            sock.sendto(b"?", target)
            seen.append(tuple(sock.recv(100).decode().split()[1:]))
    return seen


def test_one_socket_has_one_outside_port_whoever_it_talks_to(net):
    """Endpoint-independent mapping, with the inside port kept (RFC 4787 4.1, 4.2)."""
    laptop, home = net.device("laptop"), net.router("home")
    with net.device("server").reflector() as one, net.device("mirror").reflector() as other:
        seen = laptop.call(_mapping_of, 5000, [one.address, other.address])

    assert seen == [(str(home.uplink_ip), "5000")] * 2


def test_two_hosts_with_one_port_get_two_outside(net):
    with net.device("server").reflector() as reflector:
        first = reflector.observe(net.device("laptop"), source_port=5001, timeout=30)
        second = reflector.observe(net.device("desk"), source_port=5001, timeout=30)

    assert first.ip == second.ip
    assert first.port == 5001 != second.port


def test_what_nobody_asked_for_is_dropped(net, tmp_path):
    """Also from an address that the inside talks to, by another port (RFC 4787 5)."""
    laptop, server, home = net.device("laptop"), net.device("server"), net.router("home")
    with server.reflector() as reflector:
        listener = laptop.submit(_hold_and_count, 5002, reflector.address, tmp_path / "end")
        wait_until(lambda: any(entry.inside[1] == 5002 for entry in home.nat_table()))
        for source in (server, net.device("mirror"), server):
            source.call(_send, (str(home.uplink_ip), 5002), b"unsolicited")
        server.call(_send, (str(home.uplink_ip), 5002), b"asked for", reflector.port + 1)
        reflector.observe(net.device("desk"), timeout=30)
        (tmp_path / "end").touch()
        assert listener.result(timeout=60) == [b"OBSERVED"]


def _hold_and_count(port, target, end):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.settimeout(0.2)
        sock.sendto(b"?", target)
        heard = []
        while True:
            last = end.exists()
            try:
                heard.append(sock.recv(100).split()[0])
            except TimeoutError:
                if last and heard:
                    return heard


def _send(target, data, port=0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.sendto(data, target)


def test_an_early_packet_does_not_steal_the_port(net):
    """What comes before the inside has sent leaves nothing: its port stays free, 100 of 100."""
    laptop, server, home = net.device("laptop"), net.device("server"), net.router("home")
    outside = str(home.uplink_ip)
    with server.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((str(server.ip), 6000))
        far.settimeout(30)
        kept = 0
        for port in range(20_000, 20_100):
            far.sendto(b"early", (outside, port))
            laptop.call(_send, (str(server.ip), 6000), b"hello", port)
            kept += far.recvfrom(100)[1] == (outside, port)
    assert kept == 100


def test_two_hosts_behind_nats_open_a_path_to_each_other(net):
    """Simultaneous UDP: both send, both ports are kept, both hear the other."""
    second = net.add_router("second", preset="home")
    one, other = net.device("laptop"), net.add_device("other", second)
    ends = (str(net.router("home").uplink_ip), 7000), (str(second.uplink_ip), 7000)
    tasks = [one.submit(_punch, ends[1]), other.submit(_punch, ends[0])]

    assert [task.result(timeout=60) for task in tasks] == [ends[1], ends[0]]


def _punch(peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", peer[1]))
        sock.settimeout(0.1)
        for _ in range(300):
            sock.sendto(b"hole", peer)
            try:
                heard = sock.recvfrom(100)[1]
            except TimeoutError:
                continue
            sock.sendto(b"hole", peer)
            return heard
    return None


def test_timeouts_are_those_of_the_preset(net):
    home = net.router("home")

    for name, seconds in (
        ("udp_timeout", 120),
        ("udp_timeout_stream", 300),
        ("tcp_timeout_established", 7440),
    ):
        assert home.call(_sysctl, f"netfilter/nf_conntrack_{name}") == seconds
    home.set_nat("none")
    assert home.call(_sysctl, "netfilter/nf_conntrack_tcp_timeout_established") == 7440
    home.set_firewall("none")
    assert home.call(_sysctl, "netfilter/nf_conntrack_udp_timeout_stream") == 120


def test_hosts_reach_the_router_and_the_world_does_not(net):
    laptop, server, home = net.device("laptop"), net.device("server"), net.router("home")

    with home.reflector("tcp", 80):
        for version, gateway in (
            (4, laptop.iface("eth0").gateway),
            (6, laptop.iface("eth0").gateway6),
        ):
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            with laptop.socket(family) as sock:
                sock.settimeout(30)
                sock.connect((str(gateway), 80))
            outside = home.uplink_ip if version == 4 else home.uplink_ip6
            with server.socket(family) as sock:
                sock.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    sock.connect((str(outside), 80))


def test_the_router_itself_reaches_the_world(net):
    home, server = net.router("home"), net.device("server")

    assert exchange(home, server) == str(home.uplink_ip)
    assert exchange(home, server, 6) == str(home.uplink_ip6)
    assert home.ping(server, timeout=30)


def test_errors_about_a_translated_flow_come_back_to_its_host(net):
    """Port unreachable of the far side refuses a connected socket behind NAT."""
    laptop, server = net.device("laptop"), net.device("server")
    for version in (4, 6):
        target = str(server.ip if version == 4 else server.ip6)
        assert laptop.call(_refused, target, 9)


def _refused(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((host, port))
        sock.send(b"x")
        try:
            sock.recv(10)
        except ConnectionRefusedError:
            return True
    return False


@pytest.mark.parametrize("version", [4, 6])
def test_the_firewall_drops_what_comes_from_outside(lab, version):
    dc = lab.add_router("dc")
    office = lab.add_router("office", firewall="block_inbound")
    server, host = lab.add_device("server", dc), lab.add_device("host", office)

    assert refused(server, host, version)
    assert reaches(host, server, version)
    with host.reflector("tcp", 81), pytest.raises(TimeoutError):
        exchange_from_outside(server, host, version)
    seen = exchange(host, server, version)
    assert seen == str(host.ip if version == 4 else host.ip6)


def exchange_from_outside(client, host, version):
    with client.socket(socket.AF_INET if version == 4 else socket.AF_INET6) as sock:
        sock.settimeout(0.2)
        sock.connect((str(host.ip if version == 4 else host.ip6), 81))


def test_the_rules_are_printable(net):
    home = net.router("home")
    text = home.ruleset()

    assert f"snat to {home.uplink_ip}" in text
    assert "table inet firewall" in text
    home.set_nat("none")
    home.set_firewall("none")
    assert home.ruleset() == ""
