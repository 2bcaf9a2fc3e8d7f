"""Work on a node that goes on without anybody waiting for it."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from actors.attachment import Interruption

T = TypeVar("T")


class Task(concurrent.futures.Future[T], Generic[T]):
    """Work that runs on a node: a `concurrent.futures.Future` that can also be awaited.

    `cancel()` interrupts the code on the node. The task is cancelled once the node confirms that
    the code has ended; code that ignores being interrupted goes on, and a warning with the node's
    stack is logged. So does the cancellation of an asyncio task that awaits this one.
    """

    def __init__(self, node: str, cancel: Callable[[Task[T]], object]) -> None:
        super().__init__()
        self.node = node
        self._cancel = cancel

    def cancel(self) -> bool:
        """Interrupt the work; False if it is done already. It ends soon, not now."""
        if self.done():
            return False
        self._cancel(self)
        return True

    def running(self) -> bool:
        """Whether the work is not done."""
        return not self.done()

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio  # whoever awaits has it loaded

        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        def wake_from_thread(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(wake)

        self.add_done_callback(wake_from_thread)
        try:
            yield from done
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self.cancelled():
            raise asyncio.CancelledError
        return self.result()

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self.done() else "running"
        return f"<Task on {self.node!r} {state}>"

    def finish(self, outcome: Callable[[], T]) -> None:
        """Take the one result of the work."""
        try:
            value = outcome()
        except Interruption:
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(value)
