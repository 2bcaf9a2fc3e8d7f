"""Devices with several interfaces: which one a packet leaves by."""

import socket
import threading

import pytest
from support import differences

from patchbay import ConfigError, IfaceConfig
from tests.waiting import PATIENCE


@pytest.fixture
def phone(lab):
    """A phone in two LANs, and a server elsewhere that sees it by either address."""
    for name in ("wifi", "cell", "dc"):
        lab.add_router(name)
    lab.add_device("server", "dc")
    return lab.add_device("phone", ifaces={"wlan0": "wifi", "cell0": "cell"})


def _echo_udp(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, port))
        threading.Thread(target=_answer, args=[sock.dup()], daemon=True).start()


def _answer(sock):
    while True:
        data, address = sock.recvfrom(100)
        sock.sendto(data, address)


def _serve_bound(host, port):
    """Echo datagrams and connections on one address; runs on a node."""
    _echo_udp(host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, port), family=family)
    threading.Thread(target=_greet, args=[server], daemon=True).start()


def _greet(server):
    while True:
        connection, _ = server.accept()
        connection.sendall(b"hello")
        connection.close()


def _ask(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        assert connection.recv(10) == b"hello"
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.sendto(b"hello", (host, port))
        data, (sender, *_) = sock.recvfrom(100)
        assert data == b"hello"
        return sender


def _ask_from(source, host, port):
    """The address that a reflector sees of a socket bound to `source`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        sock.sendto(b"?", (host, port))
        return sock.recv(100).split()[1].decode()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ["wlan0", "cell0"])
def test_a_reply_leaves_by_the_interface_its_request_came_in_on(lab, phone, name, version):
    iface, server = phone.iface(name), lab.device("server")
    address = str(iface.ip if version == 4 else iface.ip6)
    other = phone.iface("cell0" if name == "wlan0" else "wlan0")
    phone.call(_serve_bound, address, 7000)
    before, before_other = iface.stats(), other.stats()

    assert server.call(_ask, address, 7000) == address
    assert server.ping(address, 20, timeout=PATIENCE).received == 20
    assert iface.stats().sent_packets >= before.sent_packets + 20
    assert other.stats().sent_packets < before_other.sent_packets + 20


@pytest.mark.parametrize("version", [4, 6])
def test_a_wildcard_server_is_reached_by_every_address(lab, phone, version):
    """TCP, ICMP and a UDP server that answers from where it was asked."""
    server = lab.device("server")
    with phone.reflector("udp", 7001), phone.reflector("tcp", 7001):
        for iface in phone.ifaces:
            address = str(iface.ip if version == 4 else iface.ip6)
            assert server.ping(address, timeout=PATIENCE)
            seen = server.call(_observe_both, address, 7001)
            assert seen == [str(server.ip if version == 4 else server.ip6)] * 2


def _observe_both(host, port):
    from patchbay.reflectors import observe

    return [observe(protocol, host, port, 0, PATIENCE, 1)[0] for protocol in ("udp", "tcp")]


@pytest.mark.parametrize("version", [4, 6])
def test_a_socket_bound_to_an_address_leaves_by_its_interface(lab, phone, version):
    server = lab.device("server")
    target = str(server.ip if version == 4 else server.ip6)
    with server.reflector("udp", 7002):
        for iface in phone.ifaces:
            address = str(iface.ip if version == 4 else iface.ip6)
            before = iface.stats()
            assert phone.call(_ask_from, address, target, 7002) == address
            assert iface.stats().sent_packets > before.sent_packets


def test_unbound_sockets_leave_by_the_default_interface(lab, phone):
    server = lab.device("server")
    with server.reflector("udp") as reflector:
        assert phone.default_iface.name == "wlan0"
        assert reflector.observe(phone, timeout=PATIENCE).ip == phone.iface("wlan0").ip == phone.ip

        phone.set_default_route("cell0")

        assert phone.default_iface.name == "cell0"
        assert reflector.observe(phone, timeout=PATIENCE).ip == phone.iface("cell0").ip == phone.ip
        assert phone.ping(server.ip6, timeout=PATIENCE)
    assert differences(lab) == []


def test_the_default_interface_can_be_chosen_from_the_start(lab, phone):
    other = lab.add_device("other", ifaces={"wlan0": "wifi", "cell0": "cell"}, default_via="cell0")

    with lab.device("server").reflector("udp") as reflector:
        assert reflector.observe(other, timeout=PATIENCE).ip == other.iface("cell0").ip
    with pytest.raises(ConfigError, match="did you mean 'cell0'"):
        lab.add_device("third", ifaces={"wlan0": "wifi", "cell0": "cell"}, default_via="cel0")


def test_a_default_route_over_an_interface_with_one_version_only(lab, phone):
    """The default of an interface without IPv4 takes the IPv6 routes along, and back."""
    lab.add_router("six", ip_support="v6_only")
    phone.add_iface("six0", "six")
    server = lab.device("server")

    phone.set_default_route("six0")
    assert phone.ping(server.ip6, timeout=PATIENCE)
    assert differences(lab) == []
    phone.set_default_route("wlan0")
    assert phone.ping(server.ip, timeout=PATIENCE)
    assert phone.ping(server.ip6, timeout=PATIENCE)
    assert differences(lab) == []


def test_two_interfaces_in_one_lan_answer_each_for_itself(lab):
    lan = lab.add_router("lan")
    other = lab.add_device("other", lan)
    twin = lab.add_device("twin", ifaces={"eth0": lan, "eth1": lan})

    for iface in twin.ifaces:
        before = iface.stats()
        assert other.ping(iface.ip, 3, timeout=PATIENCE).received == 3
        assert other.ping(iface.ip6, 3, timeout=PATIENCE).received == 3
        after = iface.stats()
        assert after.received_packets >= before.received_packets + 6
        assert after.sent_packets >= before.sent_packets + 6


def test_added_addresses_have_source_routes_too(lab, phone):
    iface, server = phone.iface("cell0"), lab.device("server")
    iface.add_ip(f"{iface.addresses[0].network[100]}/24")
    iface.add_ip(f"{iface.addresses[1].network[0x100]}/64")
    added = [str(each.ip) for each in iface.addresses[2:]]

    for address in added:
        assert server.ping(address, timeout=PATIENCE)
        target = str(server.ip6 if ":" in address else server.ip)
        with server.reflector("udp") as reflector:
            assert phone.call(_ask_from, address, target, reflector.port) == address
    assert differences(lab) == []


def test_bare_routers_names_and_configs_say_where_interfaces_are_plugged_in(lab):
    home, cell = lab.add_router("home"), lab.add_router("cell")
    device = lab.add_device("d", ifaces={"a": home, "b": "cell", "c": IfaceConfig(cell, up=False)})

    assert [iface.router for iface in device.ifaces] == [home, cell, cell]
    assert [iface.is_up for iface in device.ifaces] == [True, True, False]


def test_a_device_without_interfaces_is_fine(lab):
    """It has no addresses and no default interface, and can be given interfaces later."""
    lab.add_router("dc")
    device = lab.add_device("lonely")

    assert (device.ip, device.ip6, device.default_iface, device.ifaces) == (None, None, None, [])
    assert device.call(sum, [1, 2]) == 3
    with pytest.raises(ConfigError, match=r"'lonely'.*no address"):
        device.ping(device)
    assert device.ping("192.0.2.1").error == "Network is unreachable"
    device.add_iface("eth0", "dc")
    assert device.default_iface.name == "eth0"
    assert device.ping(lab.ix.ip, timeout=PATIENCE)
    assert differences(lab) == []
