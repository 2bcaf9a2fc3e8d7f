"""The roads from a client to one process of a node: lanes for calls that wait, and the door."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import zmq

from actors import logs
from actors.channel import Channel, Closed
from actors.errors import PatchbayError
from actors.exceptions import unpack_exception
from actors.parts import readable, receive, send
from actors.pickling import loads
from actors.protocol import Kind, Plain
from actors.slots import Slots

IN_FLIGHT = 64
"""Requests that one client has under way at one node; the next one waits for one of them."""

INTERRUPTION = 0.5
"""Seconds that interrupted code has to end before it is said to ignore the interruption."""

LAST_WORDS = 20
"""Milliseconds for an answer that was under way when its sender died."""

DEATH = 1000
"""Milliseconds between the end of a process's connections and its own."""

Frames: TypeAlias = Sequence[Any]


class Dead(Exception):
    """The process at the other end is dead: the kernel says so."""


class Unanswered(Exception):
    """The time for an answer is over. `where` says where the code was; None if it goes on."""

    def __init__(self, where: str | None) -> None:
        super().__init__(where)
        self.where = where


class Interruption(Exception):
    """A request was interrupted; `where` says where the code was, as text."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class Life:
    """A pidfd of a process, open for as long as anybody refers to this object."""

    def __init__(self, pidfd: int) -> None:
        self.pidfd = pidfd

    def over(self, patience: int = 0) -> bool:
        """Whether the process has ended, or does within so many milliseconds."""
        poll = select.poll()  # one of its own: a poll object is not for two threads at a time
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(patience))

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.pidfd)  # `os` may be gone when the interpreter ends


class Attachment:
    """One process of a node, as one client knows it. Usable from any thread."""

    def __init__(
        self,
        node: str,
        endpoint: str,
        pidfd: int,
        hidden: int,
        context: zmq.Context[zmq.Socket[bytes]],
    ) -> None:
        self.node = node
        self.endpoint = endpoint
        self.life = Life(pidfd)
        self.slots = Slots(IN_FLIGHT)
        self._path = f"/proc/self/fd/{hidden}/{endpoint}"
        self._context = context
        self._idle: deque[Lane] = deque()
        self._closed = False
        self._door: Channel | None = None
        self._door_lock = threading.Lock()

    @property
    def pidfd(self) -> int:
        """A descriptor that stands for the process."""
        return self.life.pidfd

    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._closed or self.life.over()

    def connect(self) -> zmq.Socket[bytes]:
        """A zmq socket for requests to the process.

        Raises:
            Dead: the lab is closed.
        """
        try:
            dealer = self._context.socket(zmq.DEALER)
            try:
                for option in (zmq.LINGER, zmq.SNDHWM, zmq.RCVHWM):
                    dealer.setsockopt(option, 0)
                dealer.connect(f"ipc://{self._path}")
            except BaseException:
                dealer.close()
                raise
        except zmq.ZMQError as error:
            if not self._closed:
                raise
            raise Dead from error
        return dealer

    def call(self, frames: Frames, timeout: float | None) -> Any:
        """Run a call, wait for its end, and return its value or raise its exception.

        Raises:
            Dead: the process died before it answered.
            Unanswered: the timeout is over; the call was interrupted.
            Interruption: the call was interrupted, because its node is closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self.slots.take(timeout):
            raise Unanswered(f"waiting for one of {IN_FLIGHT} requests to end; it never started")
        try:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = Lane(self.connect(), self.life)
            try:
                return lane.call(frames, deadline)
            finally:
                if lane.clean and not self._closed:
                    self._idle.append(lane)
                else:
                    lane.close()
                if self._closed:
                    self._close_idle()
        finally:
            self.slots.give()

    def open_door(self) -> Channel:
        """A new connection to the door of the process.

        Raises:
            Dead: the process is dead.
        """
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(None)  # whatever `socket.setdefaulttimeout` says
        try:
            stream.connect(f"{self._path}.door")
        except OSError as error:
            stream.close()
            self.check_death()
            raise Dead from error
        return Channel(stream)

    def ask_door(self, message: dict[str, Plain]) -> list[int]:
        """Ask for descriptors over a connection that is kept for such requests.

        Raises:
            Dead: the process died before it answered.
        """
        with self._door_lock:
            if self._door is None:
                self._door = self.open_door()
            try:
                self._door.send(message)
                answer, descriptors = self._door.receive()
            except BaseException as error:
                # also when interrupted: the next answer would be to this question
                self._door.close()
                self._door = None
                if isinstance(error, Closed):
                    self.check_death()
                    raise Dead from error
                raise
        if "error" in answer:
            raise unpack_exception(cast("list[bytes]", answer["error"]))
        return descriptors

    def check_death(self) -> None:
        """Make sure that a process whose connection ended is dead.

        Raises:
            PatchbayError: it lives, and does not want to talk.
        """
        if not self._closed and not self.life.over(DEATH):
            raise PatchbayError(
                f"node {self.node!r} lives and closed a connection: perhaps its process has "
                "reached its limit of open files (RLIMIT_NOFILE)"
            )

    def close(self) -> None:
        """Close what no call uses; calls that wait close the rest when they end."""
        self._closed = True
        self._close_idle()
        with self._door_lock:
            if self._door is not None:
                self._door.close()
                self._door = None

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return


