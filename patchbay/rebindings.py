"""Routers that give their mappings up for new ones: when asked, and when it is time."""

from __future__ import annotations

import time
from collections.abc import Callable

from patchbay.errors import ConfigError, PatchbayError, Problem
from patchbay.events import EventLog
from patchbay.topology.graph import find_router
from patchbay.topology.model import Router, Topology
from patchbay.topology.plan import node_plan
from patchbay.values import NatConfig
from patchbay.wiring.kernel import Kernel


class Rebindings:
    """Does it, and knows which router is due when; the supervisor asks between requests."""

    def __init__(self, kernel: Kernel, log: EventLog) -> None:
        self._kernel = kernel
        self._log = log
        self._due: dict[str, tuple[float, float]] = {}
        """By router: how often, in seconds, and when next, by the monotonic clock."""

    def rebind(self, topology: Topology, name: str) -> None:
        """Have a router forget its mappings and use other ports."""
        router = find_router(topology, name)
        tables = node_plan(topology, name).tables
        self._kernel.rebind(name, tables, config_of(router).port_count)

    def follow(self, topology: Topology) -> None:
        """Take over what the routers of a topology are set to; what stays so stays due."""
        now = time.monotonic()
        before, self._due = self._due, {}
        for name, router in topology.routers.items():
            every = router.nat.rebind_every if isinstance(router.nat, NatConfig) else None
            if every is not None:
                known = before.get(name)
                same = known is not None and known[0] == every
                self._due[name] = known if same and known else (every, now + every)

    def run_due(self, topology: Topology, rebind: Callable[[str, bool], object]) -> None:
        """Rebind what is due; nobody waits for an answer, so a failure is an event.

        Args:
            topology: the network as it is.
            rebind: does it to a router, with another address or not.
        """
        now = time.monotonic()
        for name, (every, when) in list(self._due.items()):
            if when > now:
                continue
            self._due[name] = every, now + every
            try:
                rebind(name, config_of(topology.routers[name]).rebind_address)
            except PatchbayError as error:
                self._log.add("nat_rebind_failed", node=name, error=str(error))

    def or_sooner(self, seconds: float | None) -> float | None:
        """Seconds until a router is due, if that is sooner; None for never."""
        if not self._due:
            return seconds
        left = max(0.0, min(when for _, when in self._due.values()) - time.monotonic())
        return left if seconds is None else min(left, seconds)


def config_of(router: Router) -> NatConfig:
    """What a router's NAT does, spelled out.

    Raises:
        ConfigError: it has none.
    """
    config = router.nat if isinstance(router.nat, NatConfig) else router.nat.config
    if config is None:
        raise ConfigError(Problem(f"router {router.name!r}", "it has no NAT to be rebound"))
    return config
