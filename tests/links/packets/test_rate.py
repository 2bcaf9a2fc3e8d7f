"""A link with a rate: exact to the byte, a queue of the size that was asked, and its disciplines."""

import itertools

import pytest
from frames import MS, flush, ip_packet, is_right, link, number, numbered

from patchbay.links.packets.queues import Limit
from patchbay.values import LinkCondition

SECOND = 1000 * MS


@pytest.mark.parametrize("rate", [100, 1_000, 7_777, 500_000])
@pytest.mark.parametrize("size", [60, 333, 1514])
def test_a_row_of_packets_takes_the_time_of_its_bits(rate, size):
    pipeline = link(LinkCondition(rate_kbit=rate, queue_pkts=1000))
    for each in range(1000):
        pipeline.offer(0, numbered(each, size))
    left = flush(pipeline)
    taken = 1000 * size * 8 / (rate * 1000) * SECOND

    assert len(left) == 1000
    assert left[-1][0] == pytest.approx(taken, abs=2)
    assert left[0][0] == pytest.approx(taken / 1000, abs=2)


def test_what_the_link_layer_adds_takes_time_too():
    pipeline = link(LinkCondition(rate_kbit=1000, overhead_bytes=48))
    pipeline.offer(0, numbered(0, 1000))

    assert flush(pipeline)[0][0] == 1048 * 8 * 1000


def test_an_idle_link_begins_anew():
    pipeline = link(LinkCondition(latency_ms=3, rate_kbit=8000))
    pipeline.offer(0, numbered(0, 1000))
    pipeline.offer(10 * MS, numbered(1, 1000))

    assert [at for at, _ in flush(pipeline)] == [4 * MS, 14 * MS]


def test_it_is_as_exact_for_who_asks_late():
    condition = LinkCondition(latency_ms=20, rate_kbit=1000, queue_discipline="codel")
    punctual, late = link(condition), link(condition)
    for each in range(300):
        for pipeline in (punctual, late):
            pipeline.offer(each * 9 * MS, numbered(each, 1200))
    on_time = [(frame.due, number(frame)) for _, frame in flush(punctual)]

    assert [(frame.due, number(frame)) for frame in late.due(100 * SECOND)] == on_time


def test_a_full_queue_loses_what_comes_last():
    pipeline = link(LinkCondition(rate_kbit=1000, queue_pkts=5))
    for each in range(20):
        pipeline.offer(0, numbered(each))
    pipeline.due(0)
    waiting = pipeline.queued
    left = [number(frame) for _, frame in flush(pipeline)]

    assert waiting == (6, 600)
    assert left == [0, 1, 2, 3, 4, 5]  # one is on the wire and five wait
    assert pipeline.counters.lost == {"queue": 14}


@pytest.mark.parametrize(
    ("condition", "limit"),
    [
        (LinkCondition(rate_kbit=8000, queue_bytes=5000), Limit(None, 5000)),
        (LinkCondition(rate_kbit=8000, queue_ms=30), Limit(None, 30_000)),
        (LinkCondition(rate_kbit=8000, latency_ms=50), Limit(None, 100_000)),
        (LinkCondition(rate_kbit=80), Limit(None, 15_140)),
        (LinkCondition(queue_pkts=3), Limit(3, None)),
        (LinkCondition(), Limit(None, None)),
    ],
)
def test_the_size_of_a_queue(condition, limit):
    assert Limit.of(condition) == limit


