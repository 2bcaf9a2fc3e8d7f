"""Ping without a program, servers that tell a client how it is seen, and counters."""

import socket

import pytest
from support import home_and_server

from patchbay import ConfigError, NodeGone
from patchbay.ping import new_identifier
from tests.waiting import PATIENCE


@pytest.fixture
def net(lab):
    home_and_server(lab)
    return lab


def test_ping_takes_addresses_names_and_nodes(net):
    laptop, server = net.device("laptop"), net.device("server")

    for target in (server, "server", server.ip, str(server.ip), server.ip6, str(server.ip6)):
        result = laptop.ping(target, timeout=PATIENCE)
        assert result
        assert result.sent == result.received == 1
        assert result.loss_pct == 0
        assert 0 < result.rtt_ms == result.rtts_ms[0]
        assert result.error is None


def test_an_identifier_comes_again_only_when_all_were_used():
    """Or a router would take a request for more of an earlier flow, which it let pass."""
    assert {new_identifier() for _ in range(0xFFFF)} == set(range(1, 0x10000))


def test_ping_counts_and_sizes(net):
    laptop, server = net.device("laptop"), net.device("server")

    for size in (0, 1, 55, 1472, 8000, 60_000):
        assert laptop.ping(server, 3, timeout=PATIENCE, size=size).received == 3
        assert laptop.ping(server.ip6, 3, timeout=PATIENCE, size=size).received == 3
    before = laptop.iface("eth0").stats()
    laptop.ping(server, 50, timeout=PATIENCE, size=1000)
    after = laptop.iface("eth0").stats()
    # The kernel may say a word of its own meanwhile.
    assert 50 <= after.sent_packets - before.sent_packets < 100
    assert after.sent_bytes - before.sent_bytes >= 50 * 1028


def test_ping_tells_loss_and_why_nothing_was_sent(net):
    laptop = net.device("laptop")
    lost = net.device("server").ping(laptop.ip6, 2, timeout=0.05)
    refused = laptop.ping("server", size=70_000)

    assert not lost
    assert (lost.sent, lost.received, lost.loss_pct, lost.error) == (2, 0, 100.0, None)
    with pytest.raises(ValueError, match="no answer"):
        lost.rtt_ms  # noqa: B018
    assert "long" in refused.error
    laptop.iface("eth0").down()
    assert laptop.ping("192.0.2.1").error == "Network is unreachable"
    with pytest.raises(socket.gaierror):
        laptop.ping("nowhere.example")


def test_pings_of_two_threads_do_not_mix(net):
    laptop = net.device("laptop")
    tasks = [laptop.submit(_ping_often, str(net.device("server").ip)) for _ in range(4)]

    assert [task.result(timeout=60) for task in tasks] == [50] * 4


def _ping_often(host):
    from patchbay.ping import ping

    return ping(host, 50, PATIENCE, 0.0, 56).received


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_reflector_serves_when_it_returns(net, protocol, version):
    laptop, server, home = net.device("laptop"), net.device("server"), net.router("home")
    host = str(server.ip if version == 4 else server.ip6)
    for _ in range(10):
        with server.reflector(protocol, 7777) as reflector:
            assert reflector.port == 7777
            assert laptop.call(_observe, protocol, host) == str(
                home.uplink_ip if version == 4 else laptop.ip6
            )


def _observe(protocol, host):
    from patchbay.reflectors import observe

    return observe(protocol, host, 7777, 0, PATIENCE, 1)[0]


def test_a_reflector_tells_address_and_port(net):
    server, laptop = net.device("server"), net.device("laptop")
    with server.reflector() as reflector:
        assert reflector.address == (str(server.ip), reflector.port)
        seen = reflector.observe(laptop, source_port=4321, timeout=PATIENCE)
        assert (seen.ip, seen.port) == (net.router("home").uplink_ip, 4321)


def test_a_reflector_binds_one_address_only_if_asked_to(net):
    server, laptop = net.device("server"), net.device("laptop")
    with server.reflector("tcp", 7778, host=str(server.ip)):
        with laptop.socket() as sock:
            sock.settimeout(PATIENCE)
            sock.connect((str(server.ip), 7778))
        with laptop.socket(socket.AF_INET6) as sock:
            sock.settimeout(PATIENCE)
            with pytest.raises(ConnectionRefusedError):
                sock.connect((str(server.ip6), 7778))


def test_reflectors_are_many_and_end(net):
    server, laptop = net.device("server"), net.device("laptop")
    reflectors = [server.reflector(p) for p in ("udp", "tcp") for _ in range(20)]
    assert len({(each.protocol, each.port) for each in reflectors}) == 40
    assert all(each.observe(laptop, timeout=PATIENCE) for each in reflectors)
    for each in reflectors:
        each.close()
        each.close()
    with pytest.raises(ConnectionRefusedError):
        reflectors[-1].observe(laptop, timeout=PATIENCE)
    with pytest.raises((TimeoutError, ConnectionRefusedError)):
        reflectors[0].observe(laptop, timeout=0.1, tries=1)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_port_in_use_is_one_clear_error(net, protocol):
    server = net.device("server")
    with server.reflector(protocol, 7779):
        with pytest.raises(OSError, match="in use") as caught:
            server.reflector(protocol, 7779)
        assert "server" in "".join(caught.value.__notes__)
    with server.reflector(protocol, 7779):
        pass


def test_mistakes_with_reflectors(net):
    server = net.device("server")
    with pytest.raises(ValueError, match="'udp' or 'tcp', not 'sctp'"):
        server.reflector("sctp")
    with pytest.raises(ValueError, match="not-an-address"):
        server.reflector("udp", host="not-an-address")
    with pytest.raises(OSError, match="assign"):
        server.reflector("udp", host="192.0.2.1")
    with pytest.raises(OverflowError):
        server.reflector("udp", 70_000)


def test_a_reflector_ends_with_its_node(net):
    guest = net.add_device("guest", "dc")
    reflector = guest.reflector("tcp")
    net.remove(guest)

    with pytest.raises(NodeGone):
        reflector.observe(net.device("laptop"))
    with pytest.raises(NodeGone):
        reflector.close()


def test_stats_count_what_passes(net):
    laptop, home = net.device("laptop"), net.router("home")
    before, wan = laptop.iface("eth0").stats(), home.iface("wan").stats()
    laptop.ping("server", 10, timeout=PATIENCE, size=500)
    after, wan_after = laptop.iface("eth0").stats(), home.iface("wan").stats()

    assert after.received_packets - before.received_packets >= 10
    assert wan_after.sent_bytes - wan.sent_bytes >= 10 * 528
    assert (after.send_errors, after.receive_errors) == (0, 0)
    assert home.iface("lan").stats().received_packets > 0
    with pytest.raises(ConfigError, match="no interface"):
        laptop.iface("eth1")
