"""Traces in files: those of this library, tables, and the recordings of Mahimahi.

A file that `save_trace` writes has one line of JSON that says what it is, and one for each change:

    {"trace": 1, "seconds": 12.5, "repeat": 1}
    {"at": 0, "condition": {"latency_ms": 5}}
    {"at": 2.25, "condition": null}

What a condition does not say is as in `LinkCondition()`; `null` is a clean link, and a `repeat` of
`null` is without end.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import ceil, floor
from typing import Any, Literal, cast

from patchbay.errors import ConfigError, Problem, Problems, nearest
from patchbay.topology.plain import from_plain, to_plain
from patchbay.values import DeliveryOpportunities, LinkCondition, Trace, parse
from patchbay.values.parsing import canonical, is_number
from patchbay.values.timeline import LEAST_SECONDS, MOST_CHANGES

FORMAT = 1
"""The format that `save_trace` writes."""

OPPORTUNITY = 1514
"""Bytes of a frame that a delivery opportunity of Mahimahi carries.

Mahimahi counts 1,504 bytes: an IP packet of 1,500 and the header of a TUN device of 4. A rate here
counts Ethernet frames, in which the same packet has 1,514."""

_TINY = 1e-9
"""What rounding may have added to a number of opportunities."""

COLUMNS = (
    *("latency_ms", "jitter_ms", "loss_pct", "rate_kbit", "reorder_pct", "duplicate_pct"),
    *("corrupt_pct", "loss_burst_pkts", "queue_pkts", "queue_bytes", "queue_ms"),
)
"""What a table can have beside `seconds`."""


def load_trace(
    path: str | os.PathLike[str],
    *,
    condition: LinkCondition | str = LinkCondition.LAN,
    window_seconds: float | None = None,
) -> Trace:
    """Read a trace from a file, which is one of these:

    - what `save_trace` wrote;
    - a table of comma-separated values, the first line naming its columns: `seconds`, and numbers
      of a `LinkCondition` such as `rate_kbit`, `latency_ms`, `loss_pct`. An empty field is as in
      `condition`. It is played once;
    - a recording of Mahimahi (`mm-link`): on each line the millisecond at which one packet can be
      delivered, repeated without end. They are played as `DeliveryOpportunities`, which a process
      of the lab makes; or, with `window_seconds`, as the rate of each window of time, which every
      kernel makes: full packets are delivered as often as there, and a window without any delivery
      is made one with the window after it.

    Args:
        path: the file.
        condition: what packets meet beside what a table or a recording of Mahimahi says.
        window_seconds: how long a window of a recording of Mahimahi is: a short one shows short
            outages, and makes more changes. None for its very opportunities.

    Raises:
        ConfigError: what is wrong in the file; all mistakes are told, with their lines.
        FileNotFoundError: there is no such file.
    """
    with open(path, encoding="utf-8-sig") as file:  # spreadsheets begin tables with a mark
        try:
            text = file.read()
        except UnicodeDecodeError:
            message = "it is no text in UTF-8, as traces are"
            raise ConfigError(Problem(os.fspath(path), message)) from None
    try:
        base = parse(LinkCondition, condition, "condition")
        return read_trace(text, base, window_seconds)
    except ConfigError as error:
        problems = Problems()
        problems.extend(error, os.fspath(path))
        problems.check()
        raise


def save_trace(
    trace: Trace,
    path: str | os.PathLike[str],
    *,
    file_format: Literal["patchbay", "mahimahi"] = "patchbay",
) -> None:
    """Write a trace to a file.

    Args:
        trace: the trace.
        path: the file.
        file_format: `patchbay`, from which `load_trace` reads the same, or `mahimahi` for a file as
            `mm-link` takes it: one pass, as opportunities or as rates that are made such. All
            else that packets meet is not in it. Its last line tells how long it is: it has an
            opportunity there in any case.

    Raises:
        ConfigError: this is no trace, or has a packet program, which a file cannot hold; the format
            is none, or is Mahimahi's, and the trace has no rate at some time (unless all packets
            are lost), never delivers anything, or takes no time.
    """
    given: object = trace
    if not isinstance(given, Trace):
        message = f"{type(given).__name__} is no Trace(...); Lab.to_toml() writes schedules"
        raise ConfigError(Problem("trace", message))
    texts = {"patchbay": trace_text, "mahimahi": mahimahi_text}
    if file_format not in texts:
        near = nearest(str(file_format), texts)
        message = f"{file_format!r} is none: 'patchbay' or 'mahimahi'"
        raise ConfigError(Problem("file_format", message, near))
    text = texts[file_format](trace)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def trace_text(trace: Trace) -> str:
    """Return what `save_trace` writes.

    Raises:
        ConfigError: it has packet programs, which a file cannot hold; all of them are told.
    """
    problems = Problems()
    for time, condition in trace.changes:
        if condition is not None and condition.program is not None:
            message = f"{condition.program} is Python and cannot be written into a file"
            problems.add(f"trace, at {time:g} s, program", message)
    problems.check()
    head = {"trace": FORMAT, "seconds": trace.seconds, "repeat": trace.repeat}
    rows = [{"at": time, "condition": _said(condition)} for time, condition in trace.changes]
    return "".join(json.dumps(each) + "\n" for each in (head, *rows))


def mahimahi_text(trace: Trace) -> str:
    """Return one pass of a trace as a recording of Mahimahi.

    Raises:
        ConfigError: it is none: see `save_trace`.
    """
    end = round(trace.pass_seconds * 1000)
    times = list(_delivery_times(trace, end))
    if end < 1 or not times:
        what = "it takes no time" if end < 1 else "nothing is ever delivered"
        raise ConfigError(Problem("trace", f"{what}, and a recording of Mahimahi cannot say so"))
    if times[-1] != end:
        times.append(end)
    return "".join(f"{time}\n" for time in times)


def _delivery_times(trace: Trace, end: int) -> Iterator[int]:
    """Yield the milliseconds of the opportunities that are or would be in one pass of a trace."""
    problems = Problems()
    credit = 0.0
    before: DeliveryOpportunities | None = None
    began = 0
    starts = [round(seconds * 1000) for seconds, _ in trace.changes]
    for begin, stop, (_, met) in zip(starts, [*starts[1:], end], trace.changes, strict=True):
        opportunities = None if met is None else met.opportunities
        if begin == stop:
            continue
        if opportunities is not None:
            began = began if opportunities == before else begin
            yield from _within(opportunities, began, begin, stop, stop == end)
        elif met is not None and met.rate_kbit is not None:
            per_ms = met.rate_kbit / 8
            full = credit + per_ms * (stop - begin)
            for number in range(1, floor(full / OPPORTUNITY + _TINY) + 1):
                yield begin + max(0, ceil((number * OPPORTUNITY - credit) / per_ms - _TINY))
            credit = full % OPPORTUNITY if full >= OPPORTUNITY else full
        elif met is None or met.loss_pct < 100:
            problems.add(f"trace, at {begin / 1000:g} s", "it has no rate_kbit, nor opportunities")
        before = opportunities
    problems.check()


def _within(
    opportunities: DeliveryOpportunities, began: int, begin: int, stop: int, last: bool
) -> Iterator[int]:
    """Yield those from one time on and before another; with `last`, those too that end a pass then."""
    length = opportunities.pass_ms
    first = max(0, (begin - began) // length - 1)  # one that ends now is not over yet
    for start in range(began + first * length, stop, length):
        for time in opportunities.times_ms:
            at = start + time
            if begin <= at < stop or (last and at == stop):
                yield at


def read_trace(
    text: str,
    condition: LinkCondition = LinkCondition.LAN,
    window_seconds: float | None = None,
) -> Trace:
    """Return the trace that a text is, in one of the formats of `load_trace`.

    Raises:
        ConfigError: what is wrong with it.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise ConfigError(Problem("", "it is empty"))
    first = lines[0][1]
    if first.startswith("{"):
        return _of_json(lines)
    if first.isdecimal():
        return _of_mahimahi(lines, condition, window_seconds)
    return _of_table(lines, condition)


