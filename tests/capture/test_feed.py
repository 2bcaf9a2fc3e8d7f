"""The ring in memory by which a recording hears of packets on links."""

import contextlib
import os

import pytest

from patchbay.links.userspace.feed import SIZE, FeedReader, FeedWriter, make_feed


@pytest.fixture
def feed(nothing_left_behind):
    memory, added, freed = make_feed()
    writer = FeedWriter(os.dup(memory), os.dup(added), os.dup(freed))
    reader = FeedReader(memory, added, freed)
    yield writer, reader
    writer.close()
    reader.close()


def add(writer, number, size=100, stream=0):
    data = number.to_bytes(8, "big") + bytes(max(0, size - 8))
    writer.add(stream, 10 * number, 3, 5, (number, -number), memoryview(data)[:size], size + 1)


def numbers(reader, most=1 << 20):
    return [int.from_bytes(each.data[:8], "big") for each in reader.records(most)]


def test_a_packet_arrives_with_all_that_was_said(feed):
    writer, reader = feed
    add(writer, 7, stream=9)
    assert numbers(reader) == []
    writer.publish()
    (record,) = ((each, bytes(each.data)) for each in reader.records(10))

    assert record[0][:5] == (9, 70, 3, 5, (7, -7))
    assert record[0].length == 101
    assert record[1] == (7).to_bytes(8, "big") + bytes(92)
    assert reader.lost(9) == 0


def test_packets_of_any_size_stay_in_order_round_and_round(feed):
    writer, reader = feed
    sent, got = 0, []
    while sent < 6000:
        for size in (0, 1, 60, 1514, 65_549, 33):
            add(writer, sent, max(8, size))
            sent += 1
        writer.publish()
        got += numbers(reader)

    assert got == list(range(sent))
    assert reader.lost(0) == 0
    assert 65_549 * sent // 6 > SIZE, "the ring was never full"


def test_what_finds_no_room_is_counted_by_stream_and_the_rest_is_whole(feed):
    writer, reader = feed
    count = 2 * SIZE // 60_000
    for number in range(count):
        add(writer, number, 60_000, stream=number % 2)
    writer.publish()
    got = numbers(reader)
    lost = reader.lost(0) + reader.lost(1)

    assert got == list(range(len(got)))
    assert len(got) + lost == count
    assert abs(reader.lost(0) - reader.lost(1)) <= 1
    add(writer, count, 60_000)
    writer.publish()
    assert numbers(reader) == [count]


def test_packets_are_read_some_at_a_time(feed):
    writer, reader = feed
    for number in range(10):
        add(writer, number)
    writer.publish()

    assert [numbers(reader, 4), numbers(reader, 4), numbers(reader, 4)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


def test_the_reader_is_woken_when_there_is_something(feed):
    writer, reader = feed
    writer.publish()
    with contextlib.suppress(BlockingIOError):
        pytest.fail(f"{os.eventfd_read(reader.fileno())} bytes, and nothing was added")
    add(writer, 1)
    writer.publish()
    assert os.eventfd_read(reader.fileno()) > 100
