"""The process that makes link conditions, as the supervisor of the lab sees it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from actors.channel import Closed
from actors.children import how_it_ended
from actors.errors import PatchbayError
from actors.protocol import Plain
from actors.worker import Work, Worker
from patchbay.errors import ProgramFailure

NAME = "pb-links"
"""What it is called in lists of processes."""

Starter = Callable[[str, Work, Sequence[int], Callable[[Worker], None]], Worker]
"""Starts a worker, as `Supervisor.start_worker` does."""

_WITH_THE_LAB = (0, -signal.SIGTERM)
"""How it ends when the lab is closed."""


class Watcher(Protocol):
    """A loop that waits for descriptors, as that of a `Supervisor`."""

    def watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor is readable."""

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer."""


class EngineDied(PatchbayError, ConnectionError):
    """The process that passes on the packets of links with conditions is dead.

    No packet comes through on these links, until they are set to None: then they are plain again.
    """


class EngineProcess:
    """Asks the process, and knows whether it lives. It is started once, and not again."""

    def __init__(
        self,
        start: Starter,
        on_death: Callable[[str], None],
        on_failure: Callable[[ProgramFailure], None] = lambda _: None,
        watcher: Watcher | None = None,
    ) -> None:
        """Start it.

        Args:
            start: forks a worker.
            on_death: told why, should it end by itself.
            on_failure: told of each packet program that has failed.
            watcher: calls back when it has something to tell; without one it is heard when it is
                asked for something.

        Raises:
            PatchbayError: this host allows no more processes.
        """
        from patchbay.links.userspace.engine import serve  # most labs have no such process

        self._why = ""
        self._hung_up = False
        """Whether it is known to be dead before the kernel has told of its end."""
        self._on_death = on_death
        self._on_failure = on_failure
        self._watcher = watcher
        self._worker = start(NAME, lambda channel, _: serve(channel), (), self._on_end)
        if watcher is not None:
            watcher.watch(self._worker.channel.fileno(), self._listen)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._worker.pid != 0 and not self._hung_up

    def request(self, method: str, descriptors: Sequence[int] = (), /, **arguments: Plain) -> Plain:
        """Ask for something, and wait for the answer.

        Args:
            method: what for; one of the `on_` methods of `Engine`.
            descriptors: what goes with it; they stay open here.
            arguments: what else goes with it.

        Raises:
            EngineDied: it is dead.
            OSError: the kernel refused what was asked for.
        """
        try:
            if not self.alive:
                raise self._died()
            self._worker.channel.send({"method": method, "arguments": arguments}, descriptors)
            answer, _ = self._worker.channel.receive()
            while "news" in answer:
                self._note(answer)
                answer, _ = self._worker.channel.receive()
            self._listen()
        except Closed:
            self._hung_up = True
            raise self._died() from None
        if "died" in answer:
            self._why, self._hung_up = cast("str", answer["died"]), True
            raise self._died()
        if "refused" in answer:
            raise OSError(answer["number"], cast("str", answer["refused"]))
        return answer["value"]

    def _listen(self) -> None:
        """Take what it tells without being asked."""
        try:
            for message, _ in self._worker.channel.waiting():
                self._note(message)
        except Closed:
            self._hung_up = True
            self._listen_no_more()  # its end is told by the kernel

    def _listen_no_more(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.forget(self._worker.channel.fileno())

    def _note(self, message: dict[str, Plain]) -> None:
        self._why = cast("str", message.get("died", self._why))
        if "news" in message:
            self._on_failure(ProgramFailure(**cast("dict[str, str]", message["news"])))

    def _on_end(self, worker: Worker) -> None:
        assert worker.status is not None, "it has ended"
        self._listen()  # to its last words, if it said any
        self._listen_no_more()
        self._why = self._why or how_it_ended(worker.status)
        if worker.status not in _WITH_THE_LAB:
            self._on_death(self._why)

    def _died(self) -> EngineDied:
        return EngineDied(
            f"the process that makes link conditions is dead: {self._why or 'it has ended'}; "
            "a link that is set to None is a plain one again"
        )
