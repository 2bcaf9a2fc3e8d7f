"""What a program reads in a packet is there, and what it changes has right checksums."""

import struct
from ipaddress import ip_address

import dpkt
import pytest
from frames import HEAP, ip_packet, is_right
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.links.programs.packet import Packet
from tests.links.programs.crafted import hello, quic

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")
READ = [
    "ethernet", "ip", "tcp", "udp", "icmp", "source", "destination", "source_port",
    "destination_port", "flow", "payload", "quic", "quic_types", "tls_hello", "data",
]  # fmt: skip
"""All that can be asked of a packet."""


def packet(*ends, **options):
    return Packet(bytes(ip_packet(*ends, **options).data))


def right(changed):
    return is_right(HEAP.frame(changed.data))


ports = st.integers(0, 0xFFFF)
payloads = st.binary(max_size=60)


@given(st.sampled_from([V4, V6]), st.sampled_from([6, 17]), ports, ports, payloads)
def test_it_reads_what_dpkt_reads(ends, protocol, source, destination, payload):
    made = packet(*ends, protocol=protocol, ports=(source, destination), payload=payload)
    theirs = dpkt.ethernet.Ethernet(made.data)
    ip = theirs.data

    assert made.ethernet.type == theirs.type
    assert made.ip.source.packed == made.source.packed == ip.src
    assert made.ip.destination.packed == made.destination.packed == ip.dst
    assert (made.ip.version, made.ip.protocol) == (4 if ends is V4 else 6, protocol)
    assert made.ip.ttl == (ip.ttl if ends is V4 else ip.hlim) == 64
    assert (made.source_port, made.destination_port) == (ip.data.sport, ip.data.dport)
    assert made.payload == bytes(ip.data.data)
    assert made.flow == (protocol, made.source, source, made.destination, destination)
    if protocol == 6:
        tcp = made.tcp
        assert (tcp.sequence, tcp.acknowledgment) == (ip.data.seq, ip.data.ack)
        assert (tcp.flags, tcp.window) == (ip.data.flags, ip.data.win)
        assert (tcp.ack, tcp.syn, tcp.fin, tcp.rst, tcp.psh) == (True, False, False, False, False)
        assert made.udp is None
    else:
        assert made.udp.length == ip.data.ulen
        assert made.tcp is None


def test_it_reads_dscp_ecn_and_icmp():
    echo = packet(protocol=1, payload=b"\x08\x00\0\0\x12\x34\0\x01ping", traffic_class=46 << 2 | 1)

    assert (echo.ip.dscp, echo.ip.ecn, echo.ip.fragment) == (46, 1, False)
    assert (echo.icmp.type, echo.icmp.code, echo.icmp.rest) == (8, 0, b"\x12\x34\0\x01")
    assert echo.payload == b"ping"
    assert echo.source_port is None
    assert packet(*V6, protocol=58, payload=b"\x81\0\0\0abcd").icmp.type == 129


def extended(*kinds, payload=b"in", offset=0):
    """A UDP packet over IPv6 with extension headers."""
    plain = bytes(ip_packet(*V6, payload=payload).data)
    chain, following = b"", [*kinds[1:], 17]
    for kind, after in zip(kinds, following, strict=True):
        if kind == 44:
            chain += struct.pack("!BBHI", after, 0, offset << 3 | 1, 7)
        else:
            chain += bytes([after, 1]) + bytes(14)
    length = len(plain) - 54 + len(chain)
    head = plain[:14] + plain[14:18] + struct.pack("!HB", length, kinds[0]) + plain[21:54]
    return Packet(head + chain + plain[54:])


def test_it_finds_what_is_behind_extension_headers():
    made = extended(0, 43, 60)

    assert (made.ip.protocol, made.destination_port, made.payload) == (17, 2000, b"in")
    assert not made.ip.fragment


def test_fragments_are_told_and_only_the_first_has_ports():
    first, later = extended(0, 44), extended(0, 44, offset=3)

    assert first.ip.fragment
    assert first.destination_port == 2000
    assert later.ip.fragment
    assert (later.destination_port, later.payload, later.udp) == (None, b"", None)


def test_it_finds_quic_and_tls():
    datagram = packet(payload=quic("initial") + quic("handshake"))
    segment = packet(protocol=6, payload=hello(b"example.org"))

    assert [header.type for header in datagram.quic] == ["initial", "handshake"]
    assert "initial" in datagram.quic_types
    assert datagram.tls_hello is None
    assert segment.tls_hello.server_name == "example.org"
    assert segment.quic == ()


