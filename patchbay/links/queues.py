"""From a link condition to queueing disciplines of the kernel: pure values, nothing is told yet.

An interface gets a chain of them, each the child of the one before:

    1: tbf     no limit of rate; cuts super-packets (GSO) into those that a wire would carry
    2: netem   delay, jitter, loss, doubling, corruption, order, slots
    3: tbf     the rate
    4: queue   what waits for the rate; without one of its own, 3: has a bfifo

So that no change of a condition loses or overtakes a packet, the chain only ever grows, and its
disciplines change their parameters in place. A link that is clean again has a chain that lets
everything pass; it is taken away when nothing is in it and nobody sends.

Where the kernel has no netem, 3: follows 1: directly.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import blake2b

from patchbay.links.choice import NETEM_SEED
from patchbay.links.distributions import entries
from patchbay.links.spec import LinkSpec
from patchbay.values import (
    FourState,
    GilbertElliott,
    LinkCondition,
    QueueDiscipline,
    Slots,
)

MILLISECOND = 1_000_000
"""Nanoseconds."""

FRAME_HEADER = 18
"""Bytes of an Ethernet header with a VLAN tag: what a frame is longer than the MTU at most."""

ETHERNET_HEADER = 14

FULL_FRAME = 1500 + ETHERNET_HEADER
"""Bytes of the longest frame of an interface whose MTU is the usual one."""

UNLIMITED = (1 << 31) - 1
"""A size that nothing reaches: bytes of a burst or a queue, packets of netem's limit."""

_BURST_MS = 2
"""Milliseconds of its rate that a link makes up for at most when the kernel's timer is late."""

_LEAST_FRAMES = 10
"""Full frames that a queue without a size given holds at least, however short the link."""

_LEAST_MS = 20
"""Milliseconds of its rate that a queue without a size given holds at least."""

BYTES_PER_KBIT = 125

_CERTAIN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Netem:
    """The parameters of netem; times in nanoseconds, probabilities in per cent.

    Attributes:
        ordered: whether no packet leaves before one that came earlier, jitter or not.
        table: quantiles of the jitter's distribution; empty without jitter.
        seed: what its random numbers are drawn from; None to leave that to the kernel.
    """

    latency: int = 0
    jitter: int = 0
    table: tuple[int, ...] = ()
    ordered: bool = True
    loss: float = 0
    loss_model: GilbertElliott | FourState | None = None
    duplicate: float = 0
    reorder: float = 0
    corrupt: float = 0
    slots: Slots | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaper:
    """The parameters of a tbf.

    Attributes:
        rate: bytes per second; None for no limit.
        burst: bytes that may leave at once after a pause; longer packets are cut where they can
            be, else lost.
        limit: what its queue holds, in the unit of the queue and counted as there.
        overhead: bytes that each packet costs beyond its own.
    """

    rate: int | None = None
    burst: int = UNLIMITED
    limit: int = UNLIMITED
    overhead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue below a tbf.

    Attributes:
        kind: the kernel's name of the discipline.
        limit: packets that it holds; bytes for a bfifo. The packet whose bits are being sent is
            among them: a tbf leaves it there until it has sent all of it.
        ecn: whether packets are marked in place of being dropped.
    """

    kind: str = "bfifo"
    limit: int = UNLIMITED
    ecn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The disciplines of an interface."""

    splitter: Shaper = Shaper()
    netem: Netem | None = Netem()
    shaper: Shaper = Shaper()
    queue: Queue | None = None
    """None without a rate: nothing waits."""
    full_frame: int = FULL_FRAME
    """Bytes of the interface's longest frame."""


PASSING = Chain()
"""Lets everything pass at once."""


def chain(spec: LinkSpec, mtu: int, features: AbstractSet[str], turn: int = 0) -> Chain:
    """The disciplines that make a link's condition come about.

    Args:
        spec: what packets meet.
        mtu: bytes that the interface takes.
        features: what the kernel can do, in the words of `choice`.
        turn: how often the link's condition was changed before. Each time is a new throw of the
            dice, the same in every run.
    """
    condition = spec.condition
    seed = _seed(spec, turn) if NETEM_SEED in features else None
    return Chain(
        splitter=Shaper(burst=mtu + FRAME_HEADER),
        netem=_netem(condition, seed) if "netem" in features else None,
        shaper=_shaper(condition, mtu),
        queue=_queue(condition, mtu),
        full_frame=mtu + ETHERNET_HEADER,
    )


