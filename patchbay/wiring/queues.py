"""Queueing disciplines in the kernel: the messages that make and change them (rtnetlink(7), tc(8)).

Values come from `patchbay.links.queues`; layouts are those of `linux/pkt_sched.h`.
"""

from __future__ import annotations

import struct
from struct import Struct

from patchbay.links.queues import (
    UNLIMITED,
    Netem,
    Queue,
    Shaper,
    chance,
    loss_chances,
    slot_times,
)
from patchbay.values import FourState, GilbertElliott
from patchbay.wiring.netlink import (
    NLM_F_CREATE,
    NLM_F_ECHO,
    NLM_F_REPLACE,
    Message,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38

TCMSG = Struct("=BxxxiIII")
"""family, index, handle, parent, info"""
ROOT = 0xFFFFFFFF
"""The parent of an interface's first discipline (TC_H_ROOT)."""

TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
TCA_STATS_BASIC, TCA_STATS_QUEUE, TCA_STATS_APP = 1, 3, 4

RATESPEC = Struct("=BBHhHI")
"""cell log, link layer, overhead, cell align, minimal unit, bytes per second"""
TBF_QOPT = Struct("=12s12sIII")
"""rate, peak rate, limit, buffer, mtu"""
NETEM_QOPT = Struct("=6I")
"""latency in ticks, limit, loss, gap, duplicate, jitter in ticks"""
NETEM_CORR = Struct("=III")
"""correlation of delay, loss, duplication"""
NETEM_CHANCE = Struct("=II")
"""probability, correlation"""
NETEM_RATE = Struct("=IiIi")
"""bytes per second, overhead of packets, size and overhead of cells"""
NETEM_GI = Struct("=5I")
"""p13, p31, p32, p14, p23"""
NETEM_GE = Struct("=4I")
"""p, r, h, 1-k"""
NETEM_SLOT = Struct("=qqiiqq")
"""least and most nanoseconds, packets, bytes, delay and jitter of a distribution"""

CODEL_XSTATS = Struct("=20xII8x")
"""after what does not matter here: packets lost because it was full, packets marked"""
FQ_CODEL_XSTATS = Struct("=8xII")
"""the same"""

TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TCA_NETEM_CORR, TCA_NETEM_DELAY_DIST, TCA_NETEM_REORDER, TCA_NETEM_CORRUPT = 1, 2, 3, 4
TCA_NETEM_LOSS, TCA_NETEM_RATE, TCA_NETEM_RATE64 = 5, 6, 8
TCA_NETEM_LATENCY64, TCA_NETEM_JITTER64, TCA_NETEM_SLOT, TCA_NETEM_PRNG_SEED = 10, 11, 12, 14
NETEM_LOSS_GI, NETEM_LOSS_GE = 1, 2
TCA_CODEL_LIMIT, TCA_CODEL_ECN = 2, 4
TCA_FQ_CODEL_LIMIT, TCA_FQ_CODEL_ECN = 2, 4

_ETHERNET = 1
"""TC_LINKLAYER_ETHERNET: the kernel computes times itself and needs no table."""
NO_RATE = 1 << 40
"""Bytes per second that no interface reaches: a tbf without a limit of rate."""
_ORDER = 1 << 62
"""Bytes per second at which netem takes no time, but keeps packets in order: with any rate at
all, no packet is due before the one ahead of it."""
_ALL = 0xFFFFFFFF
_U64, _S64 = Struct("=Q"), Struct("=q")


def handle(number: int) -> int:
    """The handle `number:` of a discipline."""
    return number << 16


def child(number: int) -> int:
    """The only class of a discipline, which its child is the child of: `number:1`."""
    return number << 16 | 1


def new(index: int, number: int, parent: int, kind: str, options: bytes) -> Message:
    """Make a discipline of an interface, in place of what is there under the parent."""
    return _message("make", NLM_F_CREATE | NLM_F_REPLACE, index, number, parent, kind, options)


def change(index: int, number: int, parent: int, kind: str, options: bytes) -> Message:
    """Change a discipline in place; what is queued in it stays there."""
    return _message("change", 0, index, number, parent, kind, options)


def _message(
    verb: str, flags: int, index: int, number: int, parent: int, kind: str, options: bytes
) -> Message:
    body = TCMSG.pack(0, index, handle(number), parent, 0) + text(TCA_KIND, kind) + options
    return Message(RTM_NEWQDISC, flags, body, f"{verb} the queueing discipline {kind}")


def delete(index: int) -> Message:
    """Take away an interface's disciplines; the kernel puts its default there."""
    body = TCMSG.pack(0, index, 0, ROOT, 0)
    return Message(RTM_DELQDISC, 0, body, "delete the queueing disciplines")


def get(index: int, number: int) -> Message:
    """Ask for a discipline of an interface by its handle."""
    body = TCMSG.pack(0, index, handle(number), 0, 0)
    # the kernel announces it to listeners; the one who asks is told too if it wants an echo
    return Message(RTM_GETQDISC, NLM_F_ECHO, body, "tell a queueing discipline")


def every(index: int) -> Message:
    """Ask for all disciplines of an interface; an older kernel tells those of all interfaces."""
    return Message(RTM_GETQDISC, 0, TCMSG.pack(0, index, 0, 0, 0), "tell all queueing disciplines")


def tbf(shaper: Shaper) -> bytes:
    """The options of a tbf."""
    rate = NO_RATE if shaper.rate is None else shaper.rate
    spec = RATESPEC.pack(0, _ETHERNET, shaper.overhead, 0, 0, min(rate, _ALL))
    return nested(
        TCA_OPTIONS,
        attribute(TCA_TBF_PARMS, TBF_QOPT.pack(spec, bytes(12), shaper.limit, 0, 0)),
        attribute(TCA_TBF_RATE64, _U64.pack(rate)),
        u32(TCA_TBF_BURST, shaper.burst),
    )


def queue(of: Queue) -> bytes:
    """The options of the queue below a tbf."""
    if of.kind == "codel":
        return nested(TCA_OPTIONS, u32(TCA_CODEL_LIMIT, of.limit), u32(TCA_CODEL_ECN, int(of.ecn)))
    if of.kind == "fq_codel":
        return nested(
            TCA_OPTIONS, u32(TCA_FQ_CODEL_LIMIT, of.limit), u32(TCA_FQ_CODEL_ECN, int(of.ecn))
        )
    return attribute(TCA_OPTIONS, struct.pack("=I", of.limit))


def netem(of: Netem) -> bytes:
    """The options of a netem; all of them, since what is not given stays as it is."""
    parts = [
        NETEM_QOPT.pack(
            0, UNLIMITED, chance(of.loss), int(of.reorder > 0), chance(of.duplicate), 0
        ),
        attribute(TCA_NETEM_LATENCY64, _S64.pack(of.latency)),
        attribute(TCA_NETEM_JITTER64, _S64.pack(of.jitter)),
        attribute(TCA_NETEM_CORR, NETEM_CORR.pack(0, 0, 0)),
        attribute(TCA_NETEM_REORDER, NETEM_CHANCE.pack(chance(of.reorder), 0)),
        attribute(TCA_NETEM_CORRUPT, NETEM_CHANCE.pack(chance(of.corrupt), 0)),
        attribute(TCA_NETEM_RATE, NETEM_RATE.pack(_ALL if of.ordered else 0, 0, 0, 0)),
        attribute(TCA_NETEM_SLOT, _slot(of)),
    ]
    if of.ordered:
        parts.append(attribute(TCA_NETEM_RATE64, _U64.pack(_ORDER)))
    if of.table:
        table = struct.pack(f"={len(of.table)}h", *of.table)
        parts.append(attribute(TCA_NETEM_DELAY_DIST, table))
    if of.loss_model is not None:
        parts.append(nested(TCA_NETEM_LOSS, _loss_model(of.loss_model)))
    if of.seed is not None:
        parts.append(attribute(TCA_NETEM_PRNG_SEED, _U64.pack(of.seed)))
    return attribute(TCA_OPTIONS, b"".join(parts))


def _slot(of: Netem) -> bytes:
    if of.slots is None:
        return NETEM_SLOT.pack(0, 0, 0, 0, 0, 0)
    return NETEM_SLOT.pack(
        *slot_times(of.slots),
        of.slots.max_packets or 0,
        of.slots.max_bytes or 0,
        0,
        0,
    )


def _loss_model(model: GilbertElliott | FourState) -> bytes:
    if isinstance(model, GilbertElliott):
        return attribute(NETEM_LOSS_GE, NETEM_GE.pack(*loss_chances(model)))
    return attribute(NETEM_LOSS_GI, NETEM_GI.pack(*loss_chances(model)))


def netem_attributes(options: bytes) -> dict[int, bytes]:
    """What netem tells beside its oldest parameters."""
    return attributes(options, NETEM_QOPT.size)


def own_statistics(kind: str, told: bytes) -> tuple[int | None, int | None]:
    """What a CoDel tells by itself: packets lost as it was full, and marked; None of others."""
    layout = {"codel": CODEL_XSTATS, "fq_codel": FQ_CODEL_XSTATS}.get(kind)
    if layout is None or len(told) < layout.size:
        return None, None
    full, marked = layout.unpack_from(told)
    return full, marked
