"""The thread that looks after tasks: sends their requests and takes their results."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import WeakSet

import zmq

from actors import logs
from actors.attachment import (
    INTERRUPTION,
    Attachment,
    Dead,
    Frames,
    Interruption,
    open_answer,
)
from actors.errors import PatchbayError
from actors.parts import readable, receive, send
from actors.pickling import Payload, dumps_call
from actors.protocol import Kind
from actors.stacks import of_the_user
from actors.tasks import Task

if TYPE_CHECKING:
    from actors.connection import Connection

log = logging.getLogger("patchbay")


class Road:
    """A zmq socket of the pump to one process of a node, and the tasks that wait there."""

    def __init__(self, connection: Connection, attachment: Attachment) -> None:
        self.connection = connection
        self.attachment = attachment
        self.dealer = attachment.connect()
        self.waiting: set[Task[Any]] = set()
        """Tasks that have no slot yet."""
        self.tasks: dict[int, Task[Any]] = {}
        """Tasks under way, by the number of their request."""
        self.coroutines: WeakSet[Task[Any]] = WeakSet()
        """Those of the tasks that `spawn` made."""
        self.numbers = itertools.count(1)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What becomes readable when an answer comes, or when the process ends."""
        return int(self.dealer.getsockopt(zmq.FD)), self.attachment.pidfd


