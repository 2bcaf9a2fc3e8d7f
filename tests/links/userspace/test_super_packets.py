"""TCP over links in user space: its super-packets meet conditions as segments, and stay together."""

import os
import socket

import pytest
from traffic import stream

from patchbay import DropList, FlowMatch, LinkCondition

DATA = os.urandom(400_000)
SEGMENTS = len(DATA) / 1448
families = pytest.mark.parametrize(
    "family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"]
)


def ends(lab):
    return lab.device("laptop"), lab.device("server")


@families
@pytest.mark.parametrize("direction", ["up", "down"])
def test_segments_are_counted_and_the_receiver_gets_them_together(lab, family, direction):
    laptop, server = ends(lab)
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=2), direction)
    way = (laptop, server) if direction == "up" else (server, laptop)
    received = way[1].iface("eth0")
    before = received.stats().received_packets
    arrived = stream(*way, DATA, family)
    frames = received.stats().received_packets - before
    passed = getattr(eth0.stats(), direction)

    assert arrived.data == DATA
    assert passed.sent_packets >= SEGMENTS
    assert frames < 0.75 * SEGMENTS


def test_a_stream_arrives_whole_whatever_its_segments_meet(lab):
    laptop, server = ends(lab)
    for condition in (
        LinkCondition(loss_pct=2),
        LinkCondition(duplicate_pct=10),
        LinkCondition(corrupt_pct=2),
        LinkCondition(latency_ms=2, reorder_pct=5),
        LinkCondition(jitter_ms=2, jitter_reorders=True),
        LinkCondition(rate_kbit=50_000),
        LinkCondition(rate_kbit=50_000, queue_discipline="fq_codel", ecn=True),
        LinkCondition(mtu=1500),
    ):
        laptop.iface("eth0").set_condition(condition)
        assert stream(laptop, server, DATA).data == DATA, condition
        assert stream(server, laptop, DATA, socket.AF_INET6).data == DATA, condition


def test_a_list_loses_a_segment_and_not_the_super_packet(lab):
    laptop, server = ends(lab)
    eth0 = laptop.iface("eth0")
    lost = DropList([5, 20, 21], match=FlowMatch(protocol="tcp"))
    eth0.set_condition(LinkCondition(drops=lost), "up")

    assert stream(laptop, server, DATA).data == DATA
    assert eth0.stats().up.drops == {"list": 3}
