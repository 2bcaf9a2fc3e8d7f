"""Coroutines in an actor, on an event loop of their own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

from actors.interruption import Interrupted, user_stack
from actors.origins import Origin, context_of

Outcome: TypeAlias = Callable[[], Any]
"""Returns the value of a request, or raises its error."""


def flush() -> None:
    """Write out what user code printed, so that it is there when its result is."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            stream.flush()


class EventLoop:
    """The event loop of an actor, in a thread that starts with the first coroutine."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def task(self) -> OnLoop:
        """A task to be begun on the loop."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=self._serve, args=[self._loop], daemon=True, name="event-loop"
            ).start()
        return OnLoop(self._loop)

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            # raised by a task, they are that task's result, and no reason to stop
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_forever()

    def stacks(self) -> str:
        """Where each coroutine of the loop is, as text."""
        if self._loop is None:
            return ""
        return "\n".join(filter(None, map(suspended_stack, asyncio.all_tasks(self._loop))))


loop = EventLoop()
"""The event loop of this process."""


def coroutine_stacks() -> str:
    """Where each coroutine is that this actor was asked to run, as text: called by clients."""
    return loop.stacks()


class OnLoop:
    """A coroutine that runs as a task of the actor's event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._where = ""

    def begin(
        self, function: Callable[[], Any], done: Callable[[Outcome], None], request: Origin
    ) -> None:
        """Run what makes a coroutine, and the coroutine; `done` gets what tells the outcome."""
        self._loop.call_soon_threadsafe(self._begin, function, done, request)

    def interrupt(self) -> None:
        """Cancel the task, once; after `begin`, from any thread."""
        if not self._interrupted:
            self._interrupted = True
            self._loop.call_soon_threadsafe(self._cancel)

    def _begin(
        self, function: Callable[[], Any], done: Callable[[Outcome], None], request: Origin
    ) -> None:
        self._task = self._loop.create_task(_await(function), context=context_of(request))
        self._task.add_done_callback(lambda _: done(self._outcome))

    def _cancel(self) -> None:
        assert self._task is not None
        self._where = suspended_stack(self._task)
        self._task.cancel()

    def _outcome(self) -> Any:
        assert self._task is not None
        if self._task.cancelled():
            raise Interrupted(self._where)
        return self._task.result()


async def _await(function: Callable[[], Any]) -> Any:
    awaitable = function()
    if not inspect.isawaitable(awaitable):
        raise TypeError(
            f"spawn() runs coroutines, and this returned a {type(awaitable).__name__}: "
            "run a plain function by call() or submit()"
        )
    return await awaitable


def suspended_stack(task: asyncio.Task[Any]) -> str:
    """Where a task waits, through every coroutine that it awaits: as a traceback's text."""
    return user_stack(
        traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        for frame in _awaited_frames(task.get_coro())
    )


def _awaited_frames(waiting: Any) -> Iterator[FrameType]:
    """The frames of a coroutine, and of what it awaits: coroutines and generators of any kind."""
    while waiting is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(waiting, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                deeper = "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await"
                waiting = getattr(waiting, deeper)
                break
        else:
            return