def _said(condition: LinkCondition | None) -> dict[str, Any] | None:
    """The fields of a condition that are not as they usually are."""
    if condition is None:
        return None
    plain, usual = (
        cast("dict[str, Any]", to_plain(each)) for each in (condition, LinkCondition.LAN)
    )
    return {name: value for name, value in plain.items() if value != usual[name]}


_Lines = Iterable[tuple[int, str]]


def _of_json(lines: _Lines) -> Trace:
    problems = Problems()
    head: dict[str, Any] = {}
    changes: list[tuple[float, LinkCondition | None]] = []
    for number, line in lines:
        try:
            entry = json.loads(line)
            if not head:
                head = _head(entry)
            else:
                changes.append((entry["at"], _condition(entry["condition"])))
        except KeyError as error:
            problems.add(f"line {number}", f"{error.args[0]!r} is missing")
        except ConfigError as error:
            problems.extend(error, f"line {number}")
        except (ValueError, TypeError) as error:
            problems.add(f"line {number}", f"it is no line of a trace: {error}")
    problems.check()
    return Trace(changes, head["seconds"], repeat=head["repeat"])


def _condition(said: dict[str, Any] | None) -> LinkCondition | None:
    """What `_said` said; a program in a file would be code that whoever wrote it has run here."""
    if said is not None and "program" in said:
        raise ConfigError(Problem("program", "a packet program is Python: no file holds it"))
    return None if said is None else from_plain(LinkCondition, said)