def overloaded(seconds, size=1200, **options):
    """A link of 8 Mbit/s that is sent a quarter more, for a while; what leaves, with its delay."""
    condition = LinkCondition(rate_kbit=8000, queue_pkts=10_000, **options)
    pipeline, left, sent = link(condition), [], {}
    gap = round(size / 1.25 * 1000)  # nanoseconds
    for each in range(seconds * SECOND // gap):
        now = each * gap
        frame = ip_packet(payload=each.to_bytes(4) + bytes(size - 46), traffic_class=2)
        sent[each] = now
        left += pipeline.due(now)
        pipeline.offer(now, frame)
    left += [frame for _, frame in flush(pipeline)]
    numbers = [int.from_bytes(frame.data[42:46]) for frame in left]
    waited = [(frame.due - sent[each]) / MS for frame, each in zip(left, numbers, strict=True)]
    return pipeline, left, numbers, waited


def test_a_drop_tail_queue_bloats():
    pipeline, _, _, waited = overloaded(10)

    assert not pipeline.counters.lost
    assert max(waited) > 2000


def test_codel_keeps_the_delay_down_by_dropping_from_the_head():
    pipeline, _, numbers, waited = overloaded(20, queue_discipline="codel")

    assert pipeline.counters.lost["aqm"] > 100
    assert numbers == sorted(numbers)
    assert waited[-1] < max(waited)
    assert sum(waited[-1000:]) / 1000 < 500  # it stood at 4,000 without


def test_codel_drops_ever_faster_as_rfc_8289_says():
    condition = LinkCondition(rate_kbit=8000, queue_pkts=10_000, queue_discipline="codel")
    pipeline, losses = link(condition), []
    for each in range(3000):
        now = each * MS // 2
        before = pipeline.counters.lost["aqm"]
        pipeline.due(now)
        if pipeline.counters.lost["aqm"] > before:
            losses.append(now)
        pipeline.offer(now, numbered(each, 1000))
    # the delay passes 5 ms after 10 ms of twice the rate; 100 ms later the first one is dropped
    between = [(b - a) / MS for a, b in itertools.pairwise(losses)]

    assert losses[0] / MS == pytest.approx(110, abs=3)
    for index, pause in enumerate(between[:8], start=1):
        assert pause == pytest.approx(100 / index**0.5, abs=2)


def test_ecn_marks_where_it_would_drop():
    pipeline, left, numbers, _ = overloaded(10, queue_discipline="codel", ecn=True)
    marked = sum(1 for frame in left if frame.data[15] & 3 == 3)

    assert not pipeline.counters.lost
    assert numbers == list(range(len(numbers)))
    assert marked == pipeline.counters.marked > 50
    assert all(is_right(frame) for frame in left)


def test_who_does_not_know_ecn_is_dropped():
    condition = LinkCondition(rate_kbit=1000, queue_pkts=1000, queue_discipline="codel", ecn=True)
    pipeline = link(condition)
    for _ in range(500):
        pipeline.offer(0, ip_packet(payload=bytes(1000)))
    flush(pipeline)

    assert pipeline.counters.marked == 0
    assert pipeline.counters.lost["aqm"] > 0


def two_flows(discipline):
    """A flow that floods a link of 8 Mbit/s and one that sends a packet each 10 ms."""
    condition = LinkCondition(rate_kbit=8000, queue_pkts=1000, queue_discipline=discipline)
    pipeline, sent = link(condition), {}
    left = []
    for each in range(4000):
        now = each * MS // 2
        left += pipeline.due(now)
        pipeline.offer(now, ip_packet(ports=(1, 2), payload=bytes(1000)))
        if each % 20 == 0:
            frame = ip_packet(ports=(3, 4), payload=each.to_bytes(4))
            sent[each] = now
            pipeline.offer(now, frame)
    left += [frame for _, frame in flush(pipeline)]
    sparse = [frame for frame in left if frame.data[34:36] == b"\0\x03"]
    return [(frame.due - sent[int.from_bytes(frame.data[42:46])]) / MS for frame in sparse]


def test_fair_queues_serve_a_sparse_flow_at_once():
    waited = two_flows("fq_codel")

    assert len(waited) == 200
    assert max(waited) < 5
    assert max(two_flows("drop_tail")) > 500


def test_fair_queues_share_the_rate_among_flows():
    condition = LinkCondition(rate_kbit=8000, queue_pkts=300, queue_discipline="fq_codel")
    pipeline, left = link(condition), []
    for each in range(4000):
        left += pipeline.due(each * MS // 2)
        for port in (1, 2, 2, 3, 3, 3):
            pipeline.offer(each * MS // 2, ip_packet(ports=(port, 9), payload=bytes(800)))
    shares = [sum(1 for frame in left if frame.data[35] == port) for port in (1, 2, 3)]

    assert min(shares) / max(shares) > 0.9
    assert pipeline.counters.lost["queue"] > 0


def test_a_change_of_the_discipline_keeps_what_waits():
    pipeline = link(LinkCondition(rate_kbit=1000, queue_pkts=500))
    for each in range(300):
        pipeline.offer(0, numbered(each))
    pipeline.due(0)
    for discipline in ("codel", "fq_codel", "drop_tail"):
        pipeline.change(
            link(LinkCondition(rate_kbit=100_000, queue_pkts=1, queue_discipline=discipline)).spec
        )

    assert [number(frame) for _, frame in flush(pipeline)] == list(range(300))
