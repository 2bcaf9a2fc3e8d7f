"""From queueing disciplines back to the condition that they make: pure, the reverse of `queues`.

The kernel has less than a condition says: the size of a queue, but not whether it was given as a
time; probabilities of 32 bits; the deviation of a jitter, but not its table. So what is read is
compared with what the kernel should have, part by part: where they are alike, the condition is what
was asked for; where they are not, what the kernel has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from patchbay.links.queues import (
    BYTES_PER_KBIT,
    MILLISECOND,
    Chain,
    Netem,
    chance,
    loss_chances,
    slot_times,
)
from patchbay.values import LinkCondition

_Fields = dict[str, Any]


def condition_of(told: Chain, expected: Chain, asked: LinkCondition) -> LinkCondition:
    """Return what packets meet.

    Args:
        told: what the kernel has.
        expected: what it should have, for the condition that was asked for.
        asked: that condition.
    """
    had, should = map(_parts, (told, expected))
    if had == should:
        return asked
    fields: _Fields = {}
    for names, part, read in _PARTS:
        if had[part] == should[part] and not (part == "queue" and _follows(asked)):
            fields |= {name: getattr(asked, name) for name in names}
        else:
            fields |= read(told)
    return LinkCondition(**fields)


def _follows(condition: LinkCondition) -> bool:
    """Whether the size of a queue follows from other parts of a condition."""
    return condition.queue_pkts is None and condition.queue_bytes is None


def _parts(chain: Chain) -> dict[str, Any]:
    """What two chains have in common that make the same condition, by the parts of it."""
    netem, shaper = chain.netem or Netem(), chain.shaper
    return {
        "latency": netem.latency,
        "jitter": (netem.jitter, netem.ordered or not netem.jitter),
        "loss": (chance(netem.loss), netem.loss_model and loss_chances(netem.loss_model)),
        "duplicate": chance(netem.duplicate),
        "reorder": chance(netem.reorder),
        "corrupt": chance(netem.corrupt),
        "slots": _slots(netem),
        "rate": None if shaper.rate is None else (shaper.rate, shaper.overhead),
        "queue": chain.queue,
    }


def _slots(netem: Netem) -> tuple[int | None, ...] | None:
    slots = netem.slots
    return None if slots is None else (*slot_times(slots), slots.max_packets, slots.max_bytes)


# -- what differs is what the kernel says


def _latency(told: Chain) -> _Fields:
    return {"latency_ms": _netem(told).latency / MILLISECOND}


def _jitter(told: Chain) -> _Fields:
    netem = _netem(told)
    reorders = bool(netem.jitter) and not netem.ordered
    return {"jitter_ms": netem.jitter / MILLISECOND, "jitter_reorders": reorders}


def _loss(told: Chain) -> _Fields:
    netem = _netem(told)
    return {"loss_pct": netem.loss, "loss_model": netem.loss_model}


def _rate(told: Chain) -> _Fields:
    if told.shaper.rate is None:
        return {}
    kbit = told.shaper.rate / BYTES_PER_KBIT
    return {"rate_kbit": kbit, "overhead_bytes": told.shaper.overhead}


def _queue(told: Chain) -> _Fields:
    queue = told.queue
    if queue is None:
        return {}
    if queue.kind == "bfifo":
        return {"queue_bytes": max(1, queue.limit - told.full_frame)}
    waiting = {"queue_pkts": max(1, queue.limit - 1)}
    if queue.kind == "pfifo":
        return waiting
    return {**waiting, "queue_discipline": queue.kind, "ecn": queue.ecn}


def _netem(told: Chain) -> Netem:
    return told.netem or Netem()


_JITTER = ("jitter_ms", "jitter_distribution", "jitter_correlation_pct", "jitter_reorders")
_QUEUE = ("queue_pkts", "queue_bytes", "queue_ms", "queue_discipline", "ecn")

_PARTS: tuple[tuple[tuple[str, ...], str, Callable[[Chain], _Fields]], ...] = (
    (("latency_ms",), "latency", _latency),
    (_JITTER, "jitter", _jitter),
    (("loss_pct", "loss_burst_pkts", "loss_model"), "loss", _loss),
    (("duplicate_pct",), "duplicate", lambda told: {"duplicate_pct": _netem(told).duplicate}),
    (("reorder_pct",), "reorder", lambda told: {"reorder_pct": _netem(told).reorder}),
    (
        ("corrupt_pct", "corrupt_valid_checksum"),
        "corrupt",
        lambda told: {"corrupt_pct": _netem(told).corrupt},
    ),
    (("slots",), "slots", lambda told: {"slots": _netem(told).slots}),
    (("rate_kbit", "overhead_bytes"), "rate", _rate),
    (_QUEUE, "queue", _queue),
)
"""Parts of a condition: its fields, the word of `_parts`, and what the kernel says of it."""
