"""Changes of regions and of the links between them: pure functions from topology to topology."""

from __future__ import annotations

from dataclasses import replace

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.topology.graph import find_region, find_trunk, with_entry
from patchbay.topology.model import Topology, Trunk
from patchbay.topology.region_draft import check_links, trunk_place
from patchbay.topology.ways import find_ways
from patchbay.values import RegionLink


def update_link(
    topology: Topology, one: str, other: str, link: RegionLink, back: RegionLink
) -> Topology:
    """Set what packets meet on a link: from the first region to the second, and back."""
    trunk, problems = find_trunk(topology, one, other), Problems()
    check_links(topology, problems, trunk_place(one, other), link, back)
    problems.check()
    if trunk.ends[0] != one:
        link, back = back, link
    return _with_trunk(topology, replace(trunk, link=link, back=back))


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
