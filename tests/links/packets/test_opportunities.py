"""Single opportunities to deliver, as Mahimahi's mm-link has them: to the byte and the nanosecond."""

from collections import deque

import pytest
from frames import MS, flush, link, number, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.links.choice import USER_SPACE, choose
from patchbay.links.packets.opportunities import OpportunityClock
from patchbay.links.packets.waits import wait_class
from patchbay.links.spec import LinkSpec
from patchbay.topology.plain import from_plain, to_plain
from patchbay.values import (
    DeliveryOpportunities,
    FlowMatch,
    LinkCondition,
    LinkEngine,
)

steady = settings(derandomize=True, deadline=None, max_examples=100)

FULL = 1514
"""Bytes of the frame of an IP packet of 1,500: one opportunity delivers it."""


def on(*times, **options):
    return LinkCondition(opportunities=DeliveryOpportunities(times), **options)


def delivered(condition, offers, began=0):
    """When packets leave, by their numbers; each is offered at a time with a size."""
    pipeline = link(condition)
    pipeline.begin(began)
    left = []
    for place, (time, size) in enumerate(offers):
        left += flush(pipeline, time)
        pipeline.offer(time, numbered(place, size))
    left += flush(pipeline)
    assert pipeline.empty
    return [(number(frame), at) for at, frame in left]


def mm_link(schedule, offers):
    """The same by `LinkQueue::rationalize` of Mahimahi 0.98, on milliseconds and IP packets."""
    base, following = 0, 0
    queue, sent, transit, transit_left = deque(), [], None, 0

    def rationalize(now):
        nonlocal base, following, transit, transit_left
        while base + schedule[following] <= now:
            this, left = base + schedule[following], 1504
            following = (following + 1) % len(schedule)
            if following == 0:
                base += schedule[-1]
            while left > 0:
                if transit_left == 0:
                    if not queue:
                        break
                    transit, transit_left = queue.popleft()
                amount = min(left, transit_left)
                transit_left -= amount
                left -= amount
                if transit_left == 0:
                    sent.append((transit, this * MS))

    for place, (time, size) in enumerate(offers):
        rationalize(time // MS)
        queue.append((place, size - 14 + 4))
    while queue or transit_left:
        rationalize(base + schedule[following])
    return sent


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=12).map(sorted),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 8), st.integers(60, FULL)), max_size=40),
)
@steady
def test_packets_leave_when_they_leave_mm_link(times, rest, waits):
    schedule = [*times, times[-1] + rest]
    now, offers = 0, []
    for wait, size in waits:
        now += wait * MS
        offers.append((now, size))
    assert delivered(on(*schedule), offers) == mm_link(schedule, offers)


def test_an_opportunity_that_finds_no_packet_is_lost():
    offers = [(MS, FULL), (25 * MS, FULL), (25 * MS, FULL), (30 * MS, FULL)]
    assert delivered(on(5, 10), offers) == [
        *((0, 5 * MS), (1, 30 * MS), (2, 35 * MS), (3, 40 * MS)),
    ]


