"""The handle of a recording of what packets met on a link."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from patchbay.topology.plain import from_plain
from patchbay.values import Trace

if TYPE_CHECKING:
    from patchbay.lab import Lab


class LinkRecording:
    """A recording of the conditions of a link, in one direction. A context manager that ends it.

    With each condition that was set, by whomever, and with those of schedules and traces, goes the
    time since the recording began. It is kept by the lab, and ends by itself after 10,000 changes,
    and when the interface is removed.
    """

    def __init__(self, lab: Lab, number: int) -> None:
        self._lab = lab
        self._number = number
        self._trace: Trace | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._lab.closed:
            self.stop()

    def trace(self) -> Trace:
        """What packets met since it began, until now or until it was stopped.

        Of changes within one millisecond it has the last. What packets of flows met is not in it.

        Raises:
            NodeGone: the lab was closed, and it had not been stopped.
        """
        return self._ask(stop=False)

    def stop(self) -> Trace:
        """End it; returns its trace. Stopping again does nothing else.

        Raises:
            NodeGone: the lab was closed, and it had not been stopped.
        """
        self._trace = self._ask(stop=True)
        return self._trace

    def _ask(self, *, stop: bool) -> Trace:
        if self._trace is not None:
            return self._trace
        told = self._lab.request("recorded_conditions", number=self._number, stop=stop)
        return from_plain(Trace, told)
