"""What processes say to each other: framing and message kinds, without any socket.

Two roads carry messages. Requests to an actor go over ZeroMQ, as frames: a header, then the
frames of a pickle (`pickling`). All that comes with descriptors goes over a unix stream, in
packets made here: a length, the number of descriptors, and a msgpack body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import TypeAlias

import msgpack

Plain: TypeAlias = (
    bool
    | int
    | float
    | str
    | bytes
    | list["Plain"]
    | tuple["Plain", ...]
    | dict[str, "Plain"]
    | None
)
"""Data that msgpack carries as it is."""

Message: TypeAlias = Mapping[str, Plain]


class Kind(IntEnum):
    """The first part of the header of every message between a client and an actor."""

    # from the client
    HELLO = 0
    """Send the log records that belong to no request here."""
    CALL = 1
    """Run a function: `pickling` frames of (function, arguments, keyword arguments)."""
    SPAWN = 2
    """Run a coroutine function on the event loop: the same frames."""
    CANCEL = 3
    """Interrupt the request with this number."""
    # from the actor
    VALUE = 10
    """The one result: `pickling` frames of the value."""
    ERROR = 11
    """The one result: `exceptions` frames."""
    CANCELLED = 12
    """The one result: the request was interrupted; a frame says where, as text."""
    LOG = 13
    """A log record, as `pickling` frames; it comes before the result of its request."""


def header(kind: Kind, request: int) -> bytes:
    """The beginning of a message."""
    return _HEADER.pack(kind, request)


def read_header(data: bytes | memoryview) -> tuple[Kind, int]:
    """The kind and the request's number that the beginning of a message says.

    Raises:
        ValueError: this is no header of ours.
    """
    try:
        kind, request = _HEADER.unpack(data)
    except struct.error as error:
        raise ValueError(f"not a header: {bytes(data[:16])!r}") from error
    return Kind(kind), request


_HEADER = struct.Struct(">BQ")

HEADER_SIZE = _HEADER.size
"""Bytes."""

_PACKET = struct.Struct(">IB")

LARGEST_PACKET = 256 * 1024 * 1024
"""Bytes; more than any plan or report needs: a longer one is a sign of a broken peer."""


def packet(message: Message, descriptors: int = 0) -> bytes:
    """The bytes of a message on a unix stream, and how many descriptors travel with it."""
    body: bytes = msgpack.packb(message)
    if len(body) > LARGEST_PACKET:
        raise ValueError(f"a message of {len(body)} bytes; at most {LARGEST_PACKET} can be sent")
    return _PACKET.pack(len(body), descriptors) + body


class Decoder:
    """Takes bytes and descriptors as they come, split anywhere, and gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._descriptors: list[int] = []

    def feed(self, data: bytes, descriptors: list[int]) -> None:
        """Take what was received."""
        self._buffer += data
        self._descriptors += descriptors

    def messages(self) -> Iterator[tuple[dict[str, Plain], list[int]]]:
        """The messages that are complete, each with its descriptors.

        Raises:
            ValueError: the peer speaks something else.
        """
        while len(self._buffer) >= _PACKET.size:
            length, count = _PACKET.unpack_from(self._buffer)
            if length > LARGEST_PACKET:
                raise ValueError(f"a packet of {length} bytes; at most {LARGEST_PACKET} can be")
            end = _PACKET.size + length
            if len(self._buffer) < end:
                return
            if len(self._descriptors) < count:
                raise ValueError(f"{count} descriptors announced, {len(self._descriptors)} came")
            body = bytes(self._buffer[_PACKET.size : end])
            del self._buffer[:end]
            mine, self._descriptors = self._descriptors[:count], self._descriptors[count:]
            message = msgpack.unpackb(body)
            if not isinstance(message, dict):
                raise ValueError(f"not a message: {body[:40]!r}")
            yield message, mine

    def leftover(self) -> list[int]:
        """Descriptors that came without a whole message: whoever gives up closes them."""
        rest, self._descriptors = self._descriptors, []
        return rest
