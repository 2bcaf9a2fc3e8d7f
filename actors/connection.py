"""A client's connection with one lab: requests to its supervisor, and roads to its actors."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, cast

import zmq

from actors.attachment import Attachment, Dead
from actors.channel import Channel, Closed
from actors.errors import NodeDied, NodeGone, PatchbayError
from actors.exceptions import unpack_exception
from actors.launching import Launcher, Supervisor
from actors.linux import close_all, wait_readable
from actors.protocol import Plain
from actors.pump import Pump
from actors.refusals import refusal

MOST_SOCKETS = 16384
"""zmq sockets that one client may have open to one lab."""

LAST_WORDS = 10.0
"""Seconds to learn how a supervisor ended whose lab is still being killed: it has not ended before
every process of the lab has, and on a busy machine each has to wait for its turn."""

PATIENCE = 10.0
"""Seconds that a lab has to close before it is killed."""

_SPARE = 256
"""Descriptors that this process shall be able to open besides, or the limit is raised."""

_NEEDED = 8
"""Descriptors that calls, tasks and sockets of one node take in a client, about."""


class Connection:
    """Everything that one client process has open for one lab. Usable from any thread.

    Attributes:
        name: the lab's name.
        pid: the process id of its supervisor.
        lacks: what the host refuses, in the words of `patchbay doctor`.
        hidden: a descriptor of the directory where the actors' sockets are.
    """

    def __init__(self, name: str, director: str, options: dict[str, Plain]) -> None:
        """Start a lab.

        Args:
            name: the lab's name, for errors.
            director: the class that directs it, as `module:Class`.
            options: what it is made with.

        Raises:
            HostNotCapable: this host refuses a namespace that no lab can do without.
            PatchbayError: it could not start; or what the director raised.
        """
        self.name = name
        self.owner = os.getpid()
        self._launcher = Launcher.shared()
        self._lock = threading.RLock()
        self._requests = 0
        self._end: str | None = None
        self._closed = False
        self._open = _Open(self._launcher)
        self._finalizer = weakref.finalize(self, self._open.close)
        self._finalizer.atexit = False  # the launcher ends first then, and all labs with it
        try:
            self._start(director, options)
        except BaseException:
            self._finalizer()
            raise

    def _start(self, director: str, options: dict[str, Plain]) -> None:
        control, other = Channel.pair()
        self._open.control = control
        try:
            supervisor = self._open.supervisor = self._launcher.start_lab(director, options, other)
        except Closed as error:
            raise PatchbayError(
                f"lab {self.name!r} could not start: {error}, which was patchbay's launcher"
            ) from None
        except OSError as error:
            raise refusal(error) from error
        finally:
            other.close()
        try:
            answer, descriptors = control.receive()
        except Closed:
            raise PatchbayError(
                f"lab {self.name!r} could not start: {self._launcher.how_it_ended(supervisor)}"
            ) from None
        if "error" in answer:
            self._launcher.how_it_ended(supervisor)
            raise unpack_exception(cast("list[bytes]", answer["error"]))
        self._open.hidden = descriptors[0]
        self.pid = supervisor.pid
        self.lacks = cast("list[str]", answer["lacks"])

    @property
    def hidden(self) -> int:
        """A descriptor of the directory where the actors' sockets are."""
        return self._open.hidden

    # -- the supervisor

    def request(self, method: str, **arguments: Plain) -> Plain:
        """Ask the supervisor, and return its answer or raise its error."""
        return self.request_with((), method, **arguments)

    def request_with(self, given: Sequence[int], method: str, **arguments: Plain) -> Plain:
        """The same, with descriptors that go along; they stay open here."""
        value, descriptors = self._exchange(method, arguments, given)
        close_all(descriptors)
        return value

    def _exchange(
        self, method: str, arguments: dict[str, Plain], given: Sequence[int] = ()
    ) -> tuple[Plain, list[int]]:
        with self._lock:
            self._check_open()
            self._requests += 1
            number = self._requests
            try:
                asked: dict[str, Plain] = {"method": method, "arguments": arguments}
                self._control.send({"request": number, **asked}, given)
                while True:
                    answer, descriptors = self._control.receive()
                    if answer["request"] == number:
                        break
                    close_all(descriptors)  # the answer to one who was interrupted (Ctrl-C)
            except Closed:
                self._lost()
        if "error" in answer:
            raise unpack_exception(cast("list[bytes]", answer["error"]))
        return answer["value"], descriptors

    @property
    def _control(self) -> Channel:
        assert self._open.control is not None
        return self._open.control

    def _check_open(self) -> None:
        if self.owner != os.getpid():
            raise PatchbayError(
                f"lab {self.name!r} belongs to process {self.owner}, and this is process "
                f"{os.getpid()}, forked from it: make a lab of its own here"
            )
        if self._closed:
            raise self.gone()
        if self._end is not None:
            self._lost()

    def _lost(self) -> NoReturn:
        """Say why the lab cannot be asked any more."""
        if self._end is None and self._control.torn:
            self._end = "a request to it was interrupted in the middle of a message"
            self._control.end()
        if self._end is None:
            assert self._open.supervisor is not None
            self._end = self._launcher.how_it_ended(self._open.supervisor, LAST_WORDS)
        raise NodeDied(self.name, self._end)

    # -- the actors

    def attachment(self, node: str) -> Attachment:
        """The roads to the living process of a node.

        Raises:
            NodeGone: the node was removed, or the lab is closed.
            NodeDied: its process is dead.
            PatchbayError: this process may not open more files.
        """
        found = self._open.attachments.get(node)
        if found is not None and self.owner == os.getpid() and not found.dead():
            return found
        with self._lock:
            self.forget(node)
            value, (pidfd,) = self._exchange("attach", {"name": node})
            _allow_more_open_files(pidfd, node)
            endpoint = cast("str", cast("dict[str, Plain]", value)["endpoint"])
            made = Attachment(node, endpoint, pidfd, self.hidden, self.context())
            self._open.attachments[node] = made
            return made

    def forget(self, node: str) -> None:
        """Close the roads to a process that was replaced or removed."""
        with self._lock:
            old = self._open.attachments.pop(node, None)
            if old is not None:
                old.close()

    def obituary(self, attachment: Attachment) -> PatchbayError:
        """Why a process is dead whose end was seen: an error to raise."""
        if self._closed:
            return self.gone()
        try:
            self.request("obituary", name=attachment.node, endpoint=attachment.endpoint)
        except NodeDied as error:
            return NodeDied(attachment.node, error.reason, error.status, error.output)
        except NodeGone as error:
            return error
        return NodeDied(attachment.node, "its process ended")

    def door(self, attachment: Attachment) -> Channel:
        """A new connection to the door of an actor."""
        try:
            return attachment.open_door()
        except Dead:
            raise self.obituary(attachment) from None

    def orphan_status(self, pid: int) -> int:
        """The exit status of a program whose node died before it; killed, if nobody can tell."""
        if self._closed or self._end is not None:
            return -signal.SIGKILL
        try:
            return cast("int", self.request("orphan", pid=pid))
        except (NodeDied, NodeGone):
            return -signal.SIGKILL  # with the lab

    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The zmq context of this connection, made on first use."""
        with self._lock:
            if self._open.context is None:
                self._open.context = zmq.Context()
                self._open.context.set(zmq.MAX_SOCKETS, MOST_SOCKETS)
            return self._open.context

    # -- the end

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def gone(self) -> NodeGone:
        """The error for whoever uses the lab after it was closed."""
        return NodeGone(f"lab {self.name!r} is closed")

    def close(self) -> Plain:
        """Close the lab, and wait until no process of it is left; return its last words.

        Closing again does nothing; after a Ctrl-C in here, it does the rest.
        """
        if self.owner != os.getpid():
            return None
        self._closed = True
        Pump.leave(self)  # without the lock: the pump may wait for it
        with self._lock:
            supervisor = self._open.supervisor
            if supervisor is None:
                return None
            try:
                self._control.send({"request": 0, "method": "close", "arguments": {}})
            except Closed:
                self._control.end()  # that says the same
            if not wait_readable(supervisor.pidfd, timeout=PATIENCE):
                signal.pidfd_send_signal(supervisor.pidfd, signal.SIGKILL)
            self._launcher.how_it_ended(supervisor)
            said = self._last_words()
            self._finalizer()
            return said

    def _last_words(self) -> Plain:
        """What the lab answered to its being closed; nothing if it was gone before."""
        with contextlib.suppress(Closed, OSError, ValueError):
            for message, _ in self._control.waiting():
                if message.get("request") == 0:
                    return message.get("value")
        return None


@dataclass(slots=True)
class _Open:
    """What a connection has open. Closing it is taken by the supervisor as the end of the lab."""

    launcher: Launcher
    owner: int = field(default_factory=os.getpid)
    control: Channel | None = None
    supervisor: Supervisor | None = None
    hidden: int = -1
    attachments: dict[str, Attachment] = field(default_factory=dict)
    context: zmq.Context[zmq.Socket[bytes]] | None = None

    def close(self) -> None:
        if self.owner != os.getpid():
            if self.control is not None:
                self.control.close()  # in a fork of the client: the lab is not its own
            return
        if self.control is not None:
            self.control.end()
        for attachment in self.attachments.values():
            attachment.close()
        self.attachments.clear()
        if self.context is not None:
            self.context.term()
        self.context = None
        hidden, self.hidden = self.hidden, -1
        if hidden >= 0:
            os.close(hidden)
        supervisor, self.supervisor = self.supervisor, None
        if supervisor is not None:
            self.launcher.forget(supervisor)


def _allow_more_open_files(newest: int, node: str) -> None:
    """Raise this process's soft limit when it is nearly reached; the hard one it cannot raise.

    A new descriptor has the lowest free number, so the newest tells how many are open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if newest + _SPARE < soft:
        return
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif newest + _NEEDED > hard:
        os.close(newest)
        raise PatchbayError(
            f"node {node!r} cannot be reached: this process has about {newest} files open, and "
            f"may open {hard}; a node takes up to {_NEEDED}. Raise the hard limit: `ulimit -Hn`, "
            "LimitNOFILE= of a service, --ulimit nofile= of a container"
        )