def _head(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["trace"] != FORMAT:
        message = f"format {entry['trace']!r} is not {FORMAT}, the one that is known here"
        raise ConfigError(Problem("", message))
    return {"seconds": entry["seconds"], "repeat": entry["repeat"]}


def _of_table(lines: list[tuple[int, str]], condition: LinkCondition) -> Trace:
    problems = Problems()
    number, head = lines[0]
    (names,) = csv.reader([head])
    columns = [canonical(name) for name in names]
    known = ("seconds", *COLUMNS)
    for position, name in enumerate(columns):
        if name not in known:
            message = f"there is no column {name!r}; the first line names them"
            problems.add(f"line {number}", message, nearest(name, known))
        elif columns.index(name) != position:
            problems.add(f"line {number}", f"there are two columns {name!r}")
    if "seconds" not in columns:
        problems.add(f"line {number}", "there is no column 'seconds'")
    problems.check()
    changes = []
    for number, line in lines[1:]:
        try:
            changes.append(_row(columns, line, condition))
        except ConfigError as error:
            problems.extend(error, f"line {number}")
    problems.check()
    return Trace(changes)


def _row(columns: list[str], line: str, condition: LinkCondition) -> tuple[float, LinkCondition]:
    (fields,) = csv.reader([line])
    if len(fields) != len(columns):
        raise ConfigError(Problem("", f"{len(fields)} fields are not {len(columns)}"))
    problems = Problems()
    numbers: dict[str, Any] = {}
    for name, value in zip(columns, fields, strict=True):
        if not value.strip() and name != "seconds":
            continue
        try:
            number = float(value)
            numbers[name] = int(number) if number.is_integer() else number
        except ValueError:
            problems.add(name, f"{value!r} is not a number")
    problems.check()
    return numbers.pop("seconds"), replace(condition, **numbers)


def _of_mahimahi(lines: _Lines, condition: LinkCondition, window_seconds: float | None) -> Trace:
    problems = Problems()
    times: list[int] = []
    for number, line in lines:
        if not line.isdecimal():
            problems.add(f"line {number}", f"{line!r} is not a number of milliseconds")
        elif times and int(line) < times[-1]:
            problems.add(f"line {number}", f"{line} is before the one above it")
        else:
            times.append(int(line))
    if times and times[-1] == 0:
        problems.add("", "the last time is 0 ms: that is how long one pass takes")
    if window_seconds is None:
        problems.check()
        met = replace(condition, rate_kbit=None, opportunities=DeliveryOpportunities(times))
        return Trace([(0, met)], times[-1] / 1000)
    window = round(window_seconds * 1000) if is_number(window_seconds) else 0
    if window < 1:
        message = f"{window_seconds!r} is not a number of seconds from {LEAST_SECONDS:g} on"
        problems.add("window_seconds", message)
    elif times and times[-1] > window * MOST_CHANGES:
        problems.add("window_seconds", f"more than {MOST_CHANGES} windows: make them longer")
    problems.check()
    changes = [
        (begin / 1000, replace(condition, rate_kbit=count * OPPORTUNITY * 8 / (end - begin)))
        for begin, end, count in _windows(times, window)
    ]
    return Trace(changes, times[-1] / 1000, repeat=None)


def _windows(times: list[int], window: int) -> Iterator[tuple[int, int, int]]:
    """Yield the begin and the end of windows in milliseconds, and how many times are in each.

    The last one ends with the last time, and has it; it may be longer than others.
    """
    last = times[-1]
    begin = at = 0
    for end in (*range(window, last - window + 1, window), last):
        counted = at
        while at < len(times) and (times[at] < end or end == last):
            at += 1
        if at > counted:
            yield begin, end, at - counted
            begin = end
