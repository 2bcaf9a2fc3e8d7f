"""The loop of the processes that fork: descriptors, and what to do when they are readable."""

from __future__ import annotations

import select
from collections.abc import Callable


class Loop:
    """A poll loop with one handler for each descriptor."""

    def __init__(self) -> None:
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
        for descriptor, _ in self._poll.poll(timeout):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # else a handler before it has closed it
                handler()
