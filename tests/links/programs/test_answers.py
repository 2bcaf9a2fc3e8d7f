"""Packets that programs make in answer to others: whole, right, and the other way."""

import struct

import pytest
from frames import MS, flush, ip_packet, is_right, link

from patchbay import Packet
from patchbay.links.packets.checksum import ones_complement_sum
from patchbay.links.packets.frame import Heap
from patchbay.values import DropList, FlowMatch, LinkCondition

V4 = ("10.0.0.1", "10.0.0.2")
V6 = ("2001:db8::1", "2001:db8::2")
TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 1, 2, 4, 16
HEAP = Heap()


def packet(ends=V4, **options):
    return Packet(bytes(ip_packet(*ends, **options).data))


def segment(ends=V4, **fields):
    made = packet(ends, protocol=TCP, payload=b"12345")
    made.change(**fields)
    return made


def is_whole(made):
    return is_right(HEAP.frame(made.data))


@pytest.mark.parametrize("ends", [V4, V6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_reversed_packet_goes_the_other_way(ends, protocol):
    made = packet(ends, protocol=protocol, ports=(1000, 53))
    made.change(ttl=1)
    back = made.reversed()

    assert back.flow == (protocol, made.destination, 53, made.source, 1000)
    assert (back.ethernet.source, back.ethernet.destination) == (
        *(made.ethernet.destination, made.ethernet.source),
    )
    assert (back.payload, back.ip.ttl) == (made.payload, 64)
    assert is_whole(back)
    back.change(payload=b"an answer")
    assert is_whole(back)
    assert back.reversed().source == made.source


def test_what_is_no_ip_packet_is_reversed_as_a_frame():
    made = Packet(bytes(range(12)) + b"\x88\xb5" + bytes(46))
    assert made.reversed().data[:12] == bytes(range(6, 12)) + bytes(range(6))
    assert made.reversed().data[12:] == made.data[12:]


@pytest.mark.parametrize("ends", [V4, V6])
def test_a_segment_with_an_ack_is_refused_where_its_receiver_is(ends):
    made = segment(ends, sequence=100, acknowledgment=2**32 - 1)
    reset = made.tcp_reset()

    assert reset.flow == made.reversed().flow
    assert (reset.tcp.flags, reset.tcp.sequence, reset.payload) == (RST, 2**32 - 1, b"")
    assert is_whole(reset)


@pytest.mark.parametrize(("flags", "length"), [(SYN, 6), (0, 5), (SYN | FIN, 7)])
def test_a_segment_without_an_ack_is_acknowledged_and_refused(flags, length):
    reset = segment(flags=flags, sequence=2**32 - 2).tcp_reset()

    assert reset.tcp.flags == RST | ACK
    assert (reset.tcp.sequence, reset.tcp.acknowledgment) == (0, length - 2)
    assert is_whole(reset)


@pytest.mark.parametrize(
    ("ends", "kind", "size"), [(V4, (3, 4), 576), (V6, (2, 0), 1280)], ids=["4", "6"]
)
def test_a_packet_that_is_too_big_is_told_so(ends, kind, size):
    made = packet(ends, payload=bytes(1400))
    told = made.too_big(1300)

    assert (told.icmp.type, told.icmp.code) == kind
    assert struct.unpack("!I", told.icmp.rest) == (1300,)
    assert (told.source, told.destination) == (made.destination, made.source)
    assert len(told.data) == 14 + size
    assert told.payload == made.data[14 : 14 + len(told.payload)]
    if ends == V4:
        assert ones_complement_sum(told.data[14:34]) == 0xFFFF
        assert ones_complement_sum(told.data[34:]) == 0xFFFF, "it covers no pseudo header"
    else:
        assert is_whole(told)
    short = packet(ends, payload=b"short")
    assert short.too_big(1300).payload == short.data[14:]


def test_fields_of_tcp_are_changed_with_the_right_checksum():
    made = segment(sequence=7, acknowledgment=8, flags=RST | ACK, window=9)

    assert (made.tcp.sequence, made.tcp.acknowledgment, made.tcp.window) == (7, 8, 9)
    assert (made.tcp.rst, made.tcp.ack, made.payload) == (True, True, b"12345")
    assert is_whole(made)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: packet().tcp_reset(), "no TCP segment"),
        (lambda: packet().change(flags=RST), "no TCP segment"),
        (lambda: segment(flags=256), "0 to 255"),
        (lambda: Packet(bytes(60)).too_big(1300), "no IP packet"),
        (lambda: packet().too_big(67), "68 to 65535"),
        (lambda: packet(V6).too_big(1279), "1280 to 65535"),
        (lambda: packet().too_big(1300.5), "no MTU"),
        (lambda: packet().inject_back(b"short"), "no Ethernet frame"),
        (lambda: packet().inject_back(packet(), delay_ms=-1), "no number of milliseconds"),
    ],
)
def test_what_cannot_be_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        wrong()


def test_what_goes_back_is_apart_from_what_goes_on():
    made, answer = packet(), packet(payload=b"answer")
    made.inject_back(answer, delay_ms=2)
    made.inject_back(bytes(60))
    made.drop()

    assert made.settle() == []
    assert made.sent_back == [(2 * MS, answer.data), (0, bytes(60))]
    with pytest.raises(ValueError, match="has gone"):
        made.inject_back(answer)


def test_what_nobody_has_sent_meets_all_but_the_drop_list():
    dns = FlowMatch(port=53)
    condition = LinkCondition(5, drops=DropList(between_ms=[(0, 1000)]))
    pipeline = link(condition, [(dns, LinkCondition(40, drops=DropList([1])))])
    pipeline.offer(0, ip_packet())
    pipeline.inject(MS, ip_packet())
    pipeline.inject(2 * MS, ip_packet(), 3 * MS)
    pipeline.inject(3 * MS, ip_packet(ports=(53, 1000)))

    assert [at // MS for at, _ in flush(pipeline)] == [6, 10, 43]
    counters = pipeline.counters
    assert (counters.packets, counters.sent_packets, counters.lost["list"]) == (4, 3, 1)
