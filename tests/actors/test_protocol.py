"""Framing: whole messages come out, however bytes and descriptors were split on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.protocol import LARGEST_PACKET, Decoder, Kind, header, packet, read_header

MESSAGES = [({"number": 1, "text": "ü"}, []), ({"bytes": b"\0" * 300}, [7, 8]), ({}, [9]), ({}, [])]

STREAM = b"".join(packet(message, len(descriptors)) for message, descriptors in MESSAGES)

STARTS = [
    len(b"".join(packet(message, len(descriptors)) for message, descriptors in MESSAGES[:index]))
    for index in range(len(MESSAGES))
]


def decode(pieces):
    decoder = Decoder()
    found = []
    for data, descriptors in pieces:
        decoder.feed(data, descriptors)
        found += decoder.messages()
    return found, decoder.leftover()


def descriptors_in(first, last):
    """Descriptors arrive with the first byte of their message."""
    return [
        descriptor
        for start, (_, descriptors) in zip(STARTS, MESSAGES, strict=True)
        if first <= start < last
        for descriptor in descriptors
    ]


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_a_stream_can_be_split_at_any_byte(at):
    pieces = [
        (STREAM[:at], descriptors_in(0, at)),
        (STREAM[at:], descriptors_in(at, len(STREAM))),
    ]

    assert decode(pieces) == (MESSAGES, [])


def test_a_stream_can_come_byte_by_byte():
    pieces = [(STREAM[at : at + 1], descriptors_in(at, at + 1)) for at in range(len(STREAM))]

    assert decode(pieces) == (MESSAGES, [])


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(message=st.dictionaries(st.text(), plain), cut=st.integers(min_value=0))
def test_every_plain_message_arrives_as_it_was(message, cut):
    data = packet(message)
    cut %= len(data)

    assert decode([(data[:cut], []), (data[cut:], [])]) == ([(message, [])], [])


def test_descriptors_of_half_a_message_are_left_over():
    assert decode([(packet({"half": True}, 2)[:-1], [5, 6])]) == ([], [5, 6])


def test_missing_descriptors_are_an_error():
    with pytest.raises(ValueError, match="2 descriptors announced, 1 came"):
        decode([(packet({}, 2), [5])])


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n", b"\xff" * 20])
def test_a_peer_that_speaks_something_else_is_an_error(junk):
    with pytest.raises(ValueError, match=f"at most {LARGEST_PACKET} can be"):
        decode([(junk, [])])


def test_a_body_that_is_no_message_is_an_error():
    with pytest.raises(ValueError, match="not a message"):
        decode([(b"\0\0\0\1\0\1", [])])


def test_a_message_that_is_too_large_is_refused_by_its_sender(monkeypatch):
    monkeypatch.setattr("actors.protocol.LARGEST_PACKET", 1000)

    with pytest.raises(ValueError, match="at most 1000 can be sent"):
        packet({"large": bytes(1000)})


@given(st.sampled_from(Kind), st.integers(0, 2**64 - 1))
def test_a_header_says_kind_and_number(kind, number):
    assert read_header(header(kind, number)) == (kind, number)


@pytest.mark.parametrize("frame", [b"", b"short", b"\xfe" + bytes(8), bytes(10)])
def test_what_is_no_header_is_an_error(frame):
    with pytest.raises(ValueError):
        read_header(frame)
