"""Which processes there are, and ending them: what /proc says, for whomever it was mounted.

A lab's /proc shows the numbers of its own pid namespace, or those of an outer one where the host
does not let a lab mount its own. So a name in /proc is only a name here; what a signal goes to is
a pidfd, and only after a second look: numbers are used again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from actors.linux import close_all, wait_readable

LOOKS = 3
"""Looks at the table of processes, each of which has to find nobody to kill, and nobody who has
ended since the look before: who forks and ends in the middle of a look has a child it may not see."""

MOST_LOOKS = 50
"""Looks that have to find nobody where others, that are nobody's business, end all the time."""


def kill_in_networks(namespaces: Iterable[int]) -> None:
    """Kill every process but this one in network namespaces, also such that are being forked."""
    wanted = {_identity(os.fstat(namespace)) for namespace in namespaces}

    def look() -> _Look:
        networks = {name: _network(name) for name in _names()}
        return _Look(
            [name for name, network in networks.items() if network in wanted],
            frozenset(name for name, network in networks.items() if network is None),
        )

    _kill_until_quiet(look)


def signal_descendants(number: int) -> None:
    """Send a signal to every process below this one."""
    for name in _descendants(()).found:
        pidfd = _open(name)
        if pidfd is not None:
            _signal(pidfd, number)
            os.close(pidfd)


def kill_descendants(besides: Collection[int] = ()) -> None:
    """Kill every process below this one, also such that are being forked.

    Args:
        besides: children, by process id, that are left alone with all that is below them.
    """
    _kill_until_quiet(lambda: _descendants(besides))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the table of processes has shown.

    Attributes:
        found: the names of those who are to be killed.
        unknown: the names of those who have ended, or are somebody else's.
    """

    found: Collection[str]
    unknown: frozenset[str]


def _kill_until_quiet(look: Callable[[], _Look]) -> None:
    """Kill until several looks in a row find nobody, and nobody who has ended just now."""
    quiet = idle = 0
    before: frozenset[str] = frozenset()
    while quiet < LOOKS and idle < MOST_LOOKS:
        seen = look()
        if _kill(seen.found):
            quiet = idle = 0
        else:
            quiet = quiet + 1 if seen.unknown <= before else 0
            idle += 1
        before = seen.unknown


def _kill(names: Iterable[str]) -> bool:
    """Kill processes and wait for their end; whether there were any."""
    pidfds = [pidfd for pidfd in map(_open, names) if pidfd is not None]
    for pidfd in pidfds:
        _signal(pidfd, signal.SIGKILL)
    for pidfd in pidfds:
        wait_readable(pidfd)
    close_all(pidfds)
    return bool(pidfds)


def _signal(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return  # it has ended by itself


def _open(name: str) -> int | None:
    """A descriptor of a process in /proc; None if it has ended, or is this one."""
    before = _entry(name)
    if before is None or before.pid == os.getpid():
        return None
    try:
        pidfd = os.pidfd_open(before.pid)
    except ProcessLookupError:
        return None
    if _entry(name) != before:  # the number belongs to another process by now
        os.close(pidfd)
        return None
    return pidfd


@dataclass(frozen=True, slots=True)
class _Entry:
    """A living process in /proc.

    Attributes:
        pid: its number in this process's pid namespace.
        parent: the name of its parent in /proc.
        started: the clock tick in which it started, which tells it from others of that number.
    """

    pid: int
    parent: str
    started: str


def _entry(name: str) -> _Entry | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            # the name of its program stands in brackets, and may hold any byte
            state, parent, *rest = file.read().rpartition(b")")[2].decode().split()
        with open(f"/proc/{name}/status", "rb") as file:
            numbers = next(line for line in file if line.startswith(b"NSpid:"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    if state in "ZX":
        return None  # dead; only its status is left
    return _Entry(int(numbers.split()[-1]), parent, rest[17])


def _names() -> Iterator[str]:
    """The names of all processes, the newest first: they are the ones to be gone in a moment."""
    return filter(str.isdigit, reversed(os.listdir("/proc")))


def _network(name: str) -> tuple[int, int] | None:
    try:
        return _identity(os.stat(f"/proc/{name}/ns/net"))
    except OSError:
        return None  # it has ended, or is somebody else's


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _descendants(besides: Collection[int]) -> _Look:
    children: dict[str, list[str]] = {}
    unknown = set()
    for name in _names():
        entry = _entry(name)
        if entry is None:
            unknown.add(name)
        elif entry.pid not in besides:
            children.setdefault(entry.parent, []).append(name)
    found: list[str] = []
    level = [os.readlink("/proc/self")]
    while level:
        level = [child for parent in level for child in children.get(parent, ())]
        found += level
    return _Look(found, frozenset(unknown))
