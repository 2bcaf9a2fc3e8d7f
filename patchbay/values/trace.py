"""What packets met over time: measured, recorded from a run, or made by a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.link import LinkCondition
from patchbay.values.parsing import is_number
from patchbay.values.timeline import (
    LEAST_SECONDS,
    MOST_CHANGES,
    MOST_SECONDS,
    Changes,
    Timeline,
    check_repeat,
    check_seconds,
    nanoseconds,
    read_condition,
)


@dataclass(frozen=True, init=False)
class Trace(Timeline):
    """What packets meet over time, as a table: each condition holds until the next.

    When it is over, what packets met last they meet from then on.

    Attributes:
        changes: seconds since it began, from 0 on, and what packets meet from then on; None for a
            clean link.
        seconds: how long one pass takes.
        repeat: how often it is played; None for without end.
    """

    changes: tuple[tuple[float, LinkCondition | None], ...]
    seconds: float
    repeat: int | None

    def __init__(
        self,
        changes: Iterable[tuple[float, LinkCondition | str | None]],
        seconds: float | None = None,
        *,
        repeat: int | None = 1,
    ) -> None:
        """Take a table; names of presets do as well as conditions.

        Args:
            changes: as the attribute.
            seconds: how long one pass takes; until the last change if not given.
            repeat: how often it is played; None for without end.

        Raises:
            ConfigError: what is wrong with it; all mistakes are told.
        """
        problems = Problems()
        found: list[tuple[float, LinkCondition | None]] = []
        before: float | None = None
        number = 0
        for number, change in enumerate(changes, 1):
            place = f"change {number}"
            given: object = change
            if not isinstance(given, tuple | list) or len(given) != 2:
                problems.add(place, f"{given!r} is no pair of seconds and what packets meet then")
                continue
            time, condition = change
            _check_time(problems, place, time, before)
            before = time if is_number(time) else before
            found.append((time, read_condition(problems, place, condition)))
        if not 1 <= number <= MOST_CHANGES:
            problems.add("changes", f"{number} of them are not 1 to {MOST_CHANGES}")
        check_repeat(problems, repeat)
        last = found[-1][0] if found else 0.0
        if seconds is None:
            seconds = last
            if repeat != 1:
                problems.add("seconds", "how long one pass takes is missing: it is repeated")
        elif not is_number(seconds) or seconds > MOST_SECONDS:
            message = f"{seconds!r} is not a number of seconds up to {MOST_SECONDS:g}"
            problems.add("seconds", message)
        elif not problems and seconds < last + (0 if repeat == 1 else LEAST_SECONDS):
            problems.add("seconds", f"{seconds!r} is not after the last change, at {last:g}")
        object.__setattr__(self, "changes", tuple(found))
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "repeat", repeat)
        problems.check()

    @cached_property
    def _pass(self) -> tuple[Changes, int, LinkCondition | None]:
        found = tuple((nanoseconds(time), condition) for time, condition in self.changes)
        return found, nanoseconds(self.seconds), found[-1][1]

    def __hash__(self) -> int:
        return hash((len(self.changes), self.changes[-1], self.seconds, self.repeat))

    def repeated(self, repeat: int | None = None) -> Trace:
        """The same, so often; without end if nothing is said."""
        return replace(self, repeat=repeat)

    @classmethod
    def of_function(
        cls,
        function: Callable[[float], LinkCondition | str | None],
        seconds: float,
        step_seconds: float = 0.1,
        *,
        repeat: int | None = 1,
    ) -> Trace:
        """Make a trace of a function of time.

        It is called here and now, once for each step: a trace is data, the same in every run.

        Args:
            function: takes seconds since the trace began, and tells what packets meet.
            seconds: how long one pass takes.
            step_seconds: time between two calls.
            repeat: how often it is played; None for without end.

        Raises:
            ConfigError: what is wrong with the times, or with what the function tells.
        """
        problems = Problems()
        for name, value in (("seconds", seconds), ("step_seconds", step_seconds)):
            check_seconds(problems, name, value)
        problems.check()
        count = max(1, math.ceil(seconds / step_seconds - 1e-9))
        if count > MOST_CHANGES:
            message = f"{count} changes are more than {MOST_CHANGES}: make it longer"
            raise ConfigError(Problem("step_seconds", message))
        times = [number * step_seconds for number in range(count)]
        return cls([(time, function(time)) for time in times], seconds, repeat=repeat)


def _check_time(problems: Problems, place: str, time: object, before: float | None) -> None:
    if not is_number(time) or time > MOST_SECONDS:
        problems.add(place, f"{time!r} is not a number of seconds up to {MOST_SECONDS:g}")
    elif before is None:
        if time != 0:
            problems.add(place, f"the first one is at 0 seconds, not at {time:g}")
    elif time < before + LEAST_SECONDS - 1e-9:
        problems.add(place, f"{time:g} s is not {LEAST_SECONDS:g} s after the one before it")
