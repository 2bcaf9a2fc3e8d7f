"""Drop lists on links of whole labs: what they name is lost, wherever conditions go."""

import socket

import pytest

from patchbay import ConfigError, DropList, FlowMatch, Lab, LinkCondition, RegionLink
from tests.waiting import wait_until

PORT = 7000
MATCH = FlowMatch(protocol="udp", port=PORT)
PATIENCE = 60.0
END = b"end"


def arrivals(source, target, count, *, flows=1, before_end=lambda: None):
    """Which datagrams arrive of those that are sent in turn by some sockets, by their numbers."""
    receiver = target.socket(socket.AF_INET, socket.SOCK_DGRAM)
    senders = [source.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows)]
    try:
        receiver.bind((str(target.ip), PORT))
        receiver.settimeout(PATIENCE)
        for sender in senders:
            sender.connect((str(target.ip), PORT))
        for number in range(count):
            senders[number % flows].send(b"%d" % number)
        before_end()
        senders[0].send(END)
        return list(map(int, iter(lambda: receiver.recv(100), END)))
    finally:
        for each in (receiver, *senders):
            each.close()


def test_packets_by_number_and_how_many_were_lost(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    condition = LinkCondition(drops=DropList([3, 7], match=MATCH))
    eth0 = laptop.iface("eth0")
    eth0.set_condition(condition, "up")

    assert arrivals(laptop, server, 10) == [0, 1, 3, 4, 5, 7, 8, 9]
    assert eth0.stats().up.drops["list"] == 2
    assert eth0.condition("up") == condition
    assert eth0.condition("down") is None


def test_the_first_packet_of_each_flow(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    drops = DropList(flow_packets=[1], match=MATCH)
    server.iface("eth0").set_condition(LinkCondition(latency_ms=1, drops=drops), "down")

    assert arrivals(laptop, server, 9, flows=3) == [3, 4, 5, 6, 7, 8]


def test_everything_between_two_times_until_the_list_is_taken_away(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(drops=DropList(between_ms=[(0, 3_600_000)], match=MATCH)))

    def take_away():
        wait_until(lambda: eth0.stats().up.drops.get("list") == 3, "something passes")
        eth0.set_condition(None)

    assert arrivals(laptop, server, 3, before_end=take_away) == []


def test_of_a_flow_of_a_downlink_and_from_the_start(lab):
    lost = LinkCondition(drops=DropList([2], match=MATCH))
    laptop, server = lab.device("laptop"), lab.device("server")
    lab.router("dc").set_downlink_condition(None, flows={MATCH: lost})
    assert arrivals(laptop, server, 4) == [0, 2, 3]
    lab.router("dc").set_downlink_condition(lost)
    assert arrivals(laptop, server, 4) == [0, 2, 3]
    lab.router("dc").set_downlink_condition(None)
    phone = lab.add_device("phone", lab.router("home"), condition=lost)
    assert arrivals(phone, server, 4) == [0, 2, 3]


def test_between_regions():
    with Lab("world", link_engine="user") as lab:
        us, eu = lab.add_region("us"), lab.add_region("eu")
        lab.link_regions(us, eu, RegionLink(drops=DropList([1, 2], match=MATCH)), back=RegionLink())
        near = lab.add_device("near", lab.add_router("home", region=us))
        far = lab.add_device("far", lab.add_router("dc", region=eu))

        assert arrivals(near, far, 4) == [2, 3]
        assert arrivals(far, near, 4) == [0, 1, 2, 3]


def test_no_kernel_does_them_and_auto_knows():
    condition = LinkCondition(drops=DropList([1]))
    with Lab("auto") as lab:
        laptop = lab.add_device("laptop", lab.add_router("home"), condition=condition)
        eth0 = laptop.iface("eth0")
        assert "drop lists (for drops)" in str(eth0.engine("up"))
        assert eth0.engine("up").engine.value == "user"
        with pytest.raises(ConfigError, match=r"no drop lists \(for drops\).*engine='user' does"):
            eth0.set_condition(condition, "up", engine="kernel")
