"""Super-packets of TCP: the segments that they are cut into, and what is put together again."""

import struct
from ipaddress import ip_address
from itertools import pairwise

import pytest
from frames import HEAP, flush, is_right, link, numbered
from hypothesis import given
from hypothesis import strategies as st

from patchbay.links.packets.checksum import complete, ones_complement_sum
from patchbay.links.packets.frame import HEADER, OFFERED, Frame
from patchbay.links.packets.headers import ip_length, parse
from patchbay.links.packets.segments import Segment, count, cut, join
from patchbay.values import DropList, LinkCondition

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")
versions = pytest.mark.parametrize("ends", [V4, V6], ids=["v4", "v6"])

FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80
OPTIONS = b"\1\1\x08\x0a" + bytes(8)
NUMBER, IDENTIFICATION = 0xFFFF_F000, 0xFFFD
"""Both pass their ends within a super-packet."""


def sent(payload, ends=V4, *, number=NUMBER, flags=ACK, identification=IDENTIFICATION, segment=0):
    """A packet of TCP as a sender leaves it to its card; with `segment`, one to be cut."""
    source, destination = (ip_address(end).packed for end in ends)
    length = 20 + len(OPTIONS) + len(payload)
    pseudo = source + destination + struct.pack("!II", length, 6)
    offset = (20 + len(OPTIONS)) // 4 << 4
    words = (1000, 2000, number & 0xFFFF_FFFF, 7, offset, flags, 500, ones_complement_sum(pseudo))
    transport = struct.pack("!HHIIBBHHH", *words, 0) + OPTIONS + payload
    if len(source) == 4:
        first = (0x45, 3, 20 + length, identification & 0xFFFF, 0x4000, 64, 6)
        network = struct.pack("!BBHHHBBH", *first, 0) + source + destination
        checksum = struct.pack("!H", ~ones_complement_sum(network) & 0xFFFF)
        network = network[:10] + checksum + network[12:]
        kind, ethertype = 1, b"\x08\x00"
    else:
        network = struct.pack("!IHBB", 6 << 28 | 3 << 20, length, 6, 64) + source + destination
        kind, ethertype = 4, b"\x86\xdd"
    # the kernel says of a super-packet how much lies in one piece, which is not what counts
    several = (kind, 20, segment) if segment else (0, 14 + len(network) + 32, 0)
    offered = OFFERED.pack(1, *several, 14 + len(network), 16)
    return HEAP.frame(bytes(range(12)) + ethertype + network + transport, offered)


def reference(payload, ends, flags, size):
    """The segments that a wire would carry."""
    starts = range(0, len(payload), size)
    return [
        sent(
            payload[start : start + size],
            ends,
            number=NUMBER + start,
            flags=flags
            & ~(CWR if start else 0)
            & ~(FIN | PSH if start + size < len(payload) else 0),
            identification=IDENTIFICATION + number,
        )
        for number, start in enumerate(starts)
    ]


def content(frames):
    """The bytes of frames, with the kernel's headers."""
    return [bytes(frame.buffer[: HEADER + frame.size]) for frame in frames]


def whole(count, ends=V4, *, last=7, size=10, flags=ACK | PSH | FIN | CWR):
    """A super-packet of some segments, and what it is to be cut into."""
    payload = bytes(number % 251 for number in range((count - 1) * size + last))
    return sent(payload, ends, flags=flags, segment=size), reference(payload, ends, flags, size)


@versions
@pytest.mark.parametrize("last", [1, 10])
def test_a_super_packet_is_cut_into_what_a_wire_carries(ends, last):
    frame, expected = whole(5, ends, last=last)
    pieces = cut([frame], HEAP)

    assert [piece.size for piece in pieces] == [frame.size for frame in expected]
    assert content(pieces) == content(expected)
    for piece in pieces:
        complete(piece)
        assert is_right(piece)


@given(
    ends=st.sampled_from([V4, V6]),
    count=st.integers(2, 12),
    last=st.integers(1, 10),
    seed=st.randoms(use_true_random=False),
)
def test_whatever_is_lost_or_looked_into_the_rest_leaves_in_order(ends, count, last, seed):
    frame, expected = whole(count, ends, last=last)
    pieces, wanted, looked_into = [], [], set()
    for number, piece in enumerate(cut([frame], HEAP)):
        fate = seed.choice(["leaves", "leaves", "is lost", "is looked into"])
        if fate == "is lost":
            HEAP.release(piece)
            continue
        if fate == "is looked into":
            looked_into.add(number)
            assert bytes(piece.data) == bytes(expected[number].data)
        pieces.append(piece)
        wanted.append(number)

    left = join(pieces)
    assert content(cut(left, HEAP)) == content([expected[number] for number in wanted])
    neighbours = sum(
        1
        for before, after in pairwise(wanted)
        if after == before + 1 and not {before, after} & looked_into
    )
    assert len(left) == len(wanted) - neighbours


