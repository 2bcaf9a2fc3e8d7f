"""What every process of a guest waits for, in words: no input or output here.

The guest's first process sends, when nothing can go on any more, the number of the thread that
spins, or 0, and then a line for each thread. Its end is data/processes.h.
"""

from __future__ import annotations

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


def parse(report: bytes) -> tuple[int, tuple[Thread, ...]]:
    """The thread that spins, or 0, and all threads."""
    first, *lines = report.decode(errors="replace").splitlines()
    threads = []
    for line in lines:
        process, thread, *rest = line.split("\t", 7)
        if len(rest) == 6:  # the last line may be cut off
            threads.append(Thread(int(process), int(thread), *rest))
    return int(first), tuple(threads)


def explain(report: bytes) -> tuple[str, tuple[str, ...]]:
    """What has happened, and a line for each thread that it concerns."""
    spinning, threads = parse(report)
    if not spinning:
        return (
            "nothing is left to wait for: for a day of virtual time no process has run, and none "
            "has a timer",
            tuple(_line(each) for each in threads),
        )
    named = [each for each in threads if each.thread == spinning]
    who = f"{_name(named[0])} ({spinning})" if named else f"thread {spinning}"
    others = tuple(_line(each) for each in threads if each.thread != spinning)
    return (
        f"{who} computes and never waits, so that virtual time stands still for all others",
        others,
    )


def _line(thread: Thread) -> str:
    if thread.thread == thread.process:
        return f"{thread.process}  {_name(thread)}: {thread.waits_for}"
    return f"{thread.process}  thread {thread.thread} ({thread.name}): {thread.waits_for}"


def _name(thread: Thread) -> str:
    text = " ".join(thread.arguments.split()) or thread.name
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "..."
