"""Ports that hosts ask their router for, with clients that others wrote, and what becomes of them."""

from __future__ import annotations

import re
import shutil
import socket
import struct
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest
from asking import answered, answers, run_natpmpc, run_upnpc

from patchbay import NatConfig, PortForward, PortMapping
from tests.waiting import PATIENCE, wait_until

BRIEFLY = 0.3
"""Seconds to wait for what is not to come."""


@pytest.fixture
def net(lab):
    """Two hosts at home, and one outside that sends to the router."""
    with lab.batch():
        lab.add_device("outside", lab.add_router("dc"))
        home = lab.add_router("home", preset="home")
        lab.add_device("laptop", home)
        lab.add_device("desk", home)
    return lab


def reached(net, protocol, port, patience=PATIENCE):
    """What the one outside is told by who is behind a port of the router."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    outside, home = net.device("outside"), net.router("home")
    target = str(home.uplink_ip), port
    return outside.call(answered, socket.AF_INET, kind, target, patience)


def unreached(net, protocol, port):
    """Whether the one outside is told nothing."""
    try:
        reached(net, protocol, port, BRIEFLY)
    except TimeoutError:
        return True
    return False


def mapping(host, protocol, port, host_port):
    return PortMapping(protocol=protocol, port=port, host=host.ip, host_port=host_port)


def ask(host, *requests):
    """What the router answers at the port of NAT-PMP and PCP."""
    gateway = str(host.iface("eth0").gateway)
    return host.call(answers, socket.AF_INET, (gateway, 5351), requests, PATIENCE)


# ---- NAT-PMP -------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("natpmpc") is None, reason="needs the program natpmpc")
def test_natpmpc_maps_and_deletes(net):
    laptop, home = net.device("laptop"), net.router("home")
    ports = ("-a", "4000", "5000")
    for protocol in ("udp", "tcp"):
        told = run_natpmpc(laptop, *ports, protocol, "3600")
        assert f"Public IP address : {home.uplink_ip}" in told
        assert "Mapped public port 4000" in told
        assert mapping(laptop, protocol, 4000, 5000) in home.port_mappings
        with laptop.reflector(protocol, 5000):
            assert str(net.device("outside").ip) in reached(net, protocol, 4000)
        run_natpmpc(laptop, *ports, protocol, "0")
        assert home.port_mappings == ()
        with laptop.reflector(protocol, 5000):
            assert unreached(net, protocol, 4000)


def pmp(operation, port, wanted, lifetime):
    return struct.pack("!BBHHHI", 0, operation, 0, port, wanted, lifetime)


def test_a_mapping_ends_with_its_lifetime_unless_it_is_renewed(net):
    laptop, home = net.device("laptop"), net.router("home")

    def events(since=0):
        told = (event for event in net.events(since) if event.kind.startswith("port_"))
        return [(event.kind, event.fields["port"]) for event in told]

    def is_renewed_in_time():
        """A busy machine may take longer than the second that it has."""
        begin = len(net.events())
        ask(laptop, pmp(1, 6001, 6001, 1), pmp(1, 6001, 6001, 600))
        return ("port_unmapped", 6001) not in events(begin)

    wait_until(is_renewed_in_time)
    begin = len(net.events())
    ask(laptop, pmp(1, 6000, 0, 1))
    wait_until(lambda: home.port_mappings == (mapping(laptop, "udp", 6001, 6001),))
    assert events(begin) == [("port_mapped", 6000), ("port_unmapped", 6000)]
    with laptop.reflector(port=6001):
        assert reached(net, "udp", 6001)


def test_a_port_is_one_hosts_and_the_next_gets_another(net):
    laptop, desk, home = net.device("laptop"), net.device("desk"), net.router("home")
    (first,) = ask(laptop, pmp(2, 80, 8080, 60))
    (second,) = ask(desk, pmp(2, 80, 8080, 60))
    assert struct.unpack("!HHI", first[8:]) == (80, 8080, 60)
    other = struct.unpack("!HHI", second[8:])[1]
    assert other != 8080
    assert home.port_mappings == (
        mapping(laptop, "tcp", 8080, 80),
        mapping(desk, "tcp", other, 80),
    )
    (gone,) = ask(laptop, pmp(2, 0, 0, 0))  # all of its own
    assert gone[2:4] == b"\0\0"
    assert home.port_mappings == (mapping(desk, "tcp", other, 80),)


def test_a_mapped_port_turns_back_inside_where_the_nat_does(net):
    """Who asks from inside is seen with the outside address, as by forwarded ports."""
    laptop, desk, home = net.device("laptop"), net.device("desk"), net.router("home")
    ask(laptop, pmp(1, 6000, 6001, 600), pmp(2, 6000, 6001, 600))
    outside = str(home.uplink_ip), 6001
    for protocol, kind in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)):
        with laptop.reflector(protocol, 6000):
            assert f" {home.uplink_ip} " in desk.call(
                answered, socket.AF_INET, kind, outside, PATIENCE
            )
    home.set_nat("home_legacy", flush=True)
    with laptop.reflector(port=6000):
        with pytest.raises(ConnectionRefusedError):  # by the router, who has nobody there
            desk.call(answered, socket.AF_INET, socket.SOCK_DGRAM, outside, PATIENCE)
        assert reached(net, "udp", 6001)


@pytest.mark.parametrize("nat", ["home", "cgnat"])
def test_a_mapped_port_is_its_hosts_alone(net, nat):
    """The NAT gives it to no other socket until the mapping ends, and its host sends from it."""
    laptop, desk, home = net.device("laptop"), net.device("desk"), net.router("home")
    home.set_nat(NatConfig(ports=(6000, 6001)) if nat == "home" else nat)
    with net.device("outside").reflector() as reflector:
        (answer,) = ask(laptop, pmp(1, 6000, 6000, 600))
        assert answer[2:4] == b"\0\0"
        seen = [seen_at(reflector, desk, 6000), seen_at(reflector, laptop, 6000)]
        assert seen[1] == 6000 != seen[0]
        if nat == "home":
            with pytest.raises(TimeoutError):
                seen_at(reflector, desk, 6002, BRIEFLY)
        ask(laptop, pmp(1, 6000, 0, 0))
        home.flush_nat()
        if nat == "home":
            assert seen_at(reflector, desk, 6000) == 6000


def seen_at(reflector, host, port, patience=PATIENCE):
    """The outside port that a socket of a host is seen with."""
    with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(patience)
        sock.bind(("", port))
        sock.sendto(b"?", reflector.address)
        return int(sock.recv(100).split()[2])


def test_a_port_that_another_socket_is_seen_with_is_not_mapped(net):
    laptop, desk = net.device("laptop"), net.device("desk")
    with net.device("outside").reflector() as reflector:
        assert seen_at(reflector, desk, 6000) == 6000
        others, own = ask(laptop, pmp(1, 7000, 6000, 600)), ask(desk, pmp(1, 6000, 6000, 600))
    assert struct.unpack("!HH", others[0][8:12])[1] != 6000
    assert struct.unpack("!HH", own[0][8:12]) == (6000, 6000)


def test_a_port_that_the_nat_forwards_is_not_mapped(net):
    """Nor does it stay mapped when the NAT comes to forward it; and without NAT there is none."""
    laptop, desk, home = net.device("laptop"), net.device("desk"), net.router("home")
    ask(laptop, pmp(1, 6000, 6000, 600), pmp(1, 6001, 6001, 600))
    home.set_nat(NatConfig(forwards=[PortForward("udp", 6000, str(desk.ip))]))
    assert home.port_mappings == (mapping(laptop, "udp", 6001, 6001),)
    (answer,) = ask(laptop, pmp(1, 6000, 6000, 600))
    assert answer[2:4] == b"\0\0"
    assert struct.unpack("!HH", answer[8:12])[1] != 6000
    with desk.reflector(port=6000):
        assert reached(net, "udp", 6000)
    home.set_nat("none")
    assert home.port_mappings == ()
    home.set_nat("home")
    assert home.port_mappings == ()


def test_what_is_no_nat_pmp_is_refused(net):
    version, opcode, address = ask(net.device("laptop"), b"\x01\x00", b"\x00\x09", b"\x00\x00")
    assert (version[0], version[3]) == (2, 1)  # PCP: unsupported version
    assert opcode[1:4] == b"\x89\0\x05"
    assert address[1:4] == b"\x80\0\0"
    assert IPv4Address(address[8:]) == net.router("home").uplink_ip


# ---- PCP -----------------------------------------------------------------------------------------


def pcp(host, port, wanted, lifetime, *, nonce=b"twelve bytes", protocol=17, options=b"", opcode=1):
    client = IPv6Address(f"::ffff:{host.ip}").packed
    head = struct.pack("!BBHI16s", 2, opcode, 0, lifetime, client)
    outside = IPv6Address("::ffff:0.0.0.0").packed
    return head + struct.pack("!12sB3xHH16s", nonce, protocol, port, wanted, outside) + options


def test_pcp_maps_renews_and_deletes(net):
    laptop, home = net.device("laptop"), net.router("home")
    made, again = ask(laptop, pcp(laptop, 7000, 7001, 600), pcp(laptop, 7000, 9, 700))
    for answer, lifetime in ((made, 600), (again, 700)):
        assert (answer[0], answer[1], answer[3]) == (2, 0x81, 0)
        assert int.from_bytes(answer[4:8], "big") == lifetime
        nonce, protocol, port, outside, address = struct.unpack("!12sB3xHH16s", answer[24:])
        assert (nonce, protocol, port, outside) == (b"twelve bytes", 17, 7000, 7001)
        assert IPv6Address(address).ipv4_mapped == home.uplink_ip
    with laptop.reflector(port=7000):
        assert reached(net, "udp", 7001)
    (gone,) = ask(laptop, pcp(laptop, 7000, 0, 0))
    assert (gone[3], home.port_mappings) == (0, ())


def test_pcp_refuses_what_it_must(net):
    laptop, desk = net.device("laptop"), net.device("desk")
    prefer_failure, third_party = b"\x02\0\0\0", b"\x01\0\0\x10" + bytes(16)
    asked = {
        "no error": (pcp(laptop, 7000, 7000, 60), 0),
        "another's nonce": (pcp(laptop, 7000, 7000, 60, nonce=b"another one!"), 2),
        "another's address": (pcp(desk, 7000, 7000, 60), 12),
        "too short": (pcp(laptop, 7000, 7000, 60)[:40], 3),
        "peer": (pcp(laptop, 7000, 7000, 60, opcode=2), 4),
        "third party": (pcp(laptop, 7000, 7000, 60, options=third_party), 5),
        "a torn option": (pcp(laptop, 7000, 7000, 60, options=third_party[:8]), 6),
        "protocol": (pcp(laptop, 7000, 7000, 60, protocol=132), 9),
        "taken": (pcp(laptop, 7002, 7000, 60, options=prefer_failure), 11),
        "announce": (pcp(laptop, 0, 0, 0, opcode=0), 0),
    }
    answers = ask(laptop, *(request for request, _ in asked.values()))
    told = {name: answer[3] for name, answer in zip(asked, answers, strict=True)}
    assert told == {name: result for name, (_, result) in asked.items()}


# ---- UPnP ----------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("upnpc") is None, reason="needs the program upnpc")
def test_upnpc_finds_the_router_maps_lists_and_deletes(net):
    laptop, home = net.device("laptop"), net.router("home")

    def upnpc(*arguments):
        done = run_upnpc(laptop, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert f"ExternalIPAddress = {home.uplink_ip}" in upnpc("-s")
    upnpc("-e", "a game", "-a", str(laptop.ip), "5000", "4000", "udp", "600")
    assert home.port_mappings == (mapping(laptop, "udp", 4000, 5000),)
    listed = upnpc("-l")
    assert re.search(rf"0 UDP +4000->{laptop.ip}:5000 +'a game'", listed)
    with laptop.reflector(port=5000):
        assert reached(net, "udp", 4000)
    upnpc("-d", "4000", "udp")
    assert home.port_mappings == ()


# ---- when the outside address changes ------------------------------------------------------------


def renewed(net):
    net.router("home").iface("wan").renew_ip()


def replugged(net):
    net.router("home").iface("wan").replug(net.add_router("isp", preset="public"))


def rebound(net):
    net.router("home").rebind_nat(address=True)


@pytest.mark.parametrize("change", [renewed, replugged, rebound])
def test_a_mapping_is_at_the_new_outside_address_at_once_and_hosts_are_told(net, change):
    """RFC 6886 3.2.1, RFC 6887 8.5 and 14.1: as routers do, whose rules are of the interface."""
    laptop, home = net.device("laptop"), net.router("home")
    gateway, before = str(laptop.iface("eth0").gateway), home.uplink_ip
    ask(laptop, pmp(1, 6000, 6001, 600))
    with hearing(laptop, socket.AF_INET) as four, hearing(laptop, socket.AF_INET6) as six:
        change(net)
        assert home.uplink_ip != before
        assert home.port_mappings == (mapping(laptop, "udp", 6001, 6000),)
        with laptop.reflector(port=6000):
            assert reached(net, "udp", 6001)
        told = [four.recvfrom(100) for _ in range(2)]
        by_pmp, by_pcp = (data for data, _ in told)
        assert (by_pmp[:4], by_pmp[8:]) == (b"\0\x80\0\0", home.uplink_ip.packed)
        assert (by_pcp[:8], by_pcp[12:]) == (b"\2\x80" + bytes(6), bytes(12))
        assert {source for _, source in told} == {(gateway, 5351)}
        data, source = six.recvfrom(100)
        assert (data[:8], data[12:]) == (by_pcp[:8], by_pcp[12:])
        assert source[:2] == (str(home.iface("lan").ip6), 5351)


def test_a_router_that_serves_again_says_that_it_knows_of_nothing(net):
    """And one that is new to its LAN says nothing: nobody there can have asked it before."""
    home = net.router("home")
    with hearing(net.device("laptop"), socket.AF_INET) as sock:
        net.router("dc").iface("wan").renew_ip()
        home.set_port_mapping(False)
        home.set_port_mapping()
        told = [sock.recv(100) for _ in range(2)]
    assert [data[:2] for data in told] == [b"\0\x80", b"\2\x80"]


@contextmanager
def hearing(host, family):
    """A socket that hears what a router tells without being asked; it has not heard anything."""
    with host.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", 5350))
        with pytest.raises(BlockingIOError):
            sock.recv(100, socket.MSG_DONTWAIT)
        sock.settimeout(PATIENCE)
        yield sock


# ---- where it is, and where it is not ------------------------------------------------------------


def test_it_is_on_where_homes_are_and_off_elsewhere(net):
    home, laptop = net.router("home"), net.device("laptop")
    assert home.port_mapping
    office = net.add_router("office", preset="corporate")
    closed = net.add_router("closed", preset="home", port_mapping=False)
    assert not office.port_mapping
    assert not closed.port_mapping
    host = net.add_device("host", closed)
    with pytest.raises(ConnectionRefusedError):
        ask(host, b"\0\0")
    closed.set_port_mapping()
    assert ask(host, b"\0\0")
    ask(laptop, pmp(1, 6000, 6000, 60))
    home.set_port_mapping(False)
    assert home.port_mappings == ()
    with pytest.raises(ConnectionRefusedError):
        ask(laptop, b"\0\0")


@pytest.mark.parametrize(
    "end",
    [
        lambda home: home.set_port_mapping(False),
        lambda home: home.set_nat("none"),
        lambda home: home.set_nat(NatConfig(forwards=[PortForward("udp", 6000, "10.0.1.3")])),
    ],
    ids=["protocols", "nat", "port"],
)
def test_events_tell_of_ports_that_end_with_something_else(net, end):
    laptop = net.device("laptop")
    ask(laptop, pmp(1, 6000, 6000, 60))
    end(net.router("home"))
    told = [event for event in net.events() if event.kind.startswith("port_")]
    ended = next(event for event in told if event.kind == "port_unmapped")
    assert ended.fields == {
        "node": "home",
        "protocol": "udp",
        "port": 6000,
        "host": str(laptop.ip),
        "host_port": 6000,
    }


def test_nobody_outside_can_ask(net):
    home, outside = net.router("home"), net.device("outside")
    home.set_firewall("none")
    for target, port in ((home.uplink_ip, 5351), (home.uplink_ip, 1900)):
        with pytest.raises((TimeoutError, ConnectionRefusedError)):
            outside.call(_ask_briefly, (str(target), port))


def _ask_briefly(target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.3)
        sock.connect(target)
        sock.send(b"\0\0")
        sock.recv(100)


def test_a_router_that_goes_takes_its_ports_along(net):
    laptop = net.device("laptop")
    ask(laptop, pmp(1, 6000, 6000, 1))
    for name in ("laptop", "desk", "home"):
        net.remove(name)
    home = net.add_router("home", preset="home")
    laptop = net.add_device("laptop", home)
    assert home.port_mappings == ()
    assert ask(laptop, pmp(1, 6000, 6000, 60))
    assert home.port_mappings == (mapping(laptop, "udp", 6000, 6000),)
