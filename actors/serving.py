"""The heart of an actor: requests come in, exactly one result of each goes out.

The main thread waits for requests and runs the first call itself: a blocking call there can be
interrupted by a signal, and user code often expects to be in the main thread. While a call runs
for longer than a moment, a second thread takes over the waiting: what comes then runs beside the
first, and a cancellation finds somebody who listens. The hand-over costs short calls nothing: a
kernel timer starts it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn, TypeAlias

import zmq

from actors import execution, linux, logs, watcher
from actors.door import Door
from actors.exceptions import pack_exception
from actors.execution import OnLoop, Outcome, flush
from actors.interruption import REMINDERS, Interrupted, Run, allow_interruptions
from actors.origins import Origin, context_of
from actors.parts import readable, receive, send
from actors.pickling import Payload, dumps, loads
from actors.protocol import Kind

MOMENT = 0.002
"""Seconds that a call may hold the main thread before somebody else listens."""

Message: TypeAlias = tuple[Kind, int, Payload, bytes]
"""What goes out: its kind, the number of its request, its payload, and who it is for."""

HELD_RECORDS = 1000
"""Log records that are kept for a client that has not asked for them yet; the latest."""


class Server:
    """Owns the sockets of an actor; exactly one thread at a time leads, that is: uses them."""

    def __init__(self, name: str, path: str, environment: Mapping[str, str]) -> None:
        self._name = name
        self._path = path
        self._router = zmq.Context().socket(zmq.ROUTER)
        for option in (zmq.LINGER, zmq.SNDHWM, zmq.RCVHWM):
            self._router.setsockopt(option, 0)
        # a request can run code: only the lab's own user may make one
        self._router.setsockopt(zmq.IPC_FILTER_UID, os.getuid())
        self._router.bind(f"ipc://{path}")
        self._poll = select.poll()
        self._door = Door(name, f"{path}.door", self._poll, environment)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._router_descriptor = int(self._router.getsockopt(zmq.FD))
        for descriptor in (self._router_descriptor, self._wake_read):
            self._poll.register(descriptor, select.POLLIN)
        self._outbox: deque[Message] = deque()
        self._running: dict[Origin, Run | OnLoop] = {}
        self._reminders: dict[Run, tuple[float, Iterator[float]]] = {}
        """Calls that were interrupted: when to remind each, and how long to wait after that."""
        self._subscribers: set[bytes] = set()
        self._held: deque[Payload] = deque(maxlen=HELD_RECORDS)
        self._closing = False
        self._main_run: Run | None = None
        self._lead = threading.Lock()
        self._timer = linux.Timer()
        self._moment = self._timer.schedule(MOMENT)
        self._deputy: threading.Thread | None = None
        allow_interruptions()
        signal.signal(signal.SIGINT, self._on_keyboard)
        logs.install(logs.Forwarder(name, self._post_log))

    # -- leading

    def serve(self) -> NoReturn:
        """Serve for ever: the process is killed when its node goes."""
        self._lead.acquire()
        with _fatal():
            while True:
                call = self._next_call(lambda: True)
                if call is not None:
                    self._run_in_main_thread(*call)

    def _get_ready(self) -> None:
        """Do what an idle actor has no need of, in the main thread, at the first request."""
        signal.signal(signal.SIGTERM, self._on_terminate)
        watcher.start(self._path)
        self._deputy = threading.Thread(target=self._stand_in, daemon=True, name="deputy")
        self._deputy.start()

    def _run_in_main_thread(self, request: Origin, frames: list[memoryview]) -> None:
        run = self._main_run = self._running[request] = Run()
        self._lead.release()
        self._timer.start(self._moment)
        try:
            answer = self._execute(run, request, frames)
        finally:
            self._main_run = None
            self._timer.stop()
            if not self._lead.acquire(blocking=False):
                self._wake()
                self._lead.acquire()
        self._outbox.append(answer)

    def _stand_in(self) -> None:
        """The deputy: leads while the main thread is busy for longer than a moment."""
        poll = select.poll()
        poll.register(self._timer.descriptor, select.POLLIN)
        with _fatal():
            while True:
                poll.poll()
                self._timer.read()
                if not self._lead.acquire(blocking=False):
                    continue
                try:
                    while (call := self._next_call(lambda: self._main_run)) is not None:
                        self._run_beside(*call)
                finally:
                    self._lead.release()

    def _next_call(
        self, still_leading: Callable[[], object]
    ) -> tuple[Origin, list[memoryview]] | None:
        """Lead: handle what comes until it is a call, or until somebody else should lead."""
        while True:
            while self._outbox:
                send(self._router, *self._outbox.popleft())
            if self._closing:
                self._finish()
            if not still_leading():
                return None
            if readable(self._router):
                call = self._receive()
                if call is not None:
                    return call
                continue
            ready = [descriptor for descriptor, _ in self._poll.poll(self._remind())]
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            self._door.use(ready)

    def _receive(self) -> tuple[Origin, list[memoryview]] | None:
        sender = self._router.recv()
        kind, number, frames = receive(self._router)
        request = (sender, number)
        if self._deputy is None:
            self._get_ready()
        if kind is Kind.CALL:
            return request, frames
        if kind is Kind.SPAWN:
            self._spawn(request, frames)
        elif kind is Kind.CANCEL:
            running = self._running.get(request)
            if running is not None:
                self._interrupt(running)
        elif kind is Kind.HELLO:
            self._subscribers.add(request[0])
            self._send_held(request[0])
        return None

    def _interrupt(self, running: Run | OnLoop) -> None:
        running.interrupt()
        if isinstance(running, Run) and running not in self._reminders:
            pauses = iter(REMINDERS)
            self._reminders[running] = time.monotonic() + next(pauses), pauses

    def _remind(self) -> float | None:
        """Remind the calls whose time it is; milliseconds until the next one's, if there is one."""
        now = time.monotonic()
        for run, (due, pauses) in list(self._reminders.items()):
            if run.active and due <= now:
                run.remind()
                due = now + next(pauses, 0.0)
                self._reminders[run] = due, pauses
            if not run.active or due <= now:
                del self._reminders[run]
        soonest = min((due for due, _ in self._reminders.values()), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000

    def _on_terminate(self, *_: object) -> None:
        """End what runs, with its `finally` blocks, and then the process: the lab closes."""
        self._closing = True
        self._wake()

    def _on_keyboard(self, number: int, frame: FrameType | None) -> None:
        """SIGINT, which user code may send itself, is for user code alone."""
        if self._main_run is not None and self._main_run.active:
            signal.default_int_handler(number, frame)

    def _finish(self) -> None:
        for running in list(self._running.values()):
            self._interrupt(running)
        if not self._running:
            flush()
            os._exit(0)

    # -- running what was asked for

    def _run_beside(self, request: Origin, frames: list[memoryview]) -> None:
        run = self._running[request] = Run()

        def execute() -> None:
            self._post(self._execute(run, request, frames))

        threading.Thread(target=execute, name="call", daemon=True).start()

    def _execute(self, run: Run, request: Origin, frames: list[memoryview]) -> Message:
        """Run a call in this thread, and return the message that answers it."""
        context = context_of(request)

        def call() -> Any:
            function, arguments, keywords = _load(frames)
            return context.run(function, *arguments, **keywords)

        try:
            return self._answer(request, lambda: run.run(call))
        finally:
            del self._running[request]
            flush()

    def _spawn(self, request: Origin, frames: list[memoryview]) -> None:
        def start() -> Any:
            function, arguments, keywords = _load(frames)
            return function(*arguments, **keywords)

        def done(outcome: Outcome) -> None:
            answer = self._answer(request, outcome)
            del self._running[request]
            flush()
            self._post(answer)

        task = self._running[request] = execution.loop.task()
        task.begin(start, done, request)

    def _answer(self, request: Origin, outcome: Outcome) -> Message:
        """The message that says how a request ended: exactly one, whatever happens."""
        sender, number = request
        try:
            return Kind.VALUE, number, dumps(outcome()), sender
        except Interrupted as interruption:
            return Kind.CANCELLED, number, [interruption.where.encode()], sender
        except BaseException as error:
            return Kind.ERROR, number, pack_exception(error, self._name), sender
        finally:
            self._send_held(sender)

    # -- sending

    def _post(self, message: Message) -> None:
        """Have the leader send a message; from any thread."""
        self._outbox.append(message)
        self._wake()

    def _post_log(self, request: Origin | None, frames: Payload) -> None:
        """Send a log record to the asker of its request; else to who said hello, or later."""
        if request is not None:
            self._post((Kind.LOG, request[1], frames, request[0]))
        elif self._subscribers:
            for subscriber in tuple(self._subscribers):
                self._post((Kind.LOG, 0, frames, subscriber))
        else:
            self._held.append(frames)

    def _send_held(self, receiver: bytes) -> None:
        """Send the log records that nobody was there for, before what comes next."""
        with contextlib.suppress(IndexError):
            while self._held:
                self._post((Kind.LOG, 0, self._held.popleft(), receiver))

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"w")


def _load(frames: list[memoryview]) -> Any:
    """The call in the frames of a request; nothing refers to these afterwards but the call."""
    buffers = frames.copy()
    frames.clear()
    return loads(buffers)


@contextlib.contextmanager
def _fatal() -> Iterator[None]:
    """End the process, and say why, if its heart fails: better dead at once than deaf."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
        flush()
        os._exit(1)
