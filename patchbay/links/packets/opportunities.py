"""The delivery opportunities of one link: when the next one comes, and what it delivers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from copy import copy
from math import ceil

from patchbay.links.packets.delay import MILLISECOND
from patchbay.links.packets.frame import Frame
from patchbay.links.packets.queues import Queue
from patchbay.links.packets.waits import wait_class
from patchbay.values import DeliveryOpportunities
from patchbay.values.opportunities import OPPORTUNITY_BYTES, PACKET_OVERHEAD


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
        return self.after(0)

    def after(self, count: int) -> int:
        """When one comes that has so many before it."""
        passes, number = divmod(self._passed + count, len(self._times))
        return (self._began or 0) + passes * self._length + self._times[number]

    def use(self) -> None:
        """Let the next one pass."""
        self._passed += 1

    def twin(self) -> OpportunityClock:
        """Another one that goes on from here by itself."""
        return copy(self)


class Deliveries:
    """What opportunities deliver of the packets in a queue.

    Attributes:
        clock: when they come.
        in_transit: the packet of which a part was delivered.
    """

    def __init__(self, opportunities: DeliveryOpportunities) -> None:
        self.clock = OpportunityClock(opportunities)
        self.in_transit: Frame | None = None
        self._bytes_left = 0

    def go_on_from(self, before: Deliveries) -> None:
        """Deliver the rest of a packet that others have begun with."""
        self.in_transit, self._bytes_left = before.in_transit, before._bytes_left
        before.in_transit = None

    def waits(self, queue: Queue) -> bool:
        """Whether anything waits for an opportunity."""
        return self.in_transit is not None or len(queue) > 0

    def next(self, queue: Queue) -> int | None:
        """When the next opportunity comes that delivers anything; None if nothing waits."""
        return self.clock.next if self.waits(queue) else None

    def deliver(self, queue: Queue, overhead: int, waited: Counter[int], sent: list[Frame]) -> int:
        """Use the next opportunity, as `rationalize` of Mahimahi's mm-link does.

        Args:
            queue: what waits.
            overhead: bytes that each packet costs beyond its own.
            waited: packets, by the class of the time that they have waited.
            sent: gets those that have left.

        Returns:
            When that was.
        """
        time, left = self.clock.next, OPPORTUNITY_BYTES
        self.clock.use()
        while left > 0:
            frame = self.in_transit
            if frame is None:
                self.in_transit = frame = queue.pop(time)
                if frame is None:
                    break
                waited[wait_class(time - frame.since)] += 1
                self._bytes_left = max(1, frame.size + PACKET_OVERHEAD + overhead)
            used = min(left, self._bytes_left)
            left -= used
            self._bytes_left -= used
            if self._bytes_left == 0:
                self.in_transit = None
                frame.due = time
                sent.append(frame)
        return time

    def backlog(self, queue: Queue, overhead: int, now: int) -> int:
        """Nanoseconds until all is delivered that waits."""
        if not self.waits(queue):
            return 0
        size = queue.size + (PACKET_OVERHEAD + overhead) * len(queue)
        if self.in_transit is not None:
            size += self._bytes_left
        return max(0, self.clock.after(ceil(size / OPPORTUNITY_BYTES) - 1) - now)