@settings(max_examples=300)
@given(st.data())
def test_no_bytes_make_a_question_fail(data):
    """Neither those of no protocol, nor damaged or truncated ones."""
    whole = data.draw(
        st.sampled_from(
            [
                bytes(14),
                packet(payload=quic("initial", token=b"abc")).data,
                packet(*V6, protocol=6, payload=hello(b"example.org")).data,
                packet(protocol=1, payload=b"\x08\0\0\0abcd").data,
                extended(0, 43, 60, 44).data,
            ]
        )
    )
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 6))):
        damaged[data.draw(st.integers(12, len(whole) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(14, len(whole)))
    made = Packet(bytes(damaged[:end]) + data.draw(st.binary(max_size=20)))
    for name in READ:
        getattr(made, name)

    assert repr(made).startswith("<Packet 1")
    assert len(made.payload) <= len(made.data)


@given(st.binary(min_size=14, max_size=100))
def test_what_cannot_be_changed_says_so_and_stays(data):
    made = Packet(data)
    try:
        made.change(ttl=1, payload=b"x")
    except ValueError:
        assert made.data == data


changes = st.fixed_dictionaries(
    {},
    optional={
        "payload": st.binary(max_size=80),
        "source_port": ports,
        "destination_port": ports,
        "ttl": st.integers(0, 255),
        "dscp": st.integers(0, 63),
        "ecn": st.integers(0, 3),
    },
)


@given(st.sampled_from([V4, V6]), st.sampled_from([6, 17]), payloads, changes, st.booleans())
def test_changes_are_what_is_read_and_checksums_are_right(ends, protocol, payload, fields, moved):
    made = packet(*ends, protocol=protocol, payload=payload, traffic_class=0b101101)
    before = {
        "payload": made.payload,
        "source_port": 1000,
        "destination_port": 2000,
        "ttl": 64,
        "dscp": 0b1011,
        "ecn": 1,
    }
    source = ip_address("10.9.8.7" if ends is V4 else "2001:db8::7")
    if moved:
        fields = {**fields, "source": str(source), "destination": source + 1}
    made.change(**fields)
    wanted = before | fields

    assert made.payload == wanted["payload"]
    assert (made.source_port, made.destination_port) == (
        wanted["source_port"],
        wanted["destination_port"],
    )
    assert (made.ip.ttl, made.ip.dscp, made.ip.ecn) == (
        wanted["ttl"],
        wanted["dscp"],
        wanted["ecn"],
    )
    if moved:
        assert (made.source, made.destination) == (source, source + 1)
    assert right(made)
    assert bytes(dpkt.ethernet.Ethernet(made.data).data.data.data) == made.payload


def test_a_datagram_without_a_checksum_stays_so():
    data = bytearray(packet().data)
    data[40:42] = b"\0\0"
    made = Packet(bytes(data))
    made.change(payload=b"other")

    assert made.data[40:42] == b"\0\0"
    assert made.udp.length == 13


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (Packet(bytes(14)), {"ttl": 3}),
        (packet(), {"ttl": 256}),
        (packet(), {"dscp": -1}),
        (packet(), {"source": "fd00::1"}),
        (packet(), {"source": "nowhere"}),
        (packet(), {"source": 7}),
        (packet(), {"payload": "text"}),
        (packet(), {"payload": bytes(65_508)}),
        (packet(protocol=1, payload=b"\x08\0\0\0abcd"), {"source_port": 3}),
        (extended(44), {"payload": b""}),
        (extended(44, offset=1), {"destination_port": 1}),
    ],
)
def test_a_field_that_cannot_be_so_is_refused(made, fields):
    before = made.data
    with pytest.raises(ValueError):
        made.change(**fields)

    assert made.data == before


def test_what_becomes_of_it_is_what_was_said():
    passed, dropped, changed, many = packet(), packet(), packet(), packet()
    dropped.drop()
    changed.change(payload=b"new")
    changed.delay(1.5)
    changed.delay(2)
    many.duplicate(2)
    twin = many.copy()
    twin.change(payload=b"twin")
    many.inject(twin, delay_ms=3)
    many.inject(bytes(20))

    assert passed.settle() == [(0, None)]
    assert dropped.settle() == []
    assert changed.settle() == [(3_500_000, changed.data)]
    assert many.settle() == [(0, None)] * 3 + [(3_000_000, twin.data), (0, bytes(20))]


def test_a_packet_that_has_gone_cannot_be_decided_about_but_injected():
    held, other = packet(payload=b"held"), packet()
    held.drop()
    held.settle()
    other.inject(held)

    assert other.settle()[1] == (0, held.data)
    for late in (held.drop, held.duplicate, lambda: held.change(ttl=1), lambda: held.delay(1)):
        with pytest.raises(ValueError, match="has gone"):
            late()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: packet().delay(-1),
        lambda: packet().delay(float("nan")),
        lambda: packet().delay(1e300),
        lambda: packet().duplicate(-1),
        lambda: packet().duplicate(1.5),
        lambda: packet().replace(b"short"),
        lambda: packet().inject(bytes(70_000)),
        lambda: Packet(b""),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong()


def test_other_bytes_go_on_as_they_are():
    made = packet()
    made.replace(bytes(12) + b"\x08\x06" + bytes(28))

    assert made.ip is None
    assert made.ethernet.type == 0x0806
    assert made.settle() == [(0, made.data)]
