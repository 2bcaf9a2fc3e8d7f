"""The handle of a node: what a user calls to run code there."""

from __future__ import annotations

import concurrent.futures
import socket
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast, overload

from actors.attachment import Attachment, Dead, Interruption, Unanswered
from actors.connection import Connection
from actors.coroutines import take_apart
from actors.errors import CallTimeout, PatchbayError
from actors.launching import stay_if_exiting
from actors.linux import host_pid
from actors.output import OutputLine
from actors.pickling import dumps_call
from actors.process import Command, Process, plain_command
from actors.protocol import Kind, Plain
from actors.pump import Pump
from actors.stacks import of_the_user
from actors.tasks import Task
from actors.virtual import Network

P = ParamSpec("P")
T = TypeVar("T")


class Node:
    """A place to run code: a process of its own, in a network of its own.

    Handles are small and hold a name. One whose node was removed, or whose lab is closed, can
    still tell its name; everything else raises `NodeGone`.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    @property
    def name(self) -> str:
        """The node's name."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}>"

    def call(
        self, fn: Callable[P, T], /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> T:
        """Run a function on the node, wait for it, and return its value or raise its exception.

        It runs in the main thread of the node's process; beside it, in a thread of its own, if
        the main thread is taken. Functions, lambdas, closures, methods, classes and exceptions
        travel by value where the node could not import them.

        Args:
            fn: what to run.
            *args: its arguments.
            timeout: seconds; when they are over the code is interrupted.
            **kwargs: its keyword arguments; one of the name `timeout` goes by `functools.partial`.

        Raises:
            CallTimeout: the timeout was over.
            NodeDied: the node's process died.
            NodeGone: the node was removed, or the lab is closed.
            TravelError: the function, an argument or the result cannot go to another process.
            RemoteError: it raised an exception that could not travel.
        """
        frames = dumps_call(fn, args, kwargs)
        attachment = self._attachment()
        try:
            return cast("T", attachment.call(frames, timeout))
        except Dead:
            stay_if_exiting()
            raise self._connection.obituary(attachment) from None
        except Unanswered as unanswered:
            where = unanswered.where
            stack = self.stack() if where is None else where or f"in {fn!r}"
            raise CallTimeout(
                self._name, timeout or 0.0, interrupted=where is not None, stack=stack
            ) from None
        except Interruption:
            stay_if_exiting()
            if self._connection.closed:
                raise self._connection.gone() from None
            raise concurrent.futures.CancelledError from None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Run a function on the node, beside other work, without waiting for it.

        Raises what `call` raises, but from the task's `result()`; what cannot travel is said now.
        """
        frames = dumps_call(fn, args, kwargs)
        attachment = self._attachment()
        return Pump.submit(self._connection, attachment, Kind.CALL, frames)

    @overload
    def spawn(
        self, coroutine: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Task[T]: ...

    @overload
    def spawn(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]: ...

    def spawn(self, coroutine: Any, /, *args: Any, **kwargs: Any) -> Task[Any]:
        """Run a coroutine on the node's event loop, without waiting for it.

        Takes an async function with its arguments, `spawn(fetch, url)`, or a coroutine that was
        not started, `spawn(fetch(url))`.
        """
        if not callable(coroutine):
            if args or kwargs:
                raise TypeError(
                    "a coroutine has its arguments already: write spawn(fetch(url)) or "
                    "spawn(fetch, url)"
                )
            coroutine, args, kwargs = take_apart(coroutine)
        frames = dumps_call(coroutine, args, kwargs)
        attachment = self._attachment()
        return Pump.submit(self._connection, attachment, Kind.SPAWN, frames)

    def popen(self, cmd: Command, **options: Any) -> Process[Any]:
        """Start a program on the node; the arguments are those of `subprocess.Popen`.

        Pipes are real pipes of this process. Without `stdout` or `stderr` what it prints is kept
        as the node's output. It runs in a session of its own: `kill()` ends it with everything
        it has started. `pty=True` gives it a terminal, `Process.terminal` is the other side.
        """
        return Process(self._connection, self._name, cmd, **options)

    def run(
        self,
        cmd: Command,
        *,
        input: str | bytes | None = None,
        capture_output: bool | None = None,
        text: bool | None = None,
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program on the node and wait for it; the arguments are those of `subprocess.run`.

        Unless `capture_output` says otherwise, output is captured, and then it is text (bytes if
        `input` is bytes); with it, all is as with `subprocess.run`. Arguments may be addresses or
        nodes.

        Raises:
            subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was killed.
            subprocess.CalledProcessError: with `check=True`, it ended with another status than 0.
            FileNotFoundError: there is no such program.
        """
        captured = {"stdout", "stderr"} & options.keys()
        if capture_output and captured:
            raise ValueError(f"capture_output=True captures both: leave out {sorted(captured)}")
        if capture_output is not False:
            for stream in ("stdout", "stderr"):
                options.setdefault(stream, subprocess.PIPE)
        if input is not None:
            if options.get("stdin") is not None:
                raise ValueError("input= is given to the program's stdin: leave out stdin=")
            options["stdin"] = subprocess.PIPE
        if text is None and capture_output is None and not isinstance(input, bytes):
            text = True
        options["text"] = text
        with self.popen(cmd, **options) as process:
            try:
                stdout, stderr = process.communicate(input, timeout=timeout)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    error.stdout, error.stderr = process.communicate()
                else:
                    process.wait()
                raise
            status = process.returncode
        done = subprocess.CompletedProcess(plain_command(cmd), status, stdout, stderr)
        if check:
            done.check_returncode()
        return done

    def socket(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
    ) -> socket.socket:
        """A socket of the node's network, in this process.

        It connects, binds and listens as if opened on the node. Names are looked up there too.
        """
        return Network(self).socket(family, type, proto)

    def network(self) -> Network:
        """A context manager: sockets that this thread or task opens inside are the node's.

        Holds for whatever opens `socket.socket`: the standard library, asyncio, httpx, and every
        other pure-Python library; names are looked up on the node. Contexts nest.
        """
        return Network(self)

    def restart(self) -> None:
        """Give the node a new process; the old one is killed with all that runs there.

        Interfaces, addresses, routes and rules stay as they are.
        """
        self._connection.request("restart", name=self._name)
        self._connection.forget(self._name)

    def output(self) -> list[OutputLine]:
        """What code and programs of the node printed: the last 1,000 lines, with time and stream."""
        lines = cast(
            "list[tuple[float, str, str]]", self._connection.request("output", name=self._name)
        )
        return [OutputLine(moment, cast("Any", stream), text) for moment, stream, text in lines]

    def stack(self) -> str:
        """Where each thread of the node's process that runs user code is now, as text."""
        return of_the_user(cast("str", self._connection.request("stack", name=self._name)))

    @property
    def pid(self) -> int:
        """The process id of the node's process, as this process sees it."""
        return host_pid(self._attachment().pidfd)

    def _attachment(self) -> Attachment:
        try:
            return self._connection.attachment(self._name)
        except PatchbayError:
            stay_if_exiting()
            raise

    def ask_door(self, message: dict[str, Plain]) -> list[int]:
        """Ask the node's process for descriptors; for use by this package."""
        attachment = self._attachment()
        try:
            return attachment.ask_door(message)
        except Dead:
            raise self._connection.obituary(attachment) from None
