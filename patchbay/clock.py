"""What kind of time passes here, and skipping it where that can be done.

    from patchbay import clock

    if clock.kind() == "virtual":
        clock.advance(7 * 24 * 3600)  # a week, in a moment

Only a guest has another time than the world's: see `patchbay guest --time`.
"""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path
from typing import Literal

from actors.errors import HostNotCapable
from patchbay.errors import ConfigError, Problem

TimeKind = Literal["real", "virtual", "virtual-cpu"]
"""How time passes.

- `real`: as everywhere.
- `virtual`: the clock stands still while code runs, and jumps to the next timer when all wait.
- `virtual-cpu`: the clock jumps when all wait, and runs as outside while code runs.
"""

_KINDS: dict[str, TimeKind] = {
    "time-travel=inf-cpu": "virtual",
    "time-travel": "virtual-cpu",
    "patchbay.time=virtual-cpu": "virtual-cpu",
}
"""The words of a guest kernel's command line that give it its time, or say which it has."""

_QEMU = "patchbay.time="
"""The word of its command line by which a guest under QEMU is known."""


@functools.cache
def kind() -> TimeKind:
    """The kind of time that passes for this process."""
    if not in_guest():
        return "real"
    words = Path("/proc/cmdline").read_text().split()
    return next((_KINDS[word] for word in words if word in _KINDS), "real")


def is_virtual() -> bool:
    """Whether waits are skipped: in `virtual` and `virtual-cpu` time."""
    return kind() != "real"


@functools.cache
def in_guest() -> bool:
    """Whether this process runs in a guest (`patchbay guest`), in whatever kind of time."""
    try:
        return (
            "User Mode Linux" in Path("/proc/cpuinfo").read_text()
            or _QEMU in Path("/proc/cmdline").read_text()
        )
    except OSError:  # no /proc: no guest of ours
        return False


def advance(seconds: float) -> None:
    """Skip time: everything that is due meanwhile happens, in its order, and nobody waits for it.

    Args:
        seconds: how much.

    Raises:
        HostNotCapable: this is real time, in which nothing can be skipped.
        ConfigError: `seconds` is no time that could pass.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(Problem("advance, seconds", f"{seconds!r} is no time that can pass"))
    if not is_virtual():
        raise HostNotCapable(
            "time is real here, and does not skip anything: time.sleep() waits for it",
            "patchbay guest --time virtual -- COMMAND, or pytest --patchbay-guest=virtual",
        )
    time.sleep(seconds)
