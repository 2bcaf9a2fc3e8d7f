"""What the condition of a link did to packets, in one direction: the same words for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


def _none() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """What the condition of a link did to packets of one direction since it was made.

    Attributes:
        sent_packets: packets that left the link, each as a wire would carry it.
        drops: packets that were lost, by cause: `loss` by chance, `list` by a drop list, `program`
            by a packet program, `queue` that was full, `aqm` by the queue's discipline, and what else the engine tells of.
        queued_packets: packets that are in it now: on their way, and waiting for the rate.
        queued_bytes: bytes of them.
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
    duplicated: int | None = None
    corrupted: int | None = None
    marked: int | None = None
    late: int | None = None
    worst_late_ms: float | None = None

    @property
    def dropped(self) -> int:
        """How many packets were lost, of whatever cause."""
        return sum(self.drops.values())
