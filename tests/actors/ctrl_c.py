"""Ctrl-C in this process, at a moment that a test chooses by a condition and not by the clock."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.actors.clients import PATIENCE, wait_until

AGAIN = 5.0
"""Seconds until it comes again: once may be lost on code that was just about to wait, or that
runs in a finalizer."""


def main_thread_is_in(function: str) -> bool:
    """Whether the innermost Python code of the main thread is a function of this name."""
    main = threading.main_thread().ident
    assert main is not None
    return sys._current_frames()[main].f_code.co_name == function


@contextmanager
def ctrl_c(when: Callable[[], object]) -> Iterator[None]:
    """Expect that the block is ended by Ctrl-C, which comes as soon as a condition holds.

    Args:
        when: asked in a thread of its own; it must not hold before the block runs.
    """
    over = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        wait_until(lambda: over.is_set() or when())
        deadline = time.monotonic() + PATIENCE
        while not over.is_set() and time.monotonic() < deadline:
            signal.pthread_kill(main, signal.SIGINT)
            over.wait(AGAIN)

    def interrupt(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    armed = False
    before = signal.signal(signal.SIGINT, interrupt)
    sender = threading.Thread(target=send)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            try:
                armed = True
                sender.start()
                yield
            finally:
                armed = False
    finally:
        over.set()
        sender.join()
        signal.signal(signal.SIGINT, before)
