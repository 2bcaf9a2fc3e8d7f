"""What conditions did to packets, by cause: from the words of each engine, and in labs."""

import json
import socket

import pytest

from patchbay import Lab, LinkCondition, LinkStats
from patchbay.link_counters import of_disciplines, of_engine
from patchbay.links.queues import Shaper
from patchbay.topology.plain import from_plain, to_plain
from patchbay.wiring.chains import NETEM, QUEUES, SHAPER, SPLITTER, Discipline
from patchbay.wiring.netlink import attributes
from patchbay.wiring.queues import TCA_OPTIONS, tbf
from tests.waiting import wait_until


def discipline(number, dropped=0, sent=100, waiting=0, overlimit=None, kind="", options=b""):
    return Discipline(
        kind=kind,
        number=number,
        parent=0,
        options=options,
        sent=sent,
        dropped=dropped,
        waiting=waiting,
        waiting_bytes=100 * waiting,
        overlimit=overlimit,
        marked=overlimit and 2 * overlimit,
    )


def test_an_interface_without_disciplines_of_a_link_has_none():
    assert of_disciplines(()) is None
    assert of_disciplines((discipline(0),)) is None


@pytest.mark.parametrize(
    ("lost", "drops"),
    [
        ({}, {}),
        ({NETEM: 7}, {"loss": 7}),
        ({SHAPER: 5}, {"queue": 5}),
        ({NETEM: 12, SHAPER: 5}, {"loss": 7, "queue": 5}),
        ({NETEM: 12, SHAPER: 5, QUEUES["pfifo"]: 5}, {"loss": 7, "queue": 5}),
    ],
)
def test_what_is_lost_in_one_place_is_told_once(lost, drops):
    chain = [discipline(SPLITTER, dropped=99, sent=50, waiting=4)]
    chain += [discipline(number, dropped) for number, dropped in lost.items()]
    found = of_disciplines(tuple(chain))

    assert found.drops == drops
    assert found.dropped == sum(drops.values())
    assert (found.sent_packets, found.queued_packets, found.queued_bytes) == (50, 4, 400)
    assert found.late is None


@pytest.mark.parametrize("kind", ["codel", "fq_codel"])
def test_a_codel_tells_what_it_lost_by_choice(kind):
    chain = (
        discipline(SPLITTER),
        discipline(NETEM, 12),
        discipline(SHAPER, 5),
        discipline(QUEUES[kind], 5, overlimit=2),
    )
    found = of_disciplines(chain)

    assert found.drops == {"loss": 7, "queue": 2, "aqm": 3}
    assert found.marked == 4


def test_the_words_of_the_user_space_engine_are_understood():
    found = of_engine(
        {
            "sent_packets": 90,
            "lost": {"loss": 8, "queue": 0, "engine": 2},
            "queued_packets": 3,
            "queued_size": 300,
            "waited": [[0.0, 40], [1.5, 49], [20.0, 1]],
            "backlog": 2_400_000,
            "duplicated": 1,
            "corrupted": 0,
            "marked": 4,
            "lateness": {"packets": 90, "late": 5, "worst": 2_500_000},
        }
    )

    assert found.drops == {"loss": 8, "engine": 2}
    assert (found.duplicated, found.corrupted, found.marked) == (1, 0, 4)
    assert (found.late, found.worst_late_ms) == (5, 2.5)
    assert found.queue_delay_ms == 2.4
    assert (found.queue_delay_p50_ms, found.queue_delay_p99_ms) == (1.5, 20.0)
    assert found.queue_delays_ms[-1] == (20.0, 1)
    assert from_plain(LinkStats, to_plain(found)) == found


@pytest.mark.parametrize(
    ("rate", "overhead", "delay"),
    [
        (125_000, 0, 16.0),
        (125_000, 50, 24.0),
        (1 << 33, 0, 2000 * 1000 / (1 << 33)),
        (None, 0, None),
    ],
)
def test_how_long_a_shaper_takes_for_what_waits(rate, overhead, delay):
    options = tbf(Shaper(rate=rate, burst=10_000, limit=1_000_000, overhead=overhead))
    told = attributes(options)[TCA_OPTIONS]
    chain = (
        discipline(SPLITTER, waiting=30),
        discipline(NETEM, waiting=10),
        discipline(SHAPER, waiting=20, kind="tbf", options=told),
    )
    found = of_disciplines(chain)

    assert found.queue_delay_ms == delay
    assert found.queue_delays_ms is found.queue_delay_p50_ms is found.queue_delay_p99_ms is None


def test_what_happened_since_an_earlier_reading():
    before = LinkStats(
        sent_packets=10,
        drops={"loss": 2, "queue": 1},
        queued_packets=9,
        queue_delays_ms=((0.0, 8), (5.0, 2)),
        duplicated=1,
        worst_late_ms=3.0,
    )
    after = LinkStats(
        sent_packets=15,
        drops={"loss": 2, "queue": 4},
        queued_packets=3,
        queue_delays_ms=((0.0, 8), (5.0, 3), (9.0, 4)),
        duplicated=1,
        worst_late_ms=3.0,
    )

    assert after.since(before) == LinkStats(
        sent_packets=5,
        drops={"queue": 3},
        queued_packets=3,
        queue_delays_ms=((5.0, 1), (9.0, 4)),
        duplicated=0,
        worst_late_ms=3.0,
    )
    assert after.since(before).queue_delay_p50_ms == 9.0
    assert after.since(None) is after
    assert before.since(after) is before, "a link that was made anew"


