"""When a router tells its LAN, unasked, of what clients of port mapping should know at once.

That is when its outside address has changed, and when it begins to serve anew, and knows nothing of
earlier mappings: RFC 6886 3.2.1 for NAT-PMP, RFC 6887 14.1 for PCP.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from patchbay.services.ends import until_first

TIMES = tuple(0.25 * (2**number - 1) for number in range(10))
"""Seconds until each announcement: ten, as some may be lost; the second comes after 250 ms, and then
each interval is twice the one before (RFC 6886 3.2.1)."""


class Announcing:
    """What a router has to tell its LAN.

    Args:
        tell: tells it, once.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._times: list[float] = []

    def begin(self) -> None:
        """Tell it from now on, as often as it is told; what was not told yet is out of date."""
        now = time.monotonic()
        self._times = [now + each for each in TIMES]

    def due(self) -> float | None:
        """Seconds until it is told the next time; None if it has been told often enough."""
        return until_first(self._times)

    def expire(self) -> None:
        """Tell it if it is time; once, however much time has gone by."""
        if not self._times:
            return
        now = time.monotonic()
        later = [each for each in self._times if each > now]
        if len(later) < len(self._times):
            self._times = later
            self._tell()
