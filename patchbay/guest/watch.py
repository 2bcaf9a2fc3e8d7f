"""Watching a guest in virtual time without disturbing it: does it ever wait?

Its kernel keeps a small memory up to date (see data/patches/watch.patch), which is read from here:
nothing is asked of the guest, so that no run differs for being watched.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PAGE = struct.Struct("=QQQ")
_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _USED = 1, slice(11, 15)
"""The fields of /proc/PID/stat after the name: the parent's number; the ticks of processor time in
user and kernel mode, own and of children that have ended."""


class Moment(NamedTuple):
    """What the guest's kernel said last."""

    time: int
    """Nanoseconds of virtual time since it started."""
    idles: int
    """How often all processes waited."""
    thread: int
    """The number of the thread that runs, 0 for none."""


@contextlib.contextmanager
def watch_page() -> Iterator[tuple[int, mmap.mmap]]:
    """The memory: a descriptor for the guest's kernel, and the memory itself."""
    file = os.memfd_create("watch")
    try:
        os.truncate(file, mmap.PAGESIZE)
        with mmap.mmap(file, mmap.PAGESIZE) as page:
            yield file, page
    finally:
        os.close(file)


class Watch:
    """Whether a guest waits now and then.

    Args:
        page: the memory that its kernel writes.
        kernel: its kernel's process.
        patience: so many seconds of processor time it may take without ever waiting; 0: for ever.
    """

    def __init__(self, page: mmap.mmap, kernel: int, patience: float) -> None:
        self._page = page
        self._kernel = kernel
        self._patience = patience
        self._idles = -1
        self._used = 0.0

    def moment(self) -> Moment:
        """What the guest's kernel says now."""
        return Moment(*_PAGE.unpack_from(self._page))

    def spinning(self) -> int:
        """The thread that has computed for longer than patience allows; 0: there is none."""
        now = self.moment()
        if now.idles != self._idles:
            self._idles, self._used = now.idles, self._processor_time()
        elif self._patience and self._processor_time() - self._used >= self._patience:
            return now.thread
        return 0

    def nudge(self) -> None:
        """Have the guest's kernel look up from whatever computes in it now.

        The host's processes behind those of the guest are children of its kernel; a SIGALRM hands
        control to the kernel, and does nothing else.
        """
        for child in _children(self._kernel):
            with contextlib.suppress(ProcessLookupError), _pidfd(child) as pidfd:
                fields = _stat(child)
                if fields[0] == "R" and int(fields[_PARENT]) == self._kernel:
                    signal.pidfd_send_signal(pidfd, signal.SIGALRM)

    def _processor_time(self) -> float:
        """Seconds that the guest has used of the host's processors."""
        ticks = sum(map(int, _stat(self._kernel)[_USED]))
        for child in _children(self._kernel):
            with contextlib.suppress(ProcessLookupError):
                ticks += sum(map(int, _stat(child)[_USED]))
        return ticks / _TICKS


@contextlib.contextmanager
def _pidfd(process: int) -> Iterator[int]:
    pidfd = os.pidfd_open(process)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _children(process: int) -> list[int]:
    try:
        return [
            int(child)
            for task in os.listdir(f"/proc/{process}/task")
            for child in Path(f"/proc/{process}/task/{task}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []  # it has ended


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, beginning with the state."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError as error:
        raise ProcessLookupError(process) from error
