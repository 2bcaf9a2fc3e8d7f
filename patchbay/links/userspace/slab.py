"""The buffers of packets that are on their way: made in blocks, and used again and again."""

from __future__ import annotations

import contextlib
import ctypes
import mmap

from patchbay.links.packets.frame import Frame

_BLOCK = 256
"""Frames that are made at a time."""


class Slab:
    """A pool of frames of one capacity.

    Pages of memory that no packet has come to lie in cost nothing.

    Attributes:
        capacity: bytes of each buffer.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
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
        self._free.append(frame)

    def release_all(self, frames: list[Frame]) -> None:
        """Take frames back."""
        self._free += frames

    def copy(self, frame: Frame) -> Frame:
        """A frame of its own with the same bytes."""
        (twin,) = self.take(1)
        twin.buffer[:] = frame.buffer
        twin.size = frame.size
        return twin

    def _grow(self) -> None:
        block = mmap.mmap(-1, _BLOCK * self.capacity)
        with contextlib.suppress(OSError):  # a kernel without huge pages cannot be told
            block.madvise(mmap.MADV_NOHUGEPAGE)
        self._blocks.append(block)
        view = memoryview(block)
        first = ctypes.addressof(ctypes.c_char.from_buffer(block))
        for start in range(0, len(block), self.capacity):
            buffer = view[start : start + self.capacity]
            self._free.append(Frame(buffer, place=first + start))
