"""Packets of flows meet what they are told to, and the others what the link has."""

import socket

import pytest
from traffic import cross, eventually

from patchbay import FlowMatch, LinkCondition, LinkEngine

SLOW = LinkCondition(latency_ms=200)


@pytest.fixture
def net(lab):
    lab.add_device("server", lab.add_router("dc"))
    lab.add_device("laptop", lab.add_router("home"))
    return lab


def becomes_quick(delays):
    """On a busy machine a packet may take any time; without a delay one is quick some time."""
    eventually(lambda: min(delays()) < 200, "packets are slow that should not be")


def test_a_flow_meets_its_own_condition_and_the_others_the_links(net):
    laptop, server = net.device("laptop"), net.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=1), "up", flows={FlowMatch(protocol="udp"): SLOW})

    assert eth0.flows("up") == {FlowMatch(protocol="udp"): SLOW}
    assert eth0.flows("down") == {}
    assert eth0.engine("up").engine is LinkEngine.USER
    assert min(cross(laptop, server, 20).delays) >= 199.8
    becomes_quick(lambda: laptop.ping(server, 5, timeout=30).rtts_ms)
    eth0.set_condition(LinkCondition(latency_ms=1), "up")
    assert eth0.flows("up") == {}
    becomes_quick(lambda: cross(laptop, server, 20).delays)


def test_the_first_flow_that_matches_holds(net):
    laptop, server = net.device("laptop"), net.device("server")
    flows = {
        FlowMatch(address=server.ip): LinkCondition(latency_ms=1),
        FlowMatch(protocol="icmp"): SLOW,
    }
    laptop.iface("eth0").set_condition(None, "up", flows=flows)

    becomes_quick(lambda: laptop.ping(server, 5, timeout=30).rtts_ms)
    assert min(laptop.ping(net.router("dc"), 5, timeout=30).rtts_ms) >= 200


def test_a_flow_is_told_by_the_port_of_either_end(net):
    laptop, server = net.device("laptop"), net.device("server")
    with server.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind((str(server.ip), 7000))
        there.settimeout(60)
        eth0 = laptop.iface("eth0")
        eth0.set_condition(
            None, flows={FlowMatch(protocol="udp", port=(7000, 7009)): LinkCondition(loss_pct=100)}
        )
        with laptop.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.connect((str(server.ip), 7000))
            here.send(b"lost")
            eventually(lambda: eth0.stats().up.drops.get("loss") == 1, "nothing is lost")
            eth0.set_condition(None)
            here.send(b"there")
        assert there.recv(100) == b"there"


def test_a_downlink_has_flows_too(net):
    laptop, server = net.device("laptop"), net.device("server")
    net.router("dc").set_downlink_condition(None, flows={FlowMatch(protocol="icmp"): SLOW})

    assert min(laptop.ping(server, 3, timeout=30).rtts_ms) >= 200
    becomes_quick(lambda: cross(laptop, server, 20).delays)
    assert "downlink-flows" in net.to_toml()
