"""Waiting for what takes a moment, as long as a busy machine may need."""

import time
from collections.abc import Callable

PATIENCE = 30.0


def wait_until(
    condition: Callable[[], object], what: str = "", *, patience: float = PATIENCE
) -> None:
    """Wait until something holds; it is an error if it does not within so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
