"""Which way packets go between regions.

Two regions with a link use it. Without one, or while it is broken and is to be gone around, they
use the way over other links with the fewest regions in between and, of several, the one that takes
the least time: what BGP would choose, if all else were equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from patchbay.topology.model import Lane, Region, Trunk
from patchbay.values import condition_now

Pair = tuple[str, str]
"""Where packets are, and where they go."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The next trunk on the way from one region to another.

    Attributes:
        own: for packets that come from the region itself, what is in it or the IX. None where
            they are lost; no entry where there is no way at all.
        passing: for those that come from other regions, only where there are such.
    """

    own: Mapping[Pair, Trunk | None]
    passing: Mapping[Pair, Trunk]


@dataclass(frozen=True, slots=True, order=True)
class _Cost:
    """What makes one way better than another, the weightiest first."""

    refusing: int = 0
    """Regions in between that are there for nobody's transit."""
    hops: int = 0
    latency: float = 0


def find_ways(regions: Mapping[str, Region], trunks: tuple[Trunk, ...]) -> Ways:
    """Return the ways between all regions of a lab."""
    own: dict[Pair, Trunk | None] = {}
    passing: dict[Pair, Trunk] = {}
    around: defaultdict[str, list[str]] = defaultdict(list)
    for trunk in trunks:
        one, other = trunk.ends
        for source, target in ((one, other), (other, one)):
            own[source, target] = None if trunk.broken else trunk
            if trunk.broken and trunk.reroute:
                around[target].append(source)
    if any(region.transit for region in regions.values()):
        for target in regions:
            around[target] += [each for each in regions if (each, target) not in own]
    links = _Links(regions, trunks)
    for target, sources in around.items():
        found = links.toward(target)
        for source in sources:
            if source == target or source not in found:
                continue
            cost, trunk = found[source]
            if (source, target) not in own and cost.refusing:
                continue
            own[source, target] = trunk
            between = _far(trunk, source)
            while between != target:
                passing[between, target] = found[between][1]
                between = _far(passing[between, target], between)
    return Ways(own, passing)


class _Links:
    """The trunks that carry packets."""

    def __init__(self, regions: Mapping[str, Region], trunks: tuple[Trunk, ...]) -> None:
        self._refuses = {region.name: not region.transit for region in regions.values()}
        self._at: defaultdict[str, list[Trunk]] = defaultdict(list)
        for trunk in trunks:
            if not trunk.broken:
                for end in trunk.ends:
                    self._at[end].append(trunk)

    def toward(self, target: str) -> Mapping[str, tuple[_Cost, Trunk]]:
        """The cost of the best way from each region to one, and its first trunk (Dijkstra)."""
        found: dict[str, tuple[_Cost, Trunk]] = {}
        order = count()
        waiting: list[tuple[_Cost, int, str, Trunk | None]] = [(_Cost(), 0, target, None)]
        while waiting:
            cost, _, here, by = heappop(waiting)
            if here in found or (here == target and by is not None):
                continue
            if by is not None:
                found[here] = (cost, by)
            refusing = cost.refusing + (here != target and self._refuses[here])
            for trunk in self._at[here]:
                before = _far(trunk, here)
                lane = trunk.link if trunk.ends[0] == before else trunk.back
                longer = _Cost(refusing, cost.hops + 1, cost.latency + _latency(lane))
                heappush(waiting, (longer, next(order), before, trunk))
        return found


def _latency(lane: Lane) -> float:
    """The latency that a way is chosen by: of a schedule the first one, as routes do not follow it."""
    condition = condition_now(lane.timed_condition)
    return 0 if condition is None else condition.latency_ms


def _far(trunk: Trunk, near: str) -> str:
    one, other = trunk.ends
    return other if near == one else one