@versions
def test_what_stays_together_leaves_as_it_came(ends):
    frame, _ = whole(4, ends)
    before = bytes(frame.data)
    (left,) = join(cut([frame], HEAP))

    assert left is frame
    assert count(left) == 4
    assert bytes(left.data) == before
    assert OFFERED.unpack_from(left.buffer)[2] == left.size - 37  # headers, told to who receives it


def test_neighbours_of_two_super_packets_stay_apart():
    frames = [whole(3)[0], numbered(1), whole(2)[0]]
    left = join(cut(list(frames), HEAP))

    assert len(left) == 3
    assert all(one is other for one, other in zip(left, frames, strict=True))


def test_order_is_not_mended():
    frame, expected = whole(4)
    first, second, third, fourth = cut([frame], HEAP)
    left = join([second, first, third, fourth])

    assert [count(each) for each in left] == [1, 1, 2]
    assert [each.size for each in left][:2] == [expected[1].size, expected[0].size]
    assert content(cut(left, HEAP)) == content([expected[number] for number in (1, 0, 2, 3)])


def other_kinds():
    frame, _ = whole(3)
    flags, kind, head, size, start, at = OFFERED.unpack_from(frame.buffer)
    for name, offered in {
        "without a checksum to make": (0, kind, head, size, start, at),
        "of UDP": (flags, 5, head, size, start, 6),
        "of the other IP": (flags, 4, head, size, start, at),
        "without a size": (flags, kind, head, 0, start, at),
        "of one segment": (flags, kind, head, 60_000, start, at),
        "with a header behind its end": (flags, kind, head, size, 60_000, at),
    }.items():
        yield pytest.param(offered, id=name)


@pytest.mark.parametrize("offered", list(other_kinds()))
def test_what_is_no_super_packet_of_tcp_stays_as_it_is(offered):
    frame, _ = whole(3)
    OFFERED.pack_into(frame.buffer, 0, *offered)
    before = content([frame])

    assert cut([frame], HEAP) == [frame]
    assert content([frame]) == before


def test_a_segment_says_without_its_bytes_whose_it_is():
    frame, expected = whole(3)
    for piece, single in zip(cut([frame], HEAP), expected, strict=True):
        assert isinstance(piece, Segment)
        assert parse(piece) == parse(single)
        assert ip_length(piece) == ip_length(single)
        assert piece.own is None


def test_a_super_packet_is_free_when_its_last_segment_is():
    frame, _ = whole(4)
    pool = Counting()
    kept, lost, looked_into, last = cut([frame], pool)
    lost.release()
    assert looked_into.data
    assert pool.free == []
    (one, other, end) = join([kept, looked_into, last])
    assert pool.free == [frame]
    assert frame not in (one, other, end)


class Counting(type(HEAP)):
    """A pool that knows what came back."""

    def __init__(self):
        self.free: list[Frame] = []

    def release(self, frame):
        self.free.append(frame)


def test_conditions_meet_segments():
    frame, expected = whole(6)
    pipeline = link(LinkCondition(drops=DropList([2, 3])))
    pipeline.offer_all(0, cut([frame], HEAP))
    left = [frame for _, frame in flush(pipeline)]

    counters = pipeline.counters
    assert counters.packets == 6
    assert counters.size == sum(frame.size for frame in expected)
    assert counters.lost == {"list": 2}
    assert content(cut(join(left), HEAP)) == content([expected[n] for n in (0, 3, 4, 5)])


def test_a_rate_takes_the_time_of_each_segment():
    frame, expected = whole(6)
    pipeline = link(LinkCondition(rate_kbit=8_000))
    pipeline.offer_all(0, cut([frame], HEAP))
    times = [time for time, _ in flush(pipeline)]

    sizes = [frame.size for frame in expected]
    assert times == [sum(sizes[: number + 1]) * 1_000 for number in range(6)]


@versions
def test_a_changed_segment_leaves_alone_and_right(ends):
    frame, expected = whole(3, ends)
    pipeline = link(LinkCondition(corrupt_pct=100, corrupt_valid_checksum=True))
    pipeline.offer_all(0, cut([frame], HEAP))
    left = join([frame for _, frame in flush(pipeline)])

    assert len(left) == 3
    assert all(is_right(each) for each in left)
    assert all(
        bytes(each.data) != bytes(single.data) for each, single in zip(left, expected, strict=True)
    )


def test_twins_of_segments_are_frames_of_their_own():
    frame, expected = whole(3)
    pipeline = link(LinkCondition(duplicate_pct=100))
    pipeline.offer_all(0, cut([frame], HEAP))
    left = join([frame for _, frame in flush(pipeline)])

    assert content(left) == content([each for each in expected for _ in range(2)])


def test_a_segment_can_become_anything():
    frame, _ = whole(2)
    first, second = cut([frame], HEAP)
    HEAP.refill(first, b"something else")
    left = join([first, second])

    assert bytes(left[0].data) == b"something else"
    assert len(left) == 2
