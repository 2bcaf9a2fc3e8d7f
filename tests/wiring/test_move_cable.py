"""A cable is pulled out of one bridge and plugged into another, whole or not at all."""

from __future__ import annotations

import errno
from dataclasses import replace

from small_networks import bridge, cable, lan, udp
from test_kernel import link, refused, state

from patchbay.topology.steps import AddNode, MoveCable

BEFORE = cable(1, "laptop", "eth0", "home")


def cafe():
    """A second router whose LAN has the same addresses as that of `home`."""
    return [AddNode(node="cafe", sysctls=()), *bridge("cafe", 2, "10.0.1.1/24", "fd10::1/64")]


def test_the_nodes_end_stays_what_it_is_and_packets_go_to_the_new_router(kernel):
    kernel.apply_all([*lan(), *cafe()])
    kept = kernel.addresses("laptop"), kernel.routes("laptop")
    index = link(kernel, "laptop", "eth0").index
    after = replace(BEFORE, peer_node="cafe", peer_interface="p5", peer_mac="02:00:00:02:00:55",
                    peer_mtu=1400)  # fmt: skip
    sender = udp(kernel, "laptop", "10.0.1.2", 6000)

    kernel.apply(MoveCable(before=BEFORE, after=after))

    assert [link.name for link in kernel.links("home")] == ["lo", "lan"]
    port = link(kernel, "cafe", "p5")
    assert (port.mac, port.mtu, port.up) == (after.peer_mac, 1400, True)
    assert port.bridge == link(kernel, "cafe", "lan").index
    assert not [entry for entry in kernel.addresses("cafe") if entry.interface == "p5"]
    assert link(kernel, "laptop", "eth0").index == index
    assert link(kernel, "laptop", "eth0").running
    assert [entry.address for entry in kernel.addresses("laptop")] == [e.address for e in kept[0]]
    assert sorted(map(repr, kernel.routes("laptop"))) == sorted(map(repr, kept[1]))
    receiver = udp(kernel, "cafe", "10.0.1.1", 5000)
    sender.sendto(b"here", ("10.0.1.1", 5000))
    assert receiver.recv(100) == b"here"


def test_there_and_back_is_as_before(kernel):
    kernel.apply_all([*lan(), *cafe()])
    before = state(kernel)
    there = MoveCable(before=BEFORE, after=replace(BEFORE, peer_node="cafe", peer_mtu=1300))
    kernel.apply_all([there, there.inverse()])
    assert state(kernel) == before


def test_within_a_node_and_out_of_all_bridges(kernel):
    other = replace(bridge("home", 2)[0], name="guests")
    kernel.apply_all([*lan(), other])
    guests = replace(BEFORE, bridge="guests", peer_interface="g1")
    alone = replace(guests, bridge=None)
    kernel.apply(MoveCable(before=BEFORE, after=guests))
    assert link(kernel, "home", "g1").bridge == link(kernel, "home", "guests").index
    kernel.apply(MoveCable(before=guests, after=alone))
    assert (link(kernel, "home", "g1").bridge, link(kernel, "home", "g1").up) == (None, True)


def test_a_taken_name_puts_it_back(kernel):
    """The kernel moves an interface before it finds that it cannot have the name there."""
    taken = replace(bridge("cafe", 3)[0], name="taken")
    kernel.apply_all([*lan(), *cafe(), taken])
    before = state(kernel)
    after = replace(BEFORE, peer_node="cafe", peer_interface="taken")
    error = refused(kernel, MoveCable(before=BEFORE, after=after))
    assert error.reason.errno == errno.EEXIST
    assert not hasattr(error.reason, "__notes__")
    assert state(kernel) == before


def test_a_missing_bridge_puts_it_back(kernel):
    kernel.apply_all([*lan(), *cafe()])
    before = state(kernel)
    after = replace(BEFORE, peer_node="cafe", bridge="nowhere")
    error = refused(kernel, MoveCable(before=BEFORE, after=after))
    assert error.reason.errno == errno.ENODEV
    assert not hasattr(error.reason, "__notes__")
    assert state(kernel) == before


def test_a_refused_mtu_puts_it_back(kernel):
    kernel.apply_all([*lan(), *cafe()])
    before = state(kernel)
    after = replace(BEFORE, peer_node="cafe", peer_interface="p5", peer_mtu=10)
    refused(kernel, MoveCable(before=BEFORE, after=after))
    assert state(kernel) == before
