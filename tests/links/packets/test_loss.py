"""Which packets are lost: as many as asked, in bursts as long as asked, the same for a seed."""

from itertools import groupby

import pytest
from frames import HEAP, MS, flush, ip_packet, link, number, numbered, signals, survivors
from statistics_of import binomial_interval, chi_square_is_usual

from patchbay.links.packets.headers import is_signalling
from patchbay.links.packets.randomness import Streams
from patchbay.values import FourState, GilbertElliott, LinkCondition

COUNT = 50_000


def pattern(condition, count=COUNT, **options):
    """For each packet whether it is lost."""
    there = set(survivors(condition, count, **options))
    return [each not in there for each in range(count)]


def runs(lost):
    return [len(list(group)) for is_lost, group in groupby(lost) if is_lost]


@pytest.mark.parametrize("share", [0.1, 1, 10, 50])
def test_as_many_are_lost_as_asked(share):
    low, high = binomial_interval(COUNT, share / 100)

    assert low <= sum(pattern(LinkCondition(loss_pct=share))) <= high


def test_all_or_nothing():
    assert survivors(LinkCondition(loss_pct=100), 1000) == []
    assert survivors(LinkCondition(loss_pct=100, loss_burst_pkts=5), 1000) == []
    assert survivors(LinkCondition.LAN, 1000) == list(range(1000))


def test_independent_losses_come_in_runs_as_chance_has_them():
    lengths = runs(pattern(LinkCondition(loss_pct=50)))
    observed = [lengths.count(each) for each in range(1, 7)]
    observed.append(len(lengths) - sum(observed))
    expected = [len(lengths) * 0.5**each for each in range(1, 7)]
    expected.append(len(lengths) * 0.5**6)

    assert chi_square_is_usual(observed, expected)


@pytest.mark.parametrize(("share", "burst"), [(1, 3), (5, 5), (20, 10)])
def test_bursts_have_the_mean_length_that_was_asked(share, burst):
    lost = pattern(LinkCondition(loss_pct=share, loss_burst_pkts=burst), 200_000, seed=3)
    lengths = runs(lost)
    # the length of a burst is geometric: its mean has a standard error
    error = burst / len(lengths) ** 0.5

    assert abs(sum(lengths) / len(lengths) - burst) < 3.3 * error + 0.02 * burst
    assert sum(lost) / len(lost) == pytest.approx(share / 100, rel=3.3 * (2 / len(lengths)) ** 0.5)


def test_gilbert_elliott_loses_in_both_states():
    model = GilbertElliott(5, 20, loss_bad_pct=60, loss_good_pct=2)
    lost = sum(pattern(LinkCondition(loss_model=model), 100_000))

    assert lost / 100_000 == pytest.approx(model.mean_loss_pct / 100, rel=0.05)


def test_four_states_spend_their_time_as_the_chain_says():
    model = FourState(p13_pct=2, p31_pct=30, p32_pct=20, p23_pct=40, p14_pct=1)
    lost = sum(pattern(LinkCondition(loss_model=model), 100_000))
    # the stationary distribution of the chain, by iteration
    state = [1.0, 0.0, 0.0, 0.0]
    for _ in range(2000):
        one, two, three, four = state
        state = [
            one * 0.97 + three * 0.30 + four,
            two * 0.60 + three * 0.20,
            one * 0.02 + two * 0.40 + three * 0.50,
            one * 0.01,
        ]

    assert lost / 100_000 == pytest.approx(state[2] + state[3], rel=0.05)


def test_the_same_seed_loses_the_same_packets_whatever_else_happens_when():
    once = pattern(LinkCondition(loss_pct=10), 2000)

    assert pattern(LinkCondition(loss_pct=10), 2000) == once
    assert pattern(LinkCondition(latency_ms=50, jitter_ms=20, loss_pct=10), 2000, gap=7) == once
    assert pattern(LinkCondition(loss_pct=10), 2000, seed=2) != once
    assert pattern(LinkCondition(loss_pct=10), 2000, name="laptop/eth0 down") != once


def test_what_hosts_say_about_the_link_changes_nothing_for_others():
    condition = LinkCondition(
        latency_ms=5,
        jitter_ms=1,
        jitter_reorders=True,
        loss_pct=20,
        duplicate_pct=20,
        corrupt_pct=20,
        reorder_pct=20,
    )

    def fate_of_others(extra):
        pipeline = link(condition)
        for each in range(300):
            for frame in extra() if each % 10 == 3 else ():
                pipeline.offer(each * MS, frame)
            pipeline.offer(each * MS, ip_packet(payload=b"%020d" % each))
        left = [(at, bytes(frame.data)) for at, frame in flush(pipeline)]
        return [(at, data) for at, data in left if len(data) == 14 + 20 + 8 + 20], pipeline

    alone, _ = fate_of_others(list)
    among_signals, pipeline = fate_of_others(signals)

    assert among_signals == alone
    assert pipeline.counters.packets == 300 + 30 * len(signals())


@pytest.mark.parametrize("place", range(len(signals())))
def test_what_hosts_say_about_the_link_is_lost_as_often(place):
    pipeline = link(LinkCondition(loss_pct=50))
    for each in range(1000):
        pipeline.offer(each * MS, signals()[place])

    assert 400 < len(flush(pipeline)) < 600


def test_pings_and_errors_are_not_about_the_link():
    others = [
        ip_packet(),
        ip_packet("fd00::1", "fd00::2"),
        ip_packet(protocol=1, payload=bytes(8)),
        ip_packet("fd00::1", "fd00::2", protocol=58, payload=b"\x80" + bytes(7)),
        ip_packet("fd00::1", "fd00::2", protocol=58, payload=b"\x02" + bytes(7)),
        ip_packet("fd00::1", "fd00::2", protocol=58, payload=b""),
        ip_packet("fd00::1", "fd00::2", protocol=0, payload=b"\x11\0" + bytes(14)),
        HEAP.frame(bytes(14)),
        numbered(1),
    ]

    assert [is_signalling(frame) for frame in others] == [False] * len(others)
    assert all(map(is_signalling, signals()))


def test_random_numbers_are_the_same_in_every_version_of_python():
    numbers = Streams(1, "laptop/eth0 up").stream("loss")

    assert [round(numbers.random(), 9) for _ in range(3)] == [0.152712051, 0.711969237, 0.062580106]


def test_losses_are_counted_by_cause():
    pipeline = link(LinkCondition(loss_pct=30, mtu=500))
    for each in range(100):
        pipeline.offer(0, numbered(each, 100 if each % 2 else 600))
    left = pipeline.due(0)

    assert pipeline.counters.lost["mtu"] == 50
    assert pipeline.counters.lost["loss"] == 50 - len(left)
    assert pipeline.counters.packets == 100
    assert pipeline.counters.sent_packets == len(left)
    assert pipeline.counters.sent_size == 100 * len(left)
    assert all(number(frame) % 2 for frame in left)
