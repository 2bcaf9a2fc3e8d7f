"""Queues in front of a link with a rate: which packets wait, which leave next, which are lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol
from zlib import crc32

from patchbay.links.packets.codel import FRAME, CoDel
from patchbay.links.packets.frame import Frame
from patchbay.links.packets.headers import mark_congestion, parse
from patchbay.values import LinkCondition, QueueDiscipline

FLOWS = 1024
"""Queues of FQ-CoDel (RFC 8290, 5.2.3)."""

QUANTUM = FRAME
"""Bytes that a flow may send before it is another's turn (RFC 8290, 5.2.4)."""

_LEAST_PACKETS = 10
"""Full frames that a queue without a size given holds at least, however short the link."""

_LEAST_TIME = 20
"""Milliseconds of its rate that a queue without a size given holds at least."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What fits into a queue; None for any number.

    Attributes:
        packets: number of packets.
        size: bytes, of Ethernet frames.
    """

    packets: int | None
    size: int | None

    @classmethod
    def of(cls, condition: LinkCondition) -> Limit:
        """The limit of a condition: as given, or the product of bandwidth and round trip.

        One with delivery opportunities has none of its own, as `mm-link` has none.
        """
        if condition.queue_pkts is not None:
            return cls(condition.queue_pkts, None)
        if condition.queue_bytes is not None:
            return cls(None, condition.queue_bytes)
        rate, opportunities = condition.rate_kbit, condition.opportunities
        if opportunities is not None and condition.queue_ms is not None:
            rate = opportunities.mean_kbit
        if rate is None:
            return cls(None, None)
        if condition.queue_ms is not None:
            return cls(None, max(FRAME, round(rate * condition.queue_ms / 8)))
        time = max(2 * condition.latency_ms, _LEAST_TIME)
        return cls(None, max(_LEAST_PACKETS * FRAME, round(rate * time / 8)))

    def admits(self, packets: int, size: int) -> bool:
        """Whether a queue of so many packets and bytes is within it."""
        return (self.packets is None or packets <= self.packets) and (
            self.size is None or size <= self.size
        )


NO_LIMIT = Limit(None, None)


class Queue(Protocol):
    """A queue of packets; a packet's `since` is when it came to the queue."""

    limit: Limit

    def __len__(self) -> int: ...

    @property
    def size(self) -> int:
        """Bytes that wait."""

    def append(self, frame: Frame) -> None:
        """Take a packet; if that is too much, one is dropped."""

    def pop(self, now: int) -> Frame | None:
        """The packet that leaves at a time; None if none is left."""

    def waiting(self) -> Iterable[Frame]:
        """All packets, in the order in which they are to go to another queue."""


Drop = Callable[[Frame, str], None]
"""Takes a packet that is lost, and the word for the cause."""


class DropTail:
    """First in, first out; a packet that finds the queue full is lost."""

    def __init__(self, limit: Limit, drop: Drop) -> None:
        self.limit = limit
        self.size = 0
        self._drop = drop
        self._packets: deque[Frame] = deque()

    def __len__(self) -> int:
        return len(self._packets)

    def append(self, frame: Frame) -> None:
        """Take a packet, or drop it."""
        if not self.limit.admits(len(self._packets) + 1, self.size + frame.size):
            self._drop(frame, "queue")
            return
        self._packets.append(frame)
        self.size += frame.size

    def pop(self, now: int) -> Frame | None:
        """The oldest packet."""
        if not self._packets:
            return None
        frame = self._packets.popleft()
        self.size -= frame.size
        return frame

    def waiting(self) -> Iterable[Frame]:
        """All packets, the oldest first."""
        return self._packets


class ControlledDelay:
    """One queue under CoDel; a packet that finds it full is lost."""

    def __init__(self, limit: Limit, drop: Drop, mark: Callable[[Frame], bool]) -> None:
        self.limit = limit
        self._drop = drop
        self._queue = CoDel(_discard(drop, mark))

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._queue.size

    def append(self, frame: Frame) -> None:
        """Take a packet, or drop it."""
        if self.limit.admits(len(self._queue) + 1, self._queue.size + frame.size):
            self._queue.append(frame)
        else:
            self._drop(frame, "queue")

    def pop(self, now: int) -> Frame | None:
        """The oldest packet that has not waited too long."""
        return self._queue.pop(now)

    def waiting(self) -> Iterable[Frame]:
        """All packets, the oldest first."""
        return self._queue.packets


