"""Long headers of QUIC and ClientHellos of TLS are read right, and nothing makes them fail."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.links.programs.quic import QuicType, long_headers
from patchbay.links.programs.tls import client_hello
from tests.links.programs.crafted import V1, V2, hello, quic

KINDS = ["initial", "zero_rtt", "handshake", "retry"]
ids = st.binary(max_size=20)
packets = st.tuples(
    st.sampled_from(KINDS[:3]),
    st.sampled_from([V1, V2]),
    ids,
    ids,
    st.binary(max_size=70),
    st.binary(max_size=100),
)


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("kind", KINDS)
def test_types_of_both_versions(kind, version):
    token = b"token" if kind in ("initial", "retry") else b""
    data = quic(kind, version=version, token=token)
    (header,) = long_headers(data)

    assert (header.type, header.version) == (QuicType(kind), version)
    assert (header.destination_id, header.source_id) == (b"\x01\x02\x03\x04", b"\x05\x06")
    assert (header.token, header.offset, header.size) == (token, 0, len(data))
    assert header.type == kind, "a type is equal to its name"


def test_version_negotiation():
    (header,) = long_headers(quic("version_negotiation", payload=b"\0\0\0\1\x6b\x33\x43\xcf"))

    assert (header.type, header.version) == (QuicType.VERSION_NEGOTIATION, 0)
    assert header.versions == (V1, V2)


@given(st.lists(packets, min_size=1, max_size=4), st.binary(max_size=30))
def test_coalesced_packets_are_told_in_order(given_packets, rest):
    """What follows with a short header, or as padding, is not told."""
    made = [
        quic(kind, version=v, destination=d, source=s, token=t, payload=p)
        for kind, v, d, s, t, p in given_packets
    ]
    tail = b"\x40" + rest if rest else b""
    found = long_headers(b"".join(made) + tail)

    assert [header.type for header in found] == [kind for kind, *_ in given_packets]
    assert [header.size for header in found] == list(map(len, made))
    assert [header.offset for header in found] == [
        sum(map(len, made[:at])) for at in range(len(made))
    ]
    for header, (kind, version, destination, source, token, _) in zip(
        found, given_packets, strict=True
    ):
        assert header.version == version
        assert (header.destination_id, header.source_id) == (destination, source)
        assert header.token == (token if kind == "initial" else b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x40" + bytes(50),  # a short header
        b"\x80" + (1).to_bytes(4) + bytes(50),  # without the fixed bit
        b"\xc0" + (0x0A0A0A0A).to_bytes(4) + bytes(50),  # another version
        b"\xc0" + (1).to_bytes(4) + b"\x15" + bytes(50),  # too long an id
        b"\xc0" + bytes(4) + b"\0\0abc",  # no whole version
        bytes(100),
    ],
)
def test_what_is_none_of_quic(data):
    assert long_headers(data) == ()


def test_a_length_beyond_the_datagram_is_told_as_far_as_it_goes():
    data = quic(payload=bytes(50))
    (header,) = long_headers(data[:-10])

    assert header.size == len(data) - 10


@given(packets, st.integers(0, 400))
def test_a_header_that_is_cut_short_is_no_header(packet, end):
    kind, version, destination, source, token, payload = packet
    whole = quic(
        kind, version=version, destination=destination, source=source, token=token, payload=payload
    )
    head = len(whole) - len(payload)
    cut = whole[:end]

    assert len(long_headers(cut)) == (1 if min(end, len(whole)) >= head else 0)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xc3\0\0\0\1", b"\xd3\x6b\x33\x43\xcf"]))
def test_no_bytes_make_it_fail(data, start):
    headers = long_headers(start + data)

    assert sum(header.size for header in headers) <= len(start + data)
    found = client_hello(b"\x16\x03\x01" + data)
    assert found is None or found.version <= 0xFFFF


def test_a_client_hello():
    found = client_hello(hello(b"example.org", [b"h2", b"http/1.1"], [0x0304, 0x0303]))

    assert found.server_name == "example.org"
    assert found.alpn == ("h2", "http/1.1")
    assert (found.version, found.versions) == (0x0303, (0x0304, 0x0303))
    assert found.cipher_suites == (0x1301, 0x1302)
    assert found.complete


def test_the_hello_of_a_real_client():
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    client = context.wrap_bio(inside, outside, server_hostname="files.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    found = client_hello(outside.read())

    assert (found.server_name, found.alpn, found.complete) == ("files.example", ("h2",), True)
    assert 0x0304 in found.versions


def test_a_hello_without_a_name():
    found = client_hello(hello(None, versions=()))

    assert (found.server_name, found.alpn, found.versions, found.complete) == (None, (), (), True)


@given(st.integers(0, 600))
def test_of_a_hello_in_several_segments_the_first_tells_what_it_has(end):
    whole = hello(b"example.org", [b"h2"], padding=300)
    found = client_hello(whole[:end])
    at = whole.index(b"example.org") + len(b"example.org")

    if found is not None:
        assert found.complete == (end >= len(whole))
        assert found.server_name == ("example.org" if end >= at else None)
    else:
        assert end < 60


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\0\x05hello", b"\x16\x03\x01\0\1\2"]
)
def test_what_is_no_client_hello(data):
    assert client_hello(data) is None


@given(st.data())
def test_no_damage_makes_it_fail(data):
    whole = bytearray(hello(b"example.org", [b"h2"]))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = client_hello(bytes(whole))

    assert found is None or isinstance(found.server_name, str | None)
