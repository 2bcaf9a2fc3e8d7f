"""Programs on a node, for asyncio code: `asyncio.subprocess.Process`, with another parent."""

from __future__ import annotations

import asyncio
import contextlib
import locale
import os
import subprocess
import weakref
from asyncio.streams import FlowControlMixin
from typing import Any, BinaryIO, Self

from actors.node import Node
from actors.process import Command, Process
from patchbay.aio.twin import make

_CHUNK = 1 << 16

_TEXT = ("text", "universal_newlines", "encoding", "errors")
"""Options of `subprocess.Popen` that ask for text instead of bytes."""


class AsyncProcess:
    """A program on a node: the twin of `Process`, with the streams of asyncio.

    What asyncio does not await is not awaited here: signals, and `poll()`. As an async context
    manager it waits until the program has ended; if an exception leaves the block, the program is
    killed first, with all that it has started.

    Attributes:
        sync: the `Process` itself.
        stdin: a stream to the program, if `stdin=PIPE` was asked for.
        stdout: a stream of bytes from the program, if `stdout=PIPE` was asked for; also in text
            mode, which concerns `communicate` alone.
        stderr: as `stdout`.
    """

    def __init__(self, sync: Process[Any], options: dict[str, Any]) -> None:
        self.sync = sync
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._is_text = any(options.values())
        self._encoding = options.get("encoding") or locale.getencoding()
        self._errors = options.get("errors") or "strict"
        self._transports: list[asyncio.BaseTransport] = []
        self._received = bytearray(), bytearray()
        self._communicates = False
        self._ended = asyncio.Event()
        self._pidfd = os.dup(sync._pidfd)
        self._close_pidfd = weakref.finalize(self, os.close, self._pidfd)
        asyncio.get_running_loop().add_reader(self._pidfd, self._note_end)

    @classmethod
    async def start(cls, node: Node, cmd: Command, **options: Any) -> Self:
        """Start a program; see `Node.popen`. A cancellation meanwhile kills it."""
        text = {key: options.pop(key) for key in _TEXT if key in options}
        sync = await make(lambda: node.popen(cmd, **options), _end)
        process = cls(sync, text)
        try:
            await process._connect()
        except BaseException:  # a cancellation, most likely
            process._close_streams()
            await asyncio.to_thread(_end, sync)
            raise
        return process

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self.sync.stdin is not None:
            transport, protocol = await loop.connect_write_pipe(FlowControlMixin, self.sync.stdin)
            self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
            self._transports.append(transport)
        self.stdout = await self._reader(self.sync.stdout)
        self.stderr = await self._reader(self.sync.stderr)

    async def _reader(self, pipe: Any) -> asyncio.StreamReader | None:
        if pipe is None:
            return None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._transports.append(transport)
        return reader

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._close_pidfd()
        self._ended.set()

    def __repr__(self) -> str:
        return f"<AsyncProcess {self.args!r} returncode: {self.returncode}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.kill()
        if self.stdin is not None:
            self.stdin.close()
        await self.wait()
        self._close_streams()
        if self.sync.terminal is not None:
            self.sync.terminal.close()

    def _close_streams(self) -> None:
        for transport in self._transports:
            transport.close()

    # -- what it is

    @property
    def args(self) -> Any:
        """The command."""
        return self.sync.args

    @property
    def pid(self) -> int:
        """Its process id, as this process sees it."""
        return self.sync.pid

    @property
    def node_pid(self) -> int:
        """Its process id, as the node sees it."""
        return self.sync.node_pid

    @property
    def terminal(self) -> BinaryIO | None:
        """With `pty=True`, this side of its terminal, an unbuffered binary file."""
        return self.sync.terminal

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None if it is not known to have ended."""
        return self.sync.returncode

    def poll(self) -> int | None:
        """Its exit status; None if it has not ended."""
        return self.sync.poll()

    # -- its end

    async def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        # the kernel says that it ended: the node has the status in a moment
        return await asyncio.to_thread(self.sync.wait)

    async def communicate(
        self, input: str | bytes | None = None, timeout: float | None = None
    ) -> tuple[Any, Any]:
        """Send input, read all that it prints, and wait until it has ended.

        Returns:
            What came from `stdout` and `stderr`; None for one that is no pipe.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds; nothing that was
                read is lost, the next `communicate` returns it too.
        """
        if input and self._communicates:
            raise ValueError("Cannot send input after starting communication")
        self._communicates = True
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._feed(input))
                for reader, received in zip(
                    (self.stdout, self.stderr), self._received, strict=True
                ):
                    tasks.create_task(_drain(reader, received))
                tasks.create_task(self._ended.wait())
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        await self.wait()
        out, error = self._received
        return (
            None if self.stdout is None else self._decoded(out),
            None if self.stderr is None else self._decoded(error),
        )

    async def _feed(self, data: str | bytes | None) -> None:
        if self.stdin is None:
            return
        with contextlib.suppress(ConnectionError):  # it does not want to read any more
            if data:
                self.stdin.write(
                    data.encode(self._encoding, self._errors) if isinstance(data, str) else data
                )
            await self.stdin.drain()
        self.stdin.close()

    def _decoded(self, data: bytearray) -> str | bytes:
        if not self._is_text:
            return bytes(data)
        text = data.decode(self._encoding, self._errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")  # as subprocess does

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program, if it has not ended."""
        self.sync.send_signal(sig)

    def terminate(self) -> None:
        """Ask the program and everything in its process group to end (SIGTERM)."""
        self.sync.terminate()

    def kill(self) -> None:
        """Kill the program and everything in its process group (SIGKILL)."""
        self.sync.kill()


async def _drain(reader: asyncio.StreamReader | None, received: bytearray) -> None:
    while reader is not None and (data := await reader.read(_CHUNK)):
        received += data


def _end(process: Process[Any]) -> None:
    process.kill()
    with process:
        pass  # waits, and closes the pipes
