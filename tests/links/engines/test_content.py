"""Packets that come twice, broken, or before others; and a stream that survives all of it."""

import os

import pytest
from statistics_of import binomial_interval
from traffic import cross, stream

from patchbay import LinkCondition

pytestmark = pytest.mark.usefixtures("engine")


def is_usual(count, whole, share):
    low, high = binomial_interval(whole, share)
    return low <= count <= high


def test_as_many_packets_come_twice_as_asked_for(laptop, server):
    laptop.iface("eth0").set_condition(LinkCondition(duplicate_pct=20), "up")
    crossing = cross(laptop, server, 2_000, some_are_lost=True)

    assert not crossing.lost
    assert is_usual(len(crossing.numbers) - 2_000, 2_000, 0.2)
    assert all(crossing.intact)


def test_as_many_packets_are_broken_as_asked_for(laptop, server):
    """The receiver throws them away, as their checksum does not fit."""
    laptop.iface("eth0").set_condition(LinkCondition(corrupt_pct=20), "up")
    # in large ones, since who breaks the sender's hardware address breaks nothing
    crossing = cross(laptop, server, 2_000, size=1_000, some_are_lost=True)

    assert is_usual(len(crossing.lost), 2_000, 0.2)
    assert all(crossing.intact)


def test_as_many_packets_overtake_others_as_asked_for(laptop, server):
    laptop.iface("eth0").set_condition(LinkCondition(latency_ms=50, reorder_pct=25), "up")
    early = 0
    for _ in range(10):
        numbers = cross(laptop, server, 100, window=100).numbers
        assert sorted(numbers) == list(range(100))
        # who is there before one that was sent sooner; a late sender has fewer to overtake
        early += sum(min(numbers[place:]) < numbers[place] for place in range(100))

    assert is_usual(early, 1_000, 0.25)


def test_a_stream_over_a_bad_link_arrives_whole(laptop, server):
    condition = LinkCondition(
        latency_ms=2, loss_pct=1, duplicate_pct=2, corrupt_pct=1, reorder_pct=2
    )
    laptop.iface("eth0").set_condition(condition)
    data = os.urandom(300_000)

    assert stream(laptop, server, data).data == data
