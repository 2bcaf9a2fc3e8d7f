"""Programs on a node: `subprocess.Popen`, with another process as the parent."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import termios
import threading
import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any, AnyStr, BinaryIO, TypeAlias, cast

from actors.attachment import DEATH, Life
from actors.channel import Channel, Closed
from actors.connection import Connection
from actors.exceptions import unpack_exception
from actors.linux import host_pid
from actors.pickling import dumps
from actors.protocol import Plain

Command: TypeAlias = str | bytes | os.PathLike[str] | Sequence[object]
"""A program and its arguments: strings, paths, addresses, nodes; for a shell, one string."""

_WHOLE_GROUP = 4
"""PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal(2), since Linux 6.9."""

_STREAMS = frozenset({"stdin", "stdout", "stderr"})
_TEXT = frozenset({"text", "encoding", "errors", "universal_newlines"})
_OURS = _STREAMS | _TEXT | {"bufsize", "pipesize"}
"""Arguments of `Popen` that concern this side; the others are the node's."""


def plain_command(cmd: Command) -> str | bytes | list[str | bytes]:
    """The command with addresses, nodes and other objects turned to text."""
    if isinstance(cmd, (str, bytes)):
        return cmd
    if isinstance(cmd, os.PathLike):
        return os.fspath(cmd)
    return [_argument(each) for each in cmd]


def _argument(value: object) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, os.PathLike):
        return cast("str | bytes", os.fspath(value))
    address = getattr(value, "ip", None)
    if hasattr(value, "lab") and address is not None:
        return str(address)
    return str(value)


