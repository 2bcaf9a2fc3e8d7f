"""Where the threads of an actor are: asked by its supervisor, without harm to any of them.

The actor's watcher is asked first (`actors.watcher`). It needs CPython's interpreter, and may wait
for it for ever, where a thread computes or blocks in C code and does not let go. Then every thread
that certainly runs no Python code is sent a signal of its own, whose handler, of `faulthandler`,
writes where that thread is. While a thread runs Python code this would be no question to ask:
whoever reads a frame that is just being made or unmade may read what is not there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator

from actors import linux, watcher
from actors.actor import STACK_SIGNAL
from actors.stacks import written
from actors.threads import Standstill, Thread, Threads, thread_of, threads_of

PAUSE = 10
"""Milliseconds from one look at a process to the next."""

PATIENCE = 500
"""Looks until all the threads of a process have told where they are. Looks and not seconds: these
go by on a machine that lets nobody run."""

ONE_PATIENCE = 100
"""Looks until one thread has."""

SILENCE = 3
"""Looks at a thread that has taken the signal, and writes nothing: it has no Python code."""

_WAITING = "Waiting for the interpreter, which another thread does not let go of, and not asked"

_ZMQ = "ZMQ"
"""What the names of ZeroMQ's own threads begin with, which run no Python code."""

_MASK = 1 << (STACK_SIGNAL - 1)


def stacks(pidfd: int, path: str) -> str:
    """Where each thread of an actor is: texts of threads, and remarks, with an empty line between.

    Args:
        pidfd: a descriptor of the process; if it ends meanwhile, the text is what it has said.
        path: what the paths of its pipes begin with.
    """
    try:
        with (
            _opened(f"{path}.ask", os.O_WRONLY) as ask,
            _opened(f"{path}.answer", os.O_RDONLY) as answers,
            _opened(f"{path}.stack", os.O_RDONLY) as words,
        ):
            return _Inspection(pidfd, ask, answers, words).stacks()
    except FileNotFoundError:
        return ""  # no code has ever run there, or there would be a watcher
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.EPIPE}:
            return ""  # it has ended
        raise


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Inspection:
    def __init__(self, pidfd: int, ask: int, answers: int, words: int) -> None:
        self._pidfd = pidfd
        self._ask = ask
        self._answers = answers
        self._words = words
        self._name = str(linux.host_pid(pidfd))
        self._number = b"%d" % time.monotonic_ns()
        self._heard = b""
        self._looks = 0

    def stacks(self) -> str:
        with contextlib.suppress(BlockingIOError):  # it has been deaf for long
            os.write(self._ask, self._number + b"\n")
        standstill = Standstill(watcher.NAME)
        now: Threads = {}
        while (answer := self._answer(PAUSE)) is None and self._looks < PATIENCE:
            self._looks += 1
            now = threads_of(self._name)
            standstill.look(now)
            if standstill.certain:
                return self._words_of(now, standstill.still)
        return _silent(now) if answer is None else answer

    # -- by the watcher

    def _answer(self, patience: int) -> str | None:
        """What the watcher says within some milliseconds; a process that has ended says nothing."""
        ready = linux.wait_readable(self._answers, self._pidfd, timeout=patience / 1000)
        *answers, self._heard = (self._heard + _read(self._answers)).split(watcher.END)
        for each in answers:  # the others are for somebody who has given up
            number, _, text = each.partition(b"\n")
            if number == self._number:
                return text.decode(errors="replace")
        return "" if self._pidfd in ready else None

    # -- by signals

    def _words_of(self, threads: Threads, still: frozenset[str]) -> str:
        """What the threads say that stand still, one after the other; and which were not asked."""
        main = next((each.name for each in threads.values() if each.main), "")
        told, others = [], []
        for name, thread in threads.items():
            if name in still and self._sleeps_on(name, thread):
                if (answer := self._answer(0)) is not None:
                    return answer  # the interpreter is free again, or the process has ended
                lines = self._lines_of(name, thread)
                if lines:
                    told.append(written(_title(thread, main), lines))
            elif thread.name != watcher.NAME:
                others.append(thread)
        return "\n\n".join([*told, f"{_WAITING}: {_listed(others)}"] if others else told)

    def _sleeps_on(self, name: str, before: Thread) -> bool:
        """Whether a thread that stood still has not moved since."""
        try:
            return thread_of(self._name, name).waits == before.waits
        except (FileNotFoundError, ProcessLookupError):
            return False

    def _lines_of(self, name: str, thread: Thread) -> list[str]:
        """Where a thread says that it is; no lines if it has nothing to say."""
        if not thread.caught & _MASK:
            return ["  <its process has no handler for being asked any more>"]
        if thread.blocked & _MASK:
            return [] if thread.name.startswith(_ZMQ) else ["  <it blocks all signals>"]
        _read(self._words)
        try:
            linux.tgkill(thread.process, thread.number, STACK_SIGNAL)
            return self._written_by(name)
        except (FileNotFoundError, ProcessLookupError):
            return []  # it has ended

    def _written_by(self, name: str) -> list[str]:
        """What a thread writes until the handler is done, which blocks the signal meanwhile."""
        text, silence, last = b"", 0, min(PATIENCE, self._looks + ONE_PATIENCE)
        while silence < SILENCE:
            if self._pidfd in linux.wait_readable(self._words, self._pidfd, timeout=PAUSE / 1000):
                break
            self._looks += 1
            thread = thread_of(self._name, name)
            text += _read(self._words)
            if not (thread.pending | thread.blocked) & _MASK:
                if text:
                    break
                silence += 1
            elif self._looks >= last:
                return [f"  <no answer: {thread.state}>"]
        return text.decode(errors="replace").splitlines()[1:]


def _title(thread: Thread, main: str) -> str:
    """What a thread is called: its number, and its name if it has one of its own."""
    if thread.main:
        return f"{thread.number} [MainThread]"
    return str(thread.number) if thread.name == main else f"{thread.number} [{thread.name}]"


def _silent(threads: Threads) -> str:
    return f"No answer within {PATIENCE * PAUSE / 1000:g} seconds: {_listed(threads.values())}"


def _listed(threads: Iterable[Thread]) -> str:
    shown = [each for each in threads if not each.name.startswith(_ZMQ)]
    return ", ".join(f"{each.number} ({each.state.partition('(')[2]}" for each in shown)


def _read(pipe: int) -> bytes:
    """All that is in a pipe."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(pipe, 1 << 16):
            data += piece
    return data
