"""What the kernel tells of its queueing disciplines, as the values that they were made from."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from patchbay.links.queues import (
    FULL_FRAME,
    MILLISECOND,
    UNLIMITED,
    Chain,
    Netem,
    Queue,
    Shaper,
    per_cent,
)
from patchbay.values import FourState, GilbertElliott, Slots
from patchbay.wiring import queues
from patchbay.wiring.chains import QUEUES, Discipline
from patchbay.wiring.netlink import attributes


def read(
    disciplines: Iterable[Discipline], parent: int = queues.ROOT, full_frame: int = FULL_FRAME
) -> Chain:
    """Return what packets meet that pass an interface, or a class of one of its disciplines.

    Other disciplines than those of `Chain` tell nothing that it could say, and are overlooked.

    Args:
        disciplines: all that the interface has.
        parent: what the first of them is the child of.
        full_frame: bytes of the interface's longest frame.
    """
    netem, rates, queue = Netem(), [Shaper()], None
    for each in _downwards(tuple(disciplines), parent):
        if each.kind == "netem":
            netem, rate = read_netem(each.options)
            rates.append(rate)
        elif each.kind == "tbf":
            rates.append(read_tbf(each.options))
        elif each.kind in QUEUES:
            queue = read_queue(each.kind, each.options)
    shaper = min(rates, key=lambda rate: UNLIMITED << 32 if rate.rate is None else rate.rate)
    if shaper.rate is None:
        return Chain(netem=netem, full_frame=full_frame)
    # a tbf that was given no queue has a bfifo, which the kernel does not tell
    queue = queue or Queue(limit=shaper.limit)
    return Chain(netem=netem, shaper=shaper, queue=queue, full_frame=full_frame)


def _downwards(disciplines: tuple[Discipline, ...], parent: int) -> Iterator[Discipline]:
    """The disciplines from a parent on, each the child of the one before."""
    while True:
        below = [each for each in disciplines if each.parent == parent]
        if not below:
            return
        yield below[0]
        parent = queues.child(below[0].number)


def read_tbf(options: bytes) -> Shaper:
    """A tbf's options, but for its burst, which the kernel tells as a time."""
    found = attributes(options)
    spec, _, limit, _, _ = queues.TBF_QOPT.unpack(found[queues.TCA_TBF_PARMS])
    _, _, overhead, _, _, rate = queues.RATESPEC.unpack(spec)
    if queues.TCA_TBF_RATE64 in found:
        (rate,) = struct.unpack("=Q", found[queues.TCA_TBF_RATE64])
    if rate >= queues.NO_RATE:
        return Shaper()
    return Shaper(rate=rate, limit=limit, overhead=overhead)


def read_queue(kind: str, options: bytes) -> Queue:
    """The options of a queue."""
    if kind not in ("codel", "fq_codel"):
        return Queue(kind=kind, limit=struct.unpack_from("=I", options)[0])
    found = attributes(options)
    limit, ecn = {
        "codel": (queues.TCA_CODEL_LIMIT, queues.TCA_CODEL_ECN),
        "fq_codel": (queues.TCA_FQ_CODEL_LIMIT, queues.TCA_FQ_CODEL_ECN),
    }[kind]
    return Queue(kind=kind, limit=_u32(found[limit]), ecn=bool(_u32(found[ecn])))


def read_netem(options: bytes) -> tuple[Netem, Shaper]:
    """A netem's options, but for the table of its jitter, which it does not tell; and its rate."""
    _, _, loss, gap, duplicate, _ = queues.NETEM_QOPT.unpack_from(options)
    found = queues.netem_attributes(options)
    reorder, _ = queues.NETEM_CHANCE.unpack(found[queues.TCA_NETEM_REORDER])
    corrupt, _ = queues.NETEM_CHANCE.unpack(found[queues.TCA_NETEM_CORRUPT])
    rate, overhead, _, _ = queues.NETEM_RATE.unpack(found[queues.TCA_NETEM_RATE])
    if queues.TCA_NETEM_RATE64 in found:
        (rate,) = struct.unpack("=Q", found[queues.TCA_NETEM_RATE64])
    told = Netem(
        latency=_s64(found[queues.TCA_NETEM_LATENCY64]),
        jitter=_s64(found[queues.TCA_NETEM_JITTER64]),
        ordered=rate > 0,
        loss=per_cent(loss),
        loss_model=_loss_model(found.get(queues.TCA_NETEM_LOSS, b"")),
        duplicate=per_cent(duplicate),
        reorder=per_cent(reorder) if gap else 0,
        corrupt=per_cent(corrupt),
        slots=_slots(found.get(queues.TCA_NETEM_SLOT, b"")),
    )
    limited = 0 < rate < queues.NO_RATE
    return told, Shaper(rate=rate, overhead=max(0, overhead)) if limited else Shaper()


def _loss_model(told: bytes) -> GilbertElliott | FourState | None:
    found = attributes(told)
    if queues.NETEM_LOSS_GE in found:
        to_bad, to_good, kept_bad, lost_good = map(
            per_cent, queues.NETEM_GE.unpack(found[queues.NETEM_LOSS_GE])
        )
        return GilbertElliott(to_bad, to_good, 100 - kept_bad, lost_good)
    if queues.NETEM_LOSS_GI in found:
        p13, p31, p32, p14, p23 = map(per_cent, queues.NETEM_GI.unpack(found[queues.NETEM_LOSS_GI]))
        # rounded each for itself, what makes 100 together could make more
        return FourState(p13, min(p31, 100 - p32), p32, p23, min(p14, 100 - p13))
    return None


def _slots(told: bytes) -> Slots | None:
    if not told:
        return None
    least, most, packets, size, _, _ = queues.NETEM_SLOT.unpack(told)
    if not least:
        return None
    return Slots(
        interval_ms=least / MILLISECOND,
        interval_max_ms=None if most == least else most / MILLISECOND,
        max_packets=packets if 0 < packets < UNLIMITED else None,
        max_bytes=size if 0 < size < UNLIMITED else None,
    )


def _u32(data: bytes) -> int:
    value: int = struct.unpack("=I", data)[0]
    return value


def _s64(data: bytes) -> int:
    value: int = struct.unpack("=q", data)[0]
    return value
