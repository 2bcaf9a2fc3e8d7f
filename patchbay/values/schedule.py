"""A condition as a sequence in time, with ramps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.link import LinkCondition
from patchbay.values.ramp import between, check_ends
from patchbay.values.timeline import (
    MOST_CHANGES,
    SECOND,
    Changes,
    Timeline,
    check_repeat,
    check_seconds,
    nanoseconds,
    read_condition,
)


@dataclass(frozen=True, slots=True, init=False)
class Hold:
    """A step of a schedule in which packets meet the same all the time.

    Attributes:
        condition: what they meet; None for a clean link.
        seconds: how long; None for ever, which only the last step of a schedule can.
    """

    condition: LinkCondition | None
    seconds: float | None

    def __init__(self, condition: LinkCondition | str | None, seconds: float | None = None) -> None:
        """Say what packets meet; the name of a preset does as well.

        Raises:
            ConfigError: values that are none; all of them are told.
        """
        problems = Problems()
        object.__setattr__(self, "condition", read_condition(problems, "condition", condition))
        object.__setattr__(self, "seconds", seconds)
        if seconds is not None:
            check_seconds(problems, "seconds", seconds)
        problems.check()


@dataclass(frozen=True, slots=True, init=False)
class Ramp:
    """A step of a schedule in which a condition becomes another little by little.

    It begins with one condition and ends with the other. Meanwhile there is a change every
    `step_seconds`, to what is then in the middle of the way as much as of the time: delays, rates,
    shares and sizes of queues are so; all else is that of the second condition from the first
    change on.

    Attributes:
        condition: what it leads to, and what packets meet when it is over, until the next step.
        seconds: how long it takes.
        step_seconds: time between two changes.
        start: what it begins with; None for what was there before, which is a clean link before
            the first step.
    """

    condition: LinkCondition
    seconds: float
    step_seconds: float
    start: LinkCondition | None

    def __init__(
        self,
        condition: LinkCondition | str,
        seconds: float,
        step_seconds: float = 0.1,
        *,
        start: LinkCondition | str | None = None,
    ) -> None:
        """Say what becomes of what; names of presets do as well.

        Raises:
            ConfigError: values that are none, or nothing is between the two conditions; all
                mistakes are told.
        """
        problems = Problems()
        leads_to = read_condition(problems, "condition", condition)
        given: object = condition
        if given is None:
            problems.add("condition", "None is a clean link already: ramp to 'lan', which is one")
        begin = read_condition(problems, "start", start)
        object.__setattr__(self, "condition", leads_to)
        object.__setattr__(self, "start", begin)
        for name, value in (("seconds", seconds), ("step_seconds", step_seconds)):
            object.__setattr__(self, name, value)
            check_seconds(problems, name, value)
        if begin is not None and leads_to is not None:
            try:
                check_ends(begin, leads_to)
            except ConfigError as error:
                problems.extend(error)
        problems.check()

    def changes(self, begin: LinkCondition) -> Iterable[tuple[float, LinkCondition]]:
        """Its changes, but for the one to what it leads to, by seconds since it began.

        Args:
            begin: what was there before.

        Raises:
            ConfigError: some of the conditions between the two cannot be.
        """
        start = self.start or begin
        check_ends(start, self.condition)
        count = max(1, math.ceil(self.seconds / self.step_seconds - 1e-9))
        for number in range(count):
            time = number * self.step_seconds
            yield time, between(start, self.condition, time / self.seconds)


@dataclass(frozen=True, init=False)
class Schedule(Timeline):
    """A condition as a sequence in time.

        Schedule(Hold("wifi", 5), Ramp("wifi_bad", 10), Hold(LinkCondition(loss_pct=100), 2))

    When it is over, what packets met last they meet from then on.

    Attributes:
        steps: what happens, one after the other.
        repeat: how often all of it happens; None for without end.
    """

    steps: tuple[Hold | Ramp, ...]
    repeat: int | None

    def __init__(
        self,
        *each: Hold | Ramp,
        steps: Iterable[Hold | Ramp] = (),
        repeat: int | None = 1,
    ) -> None:
        """Say what happens.

        Args:
            each: the steps.
            steps: further ones, for those who have them in a list.
            repeat: how often all of it happens; None for without end.

        Raises:
            ConfigError: what is wrong with the steps, or there are too many of them; all is told.
        """
        problems = Problems()
        object.__setattr__(self, "steps", (*each, *steps))
        object.__setattr__(self, "repeat", repeat)
        check_repeat(problems, repeat)
        self._check_steps(problems)
        problems.check()
        self._check_changes()
        _ = self._pass

    def _check_steps(self, problems: Problems) -> None:
        if not self.steps:
            problems.add("steps", "there are none: give a Hold(...) or a Ramp(...)")
        for number, step in enumerate(self.steps, 1):
            kind: object = step
            last = number == len(self.steps)
            if not isinstance(kind, Hold | Ramp):
                message = f"{step!r} is no Hold(...) or Ramp(...)"
                problems.add(f"step {number}", message)
            elif step.seconds is None and not (last and self.repeat == 1):
                why = "another follows" if not last else "the first follows again"
                problems.add(f"step {number}, seconds", f"how long it lasts is missing: {why}")

    def _check_changes(self) -> None:
        """Count the changes before they are made."""
        counts = [
            step.seconds / step.step_seconds if isinstance(step, Ramp) else 1.0
            for step in self.steps
        ]
        if sum(counts) > MOST_CHANGES:
            message = (
                f"{sum(counts):.0f} changes are more than {MOST_CHANGES}: make the step_seconds of"
                " ramps longer"
            )
            raise ConfigError(Problem("steps", message))

    @cached_property
    def _pass(self) -> tuple[Changes, int, LinkCondition | None]:
        problems = Problems()
        found: list[tuple[int, LinkCondition | None]] = []
        begin, met = 0.0, None
        for number, step in enumerate(self.steps, 1):
            if isinstance(step, Ramp):
                try:
                    for time, condition in step.changes(met or LinkCondition.LAN):
                        found.append((nanoseconds(begin + time), condition))
                except ConfigError as error:
                    problems.extend(error, f"step {number}")
            else:
                found.append((nanoseconds(begin), step.condition))
            begin, met = begin + (step.seconds or 0.0), step.condition
        problems.check()
        return tuple(found), nanoseconds(begin), met

    def __hash__(self) -> int:
        return hash((len(self.steps), self.steps[0], self.repeat))

    @property
    def changes(self) -> tuple[tuple[float, LinkCondition | None], ...]:
        """The changes of one pass: seconds since it began, and what packets meet from then on."""
        return tuple((time / SECOND, condition) for time, condition in self._pass[0])

    def repeated(self, repeat: int | None = None) -> Schedule:
        """The same, so often; without end if nothing is said."""
        return replace(self, repeat=repeat)
