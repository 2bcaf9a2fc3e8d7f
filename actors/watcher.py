"""The watcher of an actor: a thread that tells where all others are.

It looks at them while it has the interpreter to itself, so no frame changes under its eyes: to look
at a thread from a signal handler, or from outside, while it runs Python code ends the process
sooner or later. It is asked and answers by pipes that are open from the start, so it can do so when
user code has used up all descriptors.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

from actors import linux
from actors.stacks import UNKNOWN_LINE, written

NAME = "pb-watcher"
"""What the thread is called, also in /proc."""

MOST_FRAMES = 100
"""Frames of a thread that are told, from the most recent on; as many as `faulthandler` tells."""

END = b"\0"
"""Ends an answer."""


def start(path: str) -> None:
    """Begin to watch.

    Args:
        path: where its pipes are made: it reads numbers, a line each, from `path.ask`, and writes
            the last of them and the stacks to `path.answer`.
    """
    asked, answers = linux.make_pipe(f"{path}.ask"), linux.make_pipe(f"{path}.answer")
    threading.Thread(target=_watch, args=[asked, answers], daemon=True, name=NAME).start()


def _watch(asked: int, answers: int) -> None:
    linux.set_process_name(NAME)
    while True:
        number = os.read(asked, 4096).split()[-1]  # whoever asked before that has given up
        try:
            text = stacks()
        except Exception:
            text = traceback.format_exc()
        answer = b"%b\n%b" % (number, text.encode(errors="backslashreplace")) + END
        while answer:
            answer = answer[os.write(answers, answer) :]


def stacks() -> str:
    """Where each thread of this process is, but for the one that asks."""
    threads = {each.ident: each for each in threading.enumerate()}
    own = threading.get_ident()
    return "\n\n".join(
        written(_title(identity, threads.get(identity)), _lines(frame))
        for identity, frame in sys._current_frames().items()
        if identity != own
    )


def _title(identity: int, thread: threading.Thread | None) -> str:
    """What a thread is called: its number as the system's tools show it, and its name."""
    if thread is None:
        return hex(identity)  # it was started by C code
    main = thread is threading.main_thread()  # which may still have its number of before the fork
    return f"{os.getpid() if main else thread.native_id} [{thread.name}]"


def _lines(innermost: FrameType) -> Iterator[str]:
    frame: FrameType | None = innermost
    for _ in range(MOST_FRAMES):
        if frame is None:
            return
        code = frame.f_code
        line: int | None = frame.f_lineno
        number = UNKNOWN_LINE if line is None else line
        yield f'  File "{code.co_filename}", line {number} in {code.co_name}'
        frame = frame.f_back
    yield "  ..."
