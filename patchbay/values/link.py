"""What packets meet on their way: the conditions of links."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from patchbay.errors import ConfigError, Problems
from patchbay.values.delay import DelayTable, JitterDistribution, Slots
from patchbay.values.drops import DropList
from patchbay.values.flow import FlowMatch
from patchbay.values.loss import FourState, GilbertElliott
from patchbay.values.opportunities import DeliveryOpportunities
from patchbay.values.parsing import (
    KBIT_MAX,
    KBIT_MIN,
    MS_MAX,
    MTU_MAX,
    MTU_MIN,
    NamedEnum,
    check_number,
    is_int,
    is_number,
    parse,
    put,
)
from patchbay.values.program import PacketFunction, PacketProgram, parse_program


class QueueDiscipline(NamedEnum):
    """What becomes of packets that wait for a link with a rate."""

    DROP_TAIL = "drop_tail"
    """They leave in the order they came; those that find the queue full are lost."""
    CODEL = "codel"
    """Packets are dropped, or marked, once all have waited too long for a while (RFC 8289)."""
    FQ_CODEL = "fq_codel"
    """The same, with a queue for each flow, served in turn (RFC 8290)."""


@dataclass(frozen=True, slots=True, init=False)
class LinkCondition:
    """What packets meet on a link, in one direction.

    They pass its parts in this order: they may be lost, doubled or changed on the way in, take
    their delay, then wait for the rate in a queue.

    No time is above 1e9 milliseconds, and no rate above 1e9 kilobits per second.

    Attributes:
        latency_ms: one-way delay.
        jitter_ms: how far the delay of a packet may be from `latency_ms`, either way; for all
            distributions but the uniform one the standard deviation. No delay is below 0.
        loss_pct: share of packets that are lost.
        rate_kbit: kilobits per second of Ethernet frames, their 14 bytes of header included; None
            for no limit.
        reorder_pct: share of packets that overtake others: they take no delay.
        duplicate_pct: share of packets that arrive twice.
        corrupt_pct: share of packets that arrive with a bit flipped.
        loss_burst_pkts: mean number of packets lost in a row; 1 for losses independent of
            each other.
        queue_pkts: packets that wait for the rate before the link drops more; the one that is
            being sent is not among them. At most one of `queue_pkts`, `queue_bytes` and `queue_ms`
            is given; none of them for a queue of the product of bandwidth and delay.
        jitter_distribution: how delays are spread; a `DelayTable` for a distribution of one's own.
        jitter_correlation_pct: how much the delay of a packet depends on that of the one before.
        jitter_reorders: whether packets with little delay overtake those with much. If not, a
            packet is never delivered before one that was sent earlier.
        loss_model: a model of loss in bursts, in place of `loss_pct` and `loss_burst_pkts`.
        corrupt_valid_checksum: whether the checksums of corrupted packets are made right, so that
            they reach the application. They are not by default: the receiver drops the packet.
        overhead_bytes: what the link layer spends on a packet beyond its Ethernet frame, for the
            rate.
        queue_bytes: bytes that wait for the rate before the link drops more.
        queue_ms: the same as the time that they take at that rate; a full frame has room.
        queue_discipline: which packets of the queue are dropped.
        ecn: whether the discipline marks packets that allow it (RFC 3168) where it would drop.
        mtu: longest IP packet in bytes that passes; longer ones are lost without a word, as in a
            black hole of path MTU discovery. None for no limit but that of the interface.
        slots: bursts in which packets leave.
        drops: exactly which packets are lost, before all else; None for no such list.
        program: a function that sees each packet that is left and says what becomes of it, before
            anything happens by chance; None for none.
        opportunities: the times at which packets leave, in place of a rate; as long as no size of
            the queue is given, it holds any number of packets. None for no such times.
    """

    latency_ms: float
    jitter_ms: float
    loss_pct: float
    rate_kbit: float | None
    reorder_pct: float
    duplicate_pct: float
    corrupt_pct: float
    loss_burst_pkts: float
    queue_pkts: int | None
    jitter_distribution: JitterDistribution | DelayTable
    jitter_correlation_pct: float
    jitter_reorders: bool
    loss_model: GilbertElliott | FourState | None
    corrupt_valid_checksum: bool
    overhead_bytes: int
    queue_bytes: int | None
    queue_ms: float | None
    queue_discipline: QueueDiscipline
    ecn: bool
    mtu: int | None
    slots: Slots | None
    drops: DropList | None
    program: PacketProgram | None
    opportunities: DeliveryOpportunities | None

    LAN: ClassVar[LinkCondition]
    WIFI: ClassVar[LinkCondition]
    WIFI_BAD: ClassVar[LinkCondition]
    MOBILE_4G: ClassVar[LinkCondition]
    MOBILE_3G: ClassVar[LinkCondition]
    SATELLITE: ClassVar[LinkCondition]
    """Satellites in a low orbit."""
    SATELLITE_GEO: ClassVar[LinkCondition]
    """A satellite in a geostationary orbit."""
    DSL: ClassVar[LinkCondition]
    """A line of ADSL2+, towards the subscriber; the names with `_UP` are the way back."""
    DSL_UP: ClassVar[LinkCondition]
    CABLE: ClassVar[LinkCondition]
    """A cable modem."""
    CABLE_UP: ClassVar[LinkCondition]
    LTE: ClassVar[LinkCondition]
    """A phone in a busy LTE network."""
    LTE_UP: ClassVar[LinkCondition]
    MOBILE_5G: ClassVar[LinkCondition]
    """A phone in a 5G network below 6 GHz."""
    MOBILE_5G_UP: ClassVar[LinkCondition]
    STARLINK: ClassVar[LinkCondition]
    STARLINK_UP: ClassVar[LinkCondition]
    PRESETS: ClassVar[Mapping[str, LinkCondition]]

    def __init__(
        self,
        latency_ms: float = 0,
        jitter_ms: float = 0,
        loss_pct: float = 0,
        rate_kbit: float | None = None,
        reorder_pct: float = 0,
        duplicate_pct: float = 0,
        corrupt_pct: float = 0,
        loss_burst_pkts: float = 1,
        queue_pkts: int | None = None,
        *,
        jitter_distribution: JitterDistribution | DelayTable | str = JitterDistribution.UNIFORM,
        jitter_correlation_pct: float = 0,
        jitter_reorders: bool = False,
        loss_model: GilbertElliott | FourState | None = None,
        corrupt_valid_checksum: bool = False,
        overhead_bytes: int = 0,
        queue_bytes: int | None = None,
        queue_ms: float | None = None,
        queue_discipline: QueueDiscipline | str = QueueDiscipline.DROP_TAIL,
        ecn: bool = False,
        mtu: int | None = None,
        slots: Slots | None = None,
        drops: DropList | None = None,
        program: PacketProgram | PacketFunction | None = None,
        opportunities: DeliveryOpportunities | None = None,
    ) -> None:
        """Say what packets meet; see the attributes.

        Raises:
            ConfigError: values that are none, or contradict each other; all of them are told.
            TravelError: the program refers to something that cannot go to another process.
        """
        given = locals()
        for name in self.__slots__:
            object.__setattr__(self, name, given[name])
        problems = Problems()
        if not isinstance(jitter_distribution, DelayTable):
            put(self, "jitter_distribution", JitterDistribution, jitter_distribution, problems)
        put(self, "queue_discipline", QueueDiscipline, queue_discipline, problems)
        self._check_numbers(problems)
        self._check_loss(problems)
        self._check_queue(problems)
        given_drops: object = drops
        if not isinstance(given_drops, DropList | None):
            problems.add("drops", f"{drops!r} is no DropList(...), such as DropList([3, 7])")
        object.__setattr__(self, "program", parse_program(program, problems))
        self._check_opportunities(problems)
        problems.check()

    def _check_numbers(self, problems: Problems) -> None:
        for name in ("latency_ms", "jitter_ms"):
            check_number(problems, name, getattr(self, name), 0, MS_MAX, "milliseconds")
        for name in (
            "loss_pct",
            "reorder_pct",
            "duplicate_pct",
            "corrupt_pct",
            "jitter_correlation_pct",
        ):
            check_number(problems, name, getattr(self, name), 0, 100, "per cent")
        check_number(problems, "loss_burst_pkts", self.loss_burst_pkts, 1, math.inf, "packets")
        rate: object = self.rate_kbit
        if rate is not None and not (is_number(rate) and KBIT_MIN <= rate <= KBIT_MAX):
            positive = is_number(rate) and rate > 0
            limits = f"from {KBIT_MIN:g} to {KBIT_MAX:g}" if positive else "above 0"
            problems.add(
                "rate_kbit",
                f"{rate!r} is not a number of kilobits per second {limits}"
                " (None is no limit, loss_pct=100 cuts the link)",
            )
        if not is_int(self.overhead_bytes) or not 0 <= self.overhead_bytes <= MTU_MAX:
            problems.add(
                "overhead_bytes", f"{self.overhead_bytes!r} is not a number of bytes from 0 on"
            )
        if self.mtu is not None and not (is_int(self.mtu) and MTU_MIN <= self.mtu <= MTU_MAX):
            problems.add(
                "mtu", f"{self.mtu!r} is not a number of bytes from {MTU_MIN} to {MTU_MAX}"
            )
        for name in ("jitter_reorders", "corrupt_valid_checksum", "ecn"):
            if not isinstance(getattr(self, name), bool):
                problems.add(name, f"{getattr(self, name)!r} is neither True nor False")

    def _check_loss(self, problems: Problems) -> None:
        if self.loss_model is not None:
            model: object = self.loss_model
            if not isinstance(model, GilbertElliott | FourState):
                problems.add(
                    "loss_model", f"{self.loss_model!r} is no GilbertElliott(...) or FourState(...)"
                )
            if (self.loss_pct, self.loss_burst_pkts) != (0, 1):
                problems.add("loss_model", "it takes the place of loss_pct and loss_burst_pkts")
        elif not problems and self.loss_burst_pkts > 1 and self.loss_pct < 100:
            try:
                GilbertElliott.of_bursts(self.loss_pct, self.loss_burst_pkts)
            except ConfigError:
                least = self.loss_pct / (100 - self.loss_pct)
                problems.add(
                    "loss_burst_pkts",
                    f"{self.loss_pct:g} per cent of loss come in bursts of {least:g} packets at"
                    f" least, not of {self.loss_burst_pkts:g}",
                )

    def _check_queue(self, problems: Problems) -> None:
        sizes = [
            name
            for name in ("queue_pkts", "queue_bytes", "queue_ms")
            if getattr(self, name) is not None
        ]
        for name in sizes:
            value: object = getattr(self, name)
            if name == "queue_ms":
                if not is_number(value) or not 0 < value <= MS_MAX:
                    limits = f"above 0, {MS_MAX:g} at most"
                    problems.add(name, f"{value!r} is not a number of milliseconds {limits}")
            elif not is_int(value) or not 1 <= value < 2**31:
                problems.add(name, f"{value!r} is not a whole number from 1 to {2**31 - 1}")
        if len(sizes) > 1:
            problems.add(sizes[-1], f"give one size of the queue, not {' and '.join(sizes)}")
        if self.ecn is True and self.queue_discipline is QueueDiscipline.DROP_TAIL:
            problems.add("ecn", "a drop-tail queue marks nothing; queue_discipline='codel' does")
        slots: object = self.slots
        if not isinstance(slots, Slots | None):
            problems.add("slots", f"{self.slots!r} is no Slots(...)")

    def _check_opportunities(self, problems: Problems) -> None:
        given: object = self.opportunities
        if not isinstance(given, DeliveryOpportunities | None):
            problems.add("opportunities", f"{given!r} is no DeliveryOpportunities(...)")
        elif given is not None and self.rate_kbit is not None:
            problems.add("opportunities", "they take the place of rate_kbit: give one of both")

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

# Medians of measurements; half of a round trip is taken for each way. Where a source tells no
# jitter or loss, small round figures stand for them.
# Round figures within the range of each technology's providers in the FCC's Measuring Broadband
# America, Ninth Report (FCC 20-188, appendix D).
LinkCondition.DSL = LinkCondition(18, 3, 0.2, 16_000)
LinkCondition.DSL_UP = LinkCondition(18, 3, 0.2, 1_000)
LinkCondition.CABLE = LinkCondition(9, 2, 0.1, 150_000)
LinkCondition.CABLE_UP = LinkCondition(9, 4, 0.1, 12_000)
# Huang et al., A Close Examination of Performance and Power Characteristics of 4G LTE Networks,
# MobiSys 2012: 12.7 Mbit/s down, 5.6 Mbit/s up, round trips of 70 ms.
LinkCondition.LTE = LinkCondition(35, 8, 0.1, 12_700)
LinkCondition.LTE_UP = LinkCondition(35, 8, 0.1, 5_600)
# Xu et al., Understanding Operational 5G, SIGCOMM 2020: 880 Mbit/s down, 130 Mbit/s up,
# round trips of 22 ms.
LinkCondition.MOBILE_5G = LinkCondition(11, 3, 0.1, 880_000)
LinkCondition.MOBILE_5G_UP = LinkCondition(11, 3, 0.1, 130_000)
# Michel et al., A First Look at Starlink Performance, IMC 2022: 178 Mbit/s down, 17 Mbit/s up,
# round trips of 50 ms, from 40 to 60 for the half of them; 0.4 % lost, in bursts.
LinkCondition.STARLINK = LinkCondition(25, 5, 0.4, 178_000, loss_burst_pkts=3)
LinkCondition.STARLINK_UP = LinkCondition(25, 5, 0.4, 17_000, loss_burst_pkts=3)

LinkCondition.PRESETS = MappingProxyType(
    {
        "lan": LinkCondition.LAN,
        "wifi": LinkCondition.WIFI,
        "wifi_bad": LinkCondition.WIFI_BAD,
        "mobile_4g": LinkCondition.MOBILE_4G,
        "mobile_3g": LinkCondition.MOBILE_3G,
        "satellite": LinkCondition.SATELLITE,
        "satellite_geo": LinkCondition.SATELLITE_GEO,
        "dsl": LinkCondition.DSL,
        "dsl_up": LinkCondition.DSL_UP,
        "cable": LinkCondition.CABLE,
        "cable_up": LinkCondition.CABLE_UP,
        "lte": LinkCondition.LTE,
        "lte_up": LinkCondition.LTE_UP,
        "mobile_5g": LinkCondition.MOBILE_5G,
        "mobile_5g_up": LinkCondition.MOBILE_5G_UP,
        "starlink": LinkCondition.STARLINK,
        "starlink_up": LinkCondition.STARLINK_UP,
        "mobile": LinkCondition.MOBILE_4G,
        "5g": LinkCondition.MOBILE_5G,
    }
)


def parse_flows(
    value: Mapping[FlowMatch, LinkCondition | str] | None, place: str = "flows"
) -> tuple[tuple[FlowMatch, LinkCondition], ...]:
    """Return what packets of flows meet, each condition parsed.

    Raises:
        ConfigError: it is no mapping from `FlowMatch` to conditions; all mistakes are told.
    """
    problems = Problems()
    found: list[tuple[FlowMatch, LinkCondition]] = []
    given: object = value
    if not isinstance(given, Mapping | None):
        problems.add(place, f"{given!r} is no mapping from FlowMatch(...) to conditions")
        problems.check()
    for number, (match, condition) in enumerate((value or {}).items(), 1):
        key: object = match
        if not isinstance(key, FlowMatch):
            problems.add(f"{place}, {number}", f"{key!r} is no FlowMatch(...)")
        try:
            found.append((match, parse(LinkCondition, condition, f"{place}, {number}")))
        except ConfigError as error:
            problems.extend(error)
    problems.check()
    return tuple(found)
