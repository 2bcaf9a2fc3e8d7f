"""Carries out drop lists: counts packets and flows, and looks at the time."""

from __future__ import annotations

from collections import Counter

from patchbay.links.packets.delay import MILLISECOND
from patchbay.links.packets.frame import Frame
from patchbay.links.packets.headers import is_signalling, matches, parse
from patchbay.links.packets.verdicts import NOTHING
from patchbay.values import DropList


class Drops:
    """The drop list of a path, and how far it has come.

    Its times begin with `begin`, or with the first packet that it is asked about.

    Attributes:
        reason: the number of the last packet that was lost, in the list or in its flow, whichever
            is why; zeros if that was its time.
    """

    def __init__(self) -> None:
        """Begin with no list: nothing is lost."""
        self._list: DropList | None = None
        self._numbers: frozenset[int] = frozenset()
        self._flow_numbers: frozenset[int] = frozenset()
        self._count = 0
        self._flows: Counter[bytes] = Counter()
        self._began: int | None = None
        self.reason = NOTHING

    @property
    def empty(self) -> bool:
        """Whether there is no list."""
        return self._list is None

    def change(self, to: DropList | None) -> None:
        """Have a list, counting from 1; one that is the same goes on where it is."""
        if to != self._list:
            self._list, self._began = to, None
            self._numbers = frozenset() if to is None else frozenset(to.packets)
            self._flow_numbers = frozenset() if to is None else frozenset(to.flow_packets)
            self._count = 0
            self._flows.clear()

    def begin(self, now: int) -> None:
        """Let the times of the list begin now, in nanoseconds, if they have not begun."""
        if self._began is None:
            self._began = now

    def takes(self, now: int, frame: Frame) -> bool:
        """Whether a packet is lost; it counts from now on."""
        drops = self._list
        if drops is None:
            return False
        self.begin(now)
        headers = parse(frame)
        if drops.match is not None and not matches(drops.match, headers):
            return False
        lost = self._is_between(drops, now)
        if lost:
            self.reason = NOTHING
        if headers is None or (drops.match is None and is_signalling(frame)):
            return lost
        self._count += 1
        if self._count in self._numbers:
            self.reason, lost = (self._count, 0), True
        if self._flow_numbers:
            self._flows[headers.flow] += 1
            number = self._flows[headers.flow]
            if number in self._flow_numbers:
                self.reason, lost = (0, number), True
        return lost

    def _is_between(self, drops: DropList, now: int) -> bool:
        if not drops.between_ms or self._began is None:
            return False
        passed = (now - self._began) / MILLISECOND
        return any(first <= passed < last for first, last in drops.between_ms)
