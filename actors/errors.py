"""The errors of the framework: who failed, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence


class PatchbayError(Exception):
    """The root of every error that patchbay raises itself."""


class HostNotCapable(PatchbayError):
    """This host refuses something that was asked of it.

    Attributes:
        missing: what the host lacks, in a few words.
        remedy: the exact command or setting that mends it.
    """

    def __init__(self, missing: str, remedy: str) -> None:
        super().__init__(missing, remedy)
        self.missing = missing
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.missing}\n  mend it with: {self.remedy}"


class NodeGone(PatchbayError):
    """The node was removed, or its lab is closed: only its name can still be read."""


class NodeDied(PatchbayError):
    """The process of a node, or one that it depends on, is dead; what it was asked is lost.

    The node's network lives on; `restart()` gives it a new process.

    Attributes:
        node: the node's name.
        status: the exit status, negative for a signal, None where nobody could tell.
        output: the last lines that the node printed.
    """

    def __init__(
        self, node: str, reason: str, status: int | None = None, output: Sequence[str] = ()
    ) -> None:
        super().__init__(node, reason, status, tuple(output))
        self.node = node
        self.reason = reason
        self.status = status
        self.output = tuple(output)

    def __str__(self) -> str:
        text = f"node {self.node!r} died: {self.reason}"
        if self.output:
            text += "\n  its last output:\n" + "\n".join(f"    {line}" for line in self.output)
        return text


class CallTimeout(PatchbayError, TimeoutError):
    """A call took longer than it was given.

    Attributes:
        node: the node's name.
        timeout: the seconds it was given.
        interrupted: whether the call has ended; if not, it goes on until the node closes.
        stack: where the code was, as text.
    """

    def __init__(self, node: str, timeout: float, *, interrupted: bool, stack: str = "") -> None:
        super().__init__(node, timeout)
        self.node = node
        self.timeout = timeout
        self.interrupted = interrupted
        self.stack = stack

    def __str__(self) -> str:
        text = f"node {self.node!r}: no result within {self.timeout:g} s"
        if not self.interrupted:
            text += "; the code ignores being interrupted and goes on until the node is closed"
        if self.stack:
            text += "\n  it was here:\n" + "\n".join(
                f"    {line}" for line in self.stack.splitlines()
            )
        return text


class RemoteError(PatchbayError):
    """An exception on a node that could not travel as itself.

    Attributes:
        type_name: the name of its class, with its module.
        message: its text.
        traceback_text: its traceback, with all its causes.
    """

    def __init__(self, type_name: str, message: str, traceback_text: str) -> None:
        super().__init__(type_name, message, traceback_text)
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}"


class TravelError(PatchbayError, TypeError):
    """An object cannot go to another process; the text names it, its place, and a way out."""


class InternalError(PatchbayError):
    """A mistake of patchbay itself: please report it, with this text."""
