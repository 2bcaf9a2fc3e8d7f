"""A frame on its way through a link, and where its bytes are kept."""

from __future__ import annotations

import struct
from typing import Protocol

OFFERED = struct.Struct("=BBHHHH")
"""What the kernel says about a frame (`struct virtio_net_hdr`): flags, kind of segmentation, bytes
of headers, bytes of a segment, where its checksum's bytes begin, and where in these it is."""
NEEDS_CHECKSUM = 1
"""The flag of a frame whose checksum is left to the network card."""
HEADER = OFFERED.size
"""Bytes before each frame."""
ETHERNET = 14
"""Bytes of an Ethernet header: two addresses and the type."""


class Frame:
    """An Ethernet frame in a buffer that it owns until it is released.

    Attributes:
        buffer: the kernel's header (`HEADER` bytes) and then the frame; longer than both.
        size: bytes of the frame, its Ethernet header included.
        due: when it goes on, in nanoseconds of CLOCK_MONOTONIC.
        since: when it came to the queue that it waits in, or will.
        owner: whom it goes to, where one pipeline serves several.
        came: when it came to the link; known while the link is recorded.
        marks: what was done to it (see `verdicts`); likewise.
        place: what its pool knows it by.
    """

    __slots__ = ("buffer", "came", "due", "marks", "owner", "place", "since", "size")

    def __init__(self, buffer: memoryview, size: int = 0, place: int = 0) -> None:
        self.buffer = buffer
        self.size = size
        self.due = 0
        self.since = 0
        self.came = 0
        self.marks = 0
        self.owner: object = None
        self.place = place

    @property
    def data(self) -> memoryview:
        """The frame itself; writing to it changes the frame."""
        return self.buffer[HEADER : HEADER + self.size]

    @property
    def head(self) -> memoryview:
        """A buffer with the addresses, ports and traffic class of the frame; only to be read."""
        return self.buffer


class Pool(Protocol):
    """Where frames come from, and go back to."""

    def blank(self, size: int) -> Frame:
        """A frame of its own of so many bytes, with anything in them."""

    def copy(self, frame: Frame) -> Frame:
        """A frame of its own with the same bytes."""

    def release(self, frame: Frame) -> None:
        """Take a frame back that nobody needs any more."""

    def refill(self, frame: Frame, data: bytes) -> None:
        """Give a frame other bytes, with nothing left to do for hardware."""


class Heap:
    """A pool that leaves everything to Python's memory management."""

    def frame(self, data: bytes, header: bytes = bytes(HEADER)) -> Frame:
        """A frame of these bytes."""
        return Frame(memoryview(bytearray(header + data)), len(data))

    def blank(self, size: int) -> Frame:
        """A frame of zeros."""
        return self.frame(bytes(size))

    def copy(self, frame: Frame) -> Frame:
        """A frame of its own with the same bytes."""
        twin = self.frame(bytes(frame.data), bytes(frame.buffer[:HEADER]))
        twin.owner, twin.came, twin.marks = frame.owner, frame.came, frame.marks
        return twin

    def release(self, frame: Frame) -> None:
        """Nothing is to be done."""

    def refill(self, frame: Frame, data: bytes) -> None:
        """Give a frame other bytes."""
        frame.buffer, frame.size = memoryview(bytearray(HEADER) + data), len(data)
