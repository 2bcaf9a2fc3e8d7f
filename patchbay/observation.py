"""What a lab's supervisor observes by itself: how late it wakes up, and its interfaces' counters.

Both only if that was asked for; otherwise an idle lab sleeps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO, TypeAlias, cast

from actors.protocol import Plain
from patchbay.fidelity import BUCKETS, Totals, host_totals, lag_class
from patchbay.link_stats import LinkStats
from patchbay.topology.plain import from_plain, to_plain

PERIOD = 0.25
"""Seconds between two wake-ups to see how late they are."""
QUIET = 1.0
"""Seconds between two events about lateness at least: the worst of that time is told."""

_DIRECTIONS = ("up", "down")
_LINK_STATS: Any = LinkStats | None

Counters: TypeAlias = dict[str, dict[str, dict[str, Plain]]]
"""Of the interfaces of a lab, by node and name."""


class Wakefulness:
    """How late a process wakes up."""

    def __init__(self, max_lag_ms: float | None, tell: Callable[[float], None]) -> None:
        """Begin.

        Args:
            max_lag_ms: from when on to tell of it; None to measure nothing.
            tell: called with milliseconds of lateness, the worst of the last second.
        """
        self._max_lag_ms = max_lag_ms
        self._tell = tell
        self._lags = [0] * (0 if max_lag_ms is None else BUCKETS)
        self._due = time.monotonic() + PERIOD
        self._worst = 0.0
        self._quiet_until = 0.0
        self.begin = self.totals()

    def totals(self) -> Totals:
        """What there was until now."""
        return host_totals(tuple(self._lags))

    def turn(self, overslept: float | None) -> float | None:
        """Take note of how a wait ended.

        Args:
            overslept: seconds that it took longer than it should; None if something else ended it.

        Returns:
            Seconds after which to wake up for the next look; None for no need to.
        """
        if self._max_lag_ms is None:
            return None
        now = time.monotonic()
        if overslept is not None:
            self._lags[lag_class(overslept)] += 1
            self._worst = max(self._worst, overslept * 1000)
        if self._worst > self._max_lag_ms and now >= self._quiet_until:
            self._tell(self._worst)
            self._worst, self._quiet_until = 0.0, now + QUIET
        if now >= self._due:
            self._due = now + PERIOD
        return self._due - now


class Metrics:
    """The counters of interfaces over time, a line for each that has changed, in `metrics.jsonl`."""

    def __init__(
        self, directory: str | None, every: float | None, read: Callable[[], Counters]
    ) -> None:
        """Begin.

        Args:
            directory: the run directory; nothing is written without it.
            every: seconds between two readings; None for none at all.
            read: reads the counters.
        """
        self._every = every
        self._read = read
        self._file: TextIO | None = None
        self._known: Counters = {}
        self._due = time.monotonic()
        if directory is not None and every is not None:
            self._file = open(f"{directory}/metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115

    def turn(self) -> float | None:
        """Write what is due; seconds until more is, None if nothing will be."""
        if self._file is None or self._every is None:
            return None
        now = time.monotonic()
        if now >= self._due:
            self._write(self._file)
            self._due = max(self._due + self._every, now)
        return self._due - now

    def close(self) -> None:
        """Write the last reading."""
        if self._file is not None:
            self._write(self._file)
            self._file.close()

    def _write(self, file: TextIO) -> None:
        moment = datetime.now(UTC).isoformat()
        read = self._read()
        for node, interfaces in read.items():
            for name, counters in interfaces.items():
                known = self._known.get(node, {}).get(name, {})
                if known != counters:
                    line: dict[str, Plain] = {"timestamp": moment, "node": node, "iface": name}
                    line |= {each: _over_time(each, counters, known) for each in counters}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        self._known = read


def _over_time(name: str, now: dict[str, Plain], before: dict[str, Plain]) -> Plain:
    """A counter of an interface; of a link, how long packets waited since the last reading."""
    if name not in _DIRECTIONS:
        return now[name]
    stats, earlier = (from_plain(_LINK_STATS, each.get(name)) for each in (now, before))
    if stats is None:
        return None
    told = cast("dict[str, Plain]", to_plain(stats))
    lately = stats.since(earlier)
    told["queue_delay_p50_ms"] = lately.queue_delay_p50_ms
    told["queue_delay_p99_ms"] = lately.queue_delay_p99_ms
    del told["queue_delays_ms"]
    return told


def soonest(*waits: float | None) -> float | None:
    """The shortest of several waits; None if none of them ends."""
    return min((each for each in waits if each is not None), default=None)
