"""What became of packets: what a path tells of each, and the words for it."""

import pytest

from patchbay import DropList, LinkCondition, QueueDiscipline
from patchbay.links.packets.verdicts import (
    ADDED,
    CHANGED,
    CONGESTED,
    CORRUPTED,
    DUPLICATE,
    LOST,
    NOTHING,
    PASSED,
    REORDERED,
    in_words,
)
from tests.links.packets.frames import MS, flush, ip_packet, link, number, numbered


class Told:
    """Notes what is lost, by number, cause and detail."""

    def __init__(self):
        self.lost_packets = []

    def lost(self, frame, cause, detail):
        self.lost_packets.append((number(frame), cause, detail))


def told(condition, count, *, gap=MS, size=60):
    witness = Told()
    pipeline = link(condition)
    pipeline.tell(witness)
    for each in range(count):
        pipeline.offer(each * gap, numbered(each, size))
    flush(pipeline)
    return witness.lost_packets


@pytest.mark.parametrize(
    ("drops", "details"),
    [
        (DropList([2, 4]), [(2, 0), (4, 0)]),
        (DropList(between_ms=[(1, 3)]), [NOTHING, NOTHING]),
    ],
)
def test_a_list_tells_which_packet_it_was(drops, details):
    witness = Told()
    pipeline = link(LinkCondition(drops=drops))
    pipeline.tell(witness)
    for each in range(5):
        pipeline.offer(each * MS, ip_packet())

    assert [each[1:] for each in witness.lost_packets] == [("list", each) for each in details]


def test_a_list_tells_the_number_in_the_flow():
    witness = Told()
    pipeline = link(LinkCondition(drops=DropList(flow_packets=[2])))
    pipeline.tell(witness)
    for port in (1, 2, 1, 2, 1):
        pipeline.offer(0, ip_packet(ports=(port, 9)))

    assert [(cause, detail) for _, cause, detail in witness.lost_packets] == [("list", (0, 2))] * 2


def test_a_queue_tells_how_full_it_was():
    condition = LinkCondition(rate_kbit=8, queue_pkts=3)

    assert told(condition, 6, gap=0, size=100) == [(4, "queue", (3, 300)), (5, "queue", (3, 300))]


def test_chance_and_size_are_told_and_later_paths_tell_too():
    assert told(LinkCondition(loss_pct=100), 2) == [(0, "loss", NOTHING), (1, "loss", NOTHING)]
    witness = Told()
    pipeline = link(LinkCondition(latency_ms=1))
    pipeline.tell(witness)
    pipeline.offer(0, ip_packet(payload=bytes(100)))
    pipeline.change(pipeline.spec.__class__("other", 1, LinkCondition(mtu=100)))
    pipeline.offer(1, ip_packet(payload=bytes(100)))
    pipeline.tell(None)
    pipeline.offer(2, ip_packet(payload=bytes(100)))

    assert [each[1:] for each in witness.lost_packets] == [("mtu", (128, 100))]
    assert pipeline.counters.lost["mtu"] == 2


@pytest.mark.parametrize(
    ("condition", "marks"),
    [
        (LinkCondition(latency_ms=1), [0]),
        (LinkCondition(duplicate_pct=100), [0, DUPLICATE]),
        (LinkCondition(corrupt_pct=100), [CORRUPTED]),
        (LinkCondition(latency_ms=1, reorder_pct=100), [REORDERED]),
        (
            LinkCondition(latency_ms=1, duplicate_pct=100, corrupt_pct=100),
            [CORRUPTED, DUPLICATE],
        ),
    ],
)
def test_packets_carry_what_was_done_to_them(condition, marks):
    pipeline = link(condition)
    pipeline.offer(0, ip_packet())

    assert [frame.marks for _, frame in flush(pipeline)] == marks


def test_packets_that_are_marked_for_congestion_carry_it():
    pipeline = link(LinkCondition(rate_kbit=100, queue_discipline=QueueDiscipline.CODEL, ecn=True))
    for each in range(100):
        pipeline.offer(each * MS, ip_packet(payload=bytes(1000), traffic_class=2))
    marked = [bool(frame.marks & CONGESTED) for _, frame in flush(pipeline)]

    assert sum(marked) == pipeline.counters.marked > 0


def test_what_a_program_made_carries_it():
    pipeline = link(LinkCondition(latency_ms=1))
    frame = ip_packet()
    pipeline._default.admit(0, frame, [(0, None), (0, bytes(frame.data)), (MS, None)])

    assert [each.marks for _, each in flush(pipeline)] == [0, ADDED | CHANGED, ADDED]


@pytest.mark.parametrize(
    ("verdict", "marks", "detail", "words"),
    [
        (PASSED, 0, NOTHING, ""),
        (PASSED, 0, (50_213_400, 0), "delayed 50.213 ms"),
        (PASSED, 0, (0, 2_500_000), "2.500 ms late"),
        (PASSED, 0, (0, 900_000), ""),
        (PASSED, DUPLICATE | CORRUPTED, (MS, 0), "delayed 1.000 ms, duplicate, corrupted"),
        (PASSED, REORDERED | CONGESTED, NOTHING, "reordered, marked CE"),
        (PASSED, CHANGED | ADDED, NOTHING, "changed by the program, added by the program"),
        (LOST["loss"], 0, NOTHING, "dropped: loss"),
        (LOST["queue"], 0, (64, 96_896), "dropped: queue full (64 packets, 96896 bytes)"),
        (LOST["list"], 0, (3, 0), "dropped: list (packet 3)"),
        (LOST["list"], 0, (0, 1), "dropped: list (packet 1 of its flow)"),
        (LOST["list"], 0, NOTHING, "dropped: list (at this time)"),
        (LOST["mtu"], 0, (1500, 1400), "dropped: mtu (1500 bytes, and 1400 may pass)"),
        (LOST["aqm"], 0, NOTHING, "dropped: aqm"),
        (LOST["program"], 0, NOTHING, "dropped: program"),
        (LOST["refused"], 0, NOTHING, "dropped: the kernel did not take it"),
    ],
)
def test_words(verdict, marks, detail, words):
    assert in_words(verdict, marks, detail) == words
