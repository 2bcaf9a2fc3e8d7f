"""The buffers of packets that are on their way: made in blocks, and used again and again."""

from __future__ import annotations

import contextlib
import ctypes
import mmap

from patchbay.links.packets.frame import HEADER, Frame
from patchbay.links.packets.segments import Segment

CAPACITY = 66_048
"""Bytes of a buffer: any frame fits, be its MTU what it may. Not a whole number of pages, so that
buffers do not compete for the same lines of the cache."""

_BLOCK = 256
"""Frames that are made at a time."""

_NO_RESERVE = 0x4000
"""MAP_NORESERVE"""


class Slab:
    """A pool of frames. Pages of memory that no packet has come to lie in cost nothing."""

    def __init__(self) -> None:
        self._free: list[Frame] = []
        self._blocks: list[mmap.mmap] = []

    def take(self, count: int) -> list[Frame]:
        """Frames to be filled, which belong to the caller until they are released."""
        while len(self._free) < count:
            self._grow()
        taken = self._free[-count:]
        del self._free[-count:]
        return taken

    def release(self, frame: Frame) -> None:
        """Take a frame back."""
        if isinstance(frame, Segment):
            frame.release()  # of what it was a part of
        else:
            self._free.append(frame)

    def release_all(self, frames: list[Frame]) -> None:
        """Take frames back that are no segments."""
        self._free += frames

    def blank(self, size: int) -> Frame:
        """A frame of so many bytes, with anything in them."""
        (frame,) = self.take(1)
        frame.size, frame.owner = size, None
        return frame

    def copy(self, frame: Frame) -> Frame:
        """A frame of its own with the same bytes."""
        twin = self.blank(frame.size)
        end = HEADER + frame.size
        twin.buffer[:end] = frame.buffer[:end]
        twin.owner, twin.came, twin.marks = frame.owner, frame.came, frame.marks
        return twin

    def refill(self, frame: Frame, data: bytes) -> None:
        """Give a frame other bytes, which must fit."""
        end = HEADER + len(data)
        frame.buffer[:HEADER] = bytes(HEADER)
        frame.buffer[HEADER:end] = data
        frame.size = len(data)

    def _grow(self) -> None:
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        block = mmap.mmap(-1, _BLOCK * CAPACITY, flags=private)
        with contextlib.suppress(OSError):  # a kernel without huge pages cannot be told
            block.madvise(mmap.MADV_NOHUGEPAGE)
        self._blocks.append(block)
        view = memoryview(block)
        first = ctypes.addressof(ctypes.c_char.from_buffer(block))
        for start in range(0, len(block), CAPACITY):
            buffer = view[start : start + CAPACITY]
            self._free.append(Frame(buffer, place=first + start))
