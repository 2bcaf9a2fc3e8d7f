"""Starting a program on a node, with streams and descriptors that came from a client."""

from __future__ import annotations

import fcntl
import os
import subprocess
import termios
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any


def start_program(options: dict[str, Any], descriptors: list[int]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that it can be killed with all it starts.

    Args:
        options: arguments of `subprocess.Popen`, and some of our own: `streams`, which of the
            descriptors is its stdin, stdout and stderr (an index, or None for the node's own);
            `joined`, whether its stderr goes where its stdout goes; `keep`, numbers that the last
            of the descriptors shall have in it; `terminal`, whether its stdin is a terminal that
            it shall control.
        descriptors: what came with the request.

    Raises:
        OSError: the kernel refused it: there is no such program, no such directory, ...
    """
    for ours in ("start_new_session", "process_group"):
        options.pop(ours, None)
    streams: list[int | None] = options.pop("streams")
    joined: bool = options.pop("joined")
    keep: list[int] = options.pop("keep")
    terminal: bool = options.pop("terminal")
    prepare: Callable[[], None] | None = options.pop("preexec_fn", None)
    stdin, stdout, stderr = (None if at is None else descriptors[at] for at in streams)
    kept = dict(zip(keep, descriptors[len(descriptors) - len(keep) :], strict=True))

    def in_child() -> None:
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number, descriptor in [(each, os.dup(kept[each])) for each in kept]:
            os.dup2(descriptor, number)
        if prepare is not None:
            prepare()

    special = terminal or keep or prepare is not None
    if keep:
        options["close_fds"] = False
    with ExitStack() as reserved:
        for number in keep:
            _reserve(number, reserved)
        return subprocess.Popen(
            **options,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT if joined else stderr,
            start_new_session=True,
            preexec_fn=in_child if special else None,
        )


def _reserve(number: int, reserved: ExitStack) -> None:
    """See to it that `Popen` does not take a number for a pipe of its own: it will be replaced."""
    descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, number)
    reserved.callback(os.close, descriptor)
