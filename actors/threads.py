"""The threads of another process, as /proc shows them; and which of them certainly stand still."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

NOTICED = 3
"""Times that a thread waits for CPython's interpreter until whoever has it is asked to let go. It
asks after the first (`sys.setswitchinterval`, 5 ms); one more may be over when we begin to count."""

ENOUGH = 20
"""Times that it waits from then on, until who has not let go will not."""

LOOKS = 25
"""Looks at it from then on: among many that do let go, it may not be its turn at once."""

COMPUTED = 2
"""Ticks of the processor (10 ms each, mostly) in which Python code would have let go: it looks
every few microseconds whether it should. To wait for the interpreter takes no such time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread at one moment.

    Attributes:
        number: its id, in its own pid namespace.
        process: the id of its process, in the same.
        name: what it is called in /proc.
        state: what it does, in the kernel's words, such as `S (sleeping)`.
        waits: how many times it has gone to sleep.
        used: ticks of the processor that it has used.
        pending: the signals that were sent to it and are still to be delivered, as a mask.
        blocked: those that it does not take now.
        caught: those that its process has a handler for.
    """

    number: int
    process: int
    name: str
    state: str
    waits: int
    used: int
    pending: int
    blocked: int
    caught: int

    @property
    def main(self) -> bool:
        """Whether it is the first thread of its process."""
        return self.number == self.process

    @property
    def runs(self) -> bool:
        """Whether it has a processor, or waits for one."""
        return self.state.startswith("R")


Threads: TypeAlias = Mapping[str, Thread]
"""The threads of a process by their names in /proc."""


def threads_of(process: str) -> Threads:
    """The threads of a process now; none if it has ended.

    Args:
        process: its name in /proc, which may show an outer pid namespace.
    """
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                found[name] = thread_of(process, name)
    return found


def thread_of(process: str, name: str) -> Thread:
    """One thread of a process, by its name in /proc.

    Raises:
        FileNotFoundError, ProcessLookupError: it has ended.
    """
    with open(f"/proc/{process}/task/{name}/status", errors="replace") as file:
        fields = {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    with open(f"/proc/{process}/task/{name}/stat", "rb") as file:
        numbers = file.read().rpartition(b")")[2].split()
    return Thread(
        number=int(fields["NSpid"].split()[-1]),
        process=int(fields["NStgid"].split()[-1]),
        name=fields["Name"],
        state=fields["State"],
        waits=int(fields["voluntary_ctxt_switches"]),
        used=int(numbers[11]) + int(numbers[12]),
        pending=int(fields["SigPnd"], 16),
        blocked=int(fields["SigBlk"], 16),
        caught=int(fields["SigCgt"], 16),
    )


class Standstill:
    """Finds the threads that run no Python code, when one keeps the interpreter to itself.

    Somebody waits for the interpreter all the time: the witness, a thread of that name. Whoever
    runs Python code is asked to let go of it then, and goes to sleep until it has it again. So a
    thread that has not once gone to sleep, while the witness waited many times, runs no Python
    code: it sleeps all the time, in a system call, or it has computed for long, in C code. Where
    others compute, and go to sleep, the interpreter goes from one to the next.
    """

    def __init__(self, witness: str) -> None:
        self._name = witness
        self._witness = ""
        self._first: Threads = {}
        self._since: Threads = {}
        self._now: Threads = {}
        self._looks = 0
        """How many there were since the witness's demand is known."""

    def look(self, now: Threads) -> None:
        """Take note of all threads of the process as they are now, some milliseconds later."""
        self._witness = next((name for name, each in now.items() if each.name == self._name), "")
        if not self._witness:
            return
        self._now = now
        self._looks += 1
        if not self._first or self._goes_round:
            self._first, self._since = now, {}
        if not self._since and self._waited(self._first) >= NOTICED:
            self._since, self._looks = now, 0

    @property
    def certain(self) -> bool:
        """Whether it is known which threads stand still."""
        return (
            self._lasted
            and not self._goes_round
            and all(self._moved(each) or self._stood(each) for each in self._now)
        )

    @property
    def still(self) -> frozenset[str]:
        """The threads that run no Python code; none before it is certain."""
        return frozenset(filter(self._stood, self._now)) if self.certain else frozenset()

    @property
    def _lasted(self) -> bool:
        return bool(self._since) and self._looks >= LOOKS and self._waited(self._since) >= ENOUGH

    @property
    def _goes_round(self) -> bool:
        """Whether threads compute that have gone to sleep too."""
        return self._lasted and sum(map(self._used, filter(self._moved, self._since))) >= COMPUTED

    def _waited(self, before: Threads) -> int:
        return self._now[self._witness].waits - before[self._witness].waits

    def _used(self, name: str) -> int:
        """The ticks that a thread has used; one that has ended, none."""
        return self._now.get(name, self._since[name]).used - self._since[name].used

    def _moved(self, name: str) -> bool:
        if name not in self._since or name not in self._now:
            return True
        return self._now[name].waits != self._since[name].waits

    def _stood(self, name: str) -> bool:
        if self._moved(name):
            return False
        return not self._now[name].runs or self._used(name) >= COMPUTED
