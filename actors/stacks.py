"""The stacks of a node's threads as text, in the manner of `faulthandler`."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable

UNKNOWN_LINE = "???"
"""In the place of a line's number that nobody knows."""

_HERE = os.path.dirname(__file__) + os.sep
_INTERRUPTION = _HERE + "interruption.py"
"""Its handler may run on top of user code that goes on, at any moment."""

_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+ in (?P<function>.*)')
_TITLE = " (most recent call first):"


def written(thread: str, lines: Iterable[str]) -> str:
    """The text of one thread; between two there is an empty line.

    Args:
        thread: what it is called.
        lines: where it is, a line for each frame, the innermost first.
    """
    return "\n".join(map(_plain, [f"Thread {thread}{_TITLE}", *lines]))


def _plain(line: str) -> str:
    """A line of text that is one: names of files and threads can be anything."""
    return line if line.isprintable() else ascii(line)[1:-1]


def of_the_user(stacks: str) -> str:
    """The threads that run user code, each from where it is now down to where that begins.

    Args:
        stacks: texts of threads, and remarks, with an empty line between.
    """
    shown = [text for text in map(_shown, stacks.strip().split("\n\n")) if text]
    return "\n\n".join(shown)


def _shown(thread: str) -> str:
    """The text of a thread up to the first frame of this package; empty if it begins with one.

    What interrupts user code does not count where it begins.
    """
    title, *frames = thread.split("\n")
    if not title.endswith(_TITLE):
        return thread
    kept: list[str] = []
    for frame in frames:
        found = _FRAME.fullmatch(frame)
        if not kept and found is not None and found["file"] == _INTERRUPTION:
            continue
        if found is not None and found["file"].startswith(_HERE):
            if found["function"] == "_serve" and _waits_in_selector(kept):
                return ""
            break
        if found is None or found["file"] != threading.__file__:
            kept.append(frame)
    return "\n".join([title, *kept]) if kept else ""


def _waits_in_selector(frames: list[str]) -> bool:
    """Whether an event loop has nothing to do."""
    found = _FRAME.fullmatch(frames[0]) if frames else None
    return found is not None and os.path.basename(found["file"]) == "selectors.py"
