"""When things end that last for a while: times of the monotonic clock, and what is left until then."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable


def until_first(ends: Iterable[float]) -> float | None:
    """Seconds until the first of some ends; None if there is none, or none ever comes."""
    first = min(ends, default=math.inf)
    return None if math.isinf(first) else max(0.0, first - time.monotonic())


def left(end: float) -> int:
    """Whole seconds until an end, as protocols tell them: 1 at least, for what is there still."""
    return max(1, math.ceil(end - time.monotonic()))
