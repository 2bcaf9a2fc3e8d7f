"""Schedules and traces in files: in the place of a condition, as a table with their steps or changes.

condition = { steps = [{ hold = "wifi", seconds = 5 }, { ramp = "wifi-bad", seconds = 10 }] }
condition = { changes = [[0, "wifi"], [2.5, "none"]], seconds = 10, repeat = "forever" }
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from patchbay.errors import ConfigError, Problems
from patchbay.topology.toml import values
from patchbay.topology.toml.values import Parser, as_is, entries, made, mistake
from patchbay.topology.toml.writing import Value
from patchbay.values import Hold, LinkCondition, Ramp, Schedule, TimedCondition, Trace
from patchbay.values.parsing import canonical

NONE = "none"
"""What stands for a clean link."""
FOREVER = "forever"
"""What stands for a repetition without end."""

T = TypeVar("T")
_Dump = Callable[[LinkCondition], Value]


def condition(value: object) -> TimedCondition:
    """Read a condition, or a schedule or trace of it."""
    if not isinstance(value, dict):
        return values.condition(value)
    names = {canonical(name) for name in value}
    if "steps" in names:
        return _schedule(value)
    return _trace(value) if "changes" in names else values.condition(value)


def dump(of: TimedCondition, dump_condition: _Dump) -> Value:
    """Write it so that `condition` reads the same."""
    if isinstance(of, LinkCondition):
        return dump_condition(of)
    found: dict[str, Value] = {}

    def met(condition: LinkCondition | None) -> Value:
        return NONE if condition is None else dump_condition(condition)

    if isinstance(of, Schedule):
        found["steps"] = [_dump_step(step, met) for step in of.steps]
    else:
        found["changes"] = [[time, met(condition)] for time, condition in of.changes]
        found["seconds"] = of.seconds
    if of.repeat != 1:
        found["repeat"] = FOREVER if of.repeat is None else of.repeat
    return found


def _dump_step(step: Hold | Ramp, met: Callable[[LinkCondition | None], Value]) -> Value:
    if isinstance(step, Hold):
        seconds: dict[str, Value] = {} if step.seconds is None else {"seconds": step.seconds}
        return {"hold": met(step.condition), **seconds}
    found: dict[str, Value] = {
        "ramp": met(step.condition),
        "seconds": step.seconds,
        "step-seconds": step.step_seconds,
    }
    if step.start is not None:
        found["start"] = met(step.start)
    return found


def _schedule(value: Mapping[str, object]) -> Schedule:
    read = made(_Schedule, value, {"steps": _steps, "repeat": _repeat})
    return Schedule(*read.steps, repeat=read.repeat)


def _trace(value: Mapping[str, object]) -> Trace:
    read = made(_Trace, value, {"changes": _changes, "seconds": _number, "repeat": _repeat})
    return Trace(read.changes, read.seconds, repeat=read.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schedule:
    steps: tuple[Hold | Ramp, ...] = ()
    repeat: int | None = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    changes: tuple[tuple[float, LinkCondition | None], ...] = ()
    seconds: float | None = None
    repeat: int | None = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hold:
    hold: LinkCondition | None = None
    seconds: float | None = None


def _steps(value: object) -> tuple[Hold | Ramp, ...]:
    return _all(value, _step, "step")


def _step(value: object) -> Hold | Ramp:
    table = {canonical(name): each for name, each in entries(value).items()}
    if "hold" in table:
        hold = made(_Hold, table, {"hold": _condition_or_none, "seconds": as_is})
        return Hold(hold.hold, hold.seconds)
    if "ramp" not in table:
        raise mistake("a step is a table with 'hold' or 'ramp'")
    table["condition"] = table.pop("ramp")
    parsers: dict[str, Parser] = {
        **dict.fromkeys(("seconds", "step_seconds"), as_is),
        **dict.fromkeys(("condition", "start"), values.condition),
    }
    if "seconds" not in table:
        raise mistake("a ramp needs seconds")
    return made(Ramp, table, parsers)


def _changes(value: object) -> tuple[tuple[float, LinkCondition | None], ...]:
    return _all(value, _change, "change")


def _change(value: object) -> tuple[float, LinkCondition | None]:
    if not isinstance(value, list) or len(value) != 2:
        raise mistake(f"{value!r} is not an array of a time in seconds and a condition")
    return _number(value[0]), _condition_or_none(value[1])


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise mistake(f"{value!r} is not a number of seconds")
    return value


def _condition_or_none(value: object) -> LinkCondition | None:
    if isinstance(value, str) and canonical(value) == NONE:
        return None
    return values.condition(value)


def _repeat(value: object) -> int | None:
    if isinstance(value, str) and canonical(value) == FOREVER:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise mistake(f"{value!r} is not a whole number or {FOREVER!r}")
    return value


def _all(value: object, read: Callable[[object], T], what: str) -> tuple[T, ...]:
    """Read every entry of an array; all mistakes at once, each with the number of its entry."""
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array")
    problems = Problems()
    found = []
    for number, each in enumerate(value, 1):
        try:
            found.append(read(each))
        except ConfigError as error:
            problems.extend(error, f"{what} {number}")
    problems.check()
    return tuple(found)
