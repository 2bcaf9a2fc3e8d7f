"""Schedules and traces that the links of a lab follow: pure functions from topology to topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from patchbay.topology.graph import LAN_BRIDGE, interfaces, with_entry
from patchbay.topology.joints import trunk_interface
from patchbay.topology.model import Interface, Lane, Playing, Router, Topology, Trunk
from patchbay.values import LinkCondition, Schedule, TimedCondition, Trace, condition_now

Way: TypeAlias = Literal["up", "down"]

Place: TypeAlias = tuple[str, str, Way]
"""One direction of a link: the name of a node, of its interface, and whether packets leave there.

A link between regions has an interface at both of its ends; a direction of it is named by that
where packets leave."""


_Link: TypeAlias = Interface | Router | Lane
"""What has conditions."""


@dataclass(frozen=True, slots=True)
class Begun:
    """When a schedule or a trace began.

    Attributes:
        since: nanoseconds of the lab's life; None for when the link comes to be.
        elapsed: nanoseconds that it has been going on.
    """

    since: int | None = None
    elapsed: int = 0

    def with_playing(
        self, condition: TimedCondition | None
    ) -> tuple[LinkCondition | None, Playing | None]:
        """What packets meet now, and what that follows; None for nothing."""
        if isinstance(condition, Schedule | Trace):
            return condition_now(condition, self.elapsed), Playing(
                timeline=condition, since=self.since
            )
        return condition, None


JUST_NOW = Begun()


def timed_conditions(
    interface: Interface,
) -> tuple[TimedCondition | None, TimedCondition | None]:
    """Return what was set for packets that leave by an interface, and for those that arrive."""
    up, down = interface.playing_up, interface.playing_down
    return (
        interface.condition_up if up is None else up.timeline,
        interface.condition_down if down is None else down.timeline,
    )


def all_playing(topology: Topology) -> Iterator[tuple[Place, Playing]]:
    """Yield all that is followed, with where."""
    for owner, each in interfaces(topology):
        if each.playing_up is not None:
            yield (owner, each.name, "up"), each.playing_up
        if each.playing_down is not None:
            yield (owner, each.name, "down"), each.playing_down
    for router in topology.routers.values():
        if router.downlink_playing is not None:
            yield (router.name, LAN_BRIDGE, "up"), router.downlink_playing
    for trunk in topology.trunks:
        for region, lane in zip(trunk.ends, (trunk.link, trunk.back), strict=True):
            if lane.playing is not None:
                yield (region, trunk_interface(trunk), "up"), lane.playing


def playing_at(topology: Topology, place: Place) -> Playing | None:
    """Return what a direction of a link follows; None if its condition stays what it is."""
    lane = _lane_at(topology, place)
    return dict(all_playing(topology)).get(place) if lane is None else lane.playing


def conditions_at(topology: Topology) -> dict[Place, LinkCondition | None]:
    """Return what packets meet in each direction of all links."""
    found: dict[Place, LinkCondition | None] = {}
    for owner, each in interfaces(topology):
        found[owner, each.name, "up"] = each.condition_up
        found[owner, each.name, "down"] = each.condition_down
    for router in topology.routers.values():
        found[router.name, LAN_BRIDGE, "up"] = router.downlink
    for trunk in topology.trunks:
        lanes = trunk.link, trunk.back
        for region, (out, back) in zip(trunk.ends, (lanes, lanes[::-1]), strict=True):
            found[region, trunk_interface(trunk), "up"] = out.condition
            found[region, trunk_interface(trunk), "down"] = back.condition
    return found


def with_lane(topology: Topology, place: Place, lane: Lane) -> Topology:
    """Have packets of a direction of a link between regions meet something else."""
    return _changed(topology, place, lambda _: lane)


def played(topology: Topology, met: Mapping[Place, LinkCondition | None]) -> Topology:
    """Have packets meet what the schedules and traces of their links say now."""
    after = topology
    for place, condition in met.items():
        after = _changed(after, place, partial(_with_condition, place[2], condition))
    return after


def stopped(topology: Topology, place: Place) -> Topology:
    """Have packets meet what they meet now from now on, whatever a schedule says."""
    return _changed(topology, place, partial(_without_playing, place[2]))


def _with_condition(way: Way, condition: LinkCondition | None, of: _Link) -> _Link:
    if isinstance(of, Lane):
        return replace(of, condition=condition)
    if isinstance(of, Router):
        return replace(of, downlink=condition)
    if way == "up":
        return replace(of, condition_up=condition)
    return replace(of, condition_down=condition)


def _without_playing(way: Way, of: _Link) -> _Link:
    if isinstance(of, Lane):
        return replace(of, playing=None)
    if isinstance(of, Router):
        return replace(of, downlink_playing=None)
    if way == "up":
        return replace(of, playing_up=None)
    return replace(of, playing_down=None)


def _trunk_at(topology: Topology, place: Place) -> tuple[Trunk, bool] | None:
    """The link between regions of a place, and whether it is the way back there; None for others."""
    node, name, way = place
    if node not in topology.regions:
        return None
    for trunk in topology.trunks:
        if node in trunk.ends and trunk_interface(trunk) == name:
            return trunk, (node == trunk.ends[0]) != (way == "up")
    return None


def _lane_at(topology: Topology, place: Place) -> Lane | None:
    at = _trunk_at(topology, place)
    if at is None:
        return None
    trunk, back = at
    return trunk.back if back else trunk.link


def _changed(topology: Topology, place: Place, change: Callable[[_Link], _Link]) -> Topology:
    """Change an interface, the router whose LAN it is, or a direction of a link between regions."""
    node, name, _ = place
    at = _trunk_at(topology, place)
    if at is not None:
        return _with_lane_changed(topology, *at, change)
    if node in topology.routers:
        router = topology.routers[node]
        changed = change(router if name == LAN_BRIDGE else router.uplink)
        if isinstance(changed, Interface):
            changed = replace(router, uplink=changed)
        assert isinstance(changed, Router), "a router stays one"
        return replace(topology, routers=with_entry(topology.routers, node, changed))
    device = topology.devices[node]
    own = []
    for each in device.interfaces:
        kept = change(each) if each.name == name else each
        assert isinstance(kept, Interface), "an interface stays one"
        own.append(kept)
    after = replace(device, interfaces=tuple(own))
    return replace(topology, devices=with_entry(topology.devices, node, after))


def _with_lane_changed(
    topology: Topology, trunk: Trunk, back: bool, change: Callable[[_Link], _Link]
) -> Topology:
    lane = change(trunk.back if back else trunk.link)
    assert isinstance(lane, Lane), "a direction stays one"
    changed = replace(trunk, back=lane) if back else replace(trunk, link=lane)
    trunks = tuple(changed if each is trunk else each for each in topology.trunks)
    return replace(topology, trunks=trunks)
