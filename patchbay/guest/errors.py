"""The errors of building a guest kernel and of running it."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import PatchbayError


class BuildFailed(PatchbayError):
    """A program that the build of the kernel runs has failed.

    Attributes:
        step: what was being done.
        output: the last lines that the program wrote.
        log: the file with all that it wrote.
    """

    def __init__(self, step: str, output: Sequence[str], log: str) -> None:
        super().__init__(step, tuple(output), log)
        self.step = step
        self.output = tuple(output)
        self.log = log

    def __str__(self) -> str:
        lines = "".join(f"\n    {line}" for line in self.output)
        return f"the kernel could not be built: {self.step} failed:{lines}\n  all of it: {self.log}"


class GuestStuck(PatchbayError):
    """The command could not go on in virtual time, so that its guest was ended.

    Attributes:
        reason: what has happened: that all wait for what never comes, or who never waits.
        processes: a line for each thread, with what it waits for.
    """

    def __init__(self, reason: str, processes: Sequence[str]) -> None:
        super().__init__(reason, tuple(processes))
        self.reason = reason
        self.processes = tuple(processes)

    def __str__(self) -> str:
        return self.reason + "".join(f"\n    {line}" for line in self.processes)


class GuestFailed(PatchbayError):
    """The guest ended without an exit status of the command, or could not start it.

    Attributes:
        reason: what is known.
        output: the last lines that the guest's kernel wrote.
    """

    def __init__(self, reason: str, output: Sequence[str] = ()) -> None:
        super().__init__(reason, tuple(output))
        self.reason = reason
        self.output = tuple(output)

    def __str__(self) -> str:
        lines = "".join(f"\n    {line}" for line in self.output)
        return self.reason + (f"; its kernel's last lines:{lines}" if lines else "")
