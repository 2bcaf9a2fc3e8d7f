"""What the condition of a link did to packets, in one direction: the same words for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from types import MappingProxyType


def _none() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """What the condition of a link did to packets of one direction since it was made.

    Attributes:
        sent_packets: packets that left the link, each as a wire would carry it.
        drops: packets that were lost, by cause: `loss` by chance, `list` by a drop list, `program`
            by a packet program, `queue` that was full, `aqm` by the queue's discipline, and what
            else the engine tells of.
        queued_packets: packets that are in it now: on their way, and waiting for the rate.
        queued_bytes: bytes of them.
        queue_delay_ms: what the rate takes for all that waits for it now: how long a packet that
            comes to a queue without a discipline waits. Exact with the user-space engine. With the
            kernel's it is found from the bytes that its `tbf` holds, where the packet that is being
            sent counts until all of it has left: up to the time of one packet too much. None
            without a rate.
        queue_delays_ms: how long packets waited for the rate until now, in milliseconds (to 6 %),
            each with the number of packets, in order. The delay that packets take anyhow is not in
            it. None for the kernel, which keeps no times: what waits at a few moments says nothing
            of the packets between them.
        duplicated: packets that were doubled; None where the kernel does not tell.
        corrupted: packets in which a bit was flipped; None where the kernel does not tell.
        marked: packets that were marked for congestion instead of dropped; None likewise.
        late: packets that left more than 1 ms later than they should, as the user-space engine
            had no CPU; None for the kernel, which does not tell.
        worst_late_ms: how late the latest of them was; None likewise.
    """

    sent_packets: int
    drops: Mapping[str, int] = field(default_factory=_none)
    queued_packets: int = 0
    queued_bytes: int = 0
    queue_delay_ms: float | None = None
    queue_delays_ms: tuple[tuple[float, int], ...] | None = None
    duplicated: int | None = None
    corrupted: int | None = None
    marked: int | None = None
    late: int | None = None
    worst_late_ms: float | None = None

    @property
    def dropped(self) -> int:
        """How many packets were lost, of whatever cause."""
        return sum(self.drops.values())

    @property
    def queue_delay_p50_ms(self) -> float | None:
        """What half of the packets did not wait longer than for the rate.

        In milliseconds, to 6 %; None if none waited for a rate, and for the kernel.
        """
        return self._queue_delay(0.5)

    @property
    def queue_delay_p99_ms(self) -> float | None:
        """What 99 % of the packets did not wait longer than; None likewise."""
        return self._queue_delay(0.99)

    def since(self, before: LinkStats | None) -> LinkStats:
        """What happened since an earlier reading; what is in the link is what is there now.

        If the link was made anew since then, that is all that happened on it. The packet that was
        latest may have been so before.
        """
        if before is None or self.sent_packets < before.sent_packets:
            return self
        known = dict(before.queue_delays_ms or ())
        waited = self.queue_delays_ms
        drops = {cause: count - before.drops.get(cause, 0) for cause, count in self.drops.items()}
        return replace(
            self,
            sent_packets=self.sent_packets - before.sent_packets,
            drops={cause: count for cause, count in drops.items() if count},
            queue_delays_ms=None
            if waited is None
            else tuple((ms, new) for ms, count in waited if (new := count - known.get(ms, 0))),
            duplicated=_less(self.duplicated, before.duplicated),
            corrupted=_less(self.corrupted, before.corrupted),
            marked=_less(self.marked, before.marked),
            late=_less(self.late, before.late),
        )

    def _queue_delay(self, part: float) -> float | None:
        delays = self.queue_delays_ms or ()
        wanted = max(1, ceil(part * sum(count for _, count in delays)))
        passed = 0
        for delay, count in delays:
            passed += count
            if passed >= wanted:
                return delay
        return None


def _less(now: int | None, before: int | None) -> int | None:
    return now if now is None or before is None else now - before
