"""Changes of regions and of the links between them: pure functions from topology to topology."""

from __future__ import annotations

from dataclasses import replace

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.topology.graph import find_region, find_trunk, with_entry
from patchbay.topology.joints import trunk_interface
from patchbay.topology.model import Topology, Trunk
from patchbay.topology.playing import JUST_NOW, Begun, with_lane
from patchbay.topology.region_draft import check_lane, check_lanes, lane_of, trunk_place
from patchbay.topology.requests import LaneRequest
from patchbay.topology.ways import find_ways


def update_link(
    topology: Topology,
    one: str,
    other: str,
    link: LaneRequest,
    back: LaneRequest,
    begun: Begun = JUST_NOW,
) -> Topology:
    """Set what packets meet on a link: from the first region to the second, and back.

    A schedule or a trace has begun as it says.
    """
    trunk, problems = find_trunk(topology, one, other), Problems()
    check_lanes(topology, problems, trunk_place(one, other), link, back)
    problems.check()
    if trunk.ends[0] != one:
        link, back = back, link
    after = replace(trunk, link=lane_of(link, begun), back=lane_of(back, begun))
    return _with_trunk(topology, after)


def set_condition(
    topology: Topology,
    region: str,
    name: str,
    lane: LaneRequest,
    direction: str,
    begun: Begun = JUST_NOW,
) -> Topology:
    """Set what packets meet that leave a region by an interface, or arrive at it.

    Raises:
        ConfigError: that is no end of a link between regions, or this host cannot make it.
    """
    place, problems = f"region {region!r}, {name}, condition", Problems()
    if direction not in ("up", "down", "both"):
        problems.add(place, f"{direction!r} is no direction: it is 'up', 'down' or 'both'")
    for trunk in topology.trunks:
        if region in trunk.ends and trunk_interface(trunk) == name:
            check_lane(topology, problems, place, lane)
            problems.check()
            met = lane_of(lane, begun)
            if direction in ("up", "both"):
                topology = with_lane(topology, (region, name, "up"), met)
            if direction in ("down", "both"):
                topology = with_lane(topology, (region, name, "down"), met)
            return topology
    message = "it is no end of a link between regions: only these take conditions"
    raise ConfigError(Problem(place, message))


def unlink(topology: Topology, one: str, other: str) -> Topology:
    """Remove the link between two regions."""
    trunk = find_trunk(topology, one, other)
    return replace(topology, trunks=tuple(each for each in topology.trunks if each is not trunk))


def break_link(topology: Topology, one: str, other: str, *, reroute: bool = False) -> Topology:
    """Break a link: packets get lost or, with `reroute`, go around it over other links.

    Raises:
        ConfigError: there is no such link, or no way around it.
    """
    trunk = find_trunk(topology, one, other)
    after = _with_trunk(topology, replace(trunk, broken=True, reroute=reroute))
    ways = find_ways(after.regions, after.trunks)
    if reroute and ways.own[trunk.ends] is None:
        message = "it cannot be gone around: no other links lead from one to the other"
        raise ConfigError(Problem(trunk_place(one, other), message))
    return after


def restore_link(topology: Topology, one: str, other: str) -> Topology:
    """Mend a broken link.

    Raises:
        ConfigError: there is no such link, or it is not broken.
    """
    trunk = find_trunk(topology, one, other)
    if not trunk.broken:
        raise ConfigError(Problem(trunk_place(one, other), "it is not broken"))
    return _with_trunk(topology, replace(trunk, broken=False, reroute=False))


def set_transit(topology: Topology, name: str, transit: bool) -> Topology:
    """Set whether regions without a link of their own reach each other through a region."""
    region = replace(find_region(topology, name), transit=transit)
    return replace(topology, regions=with_entry(topology.regions, name, region))


def _with_trunk(topology: Topology, trunk: Trunk) -> Topology:
    """Put a trunk in place of the one with its number."""
    trunks = tuple(trunk if each.number == trunk.number else each for each in topology.trunks)
    return replace(topology, trunks=trunks)
