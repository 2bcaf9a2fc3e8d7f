"""What packets meet between regions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from patchbay.errors import Problems
from patchbay.values.parsing import check_number, is_number


@dataclass(frozen=True, slots=True)
class RegionLink:
    """What packets meet between two regions, the same in both directions.

    Attributes:
        latency_ms: one-way delay: a round trip takes twice as long.
        jitter_ms: how far the delay of a packet may be from `latency_ms`, either way.
        loss_pct: share of packets that are lost.
        rate_mbit: megabits per second; None for no limit.
    """

    latency_ms: float = 0
    jitter_ms: float = 0
    loss_pct: float = 0
    rate_mbit: float | None = None

    def __post_init__(self) -> None:
        problems = Problems()
        check_number(problems, "latency_ms", self.latency_ms, 0, math.inf, "milliseconds")
        check_number(problems, "jitter_ms", self.jitter_ms, 0, math.inf, "milliseconds")
        check_number(problems, "loss_pct", self.loss_pct, 0, 100, "per cent")
        if self.rate_mbit is not None and not (is_number(self.rate_mbit) and self.rate_mbit > 0):
            problems.add("rate_mbit", f"{self.rate_mbit!r} is not a number above 0")
        problems.check()

    @classmethod
    def good(cls, latency_ms: float) -> RegionLink:
        """A link that only takes time."""
        return cls(latency_ms)

    @classmethod
    def degraded(cls, latency_ms: float) -> RegionLink:
        """A link with a tenth of its latency as jitter, that loses one packet in 200."""
        return cls(latency_ms, jitter_ms=latency_ms / 10, loss_pct=0.5)
