"""Ways in over IPv6 that hosts ask their router for, with PCP and with UPnP, and who comes in."""

from __future__ import annotations

import re
import shutil
import socket
import struct
from http.client import HTTPConnection
from ipaddress import IPv6Address

import pytest
from asking import answered, answers, run_upnpc

from patchbay import Pinhole
from tests.waiting import PATIENCE, wait_until

BRIEFLY = 0.3
"""Seconds to wait for what is not to come."""
SERVICE = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"


@pytest.fixture
def net(lab):
    """Two hosts at home, and two outside that send to them."""
    with lab.batch():
        dc = lab.add_router("dc")
        for name in ("outside", "other"):
            lab.add_device(name, dc)
        home = lab.add_router("home", preset="home")
        for name in ("laptop", "desk"):
            lab.add_device(name, home)
    return lab


def comes_in(source, host, protocol, port, patience=PATIENCE):
    """Whether somebody outside is answered by a port of a host."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with host.reflector(protocol, port):
        try:
            told = source.call(answered, socket.AF_INET6, kind, (str(host.ip6), port), patience)
        except (TimeoutError, PermissionError):  # the latter after six seconds: RFC 6092 REC-34
            return False
        return str(source.ip6) in told


def stays_out(source, host, protocol, port):
    return not comes_in(source, host, protocol, port, BRIEFLY)


def hole(host, protocol, port, **remote):
    return Pinhole(protocol=protocol, host=host.ip6, port=port, **remote)


# ---- PCP -----------------------------------------------------------------------------------------


def ask(host, *requests):
    gateway = str(host.lab.router("home").iface("lan").ip6)
    return host.call(answers, socket.AF_INET6, (gateway, 5351), requests, PATIENCE)


def pcp(host, port, wanted, lifetime, *, nonce=b"twelve bytes", protocol=17, options=b""):
    head = struct.pack("!BBHI16s", 2, 1, 0, lifetime, host.ip6.packed)
    return head + struct.pack("!12sB3xHH16s", nonce, protocol, port, wanted, bytes(16)) + options


def test_pcp_opens_renews_and_shuts(net):
    outside, laptop, home = net.device("outside"), net.device("laptop"), net.router("home")
    assert stays_out(outside, laptop, "udp", 7000)
    for answer, lifetime in zip(
        ask(laptop, pcp(laptop, 7000, 7001, 600), pcp(laptop, 7000, 0, 10**6)),
        (600, 86_400),
        strict=True,
    ):
        assert (answer[0], answer[1], answer[3]) == (2, 0x81, 0)
        assert int.from_bytes(answer[4:8]) == lifetime
        _, protocol, port, there, address = struct.unpack("!12sB3xHH16s", answer[24:])
        assert (protocol, port, there, IPv6Address(address)) == (17, 7000, 7000, laptop.ip6)
    assert home.pinholes == (hole(laptop, "udp", 7000),)
    assert comes_in(outside, laptop, "udp", 7000)
    assert stays_out(outside, laptop, "tcp", 7000)
    assert stays_out(outside, net.device("desk"), "udp", 7000)

    (gone,) = ask(laptop, pcp(laptop, 7000, 0, 0))
    assert (gone[3], home.pinholes) == (0, ())
    assert stays_out(net.device("other"), laptop, "udp", 7000)


def test_pcp_refuses_what_it_must(net):
    laptop, desk = net.device("laptop"), net.device("desk")
    prefer_failure, filter_ = b"\2\0\0\0", b"\3\0\0\x14" + bytes(20)
    asked = {
        "no error": (pcp(laptop, 7000, 7000, 60), 0),
        "another's nonce": (pcp(laptop, 7000, 7000, 60, nonce=b"another one!"), 2),
        "another's nonce, to shut": (pcp(laptop, 7000, 0, 0, nonce=b"another one!"), 2),
        "another's address": (pcp(desk, 7000, 7000, 60), 12),
        "a port for all": (pcp(laptop, 0, 0, 60), 3),
        "a filter": (pcp(laptop, 7000, 7000, 60, options=filter_), 5),
        "protocol": (pcp(laptop, 7000, 7000, 60, protocol=132), 9),
        "another port": (pcp(laptop, 7002, 7003, 60, options=prefer_failure), 11),
    }
    answers = ask(laptop, *(request for request, _ in asked.values()))
    told = {name: answer[3] for name, answer in zip(asked, answers, strict=True)}
    assert told == {name: result for name, (_, result) in asked.items()}


def test_a_way_in_ends_with_its_lifetime_and_events_say_so(net):
    laptop, home = net.device("laptop"), net.router("home")
    ask(laptop, pcp(laptop, 7001, 0, 600), pcp(laptop, 7000, 0, 1))
    wait_until(lambda: home.pinholes == (hole(laptop, "udp", 7001),))
    home.set_port_mapping(False)

    assert home.pinholes == ()
    told = [event for event in net.events() if event.kind.startswith("pinhole_")]
    assert [(event.kind, event.fields["port"]) for event in told] == [
        ("pinhole_opened", 7001),
        ("pinhole_opened", 7000),
        ("pinhole_closed", 7000),
        ("pinhole_closed", 7001),
    ]
    assert told[1].fields == {
        "node": "home",
        "protocol": "udp",
        "host": str(laptop.ip6),
        "port": 7000,
        "remote": None,
        "remote_port": None,
        "lifetime": 1,
    }


# ---- UPnP ----------------------------------------------------------------------------------------


def _soap(gateway, action, arguments):
    """What an action gives, or the number of its error."""
    values = "".join(f"<{name}>{value}</{name}>" for name, value in arguments.items())
    page = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<u:{action} xmlns:u="{SERVICE}">{values}</u:{action}></s:Body></s:Envelope>'
    )
    browser = HTTPConnection(gateway, 49000, timeout=PATIENCE)
    browser.request("POST", "/firewall", page, {"SOAPAction": f'"{SERVICE}#{action}"'})
    told = browser.getresponse().read().decode()
    browser.close()
    error = re.search("<errorCode>(\\d+)<", told)
    return int(error[1]) if error else dict(re.findall(r"<(\w+)>([^<]*)</\1>", told))


def soap(host, action, **arguments):
    return host.call(_soap, str(host.iface("eth0").gateway), action, arguments)


def add(host, port=5000, *, client=None, remote="", remote_port=0, protocol="17", lifetime=600):
    return soap(
        host,
        "AddPinhole",
        RemoteHost=remote,
        RemotePort=remote_port,
        InternalClient=host.ip6 if client is None else client,
        InternalPort=port,
        Protocol=protocol,
        LeaseTime=lifetime,
    )


def test_who_may_come_in_can_be_said(net):
    outside, other, laptop = (net.device(name) for name in ("outside", "other", "laptop"))
    assert add(laptop, remote=outside.ip6) == {"UniqueID": "0"}
    assert comes_in(outside, laptop, "udp", 5000)
    assert stays_out(other, laptop, "udp", 5000)
    assert add(laptop, protocol="6", remote_port=9) == {"UniqueID": "1"}
    assert stays_out(outside, laptop, "tcp", 5000)
    assert net.router("home").pinholes == (
        hole(laptop, "udp", 5000, remote=outside.ip6),
        hole(laptop, "tcp", 5000, remote_port=9),
    )


def test_a_host_asks_for_itself_and_knows_its_ways_by_number(net):
    laptop, desk, home = net.device("laptop"), net.device("desk"), net.router("home")
    assert add(laptop) == add(laptop, lifetime=700) == {"UniqueID": "0"}
    refused = {
        "another's address": (add(desk, client=laptop.ip6), 606),
        "to shut another's": (soap(desk, "DeletePinhole", UniqueID=0), 606),
        "any host": (add(laptop, client=""), 708),
        "no address": (add(laptop, client="laptop"), 402),
        "any port": (add(laptop, 0), 706),
        "any protocol": (add(laptop, protocol="65535"), 707),
        "another protocol": (add(laptop, protocol="132"), 705),
        "for ever": (add(laptop, lifetime=0), 402),
        "one that is not there": (soap(laptop, "DeletePinhole", UniqueID=7), 704),
    }
    assert {what: told for what, (told, _) in refused.items()} == {
        what: code for what, (_, code) in refused.items()
    }
    assert soap(laptop, "UpdatePinhole", UniqueID=0, NewLeaseTime=1) == {}
    wait_until(lambda: home.pinholes == ())
    timeouts = [
        soap(laptop, "GetOutboundPinholeTimeout", Protocol=protocol) for protocol in (17, 6)
    ]
    assert [each["OutboundPinholeTimeout"] for each in timeouts] == ["300", "7440"]


def test_without_a_firewall_there_is_nothing_to_open(net):
    laptop, home = net.device("laptop"), net.router("home")
    assert soap(laptop, "GetFirewallStatus")["FirewallEnabled"] == "1"
    home.set_firewall("none")
    assert soap(laptop, "GetFirewallStatus")["FirewallEnabled"] == "0"
    assert add(laptop) == 702
    plain = net.add_router("plain", preset="home", ip_support="v4_only")
    host = net.add_device("host", plain)
    assert soap(host, "GetFirewallStatus") == {}


@pytest.mark.skipif(shutil.which("upnpc") is None, reason="needs the program upnpc")
def test_upnpc_opens_and_shuts(net):
    outside, laptop, home = net.device("outside"), net.device("laptop"), net.router("home")

    def upnpc(*arguments):
        page = f"http://{laptop.iface('eth0').gateway}:49000/description.xml"
        return run_upnpc(laptop, "-u", page, *arguments).stdout

    assert "Inbound Pinhole Allowed: Yes" in upnpc("-S")
    opened = upnpc("-A", str(outside.ip6), "0", str(laptop.ip6), "5000", "tcp", "600")
    assert "Pinhole ID = 0" in opened
    assert comes_in(outside, laptop, "tcp", 5000)
    upnpc("-D", "0")
    assert home.pinholes == ()
    assert stays_out(net.device("other"), laptop, "tcp", 5000)
