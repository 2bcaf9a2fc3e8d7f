"""A live link changes its engine, and all that is on its node stays what it is."""

import socket

import pytest

from patchbay import ConfigError, LinkCondition, LinkEngine

SLOW = LinkCondition(rate_kbit=20_000)
TURNS = ("kernel", "user", None, "user", "kernel", None)
PATIENCE = 60


@pytest.fixture
def net(lab):
    lab.add_device("server", lab.add_router("dc"))
    lab.add_device("laptop", lab.add_router("home", preset="home"))
    return lab


def identity(node):
    """Index, hardware address and addresses of an interface, and all routes of its node."""
    asks = (["-o", "addr", "show", "dev", "eth0"], ["-o", "link", "show", "dev", "eth0"])
    told = [node.run(["ip", *ask], capture_output=True, text=True).stdout for ask in asks]
    link = told[1].split("link/ether")[1].split()[0]
    addresses = [line.split()[:4] for line in told[0].splitlines()]
    routes = [
        node.run(["ip", version, "route"], capture_output=True, text=True).stdout.split()
        for version in ("-4", "-6")
    ]
    return told[1].split(":")[0], link, addresses, routes


def turned(eth0, engine):
    """Have an interface have a condition by an engine; None for no condition."""
    eth0.set_condition(None if engine is None else SLOW, engine=engine)
    chosen = eth0.engine("up"), eth0.engine("down")
    if engine is None:
        assert chosen == (None, None)
    else:
        assert [str(each) for each in chosen] == [f"{engine}: asked for"] * 2
        assert eth0.condition("up") == SLOW


def test_addresses_routes_sockets_and_connections_stay(net):
    laptop, server = net.device("laptop"), net.device("server")
    eth0 = laptop.iface("eth0")
    with (
        server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener,
        server.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        laptop.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
        laptop.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
    ):
        listener.bind((str(server.ip), 0))
        listener.listen()
        client.settimeout(PATIENCE)
        client.connect(listener.getsockname())
        accepted, peer = listener.accept()
        far.bind((str(server.ip), 0))
        far.settimeout(PATIENCE)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        near.connect(far.getsockname())
        near.send(b"first")
        _, seen = far.recvfrom(100)
        before = identity(laptop)
        with accepted:
            accepted.settimeout(PATIENCE)
            for number, engine in enumerate(TURNS):
                turned(eth0, engine)
                word = b"turn %d" % number
                client.sendall(word)
                assert accepted.recv(100) == word
                accepted.sendall(word)
                assert client.recv(100) == word
                near.send(word)
                assert far.recvfrom(100) == (word, seen)
                assert identity(laptop) == before
            assert accepted.getpeername() == peer


def test_auto_takes_a_plain_cable_for_a_clean_link_and_says_what_it_took(net):
    eth0 = net.device("laptop").iface("eth0")
    for clean in (None, "lan", LinkCondition()):
        eth0.set_condition(clean)
        assert eth0.engine("up") is None
    eth0.set_condition(LinkCondition(rate_kbit=1_000), "up")
    assert eth0.engine("up").engine is LinkEngine.KERNEL
    eth0.set_condition(LinkCondition(mtu=1_000), "up")
    assert str(eth0.engine("up")) == "user: the kernel has no loss of long packets (for mtu)"


def test_an_engine_that_cannot_is_refused_by_name_and_nothing_changes(net):
    eth0 = net.device("laptop").iface("eth0")
    eth0.set_condition(SLOW)
    with pytest.raises(
        ConfigError, match=r"no loss of long packets \(for mtu\); the kernel.*engine='user' does"
    ):
        eth0.set_condition(LinkCondition(mtu=1_000), engine="kernel")
    with pytest.raises(ConfigError, match="did you mean 'kernel'"):
        eth0.set_condition(SLOW, engine="kernal")
    assert (eth0.condition("up"), eth0.condition("down")) == (SLOW, SLOW)
