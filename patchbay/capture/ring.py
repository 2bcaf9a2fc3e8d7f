"""Packets of one interface from the kernel, without a copy and without a system call for each.

A packet socket with a ring of blocks that the kernel fills and this process reads (packet(7),
TPACKET_V3 of Documentation/networking/packet_mmap.rst). A block is handed over when it is full, or
a moment after its first packet. What finds no room in the ring is counted.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from patchbay.capture.bpf import RET, Instruction, packed
from patchbay.capture.pcapng import Direction, Reception

MOMENT = 20
"""Milliseconds that a packet waits in its block at most."""
BLOCK = 1 << 18
"""Bytes of a block: more than the largest packet, which segmentation offload makes of 64 KiB."""
MOST_BLOCKS, LEAST_BLOCKS = 128, 4
ROOM = 1 << 27
"""Bytes for all rings of a recording together, as far as each can have the least."""

_ETH_P_ALL = 3
_SOL_PACKET = 263
_RX_RING, _STATISTICS, _VERSION, _IGNORE_OUTGOING = 5, 6, 10, 23
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_FRAME = 1 << 11

_BLOCK_HEAD = struct.Struct("=8x3I")
"""Past version and offset of private data: status, number of packets, offset of the first."""
_PACKET_HEAD = struct.Struct("=6IH32xB")
"""Offset of the next packet, seconds, nanoseconds, bytes kept, bytes, status, offset of the data;
and of the address behind it, which begins at byte 48, the kind of packet."""
_FOR_USER = 1
_COUNTERS = struct.Struct("=3I")

_FLAGS = (
    Direction.INBOUND | Reception.UNICAST,
    Direction.INBOUND | Reception.BROADCAST,
    Direction.INBOUND | Reception.MULTICAST,
    Direction.INBOUND | Reception.PROMISCUOUS,
    Direction.OUTBOUND | Reception.UNKNOWN,
)
"""By kind of packet: PACKET_HOST, _BROADCAST, _MULTICAST, _OTHERHOST, _OUTGOING of packet(7)."""


def blocks_for(rings: int) -> int:
    """How many blocks each of so many rings has."""
    return max(LEAST_BLOCKS, min(MOST_BLOCKS, ROOM // BLOCK // max(1, rings)))


def open_ring(
    interface: str, program: tuple[Instruction, ...], blocks: int, *, loopback: bool
) -> socket.socket:
    """A socket whose ring fills from now on, in the network namespace that the process is in.

    Args:
        interface: its name.
        program: what is kept of each packet.
        blocks: of its ring.
        loopback: whether each packet comes in by it that goes out by it: it is kept once then.

    Raises:
        OSError: the kernel refused it; there may be no such interface any more.
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        sock.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        set_filter(sock, program)
        if loopback:
            sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        frames = BLOCK // _FRAME * blocks
        request = struct.pack("7I", BLOCK, blocks, _FRAME, frames, MOMENT, 0, 0)
        sock.setsockopt(_SOL_PACKET, _RX_RING, request)
        sock.bind((interface, _ETH_P_ALL))
    except BaseException:
        sock.close()
        raise
    return sock


def set_filter(sock: socket.socket, program: tuple[Instruction, ...]) -> None:
    """Have what comes to a ring from now on pass another program."""
    code = ctypes.create_string_buffer(packed(program))
    pointer = struct.pack("HP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


class Seen(NamedTuple):
    """A packet, as it lies in the ring."""

    moment: int
    """Nanoseconds since 1970, UTC."""
    flags: int
    data: memoryview
    """What was kept of it; good until the next packet is asked for."""
    length: int


class Ring:
    """The reader of a ring that `open_ring` made.

    Attributes:
        received: packets that the filter let through until `count` was called last.
        dropped: those of them that found no room.
        read: those of them that were read.
    """

    def __init__(self, sock: socket.socket, blocks: int) -> None:
        self._socket = sock
        self._blocks = blocks
        self._map = mmap.mmap(sock.fileno(), BLOCK * blocks)
        self._view = memoryview(self._map)
        self._next = 0
        self.received = self.dropped = self.read = 0

    def fileno(self) -> int:
        """The descriptor; readable when a block is full, in error when the interface is gone."""
        return self._socket.fileno()

    def packets(self) -> Iterator[Seen]:
        """The packets of the next block, in their order; none if the kernel has handed none over."""
        begin = self._next * BLOCK
        status, count, offset = _BLOCK_HEAD.unpack_from(self._view, begin)
        if not status & _FOR_USER:
            return
        head = _PACKET_HEAD.unpack_from
        view = self._view
        at = begin + offset
        for _ in range(count):
            step, seconds, nanoseconds, kept, length, _, start, kind = head(view, at)
            data = at + start
            yield Seen(
                seconds * 1_000_000_000 + nanoseconds,
                _FLAGS[kind],
                view[data : data + kept],
                length,
            )
            at += step
        self.read += count
        struct.pack_into("=I", view, begin + 12, 0)  # before it is the kernel's again
        struct.pack_into("=I", view, begin + 8, 0)
        self._next = (self._next + 1) % self._blocks

    @property
    def waiting_since(self) -> int | None:
        """The time of the first packet that was not read; None if there is none.

        Of one that the kernel is just putting into the ring it may be earlier.
        """
        begin = self._next * BLOCK
        _, count, offset = _BLOCK_HEAD.unpack_from(self._view, begin)
        if not count:
            return None
        _, seconds, nanoseconds, *_ = _PACKET_HEAD.unpack_from(self._view, begin + offset)
        return int(seconds * 1_000_000_000 + nanoseconds)

    def stop(self) -> None:
        """Let no further packet in; those that are in can be read."""
        set_filter(self._socket, (Instruction(RET, 0, 0, 0),))
        self.count()

    @property
    def drained(self) -> bool:
        """Whether all that had come in when `count` was called last was read, or lost."""
        return self.read >= self.received - self.dropped

    def count(self) -> None:
        """Bring the counters up to date."""
        counters = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTERS.size)
        received, dropped, _ = _COUNTERS.unpack(counters)  # since the last time
        self.received += received
        self.dropped += dropped

    def gone(self) -> bool:
        """Whether its interface was removed; whatever error the kernel has noted is cleared."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return not self._socket.getsockname()[0]

    def close(self) -> None:
        """Give the ring back."""
        self._view.release()
        self._map.close()
        self._socket.close()
