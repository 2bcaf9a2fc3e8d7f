"""Reads fields of bytes in order, and knows where they end."""

from __future__ import annotations


class Truncated(Exception):
    """The bytes end before the field that was asked for."""


class Reader:
    """A place in some bytes, which moves on with every field that is read.

    Attributes:
        at: bytes before this place.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self._data) - self.at

    def take(self, size: int) -> bytes:
        """The next bytes, so many of them.

        Raises:
            Truncated: there are not so many.
        """
        if size > self.left:
            raise Truncated
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """A number of so many bytes, the highest one first.

        Raises:
            Truncated: there are not so many.
        """
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """Bytes after their count, which is a number of `size` bytes (RFC 8446, 3.4).

        Raises:
            Truncated: there are not so many.
        """
        return self.take(self.number(size))

    def variable(self) -> int:
        """A number of variable length (RFC 9000, 16).

        Raises:
            Truncated: it is not whole.
        """
        first = self.number(1)
        rest = (1 << (first >> 6)) - 1
        return (first & 0x3F) << 8 * rest | self.number(rest)