class Pump:
    """A daemon thread that sends requests nobody waits for, and takes their results.

    It starts with the first task of the process and ends with the last lab that had one.
    """

    _shared: ClassVar[Pump | None] = None
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.users: set[Connection] = set()
        self._roads: dict[Attachment, Road] = {}
        self._by_descriptor: dict[int, Road] = {}
        self._overdue: dict[Task[Any], tuple[float, Road]] = {}
        self._jobs: deque[Callable[[], None]] = deque()
        self._stopped = False
        self._waking = threading.Lock()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._thread = threading.Thread(target=self._run, daemon=True, name="patchbay-pump")
        self._thread.start()

    # -- from any thread

    @classmethod
    def submit(
        cls, connection: Connection, attachment: Attachment, kind: Kind, frames: Frames
    ) -> Task[Any]:
        """Start work on a node: a call beside others, or a coroutine.

        Raises:
            NodeGone: the lab is closed.
        """
        with cls._making:
            if connection.closed:
                raise connection.gone()
            pump = cls._shared
            if pump is None or pump.owner != os.getpid():
                pump = cls._shared = cls()
            pump.users.add(connection)
        task: Task[Any] = Task(attachment.node, partial(pump._do, pump._interrupt))
        if not pump._do(pump._admit, connection, attachment, kind, task):
            raise connection.gone()  # closed a moment ago, by another thread

        def begin() -> None:
            pump._do(pump._begin, attachment, kind, frames, task)

        if attachment.slots.take_or_queue(begin):
            begin()
        return task

    @classmethod
    def leave(cls, connection: Connection) -> None:
        """Close every road of a lab that is closed; its tasks fail. Returns when that is done."""
        with cls._making:
            pump = cls._shared
            if pump is None or pump.owner != os.getpid() or connection not in pump.users:
                return
            pump.users.remove(connection)
            last = not pump.users
            if last:
                cls._shared = None
        if threading.current_thread() is pump._thread:  # a callback of a task closes the lab
            pump._leave(connection, last)
            return
        done = threading.Event()
        pump._do(pump._leave, connection, last, done.set)
        done.wait()
        if last:
            pump._thread.join()

    def _do(self, job: Callable[..., None], *arguments: Any) -> bool:
        """Have the thread do something; say whether it will, or has stopped."""
        with self._waking:
            if not self._stopped:
                self._jobs.append(lambda: job(*arguments))
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write, b"w")
            return not self._stopped

    # -- in the thread

    def _run(self) -> None:
        while not self._stopped:
            due = min((moment for moment, _ in self._overdue.values()), default=None)
            wait = None if due is None else max(0.0, due - time.monotonic()) * 1000
            for descriptor, _ in self._poll.poll(wait):
                if descriptor == self._wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                elif descriptor in self._by_descriptor:
                    self._serve(self._by_descriptor[descriptor], descriptor)
            while self._jobs:
                self._jobs.popleft()()
            self._report_overdue()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _admit(
        self, connection: Connection, attachment: Attachment, kind: Kind, task: Task[Any]
    ) -> None:
        """Take a new task on, which waits for a slot."""
        road = self._roads.get(attachment)
        try:
            if connection.closed:
                raise connection.gone()
            if road is None:
                road = self._open(connection, attachment)
        except (PatchbayError, Dead) as error:
            task.set_exception(error)
            return
        road.waiting.add(task)
        if kind is Kind.SPAWN:
            road.coroutines.add(task)

    def _begin(self, attachment: Attachment, kind: Kind, frames: Frames, task: Task[Any]) -> None:
        """Send the request of a task that has a slot now."""
        road = self._roads.get(attachment)
        if road is None or task not in road.waiting:  # it was cancelled, or the process died
            attachment.slots.give()
            return
        road.waiting.remove(task)
        number = next(road.numbers)
        road.tasks[number] = task
        self._send(road, kind, number, frames)

    def _open(self, connection: Connection, attachment: Attachment) -> Road:
        road = self._roads[attachment] = Road(connection, attachment)
        for descriptor in road.descriptors:
            self._by_descriptor[descriptor] = road
            self._poll.register(descriptor, select.POLLIN)
        self._send(road, Kind.HELLO, 0)
        return road

    def _send(self, road: Road, kind: Kind, number: int, frames: Frames = ()) -> None:
        send(road.dealer, kind, number, frames)
        self._take_answers(road)  # sending may eat the wake-up of an answer

    def _serve(self, road: Road, descriptor: int) -> None:
        self._take_answers(road)
        if descriptor == road.attachment.pidfd and not road.dealer.closed:
            self._close(road)
            if road.tasks or road.waiting:
                self._fail(road, road.connection.obituary(road.attachment))

    def _take_answers(self, road: Road) -> None:
        while not road.dealer.closed and readable(road.dealer):
            kind, number, buffers = receive(road.dealer)
            if kind is Kind.LOG:
                logs.handle(buffers)
                continue
            task = road.tasks.pop(number)
            self._overdue.pop(task, None)
            road.attachment.slots.give()
            if kind is Kind.CANCELLED and road.connection.closed:
                task.set_exception(road.connection.gone())
            else:
                task.finish(lambda kind=kind, buffers=buffers: open_answer(kind, buffers))  # type: ignore[misc]

    def _interrupt(self, task: Task[Any]) -> None:
        for road in self._roads.values():
            if task in road.waiting:
                road.waiting.remove(task)
                task.finish(_never_began)
                return
            for number, each in road.tasks.items():
                if each is task:
                    self._overdue.setdefault(task, (time.monotonic() + INTERRUPTION, road))
                    self._send(road, Kind.CANCEL, number)
                    return

    def _report_overdue(self) -> None:
        now = time.monotonic()
        for task, (moment, road) in list(self._overdue.items()):
            if moment > now:
                continue
            del self._overdue[task]
            if task in road.coroutines:
                stacks = Pump.submit(road.connection, road.attachment, Kind.CALL, _ask_coroutines())
                stacks.add_done_callback(partial(_warn_of_coroutines, task.node))
                continue
            with contextlib.suppress(PatchbayError):  # the node is dead: that ends the task
                stack = road.connection.request("stack", name=road.attachment.node)
                _warn(task.node, of_the_user(cast("str", stack)))

    def _leave(
        self, connection: Connection, last: bool, done: Callable[[], None] = lambda: None
    ) -> None:
        for road in [road for road in self._roads.values() if road.connection is connection]:
            self._close(road)
            self._fail(road, connection.gone())
        if last:
            with self._waking:
                self._stopped = True
        done()

    def _close(self, road: Road) -> None:
        del self._roads[road.attachment]
        for descriptor in road.descriptors:
            del self._by_descriptor[descriptor]
            self._poll.unregister(descriptor)
        road.dealer.close()

    def _fail(self, road: Road, error: PatchbayError) -> None:
        tasks = [*road.tasks.values(), *road.waiting]
        for _ in road.tasks:
            road.attachment.slots.give()
        road.tasks.clear()
        road.waiting.clear()
        for task in tasks:
            self._overdue.pop(task, None)
            task.set_exception(error)


@cache
def _ask_coroutines() -> Payload:
    from actors.execution import coroutine_stacks  # with asyncio, which not everybody needs

    return dumps_call(coroutine_stacks, (), {})


def _warn(node: str, stack: str) -> None:
    log.warning(
        "node %r: code ignores being interrupted, and goes on until the node is closed. "
        "It is here:\n%s",
        node,
        stack,
    )


def _warn_of_coroutines(node: str, stacks: Future[str]) -> None:
    if stacks.exception() is None:  # else the node is dead: that ends the task
        _warn(node, stacks.result())


def _never_began() -> Any:
    raise Interruption("")
