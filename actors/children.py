"""The actors of a lab as their supervisor sees them: children, with what they print."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from actors import actor
from actors.actor import Inheritance, NodeSpec
from actors.errors import NodeDied, PatchbayError
from actors.inspection import stacks
from actors.isolation import HiddenDirectory
from actors.loop import Loop
from actors.output import Lines, Record

PIPE_SIZE = 64 * 1024
"""Bytes that a pipe holds at most (pipe(7))."""

LAST_LINES = 20
"""Lines of output that an error about a dead node shows."""


class Child:
    """The process of one node, living or dead. Its record outlives it.

    Attributes:
        spec: what the node is.
        endpoint: the name of its socket in the hidden directory; each process has another.
        pid: the process id; 0 when it is dead.
        pidfd: a descriptor of the living process.
        status: how it ended, negative for a signal; None while it lives.
    """

    def __init__(
        self,
        spec: NodeSpec,
        record: Record,
        loop: Loop,
        hidden: HiddenDirectory,
        on_end: Callable[[Child, int], None],
    ) -> None:
        self.spec = spec
        self.record = record
        self.endpoint = ""
        self.pid = 0
        self.pidfd = -1
        self.status: int | None = None
        self._loop = loop
        self._hidden = hidden
        self._on_end = on_end
        self._ready = -1
        self._birth: list[int] = []
        """The two ends, ours and theirs, of the pipes of a process that is being born."""
        self._given: Inheritance | None = None
        self._pipes: dict[int, Lines] = {}

    @property
    def dead(self) -> bool:
        """Whether it has ended, and been waited for."""
        return self.pid == 0

    # -- its life

    def prepare(self, endpoint: str) -> None:
        """Make what a process needs to start. `settle` follows, with or without `fork` between.

        Raises:
            PatchbayError: this host allows no more open files.
        """
        with self._refusals():
            for _ in range(3):
                self._birth += os.pipe2(os.O_CLOEXEC)
        _, tell, _, stdout, _, stderr = self._birth
        self._given = Inheritance(
            parent=os.getpid(),
            endpoint=endpoint,
            hidden=self._hidden.descriptor,
            ready=tell,
            stdout=stdout,
            stderr=stderr,
        )

    def fork(self) -> None:
        """Start the process; `wait_ready` tells when it serves.

        Raises:
            PatchbayError: this host allows no more processes.
        """
        assert self._given is not None, "it was not prepared"
        with self._refusals():
            pid = os.fork()
            if pid == 0:
                actor.main(self.spec, self._given)
            self.endpoint, self.pid, self.status = self._given.endpoint, pid, None
            self.pidfd = os.pidfd_open(pid)

    def settle(self) -> None:
        """Close what is the process's own, and listen to it; close everything if there is none."""
        theirs = self._birth[1::2] if self.pid else self._birth
        ours = self._birth[::2] if self.pid else []
        self._birth, self._given = [], None
        for descriptor in theirs:
            os.close(descriptor)
        if ours:
            self._ready, out, err = ours
            self._read_lines(out, self.record.open("stdout"))
            self._read_lines(err, self.record.open("stderr"))

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PatchbayError(
                f"node {self.spec.name!r} cannot have a process: {error.strerror}. A node takes "
                "one process and five open files; `ulimit -Hu` and `ulimit -Hn` show what this "
                "user may have"
            ) from error

    def wait_ready(self) -> NodeDied | None:
        """Wait until it serves; if it could not start, return the error that says why."""
        if self._ready < 0:
            return None
        said = b""
        while not said.endswith(b"\0") and (piece := os.read(self._ready, 4096)):
            said += piece
        self._close_ready()
        if said == b"\0":
            return None
        self.wait()
        return self.obituary(said.decode(errors="replace").rstrip("\0"))

    def wait(self) -> None:
        """Wait for the end of a process that is about to end."""
        if not self.dead:
            self.bury(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))

    def bury(self, status: int) -> None:
        """Take note that it has ended, and was waited for."""
        pid, self.pid, self.status = self.pid, 0, status
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        self.read_output()
        self._on_end(self, pid)

    def kill(self) -> None:
        """End it now, and stop listening to what it started."""
        if not self.dead:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        for descriptor in list(self._pipes):
            self._finish_lines(descriptor)
        self._close_ready()

    def obituary(self, reason: str = "") -> NodeDied:
        """The error for whoever asks something of a dead process."""
        assert self.status is not None, "it lives"
        reason = reason or how_it_ended(self.status)
        return NodeDied(self.spec.name, reason, self.status, self.record.last(LAST_LINES))

    def stack(self) -> str:
        """Where each of its threads is, as text."""
        return stacks(self.pidfd, self._hidden.path(self.endpoint))

    def _close_ready(self) -> None:
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1

    # -- what it prints

    def read_output(self) -> None:
        """Take all that it has printed until now."""
        for descriptor in list(self._pipes):
            self._read(descriptor)

    def _read_lines(self, descriptor: int, lines: Lines) -> None:
        os.set_blocking(descriptor, False)
        self._pipes[descriptor] = lines
        self._loop.watch(descriptor, lambda: self._read(descriptor))

    def _read(self, descriptor: int) -> None:
        """Take what is in a pipe now: once, or a node that prints for ever would keep us here."""
        try:
            data = os.read(descriptor, PIPE_SIZE)
        except BlockingIOError:
            return
        if data:
            self.record.feed(self._pipes[descriptor], data)
        else:
            self._finish_lines(descriptor)

    def _finish_lines(self, descriptor: int) -> None:
        self.record.finish(self._pipes.pop(descriptor))
        self._loop.forget(descriptor)
        os.close(descriptor)


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"its process exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"its process was killed by {name}"
