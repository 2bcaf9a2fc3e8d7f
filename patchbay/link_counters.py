"""What the engines count of a link, as `LinkStats`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from patchbay.link_stats import LinkStats
from patchbay.wiring.chains import NETEM, QUEUES, SHAPER, SPLITTER, Discipline
from patchbay.wiring.queue_reading import read_tbf


def of_disciplines(disciplines: tuple[Discipline, ...]) -> LinkStats | None:
    """What the kernel's disciplines of an interface did; None if it has none of a link's.

    Each counts what those below it lose as lost by itself too, but for what netem loses by
    chance; so what is lost in one place is the difference. A CoDel tells which of its losses were
    not of its own choice.
    """
    by_number = {each.number: each for each in disciplines}
    first = by_number.get(SPLITTER)
    if first is None:
        return None
    lost = {
        number: by_number[number].dropped if number in by_number else 0
        for number in (NETEM, SHAPER)
    }
    below = next((by_number[each] for each in QUEUES.values() if each in by_number), None)
    by_choice = below.dropped - below.overlimit if below and below.overlimit is not None else 0
    drops = {
        "loss": max(0, lost[NETEM] - lost[SHAPER]),
        "queue": max(0, lost[SHAPER] - by_choice),
        "aqm": by_choice,
    }
    return LinkStats(
        sent_packets=first.sent,
        drops={cause: count for cause, count in drops.items() if count},
        queued_packets=first.waiting,
        queued_bytes=first.waiting_bytes,
        queue_delay_ms=_backlog_ms(by_number.get(SHAPER)),
        marked=None if below is None else below.marked,
    )


def _backlog_ms(shaper: Discipline | None) -> float | None:
    """What the rate of a shaper takes for all that waits in it; None without a rate."""
    if shaper is None or shaper.kind != "tbf":
        return None
    told = read_tbf(shaper.options)
    if told.rate is None:
        return None
    return 1000 * (shaper.waiting_bytes + told.overhead * shaper.waiting) / told.rate


def of_engine(told: Mapping[str, Any]) -> LinkStats:
    """What the user-space engine tells of a direction."""
    lateness = told["lateness"]
    return LinkStats(
        sent_packets=told["sent_packets"],
        drops={cause: count for cause, count in told["lost"].items() if count},
        queued_packets=told["queued_packets"],
        queued_bytes=told["queued_size"],
        queue_delay_ms=None if told["backlog"] is None else told["backlog"] / 1e6,
        queue_delays_ms=tuple((each, count) for each, count in told["waited"]),
        duplicated=told["duplicated"],
        corrupted=told["corrupted"],
        marked=told["marked"],
        late=lateness["late"],
        worst_late_ms=lateness["worst"] / 1e6,
    )
