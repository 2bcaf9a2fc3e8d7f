"""Handles: small, comparable, and clear about it when what they stand for is gone."""

import inspect
import os
import weakref

import pytest
from support import home_and_server

from patchbay import ConfigError, Iface, Lab, NodeGone, RegionLink
from patchbay.nodes import Device, Ix, Router


async def _nothing():
    pass


ARGUMENTS = {
    "call": [len, "x"],
    "submit": [len, "x"],
    "spawn": [_nothing],
    "run": [["true"]],
    "popen": [["true"]],
    "resolve": ["dc"],
    "dns_entry": ["a.example", "192.0.2.1"],
    "iface": ["eth0"],
    "ping": ["192.0.2.1"],
    "capture": [os.devnull],
    "traceroute": ["192.0.2.1"],
    "probe_mtu": ["192.0.2.1"],
    "reflector": [],
    "nat_behaviour": [("192.0.2.1", 3478)],
    "add_iface": ["eth9", "dc"],
    "set_default_route": ["eth0"],
    "set_nat": ["none"],
    "rebind_nat": [],
    "set_nat_v6": ["none"],
    "set_firewall": ["none"],
    "release": ["guest"],
    "hold": ["guest"],
    "set_downlink_condition": [None],
    "address_of": ["192.0.2.1"],
    "ask_door": [{}],
    "replug": ["dc"],
    "add_ip": ["192.0.2.1/24"],
    "set_mtu": [1400],
    "set_condition": [None],
    "add_router": ["another"],
    "add_device": ["another"],
    "remove": ["dc"],
    "node": ["dc"],
    "device": ["server"],
    "router": ["dc"],
    "add_region": ["eu"],
    "region": ["eu"],
    "link_regions": ["eu", "us"],
    "update_region_link": ["eu", "us", RegionLink()],
    "break_region_link": ["eu", "us"],
    "restore_region_link": ["eu", "us"],
    "unlink_regions": ["eu", "us"],
    "partition": ["dc", "home"],
    "advance": [1],
    "emit": ["mine"],
    "request": ["topology"],
    "request_with": [[], "topology"],
    "add_name": ["a.example", "192.0.2.1", None],
    "look_up": ["dc", None],
}
ASYNC = {"open_connection", "start_server", "create_server"}
"""They go through `network()`, and open sockets like any other code in it."""
READABLE = {"name", "lab", "node", "network", "address_of"}
"""What says something that does not change, or does nothing yet."""
READABLE_OF_A_LAB = {
    "name", "seed", "outdir", "closed", "close", "batch", "ix", "load", "router_of", "region_of",
}  # fmt: skip


def uses(handle, readable):
    """Every public method and property, as something to call."""
    for name, member in inspect.getmembers(type(handle)):
        if name.startswith("_") or name in readable or name in ASYNC:
            continue
        if isinstance(member, property):
            yield name, lambda name=name: getattr(handle, name)
        elif callable(member):
            own = isinstance(handle, Iface) and name == "remove"
            arguments = [] if own else ARGUMENTS.get(name, [])
            if name == "iperf":
                arguments = [handle]
            yield name, lambda name=name, arguments=arguments: getattr(handle, name)(*arguments)


def assert_all_gone(handle, readable=READABLE):
    checked = 0
    for name, use in uses(handle, readable):
        with pytest.raises(NodeGone) as caught:
            use()
        about = handle.node.name if isinstance(handle, Iface) else handle.name
        assert any(each in str(caught.value) for each in (about, "lab 'test' is closed")), name
        checked += 1
    assert checked > 8
    assert handle.name in repr(handle)
    assert handle == handle
    assert hash(handle) == hash(handle)


def test_after_removal_everything_but_the_name_raises(lab):
    home_and_server(lab)
    visitor, guest = lab.add_router("visitor"), lab.add_device("guest", "dc")
    handles = [visitor, guest, visitor.iface("wan"), guest.iface("eth0")]
    lab.remove(guest)
    lab.remove(visitor)

    for handle in handles:
        assert_all_gone(handle)
    with pytest.raises(NodeGone, match="'guest'"):
        lab.remove(guest)
    with pytest.raises(ConfigError, match="no such node"):
        lab.remove("guest")


