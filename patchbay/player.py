"""What plays the schedules and traces of a lab's links, in its supervisor: nobody has to ask it to.

Each change is the same as if somebody had set the condition at that moment, and waits for its time
on the monotonic clock: it comes no sooner, and as much later as this process gets to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.linux import Timer
from actors.protocol import Plain
from patchbay.errors import PatchbayError
from patchbay.events import EventLog
from patchbay.topology.model import Playing, Topology
from patchbay.topology.playing import Begun, Place, all_playing, played, stopped
from patchbay.values import LinkCondition, Schedule, TimedCondition, Trace


@dataclass(slots=True)
class _Part:
    """A schedule or trace that a direction of a link follows.

    Attributes:
        playing: which.
        begin: when it began, in nanoseconds of the monotonic clock.
        due: when its next change is due, likewise; None when it is over.
    """

    playing: Playing
    begin: int
    due: int | None

    def at(self, now: int) -> LinkCondition | None:
        """What packets meet at a moment."""
        return self.playing.timeline.at_nanoseconds(max(0, now - self.begin))

    def wait(self, now: int) -> None:
        """Be due with the first change after a moment."""
        following = self.playing.timeline.next_change(now - self.begin)
        self.due = None if following is None else self.begin + following


class Player:
    """Changes what packets meet when it is time."""

    def __init__(
        self,
        watch: Callable[[int, Callable[[], None]], None],
        log: EventLog,
        topology: Callable[[], Topology],
        have: Callable[[Topology], None],
    ) -> None:
        """Begin with nothing to play.

        Args:
            watch: has a handler called whenever a descriptor is readable.
            log: where events go.
            topology: the network as it is.
            have: have the network be so, or raise and leave it as it was; calls `follow`.
        """
        self._log = log
        self._topology = topology
        self._have = have
        self._birth = time.monotonic_ns()
        self._parts: dict[Place, _Part] = {}
        self._timer = Timer()
        watch(self._timer.descriptor, self._on_timer)

    def begun(self, since: str) -> Begun:
        """When a schedule or trace began that is set now.

        Args:
            since: what its times count from: `now`, or the beginning of the `lab`.
        """
        age = time.monotonic_ns() - self._birth
        return Begun(since=age) if since == "now" else Begun(since=0, elapsed=age)

    def follow(self, topology: Topology) -> None:
        """Play what the links of a topology follow, and no more."""
        before, self._parts = self._parts, {}
        for place, playing in all_playing(topology):
            part = before.get(place)
            if part is None or part.playing != playing or part.playing.since != playing.since:
                part = self._new(playing)
            self._parts[place] = part
        self._wait()

    def _new(self, playing: Playing) -> _Part:
        now = time.monotonic_ns()
        begin = now if playing.since is None else self._birth + playing.since
        part = _Part(playing, begin, None)
        part.wait(begin)  # what is past by now is made up for at once
        return part

    def _wait(self) -> None:
        """Set the timer for what is due next."""
        due = min((part.due for part in self._parts.values() if part.due is not None), default=None)
        if due is None:
            self._timer.stop()
        else:
            self._timer.start_at(due)

    def _on_timer(self) -> None:
        self._timer.read()
        now = time.monotonic_ns()
        met = {}
        for place, part in self._parts.items():
            if part.due is not None and part.due <= now:
                met[place] = part.at(now)
                part.wait(now)
        try:
            self._change(met)
        except PatchbayError:
            for place, condition in met.items():
                self._change_or_stop(place, condition)
        for place in met:
            played_on = self._parts.get(place)
            if played_on is not None and played_on.due is None:
                node, iface, way = place
                self._log.add("link_schedule_ended", node=node, iface=iface, direction=way)
        self._wait()

    def _change(self, met: Mapping[Place, LinkCondition | None]) -> None:
        before = self._topology()
        after = played(before, met)
        if after != before:
            self._have(after)

    def _change_or_stop(self, place: Place, condition: LinkCondition | None) -> None:
        """Make a change; what cannot be made is told of, and what led to it is over."""
        try:
            self._change({place: condition})
        except PatchbayError as error:
            node, iface, way = place
            self._log.add(
                "link_schedule_failed", node=node, iface=iface, direction=way, error=str(error)
            )
            self._stop(place)

    def _stop(self, place: Place) -> None:
        """Have packets meet what they meet now, or try again with the next change of the network."""
        try:
            self._have(stopped(self._topology(), place))
        except PatchbayError:
            del self._parts[place]


def described(condition: TimedCondition | None) -> Plain:
    """What an event tells of a schedule or trace; None of a condition that stays what it is."""
    if not isinstance(condition, Schedule | Trace):
        return None
    return {
        "kind": type(condition).__name__.lower(),
        "changes": len(condition.changes),
        "pass_seconds": condition.pass_seconds,
        "repeat": condition.repeat,
    }