def _netem(condition: LinkCondition, seed: int | None) -> Netem:
    loss, model = condition.loss_pct, condition.loss_model
    if 0 < loss < 100 and condition.loss_burst_pkts > 1:
        loss, model = 0, GilbertElliott.of_bursts(loss, condition.loss_burst_pkts)
    jitter = round(condition.jitter_ms * MILLISECOND)
    return Netem(
        latency=round(condition.latency_ms * MILLISECOND),
        jitter=jitter,
        table=entries(condition.jitter_distribution) if jitter else (),
        ordered=not (condition.jitter_reorders and jitter),
        loss=loss,
        loss_model=model,
        duplicate=condition.duplicate_pct,
        reorder=condition.reorder_pct,
        corrupt=condition.corrupt_pct,
        slots=condition.slots,
        seed=seed,
    )


def _shaper(condition: LinkCondition, mtu: int) -> Shaper:
    queue = _queue(condition, mtu)
    if condition.rate_kbit is None or queue is None:
        return Shaper()
    rate = max(1, round(condition.rate_kbit * BYTES_PER_KBIT))
    return Shaper(
        rate=rate,
        burst=min(UNLIMITED, mtu + FRAME_HEADER + rate * _BURST_MS // 1000),
        limit=queue.limit,
        overhead=condition.overhead_bytes,
    )


def _queue(condition: LinkCondition, mtu: int) -> Queue | None:
    """The queue that waits for the rate, of the size asked for or that of the link itself.

    Beside what waits it has room for what is being sent: one packet, of any length.
    """
    if condition.rate_kbit is None:
        return None
    frame = mtu + ETHERNET_HEADER
    size = queue_bytes(condition, frame)
    if condition.queue_discipline is not QueueDiscipline.DROP_TAIL:
        packets = condition.queue_pkts or max(1, size // frame)
        return Queue(
            kind=str(condition.queue_discipline),
            limit=min(UNLIMITED, packets + 1),
            ecn=condition.ecn,
        )
    if condition.queue_pkts is not None:
        return Queue(kind="pfifo", limit=min(UNLIMITED, condition.queue_pkts + 1))
    return Queue(kind="bfifo", limit=min(UNLIMITED, size + frame))


def chance(per_cent: float) -> int:
    """A probability as the kernel has it: 32 bits, all of them for certainty."""
    return round(per_cent / 100 * _CERTAIN)


def per_cent(chance_told: int) -> float:
    """A probability that the kernel has, as the shortest number that it cannot tell from it."""
    exact = chance_told / _CERTAIN * 100
    return next(
        short for digits in range(20) if chance(short := round(exact, digits)) == chance_told
    )


def slot_times(slots: Slots) -> tuple[int, int]:
    """The nanoseconds of the shortest and the longest slot; without any the kernel has no slots."""
    least = max(1, round(slots.interval_ms * MILLISECOND))
    most = slots.interval_max_ms
    return least, least if most is None else round(most * MILLISECOND)


def loss_chances(model: GilbertElliott | FourState) -> tuple[int, ...]:
    """The probabilities of a model of loss as the kernel has them, in its order."""
    per_cents: tuple[float, ...]
    if isinstance(model, GilbertElliott):
        per_cents = (
            *(model.to_bad_pct, model.to_good_pct),
            *(100 - model.loss_bad_pct, model.loss_good_pct),
        )
    else:
        per_cents = (
            *(model.p13_pct, model.p31_pct or 0, model.p32_pct),
            *(model.p14_pct, model.p23_pct),
        )
    return tuple(map(chance, per_cents))


def queue_bytes(condition: LinkCondition, frame: int) -> int:
    """How many bytes wait for the rate at most, without those of the packet that is being sent.

    Without a size given, it is the product of the bandwidth and the time of a round trip.
    """
    if condition.queue_bytes is not None:
        return condition.queue_bytes
    per_ms = (condition.rate_kbit or 0) * BYTES_PER_KBIT / 1000
    if condition.queue_ms is not None:
        return max(frame, round(per_ms * condition.queue_ms))
    time = max(2 * condition.latency_ms, _LEAST_MS)
    return max(_LEAST_FRAMES * frame, round(per_ms * time))


def _seed(spec: LinkSpec, turn: int) -> int:
    """64 bits that depend on the lab's seed, on the link and on the turn."""
    text = f"{spec.seed}/{spec.name}/{turn}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest())
