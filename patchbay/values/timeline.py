"""What becomes of a link by itself, as a function of time: what schedules and traces have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from functools import cached_property

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.link import LinkCondition
from patchbay.values.parsing import is_int, is_number, parse

SECOND = 1_000_000_000
"""Nanoseconds."""

LEAST_SECONDS = 0.001
"""Seconds between two changes at least."""

MOST_SECONDS = 1e9
"""Seconds of a step, or of one pass of a trace, at most: thirty years."""

MOST_CHANGES = 10_000
"""Changes of one pass at most."""

Changes = tuple[tuple[int, LinkCondition | None], ...]
"""What packets meet, each from a time in nanoseconds on; the first from 0."""


class Timeline(ABC):
    """What packets meet as a function of the time since it began: it changes now and then.

    One pass takes a time, and can be repeated. What is met last is met from then on.
    """

    repeat: int | None

    @property
    @abstractmethod
    def _pass(self) -> tuple[Changes, int, LinkCondition | None]:
        """The changes of one pass, how long it takes in nanoseconds, and what is met after the last."""

    @cached_property
    def _compiled(self) -> tuple[list[int], list[LinkCondition | None]]:
        """The times of a pass at which something changes, and what it changes to."""
        times: list[int] = []
        met: list[LinkCondition | None] = []
        for time, condition in self._pass[0]:
            if not met or met[-1] != condition:
                times.append(time)
                met.append(condition)
        return times, met

    @property
    def pass_seconds(self) -> float:
        """How long one pass takes."""
        return self._pass[1] / SECOND

    @cached_property
    def conditions(self) -> tuple[LinkCondition | None, ...]:
        """All that packets ever meet, each once; None for a clean link."""
        changes, _, final = self._pass
        return tuple(dict.fromkeys((*(condition for _, condition in changes), final)))

    def at(self, seconds: float) -> LinkCondition | None:
        """What packets meet so many seconds after it began; None for a clean link.

        Raises:
            ConfigError: that is no number from 0 on.
        """
        if not is_number(seconds) or seconds < 0:
            message = f"{seconds!r} is not a number of seconds from 0 on"
            raise ConfigError(Problem("seconds", message))
        return self.at_nanoseconds(round(seconds * SECOND))

    def at_nanoseconds(self, time: int) -> LinkCondition | None:
        """The same, for a time in nanoseconds."""
        _, length, final = self._pass
        if self._is_over(time):
            return final
        times, met = self._compiled
        return met[bisect_right(times, time % length if length else 0) - 1]

    def next_change(self, time: int) -> int | None:
        """When something changes next after a time, both in nanoseconds; None if nothing will."""
        if self._is_over(time):
            return None
        _, length, _ = self._pass
        times, _ = self._compiled
        begun, within = divmod(time, length) if length else (0, 0)
        following = bisect_right(times, within)
        if following < len(times):
            return begun * length + times[following]
        return (begun + 1) * length

    def _is_over(self, time: int) -> bool:
        return self.repeat is not None and time >= self.repeat * self._pass[1]


def check_repeat(problems: Problems, repeat: object) -> None:
    """Add a problem unless this says how often something is played."""
    if repeat is not None and not (is_int(repeat) and 1 <= repeat < 2**31):
        problems.add(
            "repeat", f"{repeat!r} is not a whole number from 1 on, or None for without end"
        )


def check_seconds(problems: Problems, name: str, value: object) -> None:
    """Add a problem unless this is a time between two changes."""
    if not is_number(value) or value < LEAST_SECONDS:
        problems.add(name, f"{value!r} is not a number of seconds from {LEAST_SECONDS:g} on")
    elif value > MOST_SECONDS:
        problems.add(name, f"{value!r} is more than {MOST_SECONDS:g} seconds")


def nanoseconds(seconds: float) -> int:
    """A time in nanoseconds, to the nearest."""
    return round(seconds * SECOND)


def read_condition(
    problems: Problems, place: str, value: LinkCondition | str | None
) -> LinkCondition | None:
    """What was typed for a condition, or None with a problem added."""
    try:
        return None if value is None else parse(LinkCondition, value, place)
    except ConfigError as error:
        problems.extend(error)
        return None
