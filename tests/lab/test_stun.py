"""STUN in a lab: what is measured is what was configured, and others' clients see the same."""

from __future__ import annotations

import itertools
import socket

import pytest

from patchbay import (
    ConfigError,
    FirewallConfig,
    NatConfig,
    NatFiltering,
    NatMapping,
    NatTimeouts,
)
from tests.waiting import wait_until

KINDS = list(itertools.product(NatMapping, NatFiltering))
CONES = {
    NatFiltering.ENDPOINT_INDEPENDENT: "full cone",
    NatFiltering.ADDRESS_DEPENDENT: "restricted cone",
    NatFiltering.ADDRESS_AND_PORT_DEPENDENT: "port-restricted cone",
}
THEIR_NAMES = {
    "full cone": "Full Cone",
    "restricted cone": "Restric NAT",
    "port-restricted cone": "Restric Port NAT",
    "symmetric": "Symmetric NAT",
}


@pytest.fixture
def net(lab):
    """A STUN server, and a laptop at home."""
    lab.stun_server()
    lab.add_device("laptop", lab.add_router("home", preset="home"))
    return lab


@pytest.fixture
def server(net):
    """The server, started once more on other ports, as a handle."""
    with net.stun_server("other", router="stun-net", ports=(5000, 5001)) as server:
        yield server


def classic(mapping, filtering):
    return CONES[filtering] if mapping is NatMapping.ENDPOINT_INDEPENDENT else "symmetric"


def _their_verdict(host, port, source_ip, patience):
    """What the client of PyPI's pystun3, which is one of RFC 3489, says."""
    import stun

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(patience)
        sock.bind((source_ip, 0))
        own_port = sock.getsockname()[1]
        kind, _ = stun.get_nat_type(sock, source_ip, own_port, stun_host=host, stun_port=port)
    return kind


@pytest.mark.parametrize("hairpin", [False, True])
def test_what_is_measured_is_what_was_configured(net, server, hairpin):
    home, laptop = net.router("home"), net.device("laptop")
    for mapping, filtering in KINDS:
        home.set_nat(NatConfig(mapping, filtering, hairpin=hairpin), flush=True)
        found = laptop.nat_behaviour(server)

        assert (found.mapping, found.filtering) == (mapping, filtering)
        assert found.classic == classic(mapping, filtering)
        assert found.hairpin is hairpin
        assert found.port_preservation is (mapping is NatMapping.ENDPOINT_INDEPENDENT)
        assert found.translated
        assert (found.local.ip, found.mapped.ip) == (laptop.ip, home.uplink_ip)
        assert found.lifetime is None


@pytest.mark.parametrize("filtering", NatFiltering, ids=str)
def test_a_client_that_others_wrote_says_the_same(net, server, filtering):
    home, laptop = net.router("home"), net.device("laptop")
    mappings = (NatMapping.ENDPOINT_INDEPENDENT, NatMapping.ADDRESS_AND_PORT_DEPENDENT)
    for mapping in mappings:
        home.set_nat(NatConfig(mapping, filtering), flush=True)
        if mapping is not mappings[0] and filtering is NatFiltering.ENDPOINT_INDEPENDENT:
            continue  # it never asks about the mapping of a NAT that lets everybody in
        expected = THEIR_NAMES[classic(mapping, filtering)]
        theirs = laptop.call(_their_verdict, *server.address, str(laptop.ip), 0.2)
        if theirs != expected:  # an answer may have been late, on a busy host
            theirs = laptop.call(_their_verdict, *server.address, str(laptop.ip), 5)

        assert theirs == expected


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("filtering", NatFiltering, ids=str)
def test_a_firewall_without_nat_is_found_out_too(net, server, version, filtering):
    wall = FirewallConfig(block_inbound=True, filtering=filtering)
    host = net.add_device("host", net.add_router("office", firewall=wall))
    found = host.nat_behaviour(server, version=version)

    assert not found.translated
    assert found.local == found.mapped
    assert (found.mapping, found.filtering) == (NatMapping.ENDPOINT_INDEPENDENT, filtering)
    open_ = filtering is NatFiltering.ENDPOINT_INDEPENDENT
    assert found.classic == ("open internet" if open_ else "symmetric firewall")
    assert found.port_preservation


def test_of_two_nats_the_stricter_one_is_seen(net, server):
    isp = net.add_router("isp", nat=NatConfig("address_dependent", "endpoint_independent"))
    inner = net.add_router("inner", upstream=isp, nat="home")
    found = net.add_device("host", inner).nat_behaviour(server)

    assert found.mapping is NatMapping.ADDRESS_DEPENDENT
    assert found.filtering is NatFiltering.ADDRESS_AND_PORT_DEPENDENT
    assert found.mapped.ip == isp.uplink_ip


def test_a_lifetime_is_measured(net, server):
    home, laptop = net.router("home"), net.device("laptop")
    home.set_nat(NatConfig(timeouts=NatTimeouts(udp=3)), flush=True)

    def is_measured():
        """Of a second at least, which a busy host may be late for."""
        lifetime = laptop.nat_behaviour(server, longest_lifetime=8).lifetime
        assert lifetime <= 3
        return lifetime > 0

    wait_until(is_measured)

    home.set_nat(NatConfig(timeouts=NatTimeouts(udp=600)), flush=True)
    assert laptop.nat_behaviour(server, longest_lifetime=0.8).lifetime == 0.8


def test_a_server_is_any_address_and_its_end_is_told(net, server):
    laptop = net.device("laptop")
    assert laptop.nat_behaviour(server.address, source_port=6000).local.port == 6000
    assert server.port == 5000
    assert [str(each) for each in server.endpoints][:2] == [
        f"{server.node.ip}:5000",
        f"{server.node.ip}:5001",
    ]
    server.close()
    server.close()
    with pytest.raises(TimeoutError, match="does not answer"):
        laptop.nat_behaviour(server, tries=1)


def test_mistakes_leave_nothing_behind(net):
    before = len(net.routers), len(net.devices)
    for name, ports, word in (("stun", (1, 2), "already"), ("new", (3478, 3478), "two ports")):
        with pytest.raises(ConfigError, match=word):
            net.stun_server(name, ports=ports)
    assert (len(net.routers), len(net.devices)) == before
    host = net.add_device("host", net.add_router("old", ip_support="v4_only"))
    with net.stun_server("new") as server, pytest.raises(ConfigError, match="no IPv6 address"):
        host.nat_behaviour(server, version=6)


def test_what_is_no_server_is_told(net, server):
    laptop = net.device("laptop")
    for wrong, word in (
        (lambda: laptop.nat_behaviour("stun"), "'stun' is neither a StunServer"),
        (
            lambda: laptop.nat_behaviour(server.node),
            "neither a StunServer nor an address and a port",
        ),
        (lambda: laptop.nat_behaviour(("198.18.0.1", 70_000)), "neither a StunServer"),
        (lambda: laptop.nat_behaviour(("stun", 3478)), "'stun' is not an IP address"),
        (lambda: laptop.nat_behaviour(server, version=5), "5 is not a version of IP"),
        (lambda: laptop.nat_behaviour(server, source_port=70_000), "70000 is not a port"),
        (lambda: laptop.nat_behaviour(server, longest_lifetime=0), "seconds above 0"),
        (lambda: laptop.nat_behaviour(server, tries=0), "whole number from 1 on"),
    ):
        with pytest.raises(ConfigError, match=word):
            wrong()