class Process(subprocess.Popen[AnyStr]):
    """A program on a node; all of `subprocess.Popen` holds.

    It has a session of its own. `kill()` and `terminate()` reach its whole process group;
    `send_signal()` the program alone.

    Attributes:
        pid: its process id, as this process sees it; `node_pid` is the one that the node sees.
        terminal: with `pty=True`, this side of its terminal, an unbuffered binary file. Its size
            is that of this process's terminal, or 24 lines of 80 columns.
    """

    _pidfd = -1
    _channel: Channel | None = None
    _life: Life | None = None

    def __init__(
        self, connection: Connection, node: str, cmd: Command, *, pty: bool = False, **options: Any
    ) -> None:
        self._connection: Connection = connection
        self._node: str = node
        self._learning: threading.Lock = threading.Lock()
        """Held by the thread that waits for the exit status."""
        self._signalling: threading.Lock = threading.Lock()
        """Held while the pidfd is used or closed."""
        self.terminal: BinaryIO | None = None
        self.node_pid: int = 0
        self._has_terminal: bool = pty
        self._keep: tuple[int, ...] = tuple(options.pop("pass_fds", ()))
        self._joined: bool = options.get("stderr") == subprocess.STDOUT
        self._sent: dict[str, Any] = {
            key: value for key, value in options.items() if key not in _OURS
        }
        ours = {key: value for key, value in options.items() if key in _OURS}
        with contextlib.ExitStack() as undo:
            if pty:
                ours |= self._open_terminal(ours, undo)
            super().__init__(cast("Any", plain_command(cmd)), **ours)
            if pty:
                undo.pop_all()
                os.close(self._far_side)

    def _open_terminal(self, options: dict[str, Any], undo: contextlib.ExitStack) -> dict[str, Any]:
        taken = [name for name in ("stdin", "stdout", "stderr") if options.get(name) is not None]
        if taken:
            raise ValueError(f"with pty=True the terminal is all three streams: leave out {taken}")
        main, self._far_side = os.openpty()
        undo.callback(os.close, self._far_side)
        terminal = cast("BinaryIO", os.fdopen(main, "r+b", buffering=0))
        undo.callback(terminal.close)
        import shutil  # for terminals alone: it loads every compression there is

        columns, lines = shutil.get_terminal_size()
        termios.tcsetwinsize(main, (lines, columns))
        self.terminal = terminal
        return dict.fromkeys(("stdin", "stdout", "stderr"), self._far_side)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, value, traceback)
        if self.terminal is not None:
            self.terminal.close()

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: Any,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: Any,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        *credentials: Any,
    ) -> None:
        """Have the node start it; called by `Popen` once the pipes are made."""
        joined = self._joined and c2pwrite == -1
        descriptors: list[int] = []
        streams: list[int | None] = []
        for descriptor in (p2cread, c2pwrite, -1 if joined else errwrite):
            streams.append(None if descriptor == -1 else len(descriptors))
            descriptors += [descriptor] if descriptor != -1 else []
        options = {
            **self._sent,
            "args": args,
            "cwd": os.fspath(self._sent.get("cwd") or os.getcwd()),
            "env": dict(os.environ) if self._sent.get("env") is None else self._sent["env"],
            "streams": streams,
            "joined": joined,
            "keep": list(self._keep),
            "terminal": self._has_terminal,
        }
        try:
            self._start(options, [*descriptors, *self._keep])
        finally:
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]
        self._child_created = True

    def _start(self, options: dict[str, Any], descriptors: list[int]) -> None:
        message: dict[str, Plain] = {
            "operation": "program",
            "options": [bytes(frame) for frame in dumps(options)],
        }
        attachment = self._connection.attachment(self._node)
        channel = self._connection.door(attachment)
        try:
            channel.send(message, descriptors)
            answer, received = channel.receive()
            if "error" in answer:
                raise unpack_exception(cast("list[bytes]", answer["error"]))
            (self._pidfd,) = received
            self.node_pid = cast("int", answer["pid"])
            self.pid = host_pid(self._pidfd)
            channel.send({})  # from now on it may be waited for, and lose its process id
        except BaseException as error:
            channel.close()
            if isinstance(error, Closed):
                attachment.check_death()
                raise self._connection.obituary(attachment) from None
            raise
        self._channel = channel
        self._life = attachment.life

    # -- its end: what `Popen` asks the kernel of its own children, we ask the node

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        return self._learn(0.0)

    def _wait(self, timeout: float | None) -> int:
        status = self._learn(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, cast("float", timeout))
        return status

    def _learn(self, timeout: float | None) -> int | None:
        """Its exit status, if it is known within so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._learning.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            try:
                while self.returncode is None and self._pidfd >= 0:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    if not self._hear(left):
                        return None
            finally:
                self._learning.release()
        return self.returncode

    def _hear(self, timeout: float | None) -> bool:
        """Wait for news of its end; say whether there were any."""
        source = self._pidfd if self._channel is None else self._channel.fileno()
        poll = select.poll()
        poll.register(source, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return False
        if self._channel is None:
            # the node's process died first: once it is gone, this one is an orphan of the
            # supervisor's
            if self._life is not None:
                self._life.over(DEATH)
            self.returncode = self._connection.orphan_status(self.node_pid)
        else:
            try:
                answer, _ = self._channel.receive()
                self.returncode = cast("int", answer["status"])
            except Closed:
                self._channel.close()
                self._channel = None
        if self.returncode is not None:
            self._release()
        return True

    def _release(self) -> None:
        self._life = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._pidfd >= 0:
            with self._signalling:
                os.close(self._pidfd)
                self._pidfd = -1

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program, if it has not ended."""
        self._signal(sig)

    def kill(self) -> None:
        """Kill the program and everything in its process group (SIGKILL)."""
        self._signal(signal.SIGKILL, _WHOLE_GROUP)

    def terminate(self) -> None:
        """Ask the program and everything in its process group to end (SIGTERM)."""
        self._signal(signal.SIGTERM, _WHOLE_GROUP)

    def _signal(self, number: int, flags: int = 0) -> None:
        self._learn(0.0)
        with self._signalling:
            if self._pidfd < 0:
                return
            try:
                signal.pidfd_send_signal(self._pidfd, number, None, flags)
            except ProcessLookupError:
                return  # it has ended: the next question for its status will show that
            except OSError as error:
                if error.errno != errno.EINVAL or not flags:
                    raise
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)  # an older kernel

    def __del__(self) -> None:
        """Let go of a program that nobody waited for; it runs on until its node is closed."""
        try:
            if self._child_created and self.returncode is None:
                warnings.warn(
                    f"program {self.pid} of node {self._node!r} was not waited for, and may run on",
                    ResourceWarning,
                    source=self,
                    stacklevel=2,
                )
        finally:
            self._release()
