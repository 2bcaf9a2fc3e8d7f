"""How long packets wait for the rate of a link: exact enough, and never for the delay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay import LinkCondition
from patchbay.links.packets.waits import class_wait, wait_class
from tests.links.packets.frames import MS, flush, link, numbered


@given(st.integers(0, 1 << 60))
def test_a_class_stands_for_its_times_to_six_per_cent(nanoseconds):
    assert class_wait(wait_class(nanoseconds)) == pytest.approx(nanoseconds, rel=1 / 16)


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_classes_are_in_the_order_of_times(one, other):
    assert (wait_class(one) <= wait_class(other)) or one > other


def waited(pipeline):
    """Milliseconds, with the number of packets that waited for so long."""
    return {class_wait(each) / MS: count for each, count in pipeline.counters.waited.items()}


def test_each_packet_waits_for_those_before_it():
    pipeline = link(LinkCondition(rate_kbit=8, latency_ms=50))  # a byte in a millisecond
    for each in range(4):
        pipeline.offer(0, numbered(each, 100))
    assert pipeline.backlog(0) == 0  # they are on their way
    pipeline.due(50 * MS)
    assert pipeline.backlog(50 * MS) == 400 * MS
    flush(pipeline, 350 * MS)
    assert pipeline.backlog(360 * MS) == 90 * MS
    flush(pipeline)

    assert pipeline.backlog(900 * MS) == 0
    assert sorted(waited(pipeline).values()) == [1, 1, 1, 1]
    assert sorted(waited(pipeline)) == pytest.approx([0, 100, 200, 300], rel=0.07)


def test_without_a_rate_nothing_waits():
    pipeline = link(LinkCondition(latency_ms=50))
    pipeline.offer(0, numbered(0))
    flush(pipeline)

    assert pipeline.backlog(0) is None
    assert not pipeline.counters.waited


def test_what_is_lost_has_not_waited_and_a_change_of_the_rate_counts_at_once():
    pipeline = link(LinkCondition(rate_kbit=8, queue_pkts=2))
    for each in range(5):
        pipeline.offer(0, numbered(each, 100))
    pipeline.due(0)
    assert pipeline.counters.lost["queue"] == 2
    pipeline.change(pipeline.spec.__class__("other", 1, LinkCondition(rate_kbit=80)))
    assert pipeline.backlog(0) == (100 + 20) * MS  # the first one is being sent as before
    flush(pipeline)

    assert sorted(waited(pipeline)) == pytest.approx([0, 100, 110], rel=0.07)
