"""Controlled delay: when a queue has stood too long, its head is dropped or marked (RFC 8289)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import sqrt

from patchbay.links.packets.frame import Frame

TARGET = 5_000_000
"""Nanoseconds that packets may wait all the time (RFC 8289, 4.4)."""
INTERVAL = 100_000_000
"""Nanoseconds after which waiting longer than the target is too long (RFC 8289, 4.3)."""
FRAME = 1514
"""Bytes of a full frame: a queue with no more than that is none (RFC 8289, 4.4)."""
_SOON = 16
"""Intervals within which the next time of dropping goes on from the last one (RFC 8289, 5.5)."""


class CoDel:
    """A first-in, first-out queue under controlled delay.

    The algorithm is that of RFC 8289, section 5, with its names.

    Attributes:
        packets: those that wait, the oldest first.
        size: bytes that wait.
    """

    def __init__(self, discard: Callable[[Frame], bool]) -> None:
        """Begin empty.

        Args:
            discard: takes a packet that has waited too long; True if it was marked and goes on,
                False if it was dropped.
        """
        self.packets: deque[Frame] = deque()
        self.size = 0
        self._discard = discard
        self._first_above_time = 0
        self._drop_next = 0
        self._count = 0
        self._last_count = 0
        self._dropping = False

    def __len__(self) -> int:
        return len(self.packets)

    def append(self, frame: Frame) -> None:
        """Let a packet wait; its `since` says from when on."""
        self.packets.append(frame)
        self.size += frame.size

    def pop(self, now: int) -> Frame | None:
        """The packet that leaves now; None if there is none, as all had waited too long."""
        frame, ok_to_drop = self._do_dequeue(now)
        if self._dropping:
            if not ok_to_drop:
                self._dropping = False
            while frame is not None and self._dropping and now >= self._drop_next:
                self._count += 1
                if self._discard(frame):
                    self._drop_next = self._control_law(self._drop_next)
                    break
                frame, ok_to_drop = self._do_dequeue(now)
                if ok_to_drop:
                    self._drop_next = self._control_law(self._drop_next)
                else:
                    self._dropping = False
        elif frame is not None and ok_to_drop:
            if not self._discard(frame):
                frame, _ = self._do_dequeue(now)
            self._dropping = True
            # Near the last cycle of dropping, its rate is where to go on from.
            delta = self._count - self._last_count
            self._count = 1
            if delta > 1 and now - self._drop_next < _SOON * INTERVAL:
                self._count = delta
            self._drop_next = self._control_law(now)
            self._last_count = self._count
        return frame

    def _do_dequeue(self, now: int) -> tuple[Frame | None, bool]:
        if not self.packets:
            self._first_above_time = 0
            return None, False
        frame = self.packets.popleft()
        self.size -= frame.size
        if now - frame.since < TARGET or self.size <= FRAME:
            self._first_above_time = 0
            return frame, False
        if self._first_above_time == 0:
            self._first_above_time = now + INTERVAL
            return frame, False
        return frame, now >= self._first_above_time

    def _control_law(self, time: int) -> int:
        return time + round(INTERVAL / sqrt(self._count))
