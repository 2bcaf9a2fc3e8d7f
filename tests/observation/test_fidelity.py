"""Whether timing could be trusted: from totals alone, and in labs."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest

from patchbay import ConfigError, Lab
from patchbay.fidelity import (
    BUCKETS,
    Fidelity,
    Totals,
    cpu_ticks,
    host_totals,
    lag_class,
    stalled_microseconds,
)
from tests.waiting import wait_until

PATIENCE = 30


def totals(moment, *, busy=0, idle=0, stolen=0, stalled=0, late=()):
    lags = [0] * BUCKETS
    for seconds in late:
        lags[lag_class(seconds)] += 1
    return Totals(
        moment=moment, busy=busy, idle=idle, stolen=stolen, stalled=stalled, lags=tuple(lags)
    )


def test_what_happened_between_two_moments_is_the_difference_of_their_totals():
    before = totals(10, busy=100, idle=100, stolen=50, stalled=7_000_000, late=[0.5])
    after = totals(20, busy=150, idle=125, stolen=75, stalled=8_000_000, late=[0.5, 0.001, 0.004])
    found = Fidelity.between(before, after)

    assert (found.seconds, found.idle_pct, found.steal_pct) == (10, 25, 25)
    assert (found.stalled_pct, found.wakeups) == (10, 2)
    assert found.lag_p50_ms == pytest.approx(1, rel=0.2)
    assert found.lag_max_ms == pytest.approx(4, rel=0.2)


def test_time_that_the_kernel_takes_back_is_none():
    """The idle time of /proc/stat can shrink, by what was thought to be a wait for a disk."""
    found = Fidelity.between(totals(0, busy=10, idle=100), totals(1, busy=12, idle=99))

    assert (found.idle_pct, found.steal_pct) == (0, 0)


def test_doubts_have_reasons():
    good = Fidelity.between(totals(0), totals(10, idle=100, late=[0.0001] * 10))
    bad = Fidelity.between(
        totals(0), totals(10, idle=50, stolen=50, stalled=9_000_000, late=[0.0001, 0.2])
    )

    assert good
    assert good.doubts() == ()
    assert not bad
    assert len(bad.doubts()) == 3
    assert bad.doubts(lag_ms=500, stalled_pct=95, steal_pct=60) == ()


def test_packets_that_left_late_are_a_doubt():
    after = replace(totals(10, idle=100), late=7)

    assert Fidelity.between(totals(0), after).doubts() == (
        "7 packets left links more than 1 ms late",
    )


def test_what_is_not_known_is_no_doubt():
    lazy = Totals(moment=0, busy=0, idle=0, stolen=0, stalled=None)
    found = Fidelity.between(lazy, lazy)

    assert (found.stalled_pct, found.lag_max_ms, found.wakeups) == (None, None, 0)
    assert found


@pytest.mark.parametrize("late", [0.0, 0.00005, 0.0003, 0.001, 0.0101, 0.3, 7.0])
def test_a_class_of_lateness_holds_what_it_says_to_20_percent(late):
    told = Fidelity.between(totals(0), totals(1, late=[late])).lag_max_ms

    assert late * 1000 <= told * 1.0001
    assert told <= max(0.05, late * 1000 * 1.2)


def test_an_endless_lateness_has_a_class():
    assert lag_class(1e9) == BUCKETS - 1


def test_the_kernels_words_are_understood():
    stat = "cpu  10 20 30 400 50 6 7 80 9 9\ncpu0 1 2 3 4 5 6 7 8 9 9\n"
    pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 total=5\n"

    assert cpu_ticks(stat) == (73, 450, 80)
    assert stalled_microseconds(pressure) == 1234
    assert stalled_microseconds("") is None
    assert host_totals().idle > 0


def test_every_lab_tells_of_its_host(nothing_left_behind):
    with Lab("plain") as lab:
        first = lab.fidelity()
        second = lab.fidelity(since=first)

    assert 0 < second.seconds < first.seconds + PATIENCE
    assert (first.wakeups, first.lag_max_ms) == (0, None)
    assert 0 <= first.idle_pct <= 100


def test_a_lab_that_is_asked_to_measures_how_late_it_wakes_up(nothing_left_behind):
    with Lab("measured", max_lag_ms=1e9) as lab:
        wait_until(lambda: lab.fidelity().wakeups >= 3)
        found = lab.fidelity()
        assert found.lag_p50_ms <= found.lag_p99_ms <= found.lag_max_ms
        more = lab.fidelity(since=found)
        assert more.wakeups <= 1 + 4 * more.seconds  # it is four times in a second
        assert {event.kind for event in lab.events()} == {"lab_created"}


def test_a_lab_that_woke_up_late_says_so(nothing_left_behind):
    with Lab("late", max_lag_ms=200) as lab:
        wait_until(lambda: lab.fidelity().wakeups >= 1)
        pid = lab._connection.pid

        def stop_for_a_while():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.8)  # which is the lateness that is to be found
            os.kill(pid, signal.SIGCONT)
            return any(event.kind == "timing_untrusted" for event in lab.events())

        wait_until(stop_for_a_while)
        event = next(event for event in lab.events() if event.kind == "timing_untrusted")
        assert event.fields["lag_ms"] > 200
        assert lab.fidelity().lag_max_ms > 200
        assert "late" in lab.fidelity().doubts()[0]


def test_metrics_are_the_counters_over_time(nothing_left_behind, tmp_path):
    file = tmp_path / "metrics.jsonl"
    with Lab("metrics", outdir=tmp_path, metrics_every=0.1) as lab:
        router = lab.add_router("r")
        a, b = lab.add_device("a", router), lab.add_device("b", router)
        for _ in range(3):
            a.ping(b, 2)
            seen = len(lines(file, "a"))
            a.ping(b, 2)
            wait_until(lambda seen=seen: len(lines(file, "a")) > seen)
        last = lab.stats()
    read = lines(file, "a")

    sent = [each["sent_packets"] for each in read]
    assert sent == sorted(sent)
    assert len({tuple(each.values())[1:] for each in read}) == len(read) >= 3
    assert read[-1]["sent_packets"] >= last["a"]["eth0"].sent_packets
    assert {(each["node"], each["iface"]) for each in lines(file)} >= {("r", "lan"), ("b", "eth0")}
    times = [each["timestamp"] for each in lines(file)]
    assert times == sorted(times)


def lines(file, node=None):
    whole = file.read_text().rpartition("\n")[0]  # the last line may be half there
    found = [json.loads(line) for line in whole.splitlines()]
    return [each for each in found if node in (None, each["node"])]


def test_the_stats_of_a_lab_are_those_of_its_interfaces(nothing_left_behind):
    with Lab("stats") as lab:
        router = lab.add_router("r")
        device = lab.add_device("a", router)
        device.ping(router.iface("lan").ip, 3)
        stats = lab.stats()

        assert stats.keys() == {"ix", "r", "a"}
        assert stats["r"].keys() == {"wan", "lan"}
        assert stats["a"]["eth0"].sent_packets >= 3
        assert device.iface("eth0").stats().sent_packets >= stats["a"]["eth0"].sent_packets


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"metrics_every": 1}, "in outdir=, which is not given"),
        ({"metrics_every": 0, "outdir": "x"}, "a time above 0 s, not 0"),
        ({"max_lag_ms": -1}, "a time above 0 ms, not -1"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(options, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=complaint):
        Lab("wrong", **options)
    assert list(tmp_path.iterdir()) == []
