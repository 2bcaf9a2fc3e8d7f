"""Frames to send through a pipeline, and what is asked of those that come out."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from patchbay.links.packets.checksum import ones_complement_sum
from patchbay.links.packets.frame import HEADER, Frame, Heap
from patchbay.links.packets.pipeline import Pipeline
from patchbay.links.spec import LinkSpec
from patchbay.values import LinkCondition

MS = 1_000_000
HEAP = Heap()


def numbered(number: int, size: int = 100) -> Frame:
    """A frame that is no IP packet, with a number in it."""
    return HEAP.frame(bytes(12) + b"\x88\xb5" + struct.pack("!I", number) + bytes(size - 18))


def number(frame: Frame) -> int:
    return struct.unpack_from("!I", frame.data, 14)[0]


def link(condition: LinkCondition, flows=(), name="laptop/eth0 up", seed=1) -> Pipeline:
    return Pipeline(LinkSpec(name=name, seed=seed, condition=condition, flows=tuple(flows)))


def flush(pipeline: Pipeline, until: int | None = None) -> list[tuple[int, Frame]]:
    """Let everything happen, each event at its time; what left, with the times."""
    left = []
    while (deadline := pipeline.next_deadline()) is not None:
        if until is not None and deadline > until:
            break
        left += [(deadline, frame) for frame in pipeline.due(deadline)]
    return left


def survivors(condition: LinkCondition, count: int, *, gap: int = MS, **options) -> list[int]:
    """The numbers of the packets that arrive, of a row of them."""
    pipeline = link(condition, **options)
    for each in range(count):
        pipeline.offer(each * gap, numbered(each))
    return [number(frame) for _, frame in flush(pipeline)]


def ip_packet(
    source="10.0.0.1",
    destination="10.0.0.2",
    *,
    protocol=17,
    ports=(1000, 2000),
    payload=b"some payload",
    traffic_class=0,
    partial=False,
) -> Frame:
    """A whole IP packet with right checksums; with `partial`, the last one is left to the kernel."""
    ends = ip_address(source).packed, ip_address(destination).packed
    if protocol == 17:
        length = 8 + len(payload)
        transport = struct.pack("!HHHH", *ports, length, 0) + payload
        field = 6
    elif protocol == 6:
        transport = struct.pack("!HHIIBBHHH", *ports, 1, 2, 0x50, 0x10, 1000, 0, 0) + payload
        field = 16
    else:
        transport, field = payload, None
    pseudo = b"".join(ends) + struct.pack("!II", len(transport), protocol)
    start = 14 + (20 if len(ends[0]) == 4 else 40)
    header = bytes(HEADER)
    if field is not None:
        covered = pseudo if partial else pseudo + transport
        value = ones_complement_sum(covered)
        if not partial:
            value = ~value & 0xFFFF
        transport = transport[:field] + struct.pack("!H", value) + transport[field + 2 :]
        if partial:
            header = struct.pack("=BBHHHH", 1, 0, 0, 0, start, field)
    if len(ends[0]) == 4:
        words = struct.pack(
            "!BBHHHBBH", 0x45, traffic_class, 20 + len(transport), 7, 0x4000, 64, protocol, 0
        )
        checksum = ~ones_complement_sum(words + b"".join(ends)) & 0xFFFF
        network = words[:10] + struct.pack("!H", checksum) + b"".join(ends)
        ethertype = b"\x08\x00"
    else:
        first = 6 << 28 | traffic_class << 20
        network = struct.pack("!IHBB", first, len(transport), protocol, 64) + b"".join(ends)
        ethertype = b"\x86\xdd"
    return HEAP.frame(bytes(12) + ethertype + network + transport, header)


def is_right(frame: Frame) -> bool:
    """Whether the checksums of an IP packet are right, computed without the code under test."""
    data = bytes(frame.data)
    if data[12:14] == b"\x08\x00":
        if _sum(data[14:34]) != 0xFFFF:
            return False
        ends, protocol, transport = data[26:34], data[23], data[34:]
    else:
        ends, protocol, transport = data[22:54], data[20], data[54:]
    return _sum(ends + struct.pack("!II", len(transport), protocol) + transport) == 0xFFFF


def _sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for index in range(0, len(data), 2):
        total += int.from_bytes(data[index : index + 2].ljust(2, b"\0"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def signals() -> list[Frame]:
    """What hosts send on their own about a link, one of each kind, some with a VLAN tag."""
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    mld = ip_packet(
        "fe80::1", "ff02::16", protocol=0, payload=b"\x3a\0\x05\x02\0\0\1\0\x8f" + bytes(19)
    )
    neighbours = [
        ip_packet("fe80::1", "fe80::2", protocol=58, payload=bytes((kind,)) + bytes(23))
        for kind in (133, 134, 135, 136, 137)
    ]
    igmp = ip_packet("10.0.0.1", "224.0.0.22", protocol=2, payload=b"\x22" + bytes(7))
    plain = [HEAP.frame(arp), igmp, mld, *neighbours]
    tagged = [
        HEAP.frame(bytes(frame.data[:12]) + b"\x81\0\0\7" + bytes(frame.data[12:]))
        for frame in plain
    ]
    return plain + tagged
