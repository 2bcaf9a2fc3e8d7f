"""What host and guest tell each other, as bytes: no input or output here.

A frame is one letter, the length of what follows in four bytes (little-endian), and so many bytes.
The guest's end is data/init.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

INPUT = b"I"
END_OF_INPUT = b"E"
SIGNAL = b"S"
SIZE = b"W"
SPINS = b"P"
"""From the host: bytes of standard input, and its end; the number of a signal; the size of the
terminal, as the kernel's `struct winsize`; the number of a thread that never waits."""

OUTPUT = b"O"
ERRORS = b"X"
TAKEN = b"C"
FAILED = b"F"
DONE = b"D"
STUCK = b"L"
"""From the guest: bytes of standard output and of standard error; how many bytes more it can take;
why the command could not be started; its wait status; what every process does when none can go on,
as `waits` reads it."""

_HEADER = struct.Struct("<cI")
_NUMBER = struct.Struct("<I")

HEADER = _HEADER.size

MOST_CONTENT = 1024
"""Bytes in one frame from the host. It fits into PIPE_BUF with its header, so that a write is never
divided, and a signal handler may write a frame between any two."""


def frame(kind: bytes, data: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(kind, len(data)) + data


def number(data: bytes) -> int:
    """The number that a TAKEN or DONE frame carries."""
    return int(_NUMBER.unpack(data)[0])


class Frames:
    """Puts frames together from bytes that come divided anyhow."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take bytes; give the frames that are complete now, as kind and content."""
        self._bytes += data
        while len(self._bytes) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._bytes)
            end = _HEADER.size + length
            if len(self._bytes) < end:
                return
            content = bytes(self._bytes[_HEADER.size : end])
            del self._bytes[:end]
            yield kind, content