def test_small_packets_share_one_and_large_ones_take_several():
    small = (1504 // 2) + 10
    offers = [(0, small)] * 3 + [(0, FULL)] + [(0, 60)]
    assert delivered(on(10, 20, 20), offers) == [
        *((0, 10 * MS), (1, 10 * MS), (2, 20 * MS), (3, 20 * MS), (4, 20 * MS)),
    ]
    assert delivered(on(10), [(0, 4 * FULL)]) == [(0, 50 * MS)]


def test_latency_comes_before_and_times_count_from_the_beginning():
    assert delivered(on(10, latency_ms=7), [(5 * MS, FULL)], began=2 * MS) == [(0, 22 * MS)]
    assert delivered(on(10, latency_ms=5), [(7 * MS, FULL)], began=2 * MS) == [(0, 22 * MS)]
    late = link(on(10))  # which nobody has told when it began: then with the first packet
    late.offer(3 * MS, numbered(0))
    assert [at for at, _ in flush(late)] == [13 * MS]


def test_the_queue_holds_all_or_what_was_asked_for():
    row = [(0, FULL)] * 50
    assert len(delivered(on(10), row)) == 50
    assert len(delivered(on(10, queue_pkts=3), row)) == 3
    assert len(delivered(on(10, queue_bytes=5 * FULL), row)) == 5
    assert len(delivered(on(10, queue_ms=50), row)) == 4, "of the mean rate, in bytes of frames"
    codel = delivered(on(10, queue_discipline="codel"), row)
    assert 10 < len(codel) < 50


def test_what_waits_is_told_with_the_time_that_it_takes():
    pipeline = link(on(0, 10, 30))
    pipeline.begin(0)
    assert pipeline.backlog(0) == 0
    for each in range(4):
        pipeline.offer(MS, numbered(each, 1504 // 2 + 10))
    pipeline.offer(MS, numbered(4, FULL))
    pipeline.due(5 * MS)
    assert pipeline.backlog(5 * MS) == 25 * MS
    assert pipeline.queued == (5, 4 * (1504 // 2 + 10) + FULL)
    pipeline.due(10 * MS)
    assert pipeline.backlog(12 * MS) == 18 * MS
    pipeline.due(30 * MS)
    assert pipeline.backlog(30 * MS) == 0
    assert pipeline.counters.waited == {wait_class(9 * MS): 2, wait_class(29 * MS): 3}


@pytest.mark.parametrize("flows", [(), ((FlowMatch(port=9), LinkCondition(1)),)])
def test_other_changes_leave_the_times_as_they_are(flows):
    pipeline = link(on(10))
    pipeline.begin(0)
    for each in range(3):
        pipeline.offer(0, numbered(each, FULL))
    left = flush(pipeline, 12 * MS)
    changed = LinkSpec(pipeline.spec.name, 1, on(10, loss_pct=0.001), flows)
    pipeline.change(changed)
    pipeline.begin(12 * MS)
    pipeline.offer(13 * MS, numbered(3, FULL))
    left += flush(pipeline)
    assert [(number(frame), at // MS) for at, frame in left] == [(0, 10), (1, 20), (2, 30), (3, 40)]


def test_what_waits_goes_on_at_a_rate_or_at_once():
    for after, times in (
        (LinkCondition(rate_kbit=12_112), [10, 13, 14, 15]),
        (LinkCondition(), [10, 12, 12, 13]),
        (on(3), [10, 15, 18, 21]),
    ):
        pipeline = link(on(10))
        pipeline.begin(0)
        for each in range(3):
            pipeline.offer(0, numbered(each, FULL))
        left = flush(pipeline, 12 * MS)
        left += [(12 * MS, frame) for frame in pipeline.due(12 * MS)]
        pipeline.change(LinkSpec(pipeline.spec.name, 1, after))
        pipeline.begin(12 * MS)
        left += flush(pipeline, 13 * MS - 1)
        pipeline.offer(13 * MS, numbered(3, FULL))
        left += flush(pipeline)
        assert [number(frame) for _, frame in left] == [0, 1, 2, 3]
        assert [at // MS for at, _ in left] == times


def test_what_is_being_sent_at_a_rate_is_sent_before_opportunities_begin():
    pipeline = link(LinkCondition(rate_kbit=1_211.2))
    for each in range(3):
        pipeline.offer(0, numbered(each, FULL))
    pipeline.due(MS)
    pipeline.change(LinkSpec(pipeline.spec.name, 1, on(4)))
    pipeline.begin(MS)
    assert [at // MS for at, _ in flush(pipeline)] == [10, 13, 17]


def test_the_clock_of_opportunities_skips_any_time_at_once():
    clock = OpportunityClock(DeliveryOpportunities([0, 5, 5, 10]))
    clock.begin(7)
    assert clock.next == 7
    clock.pass_by(7)
    assert clock.next == 7 + 5 * MS
    clock.pass_by(7 + 10 * MS)
    assert clock.next == 7 + 15 * MS
    far = 10**9 * 10 * MS
    clock.pass_by(7 + far + 5 * MS)
    assert clock.next == 7 + far + 10 * MS
    twin = clock.twin()
    twin.use()
    assert (clock.next, twin.next) == (7 + far + 10 * MS, 7 + far + 10 * MS)
    twin.use()
    assert twin.next == 7 + far + 15 * MS


def test_no_kernel_delivers_by_opportunities():
    spec = LinkSpec("link", 0, on(10))
    chosen = choose(LinkEngine.AUTO, spec, {"netem", "tbf", USER_SPACE})
    assert str(chosen) == "user: the kernel has no delivery opportunities (for opportunities)"
    assert from_plain(LinkCondition, to_plain(spec.condition)) == spec.condition