class Lane:
    """A zmq socket that one thread at a time uses for a call, and waits on."""

    def __init__(self, dealer: zmq.Socket[bytes], life: Life) -> None:
        self._dealer = dealer
        self._life = life
        self._number = 0
        self._descriptor = int(dealer.getsockopt(zmq.FD))
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._poll.register(life.pidfd, select.POLLIN)
        self.clean = True
        """Whether every request was answered, so that the next one can use it."""

    def call(self, frames: Frames, deadline: float | None) -> Any:
        """Send a call and wait for its one answer."""
        self.clean = False
        self._number += 1
        try:
            send(self._dealer, Kind.CALL, self._number, frames)
            answer = self._wait(deadline)
            if answer is None:
                raise Unanswered(self._interrupt())
        except (Dead, Unanswered):
            raise
        except zmq.ContextTerminated as error:
            raise Dead from error  # the lab is closed
        except BaseException:
            if not self.clean:
                with contextlib.suppress(Dead, zmq.ContextTerminated):
                    self._interrupt()  # Ctrl-C here ends the code there
            raise
        return answer()

    def _interrupt(self) -> str | None:
        """Interrupt the call; say where it was, or None if it goes on."""
        send(self._dealer, Kind.CANCEL, self._number)
        answer = self._wait(time.monotonic() + INTERRUPTION)
        if answer is None:
            return None
        try:
            answer()
        except Interruption as interruption:
            return interruption.where
        except BaseException:
            return ""
        return ""

    def _wait(self, deadline: float | None) -> Callable[[], Any] | None:
        """Wait for the answer: a function that returns or raises it; None when time is over."""
        while True:
            while readable(self._dealer):
                kind, number, buffers = receive(self._dealer)
                if kind is Kind.LOG:
                    logs.handle(buffers)
                elif number == self._number:
                    self.clean = True
                    return lambda: open_answer(kind, buffers)
            left = None if deadline is None else (deadline - time.monotonic()) * 1000
            if left is not None and left <= 0:
                return None
            ready = [descriptor for descriptor, _ in self._poll.poll(left)]
            if ready and self._descriptor not in ready and not self._dealer.poll(LAST_WORDS):
                raise Dead

    def close(self) -> None:
        """Close the socket."""
        self._dealer.close()


def open_answer(kind: Kind, frames: Sequence[Any]) -> Any:
    """Return the value that an answer carries, or raise the exception."""
    if kind is Kind.VALUE:
        return loads(frames)
    if kind is Kind.ERROR:
        raise unpack_exception(frames)
    if kind is Kind.CANCELLED:
        raise Interruption(bytes(frames[0]).decode())
    raise ValueError(f"not an answer: {kind!r}")
