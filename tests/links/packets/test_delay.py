"""When packets arrive: delays spread as asked, and in the order that was asked."""

import itertools
from statistics import NormalDist, correlation, fmean, pstdev

import pytest
from frames import MS, flush, link, number, numbered
from hypothesis import given, settings
from hypothesis import strategies as st
from statistics_of import binomial_interval, kolmogorov_smirnov

from patchbay.values import DelayTable, JitterDistribution, LinkCondition, Slots

FAR = 1000 * MS
"""Between packets, so that none waits for another."""


def delays(condition, count=4000, **options):
    """How long packets take that are far from each other, in milliseconds."""
    pipeline = link(condition, **options)
    taken = []
    for each in range(count):
        pipeline.offer(each * FAR, numbered(each))
        taken += [(at - each * FAR) / MS for at, _ in flush(pipeline)]
    return taken


def test_every_packet_takes_the_latency():
    assert delays(LinkCondition(latency_ms=12.5), 10) == [12.5] * 10


def test_nothing_takes_no_time():
    assert delays(LinkCondition.LAN, 10) == [0] * 10


def test_uniform_jitter_is_uniform():
    taken = delays(LinkCondition(latency_ms=50, jitter_ms=20))

    assert kolmogorov_smirnov(taken, lambda value: (value - 30) / 40) > 0.001
    assert min(taken) >= 30
    assert max(taken) <= 70


def test_normal_jitter_is_normal():
    taken = delays(LinkCondition(latency_ms=50, jitter_ms=5, jitter_distribution="normal"))

    assert kolmogorov_smirnov(taken, NormalDist(50, 5).cdf) > 0.001


def test_pareto_jitter_is_that_of_iproute2():
    taken = delays(LinkCondition(latency_ms=50, jitter_ms=5, jitter_distribution="pareto"))

    def distribution(value):
        scaled = (value - 50) / 5 * 0.75**0.5 + 1.5
        return 0 if scaled < 1 else 1 if value >= 50 + 4 * 5 else 1 - scaled**-3

    inside = [value for value in taken if value < 50 + 4 * 5]
    whole = distribution(50 + 4 * 5 - 1e-9)

    assert kolmogorov_smirnov(inside, lambda value: distribution(value) / whole) > 0.001
    assert len(inside) / len(taken) == pytest.approx(whole, abs=0.01)


def test_a_table_gives_the_delays_that_are_in_it():
    table = DelayTable([-1, 0, 0, 3])
    taken = delays(LinkCondition(latency_ms=20, jitter_ms=4, jitter_distribution=table), 2000)
    counts = {value: taken.count(value) for value in (16, 20, 32)}

    assert sum(counts.values()) == 2000
    for value, share in ((16, 0.25), (20, 0.5), (32, 0.25)):
        low, high = binomial_interval(2000, share)
        assert low <= counts[value] <= high


@pytest.mark.parametrize("distribution", list(JitterDistribution))
def test_correlated_delays_depend_on_the_one_before_and_are_spread_as_without(distribution):
    condition = {"latency_ms": 100, "jitter_ms": 10, "jitter_distribution": distribution}
    independent = delays(LinkCondition(**condition), 6000)
    correlated = delays(LinkCondition(**condition, jitter_correlation_pct=80), 6000)

    assert abs(correlation(independent[1:], independent[:-1])) < 0.06
    assert correlation(correlated[1:], correlated[:-1]) > 0.5
    assert fmean(correlated) == pytest.approx(100, abs=2)
    assert pstdev(correlated) == pytest.approx(pstdev(independent), rel=0.12)


def test_no_delay_is_below_zero():
    assert min(delays(LinkCondition(latency_ms=1, jitter_ms=10), 500)) == 0


def arrivals(condition, count=2000, gap=MS // 10):
    pipeline = link(condition)
    for each in range(count):
        pipeline.offer(each * gap, numbered(each))
    return [number(frame) for _, frame in flush(pipeline)]


def test_jitter_alone_does_not_reorder():
    assert arrivals(LinkCondition(latency_ms=50, jitter_ms=40)) == list(range(2000))


def test_jitter_reorders_if_asked():
    order = arrivals(LinkCondition(latency_ms=50, jitter_ms=40, jitter_reorders=True))

    assert order != list(range(2000))
    assert sorted(order) == list(range(2000))


def test_as_many_packets_overtake_as_asked():
    pipeline = link(LinkCondition(latency_ms=50, reorder_pct=25))
    for each in range(4000):
        pipeline.offer(each * MS, numbered(each))
    left = flush(pipeline)
    early = sum(1 for at, frame in left if at == number(frame) * MS)
    low, high = binomial_interval(4000, 0.25)

    assert low <= early <= high
    assert all(at - number(frame) * MS in (0, 50 * MS) for at, frame in left)


def test_packets_of_a_slot_leave_together():
    pipeline = link(LinkCondition(slots=Slots(interval_ms=10, max_packets=4)))
    for each in range(20):
        pipeline.offer(each * MS, numbered(each))
    times = [at for at, _ in flush(pipeline)]

    assert len(times) == 20
    assert all(times.count(at) <= 4 for at in times)
    assert {b - a for a, b in itertools.pairwise(times)} == {0, 10 * MS}


def test_times_between_slots_are_drawn():
    pipeline = link(LinkCondition(slots=Slots(interval_ms=5, interval_max_ms=15, max_bytes=1000)))
    for each in range(3000):
        pipeline.offer(0, numbered(each, 500))
    times = sorted({at for at, _ in flush(pipeline)})
    between = [(b - a) / MS for a, b in itertools.pairwise(times)]

    assert len(times) == 1500
    assert kolmogorov_smirnov(between, lambda value: (value - 5) / 10) > 0.001


conditions = st.builds(
    LinkCondition,
    latency_ms=st.floats(0, 100),
    jitter_ms=st.floats(0, 100),
    rate_kbit=st.none() | st.floats(10, 1e6),
    queue_pkts=st.just(100_000),
    slots=st.none() | st.builds(Slots, interval_ms=st.floats(0.1, 20)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20 * MS), st.none() | conditions), max_size=60),
    conditions,
)
def test_no_change_of_a_condition_loses_or_reorders_anything(happenings, first):
    pipeline, now, sent, left = link(first), 0, 0, []
    for pause, change in happenings:
        now += pause
        left += pipeline.due(now)
        if change is None:
            pipeline.offer(now, numbered(sent))
            sent += 1
        else:
            pipeline.change(link(change).spec)
    left += [frame for _, frame in flush(pipeline)]

    assert [number(frame) for frame in left] == list(range(sent))
    assert pipeline.empty
