"""Links change by themselves when it is time, to the packet."""

from itertools import pairwise

import pytest
from traffic import cross

from patchbay import Hold, LinkCondition, Ramp, Schedule

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.exact]

GAP = 0.005
"""Seconds between two packets."""
LATE_MS = 0.05


def first_sent(crossing):
    """When the first packet of each delay was sent, in seconds, by milliseconds of delay."""
    found = {}
    for number, delay in zip(crossing.numbers, crossing.delays, strict=True):
        assert abs(delay - round(delay)) < LATE_MS
        found.setdefault(round(delay), crossing.sent[number] / 1e9)
    return found


def test_conditions_follow_each_other_at_their_times(laptop, server):
    steps = (Hold(LinkCondition(latency_ms=each), 0.5) for each in (10, 20, 30, 40))
    laptop.iface("eth0").set_condition(Schedule(*steps), "up")
    crossing = cross(laptop, server, 400, gap=GAP)

    assert crossing.in_order
    began = first_sent(crossing)
    assert list(began) == [10, 20, 30, 40]
    times = list(began.values())[1:]
    assert all(abs(later - time - 0.5) <= GAP + 1e-4 for time, later in pairwise(times))


def test_a_ramp_is_a_stair(laptop, server):
    begin = LinkCondition(latency_ms=10)
    ramp = Ramp(LinkCondition(latency_ms=20), 1, 0.1, start=begin)
    laptop.iface("eth0").set_condition(Schedule(Hold(begin, 0.1), ramp), "up")
    crossing = cross(laptop, server, 300, gap=GAP)

    began = first_sent(crossing)
    assert list(began) == list(range(10, 21))
    times = list(began.values())[1:]
    assert all(abs(later - time - 0.1) <= GAP + 1e-4 for time, later in pairwise(times))
