"""What is written while the next packets are read: a thread, so that a slow disk loses no packet."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence

_AT_ONCE = 512
"""Buffers for one system call; the kernel takes 1,024 (IOV_MAX)."""


class Writer:
    """Writes to a descriptor, in order; it takes what it is given at once.

    Attributes:
        error: why nothing more is written; None as long as all is well.
    """

    def __init__(self, descriptor: int, wake: Callable[[], None], most: int) -> None:
        """Start.

        Args:
            descriptor: where to; a file, a pipe, a socket, a terminal.
            wake: called from another thread when there is room again, or after an error.
            most: bytes that wait at most before `full` is true.
        """
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._wake = wake
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._backlog = 0
        self._written = 0
        self._finished = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="writer")
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether more waits than should: packets had better stay where they are."""
        return self._backlog > self._most

    def put(self, blocks: Sequence[bytes]) -> None:
        """Have blocks written after those before them."""
        with self._changed:
            if self.error is None:
                self._waiting.extend(blocks)
                self._backlog += sum(map(len, blocks))
                self._changed.notify()

    def finish(self, patience: float) -> None:
        """Wait until all is written, or nothing can be; `error` says so then.

        Args:
            patience: seconds without any progress after which it is given up.
        """
        with self._changed:
            self._finished = True
            self._changed.notify()
        before = -1
        while self._thread.is_alive() and before != self._written:
            before = self._written
            self._thread.join(patience)
        if self._thread.is_alive():
            self.error = TimeoutError(f"nobody takes what is written, for {patience:g} s")

    def _run(self) -> None:
        try:
            while blocks := self._next():
                self._write(blocks)
        except OSError as error:
            with self._changed:
                self.error = error
                self._waiting.clear()
                self._backlog = 0
            self._wake()

    def _next(self) -> list[bytes]:
        """What to write next; nothing at the end."""
        with self._changed:
            while not (self._waiting or self._finished):
                self._changed.wait()
            count = min(_AT_ONCE, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, blocks: list[bytes]) -> None:
        rest: list[bytes | memoryview] = [*blocks]
        while rest:
            try:
                done = os.writev(self._descriptor, rest)
            except BlockingIOError:  # somebody made it so: it may be shared
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
                continue
            was_full = self.full
            with self._changed:
                self._backlog -= done
                self._written += done
            if was_full and not self.full:
                self._wake()
            while rest and done >= len(rest[0]):
                done -= len(rest.pop(0))
            if rest and done:
                rest[0] = memoryview(rest[0])[done:]
