"""STUN as bytes: the vectors of RFC 5769, and what no vector says."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.stun import attributes as values
from patchbay.stun.answering import Position, answer
from patchbay.stun.attributes import Endpoint
from patchbay.stun.message import Attribute, Kind, MalformedMessage, Message, decode, encode

KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae80220010"
    "5354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a683676592020200008"
    "00149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
"""RFC 5769 2.1."""
RESPONSE4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
"""RFC 5769 2.2."""
RESPONSE6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
"""RFC 5769 2.3."""
TRANSACTION = bytes.fromhex("2112a442b7e7a701bc34d686fa87dfae")


@pytest.mark.parametrize("data", [REQUEST, RESPONSE4, RESPONSE6], ids=["2.1", "2.2", "2.3"])
def test_vectors_have_the_right_checks(data):
    message = decode(data, key=KEY)

    assert message.transaction == TRANSACTION
    assert message.modern
    with pytest.raises(MalformedMessage, match="message integrity is wrong"):
        decode(data, key=b"another")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(RESPONSE4, "192.0.2.1"), (RESPONSE6, "2001:db8:1234:5678:11:2233:4455:6677")],
)
def test_vectors_say_what_the_rfc_says(data, expected):
    message = decode(data)

    assert message.kind is Kind.SUCCESS
    assert message.get(Attribute.SOFTWARE) == b"test vector"
    value = message.get(Attribute.XOR_MAPPED_ADDRESS)
    assert values.read_xor_address(value, TRANSACTION) == (ip_address(expected), 32853)
    assert values.xor_address_value(Endpoint(ip_address(expected), 32853), TRANSACTION) == value


def test_a_vector_is_made_again_but_for_its_spaces():
    """The RFC pads with spaces, where zeros are usual: the checks are over these bytes."""
    message = decode(RESPONSE4)
    made = encode(message, key=KEY, fingerprint=True)

    assert len(made) == len(RESPONSE4)
    assert decode(made, key=KEY) == message


@pytest.mark.parametrize("data", [REQUEST, RESPONSE4, RESPONSE6], ids=["2.1", "2.2", "2.3"])
def test_a_flipped_bit_or_a_lost_byte_is_seen(data):
    fingerprint = len(data) - 8  # named otherwise, it is an attribute that nobody needs to know
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1
        if place not in (fingerprint, fingerprint + 1):
            with pytest.raises(MalformedMessage):
                decode(bytes(broken), key=KEY)
        with pytest.raises(MalformedMessage):
            decode(data[:place])


messages = st.builds(
    Message,
    st.sampled_from(Kind),
    st.binary(min_size=16, max_size=16),
    st.lists(
        st.tuples(st.integers(0, 0xFFFF).filter(lambda kind: kind not in (8, 0x8028)), st.binary())
    ).map(tuple),
    st.integers(0, 0xFFF),
)


@given(messages, st.none() | st.binary(min_size=1), st.booleans())
def test_what_is_encoded_is_decoded(message, key, fingerprint):
    assert decode(encode(message, key=key, fingerprint=fingerprint), key=key) == message


@given(st.binary(max_size=100))
def test_anything_is_a_message_or_is_not(data):
    with contextlib.suppress(MalformedMessage):
        assert len(decode(data).transaction) == 16


# ---- answers -------------------------------------------------------------------------------------

HERE = {
    Position(address, port): Endpoint(ip_address(f"198.18.1.{2 + address}"), 3478 + port)
    for address in (False, True)
    for port in (False, True)
}
FIRST = Position(False, False)
CLIENT = Endpoint(ip_address("198.18.2.9"), 40000)


def asked(*attributes, position=FIRST, endpoints=HERE, transaction=TRANSACTION):
    request = Message(Kind.REQUEST, transaction, attributes)
    said = answer(encode(request), CLIENT, position, endpoints)
    return said, decode(said.data)


@pytest.mark.parametrize("address", [False, True])
@pytest.mark.parametrize("port", [False, True])
@pytest.mark.parametrize("position", HERE)
def test_an_answer_comes_from_where_it_was_asked_to(address, port, position):
    change = (Attribute.CHANGE_REQUEST, values.change_value(address=address, port=port))
    said, message = asked(change, position=position)

    origin = Position(position.second_address ^ address, position.second_port ^ port)
    other = Position(not position.second_address, not position.second_port)
    assert (said.position, said.target) == (origin, CLIENT)
    assert values.read_address(message.get(Attribute.RESPONSE_ORIGIN)) == HERE[origin]
    assert values.read_address(message.get(Attribute.OTHER_ADDRESS)) == HERE[other]
    hidden = message.get(Attribute.XOR_MAPPED_ADDRESS)
    assert values.read_xor_address(hidden, TRANSACTION) == CLIENT


def test_a_server_with_one_address_says_so():
    only = {FIRST: HERE[FIRST]}
    _, message = asked(endpoints=only)
    assert message.get(Attribute.OTHER_ADDRESS) is None
    change = (Attribute.CHANGE_REQUEST, values.change_value(address=True, port=True))
    _, message = asked(change, endpoints=only)
    assert values.read_error(message.get(Attribute.ERROR_CODE))[0] == 420


def test_what_is_not_understood_is_refused():
    _, message = asked((0x7001, b""), (0x9001, b"optional"))
    assert message.kind is Kind.ERROR
    assert values.read_error(message.get(Attribute.ERROR_CODE)) == (420, "Unknown Attribute")
    assert message.get(Attribute.UNKNOWN_ATTRIBUTES) == b"\x70\x01"


def test_another_port_may_be_answered_but_not_flooded():
    elsewhere = (Attribute.RESPONSE_PORT, values.port_value(5000))
    padding = (Attribute.PADDING, bytes(8))
    said, _ = asked(elsewhere)
    assert said.target == (CLIENT.ip, 5000)
    said, message = asked(padding)
    assert len(said.data) > 1500
    said, message = asked(elsewhere, padding)
    assert values.read_error(message.get(Attribute.ERROR_CODE))[0] == 400


def test_old_clients_are_answered_in_their_words():
    _, message = asked(transaction=b"sixteen bytes...")
    assert not message.modern
    assert values.read_address(message.get(Attribute.MAPPED_ADDRESS)) == CLIENT
    other = HERE[Position(True, True)]
    assert values.read_address(message.get(Attribute.CHANGED_ADDRESS)) == other
    assert message.get(Attribute.XOR_MAPPED_ADDRESS) is None


def test_answers_and_noise_are_not_answered():
    for kind in (Kind.SUCCESS, Kind.ERROR, Kind.INDICATION):
        assert answer(encode(Message(kind, TRANSACTION)), CLIENT, FIRST, HERE) is None
    for data in (b"", b"hello", bytes(20)[:19]):
        assert answer(data, CLIENT, FIRST, HERE) is None
