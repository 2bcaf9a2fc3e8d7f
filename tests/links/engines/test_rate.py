"""A rate is never passed, and what waits for it waits in a queue of the size that was asked for.

Without a clock that is never late nobody knows how much less a busy machine carries; that a stream
gets all of its rate is shown in virtual time.
"""

import time

import pytest
from traffic import HEADERS, cross, eventually, frame_ms, passed_by, run_dry, said, stream

from patchbay import LinkCondition, clock

EARLY = 0.999
"""Clocks are disciplined by at most 500 parts in a million (adjtimex(2))."""

TCP_SHARE = 1448 / 1514
"""Payload of a full frame: IPv4, TCP with time stamps."""

FRAME = 1514
"""Bytes of a full frame."""

LARGE_QUEUE = {"queue_bytes": 1_000_000}


@pytest.fixture
def net(lasting):
    eth0 = lasting.device("laptop").iface("eth0")
    yield lasting
    run_dry(eth0)
    eth0.set_condition(None)
    lasting.router("home").iface("wan").set_condition(None)


def burst_ms(shaper, kbit, overhead=0):
    """Milliseconds of its rate that the kernel lets pass at once: a frame, and 2 ms."""
    return 0 if shaper == "user" else (1518 + overhead) * 8 / kbit + 2


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_row_of_packets_takes_the_time_of_its_bits(shaper, laptop, server, direction):
    condition = LinkCondition(rate_kbit=4_000, **LARGE_QUEUE)
    laptop.iface("eth0").set_condition(condition, direction)
    ends = (laptop, server) if direction == "up" else (server, laptop)
    row = cross(*ends, 60, size=1_000)

    least = 60 * frame_ms(1_000, 4_000) - burst_ms(shaper, 4_000)
    assert row.in_order
    assert row.took >= least * EARLY
    assert laptop.iface("eth0").engine("down" if direction == "up" else "up") is None


def test_what_the_link_layer_adds_takes_time_too(shaper, laptop, server):
    condition = LinkCondition(rate_kbit=4_000, overhead_bytes=500, **LARGE_QUEUE)
    laptop.iface("eth0").set_condition(condition, "up")
    row = cross(laptop, server, 60, size=500)

    assert row.took >= (60 * frame_ms(500, 4_000, 500) - burst_ms(shaper, 4_000, 500)) * EARLY


@pytest.mark.exact
def test_datagrams_get_all_of_their_rate(shaper, laptop, server):
    for kbit in (100, 1_000, 10_000, 100_000, 500_000, 1_000_000):
        laptop.iface("eth0").set_condition(LinkCondition(rate_kbit=kbit, **LARGE_QUEUE), "up")
        at_once = 10 + int(1.5 * burst_ms(shaper, kbit) / frame_ms(1_000, kbit))
        row = cross(laptop, server, at_once + 200, size=1_000, window=150)

        milliseconds = (row.times[-1] - row.times[at_once]) / 1e6
        assert 199 * frame_ms(1_000, kbit) / milliseconds == pytest.approx(1, rel=0.01)


@pytest.mark.exact
def test_streams_get_all_of_their_rate(laptop, server):
    for kbit in (1_000, 10_000, 100_000):
        laptop.iface("eth0").set_condition(LinkCondition(rate_kbit=kbit, **LARGE_QUEUE), "up")
        told = stream(laptop, server, bytes(min(4_000_000, kbit * 250)))

        assert told.goodput == pytest.approx(kbit * TCP_SHARE, rel=0.02)


def test_a_stream_never_passes_its_rate(shaper, laptop, server):
    laptop.iface("eth0").set_condition(LinkCondition(rate_kbit=8_000, **LARGE_QUEUE), "up")
    told = stream(laptop, server, bytes(300_000))

    assert told.took * 1000 >= 300_000 * 8 / 8_000 / TCP_SHARE - burst_ms(shaper, 8_000)


def test_the_slowest_of_several_links_decides(shaper, net, laptop, server):
    laptop.iface("eth0").set_condition(LinkCondition(rate_kbit=20_000, **LARGE_QUEUE), "up")
    wan = net.router("home").iface("wan")
    wan.set_condition(LinkCondition(rate_kbit=3_000, **LARGE_QUEUE), "up")
    row = cross(laptop, server, 30, size=1_000)

    assert row.took >= (30 * frame_ms(1_000, 3_000) - burst_ms(shaper, 3_000)) * EARLY


