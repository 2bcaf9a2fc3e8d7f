"""Where a recording goes: a descriptor for the process that records, whatever a person names."""

from __future__ import annotations

import io
import os
import socket
import threading
from typing import Protocol, TypeAlias


class Writable(Protocol):
    """A binary file object."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""


Destination: TypeAlias = str | os.PathLike[str] | int | socket.socket | Writable
"""A path, a descriptor, a socket, or a binary file object."""

_AT_ONCE = 1 << 20
_PLAIN = (io.BufferedWriter, io.BufferedRandom, io.FileIO)
"""What is written to the descriptor of these is what would be written to the object itself."""


class Output:
    """The descriptor that a recording is written to, and how what arrives gets on from there.

    Attributes:
        descriptor: to be passed on, and then closed by `passed`.
    """

    def __init__(self, destination: Destination) -> None:
        """Open it.

        Raises:
            OSError: it cannot be opened.
            TypeError: nothing can be recorded to such an object.
        """
        self._copier: threading.Thread | None = None
        self._error: BaseException | None = None
        self.descriptor = self._open(destination)

    def _open(self, destination: Destination) -> int:
        if isinstance(destination, (str, os.PathLike)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            return os.open(destination, flags, 0o666)
        if isinstance(destination, int):
            return os.dup(destination)
        if isinstance(destination, socket.socket):
            return os.dup(destination.fileno())
        anything: object = destination
        if isinstance(anything, _PLAIN) and isinstance(
            getattr(anything, "raw", anything), io.FileIO
        ):
            anything.flush()
            return os.dup(anything.fileno())
        if isinstance(anything, io.TextIOBase) or not hasattr(anything, "write"):
            raise TypeError(
                f"a capture goes to a path, a socket, a descriptor or a binary file object, "
                f"not to {destination!r}"
            )
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self._copier = threading.Thread(
            target=self._copy, args=[ours, destination], daemon=True, name="capture"
        )
        self._copier.start()
        return theirs

    def passed(self) -> None:
        """Close the descriptor: somebody else has it now, or nobody."""
        os.close(self.descriptor)

    def finish(self) -> None:
        """Wait until all that was written is where it should be; raise what its object raised."""
        if self._copier is not None:
            self._copier.join()
            if self._error is not None:
                raise self._error

    def _copy(self, source: int, destination: Writable) -> None:
        try:
            while data := os.read(source, _AT_ONCE):
                destination.write(data)
        except BaseException as error:
            self._error = error
        finally:
            os.close(source)
