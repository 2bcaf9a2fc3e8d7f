"""What packets met on links while somebody wanted to know: kept in a lab's supervisor."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count

from patchbay.errors import ConfigError, Problem
from patchbay.topology.model import Topology
from patchbay.topology.playing import Place, conditions_at
from patchbay.values import LinkCondition, Trace
from patchbay.values.timeline import LEAST_SECONDS, MOST_CHANGES, SECOND


@dataclass(slots=True)
class _Recording:
    """What packets of a direction met since a moment, in nanoseconds of the monotonic clock."""

    place: Place
    begin: int
    changes: list[tuple[int, LinkCondition | None]] = field(default_factory=list)
    end: int | None = None

    def note(self, now: int, condition: LinkCondition | None) -> None:
        """Note what packets meet from now on."""
        if self.end is not None or (self.changes and self.changes[-1][1] == condition):
            return
        if len(self.changes) == MOST_CHANGES:
            self.end = now
            return
        if self.changes and now < self.changes[-1][0] + round(LEAST_SECONDS * SECOND):
            now, _ = self.changes.pop()  # which was there for less than a trace can tell
        self.changes.append((now, condition))

    def trace(self, now: int) -> Trace:
        """All of it."""
        changes = [((time - self.begin) / SECOND, condition) for time, condition in self.changes]
        end = now if self.end is None else self.end
        return Trace(changes, max((end - self.begin) / SECOND, changes[-1][0]))


class LinkRecorder:
    """Takes note of conditions, those that schedules and traces set among them."""

    def __init__(self) -> None:
        self._recordings: dict[int, _Recording] = {}
        self._numbers = count()

    def start(self, topology: Topology, place: Place) -> int:
        """Begin to record a direction of a link; returns a number for it.

        Raises:
            ConfigError: there are no conditions in that direction.
        """
        met = conditions_at(topology)
        if place not in met:
            node, name, way = place
            message = f"{way!r} is no direction in which it takes conditions"
            raise ConfigError(Problem(f"node {node!r}, {name}", message))
        number = next(self._numbers)
        recording = _Recording(place, time.monotonic_ns())
        recording.note(recording.begin, met[place])
        self._recordings[number] = recording
        return number

    def follow(self, topology: Topology) -> None:
        """Note what has changed; what is gone is recorded no further."""
        if not self._recordings:
            return
        now, met = time.monotonic_ns(), conditions_at(topology)
        for recording in self._recordings.values():
            if recording.place in met:
                recording.note(now, met[recording.place])
            elif recording.end is None:
                recording.end = now

    def trace(self, number: int, *, stop: bool) -> Trace:
        """What was recorded until now.

        Args:
            number: of the recording.
            stop: whether that is all that is wanted; the number is of no use afterwards.
        """
        trace = self._recordings[number].trace(time.monotonic_ns())
        if stop:
            del self._recordings[number]
        return trace
