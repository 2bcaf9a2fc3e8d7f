"""Slots: the times at which a link lets packets go, and how many."""

from __future__ import annotations

from random import Random

from patchbay.links.packets.delay import MILLISECOND
from patchbay.values import Slots


class SlotClock:
    """The slots of one link.

    As in netem: a slot is used by all packets that wait when it opens, as far as they fit. The
    time to the next one begins when a slot is used up, or when a packet comes after it.
    """

    def __init__(self, slots: Slots, random: Random) -> None:
        self._slots = slots
        self._random = random
        self._opens: int | None = None
        self._packets = 0
        self._size = 0

    def opening(self, time: int) -> int:
        """When a packet that is ready at a time, and is the first of those that wait, may go."""
        if self._opens is None or self._opens < time:
            self._begin(time)
        assert self._opens is not None, "a slot has begun"
        return self._opens

    def use(self, time: int, size: int) -> None:
        """Let a packet of a size go, at a time that `opening` has told."""
        self._packets += 1
        self._size += size
        most, most_bytes = self._slots.max_packets, self._slots.max_bytes
        if (most is not None and self._packets >= most) or (
            most_bytes is not None and self._size >= most_bytes
        ):
            self._begin(time)

    def _begin(self, time: int) -> None:
        least = self._slots.interval_ms
        most = self._slots.interval_max_ms
        interval = least if most is None else self._random.uniform(least, most)
        self._opens = time + max(1, round(interval * MILLISECOND))
        self._packets = self._size = 0