def test_after_closing_everything_but_the_name_raises():
    with Lab("test") as lab:
        _, home, server, laptop = home_and_server(lab)
        handles = [home, server, lab.ix, laptop.iface("eth0"), home.iface("lan")]
        kinds = {type(handle) for handle in handles}
        reflector = server.reflector()
    lab.close()

    assert kinds >= {Device, Router, Ix, Iface}
    for handle in handles:
        assert_all_gone(handle)
    assert_all_gone(lab, READABLE_OF_A_LAB)
    assert lab.closed
    assert "closed" in repr(lab)
    assert "closed" in lab._repr_html_()
    with pytest.raises(NodeGone):
        reflector.close()
    with pytest.raises(NodeGone), lab.batch():
        lab.add_router("late")


def test_asyncio_helpers_of_a_node_that_is_gone_raise_too(lab):
    import asyncio

    lab.add_router("dc")
    guest = lab.add_device("guest", "dc")
    lab.remove(guest)

    for name in ASYNC:
        arguments = ["192.0.2.1", 80] if name == "open_connection" else [None, "192.0.2.1", 80]
        with pytest.raises(NodeGone):
            asyncio.run(getattr(guest, name)(*arguments))


def test_a_node_of_the_same_name_revives_its_handles(lab):
    """Handles hold names: one that was made before speaks of the new node."""
    home_and_server(lab)
    old = lab.add_device("guest", "dc")
    eth0, first = old.iface("eth0"), old.pid
    lab.remove(old)
    new = lab.add_device("guest", "home")

    assert old == new
    assert old.pid == new.pid != first
    assert old.ip == new.ip
    assert eth0.ip == new.ip
    assert old.call(len, "abc") == 3


def test_a_router_of_the_name_of_a_device_that_is_gone(lab):
    lab.add_router("dc")
    old = lab.add_device("x", "dc")
    lab.remove(old)
    lab.add_router("x")

    assert lab.node("x").uplink_ip is not None
    with pytest.raises((NodeGone, ConfigError), match="x"):
        old.default_iface  # noqa: B018
    with pytest.raises((NodeGone, ConfigError), match="x"):
        old.add_iface("eth1", "dc")


def test_handles_are_equal_by_what_they_stand_for(lab):
    _, home, _, laptop = home_and_server(lab)

    assert lab.node("laptop") == lab.device("laptop") == laptop
    assert {lab.router("home"), home, laptop} == {home, laptop}
    assert laptop.iface("eth0") == laptop.ifaces[0] != home.iface("wan")
    assert lab.devices == [lab.device("server"), laptop]
    assert lab.routers == [lab.router("dc"), home]
    assert laptop != "laptop"
    assert lab.ix.name == "ix"
    assert lab.node("ix") == lab.ix
    with Lab("test") as other:
        other.add_device("laptop")
        assert other.device("laptop") != laptop


def test_the_ix_is_a_node_like_others(lab):
    home_and_server(lab)
    ix = lab.ix

    assert str(ix.ip) == "198.18.0.1"
    assert str(ix.ip6) == "2001:db8::1"
    assert ix.call(len, "abc") == 3
    assert ix.run(["echo", "hi"]).stdout == "hi\n"
    assert ix.ping(lab.device("server"), timeout=30)
    assert lab.device("laptop").ping(ix, timeout=30)
    assert [iface.name for iface in ix.ifaces] == ["ix"]
    assert ix.default_iface.mtu == 1500
    with pytest.raises(ConfigError, match="internet exchange"):
        lab.remove(ix)
    with pytest.raises(ConfigError):
        ix.iface("ix").down()


def test_a_lab_that_nobody_refers_to_is_closed():
    """Even while its nodes run code; a handle is what refers to a lab, too."""
    import gc

    lab = Lab("forgotten")
    device = lab.add_device("d", lab.add_router("dc"))
    device.call(_start_a_thread)
    pid, reference = device.pid, weakref.ref(lab)
    del lab
    gc.collect()
    assert device.call(len, "abc") == 3
    del device
    gc.collect()

    assert reference() is None
    _wait_gone(pid)


def _start_a_thread():
    import threading
    import time

    threading.Thread(target=time.sleep, args=[60]).start()


def _wait_gone(pid):
    import os
    import time

    for _ in range(6000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} of a forgotten lab lives on")
