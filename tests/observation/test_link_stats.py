"""What conditions did to packets, by cause: from the words of each engine, and in labs."""

import socket

import pytest

from patchbay import Lab, LinkCondition
from patchbay.link_counters import of_disciplines, of_engine
from patchbay.wiring.chains import NETEM, QUEUES, SHAPER, SPLITTER, Discipline
from tests.waiting import wait_until


def discipline(number, dropped=0, sent=100, waiting=0, overlimit=None):
    return Discipline(
        kind="",
        number=number,
        parent=0,
        options=b"",
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
            "duplicated": 1,
            "corrupted": 0,
            "marked": 4,
            "lateness": {"packets": 90, "late": 5, "worst": 2_500_000},
        }
    )

    assert found.drops == {"loss": 8, "engine": 2}
    assert (found.duplicated, found.corrupted, found.marked) == (1, 0, 4)
    assert (found.late, found.worst_late_ms) == (5, 2.5)


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


def test_what_arrives_is_counted_at_the_other_end(nothing_left_behind):
    with Lab("stats") as lab:
        router = lab.add_router("r")
        a, b = lab.add_device("a", router), lab.add_device("b", router)
        assert a.ping(b)  # they know each other's addresses from now on
        b.iface("eth0").set_condition(LinkCondition(rate_kbit=20, queue_pkts=20), "down")
        a.call(send, str(b.ip), 9, 200)
        stats = b.iface("eth0").stats()

        assert stats.up is None
        assert stats.down.drops["queue"] > 0
