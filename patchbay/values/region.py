"""What packets meet between regions, and a set of regions as they are in the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeAlias

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.drops import DropList
from patchbay.values.link import LinkCondition
from patchbay.values.parsing import KBIT_MAX, KBIT_MIN, MS_MAX, check_number, is_number
from patchbay.values.program import PacketFunction, PacketProgram, parse_program
from patchbay.values.schedule import Schedule
from patchbay.values.timed import TimedCondition, parse_condition
from patchbay.values.trace import Trace


@dataclass(frozen=True, slots=True, init=False)
class RegionLink:
    """What packets meet on the link from one region to another, in one direction.

    Attributes:
        latency_ms: one-way delay: with the same one back, a round trip takes twice as long.
        jitter_ms: how far the delay of a packet may be from `latency_ms`, either way.
        loss_pct: share of packets that are lost.
        rate_mbit: megabits per second; None for no limit.
        drops: exactly which packets are lost; None for no such list.
        program: a function that sees each packet and says what becomes of it; None for none.
    """

    latency_ms: float
    jitter_ms: float
    loss_pct: float
    rate_mbit: float | None
    drops: DropList | None
    program: PacketProgram | None

    WORLD: ClassVar[Mapping[tuple[str, str], RegionLink]]
    """The links between five parts of the world, with latencies that were measured."""

    def __init__(
        self,
        latency_ms: float = 0,
        jitter_ms: float = 0,
        loss_pct: float = 0,
        rate_mbit: float | None = None,
        *,
        drops: DropList | None = None,
        program: PacketProgram | PacketFunction | None = None,
    ) -> None:
        """Say what packets meet; see the attributes.

        Raises:
            ConfigError: values that are none; all of them are told.
            TravelError: the program refers to something that cannot go to another process.
        """
        put = object.__setattr__
        put(self, "latency_ms", latency_ms)
        put(self, "jitter_ms", jitter_ms)
        put(self, "loss_pct", loss_pct)
        put(self, "rate_mbit", rate_mbit)
        put(self, "drops", drops)
        problems = Problems()
        put(self, "program", parse_program(program, problems))
        check_number(problems, "latency_ms", self.latency_ms, 0, MS_MAX, "milliseconds")
        check_number(problems, "jitter_ms", self.jitter_ms, 0, MS_MAX, "milliseconds")
        check_number(problems, "loss_pct", self.loss_pct, 0, 100, "per cent")
        rate: object = rate_mbit
        if rate is not None and not (is_number(rate) and KBIT_MIN <= rate * 1000 <= KBIT_MAX):
            positive = is_number(rate) and rate > 0
            limits = f"from {KBIT_MIN / 1000:g} to {KBIT_MAX / 1000:g}" if positive else "above 0"
            problems.add("rate_mbit", f"{rate!r} is not a number {limits}")
        given: object = drops
        if not isinstance(given, DropList | None):
            problems.add("drops", f"{drops!r} is no DropList(...), such as DropList([3, 7])")
        problems.check()

    @classmethod
    def good(cls, latency_ms: float) -> RegionLink:
        """A link that only takes time."""
        return cls(latency_ms)

    @classmethod
    def degraded(cls, latency_ms: float) -> RegionLink:
        """A link with a tenth of its latency as jitter, that loses one packet in 200."""
        return cls(latency_ms, jitter_ms=latency_ms / 10, loss_pct=0.5)

    @property
    def condition(self) -> LinkCondition:
        """The same as the condition of a link."""
        return LinkCondition(
            latency_ms=self.latency_ms,
            jitter_ms=self.jitter_ms,
            loss_pct=self.loss_pct,
            rate_kbit=None if self.rate_mbit is None else self.rate_mbit * 1000,
            drops=self.drops,
            program=self.program,
        )

    @property
    def met(self) -> LinkCondition | None:
        """The same; None if packets meet nothing."""
        condition = self.condition
        return None if condition.perfect else condition


RegionCondition: TypeAlias = RegionLink | TimedCondition
"""What packets meet between regions: as on any link, or in the few words of a `RegionLink`."""


def parse_region_condition(
    value: RegionCondition | str | None, place: str
) -> TimedCondition | None:
    """Return what was typed for a link between regions; None for nothing.

    Raises:
        ConfigError: there is no such condition; it names the one that comes nearest.
    """
    if value is None or isinstance(value, RegionLink):
        return None if value is None else value.met
    given: object = value
    if not isinstance(given, LinkCondition | Schedule | Trace | str):
        message = f"{value!r} is no RegionLink, such as RegionLink.good(80), and no condition"
        raise ConfigError(Problem(place, message))
    condition = parse_condition(value, place)
    return None if isinstance(condition, LinkCondition) and condition.perfect else condition


# Half of the round trips between data centres of Amazon Web Services in Northern Virginia, Ireland,
# Singapore, Sydney and São Paulo, as averages that were published in 2017 as "Latency Between AWS
# Global Regions": 81, 217, 230, 120, 239, 310, 191, 175, 328 and 323 ms in the order below.
RegionLink.WORLD = MappingProxyType(
    {
        ("us", "eu"): RegionLink.good(40),
        ("us", "asia"): RegionLink.good(108),
        ("us", "oceania"): RegionLink.good(115),
        ("us", "south-america"): RegionLink.good(60),
        ("eu", "asia"): RegionLink.good(120),
        ("eu", "oceania"): RegionLink.good(155),
        ("eu", "south-america"): RegionLink.good(96),
        ("asia", "oceania"): RegionLink.good(88),
        ("asia", "south-america"): RegionLink.good(164),
        ("oceania", "south-america"): RegionLink.good(161),
    }
)
