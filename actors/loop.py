"""The loop of the processes that fork: descriptors, and what to do when they are readable."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable


class Loop:
    """A poll loop with one handler for each descriptor."""

    def __init__(self) -> None:
        self.overslept: float | None = None
        """Seconds that the last wait took longer than it should; None if a descriptor ended it."""
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor is readable, or its other end is gone.

        It must not block: now and then it is called for nothing.
        """
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer; to be called before it is closed."""
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    def turn(self, timeout: float | None = None) -> None:
        """Wait, at most so many seconds, and call the handlers of what is readable."""
        begin = time.monotonic()
        ready = self._poll.poll(timeout)
        self.overslept = None
        if timeout is not None and not ready:
            wait = math.ceil(timeout * 1000) / 1000  # which is what epoll can
            self.overslept = max(0.0, time.monotonic() - begin - wait)
        for descriptor, _ in ready:
            handler = self._handlers.get(descriptor)
            if handler is not None:  # else a handler before it has closed it
                handler()

    def turn_while(self, condition: Callable[[], object], patience: float) -> None:
        """Turn as long as something holds, at most so many seconds."""
        deadline = time.monotonic() + patience
        while condition() and (left := deadline - time.monotonic()) > 0:
            self.turn(left)