@pytest.mark.parametrize(
    ("size", "held"),
    [
        ({"queue_pkts": 10}, 10),
        ({"queue_bytes": 10 * (1_000 + HEADERS)}, 10),
        ({"queue_ms": 10 * frame_ms(1_000, 200)}, 10),
    ],
)
def test_a_queue_holds_what_it_was_made_for(shaper, laptop, server, size, held):
    eth0, said_before, taken = laptop.iface("eth0"), said(laptop), []
    eth0.set_condition(LinkCondition(rate_kbit=200, **size), "up")
    passed_before = passed_by(eth0)

    def look_when_all_are_taken():
        if not taken and passed_by(eth0) >= passed_before + 60:
            taken.append(time.time_ns())
        return False

    row = cross(laptop, server, 60, size=1_000, some_are_lost=True, more=look_when_all_are_taken)

    # one is on the wire and ten wait; those that left meanwhile, or at once, made room for others
    meanwhile = (taken[0] - row.sent[0]) / 1e6 + burst_ms(shaper, 200)
    assert held + 1 - (said(laptop) - said_before) <= len(row.numbers)
    assert len(row.numbers) <= held + 2 + meanwhile / frame_ms(1_000, 200)
    assert row.numbers == sorted(row.numbers)
    assert eth0.stats().up.drops["queue"] >= len(row.lost)


@pytest.mark.parametrize(
    ("size", "waiting"),
    [
        ({"queue_pkts": 3}, 3),
        ({"queue_bytes": 3 * FRAME}, 3),
        ({"queue_bytes": FRAME - 1}, 0),
        ({"queue_ms": 3 * FRAME * 8 / 1_000}, 3),
        ({"queue_ms": 1}, 1),
    ],
)
def test_the_packet_that_is_being_sent_does_not_wait(shaper, laptop, server, size, waiting):
    said_before = said(laptop)
    laptop.iface("eth0").set_condition(LinkCondition(rate_kbit=1_000, **size), "up")
    row = cross(laptop, server, 20, size=FRAME - HEADERS, some_are_lost=True)

    # the kernel lets a frame pass at once
    least = (shaper == "kernel") + 1 + waiting
    assert len(row.numbers) >= least - (said(laptop) - said_before)
    assert not clock.is_virtual() or row.numbers == list(range(least))


def test_who_finds_a_full_queue_has_waited_for_all_of_it(shaper, laptop, server):
    condition = LinkCondition(rate_kbit=2_000, queue_ms=100)
    laptop.iface("eth0").set_condition(condition, "up")
    rows = []

    def fills_it():
        """Not if the machine stops in the middle of the row, and some of it leaves meanwhile."""
        rows.append(cross(laptop, server, 60, size=1_000, window=60, some_are_lost=True))
        return rows[-1].lost

    eventually(fills_it, "the queue is never full")
    row = rows[-1]
    last_in_line = max(number for number in row.numbers if number < row.lost[-1])
    delay = row.delays[row.numbers.index(last_in_line)]
    assert delay >= 100 - 3 * frame_ms(1_000, 2_000)
    assert not clock.is_virtual() or delay <= 100 + 2 * frame_ms(1_000, 2_000)


@pytest.mark.usefixtures("engine")
def test_a_rate_and_a_delay_are_one_link(laptop, server):
    """A full queue adds its own time, and no more."""
    condition = LinkCondition(latency_ms=20, rate_kbit=5_000, queue_ms=50)
    laptop.iface("eth0").set_condition(condition, "up")

    def fills_it():
        """Not if the machine stops in the middle of the row, and some of it leaves meanwhile."""
        row = cross(laptop, server, 60, size=1_000, window=60, some_are_lost=True)
        assert min(row.delays) >= 20 * EARLY
        assert not clock.is_virtual() or max(row.delays) <= 70 + 2 * frame_ms(1_000, 5_000)
        return row.lost and max(row.delays) >= 70 - 3 * frame_ms(1_000, 5_000)

    eventually(fills_it, "the queue is never full, or too short")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("discipline", ["codel", "fq_codel"])
def test_a_discipline_drops_where_a_queue_stands(laptop, server, discipline):
    condition = LinkCondition(rate_kbit=500, queue_pkts=1_000, queue_discipline=discipline)
    eth0 = laptop.iface("eth0")
    eth0.set_condition(condition, "up")

    def dropped():
        cross(laptop, server, 60, size=1_000, gap=0.001, window=60, some_are_lost=True)
        return eth0.stats().up.drops.get("aqm", 0) > 0

    eventually(dropped, "nothing was dropped, however long packets waited")