def passed(link):
    return link.sent_packets + link.dropped


def send(host, port, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(bytes(1000), (host, port))


def test_a_full_queue_is_told_with_its_direction(nothing_left_behind):
    with Lab("stats") as lab:
        router = lab.add_router("r")
        a, b = lab.add_device("a", router), lab.add_device("b", router)
        assert a.ping(b)  # they know each other's addresses from now on
        assert a.iface("eth0").stats().up is None
        a.iface("eth0").set_condition(LinkCondition(rate_kbit=8, queue_pkts=20), "up")
        a.call(send, str(b.ip), 9, 200)
        stats = a.iface("eth0").stats()

        assert stats.down is None
        assert stats.up.drops.keys() == {"queue"}
        assert stats.up.queue_delay_ms > 1000
        assert 0 < stats.up.queued_packets <= 21
        assert stats.up.queued_bytes >= 1000 * stats.up.queued_packets
        assert stats.up.dropped + stats.up.sent_packets + stats.up.queued_packets >= 200
        assert lab.stats()["a"]["eth0"].up.dropped >= stats.up.dropped
        assert lab.stats()["b"]["eth0"].up is None


def test_the_user_space_engine_tells_what_it_lost(nothing_left_behind):
    condition = LinkCondition(loss_pct=30, latency_ms=1)
    with Lab("stats", seed=7, link_engine="user") as lab:
        router = lab.add_router("r")
        a, b = lab.add_device("a", router), lab.add_device("b", router)
        assert a.ping(b)  # they know each other's addresses from now on
        a.iface("eth0").set_condition(condition, "up")
        a.call(send, str(b.ip), 9, 200)
        wait_until(lambda: passed(a.iface("eth0").stats().up) >= 200)
        stats = a.iface("eth0").stats()

        assert stats.up.drops["loss"] > 20
        assert stats.up.duplicated == 0
        assert lab.fidelity().late_packets >= stats.up.late >= 0
        assert stats.down is None


def test_counters_of_an_interface_since_an_earlier_reading(nothing_left_behind):
    with Lab("stats", link_engine="user") as lab:
        router = lab.add_router("r")
        a, b = (lab.add_device(name, router) for name in "ab")
        a.iface("eth0").set_condition(LinkCondition(latency_ms=1), "up")
        assert a.ping(b, 3, timeout=30).received == 3
        before = a.iface("eth0").stats()
        assert a.ping(b, 2, timeout=30).received == 2
        now = a.iface("eth0").stats()
        since = now.since(before)

        assert since.sent_packets == now.sent_packets - before.sent_packets >= 2
        assert since.up.sent_packets == now.up.sent_packets - before.up.sent_packets >= 2
        assert since.down is None


def test_what_arrives_is_counted_at_the_other_end(nothing_left_behind):
    with Lab("stats") as lab:
        router = lab.add_router("r")
        a, b = lab.add_device("a", router), lab.add_device("b", router)
        assert a.ping(b)  # they know each other's addresses from now on
        b.iface("eth0").set_condition(LinkCondition(rate_kbit=20, queue_pkts=20), "down")
        a.call(send, str(b.ip), 9, 200)
        wait_until(lambda: b.iface("eth0").stats().down.drops.get("queue"))

        assert b.iface("eth0").stats().up is None


def test_how_long_packets_wait_is_told_now_and_over_time(nothing_left_behind, tmp_path):
    with Lab("stats", link_engine="user", outdir=tmp_path, metrics_every=0.1) as lab:
        router = lab.add_router("r")
        a, b = lab.add_device("a", router), lab.add_device("b", router)
        assert a.ping(b)  # they know each other's addresses from now on
        eth0 = a.iface("eth0")
        eth0.set_condition(LinkCondition(rate_kbit=800, queue_pkts=100, latency_ms=1000), "up")
        a.call(send, str(b.ip), 9, 20)
        wait_until(lambda: eth0.stats().up.sent_packets >= 20)
        stats = eth0.stats().up
        waits = sorted(each for each, count in stats.queue_delays_ms for _ in range(count))

        assert 0 <= len(waits) - stats.sent_packets <= 1, "one may be being sent"
        assert 0 < waits[-1] < 300, "the latency was counted as well"
        assert waits[len(waits) // 2 - 1] <= stats.queue_delay_p50_ms <= waits[len(waits) // 2]
        assert stats.queue_delay_p99_ms == waits[-1]
        assert stats.queue_delay_ms < 100
        wait_until(lambda: any_delay(tmp_path))
    assert all("queue_delays_ms" not in each for each in links_of(tmp_path))


def links_of(outdir):
    """What was written of the link up."""
    whole = (outdir / "metrics.jsonl").read_text().rpartition("\n")[0]
    rows = [json.loads(line) for line in whole.splitlines()]
    return [row["up"] for row in rows if row["node"] == "a" and row.get("up")]


def any_delay(outdir):
    return any(each["queue_delay_p99_ms"] for each in links_of(outdir))
