"""Packets that arrive twice, or otherwise than they were sent."""

import pytest
from frames import HEAP, flush, ip_packet, is_right, link, numbered
from hypothesis import given
from hypothesis import strategies as st
from statistics_of import binomial_interval

from patchbay.links.packets.checksum import complete, ones_complement_sum
from patchbay.links.packets.frame import HEADER
from patchbay.links.packets.headers import mark_congestion, parse
from patchbay.values import LinkCondition

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")
kinds = pytest.mark.parametrize("protocol", [6, 17])
versions = pytest.mark.parametrize("ends", [V4, V6], ids=["v4", "v6"])
left_to_the_kernel = pytest.mark.parametrize("partial", [False, True])


def through(condition, frame, seed=1):
    pipeline = link(condition, seed=seed)
    pipeline.offer(0, frame)
    return [each for _, each in flush(pipeline)], pipeline.counters


def bits(one, other):
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def test_as_many_packets_arrive_twice_as_asked():
    pipeline = link(LinkCondition(duplicate_pct=20))
    for each in range(5000):
        pipeline.offer(each, numbered(each))
    left = [bytes(frame.data) for _, frame in flush(pipeline)]
    low, high = binomial_interval(5000, 0.2)

    assert low <= len(left) - 5000 <= high
    assert len(set(left)) == 5000
    assert pipeline.counters.duplicated == len(left) - 5000


@given(st.binary(max_size=200))
def test_the_sum_is_that_of_the_words(data):
    total = 0
    for index in range(0, len(data), 2):
        total += int.from_bytes(data[index : index + 2].ljust(2, b"\0"))
        total = (total & 0xFFFF) + (total >> 16)

    assert ones_complement_sum(data) == total


@kinds
@versions
def test_a_checksum_left_to_the_network_card_is_completed(ends, protocol):
    frame = ip_packet(*ends, protocol=protocol, partial=True)

    assert not is_right(frame)
    complete(frame)
    assert is_right(frame)
    assert bytes(frame.buffer[:HEADER]) == bytes(HEADER)


@kinds
@versions
@left_to_the_kernel
@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_is_noticed_by_the_receiver(ends, protocol, partial, seed):
    frame = ip_packet(*ends, protocol=protocol, partial=partial)
    whole = ip_packet(*ends, protocol=protocol)
    (left,), counters = through(LinkCondition(corrupt_pct=100), frame, seed)

    assert bits(left.data, whole.data) == 1
    assert not is_right(left)
    assert counters.corrupted == 1


@kinds
@versions
@left_to_the_kernel
@pytest.mark.parametrize("seed", range(5))
def test_with_a_valid_checksum_a_flipped_bit_of_the_payload_arrives(ends, protocol, partial, seed):
    frame = ip_packet(*ends, protocol=protocol, payload=b"payload", partial=partial)
    condition = LinkCondition(corrupt_pct=100, corrupt_valid_checksum=True)
    (left,), counters = through(condition, frame, seed)

    assert bits(left.data[-7:], b"payload") == 1
    assert is_right(left)
    assert counters.corrupted == 1


def test_what_has_no_payload_is_not_corrupted_validly():
    condition = LinkCondition(corrupt_pct=100, corrupt_valid_checksum=True)
    (left,), counters = through(condition, ip_packet(payload=b""))

    assert is_right(left)
    assert counters.corrupted == 0


def test_other_frames_are_corrupted_behind_their_addresses():
    (left,), _ = through(LinkCondition(corrupt_pct=100), numbered(7))

    assert bits(left.data, numbered(7).data) == 1
    assert left.data[:14] == numbered(7).data[:14]


@versions
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 3), (2, 3), (3, 3), (0xB9, 0xBB)])
def test_congestion_is_marked_where_the_sender_knows_it(ends, before, after):
    frame = ip_packet(*ends, traffic_class=before)

    assert mark_congestion(frame) is bool(before & 3)
    assert parse(frame).traffic_class == after
    assert is_right(frame)


@given(
    st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x08\x06"])
)
def test_no_bytes_confuse_the_parser(data, ethertype):
    frame = HEAP.frame(bytes(12) + ethertype + data)
    headers = parse(frame)
    for condition in (
        LinkCondition(corrupt_pct=100, corrupt_valid_checksum=True),
        LinkCondition(corrupt_pct=100),
        LinkCondition(rate_kbit=1, queue_discipline="fq_codel", ecn=True, mtu=600),
    ):
        through(condition, frame)

    assert headers is None or HEADER + 14 < headers.end <= HEADER + frame.size
