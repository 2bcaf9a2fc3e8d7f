"""What packets meet on their way: the conditions of links, and of links between regions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from patchbay.errors import Problems
from patchbay.values.parsing import check_number, is_int, is_number


@dataclass(frozen=True, slots=True)
class LinkCondition:
    """What packets meet on a link, in one direction.

    Attributes:
        latency_ms: one-way delay.
        jitter_ms: how far the delay of a packet may be from `latency_ms`, either way.
        loss_pct: share of packets that are lost.
        rate_kbit: kilobits per second; None for no limit.
        reorder_pct: share of packets that overtake others.
        duplicate_pct: share of packets that arrive twice.
        corrupt_pct: share of packets that arrive with a bit flipped.
        loss_burst_pkts: mean number of packets lost in a row; 1 for losses independent of
            each other.
        queue_pkts: packets that wait before the link drops more; None for what suits the rate.
    """

    latency_ms: float = 0
    jitter_ms: float = 0
    loss_pct: float = 0
    rate_kbit: float | None = None
    reorder_pct: float = 0
    duplicate_pct: float = 0
    corrupt_pct: float = 0
    loss_burst_pkts: float = 1
    queue_pkts: int | None = None

    LAN: ClassVar[LinkCondition]
    WIFI: ClassVar[LinkCondition]
    WIFI_BAD: ClassVar[LinkCondition]
    MOBILE_4G: ClassVar[LinkCondition]
    MOBILE_3G: ClassVar[LinkCondition]
    SATELLITE: ClassVar[LinkCondition]
    """Satellites in a low orbit."""
    SATELLITE_GEO: ClassVar[LinkCondition]
    """A satellite in a geostationary orbit."""
    PRESETS: ClassVar[Mapping[str, LinkCondition]]

    def __post_init__(self) -> None:
        problems = Problems()
        for name in ("latency_ms", "jitter_ms"):
            check_number(problems, name, getattr(self, name), 0, math.inf, "milliseconds")
        for name in ("loss_pct", "reorder_pct", "duplicate_pct", "corrupt_pct"):
            check_number(problems, name, getattr(self, name), 0, 100, "per cent")
        check_number(problems, "loss_burst_pkts", self.loss_burst_pkts, 1, math.inf, "packets")
        if self.rate_kbit is not None and not (is_number(self.rate_kbit) and self.rate_kbit > 0):
            problems.add(
                "rate_kbit",
                f"{self.rate_kbit!r} is not a number of kilobits per second above 0"
                " (None is no limit, loss_pct=100 cuts the link)",
            )
        if self.queue_pkts is not None and not (is_int(self.queue_pkts) and self.queue_pkts >= 1):
            problems.add("queue_pkts", f"{self.queue_pkts!r} is not a whole number from 1 on")
        problems.check()

    @property
    def perfect(self) -> bool:
        """Whether packets pass as if there were no condition."""
        return self == LinkCondition.LAN


LinkCondition.LAN = LinkCondition()
LinkCondition.WIFI = LinkCondition(5, 2, 0.1)
LinkCondition.WIFI_BAD = LinkCondition(40, 15, 2, 20_000)
LinkCondition.MOBILE_4G = LinkCondition(25, 8, 0.5)
LinkCondition.MOBILE_3G = LinkCondition(100, 30, 2, 2_000)
LinkCondition.SATELLITE = LinkCondition(40, 7, 1)
LinkCondition.SATELLITE_GEO = LinkCondition(300, 20, 0.5, 25_000)
LinkCondition.PRESETS = MappingProxyType(
    {
        "lan": LinkCondition.LAN,
        "wifi": LinkCondition.WIFI,
        "wifi_bad": LinkCondition.WIFI_BAD,
        "mobile_4g": LinkCondition.MOBILE_4G,
        "mobile_3g": LinkCondition.MOBILE_3G,
        "satellite": LinkCondition.SATELLITE,
        "satellite_geo": LinkCondition.SATELLITE_GEO,
        "mobile": LinkCondition.MOBILE_4G,
    }
)


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
