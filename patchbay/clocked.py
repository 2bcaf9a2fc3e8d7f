"""The time of a lab: `Clocked` is the half of `Lab` that skips it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from actors.errors import NodeGone
from patchbay import clock


class Clocked(ABC):
    """A lab whose time passes, or can be skipped."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether it was closed."""

    def advance(self, seconds: float) -> None:
        """Skip time: everything that is due meanwhile happens, in its order, and nobody waits.

        Tasks, programs and timers of the lab and of this process go on as if the time had passed:
        it has, on every clock. Only virtual time can be skipped; `patchbay.clock` says which kind
        this is.

        Args:
            seconds: how much.

        Raises:
            HostNotCapable: this is real time; the text says how to get another.
            ConfigError: `seconds` is no time that could pass.
            NodeGone: the lab is closed.
        """
        if self.closed:
            raise NodeGone(f"lab {self.name!r} is closed")
        clock.advance(seconds)
