"""A captive portal: a page, until somebody releases the device."""

from __future__ import annotations

import http.client
import socket

import pytest
from support import held_open, reaches, refused

from patchbay import ConfigError, FirewallConfig, RefusedByKernel

PORTAL = FirewallConfig(block_inbound=True, captive_portal=True)


@pytest.fixture
def net(lab):
    """A hotel with two guests, and a server that has a page of its own."""
    with lab.batch():
        lab.add_device("server", lab.add_router("dc"))
        hotel = lab.add_router("hotel", preset="hotel", firewall=PORTAL, ip_support="dual_stack")
        lab.add_device("guest", hotel)
        lab.add_device("other", hotel)
    return lab


def _get(url_host, port, path, own_host=None):
    connection = http.client.HTTPConnection(url_host, port, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": own_host} if own_host else {})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location"), answer.read().decode()
    finally:
        connection.close()


def web(device, host):
    """What a browser gets for `http://example.test/` at an address: status, where to, page."""
    return device.call(_get, str(host), 80, "/news", "example.test")


def _connects(target):
    try:
        socket.create_connection(target, timeout=60).close()
    except OSError as error:
        return type(error).__name__
    return "open"


def test_the_web_leads_to_the_page_until_the_device_is_released(net):
    guest, other, hotel = net.device("guest"), net.device("other"), net.router("hotel")
    server = net.device("server")
    portal = str(guest.iface("eth0").gateway)
    with server.reflector("tcp", 443), server.reflector("tcp", 80):
        status, location, _ = web(guest, server.ip)
        assert (status, location) == (302, f"http://{portal}:8910/")
        status, _, page = guest.call(_get, portal, 8910, "/")
        assert status == 200
        assert "Sign in" in page
        assert guest.call(_connects, (str(server.ip), 443)) == "ConnectionRefusedError"
        for version in (4, 6):
            assert refused(guest, server, version)

        hotel.release(guest)
        assert guest.call(_connects, (str(server.ip), 443)) == "open"
        with pytest.raises(http.client.BadStatusLine):  # a reflector, and no page
            web(guest, server.ip)
        for version in (4, 6):
            assert reaches(guest, server, version)
            assert refused(other, server, version)
        assert web(other, server.ip)[0] == 302


def test_names_can_be_asked_for_and_the_router_reached(net):
    guest, hotel, server = net.device("guest"), net.router("hotel"), net.device("server")
    for protocol in ("udp", "tcp"):
        with server.reflector(protocol, 53) as names:
            assert names.observe(guest, timeout=30).ip == hotel.uplink_ip
    assert reaches(guest, net.device("other"))
    with hotel.reflector(port=9000) as own:
        assert own.observe(guest, timeout=30).ip == guest.ip


def test_a_released_device_keeps_that_with_another_address_and_loses_it_when_held(net):
    guest, hotel, server = net.device("guest"), net.router("hotel"), net.device("server")
    hotel.release("guest")
    hotel.release(guest)
    guest.iface("eth0").renew_ip()
    with held_open(guest, server) as conversation:
        assert conversation.works()
        hotel.hold(guest)
        conversation.socket.settimeout(5)
        with pytest.raises(OSError):
            conversation.works()
    assert web(guest, server.ip)[0] == 302


def test_events_say_who_asked_and_who_was_released(net):
    guest, hotel = net.device("guest"), net.router("hotel")
    web(guest, net.device("server").ip)
    hotel.release(guest)
    hotel.hold(guest)
    told = {event.kind: dict(event.fields) for event in net.events()}
    assert told["portal_asked"] == {
        "node": "hotel",
        "source": str(guest.ip),
        "url": "http://example.test/news",
    }
    assert told["portal_released"] == {"node": "hotel", "host": "guest"}
    assert told["portal_held"] == {"node": "hotel", "host": "guest"}


def test_the_portal_comes_and_goes_with_the_firewall(net):
    guest, hotel = net.device("guest"), net.router("hotel")
    server = net.device("server")
    for _ in range(3):
        hotel.set_firewall("none")
        assert reaches(guest, server)
        with hotel.reflector("tcp", 8910):
            before = hotel.firewall
            with pytest.raises(RefusedByKernel, match="in use"):
                hotel.set_firewall(PORTAL)
            assert hotel.firewall == before
            assert reaches(guest, server)
        hotel.set_firewall(PORTAL)
        assert refused(guest, server)
        assert web(guest, server.ip)[0] == 302


def test_slow_and_broken_browsers_hold_nobody_up(net):
    guest, server = net.device("guest"), net.device("server")
    target = (str(server.ip), 80)
    slow = []
    try:
        for _ in range(80):
            slow.append(guest.socket())
            slow[-1].settimeout(60)
            slow[-1].connect(target)
            slow[-1].sendall(b"GET / HT")
        assert web(guest, server.ip)[0] == 302
        slow[-1].sendall(b"TP/1.1\r\n\r\n")
        assert b"302 Found" in slow[-1].recv(1000)
        with guest.socket() as broken:
            broken.settimeout(60)
            broken.connect(target)
            broken.sendall(b"\x16\x03\x01\x00\r\n\r\n")
            assert b"400 Bad Request" in broken.recv(1000)
    finally:
        for each in slow:
            each.close()


def test_a_stranger_cannot_be_released(net):
    hotel = net.router("hotel")
    with pytest.raises(ConfigError, match="not plugged into the LAN of 'hotel'"):
        hotel.release(net.device("server"))
    with pytest.raises(ConfigError, match="there is no such node"):
        hotel.release("gest")
