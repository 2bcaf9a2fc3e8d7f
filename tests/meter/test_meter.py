"""Measuring in labs: what is told is what the network is."""

import asyncio
from ipaddress import ip_address

import pytest

from patchbay import AsyncLab, ConfigError, FirewallConfig, clock
from patchbay.meter.path_mtu import NarrowLink
from tests.waiting import PATIENCE, wait_until

ANYBODY = "203.0.113.9"
"""An address that nobody has, and no router knows a way to."""


@pytest.mark.parametrize("version", [4, 6])
def test_a_route_is_found_router_by_router(lab, version):
    laptop, server = lab.device("laptop"), lab.device("server")
    home, dc = lab.router("home"), lab.router("dc")
    attribute = "ip" if version == 4 else "ip6"
    way = [home.iface("lan"), lab.ix, dc, server]
    target = getattr(server, attribute)
    found = laptop.traceroute(target, timeout=PATIENCE)

    assert found
    assert found.reached
    assert found.addresses == tuple(getattr(each, attribute) for each in way)
    assert all(len(hop.rtts_ms) == 1 for hop in found.hops)
    assert str(found).splitlines()[-1].startswith(f" 4  {target}  ")


def test_a_route_that_ends_says_why(lab):
    found = lab.device("laptop").traceroute(ANYBODY, timeout=PATIENCE)

    assert not found
    assert found.error == "Network is unreachable"
    assert found.addresses[0] == lab.router("home").iface("lan").ip


def test_who_keeps_silent_is_a_gap(lab):
    lab.router("dc").set_firewall("block_inbound")
    found = lab.device("laptop").traceroute(lab.device("server"), max_hops=4, timeout=0.2)

    assert not found.reached
    assert len(found.hops) == 4
    assert found.addresses[-1] is None
    assert str(found).splitlines()[-1] == " 4  *"


def test_several_probes_and_one_hop(lab):
    found = lab.device("laptop").traceroute(
        lab.router("home").iface("lan").ip, probes=3, timeout=PATIENCE
    )

    assert [len(hop.rtts_ms) for hop in found.hops] == [3]


def test_a_host_without_a_route_says_so(lab):
    laptop = lab.device("laptop")
    laptop.iface("eth0").down()

    assert laptop.traceroute(ANYBODY).error == "Network is unreachable"


@pytest.mark.parametrize("version", [4, 6])
def test_a_narrow_link_is_found_and_the_router_that_told_of_it(lab, version):
    laptop, server = lab.device("laptop"), lab.device("server")
    attribute = "ip" if version == 4 else "ip6"
    server.iface("eth0").set_mtu(1400)
    found = laptop.probe_mtu(getattr(server, attribute), timeout=PATIENCE)

    assert found
    assert found.mtu == 1400
    assert not found.black_hole
    assert NarrowLink(getattr(lab.router("dc"), attribute), 1400) in found.told


@pytest.mark.parametrize("version", [4, 6])
def test_a_router_that_does_not_tell_makes_a_black_hole(lab, version):
    laptop, server = lab.device("laptop"), lab.device("server")
    server.iface("eth0").set_mtu(1400)
    lab.router("dc").set_firewall(FirewallConfig(block_icmp_frag_needed=True))
    target = server.ip if version == 4 else server.ip6

    def is_found():
        """A busy host may hold an answer up for so long that its size seems to be too large."""
        found = laptop.probe_mtu(target, timeout=0.2)
        assert (found.mtu or 0) <= 1400
        return (found.mtu, found.black_hole) == (1400, True)

    wait_until(is_found)


def test_the_nodes_own_link_is_the_first_that_is_narrow(lab):
    laptop = lab.device("laptop")
    found = laptop.probe_mtu(lab.router("home").iface("lan").ip, timeout=PATIENCE)

    assert (found.mtu, found.told) == (1500, (NarrowLink(None, 1500),))


def test_the_loopback_takes_the_largest_packet_there_is(lab):
    found = lab.device("laptop").probe_mtu("127.0.0.1", timeout=PATIENCE)

    assert (found.mtu, found.black_hole) == (65535, False)


