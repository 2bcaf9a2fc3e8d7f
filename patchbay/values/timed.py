"""What a link is told to do to packets: a condition, or one that changes by itself in time."""

from __future__ import annotations

from typing import Literal, TypeAlias

from patchbay.errors import ConfigError, Problem, nearest
from patchbay.values.link import LinkCondition
from patchbay.values.parsing import parse
from patchbay.values.schedule import Schedule
from patchbay.values.trace import Trace

TimedCondition: TypeAlias = LinkCondition | Schedule | Trace
"""What packets meet, always or in the course of time."""

Since: TypeAlias = Literal["now", "lab"]
"""What the times of a schedule or trace count from: the moment it is set, or the lab's beginning."""


def parse_condition(value: TimedCondition | str, place: str = "LinkCondition") -> TimedCondition:
    """Return what was typed, with the condition that a name stands for.

    Raises:
        ConfigError: there is no such condition; it names the one that comes nearest.
    """
    return value if isinstance(value, Schedule | Trace) else parse(LinkCondition, value, place)


def condition_now(value: TimedCondition | None, time: int = 0) -> LinkCondition | None:
    """Return what packets meet at a time in nanoseconds since it began; None for a clean link."""
    return value.at_nanoseconds(time) if isinstance(value, Schedule | Trace) else value


def check_since(value: Since) -> Since:
    """Return what was typed.

    Raises:
        ConfigError: it is none.
    """
    if value not in ("now", "lab"):
        near = nearest(str(value), ("now", "lab"))
        raise ConfigError(Problem("since", f"{value!r} is neither 'now' nor 'lab'", near))
    return value
