"""The stacks of a node's threads, as `faulthandler` writes them, without what is of no interest."""

from __future__ import annotations

import os
import re
import threading

_HERE = os.path.dirname(__file__) + os.sep
_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+ in (?P<function>.*)')


def of_the_user(dump: str) -> str:
    """The threads that run user code, each from where it is now down to where that begins.

    Args:
        dump: what `faulthandler` wrote: threads with an empty line between, the most recent call
            first.
    """
    shown = [text for text in map(_shown, dump.strip().split("\n\n")) if text]
    return "\n\n".join(shown)


def _shown(thread: str) -> str:
    """The text of a thread up to the first frame of this package; empty if it begins with one."""
    title, *frames = thread.split("\n")
    kept: list[str] = []
    for frame in frames:
        found = _FRAME.fullmatch(frame)
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
