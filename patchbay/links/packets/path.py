"""What one condition does to packets, as a function of time: the way in, the delay, the queue.

Sans I/O: packets and times come in, packets come out, and nothing here knows a clock. Everything
happens at the time when it would in a real link, however late somebody asks for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random

from patchbay.links.packets.checksum import flip_bit
from patchbay.links.packets.counters import Counters
from patchbay.links.packets.delay import MILLISECOND
from patchbay.links.packets.dice import Dice
from patchbay.links.packets.drops import Drops
from patchbay.links.packets.frame import Frame, Pool
from patchbay.links.packets.gate import Gate
from patchbay.links.packets.headers import ip_length, is_signalling
from patchbay.links.packets.opportunities import Deliveries
from patchbay.links.packets.queues import NO_LIMIT, queue_of
from patchbay.links.packets.randomness import Streams
from patchbay.links.packets.slots import SlotClock
from patchbay.links.packets.verdicts import (
    ADDED,
    CHANGED,
    CONGESTED,
    CORRUPTED,
    DUPLICATE,
    NOTHING,
    REORDERED,
    Detail,
    Witness,
)
from patchbay.links.packets.waits import wait_class
from patchbay.values import LinkCondition

_NANOSECONDS_PER_BYTE = 8_000_000
"""Of a link of one kilobit per second."""


class Path:
    """The way that packets of one condition go."""

    def __init__(
        self,
        condition: LinkCondition,
        streams: Streams,
        pool: Pool,
        counters: Counters,
        drops: Drops,
        *,
        closed: bool = False,
    ) -> None:
        """Begin with no packet on the way.

        Args:
            condition: what packets meet.
            streams: where random choices come from.
            pool: where lost frames go back to.
            counters: what is counted.
            drops: carries out drop lists.
            closed: whether packets, once they have taken their delay, wait until `open` is
                called: then there are others on other paths that they must not overtake.
        """
        self._closed = closed
        self._streams = streams
        self._pool = pool
        self._counters = counters
        self._drops = drops
        self._line: deque[Frame] = deque()
        """Packets on their way, in the order in which they arrive."""
        self._overtaking: list[tuple[int, int, Frame]] = []
        """A heap of packets on their way that may overtake others."""
        self._numbers = count()
        self._latest = 0
        """When the last packet of the line arrives."""
        self._sending: Frame | None = None
        """The packet whose bits are on the wire; it is `due` with the last one."""
        self._fraction = 0.0
        """Of a nanosecond, that rounding has left over."""
        self._wire_free = 0
        """When the last bit of the last packet left."""
        self._deliveries: Deliveries | None = None
        """The delivery opportunities, where there are such in place of a rate."""
        self._advanced = 0
        """Until when everything has happened."""
        self.gate: Gate | None = None
        """Who asks the condition's program; it hands packets on by `admit`."""
        self.witness: Witness | None = None
        """Who is told of packets that are lost, if anybody is."""
        self._take_on(condition)

    def _take_on(self, condition: LinkCondition) -> None:
        stream = self._streams.stream
        self._condition = condition
        self._drops.change(condition.drops)
        self._latency = round(condition.latency_ms * MILLISECOND)
        self._dice = Dice(condition, self._streams)
        self._signal_dice: Dice | None = None
        slots = condition.slots
        self._slots = None if slots is None else SlotClock(slots, stream("slots"))
        self._byte_time = (
            None if condition.rate_kbit is None else _NANOSECONDS_PER_BYTE / condition.rate_kbit
        )
        opportunities = condition.opportunities
        if opportunities is None:
            self._deliveries = None
        elif self._deliveries is None or self._deliveries.clock.opportunities != opportunities:
            self._deliveries = Deliveries(opportunities)
        self._queue = queue_of(condition, stream("flows"), self._drop, self._mark)
        self._plain = (
            self._dice.none
            and self._drops.empty
            and condition.program is None
            and condition.mtu is None
        )

    def change(self, condition: LinkCondition) -> None:
        """Have what comes from now on meet another condition.

        What is on its way arrives as it would have, and nothing overtakes it that the new
        condition does not let overtake. What waits in the queue goes at the new rate.
        """
        if condition == self._condition:
            return
        waiting, deliveries = self._queue.waiting(), self._deliveries
        self._latest = max((self._latest, *(due for due, _, _ in self._overtaking)))
        self._take_on(condition)
        limit, self._queue.limit = self._queue.limit, NO_LIMIT
        for frame in waiting:
            self._queue.append(frame)
        self._queue.limit = limit
        if deliveries is not None and deliveries is not self._deliveries:
            self._go_on_from(deliveries)

    def _go_on_from(self, before: Deliveries) -> None:
        """Let what has waited for other opportunities go on as the new condition has it."""
        if self._deliveries is not None:
            self._deliveries.go_on_from(before)
            if self._waits:
                self._deliveries.clock.pass_by(self._advanced)
        elif self._sending is None:
            frame = before.in_transit or self._queue.pop(self._advanced)
            if frame is not None:
                self._send(max(self._advanced, self._wire_free), frame)

    def begin(self, now: int) -> None:
        """Let times begin now that count from the setting of a condition, if they have not."""
        if self._deliveries is not None:
            self._deliveries.clock.begin(now)

    def go_on_from(self, before: Path) -> None:
        """Have the same delivery opportunities as the path before, if there are such on both."""
        new, old = self._deliveries, before._deliveries
        if new is None or old is None:
            return
        if new.clock.opportunities == old.clock.opportunities:
            new.clock = old.clock.twin()

    def open(self, now: int) -> None:
        """Let packets go on that waited for others; none of them arrives before now."""
        self._closed = False
        self._latest = max(now, self._latest)
        for frame in self._line:
            frame.due = max(now, frame.due)
        # what is raised to the same time stays in order, by the numbers
        self._overtaking = [
            (max(now, due), number, frame) for due, number, frame in self._overtaking
        ]
        heapify(self._overtaking)

    @property
    def condition(self) -> LinkCondition:
        """What packets meet."""
        return self._condition

    @property
    def empty(self) -> bool:
        """Whether no packet is on its way."""
        if self.gate is not None and self.gate.held:
            return False
        return not (self._line or self._overtaking or self._sending or self._waits)

    @property
    def _waits(self) -> bool:
        """Whether a packet waits for a delivery opportunity, or for others to leave."""
        deliveries, queue = self._deliveries, self._queue
        return len(queue) > 0 if deliveries is None else deliveries.waits(queue)

    @property
    def queued(self) -> tuple[int, int]:
        """Packets and bytes that are on their way, or wait for the rate."""
        moving = [*self._line, *(frame for _, _, frame in self._overtaking)]
        if self._sending is not None:
            moving.append(self._sending)
        if self._deliveries is not None and self._deliveries.in_transit is not None:
            moving.append(self._deliveries.in_transit)
        if self.gate is not None:
            moving += self.gate.held
        size = sum(frame.size for frame in moving)
        return len(moving) + len(self._queue), size + self._queue.size

    def backlog(self, now: int) -> int | None:
        """Nanoseconds that it takes until all has left that waits for a rate; None without one."""
        if self._deliveries is not None and self._sending is None:
            return self._deliveries.backlog(self._queue, self._condition.overhead_bytes, now)
        if self._byte_time is None:
            return None
        waiting = self._queue.size + self._condition.overhead_bytes * len(self._queue)
        sending = 0 if self._sending is None else max(0, self._sending.due - now)
        return sending + round(waiting * self._byte_time)

    # -- the way in

    def offer_all(self, now: int, frames: Iterable[Frame]) -> None:
        """Take packets that were sent at a time."""
        if not self._plain:
            for frame in frames:
                self.offer(now, frame)
            return
        due = max(now + self._latency, self._latest)
        self._latest = due
        for frame in frames:
            frame.due = due
            self._line.append(frame)

    def offer(self, now: int, frame: Frame) -> None:
        """Take a packet that was sent at a time."""
        if self._drops.takes(now, frame):
            self._drop(frame, "list")
        elif self.gate is not None:
            self.gate.offer(now, frame)
        else:
            self.enter(now, frame)

    def admit(self, now: int, frame: Frame, outcomes: Sequence[tuple[int, bytes | None]]) -> None:
        """Let go on what a program has made of a packet that was sent at a time; see `Admit`."""
        if not outcomes:
            self._drop(frame, "program")
            return
        frames = [self._pool.copy(frame) for _ in outcomes[1:]]
        for each in frames:
            each.marks |= ADDED
        for each, (delay, data) in zip((frame, *frames), outcomes, strict=True):
            if data is not None:
                self._pool.refill(each, data)
                each.marks |= CHANGED
            self.enter(now, each, delay)

    def enter(self, now: int, frame: Frame, extra: int = 0) -> None:
        """Take a packet that neither a list nor a program has kept; it may have to take longer."""
        condition = self._condition
        if condition.mtu is not None and ip_length(frame) > condition.mtu:
            self._drop(frame, "mtu")
            return
        dice = self._dice if self._dice.none else self._dice_for(frame)
        if dice.loss is not None and dice.loss.next():
            self._drop(frame, "loss")
            return
        twin = None
        if dice.duplicate is not None and dice.duplicate():
            twin = self._pool.copy(frame)
            twin.marks |= DUPLICATE
            self._counters.duplicated += 1
        if dice.corrupt is not None and dice.corrupt():
            self._corrupt(frame, dice.bits)
        delay = self._latency if dice.delay is None else dice.delay()
        overtakes = condition.jitter_reorders or extra > 0
        if dice.reorder is not None and dice.reorder():
            delay, overtakes = 0, True
            frame.marks |= REORDERED
        self._set_out(now + delay + extra, frame, overtakes)
        if twin is not None:
            self._set_out(now + delay + extra, twin, overtakes)

    def _corrupt(self, frame: Frame, bits: Random) -> None:
        if flip_bit(frame, bits, valid_checksum=self._condition.corrupt_valid_checksum):
            self._counters.corrupted += 1
            frame.marks |= CORRUPTED

    def _dice_for(self, frame: Frame) -> Dice:
        """Those of all packets, or those of what hosts send on their own.

        When a host says something of its link is not in anybody's hands: what happens to a
        program's packets must not depend on it.
        """
        if not is_signalling(frame):
            return self._dice
        if self._signal_dice is None:
            self._signal_dice = Dice(self._condition, self._streams, "signalling")
        return self._signal_dice

    def _set_out(self, due: int, frame: Frame, overtakes: bool) -> None:
        if overtakes:
            frame.due = due
            heappush(self._overtaking, (due, next(self._numbers), frame))
            return
        frame.due = self._latest = max(due, self._latest)
        self._line.append(frame)

    def close(self) -> None:
        """End the program."""
        if self.gate is not None:
            self.gate.close()

    # -- the way out

    def next_event(self) -> int | None:
        """When something happens next; None if nothing will."""
        times = [] if self._sending is None else [self._sending.due]
        if self._deliveries is not None and (delivery := self._next_delivery()) is not None:
            times.append(delivery)
        if (arrival := self._next_arrival()) is not None:
            times.append(arrival)
        return min(times, default=None)

    def _next_delivery(self) -> int | None:
        """When the next opportunity comes to deliver what waits for one; None if nothing does."""
        if self._deliveries is None or self._sending is not None:
            return None
        return self._deliveries.next(self._queue)

    def _next_arrival(self) -> int | None:
        if self._closed:
            return None
        arrival: int | None = None
        if self._line:
            arrival = self._line[0].due
        if self._overtaking and (arrival is None or self._overtaking[0][0] < arrival):
            arrival = self._overtaking[0][0]
        if arrival is not None and self._slots is not None:
            arrival = self._slots.opening(arrival)
        return arrival

    def advance(self, now: int, sent: list[Frame]) -> None:
        """Let everything happen until a time; add what has left to a list, in order."""
        self._advanced = now
        if (
            self._byte_time is None
            and self._sending is None
            and self._slots is None
            and self._deliveries is None
        ):
            line = self._line
            while not (self._overtaking or self._closed) and line and line[0].due <= now:
                sent.append(line.popleft())
        while True:
            arrival = self._next_arrival()
            departure = self._next_delivery() if self._sending is None else self._sending.due
            if departure is not None and (arrival is None or departure <= arrival):
                if departure > now:
                    return
                self._depart(sent)
            elif arrival is None or arrival > now:
                return
            else:
                self._arrive(arrival, sent)

    def _arrive(self, time: int, sent: list[Frame]) -> None:
        frame = self._pop_arrived()
        if self._slots is not None:
            self._slots.use(time, frame.size)
        frame.since = time
        if self._sending is not None:
            self._queue.append(frame)
        elif self._deliveries is not None:
            if not self._waits:
                self._deliveries.clock.pass_by(time)
            self._queue.append(frame)
        elif self._byte_time is not None:
            # what a program decided late may come while the wire was still taken
            self._send(max(time, self._wire_free), frame)
        else:
            frame.due = time
            sent.append(frame)

    def _pop_arrived(self) -> Frame:
        if self._overtaking and (not self._line or self._overtaking[0][0] < self._line[0].due):
            return heappop(self._overtaking)[2]
        return self._line.popleft()

    def _depart(self, sent: list[Frame]) -> None:
        if self._sending is None and self._deliveries is not None:
            overhead, waited = self._condition.overhead_bytes, self._counters.waited
            self._wire_free = self._deliveries.deliver(self._queue, overhead, waited, sent)
        else:
            self._finish(sent)

    def _finish(self, sent: list[Frame]) -> None:
        """The last bit of the packet on the wire has left."""
        frame = self._sending
        assert frame is not None, "there is one"
        sent.append(frame)
        self._sending, self._wire_free = None, frame.due
        if self._deliveries is not None:
            self._deliveries.clock.pass_by(frame.due)
            return
        following = self._queue.pop(frame.due)
        if following is not None:
            self._send(frame.due, following)

    def _send(self, time: int, frame: Frame) -> None:
        """Let the first bit of a packet leave."""
        self._counters.waited[wait_class(time - frame.since)] += 1
        bits = (frame.size + self._condition.overhead_bytes) * (self._byte_time or 0.0)
        exact = bits + self._fraction
        whole = int(exact)
        self._fraction = exact - whole
        frame.due = time + whole
        self._sending = frame

    def _drop(self, frame: Frame, cause: str) -> None:
        self._counters.lost[cause] += 1
        if self.witness is not None:
            self.witness.lost(frame, cause, self._detail(frame, cause))
        self._pool.release(frame)

    def _detail(self, frame: Frame, cause: str) -> Detail:
        match cause:
            case "list":
                return self._drops.reason
            case "queue":
                return len(self._queue), self._queue.size
            case "mtu":
                return ip_length(frame), self._condition.mtu or 0
        return NOTHING

    def _mark(self, frame: Frame) -> None:
        frame.marks |= CONGESTED
        self._counters.marked += 1
