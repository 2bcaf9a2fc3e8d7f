"""A reader of pcapng files for the tests: strict, and made from the specification alone."""

import ipaddress
import struct
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Packet:
    interface: str
    moment: int
    data: bytes
    length: int
    flags: int
    comment: str = ""

    @property
    def direction(self):
        return {1: "in", 2: "out"}[self.flags & 3]

    @property
    def ethertype(self):
        return int.from_bytes(self.data[12:14], "big")

    @property
    def protocol(self):
        """The protocol on IPv4 or IPv6 (without extension headers)."""
        return {0x0800: self.data[23], 0x86DD: self.data[20]}.get(self.ethertype)


@dataclass
class Recording:
    section: dict
    interfaces: list
    packets: list = field(default_factory=list)
    names: dict = field(default_factory=dict)
    secrets: bytes = b""
    statistics: dict = field(default_factory=dict)

    def of(self, interface, ethertype=None):
        return [
            each
            for each in self.packets
            if each.interface == interface and ethertype in (None, each.ethertype)
        ]


def read(source):
    """The recording in a file, or in bytes."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    recording = None
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length % 4 == 0
        assert length >= 12
        assert at + length <= len(data), "the last block is cut short"
        assert struct.unpack_from("=I", data, at + length - 4)[0] == length
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == 0x0A0D0D0A:
            assert recording is None
            assert struct.unpack_from("=IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            recording = Recording(options(body[16:]), [])
        else:
            BLOCKS[kind](recording, body)
    return recording


def options(body):
    """Options by code, each with all its values."""
    found = {}
    while body:
        code, length = struct.unpack_from("=HH", body)
        if code == 0:
            assert length == 0
            assert len(body) == 4
            return found
        found.setdefault(code, []).append(body[4 : 4 + length])
        padded = length + 3 & ~3
        assert not any(body[4 + length : 4 + padded])
        body = body[4 + padded :]
    assert not found, "options without an end"
    return found


def interface(recording, body):
    link_type, reserved, snaplen = struct.unpack_from("=HHI", body)
    assert reserved == 0
    own = options(body[8:])
    assert own[9] == [b"\x09"]
    recording.interfaces.append(
        {
            "name": own[2][0].decode(),
            "link_type": link_type,
            "snaplen": snaplen,
            "mac": own.get(6, [b""])[0].hex(":"),
            "addresses": [
                *(str(ipaddress.ip_address(each[:4])) for each in own.get(4, [])),
                *(str(ipaddress.ip_address(each[:16])) for each in own.get(5, [])),
            ],
            "filter": own.get(11, [b"\0"])[0][1:].decode(),
        }
    )


def packet(recording, body):
    number, high, low, kept, length = struct.unpack_from("=5I", body)
    padded = kept + 3 & ~3
    own = options(body[20 + padded :])
    name = recording.interfaces[number]["name"]
    (flags,) = struct.unpack("=I", own[2][0])
    data = body[20 : 20 + kept]
    comment = own.get(1, [b""])[0].decode()
    recording.packets.append(Packet(name, high << 32 | low, data, length, flags, comment))


def names(recording, body):
    while True:
        kind, length = struct.unpack_from("=HH", body)
        if kind == 0:
            assert body == bytes(4)
            return
        value = body[4 : 4 + length]
        size = {1: 4, 2: 16}[kind]
        known = value[size:].decode().split("\0")
        assert known.pop() == ""
        recording.names[str(ipaddress.ip_address(value[:size]))] = known
        body = body[4 + (length + 3 & ~3) :]


def secrets(recording, body):
    kind, length = struct.unpack_from("=II", body)
    assert kind == 0x544C534B
    recording.secrets += body[8 : 8 + length]


def statistics(recording, body):
    number, _, _ = struct.unpack_from("=III", body)
    own = options(body[12:])
    received, dropped, delivered = (struct.unpack("=Q", own[code][0])[0] for code in (4, 5, 8))
    assert delivered == received - dropped
    recording.statistics[recording.interfaces[number]["name"]] = received, dropped


BLOCKS = {1: interface, 4: names, 5: statistics, 6: packet, 10: secrets}
