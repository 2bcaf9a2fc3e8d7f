"""Packets take the time that was asked for, spread and ordered as it was asked for."""

from itertools import pairwise
from math import inf
from statistics import correlation, median

import pytest
from statistics_of import JITTERS, chi_square_is_usual, spread_as_asked
from traffic import cross

from patchbay import DelayTable, LinkCondition, Slots, clock

pytestmark = pytest.mark.usefixtures("engine")

LATE_MS = 0.01 if clock.is_virtual() else inf
"""What a machine may add to half of all delays: a busy one any number, and none takes from it."""

EARLY = 0.999
"""Clocks are disciplined by at most 500 parts in a million (adjtimex(2))."""

APART = 0.0003
"""Seconds between packets whose times are to be exact: of those that leave at once, one may be taken,
with a look or two at the clock (256 ns each in virtual time), before the next is sent."""


def met(laptop, server, condition, count, **options):
    """What becomes of datagrams that the laptop sends over a link."""
    laptop.iface("eth0").set_condition(condition, "up")
    return cross(laptop, server, count, **options)


def test_every_packet_takes_its_time(laptop, server):
    arrived = met(laptop, server, LinkCondition(latency_ms=20), 200, gap=APART)

    assert arrived.in_order
    assert min(arrived.delays) >= 20 * EARLY
    assert median(arrived.delays) <= 20 + LATE_MS
    assert sorted(arrived.delays)[197] <= 20 + 5 * LATE_MS


def test_each_direction_has_its_own_time(laptop, server):
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=20), "up")
    eth0.set_condition(LinkCondition(latency_ms=30), "down")

    there = cross(laptop, server, 30, gap=APART)
    back = cross(server, laptop, 30, gap=APART)
    assert min(there.delays) >= 20 * EARLY
    assert min(back.delays) >= 30 * EARLY
    assert median(there.delays) <= 20 + LATE_MS
    assert median(back.delays) <= 30 + LATE_MS
    assert min(laptop.ping(server, 3, timeout=30).rtts_ms) >= 50 * EARLY


def test_jitter_lets_no_packet_overtake_unless_asked(laptop, server):
    jitter = {"latency_ms": 40, "jitter_ms": 10}

    kept = met(laptop, server, LinkCondition(**jitter), 400)
    assert kept.in_order
    assert min(kept.delays) >= 30 * EARLY
    loose = met(laptop, server, LinkCondition(**jitter, jitter_reorders=True), 400, gap=0.0002)
    assert not loose.in_order
    assert sorted(loose.numbers) == list(range(400))
    assert min(loose.delays) >= 30 * EARLY


@pytest.mark.exact
def test_delays_are_spread_as_asked_for(laptop, server):
    for distribution in JITTERS:
        condition = LinkCondition(
            latency_ms=60,
            jitter_ms=10,
            jitter_distribution=distribution,
            jitter_reorders=True,
        )
        arrived = met(laptop, server, condition, 1_500, window=100)
        deviations = [(delay - 60) / 10 for delay in arrived.delays]

        within = sum(each < 3.99 for each in deviations)
        assert within / 1_500 == pytest.approx(JITTERS[distribution](3.99), abs=0.01)
        assert spread_as_asked(deviations, distribution) > 0.001


@pytest.mark.exact
def test_a_table_gives_the_delays_that_are_in_it(laptop, server):
    condition = LinkCondition(
        latency_ms=30,
        jitter_ms=4,
        jitter_distribution=DelayTable([-1, 0, 0, 3]),
        jitter_reorders=True,
    )
    arrived = met(laptop, server, condition, 1_200, window=100, gap=APART)

    shares = {26: 1 / 4, 30: 1 / 2, 42: 1 / 4}
    counts = [sum(abs(each - value) < 0.1 for each in arrived.delays) for value in shares]
    assert sum(counts) == 1_200
    assert chi_square_is_usual(counts, [1_200 * each for each in shares.values()])


@pytest.mark.exact
@pytest.mark.parametrize("shaper", ["user"], indirect=True)
def test_correlated_delays_are_like_the_one_before(laptop, server):
    """Those of netem do not show it: see `links.choice`."""
    jitter = {"latency_ms": 30, "jitter_ms": 5, "jitter_reorders": True}
    found = []
    for per_cent in (0, 80):
        condition = LinkCondition(**jitter, jitter_correlation_pct=per_cent)
        arrived = met(laptop, server, condition, 1_000, window=100)
        by_number = sorted(zip(arrived.numbers, arrived.delays, strict=True))
        delays = [delay for _, delay in by_number]
        found.append(correlation(delays[1:], delays[:-1]))

    assert abs(found[0]) < 0.11  # 3.3 standard errors
    assert found[1] > 0.5


@pytest.mark.exact
def test_packets_of_a_slot_leave_together(laptop, server):
    condition = LinkCondition(latency_ms=5, slots=Slots(interval_ms=10, max_packets=8))
    arrived = met(laptop, server, condition, 200, window=100)

    assert arrived.in_order
    together = [gap < 1 for gap in arrived.gaps]
    for first, second in pairwise([0, *(i + 1 for i, it in enumerate(together) if not it)]):
        assert second - first <= 8
    assert all(gap < 0.1 or gap == pytest.approx(10, abs=0.1) for gap in arrived.gaps)


def test_presets_take_the_time_they_say(laptop, server):
    # each slower than the one before, whose packets nothing overtakes
    for preset in ("starlink", "wifi_bad", "mobile_3g"):
        laptop.iface("eth0").set_condition(preset, "up")

        expected = LinkCondition.PRESETS[preset]
        delays = cross(laptop, server, 30, gap=0.01, some_are_lost=True).delays
        assert min(delays) >= (expected.latency_ms - expected.jitter_ms) * EARLY
        assert median(delays) < expected.latency_ms + expected.jitter_ms + 100 * LATE_MS
