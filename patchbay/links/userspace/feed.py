"""Packets with what became of them, from the process that makes link conditions to one that records.

A ring in memory that both have, written by the one and read by the other. How many bytes the writer
has added, and the reader has freed, goes by two counters of the kernel (eventfd(2)), which wake who
waits, and order what either does to the memory. A packet that finds no room is counted.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from patchbay.links.packets.verdicts import Detail

SIZE = 1 << 25
"""Bytes of the ring; those that nothing has come to lie in cost nothing."""
MOST = 1 << 17
"""Bytes of a packet that are kept at most: more than any has."""
_COUNTERS = 1 << 20
"""Bytes before it: how many packets of each stream were lost."""
_HEAD = struct.Struct("=IIIIQqqBB6x")
"""Bytes of the record, stream, bytes kept, bytes that the packet had, moment, details, verdict,
marks; one of no bytes says that the next one is at the beginning of the ring."""
_SIZE = struct.Struct("=I")


class Record(NamedTuple):
    """A packet on a link."""

    stream: int
    moment: int
    """Nanoseconds since 1970, UTC."""
    verdict: int
    marks: int
    detail: Detail
    data: memoryview
    """What was kept of it; good until the next one is asked for."""
    length: int


def make_feed() -> tuple[int, int, int]:
    """The descriptors of a new feed: its memory, and the counters of what was added and freed."""
    memory = os.memfd_create("link-feed", os.MFD_CLOEXEC)
    os.ftruncate(memory, _COUNTERS + SIZE)
    flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
    return memory, os.eventfd(0, flags), os.eventfd(0, flags)


class _End:
    """What both ends have."""

    def __init__(self, memory: int, added: int, freed: int) -> None:
        self._added, self._freed = added, freed
        self._map = mmap.mmap(memory, _COUNTERS + SIZE)
        os.close(memory)
        self._whole = memoryview(self._map)
        self._ring = self._whole[_COUNTERS:]
        self._lost = self._whole[:_COUNTERS].cast("Q")

    def close(self) -> None:
        """Give the memory and the counters back."""
        for view in (self._ring, self._lost, self._whole):
            view.release()
        self._map.close()
        os.close(self._added)
        os.close(self._freed)


class FeedWriter(_End):
    """The end that packets are added at."""

    def __init__(self, memory: int, added: int, freed: int) -> None:
        """Take descriptors of `make_feed` over."""
        super().__init__(memory, added, freed)
        self._at = 0
        self._room = SIZE
        self._pending = 0

    def add(
        self,
        stream: int,
        moment: int,
        verdict: int,
        marks: int,
        detail: Detail,
        data: memoryview,
        length: int,
    ) -> None:
        """Add a packet, or count it as lost; the reader knows of it once it is published."""
        kept = len(data)
        size = (_HEAD.size + kept + 7) & ~7
        left = SIZE - self._at
        needed = size if size <= left else size + left
        if needed > self._room and not self._has_room(needed):
            self._lost[stream] += 1
            return
        if size > left:
            _SIZE.pack_into(self._ring, self._at, 0)
            self._at = 0
        at = self._at
        _HEAD.pack_into(self._ring, at, size, stream, kept, length, moment, *detail, verdict, marks)
        self._ring[at + _HEAD.size : at + _HEAD.size + kept] = data
        self._at = (at + size) % SIZE
        self._room -= needed
        self._pending += needed

    def _has_room(self, needed: int) -> bool:
        try:
            self._room += os.eventfd_read(self._freed)
        except BlockingIOError:
            return False
        return needed <= self._room

    def publish(self) -> None:
        """Let the reader have what was added."""
        if self._pending:
            os.eventfd_write(self._added, self._pending)
            self._pending = 0


class FeedReader(_End):
    """The end that packets are read at."""

    def __init__(self, memory: int, added: int, freed: int) -> None:
        """Take descriptors of `make_feed` over."""
        super().__init__(memory, added, freed)
        self._at = 0
        self._known = 0

    def fileno(self) -> int:
        """Readable when something was added since it was looked at last."""
        return self._added

    def lost(self, stream: int) -> int:
        """How many packets of a stream found no room."""
        return self._lost[stream]

    def records(self, most: int) -> Iterator[Record]:
        """At most so many packets, in their order; none if there are none."""
        with contextlib.suppress(BlockingIOError):  # what is known may still be unread
            self._known += os.eventfd_read(self._added)
        freed = 0
        for _ in range(most):
            if not self._known:
                break
            if not _SIZE.unpack_from(self._ring, self._at)[0]:
                freed += SIZE - self._at
                self._known -= SIZE - self._at
                self._at = 0
            size, stream, kept, length, moment, first, second, verdict, marks = _HEAD.unpack_from(
                self._ring, self._at
            )
            data = self._at + _HEAD.size
            yield Record(
                stream,
                moment,
                verdict,
                marks,
                (first, second),
                self._ring[data : data + kept],
                length,
            )
            self._at = (self._at + size) % SIZE
            self._known -= size
            freed += size
        if freed:
            os.eventfd_write(self._freed, freed)
