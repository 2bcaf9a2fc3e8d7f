"""A unix stream that carries messages and descriptors: the shell around `protocol`."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Sequence

from actors.linux import (
    MOST_DESCRIPTORS,
    close_all,
    receive_with_descriptors,
    send_with_descriptors,
)
from actors.protocol import Decoder, Message, Plain, packet

_AT_ONCE = 1 << 18
"""Bytes that are read in one go."""


class Closed(ConnectionError):
    """The other end is gone, or cannot be understood any more."""


class Channel:
    """One end of a unix stream socket. Not for several threads at once.

    Whoever waits can be interrupted (Ctrl-C), and use the channel again. An interruption in the
    moment when bytes are moved tears a message apart; the channel then counts as closed.
    """

    def __init__(self, stream: socket.socket) -> None:
        stream.settimeout(None)  # whatever `socket.setdefaulttimeout` says
        self._stream = stream
        self._decoder = Decoder()
        self._ready: deque[tuple[dict[str, Plain], list[int]]] = deque()
        self._torn = False
        self._readable = select.poll()
        self._readable.register(stream, select.POLLIN)

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Two ends that are connected with each other."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return Channel(here), Channel(there)

    @staticmethod
    def of(descriptor: int) -> Channel:
        """The channel that an inherited or received descriptor is an end of."""
        return Channel(socket.socket(fileno=descriptor))

    @property
    def torn(self) -> bool:
        """Whether an interruption has torn a message apart."""
        return self._torn

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._stream.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, with descriptors; they stay open here.

        Raises:
            Closed: the other end is gone.
            ValueError: too large a message, or too many descriptors.
        """
        if len(descriptors) > MOST_DESCRIPTORS:
            raise ValueError(f"{len(descriptors)} descriptors; at most {MOST_DESCRIPTORS}")
        rest = memoryview(packet(message, len(descriptors)))
        self._begin()
        try:
            sent = send_with_descriptors(self._stream, [rest], descriptors)
            if sent < len(rest):
                self._stream.sendall(rest[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            self._torn = False
            raise Closed("the other process closed the connection") from error
        self._torn = False

    def receive(self) -> tuple[dict[str, Plain], list[int]]:
        """Wait for a message; the descriptors that come with it are the caller's to close.

        Raises:
            Closed: the other end is gone.
            OSError: descriptors were lost, as this process may not open more.
            ValueError: the other end speaks something else.
        """
        while not self._ready:
            self._check_whole()
            self._readable.poll()
            self._fill()
        return self._ready.popleft()

    def waiting(self) -> list[tuple[dict[str, Plain], list[int]]]:
        """Read once, without waiting, and return the messages that are complete now.

        Raises:
            Closed: the other end is gone and every message was returned before.
            OSError, ValueError: as `receive`.
        """
        if not self._ready:
            self._fill()
        messages = list(self._ready)
        self._ready.clear()
        return messages

    def _fill(self) -> None:
        self._begin()
        try:
            data, descriptors = receive_with_descriptors(
                self._stream, _AT_ONCE, socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            self._torn = False
            return
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            self._torn = False
            raise Closed("the other process closed the connection")
        self._decoder.feed(data, descriptors)
        self._ready.extend(self._decoder.messages())
        self._torn = False

    def _begin(self) -> None:
        """From here on an exception leaves a message torn, until that is taken back."""
        self._check_whole()
        self._torn = True

    def _check_whole(self) -> None:
        if self._stream.fileno() < 0:
            raise Closed("this process closed the connection")
        if self._torn:
            raise Closed("this process was interrupted in the middle of a message")

    def end(self) -> None:
        """Close it for the other end too, even if forks of this process still have it open."""
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            self.close()  # closed already, here or there
        else:
            self.close()

    def close(self) -> None:
        """Close it; closing it again does nothing."""
        close_all(self._decoder.leftover())
        while self._ready:
            close_all(self._ready.popleft()[1])
        self._stream.close()
