"""What every process of a guest waits for, in words: no input or output here.

The guest's first process sends, when nothing can go on any more, the number of the thread that
spins, or 0; a line for each place of its stack, with `@` before it; and a line for each thread. Its
end is data/processes.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_OF_A_FILE = {
    0: "reads",
    1: "writes",
    5: "asks about",
    17: "reads",
    18: "writes",
    19: "reads",
    20: "writes",
    42: "connects",
    43: "accepts from",
    44: "sends to",
    45: "receives from",
    46: "sends to",
    47: "receives from",
    73: "locks",
    232: "waits for events of",
    281: "waits for events of",
    288: "accepts from",
    299: "receives from",
    441: "waits for events of",
}
"""System calls of x86-64 whose first argument is a file, and what they do with it."""

_OTHERS = {
    7: "polls files",
    23: "selects among files",
    34: "waits for a signal",
    35: "sleeps",
    61: "waits for a child",
    65: "waits for a semaphore",
    70: "waits for a message",
    128: "waits for a signal",
    130: "waits for a signal",
    202: "waits for a lock or another thread",
    230: "sleeps",
    247: "waits for a child",
    270: "selects among files",
    271: "polls files",
    449: "waits for locks",
}
"""Further system calls that wait."""

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread, as the kernel describes it.

    Attributes:
        process: the number of its process.
        thread: its own number; the same for the main thread.
        state: R: it runs, or could; S, D: it waits; T: it is stopped.
        call: the system call that it is in, as /proc/PID/syscall says it.
        where: the kernel's function in which it waits.
        file: the file that the call is about, if it is about one.
        name: its name.
        arguments: the command line of its process.
    """

    process: int
    thread: int
    state: str
    call: str
    where: str
    file: str
    name: str
    arguments: str

    @property
    def waits_for(self) -> str:
        """What it does, in a few words."""
        number = self.call.split(" ")[0]
        if self.state == "T":
            return "is stopped"
        if not number.isdigit():
            return "computes" if self.state == "R" else f"waits in the kernel ({self.where})"
        words = _OF_A_FILE.get(int(number), "")
        if words and self.file:
            return f"{words} {self.file}"
        return _OTHERS.get(int(number), f"is in system call {number} ({self.where})")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a program's code.

    Attributes:
        path: the program or library; empty for code that is in no file.
        offset: how many bytes from the start of that file.
    """

    path: str
    offset: int


@dataclass(frozen=True, slots=True)
class Report:
    """What the guest's first process says.

    Attributes:
        spinning: the number of the thread that never waits; 0: all wait for ever.
        stack: where that thread is, and who called it.
        threads: all threads of the guest's processes.
    """

    spinning: int
    stack: tuple[Place, ...]
    threads: tuple[Thread, ...]


def parse(report: bytes) -> Report:
    """Read what the guest's first process has sent."""
    first, *lines = report.decode(errors="replace").splitlines()
    stack, threads = [], []
    for line in lines:
        fields = line.split("\t", 7)
        if line.startswith("@") and len(fields) == 2:
            stack.append(Place(fields[1], int(fields[0][1:], 16)))
        elif len(fields) == 8:  # the last line may be cut off
            threads.append(Thread(int(fields[0]), int(fields[1]), *fields[2:]))
    return Report(int(first), tuple(stack), tuple(threads))


def explain(report: Report, name_of: Callable[[Place], str]) -> tuple[str, tuple[str, ...]]:
    """What has happened, and a line for each thread that it concerns.

    Args:
        report: what the guest said.
        name_of: the function that a place is in, empty for one that nobody knows.
    """
    spinning, threads = report.spinning, report.threads
    if not spinning:
        return (
            "nothing is left to wait for: for a day of virtual time no process has run, and none "
            "has a timer",
            tuple(_line(each) for each in threads),
        )
    named = [each for each in threads if each.thread == spinning]
    who = f"{_name(named[0])} ({spinning})" if named else f"thread {spinning}"
    others = [_line(each) for each in threads if each.thread != spinning]
    return (
        f"{who} computes and never waits, so that virtual time stands still for all others",
        (*(f"  in {_at(each, name_of(each))}" for each in report.stack), *others),
    )


def _at(place: Place, function: str) -> str:
    where = f"{place.path or 'code of no file'}+{place.offset:#x}"
    return f"{function} ({where})" if function else where


def _line(thread: Thread) -> str:
    if thread.thread == thread.process:
        return f"{thread.process}  {_name(thread)}: {thread.waits_for}"
    return f"{thread.process}  thread {thread.thread} ({thread.name}): {thread.waits_for}"


def _name(thread: Thread) -> str:
    text = " ".join(thread.arguments.split()) or thread.name
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "..."