class _Flow(CoDel):
    """One of the queues of FQ-CoDel.

    Attributes:
        deficit: bytes that it may still send in this turn.
        listed: whether it has a turn, be it empty by now.
    """

    def __init__(self, discard: Callable[[Frame], bool]) -> None:
        super().__init__(discard)
        self.deficit = QUANTUM
        self.listed = False


class FairQueues:
    """A queue under CoDel for each flow, served in turn, new flows first (RFC 8290)."""

    def __init__(
        self, limit: Limit, drop: Drop, mark: Callable[[Frame], bool], perturbation: int
    ) -> None:
        self.limit = limit
        self.size = 0
        self._length = 0
        self._drop = drop
        self._discard_counted = _discard(drop, mark)
        self._perturbation = perturbation
        self._flows: dict[int, _Flow] = {}
        self._new: deque[_Flow] = deque()
        self._old: deque[_Flow] = deque()

    def __len__(self) -> int:
        return self._length

    def append(self, frame: Frame) -> None:
        """Take a packet; if that is too much, the longest queue loses its oldest one."""
        number = self._number(frame)
        flow = self._flows.get(number)
        if flow is None:
            flow = self._flows[number] = _Flow(self._discard)
        if not flow.listed:
            flow.listed = True
            flow.deficit = QUANTUM
            self._new.append(flow)
        flow.append(frame)
        self.size += frame.size
        self._length += 1
        while not self.limit.admits(self._length, self.size):
            fattest = max(self._flows.values(), key=lambda each: each.size)
            lost = fattest.packets.popleft()
            fattest.size -= lost.size
            self._forget(lost)
            self._drop(lost, "queue")

    def pop(self, now: int) -> Frame | None:
        """The next packet of the flow whose turn it is (RFC 8290, 4.2)."""
        while True:
            turn = self._new or self._old
            if not turn:
                return None
            flow = turn[0]
            if flow.deficit <= 0:
                flow.deficit += QUANTUM
                self._old.append(turn.popleft())
                continue
            frame = flow.pop(now)
            if frame is None:
                turn.popleft()
                flow.listed = turn is self._new and bool(self._old)
                if flow.listed:
                    self._old.append(flow)  # it cannot come first again by being empty at times
                continue
            flow.deficit -= frame.size
            self._forget(frame)
            return frame

    def waiting(self) -> Iterable[Frame]:
        """All packets, in the order in which they came."""
        frames = [frame for flow in self._flows.values() for frame in flow.packets]
        return sorted(frames, key=lambda frame: frame.since)

    def _discard(self, frame: Frame) -> bool:
        marked = self._discard_counted(frame)
        if not marked:
            self._forget(frame)
        return marked

    def _forget(self, frame: Frame) -> None:
        self.size -= frame.size
        self._length -= 1

    def _number(self, frame: Frame) -> int:
        headers = parse(frame)
        if headers is None:
            return 0
        return crc32(headers.flow, self._perturbation) % FLOWS


def _discard(drop: Drop, mark: Callable[[Frame], bool]) -> Callable[[Frame], bool]:
    """What CoDel does to a packet that waited too long: it is marked if it can be, or dropped."""

    def discard(frame: Frame) -> bool:
        if mark(frame):
            return True
        drop(frame, "aqm")
        return False

    return discard


def queue_of(
    condition: LinkCondition, random: Random, drop: Drop, marked: Callable[[Frame], None]
) -> Queue:
    """The queue of a condition, empty.

    Args:
        condition: the condition.
        random: for the perturbation of the flows' hash.
        drop: takes packets that are lost.
        marked: is called with each packet that was marked.
    """

    def mark(frame: Frame) -> bool:
        done = condition.ecn and mark_congestion(frame)
        if done:
            marked(frame)
        return done

    limit = Limit.of(condition)
    match condition.queue_discipline:
        case QueueDiscipline.DROP_TAIL:
            return DropTail(limit, drop)
        case QueueDiscipline.CODEL:
            return ControlledDelay(limit, drop, mark)
        case QueueDiscipline.FQ_CODEL:
            return FairQueues(limit, drop, mark, random.getrandbits(32))
