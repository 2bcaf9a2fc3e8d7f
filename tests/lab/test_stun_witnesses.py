"""STUN with programs and libraries that others wrote: their clients and our server, and the reverse."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from ipaddress import ip_address

import pytest

from patchbay import NatConfig, NatFiltering, NatMapping
from tests.waiting import wait_until

needs_coturn = pytest.mark.skipif(
    shutil.which("turnserver") is None, reason="needs the programs of coturn"
)
PATIENCE = 60
"""Seconds for one run of a program, which takes less than one."""


@pytest.fixture
def net(lab):
    """Two addresses of a server at a data centre, and a laptop at home."""
    with lab.batch():
        dc = lab.add_router("dc")
        lab.add_device("server", ifaces={"eth0": dc, "eth1": dc})
        lab.add_device("neighbour", dc)
        lab.add_device("laptop", lab.add_router("home", preset="home"))
    return lab


# ---- our client, and the server of coturn --------------------------------------------------------


@pytest.fixture
def coturn(net, tmp_path):
    """Where a server of coturn listens that has two addresses, and so does RFC 5780."""
    server = net.device("server")
    addresses = [str(each.ip) for each in server.ifaces]
    listening = [word for address in addresses for word in ("-L", address)]
    quiet = ["--no-cli", "--no-tls", "--no-dtls", "--pidfile", "/dev/null", "-l", "/dev/null"]
    command = ["turnserver", "-n", "-S", "-m", "1", "-b", str(tmp_path / "db"), *listening, *quiet]
    running = server.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(*endpoint):
        try:
            return net.device("neighbour").nat_behaviour(endpoint, tries=1).mapping
        except TimeoutError:
            assert running.poll() is None, "coturn has ended by itself"
            return None

    try:
        for address in addresses:  # it answers at one before it listens at all of them
            for port in (3478, 3479):
                wait_until(partial(answers, address, port))
        yield addresses[0], 3478
    finally:
        running.kill()
        running.wait()


@needs_coturn
def test_coturn_as_the_server_says_what_ours_would(net, coturn):
    home, laptop = net.router("home"), net.device("laptop")
    for mapping, filtering in zip(NatMapping, reversed(NatFiltering), strict=True):
        home.set_nat(NatConfig(mapping, filtering, hairpin=True), flush=True)
        found = laptop.nat_behaviour(coturn)

        assert (found.mapping, found.filtering, found.hairpin) == (mapping, filtering, True)
        assert (found.local.ip, found.mapped.ip) == (laptop.ip, home.uplink_ip)

    assert net.device("neighbour").nat_behaviour(coturn).classic == "open internet"


# ---- others' clients, and our server -------------------------------------------------------------


@pytest.fixture
def ours(net):
    with net.stun_server() as server:
        yield server


@needs_coturn
@pytest.mark.parametrize(
    ("nat", "asks", "words"),
    [
        (
            "full_cone",
            ("-m", "-f", "-H"),
            (
                "Independent Mapping!",
                "Independent Filtering!",
                "maybe a successful hairpinning",
            ),
        ),
        ("corporate", ("-m",), ("Address and Port Dependent Mapping!",)),
        ("none", ("-m",), ("No NAT!",)),
    ],
    ids=["full_cone", "corporate", "none"],
)
def test_coturn_as_the_client_finds_the_nat_out(net, ours, nat, asks, words):
    """Its client of RFC 5780, which takes no NAT for one with address-dependent mapping.

    It waits three seconds for an answer, which may be too short on a busy machine.
    """
    net.router("home").set_nat(nat)
    laptop, told = net.device("laptop"), ""

    def finds_out():
        nonlocal told
        command = ["turnutils_natdiscovery", *asks, "-L", str(laptop.ip), ours.address[0]]
        done = laptop.run(command, capture_output=True, text=True, timeout=PATIENCE)
        told = done.stdout + done.stderr
        return "receive timeout" not in told

    wait_until(finds_out)
    assert [word for word in words if word not in told] == [], told


@needs_coturn
@pytest.mark.parametrize("version", [4, 6])
def test_coturn_as_a_plain_client_gets_all_its_answers(net, ours, version):
    """It asks for one at another port too, and never ends without: so no NAT may be between."""
    neighbour, server = net.device("neighbour"), ours.node
    address, seen = (server.ip, neighbour.ip) if version == 4 else (server.ip6, neighbour.ip6)
    done = neighbour.run(
        ["turnutils_stunclient", str(address)], capture_output=True, text=True, timeout=PATIENCE
    )

    assert done.stdout.count("RFC 5780 response") > 1
    assert f"reflexive addr: {seen}:" in done.stdout


async def _candidates(server, use_ipv6):
    """What an ICE agent of PyPI's aioice has to offer: addresses, with what they are.

    It asks for five seconds what it is seen as, and offers less if nobody answers.
    """
    import aioice

    agent = aioice.Connection(True, stun_server=server, use_ipv4=not use_ipv6, use_ipv6=use_ipv6)
    await agent.gather_candidates()
    found = [(each.type, each.host, each.port) for each in agent.local_candidates]
    await agent.close()
    return found


def test_an_ice_agent_learns_its_outside_endpoint(net, ours):
    home, laptop = net.router("home"), net.device("laptop")
    found = []

    def is_answered():
        found[:] = sorted(laptop.spawn(_candidates, ours.address, False).result())
        return len(found) > 1

    wait_until(is_answered)
    (own, port), (seen, outside) = ((ip_address(host), port) for _, host, port in found)

    assert (own, seen) == (laptop.ip, home.uplink_ip)
    assert outside == port