def test_nobody_there_has_no_mtu(lab):
    found = lab.device("laptop").probe_mtu(ANYBODY, timeout=0.1, tries=1)

    assert not found
    assert found.mtu is None


@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("version", [4, 6])
def test_udp_tells_what_arrived(lab, reverse, version):
    laptop, server = lab.device("laptop"), lab.device("server")
    if version == 6:
        lab.router("home").set_firewall("none")
        laptop = lab.add_device("other", lab.router("dc"))
        laptop.address_of = lambda target: str(target.ip6)
    result = laptop.iperf(
        server,
        protocol="udp",
        seconds=0.5,
        rate_kbit=800,
        size=500,
        reverse=reverse,
        timeout=PATIENCE,
    )

    assert (result.sent, result.sent_bytes) == (100, 50_000)
    assert (result.received, result.lost, result.duplicates) == (100, 0, 0)
    delays = result.delay_ms
    assert 0 <= delays.min <= delays.p50 <= delays.p99 <= delays.max
    assert delays.min > 0 or clock.is_virtual()  # where a packet needs no time if nothing delays it
    assert result.jitter_ms > 0 or clock.is_virtual()
    assert result.rate_kbit > 0


@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
def test_tcp_tells_what_went_through(lab, reverse):
    laptop, server = lab.device("laptop"), lab.device("server")

    def has_a_rate():
        """What came with the first arrival is not in it, which may be all on a busy host."""
        result = laptop.iperf(server, seconds=0.3, reverse=reverse, timeout=PATIENCE)
        assert result.sent_bytes == result.received_bytes > 10_000
        if result.rate_kbit == 0:
            return False
        assert result.rate_kbit < result.received_bytes * 8 / 1000 / result.seconds
        return True

    wait_until(has_a_rate)


def test_tcp_can_be_held_to_a_rate(lab):
    laptop, server = lab.device("laptop"), lab.device("server")

    def is_held():
        """What waited while a busy host did not let the receiver run comes at once."""
        result = laptop.iperf(server, seconds=1, rate_kbit=4000, timeout=PATIENCE)
        return 0 < result.rate_kbit < 20_000  # without it, a hundred times that

    wait_until(is_held)


def test_what_does_not_get_through_is_lost(lab):
    lab.router("home").set_firewall("block_inbound")
    result = lab.device("server").iperf(
        lab.router("home"), protocol="udp", seconds=0.1, timeout=0.2
    )

    assert result.sent > 0
    assert (result.received, result.loss_pct, result.rate_kbit) == (0, 100.0, 0)
    assert result.delay_ms is None


def test_a_connection_that_nobody_takes_raises_and_leaves_nothing_open(lab):
    server, home = lab.device("server"), lab.router("home")
    home.set_firewall(FirewallConfig(block_inbound=True))  # which never says so
    with pytest.raises(TimeoutError):
        server.iperf(home, seconds=0.1, timeout=0.2)
    assert home.call(open_ends) == 0


def open_ends():
    from patchbay.meter import ends

    return len(ends._ends)


def test_mistakes_are_told_at_once(lab):
    with pytest.raises(ConfigError) as caught:
        lab.device("laptop").iperf(
            lab.device("server"), protocol="sctp", seconds=0, rate_kbit=-1, size=1
        )

    assert len(caught.value.problems) == 4


def test_for_asyncio(lab):
    async def main():
        async with AsyncLab("async") as lab:
            router = await lab.add_router("r")
            a, b = await lab.add_device("a", router), await lab.add_device("b", router)
            route = await a.traceroute(b, timeout=PATIENCE)
            mtu = await a.probe_mtu(b, timeout=PATIENCE)
            result = await a.iperf(b, protocol="udp", seconds=0.1, timeout=PATIENCE)
            return route.addresses, mtu.mtu, result.received, b.ip

    addresses, mtu, received, ip = asyncio.run(main())
    assert (addresses, mtu) == ((ip_address(ip),), 1500)
    assert received > 0
