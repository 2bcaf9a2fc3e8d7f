"""The delivery opportunities of one link: which have passed, and when the next one comes."""

from __future__ import annotations

from bisect import bisect_right
from copy import copy

from patchbay.links.packets.delay import MILLISECOND
from patchbay.values import DeliveryOpportunities


class OpportunityClock:
    """Opportunities in the course of time; each is used once, by packets or by nobody.

    Its times begin with `begin`, or with the first one that it is asked about.
    """

    def __init__(self, opportunities: DeliveryOpportunities) -> None:
        self.opportunities = opportunities
        self._times = [each * MILLISECOND for each in opportunities.times_ms]
        self._length = self._times[-1]
        self._began: int | None = None
        self._passed = 0

    def begin(self, now: int) -> None:
        """Let the times begin now, in nanoseconds, if they have not begun."""
        if self._began is None:
            self._began = now

    def pass_by(self, time: int) -> None:
        """Let those pass that are not after a time."""
        self.begin(time)
        began = self._began or 0
        if time < began:
            return
        # The last one of a pass is at the time at which the next pass begins.
        passes, within = divmod(time - began, self._length)
        passed = passes * len(self._times) + bisect_right(self._times, within)
        self._passed = max(self._passed, passed)

    @property
    def next(self) -> int:
        """When the next one comes."""
        passes, number = divmod(self._passed, len(self._times))
        return (self._began or 0) + passes * self._length + self._times[number]

    def use(self) -> None:
        """Let the next one pass."""
        self._passed += 1

    def twin(self) -> OpportunityClock:
        """Another one that goes on from here by itself."""
        return copy(self)
