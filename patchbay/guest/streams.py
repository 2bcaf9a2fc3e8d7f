"""Carrying streams and signals between this process and the guest, until the command has ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from types import FrameType

from patchbay.errors import ConfigError, Problem
from patchbay.guest.channel import (
    DONE,
    END_OF_INPUT,
    ERRORS,
    FAILED,
    HEADER,
    INPUT,
    MOST_CONTENT,
    OUTPUT,
    SIGNAL,
    SIZE,
    SPINS,
    STUCK,
    TAKEN,
    Frames,
    frame,
    number,
)
from patchbay.guest.errors import GuestFailed, GuestStuck
from patchbay.guest.machine import Machine
from patchbay.guest.symbols import function_at
from patchbay.guest.waits import explain, parse

PASSED_ON = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
"""The signals that reach the command and not this process."""

_PATIENCE = 3
"""So many interruptions end a guest whose command does not."""

_ANSWERED_WITHIN = 20
"""Seconds for the guest to take an interruption, or to end once it is told to."""

_LOOK_EVERY = 1.0
_NUDGE_EVERY = 0.05
"""Seconds between two looks at a guest in virtual time, and while it has to answer."""

_INTERRUPT = b"\x03"
"""Ctrl-C, as a terminal sends it that leaves it to the guest what keys mean."""

_AT_ONCE = 1 << 16

_STREAMS = {1: "standard output", 2: "standard error"}

_MOST_UNREAD = 1 << 20
"""Bytes that a command may write to a stream whose reader is gone: far more than are on their way
when that is found out."""

_LEAST_UNREAD = 256
"""As how many of these one frame counts at least: short ones take long."""

_THREAD = struct.Struct("<i")


def terminals() -> tuple[int, ...]:
    """The standard streams that are a terminal, if the command shall have one.

    It has one if it is both read and written: a terminal of which one end is piped elsewhere is
    left as it is.
    """
    if not (os.isatty(0) and os.isatty(1)):
        return ()
    return tuple(number for number in range(3) if os.isatty(number))


def complete_input(most: int) -> bytes | None:
    """All of standard input, if it is all there already: a file, or nothing.

    Args:
        most: for how many bytes of a file there is room.

    Raises:
        ConfigError: the file has more.
    """
    status = os.fstat(0)
    if os.path.samestat(status, os.stat(os.devnull)):
        return b""
    if not stat.S_ISREG(status.st_mode):
        return None
    with open(0, "rb", closefd=False, buffering=0) as file:
        size = status.st_size - file.tell()
        if size > most:
            raise ConfigError(
                Problem(
                    "memory",
                    f"a file of {size / 2**20:.0f}M as standard input takes twice that in the "
                    f"guest's memory, and there are {max(most, 0) >> 20}M for it: give more, or name "
                    "the file to the command, which can read it there",
                )
            )
        return file.read()


class Relay:
    """The streams of one guest.

    Args:
        machine: the guest.
        terminal: whether the command has a terminal, which is this process's.
        live_input: whether standard input is passed on.
    """

    def __init__(self, machine: Machine, *, terminal: bool, live_input: bool) -> None:
        self._machine = machine
        self._to_guest = machine.to_guest
        self._from_guest = machine.from_guest
        self._log = machine.log
        self._watch = machine.watch
        self._terminal = terminal
        self._live_input = live_input
        self._frames = Frames()
        self._listens = False
        self._early: list[bytes] = []
        self._room = 0
        self._last_lines: deque[bytes] = deque(maxlen=20)
        self._interruptions = 0
        self._unread: dict[int, int] = {}
        self._must_answer = False
        self._looked = time.monotonic()
        self._stuck: GuestStuck | None = None

    def run(self) -> int:
        """Carry until the command has ended; return its wait status.

        Raises:
            GuestFailed: the guest ended otherwise, or the command could not be started.
            GuestStuck: the command could not go on, in virtual time.
        """
        with self._signals(), self._raw_terminal():
            self._send_size()
            while True:
                ready = self._wait()
                if self._log in ready and not self._read_log():
                    self._log = -1
                if 0 in ready:
                    self._read_input()
                if self._from_guest in ready:
                    data = self._machine.read()
                    for kind, content in self._frames.feed(data):
                        if kind == DONE and self._stuck:
                            raise self._stuck
                        if kind == DONE:
                            return number(content)
                        self._receive(kind, content)
                    if not data:
                        self._tell_of_death()

    def _wait(self) -> set[int]:
        """Wait until something can be read; return the descriptors."""
        poll = select.poll()
        poll.register(self._from_guest, select.POLLIN)
        if self._log >= 0:
            poll.register(self._log, select.POLLIN)
        if self._live_input and self._room > HEADER:
            poll.register(0, select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(self._look())}

    def _look(self) -> int | None:
        """See that the guest goes on; return in how many milliseconds to look again."""
        if self._watch is None:
            return None
        every = _NUDGE_EVERY if self._must_answer else _LOOK_EVERY
        elapsed = time.monotonic() - self._looked
        if elapsed >= every:
            self._looked, elapsed = time.monotonic(), 0.0
            if self._must_answer:
                self._watch.nudge()
            elif self._listens and (thread := self._watch.spinning()):
                self._send(frame(SPINS, _THREAD.pack(thread)))
                self._expect_answer()
        return int((every - elapsed) * 1000) + 1

    def _send(self, frame: bytes) -> None:
        """Write a frame in one piece, once the guest listens; `run` tells if it is dead."""
        if not self._listens:
            self._early.append(frame)
            return
        self._room -= len(frame)
        with contextlib.suppress(BrokenPipeError):
            os.write(self._to_guest, frame)

    def _begin(self) -> None:
        """The command has started: send what came too early."""
        self._listens = True
        for each in self._early:
            self._send(each)

    def _tell_of_death(self) -> None:
        while self._log >= 0 and self._read_log():
            pass
        raise GuestFailed("the guest ended without a word", self._messages())

    def _receive(self, kind: bytes, content: bytes) -> None:
        if kind in (OUTPUT, ERRORS):
            self._write(1 if kind == OUTPUT else 2, content)
        elif kind == TAKEN:
            self._room += number(content)
            self._must_answer = False
            signal.alarm(0)
            if not self._listens:
                self._begin()
        elif kind == STUCK:
            report = parse(content)
            self._stuck = GuestStuck(*explain(report, lambda at: function_at(at.path, at.offset)))
            self._expect_answer()
        elif kind == FAILED:
            reason = content.decode(errors="replace")
            raise GuestFailed(f"the guest cannot {reason}", self._messages())

    def _write(self, descriptor: int, data: bytes) -> None:
        """Write what the command wrote, or tell it that nobody reads that any more.

        It is told by SIGPIPE, as outside. What it writes nevertheless is thrown away, but not for ever.
        """
        stream = _STREAMS[descriptor]
        if descriptor not in self._unread:
            try:
                _write_all(descriptor, data)
                return
            except BrokenPipeError:
                self._unread[descriptor] = 0
                self._send(frame(SIGNAL, bytes([signal.SIGPIPE])))
                self._expect_answer()
            except OSError as error:
                raise GuestFailed(f"{stream} cannot be written: {error.strerror}") from error
        self._unread[descriptor] += max(len(data), _LEAST_UNREAD)
        if self._unread[descriptor] > _MOST_UNREAD:
            raise GuestFailed(f"nobody reads {stream}, and the command goes on writing there")

    def _read_input(self) -> None:
        """Pass on what standard input has."""
        try:
            data = os.read(0, min(MOST_CONTENT, self._room - HEADER))
        except OSError:  # a terminal that hung up
            data = b""
        self._live_input = bool(data)
        self._send(frame(INPUT, data) if data else frame(END_OF_INPUT))
        if self._terminal and _INTERRUPT in data:
            self._expect_answer()

    def _read_log(self) -> bool:
        """Keep what the guest's kernel says; whether more can come."""
        data = os.read(self._log, _AT_ONCE)
        self._last_lines.extend(line for line in data.splitlines() if line.strip())
        return bool(data)

    def _messages(self) -> list[str]:
        return [line.decode(errors="replace") for line in self._last_lines]

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self._pass_on) for each in PASSED_ON}
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resized)
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._unanswered)
        try:
            yield
        finally:
            signal.alarm(0)
            for each, handler in before.items():
                signal.signal(each, handler)

    def _pass_on(self, received: int, _: FrameType | None) -> None:
        if received in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            self._interruptions += 1
        if self._interruptions >= _PATIENCE:
            raise GuestFailed(
                f"the command did not end after {_PATIENCE} interruptions, so its guest was ended"
            )
        self._send(frame(SIGNAL, bytes([received])))
        self._expect_answer()

    def _expect_answer(self) -> None:
        """Give the guest time to take an interruption; code that never waits is interrupted for it."""
        if self._listens:
            self._must_answer = True
            signal.alarm(_ANSWERED_WITHIN)

    def _unanswered(self, _: int, __: FrameType | None) -> None:
        raise self._stuck or GuestFailed(
            f"the guest took no interruption for {_ANSWERED_WITHIN} seconds, so it was ended"
        )

    def _resized(self, _: int, __: FrameType | None) -> None:
        self._send_size()

    def _send_size(self) -> None:
        if self._terminal:
            self._send(frame(SIZE, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))))

    @contextlib.contextmanager
    def _raw_terminal(self) -> Iterator[None]:
        """Leave it to the guest's terminal what keys mean: it is told every one of them."""
        if not self._terminal:
            yield
            return
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # whoever gave it to this process does not want to wait
            select.select([], [descriptor], [])
