"""A limit on what is under way at once, first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Slots:
    """Counts what is under way; who finds no room waits. Usable from any thread."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def take(self, timeout: float | None = None) -> bool:
        """Take a slot, waiting for one at most so many seconds; say whether there was one."""
        with self._lock:
            if self._room:
                self._room -= 1
                return True
        turn = threading.Event()
        begin = turn.set
        if self.take_or_queue(begin):
            return True
        try:
            turn.wait(timeout)
        except BaseException:
            if not self._leave_queue(begin):
                self.give()
            raise
        return not self._leave_queue(begin)

    def take_or_queue(self, begin: Callable[[], None]) -> bool:
        """Take a slot if there is one; else have `begin` called with a slot taken for it.

        It is called in the thread that gives a slot back.
        """
        with self._lock:
            if self._room:
                self._room -= 1
                return True
            self._waiting.append(begin)
            return False

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            if not self._waiting:
                self._room += 1
                return
            begin = self._waiting.popleft()
        begin()

    def _leave_queue(self, begin: Callable[[], None]) -> bool:
        """Stop waiting; False if the slot is taken already."""
        with self._lock:
            if begin not in self._waiting:
                return False
            self._waiting.remove(begin)
            return True
