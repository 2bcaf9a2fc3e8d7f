"""What happened to the packets of a link."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What one direction of a link has done since it was made.

    Attributes:
        packets: packets that came to it.
        size: their bytes, as Ethernet frames.
        sent_packets: packets that left it.
        sent_size: their bytes.
        lost: packets that were lost, by cause: `loss` by chance, `list` by a drop list, `program` by a packet program, `queue` that found it full,
            `aqm` by the queue's discipline, `mtu` too long ones.
        duplicated: packets that were doubled.
        corrupted: packets in which a bit was flipped.
        marked: packets that were marked for congestion instead of dropped.
        waited: packets that have waited for a rate, or found it idle, by the class of the time
            (see `waits`).
    """

    packets: int = 0
    size: int = 0
    sent_packets: int = 0
    sent_size: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    duplicated: int = 0
    corrupted: int = 0
    marked: int = 0
    waited: Counter[int] = field(default_factory=Counter)
