"""The blocks of a pcapng file, read back by the specification, and by somebody else's reader."""

import io

import dpkt
import pytest

from patchbay.capture import pcapng
from patchbay.capture.pcapng import Direction, Reception
from tests.capture.reading import read

MOMENT = 1_700_000_000_123_456_789


def whole(*blocks):
    return b"".join([pcapng.section(application="patchbay 1", system="Linux 6"), *blocks])


def test_a_section_says_who_wrote_it():
    assert read(whole()).section == {4: [b"patchbay 1"], 3: [b"Linux 6"]}


def test_an_interface_has_a_name_addresses_and_the_filter():
    block = pcapng.interface(
        "laptop/eth0",
        snaplen=96,
        mac="02:00:00:00:00:04",
        addresses=[("10.0.1.2", 24), ("fd10::2", 64)],
        filter_text="tcp port 80",
    )

    assert read(whole(block)).interfaces == [
        {
            "name": "laptop/eth0",
            "link_type": pcapng.ETHERNET,
            "snaplen": 96,
            "mac": "02:00:00:00:00:04",
            "addresses": ["10.0.1.2", "fd10::2"],
            "filter": "tcp port 80",
        }
    ]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1500, 65536])
def test_a_packet_of_any_size_comes_back(size):
    data = bytes(index & 0xFF for index in range(size))
    flags = Direction.OUTBOUND | Reception.MULTICAST
    recording = read(
        whole(pcapng.interface("a"), pcapng.packet(0, MOMENT, flags, memoryview(data), size + 7))
    )
    (found,) = recording.packets

    assert (found.data, found.length, found.moment) == (data, size + 7, MOMENT)
    assert (found.direction, found.flags & ~3) == ("out", Reception.MULTICAST)


def test_names_secrets_and_statistics_come_back():
    recording = read(
        whole(
            pcapng.interface("a"),
            pcapng.names({"10.0.0.1": ["home", "router.example"], "2001:db8::1": ["home"]}),
            pcapng.tls_secrets(b"CLIENT_RANDOM 00 11\n"),
            pcapng.tls_secrets(b"CLIENT_RANDOM 22 33\n"),
            pcapng.statistics(0, MOMENT, since=MOMENT - 5, received=9, dropped=2),
        )
    )

    assert recording.names == {"10.0.0.1": ["home", "router.example"], "2001:db8::1": ["home"]}
    assert recording.secrets == b"CLIENT_RANDOM 00 11\nCLIENT_RANDOM 22 33\n"
    assert recording.statistics == {"a": (9, 2)}


def test_another_reader_reads_the_same():
    data = whole(
        pcapng.interface("a"),
        pcapng.names({"10.0.0.1": ["home"]}),
        pcapng.packet(0, MOMENT, Direction.INBOUND, b"x" * 61, 61),
        pcapng.statistics(0, MOMENT, since=MOMENT, received=1, dropped=0),
    )
    ((moment, packet),) = list(dpkt.pcapng.Reader(io.BytesIO(data)))

    assert bytes(packet) == b"x" * 61
    assert moment == pytest.approx(MOMENT / 1e9)
