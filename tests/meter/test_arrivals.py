"""What is made of arrivals: loss, order, jitter and delay, from numbers and times alone."""

import pytest

from patchbay.meter.throughput import IperfResult
from patchbay.meter.udp import Arrivals

MS = 1_000_000


def arrivals(*told, size=100):
    """Arrivals told by (number, sent at, arrived at), in milliseconds."""
    made = Arrivals()
    for index, sent, moment in told:
        made.add(index, sent * MS, moment * MS, size)
    return made.told()


def test_nothing_arrived():
    told = arrivals()

    assert (told.count, told.bytes, told.seconds, told.delays_ms) == (0, 0, 0, None)


def test_even_arrivals_have_no_jitter():
    told = arrivals(*((number, number * 10, number * 10 + 25) for number in range(100)))

    assert (told.count, told.reordered, told.duplicates, told.jitter_ms) == (100, 0, 0, 0)
    assert told.delays_ms == (25, 25, 25, 25, 25)
    assert (told.bytes, told.later_bytes, told.seconds) == (10_000, 9_900, 0.99)


def test_jitter_is_that_of_rfc_3550():
    told = arrivals((0, 0, 10), (1, 10, 36), (2, 20, 30))

    assert told.jitter_ms == pytest.approx(16 / 16 + (16 - 16 / 16) / 16)


def test_an_arrival_after_a_later_one_is_reordered_and_a_second_one_is_a_duplicate():
    told = arrivals((0, 0, 1), (3, 3, 4), (1, 1, 5), (2, 2, 6), (3, 3, 7), (4, 4, 8))

    assert (told.count, told.reordered, told.duplicates) == (5, 2, 1)


def test_percentiles_are_of_the_delays():
    told = arrivals(*((number, 0, number + 1) for number in range(100)))

    assert told.delays_ms == (1, pytest.approx(50.5), 50, 99, 100)


def test_what_the_receiver_lost_is_not_the_networks():
    result = IperfResult(
        protocol="udp",
        rate_kbit=1,
        seconds=1,
        sent_bytes=1000,
        received_bytes=900,
        sent=100,
        received=90,
        overrun=4,
    )

    assert (result.lost, result.loss_pct) == (6, 6.0)
