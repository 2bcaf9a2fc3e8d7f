"""What a lab tells of itself: packets, counters, events, and whether its timing could be trusted."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from actors.protocol import Plain
from patchbay.capture.handle import Capture
from patchbay.capture.output import Destination
from patchbay.capture.selection import Selection
from patchbay.errors import Problems
from patchbay.events import Event
from patchbay.fidelity import Fidelity
from patchbay.iface import InterfaceStats
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain


class Watched(ABC):
    """The part of `Lab` that looks, and changes nothing."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name."""

    @abstractmethod
    def topology(self) -> Topology:
        """The whole network as it is now."""

    @abstractmethod
    def request_with(self, given: Sequence[int], method: str, **arguments: Plain) -> Plain:
        """Ask the lab's supervisor, with descriptors that go along."""

    # -- packets

    def capture(
        self, destination: Destination, *, filter: str | None = None, snaplen: int | None = None
    ) -> Capture:
        """Record the packets of all interfaces of all nodes, also of those that are added later.

        One pcapng stream, for Wireshark: each interface by its name (`laptop/eth0`), with the
        direction of each packet, times in nanoseconds, names of nodes for addresses, and how many
        packets were lost. A packet is in it once for each interface that it passes. Ports of LANs
        and loopbacks are left out.

        Args:
            destination: a path, a descriptor, a socket or a binary file object; what is a pipe,
                a socket or a file is written to live, at the latest 0.1 s after a packet.
            filter: which packets, in a part of tcpdump's language: `"tcp port 443 and not host
                laptop"`; all if not given.
            snaplen: bytes to keep of each packet; all if not given.

        Raises:
            ConfigError: what is wrong with the filter.
            OSError: the file cannot be opened.
        """
        return Capture.start(self, Selection(), destination, filter, snaplen)

    # -- how it goes

    def stats(self) -> dict[str, dict[str, InterfaceStats]]:
        """What went over every interface, by node and name: `lab.stats()["home"]["wan"]`."""
        told = cast("dict[str, dict[str, dict[str, Any]]]", self.request_with((), "all_stats"))
        return {
            node: {name: InterfaceStats.of(counters) for name, counters in interfaces.items()}
            for node, interfaces in told.items()
        }

    def fidelity(self, since: Fidelity | None = None) -> Fidelity:
        """Whether timing could be trusted: how busy the host was, and how late the lab woke up.

        Args:
            since: what this said before, to look at the time from then on; the lab's whole life
                if not given.
        """
        before = None if since is None else to_plain(since.totals)
        return from_plain(Fidelity, self.request_with((), "fidelity", since=before))

    # -- events

    def events(self, since: int = 0) -> list[Event]:
        """What happened in the lab, from an event's number on."""
        told = cast("list[dict[str, Any]]", self.request_with((), "events", since=since))
        return [Event.of(record) for record in told]

    def emit(self, kind: str, **fields: Plain) -> None:
        """Note an event of your own, among the lab's."""
        self.request_with((), "emit", kind=kind, fields=fields)


def check_options(
    outdir: str | os.PathLike[str] | None, metrics_every: float | None, max_lag_ms: float | None
) -> None:
    """Check the options of a lab that are about what it observes.

    Raises:
        ConfigError: what is wrong with them.
    """
    problems = Problems()
    if metrics_every is not None and metrics_every <= 0:
        problems.add("metrics_every", f"a time above 0 s, not {metrics_every!r}")
    if metrics_every is not None and outdir is None:
        problems.add("metrics_every", "readings go to metrics.jsonl in outdir=, which is not given")
    if max_lag_ms is not None and max_lag_ms <= 0:
        problems.add("max_lag_ms", f"a time above 0 ms, not {max_lag_ms!r}")
    problems.check()
